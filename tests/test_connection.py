"""Where dashnb connects is decided once, with a reason; what cannot be opened leaves nothing open."""

from __future__ import annotations

import os
import stat
import sys
import threading
from pathlib import Path

import pytest

from dashnb.client.client import REGIONS, Client
from dashnb.errors import ConfigurationError, DashnbError, ProtocolError, StoreError
from dashnb.local.service import BASE_URL
from dashnb.session.connection import Connection, connect, open_client, plan
from dashnb.settings import Settings

RECORDING = f"replay:{Path(__file__).parent / 'transcripts' / 'run-plain.sse'}"
URL = "https://proxy.example/api/v1"
KEY = "sk-canary0123456789"
posix = pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")


@pytest.fixture(autouse=True)
def _quick_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHNB_ENGINE", RECORDING)


def authorization_of(client: Client) -> str | None:
    """The header that a request of the client carries."""
    request = client._pool.http.build_request("GET", client.base_url)
    auth = client._pool.http.auth
    return next(auth.auth_flow(request)).headers["authorization"] if auth else None


def planned(target: str | None = None, config: str = "", **environ: str) -> Connection:
    """The plan for an environment and a config file."""
    file = Path(os.environ["DASHNB_CONFIG"])
    file.write_text(config)
    file.chmod(0o600)  # one that holds a key must be for its owner only
    return plan(Settings.load(environ, file=file), target)


# --- the plan ------------------------------------------------------------------------------------

ALL = {"DASHNB_CONNECT": "cloud-intl", "DASHSCOPE_HTTP_BASE_URL": URL, "DASHSCOPE_API_KEY": KEY}
UP_TO_URL = {"DASHSCOPE_HTTP_BASE_URL": URL, "DASHSCOPE_API_KEY": KEY}


@pytest.mark.parametrize(("target", "environ", "kind", "base_url", "reason"), [
    (None, {}, "local", BASE_URL, "no key is set"),
    (None, {"DASHSCOPE_API_KEY": KEY}, "cloud", REGIONS["cloud"], "environment DASHSCOPE_API_KEY is set"),
    (None, UP_TO_URL, "url", URL, "environment DASHSCOPE_HTTP_BASE_URL says so"),
    (None, {"DASHSCOPE_HTTP_BASE_URL": URL}, "url", URL, "environment DASHSCOPE_HTTP_BASE_URL says so"),
    (None, ALL, "cloud-intl", REGIONS["cloud-intl"], "environment DASHNB_CONNECT says so"),
    (None, {**ALL, "DASHNB_CONNECT": "local"}, "local", BASE_URL, "environment DASHNB_CONNECT says so"),
    (None, {"DASHNB_CONNECT": URL}, "url", URL, "environment DASHNB_CONNECT says so"),
    (None, {"DASHNB_CONNECT": "", "DASHSCOPE_API_KEY": ""}, "local", BASE_URL, "no key is set"),
    ("local", ALL, "local", BASE_URL, "asked for"),
    ("cloud", ALL, "cloud", REGIONS["cloud"], "asked for"),
    ("cloud", {}, "cloud", REGIONS["cloud"], "asked for"),
    ("cloud-intl", {}, "cloud-intl", REGIONS["cloud-intl"], "asked for"),
    (URL, ALL, "url", URL, "asked for"),
    (f"{URL}/", {}, "url", URL, "asked for"),
    ("http://127.0.0.1:8000/api/v1", {}, "url", "http://127.0.0.1:8000/api/v1", "asked for"),
    ("replay:a/b.jsonl", ALL, "replay", "replay:a/b.jsonl", "asked for"),
    (None, {**ALL, "DASHNB_CONNECT": "replay:b"}, "replay", "replay:b", "environment DASHNB_CONNECT says so"),
])  # fmt: skip
def test_the_strongest_setting_decides_and_is_the_reason(
    target: str | None, environ: dict[str, str], kind: str, base_url: str, reason: str
) -> None:
    connection = planned(target, **environ)
    assert (connection.kind, connection.base_url, connection.reason) == (kind, base_url, reason)


