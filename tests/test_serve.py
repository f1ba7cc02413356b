"""``dashnb serve``, in a process of its own and, where it does not get as far as listening, in this one."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from dashnb import cli
from scripted import names, parse, path_of

SLOW_PACE = "400"


@dataclass
class Served:
    """A server in a process of its own.

    Attributes:
        process: The process.
        greeting: What it printed, up to the line about the token's file.
        base_url: Where it says it is.
        token: What it says the token is.
    """

    process: subprocess.Popen[str]
    greeting: str
    base_url: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    def end(self, number: int) -> tuple[int, str]:
        """Its exit status after a signal, and what else it printed."""
        self.process.send_signal(number)
        rest, complaints = self.process.communicate(timeout=10)
        return self.process.returncode, rest + complaints


@contextmanager
def served(*arguments: str, pace: str = "0") -> Iterator[Served]:
    command = [sys.executable, "-m", "dashnb.cli", "serve", "--port", "0", *arguments]
    environment = {**os.environ, "DASHNB_PACE": pace}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            greeting = ""
            while "is kept in" not in greeting:
                line = process.stdout.readline()
                assert line, process.communicate()[1]
                greeting += line
            url, token = (
                re.findall(rf"export {name}=(.*)", greeting)[0]
                for name in ("DASHSCOPE_HTTP_BASE_URL", "DASHSCOPE_API_KEY")
            )
            yield Served(process, greeting, url, token)
        finally:
            process.kill()


def begin(server: Served, client: httpx.Client) -> str:
    """The path at which a run on a new thread can be begun."""
    thread = client.post("/threads", json={"messages": [{"role": "user", "content": "What is 999 × 998?"}]})
    return f"/threads/{thread.json()['id']}/runs"


def test_what_it_prints_is_all_that_a_client_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served("--database", ":memory:") as server:
        assert server.greeting.count(server.token) == 1
        assert f'dashscope.base_http_api_url = "{server.base_url}"' in server.greeting
        assert f"%assistant connect {server.base_url}" in server.greeting
        monkeypatch.setenv("DASHSCOPE_API_KEY", server.token)
        asked = [sys.executable, "-m", "dashnb.cli", "ask", "What is 999 × 998?", "--connect", server.base_url]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=30)
        assert (done.returncode, done.stderr) == (0, "")
        assert "997002" in done.stdout
        monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-wrong")
        assert cli.main(["ask", "hi", "--connect", server.base_url]) == 1
        assert server.end(signal.SIGINT) == (130, "dashnb: stopped.\n")


def test_the_token_stays_the_same_and_is_printed_only_when_it_is_new(tmp_path: Path) -> None:
    file = tmp_path / "data" / "serve.token"
    with served("--database", ":memory:") as first:
        assert first.token == file.read_text().strip()
        if os.name == "posix":
            assert file.stat().st_mode & 0o777 == 0o600
    with served("--database", ":memory:") as second:
        assert first.token not in second.greeting
        assert second.token == f"$(cat {file})"
        assert httpx.get(f"{second.base_url}/assistants", headers=first.headers).status_code == 200


def test_a_token_file_can_be_named(tmp_path: Path) -> None:
    file = tmp_path / "my token"
    file.touch(mode=0o600)
    file.write_text("sk-mine\n")
    with served("--database", ":memory:", "--token-file", str(file), "--host", "0.0.0.0") as server:
        assert server.base_url.startswith("http://127.0.0.1:")
        assert server.token == f"$(cat '{file}')"
        answer = httpx.get(f"{server.base_url}/assistants", headers={"authorization": "Bearer sk-mine"})
        assert answer.status_code == 200


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_stopped_it_ends_the_run_and_tells_its_reader(tmp_path: Path, number: int, status: int) -> None:
    database = str(tmp_path / "a.db")
    with served("--database", database, pace=SLOW_PACE) as server:
        with httpx.Client(base_url=server.base_url, headers=server.headers) as client:
            assistant = client.post("/assistants", json={"model": "qwen-max"}).json()["id"]
            body = {"assistant_id": assistant, "stream": True}
            with client.stream("POST", begin(server, client), json=body) as response:
                events = parse(response.iter_bytes())
                seen = [next(events)]
                while seen[-1][0] != "thread.message.delta":
                    seen.append(next(events))
                server.process.send_signal(number)
                seen += events
        rest, complaints = server.process.communicate(timeout=10)
        assert server.process.returncode == status
        assert "Traceback" not in rest + complaints
    assert names(seen)[-2:] == ["thread.run.failed", "done"]
    with served("--database", database) as again:
        token = (tmp_path / "data" / "serve.token").read_text().strip()
        run = httpx.get(again.base_url + path_of(seen), headers={"authorization": f"Bearer {token}"}).json()
    assert (run["status"], run["last_error"]["code"]) == ("failed", "server_stopped")


def test_requests_are_logged_only_if_that_is_asked_for() -> None:
    for arguments, logged in (((), False), (("--verbose",), True)):
        with served("--database", ":memory:", *arguments) as server:
            httpx.get(f"{server.base_url}/assistants", headers={"authorization": "Bearer sk-canary"})
            status, rest = server.end(signal.SIGTERM)
        assert status == 0
        assert ("GET /api/v1/assistants" in rest) is logged
        assert "sk-canary" not in rest
        assert server.token not in rest


def test_a_log_repeats_no_key_and_nothing_that_a_terminal_obeys() -> None:
    with served("--database", ":memory:", "--verbose") as server:
        httpx.get(f"{server.base_url}/%1b%5b2J%0aforged?api_key=abcd1234&token={server.token}")
        _, rest = server.end(signal.SIGTERM)
    (line,) = [line for line in rest.splitlines() if "forged" in line]
    assert "GET /api/v1/" in line
    assert "?api_key=********&token=********" in line
    assert "\x1b" not in rest


def test_without_a_token_file_it_listens_to_this_machine_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.main(["serve", "--host", "0.0.0.0", "--port", "0"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "can be reached from other machines" in line
    assert "--token-file FILE" in line
    assert not (tmp_path / "data").exists()


def test_a_port_that_is_taken_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.main(["serve", "--port", str(port), "--database", ":memory:"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"port {port}: address already in use. Name another port with --port" in line


@pytest.mark.skipif(os.name != "posix", reason="there are no such modes")
def test_a_token_file_that_others_can_read_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "token"
    file.write_text("sk-canary")
    file.chmod(0o644)
    assert cli.main(["serve", "--token-file", str(file)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "other users" in line
    assert "chmod 600" in line
    assert "sk-canary" not in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "70000"], "no port 70000"),
        (["--host", "nowhere.invalid"], "no host 'nowhere.invalid'"),
        (["--engine", "gpt"], "no engine 'gpt'"),
    ],
)
def test_what_cannot_be_served_is_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", "--database", ":memory:", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
