"""The engine: one request for each turn, its stream read as it comes, and attempts made again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from ssl import SSLContext
from typing import Any

import httpx

from dashnb.bearer import Bearer
from dashnb.credentials import MASK, redacted
from dashnb.errors import ConfigurationError, ProtocolError
from dashnb.foreign import read_json
from dashnb.intake import UNPACKED, Limits, bounded
from dashnb.keys import Secret, known, reveal
from dashnb.local.models.engine import EngineError, Piece, Turn
from dashnb.local.models.openai import failures
from dashnb.local.models.openai.answer import Answer
from dashnb.local.models.openai.request import ToolNames, body_of
from dashnb.protocol.sse import Decoder

ATTEMPTS = 3
FIRST_PAUSE = 0.5
MOST_MODELS = 8  # named in a message
# A million tokens; to read a longer JSON text would hold up everybody else's events.
LIMITS = Limits(answer=4 << 20, stream=64 << 20)
MOST_EVENT = 1 << 20
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class OpenAIEngine:
    """Answers turns through a server of the OpenAI chat-completions format.

    >>> OpenAIEngine("http://127.0.0.1:8000/v1", "sk-canary", model="qwen3")
    OpenAIEngine('http://127.0.0.1:8000/v1', model='qwen3')

    Args:
        base_url: The address above ``/chat/completions``.
        api_key: The key, if the server wants one; it is shown nowhere.
        model: The model that answers, whatever model a run asks for; None for the run's own.
        client: Sends the requests; one of its own for each turn if None.
        timeout: Seconds to wait between two pieces of data.
        name: What the engine is called.
        sleep: How to let the seconds before another attempt pass.

    Raises:
        ConfigurationError: The address or the key cannot be sent.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | Secret | None = None,
        *,
        model: str | None = None,
        client: httpx.AsyncClient | None = None,
        timeout: float = 300.0,
        name: str = "openai",
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self.model = model
        self._base_url = base_url.strip().rstrip("/").removesuffix("/chat/completions")
        key = api_key = Secret((reveal(api_key) or "").strip())
        self._auth = Bearer(key) if key else httpx.USE_CLIENT_DEFAULT
        self._key = known(key)
        self._client = client
        self._timeout = timeout
        self._sleep = sleep
        self._ssl: SSLContext | None = None
        try:
            url = httpx.URL(self._base_url)
        except httpx.InvalidURL as error:
            raise ConfigurationError(f"The address of the model server (DASHNB_LLM_URL) is no URL: {error}.") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise ConfigurationError("The address of the model server (DASHNB_LLM_URL) must begin with http://HOST.")
        if not (key.reveal().isascii() and key.reveal().isprintable()):
            raise ConfigurationError("The key of the model server holds characters that no key has; copy it again.")
        self._is_here = url.host in _LOOPBACK
        # An address may carry a password of its own.
        self.place = str(url.copy_with(username="", password="", query=None) if url.userinfo or url.query else url)

    async def answer(self, turn: Turn) -> AsyncIterator[Piece]:
        """The pieces of the model's answer. Closing the iterator closes the connection at once.

        Raises:
            EngineError: There is no answer, or it broke off.
        """
        answer = Answer(ToolNames(turn.tools).own)
        body = body_of(turn, model=self.model or turn.model)
        try:
            async with AsyncExitStack() as stack:
                client = self._client
                if client is None:
                    client = await stack.enter_async_context(self._new_client())
                response = await self._open(client, body)
                stack.push_async_callback(response.aclose)
                chunks = await stack.enter_async_context(aclosing(self._chunks(response, answer)))
                async for chunk in chunks:
                    for piece in answer.feed(chunk):
                        yield piece
            for piece in answer.end():
                yield piece
        except EngineError as error:
            # Servers repeat the key that they refuse.
            raise EngineError(self._masked(str(error)), code=error.code) from None
        except httpx.TimeoutException:
            raise failures.timed_out(self.place, self._timeout) from None
        except (httpx.DecodingError, ProtocolError) as error:
            raise failures.broken(self.place, f"is not taken: {str(error).rstrip('.')}") from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise failures.broken(self.place, self._masked(f"broke off ({error or type(error).__name__})")) from None
        except (AttributeError, TypeError, ValueError) as error:
            # Chunks are read as the format has them; anything else shows here.
            why = self._masked(f"is not in the chat-completions format ({type(error).__name__}: {error})")
            raise failures.broken(self.place, why) from None

    async def _open(self, client: httpx.AsyncClient, body: dict[str, Any]) -> httpx.Response:
        """The answer once it begins; attempts are repeated only before its first byte."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                sent = await client.send(self._request(client, body), stream=True, auth=self._auth)
                response = bounded(sent, LIMITS)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                failure = failures.no_connection(self.place)
            else:
                if response.is_success:
                    return response
                failure = await self._refused(client, response, body["model"])
            if failure.wait is None or attempt == ATTEMPTS:
                raise failure.error
            await self._sleep(failure.wait or FIRST_PAUSE * 2 ** (attempt - 1))
        raise AssertionError("the last attempt raises")

    def _request(self, client: httpx.AsyncClient, body: dict[str, Any]) -> httpx.Request:
        return client.build_request(
            "POST",
            f"{self._base_url}/chat/completions",
            # ASCII carries everything that a message may hold, half surrogate pairs too.
            content=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Accept": "text/event-stream", **UNPACKED},
            timeout=httpx.Timeout(self._timeout, connect=min(self._timeout, 10.0)),
        )

    async def _refused(self, client: httpx.AsyncClient, response: httpx.Response, model: str) -> failures.Failure:
        try:
            content = await response.aread()
        except httpx.DecodingError:
            content = b""  # then the status alone has to say it
        finally:
            await response.aclose()
        failure = failures.refused(self.place, response, content)
        if failure.error.code != "ModelNotFound":
            return failure
        known = await self._models(client)
        has = f"\nIt has: {', '.join(known[:MOST_MODELS])}{', …' if len(known) > MOST_MODELS else ''}." if known else ""
        asked = f"\nThe model asked for was {model!r}." if model not in str(failure.error) else ""
        return failures.Failure(EngineError(f"{failure.error}{asked}{has}", code=failure.error.code))

    async def _models(self, client: httpx.AsyncClient) -> list[str]:
        """The models that the server has, for a message; none if it does not say."""
        try:
            request = client.build_request("GET", f"{self._base_url}/models", headers=UNPACKED, timeout=5.0)
            async with asyncio.timeout(5.0):
                response = bounded(await client.send(request, stream=True, auth=self._auth), LIMITS)
                try:
                    content = await response.aread()
                finally:
                    await response.aclose()
            return [str(model["id"]) for model in read_json(content)["data"]] if response.is_success else []
        except (httpx.HTTPError, TimeoutError, KeyError, TypeError, ValueError):
            return []

    async def _chunks(self, response: httpx.Response, answer: Answer) -> AsyncGenerator[dict[str, Any], None]:
        """The chunks of a stream, or the one chunk that a whole completion is."""
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "text/html":
            raise failures.no_server(self.place)
        if kind == "application/json":
            yield self._chunk((await response.aread()).decode(errors="replace"))
            return
        decoder = Decoder(MOST_EVENT)
        async for content in response.aiter_bytes():
            for event in decoder.feed(content):
                if event.data.strip() == "[DONE]":
                    return
                yield self._chunk(event.data)
        last = decoder.flush()
        if last is not None and last.data.strip() == "[DONE]":
            return
        if last is not None and _is_json(last.data):
            yield self._chunk(last.data)
        # Some servers leave [DONE] out; an answer whose end was announced is whole all the same.
        if not answer.finish_reason:
            raise failures.broken(self.place, "broke off before its end")

    def _chunk(self, data: str) -> dict[str, Any]:
        try:
            chunk = read_json(data)
        except ValueError:
            raise failures.broken(self.place, f"holds something that is not JSON: {data[:80]}") from None
        if not isinstance(chunk, dict):
            raise failures.broken(self.place, f"holds something that is no chunk: {data[:80]}")
        if (error := failures.in_stream(self.place, chunk)) is not None:
            raise error
        return chunk

    def _new_client(self) -> httpx.AsyncClient:
        # Made once: it reads the system's certificates. A proxy has no way to this machine.
        self._ssl = self._ssl or httpx.create_ssl_context()
        return httpx.AsyncClient(verify=self._ssl, trust_env=not self._is_here)

    def _masked(self, text: str) -> str:
        return redacted(self._key.without(text), by=MASK)

    def __repr__(self) -> str:
        return f"OpenAIEngine({self.place!r}, model={self.model!r})"


def _is_json(text: str) -> bool:
    try:
        read_json(text)
    except ValueError:
        return False
    return True
