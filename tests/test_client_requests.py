"""What goes over the wire: headers, paths, queries, bodies; and what is refused before anything goes."""

from __future__ import annotations

import asyncio
import json
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any

import httpx
import pytest

from dashnb import __version__
from dashnb.client.client import REGIONS, AsyncClient, Client
from dashnb.errors import AuthenticationError, ConfigurationError, ConnectionFailed, DashnbError, InvalidArgument
from dashnb.protocol.objects import Tool
from dashnb.protocol.state import RunState

KEY = "sk-0123456789abcdef"
URL = "https://service.test/api/v1"
ANYTHING = {"id": "any_1", "object": "anything", "deleted": True, "data": [], "has_more": False}
FUNCTION = {
    "type": "function",
    "function": {"name": "add", "description": "Add.", "parameters": {"type": "object", "properties": {}}},
}


class Wire:
    """A transport that keeps every request and answers all of them alike."""

    def __init__(self, answer: Callable[[], httpx.Response] | None = None) -> None:
        self.requests: list[httpx.Request] = []
        self.transport = httpx.MockTransport(self._handle)
        self._answer = answer or (lambda: httpx.Response(200, json=ANYTHING))

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._answer()

    @property
    def request(self) -> httpx.Request:
        (only,) = self.requests
        return only

    @property
    def body(self) -> Any:
        return json.loads(self.request.content)

    @property
    def path(self) -> str:
        return self.request.url.raw_path.decode()


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def client(wire: Wire) -> Iterator[Client]:
    with Client(URL, api_key=KEY, transport=wire.transport) as client:
        yield client


def sent_headers(client_class: type[Client] | type[AsyncClient], **arguments: Any) -> httpx.Headers:
    wire = Wire()

    async def use() -> None:
        client = client_class(URL, transport=wire.transport, **arguments)
        for answer in (client.threads.create(metadata={"a": "1"}), client.close()):
            if asyncio.iscoroutine(answer):
                await answer

    asyncio.run(use())
    return wire.request.headers


# --- headers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("client_class", [Client, AsyncClient])
def test_every_request_carries_the_key_the_workspace_and_who_sends_it(
    client_class: type[Client] | type[AsyncClient],
) -> None:
    headers = sent_headers(client_class, api_key=KEY, workspace="ws-1")
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["X-DashScope-WorkSpace"] == "ws-1"
    assert headers["User-Agent"] == f"dashnb/{__version__}"
    assert headers["Accept"] == "application/json, text/event-stream"
    assert headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("client_class", [Client, AsyncClient])
def test_without_a_key_or_workspace_no_such_header_is_sent(client_class: type[Client] | type[AsyncClient]) -> None:
    headers = sent_headers(client_class)
    assert "Authorization" not in headers
    assert "X-DashScope-WorkSpace" not in headers


def test_a_request_without_a_body_has_no_content_type(client: Client, wire: Wire) -> None:
    client.threads.retrieve("thread_1")
    assert "Content-Type" not in wire.request.headers
    assert wire.request.content == b""


# --- bodies ------------------------------------------------------------------------------------------


def test_what_is_left_out_is_not_sent(client: Client, wire: Wire) -> None:
    client.assistants.create(model="qwen-max")
    assert wire.body == {"model": "qwen-max"}


def test_an_empty_thread_is_an_empty_object(client: Client, wire: Wire) -> None:
    client.threads.create()
    assert wire.request.content == b"{}"


def test_empty_values_that_were_given_are_sent(client: Client, wire: Wire) -> None:
    client.assistants.update("asst_1", tools=[], name="", metadata={}, temperature=0)
    assert wire.body == {"tools": [], "name": "", "metadata": {}, "temperature": 0}


def test_everything_an_assistant_can_have_is_sent(client: Client, wire: Wire) -> None:
    fields: dict[str, Any] = {
        "model": "qwen-max",
        "name": "绘画 helper",
        "description": "d",
        "instructions": "i",
        "tools": [{"type": "quark_search"}],
        "file_ids": ["file_1"],
        "metadata": {"k": "v"},
        "temperature": 1.0,
        "top_p": 0.5,
        "top_k": 10,
        "max_tokens": 2048,
    }
    client.assistants.create(**fields)
    assert wire.body == fields
    assert "绘画".encode() in wire.request.content


def test_everything_a_run_can_have_is_sent(client: Client, wire: Wire) -> None:
    fields: dict[str, Any] = {
        "assistant_id": "asst_1",
        "model": "qwen-plus",
        "instructions": "i",
        "additional_instructions": "more",
        "tools": [FUNCTION],
        "metadata": {"k": "v"},
        "temperature": 1.0,
        "top_p": 0.5,
        "top_k": 10,
        "max_tokens": 2048,
        "truncation_strategy": {"type": "last_messages", "last_messages": 3},
    }
    client.runs.create("thread_1", **fields)
    assert wire.body == {**fields, "stream": False}


