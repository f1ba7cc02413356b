"""The program of a code interpreter's process: it takes its limits upon itself, then becomes a kernel.

It is run as a file, ``python kernel_child.py CONNECTION_FILE LIMITS``, with an environment that has next to
nothing in it. Limits are set before anything else is imported, and cannot be raised again from inside.
"""

from __future__ import annotations

import codecs
import ctypes
import io
import json
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_CLONE_NEWNS = 0x00020000
_CLONE_NEWIPC = 0x08000000
_CLONE_NEWUSER = 0x10000000
_MS_NOSUID, _MS_NODEV, _MS_REC, _MS_SLAVE = 0x2, 0x4, 0x4000, 0x80000
_PR_SET_PDEATHSIG = 1

_MOST_SHOWS = 200
_TYPES = ("text/plain", "image/png")
_SHOWS = ("execute_result", "display_data", "update_display_data")
_NEVER = ("comm_open", "comm_msg", "comm_close", "execute_input")
_UNSHOWN = re.compile("[\0\ud800-\udfff]")


def main(connection_file: str, limits: dict[str, int]) -> None:
    """Serve the connection until killed."""
    alone = _leave_namespaces(limits["memory"]) if sys.platform == "linux" else False
    _limit(limits, alone=alone)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != int(os.environ["JPY_PARENT_PID"]):
            return  # the keeper was killed before it could be known
    _serve(connection_file, limits["output"], limits["picture"])


