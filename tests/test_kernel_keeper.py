"""Kill -9 of the server, of the keeper, or of anything else: nothing that the code interpreter began lives on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pytest

from dashnb.local.leases import new_owner
from dashnb.local.models.guide import GuideEngine
from dashnb.local.plugins import PluginError, kernel_folder
from dashnb.local.plugins.code_interpreter import CodeInterpreter
from dashnb.local.plugins.processes import Limits, living_in
from dashnb.local.service import LocalService

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc"),
]

# A server that runs one piece of code, says where its kernel lives, and waits to be killed.
SERVER = """
import asyncio, json, os, sys
from pathlib import Path
from dashnb.local.plugins.code_interpreter import CodeInterpreter

async def main():
    plugin = CodeInterpreter(lambda: Path("/nowhere"))
    async def run(code):
        return await plugin.call(json.dumps({"code": code}), {}, thread_id="t")
    print(await run("import os; print(os.getcwd(), os.getpid(), os.getppid())"), flush=True)
    work = asyncio.create_task(run(sys.argv[1]))
    await asyncio.to_thread(sys.stdin.readline)
    exec(sys.argv[2])
    print("ready", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
# What code can do to live on; each tells with a file that it has come so far, and none lives for ever.
BEGIN = "import os, signal, subprocess, sys, time\ndef told(): open('told', 'w').write('x')\n"
CODES = {
    "nothing": "told()",
    "a process": "subprocess.Popen(['sleep', '120'])\ntold()",
    "a process of its own session": "subprocess.Popen(['sleep', '120'], start_new_session=True)\ntold()",
    "running": "told()\nsubprocess.run(['sleep', '120'])",
    "busy": "told()\nend = time.time() + 120\nwhile time.time() < end: pass",
    "a fork": "if os.fork() == 0:\n    told()\n    time.sleep(120)",
    "a daemon": """
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
                try: signal.signal(number, signal.SIG_IGN)
                except (OSError, ValueError): pass
            os.chdir('/')
            os.closerange(0, 3)
            open(%r, 'w').write('x')
            time.sleep(120)
        os._exit(0)
    """,
    "a chain of forks": """
    end = time.time() + 60
    if os.fork() == 0:
        os.setsid()
        told()
        while time.time() < end:
            if os.fork():
                os._exit(0)
            time.sleep(0.002)
        os._exit(0)
    """,
    "a subreaper": """
    import ctypes
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
        if os.fork() == 0:
            if os.fork() == 0:
                os.setsid()
                told()
                time.sleep(120)
            os._exit(0)
        time.sleep(120)
    """,
    "a stopped keeper": """
    subprocess.Popen(['sleep', '120'], start_new_session=True)
    os.kill(os.getppid(), signal.SIGSTOP)
    told()
    """,
    "a keeper that is asked to end": """
    subprocess.Popen(['sleep', '120'], start_new_session=True)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGPIPE):
        os.kill(os.getppid(), number)
    told()
    """,
}


class Served:
    """A server in a process of its own, and the folder and processes of its kernel."""

    def __init__(self, code: str, before: str, temp: Path) -> None:
        environ = {**os.environ, "TMPDIR": str(temp)}
        self.server = subprocess.Popen(
            [sys.executable, "-c", SERVER, code, before],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ,
        )
        assert self.server.stdout is not None
        assert self.server.stdin is not None
        try:
            self._begin(self.server.stdin, self.server.stdout)
        except BaseException:
            self.server.kill()
            self.server.communicate()
            raise

    def _begin(self, into: IO[str], out: IO[str]) -> None:
        work, kernel, keeper = out.readline().split()
        self.folder = Path(work).parent
        self.kernel, self.keeper = int(kernel), int(keeper)
        wait_for((self.folder / "work" / "told").exists)
        into.write("\n")
        into.flush()
        assert out.readline() == "ready\n"
        self.living = living_in(self.folder)

    @property
    def left(self) -> set[int]:
        """The processes that still live."""
        return {pid for pid, start in (self.living | living_in(self.folder)).items() if started(pid) == start}


def started(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return -1
    return -1 if fields[0] in (b"Z", b"X") else int(fields[19])


def wait_for(found: Callable[[], object], seconds: float = 15) -> None:
    until = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < until
        time.sleep(0.02)


@contextmanager
def served(code: str, temp: Path, *, before: str = "") -> Iterator[Served]:
    one = Served(BEGIN + textwrap.dedent(code), before, temp)
    try:
        yield one
    finally:
        one.server.kill()
        one.server.communicate()
        for pid in one.left:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def temp(tmp_path: Path) -> Iterator[Path]:
    # Of a short name, as the address of a socket is.
    place = Path("/tmp") / f"k{os.getpid()}{tmp_path.name[-1]}"
    place.mkdir()
    yield place
    kernel_folder.remove(place)


# --- kill -9 of the server -----------------------------------------------------------------------


@pytest.mark.parametrize("name", CODES)
def test_kill_9_of_the_server_ends_all_that_its_code_began_and_removes_the_folder(name: str, temp: Path) -> None:
    code = CODES[name]
    if "%r" in code:
        # Its own folder is not its working directory any more, so the path must be whole.
        code = f"place = os.path.abspath('told')\n{textwrap.dedent(code)}".replace("%r", "place")
    with served(code, temp) as one:
        assert {one.kernel, one.keeper} <= one.living.keys()
        one.server.kill()
        wait_for(lambda: not one.left)
        wait_for(lambda: not one.folder.exists())
    assert list(temp.iterdir()) == []


def test_a_fork_of_the_server_does_not_keep_its_kernel_alive(temp: Path) -> None:
    # What `multiprocessing` does: the copy has the server's end of every pipe.
    before = "import time\nif os.fork() == 0:\n    time.sleep(5)\n    os._exit(0)"
    with served(CODES["a process"], temp, before=before) as one:
        os.kill(one.server.pid, signal.SIGKILL)
        wait_for(lambda: not one.left, 4)
        wait_for(lambda: not one.folder.exists())


def test_what_was_left_with_its_keeper_killed_too_goes_at_the_next_start(temp: Path) -> None:
    with served("subprocess.Popen(['sleep', '120'], start_new_session=True)\ntold()", temp) as one:
        one.server.send_signal(signal.SIGSTOP)
        os.kill(one.keeper, signal.SIGKILL)
        one.server.kill()
        one.server.wait()
        wait_for(lambda: started(one.kernel) == -1)
        assert one.folder.exists()
        assert len(one.left) == 1
        program = (
            "from dashnb.local.models.guide import GuideEngine\nfrom dashnb.local.service import LocalService\n"
            "LocalService(':memory:', GuideEngine()).close()"
        )
        subprocess.run([sys.executable, "-c", program], env={**os.environ, "TMPDIR": str(temp)}, check=True, timeout=60)
        assert one.left == set()
        assert not one.folder.exists()


# --- the server lives ----------------------------------------------------------------------------


def interpreted(code: str, *, limits: Limits | None = None) -> tuple[str, list[int], Path]:
    """What a call said, the processes of its kernel and of earlier code that are left, and its folder."""

    async def main() -> tuple[str, dict[int, int], Path]:
        plugin = CodeInterpreter(lambda: Path("/nowhere"), limits=limits)

        async def run(code: str) -> str:
            return await plugin.call(json.dumps({"code": BEGIN + textwrap.dedent(code)}), {}, thread_id="t")

        try:
            begun = "subprocess.Popen(['sleep', '120'], start_new_session=True)\nprint(os.getcwd())"
            folder = Path(await run(begun)).parent
            living = living_in(folder)
            assert len(living) == 3  # keeper, kernel, sleep
            try:
                said = await run(code)
            except PluginError as error:
                said = str(error)
        finally:
            await plugin.aclose()
        return said, living | living_in(folder), folder

    said, living, folder = asyncio.run(main())
    return said, [pid for pid, start in living.items() if started(pid) == start], folder


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("os.kill(os.getppid(), signal.SIGTERM)\nprint('here')", "here"),
        ("os.kill(os.getppid(), signal.SIGINT)\nprint('here')", "here"),
        ("os.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(10)", "signal 9"),
        ("os.kill(os.getppid(), signal.SIGSTOP)\nprint('here')", "here"),
        ("os.killpg(0, signal.SIGKILL)", "signal 9"),
        ("os.kill(os.getpid(), signal.SIGSEGV)\ntime.sleep(10)", "signal 11"),
        ("os._exit(7)", "exit code 7"),
        ("os.abort()", "signal 6"),
    ],
)
def test_whatever_code_does_to_its_keeper_nothing_of_it_is_left(code: str, said: str) -> None:
    answer, left, folder = interpreted(code)
    assert said in answer
    assert left == []
    assert not folder.exists()


