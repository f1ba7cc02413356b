"""From answers that are no success to exceptions, and when a request may be sent again. Pure.

Only reads are repeated: a second "create a run" would make a second run. What became of another request
whose answer was lost has to be looked at.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

import httpx

from dashnb.credentials import Known
from dashnb.errors import (
    APIError,
    ConnectionFailed,
    DashnbError,
    ProtocolError,
    RateLimitError,
    StreamError,
    api_error,
    bare,
    chain,
)
from dashnb.foreign import read_json
from dashnb.keys import mask

# Somebody on the way was too slow, or went away; of the errors of servers, these come again each time.
_SLOW = frozenset({408, 425, 429, 499})
_LASTING = frozenset({501, 505, 507, 508, 510, 511})
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a read is sent again.

    Attributes:
        attempts: How often a request is sent at most.
        first: Seconds before the second attempt; doubled for each further one.
        longest: Seconds that no wait exceeds.
        rng: Source of the jitter: waits are spread over 50 to 100 % of their length, so that many
            clients do not come back at the same moment.
    """

    attempts: int = 4
    first: float = 0.5
    longest: float = 30.0
    rng: random.Random = field(default_factory=random.Random)

    def delay(self, attempt: int, *, retry_after: float | None = None) -> float | None:
        """Seconds to wait after the given attempt (from 1) failed, or None to give up.

        A server that asks for more than ``longest`` seconds is not asked again.
        """
        if attempt >= self.attempts:
            return None
        if retry_after is not None:
            return retry_after if retry_after <= self.longest else None
        longest = min(self.longest, self.first * 2.0 ** (attempt - 1))
        return longest * self.rng.uniform(0.5, 1.0)


def is_passing(status: int) -> bool:
    """True if an answer with this status says nothing for good: a server, or a proxy on the way, could not answer now.

    >>> is_passing(503), is_passing(524), is_passing(408), is_passing(404), is_passing(501)
    (True, True, True, False, False)
    """
    return status in _SLOW or (status >= 500 and status not in _LASTING)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that a server asks to wait, or None.

    A date is compared with the answer's own date, as the server's clock need not be ours.

    >>> retry_after({"retry-after": "3"})
    3.0
    >>> retry_after({"retry-after": "Thu, 01 Jan 1970 00:00:10 GMT", "date": "Thu, 01 Jan 1970 00:00:04 GMT"})
    6.0
    """
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return float(value)
    until, now = _seconds(value), _seconds(headers.get("date", ""))
    return None if until is None or now is None else max(0.0, until - now)


def _seconds(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None


def decode(response: httpx.Response) -> object:
    """The JSON of a successful answer.

    Raises:
        APIError: The answer is an error, by its status.
        ProtocolError: The answer is not JSON.
    """
    # What goes wrong is shown and kept, and some servers repeat the key that they refuse.
    text = mask(response.text, response.request.headers.get("authorization", ""))
    try:
        value = read_json(text) if text.strip() else None
    except ValueError:
        value = text
    if not response.is_success:
        raise _error_of(response, value)
    if not isinstance(value, (dict, list)):
        kind = response.headers.get("content-type", "no content type")
        raise ProtocolError(
            f"{_place(response)} answered {kind} in place of JSON: {short(text)!r}\n"
            "Check the base URL: it ends in /api/v1, and no proxy or login page may stand before it."
        )
    return value


def _error_of(response: httpx.Response, value: object) -> APIError:
    fields = value if isinstance(value, dict) else {}
    message = str(fields.get("message") or (value if isinstance(value, str) else "") or response.reason_phrase)
    error = api_error(
        response.status_code,
        code=str(fields.get("code") or ""),
        message=short(message, 400),
        request_id=str(fields.get("request_id") or response.headers.get("x-request-id", "")),
    )
    if isinstance(error, RateLimitError):
        error.retry_after = retry_after(response.headers)
    return error


def unreachable(error: httpx.RequestError, base_url: str) -> ConnectionFailed:
    """The exception for a request that got no answer."""
    where = httpx.URL(base_url).host
    if isinstance(error, httpx.TimeoutException):
        return ConnectionFailed(
            f"{where} did not answer in time ({type(error).__name__}).\n"
            "Try again, allow more time with timeout=SECONDS, or connect local to work without a network."
        )
    if isinstance(error, httpx.DecodingError):
        return ConnectionFailed(
            f"{where} sent an answer that is not taken: {short(str(error))}.\n"
            "Check the base URL, and any proxy before it; of a long list, ask for less at once with limit=…."
        )
    what = "cannot be reached" if isinstance(error, (httpx.ConnectError, httpx.ProxyError)) else "gave no whole answer"
    return ConnectionFailed(
        f"{where} {what}: {short(str(error)) or type(error).__name__}\n"
        "Check the network and the base URL, or connect local to work without a network."
    )


def unsent(error: httpx.RequestError, key: Known) -> httpx.RequestError:
    """The error without its request, which holds the key, without frames, and without what a server repeats.

    >>> unsent(httpx.ReadError("sk-canary broke off"), Known(["sk-canary"], by="***"))
    ReadError('*** broke off')
    """
    error._request = None
    for one in chain(error):
        one.args = tuple(key.without(arg) if isinstance(arg, str) else arg for arg in one.args)
    return bare(error)


def may_have_arrived(error: DashnbError) -> bool:
    """True if the service may have done what a request asks for, though its answer says nothing of it.

    >>> may_have_arrived(api_error(502, code="", message="Bad gateway")), may_have_arrived(ProtocolError("HTML"))
    (True, True)
    >>> may_have_arrived(api_error(400, code="InvalidParameter", message="No such model."))
    False
    """
    if isinstance(error, ConnectionFailed):
        return not isinstance(error.__cause__, _NEVER_SENT)
    if isinstance(error, APIError):
        return is_passing(error.status_code)
    return isinstance(error, ProtocolError) or (isinstance(error, StreamError) and not error.code)


def _place(response: httpx.Response) -> str:
    return f"{response.request.method} {response.request.url.path}"


def short(text: str, most: int = 120) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]}…"