def _leave_namespaces(memory: int) -> bool:
    """Enter a user namespace of its own, where the system allows it.

    Without rights in the server's namespace, a process cannot read the server's memory or environment,
    although it belongs to the same user; and processes are counted by themselves. Shared memory is its own
    too: it can be counted, and goes with the last process.
    """
    user, group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    shares_memory = libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS | _CLONE_NEWIPC) != 0
    if shares_memory and libc.unshare(_CLONE_NEWUSER) != 0:
        return False
    try:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    except OSError:
        pass  # then the user has no name in here, but the same rights
    if not shares_memory:
        _limit_shared_memory(libc, memory // 2)
    return True


def _limit_shared_memory(libc: ctypes.CDLL, most: int) -> None:
    """Give this namespace a ``/dev/shm`` of its own; segments of System V cannot be counted, so there are few."""
    try:
        with open("/proc/sys/kernel/shmall", "w", encoding="ascii") as file:
            file.write(str(most // 4 // os.sysconf("SC_PAGE_SIZE")))
    except OSError:
        pass  # in older systems this is for the administrator alone
    if libc.mount(b"none", b"/", None, _MS_REC | _MS_SLAVE, None) == 0:
        options = f"size={most},mode=1777".encode()
        libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", _MS_NOSUID | _MS_NODEV, options)


def _limit(limits: dict[str, int], *, alone: bool) -> None:
    import resource

    wanted = {
        resource.RLIMIT_CPU: limits["cpu"],
        resource.RLIMIT_AS: limits["memory"],
        resource.RLIMIT_FSIZE: limits["file"],
        resource.RLIMIT_NOFILE: limits["open_files"],
        resource.RLIMIT_CORE: 0,
    }
    if alone:
        # Elsewhere this would count everything that the user runs. Threads count too.
        wanted[resource.RLIMIT_NPROC] = 4 * limits["processes"]
    for kind, value in wanted.items():
        _, most = resource.getrlimit(kind)
        most = value if most == resource.RLIM_INFINITY else min(value, most)
        try:
            resource.setrlimit(kind, (most, most))
        except (ValueError, OSError):
            continue  # macOS knows RLIMIT_AS and does not take it


class Cut:
    """Cuts what a kernel tells to what is kept anyway, so that 100 MB of output never leave it.

    Args:
        most: Characters of text of one call.
        most_picture: Bytes of one picture.
    """

    def __init__(self, most: int, most_picture: int) -> None:
        self._most = most
        self._most_picture = most_picture
        self._left = 0
        self._shows = 0
        self.begin()

    def begin(self) -> None:
        """A new call: it may tell as much as any."""
        # One character more than is kept: whoever reads it knows that there was more.
        self._left = self._most + 1
        self._shows = _MOST_SHOWS

    def lets_pass(self, kind: str) -> bool:
        """Whether a message of this kind has to be told at all."""
        if kind == "stream":
            return self._left > 0
        return kind not in _NEVER and (kind not in _SHOWS or self._shows >= 0)

    def content(self, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """The content of a message, with what may still be told, in characters that a message can carry.

        Where others were replaced, it says so: ``"replaced": True``.
        """
        kept = self._kept(kind, content)
        sent = shown(kept)
        return sent if sent == kept else {**sent, "replaced": True}

    def _kept(self, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        if kind == "stream":
            return {**content, "text": self._text(content["text"])}
        if kind in _SHOWS:
            self._shows -= 1
            if self._shows < 0:
                return {**content, "data": {"text/plain": f"[Only the first {_MOST_SHOWS} values were kept.]"}}
            data = content["data"]
            return {"data": {name: self._value(name, data[name]) for name in _TYPES if name in data}, "metadata": {}}
        if kind in ("error", "execute_reply"):
            short = {"evalue": str(content.get("evalue", ""))[: self._most], "payload": [], "user_expressions": {}}
            lines = [str(line)[-self._most :] for line in content.get("traceback", [])[-20:]]
            return {**content, **short, "traceback": lines if kind == "error" else []}
        return content

    def _value(self, name: str, value: Any) -> Any:
        value = str(value)  # whoever shows something raw may show anything
        if name == "text/plain":
            return self._text(value)
        return value if len(value) <= self._most_picture * 4 // 3 + 4 else ""

    def _text(self, text: str) -> str:
        kept = text[: self._left]
        self._left -= len(kept)
        return kept


def shown(value: Any) -> Any:
    r"""A value of JSON whose texts have only what can be sent and kept: half characters and zeros are replaced.

    >>> shown({"text": ["a\ud800b", "\ud83d\ude00", "\0"]}) == {"text": ["a\ufffdb", "\U0001f600", "\ufffd"]}
    True
    """
    if isinstance(value, str):
        if not _UNSHOWN.search(value):
            return value
        whole = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return whole.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, dict):
        return {shown(key): shown(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [shown(part) for part in value]
    return value


class Buffer(io.BufferedIOBase):
    """What programs look for as ``sys.stdout.buffer``: bytes that are written to it are written as text.

    Args:
        write: Takes the text.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, data: Any, /) -> int:
        """Write bytes; how many they were."""
        sent = bytes(data)
        self._write(self._decoder.decode(sent))
        return len(sent)


def _serve(connection_file: str, most: int, most_picture: int) -> None:
    import jupyter_client.session as sessions
    from ipykernel.kernelapp import IPKernelApp

    cut = Cut(most, most_picture)
    send, serialize = sessions.Session.send, sessions.Session.serialize

    def send_cut(self: Any, stream: Any, msg_or_type: Any, *args: Any, **more: Any) -> Any:
        kind = msg_or_type["header"]["msg_type"] if isinstance(msg_or_type, dict) else msg_or_type
        return send(self, stream, msg_or_type, *args, **more) if cut.lets_pass(kind) else None

    def serialize_cut(self: Any, msg: dict[str, Any], ident: Any = None) -> Any:
        return serialize(self, {**msg, "content": cut.content(msg["header"]["msg_type"], msg["content"])}, ident)

    sessions.Session.send = send_cut  # type: ignore[method-assign]
    sessions.Session.serialize = serialize_cut  # type: ignore[method-assign]
    options = {
        "HistoryManager.enabled": "False",
        "HistoryManager.hist_file": ":memory:",
        "InteractiveShell.xmode": "Plain",
        "InteractiveShell.cache_size": "0",
        "InteractiveShell.colors": "nocolor",
        "Session.copy_threshold": "1073741824",
    }
    app: Any = IPKernelApp.instance()
    app.initialize([f"--f={connection_file}", *(f"--{name}={value}" for name, value in options.items())])
    app.shell.ask_exit = lambda: None  # to leave is no way to end a conversation; the variables stay
    warnings.filterwarnings("ignore", message="To exit: use")
    app.shell.events.register("pre_execute", cut.begin)
    # Before the next call begins, as the streams are told then whom they speak to.
    app.shell.events.register("post_execute", _streams())
    app.start()


def _streams() -> Callable[[], None]:
    """What gives each call the output streams that are heard, whatever an earlier one did to them."""
    out, error = sys.stdout, sys.stderr
    for stream in (out, error):
        with suppress(AttributeError):
            stream.buffer = Buffer(stream.write)  # type: ignore[misc]  # a kernel's streams have none
        # They repeat what programs write to the file of complaints, which has no room for all of it.
        if isinstance(copy := getattr(stream, "_original_stdstream_copy", None), int):
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, copy)
            os.close(nothing)

    def restore() -> None:
        sys.stdout, sys.stderr = out, error

    return restore


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