def test_a_call_that_is_out_of_time_leaves_no_process_when_it_ignores_the_interrupt() -> None:
    code = """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
    time.sleep(60)
    """
    answer, left, folder = interpreted(code, limits=Limits(seconds=1))
    assert "could not be interrupted" in answer
    assert left == []
    assert not folder.exists()


def test_an_interrupt_reaches_the_processes_that_the_code_waits_for() -> None:
    answer, _, _ = interpreted("subprocess.run(['sleep', '60'])", limits=Limits(seconds=1))
    assert "KeyboardInterrupt" in answer
    assert "The variables are kept" in answer


# --- folders -------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(kernel_folder, "_SHORT", str(tmp_path))
    monkeypatch.setattr(kernel_folder, "_LONGEST", 1000)
    return tmp_path


def dead() -> str:
    where, pid, _, rest = new_owner().rsplit(" ", 3)
    return f"{where} {pid} 1 {rest}"


def test_a_folder_goes_when_its_owner_is_dead_and_stays_as_long_as_it_lives(place: Path) -> None:
    mine, left = kernel_folder.make(), kernel_folder.make()
    (left / "owner").write_text(dead())
    assert kernel_folder.sweep() == [left]
    assert [path.name for path in place.iterdir()] == [mine.name]
    LocalService(":memory:", GuideEngine()).close()
    assert mine.exists()


