"""The program between a server and a kernel: it starts the kernel, and ends everything that the kernel began.

    server ── standard input ──▶ keeper ──▶ kernel ──▶ whatever its code starts

It is run as a file, ``python kernel_keeper.py FOLDER SERVER COMMAND``. A server that is killed has no time to end
anything; its end of the pipe closes all the same. Then, or when the kernel has ended, the keeper kills all that is
left below it: processes that have detached themselves become its own children, as it is their subreaper. It has no
other task and no memory of its own to speak of, and takes no signal but those that cannot be refused. Should it
be killed itself, the kernel dies with it, and the server ends the rest.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
from contextlib import suppress
from pathlib import Path

INTERRUPT = b"i"  # what the server writes to have the code interrupted
_INPUT = 0
_LOOK_MS = 1000
_LINUX = sys.platform.startswith("linux")
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_NEEDED = {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGCONT}


def main(folder: Path, server: int, command: list[str]) -> None:
    """Keep a kernel until it ends or its server does; then end as the kernel did.

    Args:
        folder: The kernel's folder, which is removed if the server is gone.
        server: The process that started this one.
        command: What starts the kernel.
    """
    from dashnb.local.plugins.kernel_folder import remove
    from dashnb.local.plugins.processes import end_all

    _refuse_signals()
    if _LINUX:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        # Code may have stopped this process; the end of the server wakes it up.
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGCONT, 0, 0, 0)
    changes = _watch_children()
    kernel = _start(folder, command)
    status = _keep(kernel, server, changes)
    end_all(os.getpid() if _LINUX else kernel)
    if status is None:
        remove(folder)
        os._exit(0)
    _end_like(status)


def _keep(kernel: int, server: int, changes: int) -> int | None:
    """The status with which the kernel ended; None if the server is gone."""
    waiting = select.poll()
    waiting.register(_INPUT, select.POLLIN)
    waiting.register(changes, select.POLLIN)
    while True:
        waiting.poll(_LOOK_MS)
        with suppress(BlockingIOError):
            os.read(changes, 4096)
        if (status := _reap(kernel)) is not None:
            return status
        with suppress(BlockingIOError):
            told = os.read(_INPUT, 4096)
            if not told:
                return None
            if INTERRUPT in told:
                with suppress(OSError):
                    os.killpg(kernel, signal.SIGINT)
        # The server's end of the pipe may live on in a fork of the server.
        if os.getppid() != server:
            return None


def _reap(kernel: int) -> int | None:
    """The status of the kernel if it has ended; all others that have ended are taken note of too."""
    found = None
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == kernel:
                found = status
    return found


def _refuse_signals() -> None:
    for number in signal.valid_signals() - _NEEDED:
        with suppress(OSError, ValueError):  # some are the system's own
            signal.signal(number, signal.SIG_IGN)


def _watch_children() -> int:
    """What becomes readable when a child has ended."""
    out, into = os.pipe()
    for end in (_INPUT, out, into):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(into, warn_on_full_buffer=False)
    return out


def _start(folder: Path, command: list[str]) -> int:
    keeper = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        # A session of its own: what it sends to its group does not reach the keeper.
        os.setsid()
        for number in signal.valid_signals() - _NEEDED | {signal.SIGCHLD}:
            with suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, _INPUT)
        os.chdir(folder / "work")
        os.execve(command[0], command, {**os.environ, "JPY_PARENT_PID": str(keeper)})
    except OSError as error:
        os.write(2, f"the kernel could not start: {error}\n".encode(errors="replace"))
    finally:
        os._exit(127)


def _end_like(status: int) -> None:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) % 256)


if __name__ == "__main__":
    # The package that this file belongs to, wherever the server found it.
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    main(Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
