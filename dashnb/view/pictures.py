"""Pictures that a tool made, fetched once and kept: a drawing tool's link expires within a day.

A link comes from a model or a tool, so it may be anything: an address inside the network, a file without
an end, a page in place of a picture. :func:`fetch_picture` therefore leaves this machine only by HTTPS, only
to public addresses, for a limited time, and takes nothing but PNG, JPEG, GIF and WebP. :class:`Gallery` does it
in the background, while the answer is still being written.
"""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from dashnb.protocol.state import RunState
from dashnb.view.addresses import is_public
from dashnb.view.dimensions import pixels
from dashnb.view.toolcalls import read_output

if TYPE_CHECKING:
    import ssl

    import httpcore
    import httpx

MOST_PICTURES = 20
MOST_BYTES = 5_000_000
MOST_PIXELS = 50_000_000  # four bytes of a browser's memory each; a few kilobytes may claim any number
_MOST_REDIRECTS = 3
_REASON = 200  # characters: an error may repeat the whole address
_REDIRECTS = (301, 302, 303, 307, 308)
_MAGIC = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF87a": "gif", b"GIF89a": "gif"}
_HEADERS = (
    ("User-Agent", "dashnb"),
    ("Accept", "image/png, image/jpeg, image/gif, image/webp"),
    ("Accept-Encoding", "identity"),
)

Resolve = Callable[..., Iterable[tuple[Any, ...]]]


class PictureNotFetched(Exception):
    """A picture is not to be had, or not to be asked for; the message is the reason, in one line.

    It reaches no person: the answer is shown with the picture's link then.
    """


# --- which pictures ------------------------------------------------------------------------------


def tool_pictures(state: RunState) -> tuple[str, ...]:
    """The https addresses of the pictures that the run's tools gave out, in order, each once.

    >>> tool_pictures(RunState())
    ()
    """
    outputs = (call.output for step in state.steps for call in step.calls)
    urls = (url for output in outputs for url in read_output(output).pictures)
    return tuple(dict.fromkeys(url for url in urls if url.lower().startswith("https://")))


# --- one picture ---------------------------------------------------------------------------------


