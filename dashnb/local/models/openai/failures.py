"""What goes wrong between the embedded API and a model server, in words and codes of the platform."""

from __future__ import annotations

import json
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from dashnb.foreign import read_json
from dashnb.local.models.engine import EngineError

_CODES = {
    400: "InvalidParameter",
    401: "InvalidApiKey",
    402: "Arrearage",
    403: "AccessDenied",
    404: "ModelNotFound",
    408: "RequestTimeOut",
    413: "InvalidParameter",
    422: "InvalidParameter",
    429: "Throttling.RateQuota",
    504: "RequestTimeOut",
}
# What servers call it themselves, which is more exact than the status.
_OWN_CODES = {
    "invalid_api_key": "InvalidApiKey",
    "model_not_found": "ModelNotFound",
    "insufficient_quota": "Throttling.AllocationQuota",
    "rate_limit_exceeded": "Throttling.RateQuota",
    "data_inspection_failed": "DataInspectionFailed",
    "content_filter": "DataInspectionFailed",
}
_REMEDIES = {
    "InvalidApiKey": "Check the key: DASHNB_LLM_KEY, or DASHSCOPE_API_KEY for the engine qwen.",
    "AccessDenied": "The key may not use this model: choose another model or ask for access.",
    "Arrearage": "The account has to be paid for before it answers again.",
    "ModelNotFound": "Check DASHNB_LLM_URL (it ends in /v1 with most servers), and name a model that the server "
    "has: DASHNB_LLM_MODEL, or engine PRESET:MODEL.",
    "Throttling.RateQuota": "Wait a minute and ask again.",
    "Throttling.AllocationQuota": "The account's quota is used up; raise it or use another key.",
    "InvalidParameter": "Check the model, the sampling parameters and the length of the thread.",
    "DataInspectionFailed": "The server refused the content; put the question in other words.",
    "RequestTimeOut": "Ask again; a slow model may need a longer DASHNB_TIMEOUT.",
    "server_error": "Ask again in a moment; if it stays, look at the server's own log.",
}
LONGEST = 500  # of what a server says about its failure
LONGEST_WAIT = 30.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt: the error, and after how many seconds another attempt makes sense, if ever.

    Attributes:
        wait: Seconds that the server asks to wait; 0 if it says nothing; None if there is no use.
    """

    error: EngineError
    wait: float | None = None


def no_connection(place: str) -> Failure:
    """Nobody listens."""
    error = EngineError(
        f"There is no connection to the model server at {place}.\nStart the server, or correct DASHNB_LLM_URL.",
        code="server_error",
    )
    return Failure(error, 0.0)


def timed_out(place: str, seconds: float) -> EngineError:
    """The server was silent for too long."""
    message = f"The model server at {place} sent nothing for {seconds:g} s.\n{_REMEDIES['RequestTimeOut']}"
    return EngineError(message, code="RequestTimeOut")


def broken(place: str, why: str) -> EngineError:
    """The stream cannot be read to its end."""
    return EngineError(f"The answer of the model server at {place} {why}.\n{_REMEDIES['server_error']}")


def no_server(place: str) -> EngineError:
    """Something answers, but not in this format."""
    message = f"What answers at {place} is no chat-completions server.\nCheck DASHNB_LLM_URL."
    return EngineError(message, code="server_error")


def refused(place: str, response: httpx.Response, content: bytes) -> Failure:
    """An answer with an error status."""
    try:
        own_code, said = _read(read_json(content))
    except ValueError:
        own_code, said = "", response.reason_phrase
    status = response.status_code
    error = _error(f"The model server at {place} answered HTTP {status}", own_code, said, status)
    # A used-up quota is a 429 too, and no wait of ours mends it.
    again = status >= 500 or (status == 429 and error.code != "Throttling.AllocationQuota")
    wait = _retry_after(response) if again else None
    return Failure(error, wait if wait is not None and wait <= LONGEST_WAIT else None)


def in_stream(place: str, chunk: dict[str, Any]) -> EngineError | None:
    """The error that a chunk reports, or None if it is part of an answer."""
    is_error = chunk.get("error") or chunk.get("object") == "error" or ("code" in chunk and "choices" not in chunk)
    if not is_error:
        return None
    own_code, said = _read(chunk)
    status = int(own_code) if own_code.isdecimal() else 0
    return _error(f"The model server at {place} broke its answer off", own_code, said, status)


def _error(what: str, own_code: str, said: str, status: int) -> EngineError:
    code = _OWN_CODES.get(own_code) or _CODES.get(status, "server_error")
    words = " ".join(said.split())
    shown = words if len(words) <= LONGEST else f"{words[:LONGEST]}…"
    return EngineError(f"{what}{': ' if shown else '.'}{shown}\n{_REMEDIES[code]}", code=code)


def _read(value: Any) -> tuple[str, str]:
    """Code and message of an error, in the shapes that servers use."""
    error = value.get("error") or value if isinstance(value, dict) else value
    if not isinstance(error, dict):
        return "", str(error)
    code = error.get("code") or error.get("type") or ""
    message = error.get("message") or error.get("detail") or ""
    return str(code), message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)


def _retry_after(response: httpx.Response) -> float:
    """The seconds that the server asks to wait, 0 if it says nothing that can be understood."""
    text = response.headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        # Measured against the server's own clock, which may differ from ours.
        until, now = parsedate_to_datetime(text), parsedate_to_datetime(response.headers.get("date", ""))
        return max(0.0, (until - now).total_seconds())
    except (TypeError, ValueError):
        return 0.0
