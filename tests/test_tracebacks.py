"""Tracebacks that show variables: whatever goes wrong, none of them shows a key or a password."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import IPython
import pytest
from IPython.core.ultratb import VerboseTB
from rich.console import Console
from rich.traceback import Traceback
from test_openai_engine import turn

import dashnb
from dashnb.client.client import AsyncClient, Client
from dashnb.errors import DashnbError
from dashnb.keys import Secret
from dashnb.local.models.engine import EngineError
from dashnb.local.models.openai.exchange import OpenAIEngine
from dashnb.local.server import Server
from dashnb.session.connection import plan
from dashnb.settings import Settings

# In pieces, as the formatters show the lines of this file too.
KEY = "-".join(("sk", "canary0f1e2d3c4b5a69788796a5b4"))
PASSWORD = "".join(("canary", "0f1e2d3c"))
NEEDLE = "".join(("0f1e", "2d3c"))
URL = "http://service.example/api/v1"


def in_ipython(error: BaseException) -> str:
    plain = {"theme_name": "nocolor"} if IPython.version_info >= (9,) else {"color_scheme": "NoColor"}
    formatter = VerboseTB(include_vars=True, **plain)
    return str(formatter.text(type(error), error, error.__traceback__))


def in_rich(error: BaseException) -> str:
    console = Console(file=io.StringIO(), width=200)
    shown = Traceback.from_exception(type(error), error, error.__traceback__, show_locals=True, max_frames=200)
    console.print(shown)
    return console.file.getvalue()  # type: ignore[attr-defined]


def in_python(error: BaseException) -> str:
    whole = traceback.TracebackException(type(error), error, error.__traceback__, capture_locals=True)
    return "".join(whole.format())


FORMATTERS = {"IPython": in_ipython, "rich": in_rich, "Python": in_python}


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    monkeypatch.setenv("DASHNB_LLM_KEY", f"{KEY}llm")


# --- answers that repeat the key ---------------------------------------------------------------------


def event(name: str, **data: Any) -> bytes:
    return f"event:{name}\ndata:{json.dumps(data)}\n\n".encode()


def begun() -> bytes:
    said = f"{KEY} you said"
    run = event(
        "thread.run.created", id="run_1", object="thread.run", thread_id="thread_1", model=said, status="queued"
    )
    delta = {"id": "m", "delta": {"content": [{"type": "text", "text": {"value": said}}]}}
    return run + event("thread.message.delta", **delta)


def malformed() -> Iterator[bytes]:
    yield begun()
    yield f'event:thread.run.completed\ndata:{{"x{KEY}\n\n'.encode()


def refusing() -> Iterator[bytes]:
    yield begun()
    yield event("error", code=f"C{KEY}", message=f"M{KEY}", request_id=KEY)


def breaking() -> Iterator[bytes]:
    yield begun()
    raise httpx.ReadError(f"broke off at {KEY}")


def interrupted() -> Iterator[bytes]:
    chunk = begun()
    yield chunk
    raise KeyboardInterrupt


def cut_in_two() -> Iterator[bytes]:
    whole = b"".join(malformed())
    at = whole.rindex(KEY.encode()) + 9
    yield whole[:at]
    yield whole[at:]


STREAMS: dict[str, Callable[[], Iterator[bytes]]] = {
    one.__name__: one for one in (malformed, refusing, breaking, interrupted, cut_in_two)
}


class _Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


def echoing(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.MockTransport:
    return httpx.MockTransport(answer)


def streaming(name: str) -> httpx.MockTransport:
    headers = {"content-type": "text/event-stream"}
    return echoing(lambda _: httpx.Response(200, headers=headers, stream=_Body(STREAMS[name]())))


ANSWERS: dict[str, Callable[[httpx.Request], httpx.Response]] = {
    "error": lambda r: httpx.Response(401, json={"code": f"C{KEY}", "message": str(r.headers), "request_id": KEY}),
    "header": lambda r: httpx.Response(401, text="no", headers={"x-request-id": r.headers["authorization"]}),
    "page": lambda r: httpx.Response(200, text=f"<b>{r.headers['authorization']}</b>"),
    "object": lambda r: httpx.Response(200, json={"object": "thread", "metadata": r.headers["authorization"]}),
    "redirect": lambda r: httpx.Response(302, headers={"location": f"http://x/?key={r.headers['authorization']}"}),
}


def client_of(transport: httpx.BaseTransport) -> Client:
    return Client(URL, api_key=Settings.load(file=None).secret("api_key"), transport=transport)


def read_stream(name: str) -> None:
    with client_of(streaming(name)) as client:
        list(client.runs.stream("thread_1", assistant_id="asst_1"))


def read_stream_asynchronously(name: str) -> None:
    async def read() -> None:
        key = Settings.load(file=None).secret("api_key")
        async with AsyncClient(URL, api_key=key, transport=streaming(name)) as client:
            async for _ in client.runs.stream("thread_1", assistant_id="asst_1"):
                pass

    asyncio.run(read())


def send(name: str) -> None:
    with client_of(echoing(ANSWERS[name])) as client:
        client.threads.create()


def reach_nobody() -> None:
    with dashnb.connect("http://127.0.0.1:9/api/v1") as client:
        client.threads.create()


def answer_with_a_model_server(answer: Callable[[httpx.Request], httpx.Response]) -> None:
    async def ask() -> None:
        async with httpx.AsyncClient(transport=echoing(answer)) as client:
            key = Settings.load(file=None).secret("llm_key")
            engine = OpenAIEngine("http://model.example/v1", key, client=client)
            async for _ in engine.answer(turn()):
                pass

    asyncio.run(ask())


WRONG: dict[str, Callable[[], Any]] = {
    **{f"a stream, {name}": (lambda name=name: read_stream(name)) for name in STREAMS},
    **{f"an asynchronous stream, {name}": (lambda name=name: read_stream_asynchronously(name)) for name in STREAMS},
    **{f"an answer, {name}": (lambda name=name: send(name)) for name in ANSWERS},
    "nobody answers": reach_nobody,
    "a recording that cannot be written": lambda: dashnb.connect(URL, record="."),
    "a pattern that is none": lambda: dashnb.connect(URL, record="x.jsonl", redact=["("]),
    "a place that is none": lambda: dashnb.connect("clod"),
    "a time-out that is none": lambda: dashnb.connect(URL, timeout=-1),
    **{
        f"a model server, {name}": (lambda answer=answer: answer_with_a_model_server(answer))
        for name, answer in ANSWERS.items()
        if name != "object"  # without choices it is an answer that says nothing
    },
}
# What they raise; an interrupt stays one.
RAISED = (DashnbError, EngineError, KeyboardInterrupt)


def shown(error: BaseException, *, formatter: str) -> str:
    """What a person sees who raises an error of their own because of this one, frames of all of them included."""
    try:
        raise RuntimeError("mine") from error
    except RuntimeError as mine:
        return FORMATTERS[formatter](mine)


@pytest.mark.parametrize("formatter", FORMATTERS)
@pytest.mark.parametrize("name", WRONG)
def test_no_variable_of_a_frame_shows_a_key(
    name: str, formatter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RAISED) as caught:
        WRONG[name]()
    text = shown(caught.value, formatter=formatter)
    assert "mine" in text
    assert NEEDLE not in text, text[max(0, text.index(NEEDLE) - 300) : text.index(NEEDLE) + 50]


# --- addresses ---------------------------------------------------------------------------------------

ADDRESSES: dict[str, tuple[str, str]] = {
    "a driver that is not there": ("DASHNB_DATABASE", "nosuch://me:{}@h/d"),
    "a database that nobody serves": ("DASHNB_DATABASE", "postgresql+psycopg://me:{}@127.0.0.1:9/d"),
    "a password in the query": ("DASHNB_DATABASE", "nosuch://h/d?password={}"),
    "a base URL": ("DASHSCOPE_HTTP_BASE_URL", "http://me:{}@h/api/v1"),
    "a place": ("DASHNB_CONNECT", "http://me:{}@h/api/v1"),
    "a key in a place": ("DASHNB_CONNECT", "http://h/api/v1?api_key={}"),
    "a proxy": ("ALL_PROXY", "ftp://me:{}@h:1"),
}


@pytest.mark.parametrize("formatter", FORMATTERS)
@pytest.mark.parametrize("name", ADDRESSES)
def test_no_variable_of_a_frame_shows_the_password_of_an_address(
    name: str, formatter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable, address = ADDRESSES[name]
    monkeypatch.setenv(variable, address.format(PASSWORD))
    for proxy in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(proxy, raising=False)
    target = {"DASHNB_DATABASE": "local", "ALL_PROXY": URL}.get(variable)
    with pytest.raises(DashnbError) as caught:
        dashnb.connect(target)
    assert NEEDLE not in str(caught.value)
    text = shown(caught.value, formatter=formatter)
    assert NEEDLE not in text, text[max(0, text.index(NEEDLE) - 300) : text.index(NEEDLE) + 50]


@pytest.mark.parametrize("name", [name for name in ADDRESSES if name != "a proxy"])
def test_a_status_a_repr_and_the_doctor_show_no_password(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dashnb import cli
    from dashnb.magics.conversation import Conversation
    from dashnb.magics.status import status, summary

    variable, address = ADDRESSES[name]
    monkeypatch.delenv("DASHSCOPE_API_KEY")
    monkeypatch.setenv(variable, address.format(PASSWORD))
    settings = Settings.load(file=None)
    conversation = Conversation(settings)
    setting = {"DASHSCOPE_HTTP_BASE_URL": "base_url"}.get(variable, variable.removeprefix("DASHNB_").lower())
    said = [status(conversation), summary(conversation), repr(settings), repr(plan(settings)), settings.shown(setting)]
    said += [repr([settings, plan(settings)]), repr(vars(settings)), repr(settings.text(setting))]
    cli.main(["doctor"])
    cli.main(["ask", "hi"])
    printed = capsys.readouterr()
    assert NEEDLE not in "".join(said) + printed.out + printed.err
    assert "********" in repr(settings)
    assert PASSWORD in (settings.text(setting) or "")


# --- objects -----------------------------------------------------------------------------------------


def contents(thing: object, depth: int = 4) -> Iterator[str]:
    """What shows an object shows: its repr, and that of all that it holds."""
    yield repr(thing)
    if depth and hasattr(thing, "__dict__"):
        for value in vars(thing).values():
            yield from contents(value, depth - 1)
    if depth and isinstance(thing, dict):
        for value in thing.values():
            yield from contents(value, depth - 1)
    if depth and isinstance(thing, (list, tuple)):
        for value in thing:
            yield from contents(value, depth - 1)


def test_no_object_that_holds_a_key_shows_it() -> None:
    key = Settings.load(file=None).secret("api_key")
    assert isinstance(key, Secret)
    with (
        client_of(httpx.MockTransport(lambda _: httpx.Response(200))) as client,
        Server(":memory:", OpenAIEngine("http://x/v1", key), plugins={}, api_key=key) as server,
    ):
        request = client._pool.http.build_request("GET", URL)
        assert client._auth is not None
        sent = next(client._auth.auth_flow(request))
        assert sent.headers["authorization"] == f"Bearer {KEY}"
        things = [client, server, sent, sent.headers, sent.headers.raw, OpenAIEngine("http://x/v1", key), client._auth]
        assert [text for thing in things for text in contents(thing) if NEEDLE in text] == []
        assert server.api_key == KEY


def test_the_search_for_a_key_in_tracebacks_finds_one() -> None:
    def fail(key: str) -> None:
        raise ValueError(len(key))

    with pytest.raises(ValueError, match=str(len(KEY))) as caught:
        fail(KEY)
    assert [name for name in FORMATTERS if NEEDLE not in shown(caught.value, formatter=name)] == []
    assert NEEDLE in "".join(contents({"a": [Client, KEY]}))
    assert sys.modules["dashnb"] is dashnb