def fetch_picture(
    url: str,
    *,
    most_bytes: int = MOST_BYTES,
    seconds: float = 8.0,
    resolve: Resolve = socket.getaddrinfo,
    allowed: Callable[[str], bool] = is_public,
    tls: ssl.SSLContext | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """The picture at an https address, as a data URI.

    >>> fetch_picture("http://example.org/cat.png")
    Traceback (most recent call last):
    dashnb.view.pictures.PictureNotFetched: only https is fetched, not http

    It is asked for without key, cookie or proxy. Of a name, every address must be allowed, and the connection
    goes to the address that was looked at: a second lookup might say something else.

    Args:
        url: Where the picture is; at most three redirects are followed, under the same rules.
        most_bytes: The longest picture that is taken, in bytes.
        seconds: The time for everything together: lookups, redirects, the last byte.
        resolve: What looks up names, called like ``socket.getaddrinfo``.
        allowed: Says of an IP address whether it may be connected to.
        tls: Which certificates are trusted; None for those of the system and of certifi.
        clock: Seconds that only grow.

    Raises:
        PictureNotFetched: It is not to be had, or not to be asked for.
    """
    import httpcore  # takes longer than all the rest of the view, and few runs draw

    deadline = _Deadline(seconds, clock)
    backend = _Backend(httpcore.SyncBackend(), resolve, allowed, deadline)
    try:
        with httpcore.ConnectionPool(
            ssl_context=tls, max_connections=1, network_backend=cast("httpcore.NetworkBackend", backend)
        ) as pool:
            body = _get(pool, url, most_bytes)
    except (TimeoutError, httpcore.TimeoutException):
        raise PictureNotFetched(f"it did not arrive within {seconds:g} seconds") from None
    except (OSError, ValueError, httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise PictureNotFetched(f"the connection failed: {_reason(error)}") from error
    return f"data:image/{_kind(body)};base64,{base64.b64encode(body).decode('ascii')}"


def _get(pool: httpcore.ConnectionPool, url: str, most_bytes: int) -> bytes:
    target = _checked(url)  # its netloc has the brackets of an IPv6 address, which httpcore would leave out
    for _ in range(1 + _MOST_REDIRECTS):
        with pool.stream("GET", _address(target), headers=[("Host", target.netloc), *_HEADERS]) as response:
            headers = {name.lower(): value for name, value in response.headers}
            if response.status not in _REDIRECTS:
                return _body(response, headers, most_bytes)
        target = _checked(headers.get(b"location", b"").decode("utf-8"), target)
    raise PictureNotFetched(f"it is redirected more than {_MOST_REDIRECTS} times")


def _checked(url: str, base: httpx.URL | None = None) -> httpx.URL:
    """The address, if it may be asked for; relative to ``base`` if it is where a redirect leads."""
    import httpx

    try:
        target = base.join(url) if base is not None else httpx.URL(url)
    except httpx.InvalidURL as error:
        raise PictureNotFetched(f"this is no address: {_reason(error)}") from error
    if target.scheme != "https":
        raise PictureNotFetched(f"only https is fetched, not {target.scheme or 'an address without a scheme'}")
    if target.userinfo:
        raise PictureNotFetched("the address holds a name or a password")
    if not target.host:
        raise PictureNotFetched("the address names no host")
    if target.port is not None and not 0 < target.port < 65536:
        raise PictureNotFetched("the address names a port that does not exist")
    return target


def _address(target: httpx.URL) -> httpcore.URL:
    """The address in parts, as they were checked: nothing reads the text a second time."""
    import httpcore

    return httpcore.URL(scheme=target.raw_scheme, host=target.raw_host, port=target.port or 443, target=target.raw_path)


def _body(response: httpcore.Response, headers: dict[bytes, bytes], most_bytes: int) -> bytes:
    if response.status != 200:
        raise PictureNotFetched(f"the server answered with HTTP {response.status}")
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise PictureNotFetched("it came compressed, though that was not asked for")
    body = bytearray()
    for piece in response.iter_stream():
        body += piece
        if len(body) > most_bytes:
            raise PictureNotFetched(f"it is longer than {most_bytes:,} bytes")
    if pixels(bytes(body)) > MOST_PIXELS:
        raise PictureNotFetched(f"it has more than {MOST_PIXELS:,} pixels")
    return bytes(body)


def _kind(body: bytes) -> str:
    """What kind of picture it is, by its own first bytes: a header may say anything."""
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return "webp"
    for magic, kind in _MAGIC.items():
        if body.startswith(magic):
            return kind
    raise PictureNotFetched("it is no PNG, JPEG, GIF or WebP")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:_REASON] or type(error).__name__


# --- the network ---------------------------------------------------------------------------------
# _Backend and _Stream have the methods of httpcore's NetworkBackend and NetworkStream, but are not derived
# from them: httpcore is imported only where a picture is fetched.


class _Deadline:
    """The time that is left for everything together."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end = clock() + seconds

    def left(self) -> float:
        left = self._end - self._clock()
        if left <= 0:  # to a socket, zero would mean: do not wait
            raise TimeoutError
        return left


class _Backend:
    """Connects to a host by the addresses that were looked at, within the deadline."""

    def __init__(
        self, inner: httpcore.SyncBackend, resolve: Resolve, allowed: Callable[[str], bool], deadline: _Deadline
    ) -> None:
        self._inner = inner
        self._resolve = resolve
        self._allowed = allowed
        self._deadline = deadline

    def connect_tcp(self, host: str, port: int, **_: Any) -> _Stream:
        addresses = self._addresses(host, port)
        while True:
            address = addresses.pop(0)
            share = self._deadline.left() / (1 + len(addresses))  # a dead address leaves time for the next
            try:
                return _Stream(self._inner.connect_tcp(address, port, timeout=share), self._deadline)
            except Exception:
                if not addresses:
                    raise

    def _addresses(self, host: str, port: int) -> list[str]:
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in self._look_up(host, port)))
        if not addresses:
            raise PictureNotFetched(f"{host} has no address")
        if not all(map(self._allowed, addresses)):
            raise PictureNotFetched(f"{host} is not on the public Internet")
        return addresses

    def _look_up(self, host: str, port: int) -> list[tuple[Any, ...]]:
        """In a thread of its own: a lookup cannot be broken off, only left behind."""
        answer: Future[list[tuple[Any, ...]]] = Future()

        def look() -> None:
            try:
                answer.set_result(list(self._resolve(host, port, type=socket.SOCK_STREAM)))
            except Exception as error:  # raised where the answer is awaited
                answer.set_exception(error)

        threading.Thread(target=look, name="dashnb-lookup", daemon=True).start()
        return answer.result(self._deadline.left())


class _Stream:
    """A connection on which every wait ends at the deadline."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._deadline.left())

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> _Stream:
        try:
            return _Stream(self._inner.start_tls(ssl_context, server_hostname, self._deadline.left()), self._deadline)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._inner.close()

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


# --- in the background ---------------------------------------------------------------------------


class Gallery:
    """Pictures on their way: :meth:`want` begins to fetch one, :meth:`collect` gives what has arrived.

    >>> with Gallery(fetch=lambda url: "data:image/png;base64,iVBO") as gallery:
    ...     gallery.want("https://example.org/cat.png")
    ...     gallery.collect(timeout=5)
    {'https://example.org/cat.png': 'data:image/png;base64,iVBO'}

    A picture that cannot be fetched is left out: its link is all there is to show then. No thread outlives
    its work, and none keeps the process from ending.

    Args:
        fetch: Takes an address and returns the picture as a data URI, or raises.
        workers: How many pictures are fetched at the same time.
        most: How many pictures are fetched at all; those wanted later are left out.
    """

    def __init__(
        self, fetch: Callable[[str], str] = fetch_picture, *, workers: int = 4, most: int = MOST_PICTURES
    ) -> None:
        self._fetch = fetch
        self._workers = workers
        self._most = most
        self._wanted: set[str] = set()
        self._waiting: deque[str] = deque()
        self._running = 0
        self._arrived: dict[str, str] = {}
        self._closed = False
        self._pending = 0
        self._changed = threading.Condition()

    @property
    def pending(self) -> int:
        """How many pictures are still to arrive or to fail."""
        with self._changed:
            return self._pending

    def want(self, url: str) -> None:
        """Begin to fetch a picture, unless it was wanted before; never raises and never waits."""
        with self._changed:
            if self._closed or url in self._wanted or len(self._wanted) >= self._most:
                return
            self._wanted.add(url)
            self._waiting.append(url)
            self._pending += 1
            if self._running < self._workers:
                self._start()

    def collect(self, timeout: float) -> dict[str, str]:
        """What has arrived: address → data URI; waits for the rest, but no longer than ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: not self._pending, timeout)
            return dict(self._arrived)

    def close(self) -> None:
        """Fetch nothing more; what is being fetched ends by itself and is not kept. What arrived stays."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._pending = 0
            self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        self._running += 1
        try:
            threading.Thread(target=self._work, name="dashnb-picture", daemon=True).start()
        except RuntimeError:  # no thread is to be had: another one does this work, or nobody
            self._running -= 1
            if not self._running:
                self._waiting.clear()
                self._pending = 0

    def _work(self) -> None:
        while (url := self._next()) is not None:
            try:
                picture = self._fetch(url)
            except Exception:  # whatever it is: the answer is shown with the link
                picture = ""
            self._settle(url, picture)

    def _next(self) -> str | None:
        with self._changed:
            if self._waiting:
                return self._waiting.popleft()
            self._running -= 1  # under the same lock as `want`, so that no picture is left without a worker
            return None

    def _settle(self, url: str, picture: str) -> None:
        with self._changed:
            if self._closed:
                return
            if picture:
                self._arrived[url] = picture
            self._pending -= 1
            self._changed.notify_all()