def test_a_thread_and_its_run_travel_in_one_body(client: Client, wire: Wire) -> None:
    thread = {"messages": [{"role": "user", "content": "Hi"}]}
    client.runs.create_thread_and_run(assistant_id="asst_1", thread=thread)
    assert (wire.path, wire.body) == (
        "/api/v1/threads/runs",
        {"assistant_id": "asst_1", "thread": thread, "stream": False},
    )


@pytest.mark.parametrize(
    "send",
    [
        lambda client, extra: client.assistants.create(model="m", extra_body=extra),
        lambda client, extra: client.assistants.update("asst_1", model="m", extra_body=extra),
        lambda client, extra: client.threads.create(extra_body=extra),
        lambda client, extra: client.threads.update("thread_1", metadata={}, extra_body=extra),
        lambda client, extra: client.messages.create("thread_1", content="c", extra_body=extra),
        lambda client, extra: client.messages.update("m_1", thread_id="t", metadata={}, extra_body=extra),
        lambda client, extra: client.runs.create("thread_1", assistant_id="a", extra_body=extra),
        lambda client, extra: client.runs.create_thread_and_run(assistant_id="a", extra_body=extra),
        lambda client, extra: client.runs.update("run_1", thread_id="t", metadata={}, extra_body=extra),
    ],
)
def test_further_fields_are_merged_into_the_body(
    send: Callable[[Client, dict[str, Any]], object], client: Client, wire: Wire
) -> None:
    extra = {"enable_search": True, "metadata": {"from": "extra"}, "nothing": None}
    send(client, extra)
    assert {name: wire.body[name] for name in extra} == extra


def test_only_streams_ask_for_a_stream(client: Client, wire: Wire) -> None:
    outputs = [{"output": "rain"}]
    client.runs.create("t", assistant_id="a")
    client.runs.create_thread_and_run(assistant_id="a")
    client.runs.submit_tool_outputs("r", thread_id="t", tool_outputs=outputs)
    for stream in (
        client.runs.stream("t", assistant_id="a"),
        client.runs.stream_thread_and_run(assistant_id="a", extra_body={"stream": False}),
        client.runs.submit_tool_outputs("r", thread_id="t", tool_outputs=outputs, stream=True),
    ):
        with pytest.raises(DashnbError, match="one object"):
            list(stream)
    assert [json.loads(request.content)["stream"] for request in wire.requests] == [False] * 3 + [True] * 3
    paths = [request.url.path for request in wire.requests]
    assert paths[:3] == paths[3:]


def test_a_stream_sends_nothing_before_it_is_read(client: Client, wire: Wire) -> None:
    with client.runs.stream("thread_1", assistant_id="asst_1"):
        pass
    assert wire.requests == []


def test_tool_outputs_are_sent_as_given(client: Client, wire: Wire) -> None:
    outputs = [{"tool_call_id": "", "output": "a"}, {"output": "b"}, {"tool_call_id": "call_1", "output": "c"}]
    client.runs.submit_tool_outputs("run_1", thread_id="thread_1", tool_outputs=iter(outputs))
    assert wire.body == {"tool_outputs": outputs, "stream": False}


# --- tools -------------------------------------------------------------------------------------------


def test_tool_objects_are_tools(client: Client, wire: Wire) -> None:
    tools = [FUNCTION, {"type": "text_to_image", "description": "Paint."}]
    client.assistants.create(model="m", tools=(Tool.model_validate(tool) for tool in tools))
    assert wire.body["tools"] == tools


def test_the_authentication_of_a_plugin_passes_through(client: Client, wire: Wire) -> None:
    plugin = {"type": "plugin-1", "auth": {"type": "user_http", "user_token": "bearer-token"}}
    client.runs.create("t", assistant_id="a", tools=[plugin, Tool.model_validate(plugin)])
    assert wire.body["tools"] == [plugin, plugin]


def test_unknown_tools_and_unknown_fields_pass_through(client: Client, wire: Wire) -> None:
    rag = {"type": "rag", "prompt_ra": {"pipeline_id": ["i"], "rerank_top_n": 5}, "new": {"deep": [None]}}
    client.assistants.create(model="m", tools=[{"type": "hhh"}, MappingProxyType(rag)])
    assert wire.body["tools"] == [{"type": "hhh"}, rag]