def test_a_config_file_decides_where_the_environment_is_silent() -> None:
    file = os.environ["DASHNB_CONFIG"]
    assert planned(config="connect = 'cloud'").reason == f"config file {file} says so"
    assert planned(config=f"base_url = '{URL}'").reason == f"config file {file} says so"
    assert planned(config="api_key = 'sk-x'").reason == f"config file {file} is set"
    assert planned(config="connect = 'cloud'", DASHNB_CONNECT="local").kind == "local"


def test_an_argument_is_a_reason_too() -> None:
    assert plan(Settings.load({}, file=None, api_key=KEY)).reason == "argument is set"


def test_only_the_embedded_api_has_an_engine_and_a_database(tmp_path: Path) -> None:
    local = planned(DASHNB_DATA_DIR=str(tmp_path))
    assert (local.engine, local.database) == ("guide", str(tmp_path / "assistant.db"))
    named = planned(DASHNB_ENGINE="replay:x.sse", DASHNB_DATABASE=":memory:")
    assert (named.engine, named.database) == ("replay:x.sse", ":memory:")
    for target in ("cloud", "cloud-intl", URL):
        assert (planned(target).engine, planned(target).database) == ("", "")


@pytest.mark.parametrize(
    "target", ["clod", "", "LOCAL", "proxy.example/api/v1", "ftp://proxy.example", "local ", "replay:"]
)
def test_an_unknown_target_lists_the_choices(target: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        planned(target)
    message = str(caught.value)
    assert message.startswith(f"Cannot connect to {target!r} (asked for)")
    for choice in ("local", "cloud", "cloud-intl", "replay:FILE", "URL", "/api/v1"):
        assert choice in message


def test_an_unknown_target_of_the_settings_names_the_setting() -> None:
    with pytest.raises(ConfigurationError, match=r"'clod' \(environment DASHNB_CONNECT says so\)"):
        planned(DASHNB_CONNECT="clod")
    with pytest.raises(ConfigurationError, match=r"'host' \(environment DASHSCOPE_HTTP_BASE_URL says so\)"):
        planned(DASHSCOPE_HTTP_BASE_URL="host")


def test_a_plan_opens_nothing(tmp_path: Path) -> None:
    data = tmp_path / "nowhere"
    threads = threading.enumerate()
    planned(DASHNB_DATA_DIR=str(data))
    assert not data.exists()
    assert threading.enumerate() == threads


# --- the key -------------------------------------------------------------------------------------


def test_the_cloud_without_a_key_names_both_ways_out() -> None:
    for target in ("cloud", "cloud-intl"):
        with pytest.raises(ConfigurationError) as caught:
            connect(target)
        message = str(caught.value)
        assert f"({target}, asked for)" in message
        assert "set DASHSCOPE_API_KEY" in message
        assert "connect local" in message


def test_a_key_that_is_set_is_sent_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    settings = Settings.load()
    connection = plan(settings)
    with open_client(connection, settings) as client:
        assert authorization_of(client) == f"Bearer {KEY}"
        for shown in (client, settings, connection, client.runs, client.open):
            assert KEY not in f"{shown!r} {shown}"
    with connect("cloud-intl", api_key="sk-other", workspace="ws-1") as client:
        assert authorization_of(client) == "Bearer sk-other"
        assert client.workspace == "ws-1"
        assert "sk-other" not in repr(client)


@pytest.mark.parametrize("arguments", [
    pytest.param({"target": "clod", "api_key": KEY}, id="target"),
    pytest.param({"target": "cloud", "api_key": f"{KEY}\n"}, id="line break"),
    pytest.param({"target": "cloud", "api_key": f"{KEY} x"}, id="blank"),
    pytest.param({"target": "cloud", "api_key": KEY, "timeout": -1}, id="timeout"),
    pytest.param({"target": "local", "api_key": KEY, "engine": "nobody"}, id="engine"),
    pytest.param({"target": KEY}, id="key in place of the target"),
    pytest.param({"target": KEY, "api_key": KEY}, id="key in both places"),
    pytest.param({"target": "my-own-key", "api_key": "my-own-key"}, id="key of another form"),
])  # fmt: skip
def test_no_error_shows_the_key(arguments: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        connect(**arguments)  # type: ignore[arg-type]  # a table of arguments
    shown = f"{caught.value} {caught.value!r} {caught.value._render_traceback_()}"
    assert KEY not in shown
    assert "my-own-key" not in shown


def test_a_key_in_place_of_the_target_says_where_it_belongs() -> None:
    with pytest.raises(ConfigurationError, match=r"looks like a key[\s\S]*api_key=… or DASHSCOPE_API_KEY"):
        connect(KEY)


def test_a_url_needs_no_key() -> None:
    with connect(URL) as client:
        assert client.base_url == URL
        assert authorization_of(client) is None


# --- the embedded API ----------------------------------------------------------------------------


def modes(folder: Path) -> dict[str, int]:
    """The permissions of a folder and of what is in it."""
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}


def test_local_makes_its_database_in_an_empty_data_folder() -> None:
    data = Path(os.environ["DASHNB_DATA_DIR"])
    assert not data.exists()
    with connect("local") as client:
        thread = client.threads.create()
        assert {path.name for path in data.iterdir()} >= {"assistant.db"}
        if sys.platform != "win32":
            found = modes(data)
            assert found.pop("data") == 0o700
            assert set(found.values()) == {0o600}
    with connect("local") as client:
        assert client.threads.retrieve(thread.id).created_at == thread.created_at


def test_without_any_setting_local_is_where_it_goes() -> None:
    with connect(database=":memory:") as client:
        assert client.base_url == BASE_URL
        assert client.threads.create().object == "thread"
    assert not Path(os.environ["DASHNB_DATA_DIR"]).exists()


def test_the_database_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "deep" / "own.db"
    with connect("local", database=str(file)) as client:
        thread = client.threads.create()
    monkeypatch.setenv("DASHNB_DATABASE", str(file))
    with connect("local") as client:
        assert client.threads.retrieve(thread.id).created_at == thread.created_at
    assert not Path(os.environ["DASHNB_DATA_DIR"]).exists()


def test_the_engine_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHNB_ENGINE", "nobody")
    with connect("local", database=":memory:", engine=RECORDING) as client:
        assistant = client.assistants.create(model="qwen-max")
        thread = client.threads.create(messages=[{"role": "user", "content": "999 × 998?"}])
        with client.runs.stream(thread.id, assistant_id=assistant.id) as stream:
            for _ in stream:
                pass
        assert stream.engine == "replay"
        assert "997002" in stream.state.text


def test_a_time_out_can_be_named() -> None:
    with connect("local", database=":memory:", timeout=2.5) as client:
        assert client._timeout.read == 2.5
    with connect(URL, timeout=7) as client:
        assert client._timeout.read == 7


# --- cassettes -----------------------------------------------------------------------------------


def test_a_replay_has_a_heading_and_a_file_and_no_database() -> None:
    connection = planned("replay:folder/demo.jsonl")
    assert (connection.engine, connection.cassette, connection.database) == (
        "replay · demo.jsonl",
        "folder/demo.jsonl",
        "",
    )
    assert planned("local").cassette == planned(URL).cassette == ""


def test_what_is_recorded_is_replayed_with_no_key_no_database_and_no_service(tmp_path: Path) -> None:
    file = tmp_path / "demo.jsonl"
    with connect("local", database=":memory:", record=file) as client:
        thread = client.threads.create()
    threads = threading.enumerate()
    with connect(f"replay:{file}") as client:
        assert client.threads.create() == thread
        assert client.base_url == BASE_URL
        assert threading.enumerate() == threads
    assert not Path(os.environ["DASHNB_DATA_DIR"]).exists()


def test_a_recorded_client_is_the_client_that_was_asked_for(tmp_path: Path) -> None:
    with connect(URL, api_key=KEY, workspace="ws-1", timeout=7, record=tmp_path / "demo.jsonl") as client:
        assert (client.base_url, client.workspace, client._timeout.read) == (URL, "ws-1", 7)
        assert authorization_of(client) == f"Bearer {KEY}"
    assert KEY not in (tmp_path / "demo.jsonl").read_text()


def test_closing_a_recorded_client_closes_the_service_and_the_file(tmp_path: Path) -> None:
    threads = threading.enumerate()
    client = connect("local", database=":memory:", record=tmp_path / "demo.jsonl")
    client.close()
    client.close()
    assert threading.enumerate() == threads


def test_a_recording_that_cannot_be_made_leaves_nothing_open(tmp_path: Path) -> None:
    threads = threading.enumerate()
    for file, message in (
        (tmp_path, "is no file; record to a file"),
        (tmp_path / "no" / "demo.jsonl", "cannot be written"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            connect("local", database=":memory:", record=file)
    assert threading.enumerate() == threads


@pytest.mark.parametrize(("target", "options", "message"), [
    ("local", {"speed": 1}, "Only a cassette has a speed"),
    ("replay:x", {"record": "x"}, "was recorded already"),
    ("replay:x", {}, "The cassette x cannot be read"),
])  # fmt: skip
def test_what_makes_no_sense_with_a_cassette_is_refused(target: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        connect(target, **options)  # type: ignore[arg-type]  # a table of arguments


# --- failures ------------------------------------------------------------------------------------


def write(folder: Path, content: bytes) -> str:
    file = folder / "written"
    file.write_bytes(content)
    return str(file)


def failing(folder: Path) -> dict[str, tuple[dict[str, object], type[DashnbError], str]]:
    """Arguments that cannot work, with the error and its message."""
    missing, text = folder / "missing.sse", write(folder, b"no database and no recording")
    return {
        "no such engine": ({"engine": "nobody"}, ConfigurationError, r"no engine 'nobody'; there are guide and replay"),
        "replay of nothing": ({"engine": "replay:"}, ConfigurationError, r"no engine 'replay:'"),
        "no such recording": ({"engine": f"replay:{missing}"}, ConfigurationError, r"missing\.sse cannot be read: \w+"),
        "a folder": ({"engine": f"replay:{folder}"}, ConfigurationError, r"cannot be read: \w+"),
        "no recording": ({"engine": f"replay:{text}"}, ProtocolError, r"recording"),
        "no database": ({"database": text}, StoreError, r"written cannot be used: [\s\S]*DASHNB_DATABASE"),
        "no folder": ({"database": f"{text}/own.db"}, StoreError, r"own\.db cannot be used: .*written is not a folder"),
        "no time": ({"timeout": 0}, ConfigurationError, r"timeout is '0' \(argument\)"),
        "no number": ({"timeout": float("nan")}, ConfigurationError, r"timeout is 'nan' \(argument\)"),
    }


@pytest.mark.parametrize("case", [
    "no such engine", "replay of nothing", "no such recording", "a folder", "no recording", "no database",
    "no folder", "no time", "no number",
])  # fmt: skip
def test_what_cannot_be_opened_leaves_nothing_open(case: str, tmp_path: Path) -> None:
    arguments, error, message = failing(tmp_path)[case]
    threads = threading.enumerate()
    with pytest.raises(error, match=message):
        connect("local", **arguments)  # type: ignore[arg-type]  # a table of arguments
    assert threading.enumerate() == threads
    assert (tmp_path / "written").read_bytes() == b"no database and no recording"


def test_closing_the_client_closes_the_service() -> None:
    threads = threading.enumerate()
    client = connect("local", database=":memory:")
    assert len(threading.enumerate()) == len(threads) + 1
    client.close()
    client.close()
    assert threading.enumerate() == threads


def test_a_client_that_cannot_be_made_closes_the_service() -> None:
    settings = Settings.load(timeout="0", database=":memory:")
    threads = threading.enumerate()
    with pytest.raises(ConfigurationError):
        open_client(plan(settings, "local"), settings)
    assert threading.enumerate() == threads


def test_two_local_clients_do_not_share_a_memory() -> None:
    with connect("local", database=":memory:") as one, connect("local", database=":memory:") as two:
        one.assistants.create(model="qwen-max")
        assert len(one.assistants.list().data) == 1
        assert two.assistants.list().data == []
        assert isinstance(two, Client)
