"""How a person's own plugin is called: POST to its URL, with the arguments as JSON.

Source: Assistant API reference, plugin authentication. A tool definition with ``"auth": {"type":
"user_http", "user_token": "…"}`` puts the token into a header of the call, in the form
``{"<plugin type>": {"user_token": "…"}}``. The header's name is not published; here it is `AUTH_HEADER`.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx

from dashnb.credentials import MASK, Known
from dashnb.intake import UNPACKED, Limits, async_hooks
from dashnb.local.plugins import Plugin, PluginError
from dashnb.local.plugins.arguments import read_arguments
from dashnb.local.plugins.registry import OwnPlugin

AUTH_HEADER = "X-DashScope-Plugin-Auth"
SECONDS = 30.0
MOST_BYTES = 1_000_000
MOST_REDIRECTS = 3
_REDIRECTS = (307, 308)  # those that repeat the POST


def http_tool(plugin: OwnPlugin, *, seconds: float = SECONDS, most_bytes: int = MOST_BYTES) -> Plugin:
    """The plugin as a tool; its output is the body of the answer.

    The tool raises `PluginError` if a required argument is missing, if nobody answers in time, and if
    the answer is no success, too large, no text, or leads to another host. A token that the answer
    repeats is masked: it stands in no output and in no error.

    Args:
        plugin: The plugin.
        seconds: How long a call may take, from its beginning to its end.
        most_bytes: How long an answer may be, unpacked.
    """

    async def call(arguments: str, tool: dict[str, Any]) -> str:
        given = read_arguments(arguments, plugin=plugin.id)
        required = plugin.schema.get("required")
        for name in required if isinstance(required, list) else ():
            if name not in given:
                raise PluginError(f"{plugin.id} needs the argument {name!r}.")
        token = _token(plugin.id, tool)
        headers = {"Content-Type": "application/json", **UNPACKED}
        if token:
            headers[AUTH_HEADER] = json.dumps({plugin.id: {"user_token": token}})
        try:
            hooks = async_hooks(Limits(answer=most_bytes, stream=most_bytes, seconds=seconds))
            async with asyncio.timeout(seconds), httpx.AsyncClient(timeout=seconds, event_hooks=hooks) as client:
                text = await _post(client, plugin, json.dumps(given).encode(), headers, token)
        except (TimeoutError, httpx.TimeoutException):
            raise PluginError(f"{plugin.id} did not answer within {seconds:g} s.") from None
        except httpx.DecodingError as error:
            raise PluginError(f"The answer of {plugin.id} is not taken: {error}.") from None
        except httpx.HTTPError as error:
            reason = _masked(str(error) or type(error).__name__, token)
            # What stands behind the question mark of an address may be a key.
            where = httpx.URL(plugin.url).copy_with(query=None)
            raise PluginError(f"{plugin.id} cannot be reached at {where}: {reason}.") from None
        return text

    call.definition = plugin.definition  # type: ignore[attr-defined]  # what a model is told, see `Runner`
    return call


async def _post(client: httpx.AsyncClient, plugin: OwnPlugin, body: bytes, headers: dict[str, str], token: str) -> str:
    url = httpx.URL(plugin.url)
    for _ in range(MOST_REDIRECTS + 1):
        async with client.stream("POST", url, content=body, headers=headers) as response:
            if response.status_code in _REDIRECTS and "location" in response.headers:
                target = url.join(response.headers["location"])
                if (target.scheme, target.host, target.port) != (url.scheme, url.host, url.port):
                    raise PluginError(f"{plugin.id} leads to another address, {target.host}; that is not followed.")
                url = target
                continue
            data = await response.aread()
            if not response.is_success:
                said = _masked(data.decode("utf-8", "replace"), token)
                raise PluginError(_failure(plugin.id, response.status_code, said))
            return _masked(_text(data, plugin.id), token)
    raise PluginError(f"{plugin.id} leads from one address to the next; {MOST_REDIRECTS} were followed.")


def _text(data: bytes, plugin: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise PluginError(f"The answer of {plugin} is not text in UTF-8.") from None


def _failure(plugin: str, status: int, body: str) -> str:
    said = " ".join(body.split())
    said = said if len(said) <= 200 else f"{said[:200]}…"
    return f"{plugin} answered with HTTP {status}{f': {said}' if said else '.'}"


def _token(plugin: str, tool: dict[str, Any]) -> str:
    auth = tool.get("auth")
    if auth is None:
        return ""
    token = auth.get("user_token") if isinstance(auth, dict) else None
    if not isinstance(token, str) or not token:
        raise PluginError(f"The 'auth' of {plugin} has no 'user_token'.")
    return token


def _masked(text: str, token: str) -> str:
    return Known([token], shortest=1, by=MASK).without(text)