@pytest.mark.parametrize(
    "send",
    [
        lambda client: client.assistants.create(model="m", tools=[len]),
        lambda client: client.assistants.create(model="m", tools=["quark_search"]),
        lambda client: client.runs.create("t", assistant_id="a", tools="quark_search"),
        lambda client: client.threads.create(messages=["Hi"]),
        lambda client: client.runs.submit_tool_outputs("r", thread_id="t", tool_outputs=["rain"]),
    ],
)
def test_what_should_be_a_dict_and_is_none_is_refused(
    send: Callable[[Client], object], client: Client, wire: Wire
) -> None:
    with pytest.raises(InvalidArgument, match="dict"):
        send(client)
    assert wire.requests == []


@pytest.mark.parametrize("value", [object(), float("nan"), float("inf"), "\ud800", {1, 2}])
def test_what_json_cannot_say_is_refused(value: object, client: Client, wire: Wire) -> None:
    with pytest.raises(InvalidArgument, match=r"threads\.create"):
        client.threads.create(metadata={"value": value})
    assert wire.requests == []


# --- ids and queries ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "quoted"),
    [
        ("thread_1", "thread_1"),
        ("a/b", "a%2Fb"),
        ("../assistants", "..%2Fassistants"),
        ("...", "..."),
        ("天 气", "%E5%A4%A9%20%E6%B0%94"),
        ("50%", "50%25"),
        ("%2F", "%252F"),
        ("a?b=c&d#e", "a%3Fb%3Dc%26d%23e"),
        ("{thread_id}", "%7Bthread_id%7D"),
        ("a\\b;c:d@e", "a%5Cb%3Bc%3Ad%40e"),
        ("x\r\nHost: evil", "x%0D%0AHost%3A%20evil"),
    ],
)
def test_ids_are_quoted(given: str, quoted: str, client: Client, wire: Wire) -> None:
    client.threads.retrieve(given)
    assert wire.path == f"/api/v1/threads/{quoted}"
    assert wire.request.url.query == b""


def test_every_id_of_a_path_is_quoted(client: Client, wire: Wire) -> None:
    client.steps.retrieve("s/1", thread_id="t/1", run_id="r/1")
    assert wire.path == "/api/v1/threads/t%2F1/runs/r%2F1/steps/s%2F1"


@pytest.mark.parametrize("empty", ["", " ", "\n", None, 7, b"thread_1"])
def test_empty_ids_are_refused_and_nothing_is_sent(empty: Any, client: Client, wire: Wire) -> None:
    for send in (
        lambda: client.threads.retrieve(empty),
        lambda: client.threads.delete(empty),
        lambda: client.messages.create(empty, content="Hi"),
        lambda: client.messages.retrieve("m_1", thread_id=empty),
        lambda: client.runs.create(empty, assistant_id="a"),
        lambda: client.runs.stream(empty, assistant_id="a"),
        lambda: client.runs.submit_tool_outputs(empty, thread_id="t", tool_outputs=[]),
        lambda: client.runs.wait(empty, thread_id="t"),
        lambda: list(client.steps.iter("r", thread_id=empty)),
    ):
        with pytest.raises(InvalidArgument, match=r"(thread|message|run)_id must be"):
            send()
    assert wire.requests == []


@pytest.mark.parametrize("dots", [".", ".."])
def test_ids_that_would_name_another_path_are_refused(dots: str, client: Client, wire: Wire) -> None:
    """URLs are shortened on their way: deleting the thread ".." would be deleting what is above it."""
    for send in (
        lambda: client.threads.delete(dots),
        lambda: client.messages.retrieve(dots, thread_id="thread_1"),
        lambda: client.assistants.update(dots, name="x"),
    ):
        with pytest.raises(InvalidArgument, match=r"_id must be"):
            send()
    assert wire.requests == []


def test_an_invalid_argument_is_a_value_error(client: Client) -> None:
    with pytest.raises(ValueError, match="thread_id must be the id of an object as text, got ''"):
        client.threads.retrieve("")


def test_queries_hold_what_was_given(client: Client, wire: Wire) -> None:
    client.messages.list("thread_1", limit=2, order="asc", after="message_1")
    assert wire.request.url.query == b"limit=2&order=asc&after=message_1"


def test_queries_are_quoted(client: Client, wire: Wire) -> None:
    client.assistants.list(before="a&b=天")
    assert dict(wire.request.url.params) == {"before": "a&b=天"}


# --- base URLs, keys, time-outs ----------------------------------------------------------------------


