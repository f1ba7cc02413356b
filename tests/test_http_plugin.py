"""A person's own plugins: kept in a file, called by HTTP at a real server, with the token where it belongs."""

from __future__ import annotations

import asyncio
import gzip
import http.server
import json
import logging
import os
import stat
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from dashnb.errors import InvalidArgument, StoreError
from dashnb.local.models.engine import CallPiece, TextPiece
from dashnb.local.models.guide import GuideEngine
from dashnb.local.plugins import PluginError
from dashnb.local.plugins.builtin import builtin_plugins
from dashnb.local.plugins.http_plugin import AUTH_HEADER, http_tool
from dashnb.local.plugins.registry import OwnPlugin, read_registry, read_schema, register, unregister
from scripted import Script, names, of, path_of, serving

TOKEN = 'token-"canary"'
AUTH = {"type": "user_http", "user_token": TOKEN}
SCHEMA = {"type": "object", "properties": {"phone": {"type": "string"}}, "required": ["phone"]}


class Shop:
    """A server that keeps what it was asked; its paths are ways to answer."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        shop = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                shop.asked.append((self.path, headers, json.loads(body)))
                status, text, more = shop.answer(self.path, headers)
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                with suppress(OSError):  # a client that has gone
                    self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        if path == "/slow":
            time.sleep(0.6)
        auth = headers.get(AUTH_HEADER.lower(), "")
        elsewhere = self.url.replace("127.0.0.1", "localhost")
        return {
            "/stock": (200, '{"stock": 7, "名": "百炼"}'.encode(), {}),
            "/slow": (200, b"late", {}),
            "/echo": (200, f"{auth} {TOKEN}".encode(), {}),
            "/broken": (500, f"out of order: {auth} {TOKEN}".encode(), {}),
            "/large": (200, b"x" * 2000, {}),
            "/bytes": (200, b"\xff\xfe\xfd", {}),
            "/moved": (307, b"", {"Location": "/stock"}),
            "/away": (307, b"", {"Location": f"{elsewhere}/stock"}),
            "/circle": (308, b"", {"Location": "/circle"}),
            "/see-other": (303, b"", {"Location": "/stock"}),
        }.get(path, (404, b"", {}))


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    thread = threading.Thread(target=shop.server.serve_forever, args=(0.01,))
    thread.start()
    yield shop
    shop.server.shutdown()
    thread.join()
    shop.server.server_close()


def call(url: str, arguments: str = '{"phone": "X1"}', *, auth: object = AUTH, seconds: float = 5) -> str:
    plugin = OwnPlugin("stock_level", url, SCHEMA)
    definition = {"type": "stock_level", **({"auth": auth} if auth else {})}
    return asyncio.run(http_tool(plugin, seconds=seconds, most_bytes=1000)(arguments, definition))


# Calling


def test_a_plugin_is_called_with_its_arguments_and_the_token_in_the_documented_form(shop: Shop) -> None:
    assert json.loads(call(f"{shop.url}/stock")) == {"stock": 7, "名": "百炼"}
    ((path, headers, body),) = shop.asked
    assert (path, body, headers["content-type"]) == ("/stock", {"phone": "X1"}, "application/json")
    assert json.loads(headers[AUTH_HEADER.lower()]) == {"stock_level": {"user_token": TOKEN}}


def test_without_auth_there_is_no_header(shop: Shop) -> None:
    call(f"{shop.url}/stock", auth=None)
    assert AUTH_HEADER.lower() not in shop.asked[0][1]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/broken", "stock_level answered with HTTP 500: out of order"),
        ("/missing", "answered with HTTP 404"),
        ("/large", "too large: more than 1,000 bytes"),
        ("/bytes", "not text in UTF-8"),
        ("/away", "another address, localhost"),
        ("/circle", "3 were followed"),
        ("/see-other", "HTTP 303"),
    ],
)
def test_a_bad_answer_fails_and_says_why(shop: Shop, path: str, said: str) -> None:
    with pytest.raises(PluginError, match=said) as caught:
        call(shop.url + path)
    assert caught.value.code == "InvokePluginFailed"
    assert "canary" not in str(caught.value)
    assert all(asked == path for asked, _, _ in shop.asked)


def test_a_redirect_on_the_same_host_is_followed(shop: Shop) -> None:
    assert "stock" in call(f"{shop.url}/moved")
    assert [(path, body) for path, _, body in shop.asked] == [("/moved", {"phone": "X1"}), ("/stock", {"phone": "X1"})]


def test_a_call_ends_in_time(shop: Shop) -> None:
    with pytest.raises(PluginError, match=r"did not answer within 0\.1 s"):
        call(f"{shop.url}/slow", seconds=0.1)


def test_nobody_there_is_said_with_the_address() -> None:
    with pytest.raises(PluginError, match=r"cannot be reached at http://127\.0\.0\.1:9/stock: ") as caught:
        call("http://127.0.0.1:9/stock?key=canary")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "auth", "said"),
    [
        ("{}", AUTH, "needs the argument 'phone'"),
        ("[]", AUTH, "not a JSON object"),
        ('{"phone": "X1"}', {"type": "user_http"}, "has no 'user_token'"),
        ('{"phone": "X1"}', "token", "has no 'user_token'"),
    ],
)
def test_a_wrong_call_is_not_made(shop: Shop, arguments: str, auth: object, said: str) -> None:
    with pytest.raises(PluginError, match=said):
        call(f"{shop.url}/stock", arguments, auth=auth)
    assert shop.asked == []


def test_the_token_stands_in_no_output_and_no_log(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        output = call(f"{shop.url}/echo")
    assert "canary" not in output
    assert "********" in output
    assert "canary" not in caplog.text


# In a run


def test_a_run_calls_a_registered_plugin(shop: Shop, tmp_path: Path) -> None:
    register(tmp_path / "plugins.json", OwnPlugin("stock_level", f"{shop.url}/stock", SCHEMA))
    engine = Script([CallPiece(0, "stock_level", '{"phone": "X1"}')], [TextPiece("Seven.")])
    with serving(engine, plugins=builtin_plugins(lambda: tmp_path)) as api:
        assistant = api.assistant(tools=[{"type": "stock_level", "auth": AUTH}])
        with api.stream(f"/threads/{api.thread('Hello')}/runs", assistant_id=assistant) as stream:
            events = list(stream)
    assert "thread.run.completed" in names(events)
    (step, *_) = of(events, "thread.run.step.completed")
    (made,) = step["step_details"]["tool_calls"]
    assert json.loads(made.get("plugin_name", made.get("stock_level"))["output"])["stock"] == 7


def test_a_failing_plugin_fails_its_run_and_step_with_the_status(shop: Shop, tmp_path: Path) -> None:
    register(tmp_path / "plugins.json", OwnPlugin("stock_level", f"{shop.url}/broken", SCHEMA))
    engine = Script([CallPiece(0, "stock_level", '{"phone": "X1"}')])
    with serving(engine, plugins=builtin_plugins(lambda: tmp_path)) as api:
        events = api.run("stock_level")
        run = api.get(path_of(events))
    assert "thread.run.step.failed" in names(events)
    assert run["last_error"]["code"] == "InvokePluginFailed"
    assert "HTTP 500" in run["last_error"]["message"]


def test_the_guide_fills_the_arguments_of_a_plugin_from_its_definition(shop: Shop, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]}
    plugin = OwnPlugin("reserve_phones", f"{shop.url}/stock", schema, "Reserve phones.")
    register(tmp_path / "plugins.json", plugin)
    with serving(GuideEngine(), plugins=builtin_plugins(lambda: tmp_path)) as api:
        assistant = api.assistant(tools=[plugin.definition])
        thread = api.thread("Please reserve 3 phones")
        with api.stream(f"/threads/{thread}/runs", assistant_id=assistant) as stream:
            assert names(list(stream))[-2:] == ["thread.run.completed", "done"]
    assert [body for _, _, body in shop.asked] == [{"count": 3}]


def test_a_model_is_told_what_a_plugin_takes_and_never_its_token(shop: Shop, tmp_path: Path) -> None:
    plugin = OwnPlugin("stock_level", f"{shop.url}/stock", SCHEMA, "How many there are.")
    register(tmp_path / "plugins.json", plugin)
    engine = Script([TextPiece("Hm.")])
    with serving(engine, plugins=builtin_plugins(lambda: tmp_path)) as api:
        assistant = api.assistant(tools=[{"type": "stock_level", "description": "Stock.", "auth": AUTH}])
        with api.stream(f"/threads/{api.thread('Hello')}/runs", assistant_id=assistant) as stream:
            list(stream)
    assert engine.turns[0].tools == ({"type": "stock_level", "description": "Stock.", "parameters": SCHEMA},)


# Keeping


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "plugins.json"


def test_a_plugin_is_kept_replaced_and_forgotten(file: Path) -> None:
    assert read_registry(file) == {}
    plugin = OwnPlugin("stock_level", "https://shop.example/stock", SCHEMA, "What is there.")
    assert register(file, plugin) is False
    assert register(file, plugin) is True
    assert read_registry(file) == {"stock_level": plugin}
    with pytest.raises(InvalidArgument, match=r"no plugin 'other'; there are: stock_level\."):
        unregister(file, "other")
    unregister(file, "stock_level")
    assert read_registry(file) == {}
    assert [path.name for path in file.parent.iterdir()] == ["plugins.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_only_its_owner_may_read_the_registry(file: Path) -> None:
    register(file, OwnPlugin("stock_level", "https://shop.example/", {}))
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600


@pytest.mark.parametrize(
    ("plugin_id", "url", "schema", "said"),
    [
        ("quark_search", "https://a.example/", {}, "is a built-in tool"),
        ("function", "https://a.example/", {}, "is a built-in tool"),
        ("a b", "https://a.example/", {}, "no plugin id"),
        ("", "https://a.example/", {}, "no plugin id"),
        ("a", "ftp://a.example/", {}, "over http or https"),
        ("a", "file:///etc/passwd", {}, "over http or https"),
        ("a", "/stock", {}, "over http or https"),
        ("a", "https://ann:canary@a.example/", {}, "may hold no password"),
        ("a", "http://a:port", {}, "no URL"),
        ("a", "https://a.example/", {"type": "array"}, "not one of a JSON object"),
    ],
)
def test_what_is_no_plugin_is_refused(file: Path, plugin_id: str, url: str, schema: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said) as caught:
        register(file, OwnPlugin(plugin_id, url, schema), taken=builtin_plugins().built_in)
    assert "canary" not in str(caught.value)
    assert not file.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"version": 1, "plugins": [{"name": "x"}]}', "damaged"),
        ('{"version": 2, "plugins": {}}', "newer dashnb"),
    ],
)
def test_a_registry_that_cannot_be_used_is_left_as_it_is(file: Path, content: str, said: str) -> None:
    file.parent.mkdir()
    file.write_text(content)
    with pytest.raises(StoreError, match=said):
        register(file, OwnPlugin("a", "https://a.example/", {}))
    with pytest.raises(PluginError, match=said):
        builtin_plugins(lambda: file.parent).get("a")
    assert "calculator" in builtin_plugins(lambda: file.parent)
    assert file.read_text() == content


def test_a_schema_is_a_json_object(tmp_path: Path) -> None:
    (tmp_path / "good.json").write_text(json.dumps(SCHEMA))
    (tmp_path / "bad.json").write_text("[]")
    assert read_schema(tmp_path / "good.json") == SCHEMA
    for name, said in (("bad.json", "no JSON object"), ("missing.json", "cannot be read")):
        with pytest.raises(InvalidArgument, match=said):
            read_schema(tmp_path / name)


# Answers that are more than they seem


def zeros() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize(
    ("encoding", "body", "said"),
    [
        ("gzip", zeros(), "too large: more than 1,000 bytes"),
        ("gzip, gzip", gzip.compress(zeros(), 9), "too large: more than 1,000 bytes"),
        ("br", b"x", "packed as 'br'"),
        ("gzip", b"no gzip", "not packed as it says"),
    ],
)
def test_an_answer_is_unpacked_up_to_its_limit_only(
    shop: Shop, encoding: str, body: bytes, said: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shop, "answer", lambda *_: (status, body, {"Content-Encoding": encoding}))
    with pytest.raises(PluginError, match=said):
        call(f"{shop.url}/stock")
    assert shop.asked[0][1]["accept-encoding"] == "identity"


def test_an_answer_that_is_packed_without_being_asked_to_is_read(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(b'{"stock": 7}')
    monkeypatch.setattr(shop, "answer", lambda *_: (200, packed, {"Content-Encoding": "gzip"}))
    assert call(f"{shop.url}/stock") == '{"stock": 7}'
