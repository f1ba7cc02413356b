"""The command line, in this process and, where it matters, in one of its own."""

from __future__ import annotations

import http.server
import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import dashnb
from dashnb import cli, doctor, tutorials
from dashnb.errors import ConfigurationError
from dashnb.local.plugins.registry import read_registry

TRANSCRIPTS = Path(__file__).parent / "transcripts"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHNB_PACE", "0")


@pytest.fixture
def refusing_server() -> Iterator[str]:
    """A stand-in for the cloud service that knows no key."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.dumps(
                {"code": "InvalidApiKey", "message": "Invalid API-key provided.", "request_id": "req-123"}
            ).encode()
            self.send_response(401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/api/v1"
        server.shutdown()
        thread.join()


def test_ask_prints_the_answer_and_exits_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ask", "What is 999 × 998?"]) == 0
    assert "997002" in capsys.readouterr().out


def test_ask_prints_the_answer_as_it_streams() -> None:
    environment = {**os.environ, "DASHNB_PACE": "60"}
    command = [sys.executable, "-m", "dashnb.cli", "ask", "What is 999 × 998?"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        pieces = list(iter(lambda: os.read(process.stdout.fileno(), 4096), b""))
    assert process.returncode == 0
    assert "999 multiplied by 998 equals 997002." in b"".join(pieces).decode()
    assert len(pieces) > 5


def test_ask_reads_the_question_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("999乘以998等于多少?\n"))
    assert cli.main(["ask", "-"]) == 0
    assert "997002" in capsys.readouterr().out


def test_ask_goes_on_with_a_thread_and_uses_tools(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ask", "What is the weather in Beijing today?", "-t", "quark_search"]) == 0
    shown = capsys.readouterr().out
    assert "quark_search" in shown
    assert "24 °C" in shown
    thread_id = dashnb.history.runs()["thread_id"][0]
    assert cli.main(["ask", "What is 2 + 3?", "--thread", str(thread_id)]) == 0
    assert dashnb.history.runs()["thread_id"] == [thread_id, thread_id]


def test_a_wrong_key_is_one_line_with_code_request_id_and_remedy(
    refusing_server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-wrong-canary")
    assert cli.main(["ask", "What is 999 × 998?", "--connect", refusing_server]) == 1
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert "InvalidApiKey" in line
    assert "req-123" in line
    assert "Check DASHSCOPE_API_KEY" in line
    assert "canary" not in shown.out + shown.err


def test_a_service_that_cannot_be_reached_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ask", "hello", "--connect", "http://127.0.0.1:9/api/v1"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be reached" in line
    assert "connect local" in line


def test_a_run_that_fails_exits_with_1_and_keeps_what_arrived(capsys: pytest.CaptureFixture[str]) -> None:
    engine = f"replay:{TRANSCRIPTS / 'submit-tool-outputs.sse'}"
    assert cli.main(["ask", "hello", "--engine", engine, "--database", ":memory:"]) == 1
    shown = capsys.readouterr()
    assert "get_current_weather" in shown.out
    assert len(shown.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ask", "  "], "There is no question"),
        (["ask", "hi", "--engine", "gpt"], "There is no engine 'gpt'"),
        (["ask", "hi", "--engine", "replay:/nowhere.sse"], "cannot be read"),
        (["ask", "hi", "--connect", "moon"], "Cannot connect to 'moon'"),
        (["ask", "hi", "--connect", "cloud"], "needs a key"),
        (["ask", "hi", "--thread", "thread_x"], "NotFound"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.parametrize("arguments", [[], ["sing"], ["ask", "hi", "--loud"]])
def test_bad_arguments_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "usage: dashnb" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--\x1b[2J\u202e\n"], ["ask", "--\x1b[2J\r"], ["serve", "--port", "\x1b[2J"]])
def test_bad_arguments_are_repeated_without_what_a_terminal_obeys(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(arguments)
    assert not re.search("[\x1b\r\u202e]", capsys.readouterr().err)


def test_doctor_finds_everything_well_on_a_fresh_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "997002" in shown
    assert "no key is set" in shown


def test_doctor_says_what_to_do_and_exits_with_1(
    refusing_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("DASHNB_DATA_DIR", str(tmp_path / "file"))
    monkeypatch.setenv("DASHSCOPE_HTTP_BASE_URL", refusing_server)
    assert cli.main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert re.search(r"!!  data folder.*\n +→ set DASHNB_DATA_DIR", shown)
    assert "DASHSCOPE_HTTP_BASE_URL says so" in shown


def test_doctor_opens_what_is_kept_and_makes_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["doctor"]) == 0
    assert not (tmp_path / "data").exists()
    assert cli.main(["ask", "What is 2 + 3?"]) == 0
    (tmp_path / "cats.md").write_text("# Cats\n\nThey sleep.")
    assert cli.main(["docs", "add", str(tmp_path / "cats.md")]) == 0
    capsys.readouterr()
    assert cli.main(["doctor"]) == 0
    shown = capsys.readouterr().out
    for said in ("assistant.db (1 threads)", "ledger.db (1 runs)", "documents.db (1 documents)"):
        assert said in shown


@pytest.mark.parametrize(("subject", "name"), [("database", "assistant.db"), ("ledger", "ledger.db")])
@pytest.mark.parametrize("spoil", ["damaged deep inside", "no database", "a pipe"])
def test_doctor_says_what_is_wrong_with_a_file_and_what_to_do(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, subject: str, name: str, spoil: str
) -> None:
    assert cli.main(["ask", "What is 2 + 3?"]) == 0
    file = tmp_path / "data" / name
    content = file.read_bytes()
    if spoil == "damaged deep inside":
        file.write_bytes(content[:-4096] + b"\xff" * 4096)
    elif spoil == "no database":
        file.write_bytes(b"a letter")
    else:
        file.unlink()
        os.mkfifo(file)
    capsys.readouterr()
    assert cli.main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert re.search(rf"!!  {subject} .*{name} cannot be used: .*\n +→ \w", shown)
    assert ("DASHNB_DATABASE" if subject == "database" else "DASHNB_LEDGER=off") in shown


def test_doctor_looks_at_the_database_that_the_settings_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "mine.db").write_bytes(b"a letter")
    assert cli.main(["doctor", "--database", str(tmp_path / "mine.db")]) == 1
    assert "mine.db cannot be used: the file is not a database" in capsys.readouterr().out
    assert cli.main(["doctor", "--database", ":memory:"]) == 0
    assert "in memory" in capsys.readouterr().out
    assert cli.main(["doctor", "--database", "nonsense://ann:canary@host/db"]) == 1
    assert "canary" not in capsys.readouterr().out


def test_doctor_reports_a_missing_package_with_the_command_that_installs_it() -> None:
    finding = doctor._package("JupyterLab", "no_such_package", "lab")
    assert (finding.good, finding.remedy) == (False, 'pip install "dashnb[lab]"')


def test_the_tutorials_are_copied_once_and_never_overwritten(tmp_path: Path) -> None:
    copied = tutorials.copy(tmp_path / "mine")
    assert [path.name for path in copied] == [path.name for path in sorted(tutorials.source().glob("*.ipynb"))]
    copied[0].write_text("my own notes")
    copied[1].unlink()
    assert tutorials.copy(tmp_path / "mine") == [copied[1]]
    assert copied[0].read_text() == "my own notes"


def test_a_folder_that_cannot_be_written_to_is_said_clearly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="--folder"):
        tutorials.copy(tmp_path / "file" / "mine")


def test_lab_passes_its_options_on_and_hands_its_status_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[list[str]] = []

    def record(command: list[str], *, check: bool, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        seen.append(command)
        assert Path(env["JUPYTER_CONFIG_PATH"], "labconfig", "page_config.json").exists()
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(subprocess, "run", record)
    assert cli.main(["lab", "--folder", str(tmp_path), "--no-browser", "--port", "8890"]) == 3
    (command,) = seen
    assert command[1:7] == ["-m", "jupyterlab", str(tmp_path), "--no-browser", "--port", "8890"]
    assert str(tmp_path) in capsys.readouterr().out


def test_the_command_is_installed_and_knows_its_version() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("dashnb"), "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"dashnb {dashnb.__version__}"


# documents and plugins


def test_docs_are_added_listed_found_and_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "x1.md").write_text("# Bailian X1\n\nThe Bailian X1 weighs 190 grams.")
    (folder / "photo.png").write_bytes(b"\x89PNG")
    assert cli.main(["docs", "list"]) == 0
    assert "There are no documents" in capsys.readouterr().out
    assert cli.main(["docs", "add", str(folder), "--collection", "phones"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Added 1 document with 1 passage to the collection phones.",
        "Left out, as 1 file is of another type: photo.png.",
    ]
    assert cli.main(["docs", "list"]) == 0
    assert capsys.readouterr().out.split() == ["phones", "x1.md", "1", "passages", str(folder / "x1.md")]
    assert cli.main(["ask", "How many grams does the Bailian X1 weigh?", "-t", "rag"]) == 0
    assert "190 grams" in capsys.readouterr().out
    assert cli.main(["docs", "remove", "x1.md"]) == 0
    assert capsys.readouterr().out == "Removed x1.md from the collection phones.\n"
    assert cli.main(["docs", "remove", "x1.md"]) == 1
    assert "no document 'x1.md'" in capsys.readouterr().err


def test_docs_that_cannot_be_read_are_named_and_the_others_added(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("Cats sleep.")
    (tmp_path / "b.pdf").write_bytes(b"%PDF")
    paths = [str(tmp_path / name) for name in ("a.txt", "b.pdf", "c.txt")]
    assert cli.main(["docs", "add", *paths]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Added 1 document with 1 passage to the collection default."
    assert "b.pdf is of no type that can be read" in lines[1]
    assert "c.txt cannot be read" in lines[2]


def test_adding_many_docs_shows_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(3):
        (tmp_path / f"{n}.txt").write_text("Cats sleep.")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert cli.main(["docs", "add", *(str(tmp_path / f"{n}.txt") for n in range(3))]) == 0
    shown = capsys.readouterr()
    assert "2 of 3: 1.txt" in shown.err
    assert shown.err.endswith("\r\x1b[K")
    assert "3 documents" in shown.out


def test_plugins_are_added_listed_and_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema = tmp_path / "stock.json"
    schema.write_text('{"type": "object"}')
    add = ["plugins", "add", "stock_level", "https://shop.example/stock", "--schema", str(schema)]
    assert cli.main(["plugins", "list"]) == 0
    assert "There are no plugins" in capsys.readouterr().out
    assert cli.main([*add, "--description", "What is there"]) == 0
    said, definition = capsys.readouterr().out.splitlines()
    assert said == "Added stock_level. The tool for an assistant:"
    assert json.loads(definition) == {
        "type": "stock_level",
        "description": "What is there",
        "parameters": {"type": "object"},
    }
    assert cli.main(["plugins", "list"]) == 0
    assert capsys.readouterr().out == "stock_level  https://shop.example/stock  What is there\n"
    assert cli.main(["plugins", "remove", "stock_level"]) == 0
    assert capsys.readouterr().out == "Removed stock_level.\n"
    assert cli.main(["plugins", "remove", "stock_level"]) == 1
    add[2] = "calculator"
    assert cli.main(add) == 1
    assert "is a built-in tool" in capsys.readouterr().err


# --- what comes from outside ---------------------------------------------------------------------

EVIL = "\x1b]0;PWNED\x07\x1b[2J\x9b31m\u202etxt\u200b"
ACTIVE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2028\u2066-\u2069]")


@pytest.mark.skipif(sys.platform == "win32", reason="such names are no files there")
def test_a_name_of_a_file_forges_no_line_and_moves_no_cursor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / f"n{EVIL}\nRemoved.md").write_text("# Title\nwords")
    (folder / f"n{EVIL}.exe").write_text("x")
    (folder / f"empty{EVIL}\nAdded 100 documents.md").write_text("")
    for arguments in (["add", str(folder)], ["list"], ["remove", "default"]):
        cli.main(["docs", *arguments])
        shown = capsys.readouterr()
        assert ACTIVE.search(shown.out + shown.err) is None
        assert "⟨U+001B⟩" in shown.out
        assert not {"Removed.md", "Added 100 documents"} & {line[:19] for line in shown.out.splitlines()}


def test_what_a_plugin_says_of_itself_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text("{}")
    about = f"it is safe{EVIL}\nweather  http://ours/"
    cli.main(["plugins", "add", "evil", "http://127.0.0.1:9/", "--schema", str(schema), "--description", about])
    cli.main(["plugins", "list"])
    shown = capsys.readouterr().out
    assert ACTIVE.search(shown) is None
    assert [line for line in shown.splitlines() if line.startswith("weather")] == []


def test_a_key_in_the_address_of_a_plugin_is_masked_and_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text("{}")
    cli.main(["plugins", "add", "mine", "http://127.0.0.1:9/x?api_key=canary12", "--schema", str(schema)])
    cli.main(["plugins", "list"])
    assert "http://127.0.0.1:9/x?api_key=********" in (shown := capsys.readouterr().out)
    (plugin,) = read_registry(cli._registry()).values()
    assert "canary12" not in shown + repr(plugin)
    assert plugin.url.endswith("canary12")


def test_a_stream_that_cannot_write_a_character_gets_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    folder = tmp_path / "notes →"
    folder.mkdir()
    (folder / "a.md").write_text("# Title\nwords")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert cli.main(["docs", "add", str(folder)]) == 0
    assert cli.main(["docs", "list"]) == 0
    assert rb"notes \u2192" in written.getvalue()