def made(url: str, **arguments: Any) -> Client:
    return Client(url, transport=Wire().transport, **arguments)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://dashscope.aliyuncs.com/api/v1", "https://dashscope.aliyuncs.com/api/v1"),
        ("https://dashscope.aliyuncs.com/api/v1/", "https://dashscope.aliyuncs.com/api/v1"),
        ("  http://127.0.0.1:8000/api/v1//\n", "http://127.0.0.1:8000/api/v1"),
        ("http://[::1]:8000/api/v1", "http://[::1]:8000/api/v1"),
        ("https://例子.测试/api/v1", "https://例子.测试/api/v1"),
        ("https://proxy.test/dashscope/api/v1", "https://proxy.test/dashscope/api/v1"),
    ],
)
def test_base_urls_lose_blanks_and_slashes_at_their_ends(given: str, used: str) -> None:
    with made(given) as client:
        assert client.base_url == used
        assert client.threads.retrieve("thread_1").id == "any_1"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "dashscope.aliyuncs.com/api/v1",
        "ftp://host/api/v1",
        "http://",
        "https:///api/v1",
        "http://:8000/api/v1",
        "http://[::1/api/v1",
        "http://host:port/api/v1",
        "http://host:99999/api/v1",
        "http://ho st/api/v1",
        "http://host/api/v1?region=intl",
        "http://host/api/v1#top",
        "http://ho\x00st/api/v1",
        "sk-key",
    ],
)
def test_what_is_no_base_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="base URL") as caught:
        made(url)
    assert len(str(caught.value).splitlines()) <= 3


def test_a_base_url_with_a_password_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigurationError, match="api_key") as caught:
        made(f"https://user:{KEY}@host/api/v1")
    assert KEY not in str(caught.value)


def test_the_regions_are_the_documented_hosts() -> None:
    assert REGIONS == {
        "cloud": "https://dashscope.aliyuncs.com/api/v1",
        "cloud-intl": "https://dashscope-intl.aliyuncs.com/api/v1",
    }
    with Client(transport=Wire().transport) as client:
        assert client.base_url == REGIONS["cloud"]


@pytest.mark.parametrize("client_class", [Client, AsyncClient])
@pytest.mark.parametrize(
    "key", ["", " ", f" {KEY}", f"{KEY}\n", f"{KEY}\r\nX: y", "sk-a b", "sk-密钥", "sk-\x00", "“sk”"]
)
def test_keys_that_no_header_can_carry_are_refused_without_showing_them(
    key: str, client_class: type[Client] | type[AsyncClient]
) -> None:
    with pytest.raises(ConfigurationError, match="API key") as caught:
        client_class(URL, api_key=key)
    shown = "".join(traceback.format_exception(caught.value))
    assert "sk-0" not in shown
    assert "密" not in str(caught.value)


@pytest.mark.parametrize("workspace", ["ws 1\n", "ws-1\r\nX: y", "空间", " "])
def test_workspaces_that_no_header_can_carry_are_refused(workspace: str) -> None:
    with pytest.raises(ConfigurationError, match="workspace"):
        made(URL, workspace=workspace)


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_time_outs_that_cannot_be_meant_are_refused(timeout: float) -> None:
    with pytest.raises(ConfigurationError, match="timeout"):
        made(URL, timeout=timeout)


@pytest.mark.parametrize(("timeout", "connect"), [(300.0, 10.0), (2.5, 2.5)])
def test_the_time_out_holds_for_data_and_a_shorter_one_for_connecting(timeout: float, connect: float) -> None:
    wire = Wire()
    with Client(URL, transport=wire.transport, timeout=timeout) as client:
        client.threads.retrieve("thread_1")
    given = wire.request.extensions["timeout"]
    assert (given["read"], given["write"], given["connect"]) == (timeout, timeout, connect)


# --- the key is shown nowhere ------------------------------------------------------------------------


def test_a_client_shows_where_it_is_connected_and_not_with_which_key() -> None:
    with made(URL, api_key=KEY, workspace="ws-1") as client:
        assert repr(client) == f"Client('{URL}', workspace='ws-1')"
        assert KEY not in str(client)
        stream = client.runs.stream("thread_1", assistant_id="asst_1")
        assert repr(stream) == f"RunStream({RunState()!r})"
        assert KEY not in repr(client.runs) + repr(client.runs.create)


def failing(status: int) -> httpx.Response:
    return httpx.Response(status, json={"code": "InvalidApiKey", "message": "Invalid API-key provided."})