def test_a_full_disk_in_the_place_of_folders_keeps_nobody_from_asking(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = kernel_folder.make()
    (left / "owner").write_text(dead())

    def full() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("tempfile.gettempdir", full)
    LocalService(":memory:", GuideEngine()).close()
    assert not left.exists()


def test_what_is_no_folder_of_a_kernel_is_never_touched(place: Path) -> None:
    theirs = place / "theirs"
    theirs.mkdir()
    (theirs / "owner").write_text(dead())
    (place / "dashnb-link").symlink_to(theirs)
    (place / "dashnb-none").mkdir()
    (place / "dashnb-file").write_text(dead())
    odd = {"empty": b"", "pipe": None, "bytes": b"\xff\xfe", "other": b"another-machine 1 1 x", "large": b"x" * 5000}
    for name, owner in odd.items():
        (place / f"dashnb-{name}").mkdir()
        if owner is None:
            os.mkfifo(place / f"dashnb-{name}" / "owner")
        else:
            (place / f"dashnb-{name}" / "owner").write_bytes(owner)
    (place / "dashnb-linked").mkdir()
    (place / "dashnb-linked" / "owner").symlink_to(theirs / "owner")
    before = sorted(place.rglob("*"))
    assert kernel_folder.sweep() == []
    assert sorted(place.rglob("*")) == before


def test_a_folder_that_code_closed_is_removed_and_nothing_behind_its_links(place: Path) -> None:
    outside = place / "outside"
    outside.mkdir(mode=0o500)
    (outside / "kept.txt").write_text("kept")
    folder = kernel_folder.make()
    deep = folder / "work" / "deep"
    deep.mkdir()
    (deep / "a.txt").write_text("x")
    (folder / "work" / "link").symlink_to(outside)
    deep.chmod(0)
    (folder / "work").chmod(0o500)
    kernel_folder.remove(folder)
    assert not folder.exists()
    assert (outside / "kept.txt").read_text() == "kept"
    assert outside.stat().st_mode & 0o777 == 0o500


def test_a_folder_is_open_to_its_owner_only_and_says_who_that_is(place: Path) -> None:
    folder = kernel_folder.make()
    assert folder.stat().st_mode & 0o777 == 0o700
    parts: dict[str, Any] = {path.name: path for path in folder.iterdir()}
    assert sorted(parts) == ["home", "owner", "run", "tmp", "work"]
    assert f" {os.getpid()} " in parts["owner"].read_text()
