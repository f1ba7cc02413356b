"""Commands whose output leads to a full disk, to a reader who left or nowhere, and commands that are stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashnb import cli
from dashnb.history.ledger import Ledger
from dashnb.streams import Output, Streams

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a shell and its redirections are needed")

SECONDS = 90
ASK = "ask 'What is 999 × 998?' --connect local"


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "cats.md").write_text("# Cats\n\nRagdolls are calm.\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DASHNB_", "DASHSCOPE_"))}
    return {**kept, "DASHNB_DATA_DIR": str(tmp_path / "data"), "HOME": str(tmp_path), "DASHNB_PACE": "0"}


def shell(command: str, place: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What a line of a shell says; DASHNB in it stands for the program."""
    program = f"{sys.executable} -W ignore::RuntimeWarning -m dashnb.cli"
    return subprocess.run(
        ["bash", "-c", f"cd {place['HOME']}; {command.replace('DASHNB ', program + ' ')}"],
        env=place,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def recorded(place: dict[str, str]) -> list[tuple[str, bool]]:
    """The runs in the ledger: the status of each, and whether its answer is whole."""
    with Ledger(Path(place["DASHNB_DATA_DIR"]) / "ledger.db") as ledger:
        runs = ledger.runs()
        return [(status, "997002" in text) for status, text in zip(runs["status"], runs["text"], strict=True)]


COMMANDS = {
    "help": "--help",
    "help of a command": "ask --help",
    "version": "--version",
    "ask": ASK,
    "docs add": "docs add docs",
    "docs list": "docs list",
    "plugins list": "plugins list",
    "llm status": "llm status",
    "doctor": "doctor --connect local",
    "replay": "replay c.jsonl",
}


def prepare(command: str, place: dict[str, str]) -> None:
    if command == "replay":
        code = "import dashnb; c = dashnb.connect('local', record='c.jsonl', engine='guide', database=':memory:');"
        code += "s = dashnb.Session(client=c, ledger=None); s.ask('What is 999 × 998?'); c.close()"
        subprocess.run([sys.executable, "-c", code], env=place, cwd=place["HOME"], check=True, timeout=SECONDS)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_or_closed_output_is_one_line_and_no_success(command: str, place: dict[str, str]) -> None:
    prepare(command, place)
    ways = {">&-": "it is closed"}
    if os.path.exists("/dev/full"):
        ways["> /dev/full"] = "no space left on device"
    for way, why in ways.items():
        ran = shell(f"DASHNB {COMMANDS[command]} {way}", place)
        assert ran.returncode == 1, (way, ran)
        assert ran.stderr == f"dashnb: standard output cannot be written: {why}.\n"
        nobody = shell(f"DASHNB {COMMANDS[command]} {way} 2>&-", place)
        assert (nobody.returncode, nobody.stdout, nobody.stderr) == (1, "", "")


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_reader_who_leaves_is_no_failure_to_speak_of(command: str, place: dict[str, str]) -> None:
    prepare(command, place)
    ran = shell(f"(DASHNB {COMMANDS[command]}; echo $? > status) | true; cat status", place)
    # Without a model, its status is 1 to begin with.
    assert ran.stderr == ""
    assert ran.stdout in ("141\n", "1\n" if command == "llm status" else "")
    ran = shell(f"set -o pipefail; DASHNB {COMMANDS[command]} | head -1", place)
    assert (len(ran.stdout.splitlines()), ran.stderr, ran.returncode in (0, 1, 141)) == (1, "", True)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["> /dev/full", ">&-", "| true", "| head -1", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_an_answer_that_nobody_reads_is_kept_whole(way: str, place: dict[str, str]) -> None:
    ran = shell(f"DASHNB {ASK} {way}", place)
    assert "Traceback" not in ran.stderr
    assert recorded(place) == [("completed", True)]


@pytest.mark.slow
def test_what_is_printed_does_not_get_into_a_file_that_took_the_place_of_the_output(place: dict[str, str]) -> None:
    for _ in range(2):
        shell(f"DASHNB {ASK} >&- 2>&- <&-", place)
    assert recorded(place) == [("completed", True)] * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("<&-", "There is no question"),
        ("< /dev/null", "There is no question"),
        ("< bytes", "cannot be read from standard input"),
    ],
)
def test_a_question_that_cannot_be_read_is_one_line(given: str, said: str, place: dict[str, str]) -> None:
    Path(place["HOME"], "bytes").write_bytes(b"\xff\xfe\xfa")
    ran = shell(f"PYTHONUTF8=1 DASHNB ask --connect local {given}", place)
    (line,) = ran.stderr.splitlines()
    assert (ran.returncode, said in line) == (1, True), line