@pytest.mark.parametrize(
    "use", [lambda c: c.threads.retrieve("t"), lambda c: list(c.runs.stream("t", assistant_id="a"))]
)
def test_a_failing_request_does_not_show_the_key(use: Callable[[Client], object]) -> None:
    wire = Wire(lambda: failing(401))
    with Client(URL, api_key=KEY, transport=wire.transport) as client, pytest.raises(AuthenticationError) as caught:
        use(client)
    assert wire.request.headers["Authorization"].endswith(KEY)
    shown = [*traceback.format_exception(caught.value), repr(caught.value), str(vars(caught.value))]
    assert KEY not in "".join([*shown, *caught.value._render_traceback_()])


def test_a_broken_connection_does_not_show_the_key() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request)

    client = Client(URL, api_key=KEY, transport=httpx.MockTransport(handle))
    with client, pytest.raises(ConnectionFailed) as caught:
        client.threads.create()
    trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [frame for frame in trace.stack if "client.py" in frame.filename and "dashnb" in frame.filename]
    assert ours
    assert KEY not in "".join([*trace.format_exception_only(), *(str(frame.locals) for frame in ours)])


# --- real connections --------------------------------------------------------------------------------


class Server:
    """An HTTP/1.1 server on this machine that counts connections and keeps the lines of requests."""

    def __init__(self) -> None:
        self.connections = 0
        self.lines: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                server.connections += 1
                super().setup()

            def answer(self) -> None:
                server.lines.append(self.requestline)
                body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
                content, kind = json.dumps(ANYTHING).encode(), "application/json"
                if body.get("stream"):
                    content, kind = b"event:done\ndata:[DONE]\n\n", "text/event-stream"
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/api/v1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def test_calls_and_streams_share_one_connection(server: Server) -> None:
    with Client(server.url) as client:
        client.threads.create()
        for _ in range(3):
            client.threads.retrieve("thread_1")
        assert [event.name for event in client.runs.stream("thread_1", assistant_id="a")] == ["done"]
        client.threads.delete("thread_1")
    assert (len(server.lines), server.connections) == (6, 1)


def test_awaited_calls_and_streams_share_one_connection(server: Server) -> None:
    async def use() -> list[str]:
        async with AsyncClient(server.url) as client:
            await client.threads.create()
            await client.threads.retrieve("thread_1")
            names = [event.name async for event in client.runs.stream("thread_1", assistant_id="a")]
            await client.threads.delete("thread_1")
            return names

    assert asyncio.run(use()) == ["done"]
    assert (len(server.lines), server.connections) == (4, 1)


def through_the_environment(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, proxy)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_reached_without_the_proxies_of_the_environment(
    host: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    through_the_environment(monkeypatch, "http://proxy.invalid:1")
    with Client(server.url.replace("127.0.0.1", host)) as client:
        assert client.threads.retrieve("thread_1").id == "any_1"
    assert server.lines == ["GET /api/v1/threads/thread_1 HTTP/1.1"]


def test_other_machines_are_reached_through_the_proxies_of_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    through_the_environment(monkeypatch, server.url.removesuffix("/api/v1"))
    with Client("http://service.test/api/v1") as client:
        assert client.threads.retrieve("thread_1").id == "any_1"
    assert server.lines == ["GET http://service.test/api/v1/threads/thread_1 HTTP/1.1"]


def test_a_client_that_is_closed_closes_its_transport() -> None:
    closed: list[str] = []

    class Closing(httpx.MockTransport):
        def close(self) -> None:
            closed.append("sync")

        async def aclose(self) -> None:
            closed.append("async")

    def handle(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=ANYTHING)

    async def use() -> None:
        async with AsyncClient(URL, transport=Closing(handle)) as client:
            await client.threads.create()

    with Client(URL, transport=Closing(handle)) as client:
        client.threads.create()
    asyncio.run(use())
    assert closed == ["sync", "async"]


def test_arguments_are_not_changed(client: Client, wire: Wire) -> None:
    tool: Mapping[str, Any] = MappingProxyType({"type": "rag", "prompt_ra": {"pipeline_id": []}})
    message = MappingProxyType({"role": "user", "content": "Hi"})
    client.threads.create(messages=[message])
    client.assistants.create(model="m", tools=[tool])
    assert [json.loads(request.content) for request in wire.requests] == [
        {"messages": [{"role": "user", "content": "Hi"}]},
        {"model": "m", "tools": [dict(tool)]},
    ]


@pytest.mark.parametrize("given", [{"api_key": "x" * 5000}, {"api_key": KEY, "workspace": "w" * 5000}])
def test_what_is_longer_than_any_key_is_refused_before_anything_is_made_of_it(given: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="longer than 4096 characters") as caught:
        Client(URL, **given)  # type: ignore[arg-type] # of the arguments, only texts are given
    assert "xxxx" not in str(caught.value)
