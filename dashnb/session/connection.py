"""Where to connect and why: the settings decide, and can be asked for their reasons."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import httpx

from dashnb.client.client import REGIONS, Client
from dashnb.credentials import MASK, Address, redacted
from dashnb.errors import ConfigurationError
from dashnb.keys import Secret, hidden
from dashnb.settings import Settings

_CHOICES = "local, cloud, cloud-intl, replay:FILE or a URL that ends in /api/v1"
_REPLAY = "replay:"


@dataclass(frozen=True, slots=True)
class Connection:
    """Where a client is connected, and why.

    Attributes:
        kind: ``local``, ``cloud``, ``cloud-intl``, ``replay`` or ``url``.
        base_url: The service's base URL; for ``local`` one that never leaves the process, for ``replay``
            the target, as the cassette knows its own.
        reason: Which setting won, in words.
        engine: Who answers on the embedded API, or which cassette; ``""`` for others, who say so themselves.
        database: The embedded API's database; ``""`` for others.
        cassette: The file that is replayed; ``""`` for others.
    """

    kind: str
    base_url: str
    reason: str
    engine: str = ""
    database: str = ""
    cassette: str = ""

    def shown(self, name: str) -> str:
        """One of these as a person may see it, without the password that an address may carry."""
        return redacted(str(getattr(self, name)), by=MASK)

    def __repr__(self) -> str:
        facts = ", ".join(f"{one.name}={self.shown(one.name)!r}" for one in fields(self))
        return f"Connection({facts})"


def plan(settings: Settings, target: str | None = None) -> Connection:
    """Where to connect, by the settings; nothing is opened.

    >>> plan(Settings.load({}, file=None)).kind
    'local'
    >>> plan(Settings.load({"DASHSCOPE_API_KEY": "sk-x"}, file=None)).reason
    'environment DASHSCOPE_API_KEY is set'

    Args:
        settings: The settings.
        target: ``local``, ``cloud``, ``cloud-intl``, ``replay:FILE`` or a URL; outranks the settings.

    Raises:
        ConfigurationError: The target is none of these.
    """
    chosen, reason = _choose(settings, target)
    if chosen == "local":
        from dashnb.local.models.openai.presets import with_model
        from dashnb.local.service import BASE_URL

        engine = with_model(settings.engine, settings)
        return Connection("local", BASE_URL, reason, engine, settings.database)
    if chosen in REGIONS:
        return Connection(chosen, REGIONS[chosen], reason)
    if chosen.startswith(("http://", "https://")):
        return Connection("url", Address(chosen.rstrip("/")), reason)
    if (cassette := chosen.removeprefix(_REPLAY)) and chosen.startswith(_REPLAY):
        return Connection("replay", chosen, reason, f"replay · {Path(cassette).name}", cassette=cassette)
    if chosen.startswith("sk-") or Secret(chosen) in settings.secrets:
        chosen = target = ""  # a traceback with local variables shows them
        raise ConfigurationError(
            f"The place to connect to ({reason}) looks like a key; a key belongs in api_key=… or DASHSCOPE_API_KEY.\n"
            f"The place is {_CHOICES}."
        )
    raise ConfigurationError(f"Cannot connect to {chosen!r} ({reason}); say {_CHOICES}.")


def _choose(settings: Settings, target: str | None) -> tuple[str, str]:
    if target is not None:
        return target, "asked for"
    if named := settings.text("connect"):
        return named, f"{settings.source('connect')} says so"
    if url := settings.text("base_url"):
        return url, f"{settings.source('base_url')} says so"
    if settings.secret("api_key"):
        return "cloud", f"{settings.source('api_key')} is set"
    why, _, what_to_do = settings.key_remedy.partition("; ")
    return "local", why if what_to_do else "no key is set"


def place_of(base_url: str) -> str:
    """What a service is called in tables: ``local``, ``cloud``, ``cloud-intl``, or its URL.

    >>> place_of("https://dashscope.aliyuncs.com/api/v1"), place_of("http://localhost:8000/api/v1")
    ('cloud', 'http://localhost:8000/api/v1')
    """
    from dashnb.local.service import BASE_URL

    places = {url: kind for kind, url in (*REGIONS.items(), ("local", BASE_URL))}
    return places.get(base_url, base_url)


def connect(
    target: str | None = None,
    *,
    api_key: str | Secret | None = None,
    workspace: str | None = None,
    timeout: float | None = None,
    engine: str | None = None,
    database: str | None = None,
    record: str | Path | None = None,
    redact: Iterable[str] = (),
    speed: float | None = None,
) -> Client:
    """A client for the service that the target and the settings name.

    >>> with connect("local", database=":memory:") as client:
    ...     client.threads.create().object
    'thread'

    Args:
        target: ``local`` for the embedded API, ``cloud`` for Beijing, ``cloud-intl`` for Singapore,
            ``replay:FILE`` for a cassette, or a base URL; the settings decide if it is left out.
        api_key: The key, or a `dashnb.keys.Secret` with it; ``DASHSCOPE_API_KEY`` if left out.
        workspace: The workspace id, needed only for keys of a sub-workspace.
        timeout: Seconds to wait between two pieces of data.
        engine: Who answers on the embedded API: ``guide``, ``replay:FILE`` or a model server such as
            ``ollama:qwen3:0.6b``.
        database: The embedded API's database: a file or ``:memory:``.
        record: A file that becomes a cassette of all that goes over the wire, the keys taken out; an
            earlier cassette is replaced.
        redact: Regular expressions of what else is taken out of it.
        speed: How many times as fast as recorded a cassette is replayed; as fast as possible if left out.

    Raises:
        ConfigurationError: The target is unknown, the cloud is meant and there is no key, or a cassette
            cannot be read or written.
        ProtocolError: The file to replay is no cassette.
        StoreError: The embedded API's database cannot be used.
    """
    api_key = hidden(api_key)  # a traceback with local variables shows this one
    settings = Settings.load(
        api_key=api_key,
        workspace=workspace,
        timeout=None if timeout is None else str(timeout),
        engine=engine,
        database=database,
    )
    connection = plan(settings, target)
    if speed is not None and connection.kind != "replay":
        raise ConfigurationError("Only a cassette has a speed: connect to replay:FILE, or leave speed out.")
    if record is None:
        return open_client(connection, settings, speed=speed)
    if connection.kind == "replay":
        raise ConfigurationError("What is replayed was recorded already: leave record out, or copy the cassette.")
    return _recorded(connection, settings, record, redact)


def open_client(connection: Connection, settings: Settings, *, speed: float | None = None) -> Client:
    """The client of a connection.

    Args:
        connection: What `plan` made.
        settings: The settings.
        speed: How many times as fast as recorded a cassette is replayed; None for as fast as possible.

    Raises:
        ConfigurationError: The cloud is meant and there is no key, or the cassette cannot be read.
        ProtocolError: It is no cassette.
        StoreError: The embedded API's database cannot be used.
    """
    if connection.kind == "local":
        return _open_local(connection, settings)
    if connection.kind == "replay":
        from dashnb.client.cassettes import ReplayTransport

        replay = ReplayTransport(connection.cassette, speed=speed)
        return Client(replay.base_url, transport=replay, timeout=settings.timeout)
    if connection.kind in REGIONS and not settings.secret("api_key"):
        raise ConfigurationError(
            f"The cloud service ({connection.kind}, {connection.reason}) needs a key: {settings.key_remedy}.\n"
            "Without a key everything works with the embedded API: connect local."
        )
    return Client(
        connection.base_url,
        api_key=settings.secret("api_key"),
        workspace=settings.text("workspace"),
        timeout=settings.timeout,
    )


def _open_local(connection: Connection, settings: Settings) -> Client:
    from dashnb.local.service import LocalService, make_engine

    service = LocalService(connection.database, make_engine(connection.engine, pace=settings.pace, settings=settings))
    try:
        return Client(connection.base_url, transport=service.transport(closes=True), timeout=settings.timeout)
    except BaseException:
        service.close()
        raise


class _Through(httpx.BaseTransport):
    """The way that a client already has to its service, its proxies included."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._client._pool.http.send(request, stream=True)

    def close(self) -> None:
        self._client.close()


def _recorded(connection: Connection, settings: Settings, file: str | Path, redact: Iterable[str]) -> Client:
    from dashnb.client.cassettes import RecordingTransport

    with contextlib.ExitStack() as undo:
        client = open_client(connection, settings)
        undo.callback(client.close)
        way = RecordingTransport(
            _Through(client), file, base_url=client.base_url, secrets=settings.secrets, redact=redact
        )
        undo.callback(way.close)
        again = Client(
            client.base_url,
            api_key=None if connection.kind == "local" else settings.secret("api_key"),
            workspace=client.workspace,
            timeout=settings.timeout,
            transport=way,
        )
        undo.pop_all()
    return again