@pytest.mark.slow
def test_an_output_without_the_characters_gets_the_answer_all_the_same(place: dict[str, str]) -> None:
    ran = shell(f"PYTHONIOENCODING=ascii DASHNB {ASK}", place)
    assert (ran.returncode, ran.stderr, "997002" in ran.stdout) == (0, "", True)


def test_a_command_that_fails_with_output_on_its_way_to_a_full_disk_says_both(
    place: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Full())
    assert cli.main(["ask", "hi", "--connect", "moon"]) == 1
    assert "Cannot connect to 'moon'" in capsys.readouterr().err


# --- stopped -------------------------------------------------------------------------------------------


@pytest.fixture
def asking(place: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A command that is in the middle of a long answer."""
    command = [sys.executable, "-m", "dashnb.cli", "ask", "What is 999 × 998?", "--connect", "local"]
    with subprocess.Popen(
        command,
        env={**place, "DASHNB_PACE": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.read(1)
        yield program
        program.kill()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_is_stopped_cancels_its_run_and_says_so_in_a_line(
    number: signal.Signals, status: int, asking: subprocess.Popen[str], place: dict[str, str]
) -> None:
    asking.send_signal(number)
    _, said = asking.communicate(timeout=SECONDS)
    assert (asking.returncode, len(said.splitlines())) == (status, 1), said
    assert said.lower().startswith("dashnb: stopped")
    assert recorded(place) == [("cancelled", False)]


WHILE_IT_SAYS_SO = """
import signal, sys
from dashnb import cli
from dashnb.streams import Output

def strike(_options):
    signal.raise_signal(signal.SIGINT)

def struck(output, text, write=Output.write):
    if "stopped" in text:
        signal.raise_signal(signal.SIGINT)
    return write(output, text)

cli._plugins_list = cli._serve = strike
Output.write = struck
sys.argv = ["dashnb", *sys.argv[1:]]
sys.exit(cli.main())
"""


@pytest.mark.parametrize("command", [["plugins", "list"], ["serve"]])
def test_ctrl_c_while_a_command_says_that_it_was_stopped_makes_no_traceback(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WHILE_IT_SAYS_SO, *command],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    said = "dashnb: stopping; Ctrl-C once more ends at once.\ndashnb: stopped.\n"
    assert (done.returncode, done.stderr) == (130, said)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("pause", [0.0, 0.002, 0.02, 0.1])
def test_a_command_that_is_stopped_again_ends_without_a_traceback(
    number: signal.Signals, pause: float, asking: subprocess.Popen[str]
) -> None:
    for _ in range(4):
        asking.send_signal(number)
        time.sleep(pause)
    _, said = asking.communicate(timeout=SECONDS)
    assert asking.returncode in (130, 143, -number)
    assert "Traceback" not in said
    assert "Exception" not in said


LOST = """
import signal, sys, time, weakref
from dashnb.stopping import stoppable

class Thing: ...

def strike(_reference):
    signal.raise_signal(number)
    time.sleep(0)

number = signal.Signals[sys.argv[1]]
with stoppable():
    thing = Thing()
    reference = weakref.ref(thing, strike)
    try:
        del thing
        time.sleep(30)
    except BaseException as error:
        print(type(error).__name__)
    else:
        print("nothing came")
"""


@pytest.mark.parametrize(("name", "error"), [("SIGINT", "KeyboardInterrupt"), ("SIGTERM", "Terminated")])
def test_a_signal_that_comes_where_python_drops_exceptions_comes_again(name: str, error: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOST, name], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == (f"{error}\n", "", 0)


# --- the pieces ----------------------------------------------------------------------------------------


class Full:
    """A stream on a full disk."""

    def __init__(self) -> None:
        self.tries = 0

    def write(self, text: str) -> int:
        self.tries += 1
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("patient", [False, True])
def test_writing_fails_once_or_not_at_all(patient: bool) -> None:
    output = Output(Full(), patient=patient)  # type: ignore[arg-type] # what is used of it is there
    if patient:
        assert output.write("Hello") == 5
    else:
        with pytest.raises(OSError, match="No space") as caught:
            output.write("Hello")
        assert output.failure is caught.value
    assert output.write("again") == 5
    output.flush()
    assert output.failure is not None
    assert output.failure.errno == 28


def test_streams_are_as_they_were_after_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdin, sys.stdout, sys.stderr, signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with Streams() as streams:
        print("Hello")
        assert streams.status(0) == 0
    assert cli.main(["plugins", "list"]) == 0
    assert (
        sys.stdin,
        sys.stdout,
        sys.stderr,
        signal.getsignal(signal.SIGTERM),
        signal.getsignal(signal.SIGINT),
    ) == before
    assert capsys.readouterr().out.startswith("Hello\n")
