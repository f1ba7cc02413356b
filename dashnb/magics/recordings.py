"""One cell on a cassette: recorded while it asks the service, or answered from the file."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx

from dashnb.client.cassettes import RecordingTransport, read_cassette
from dashnb.client.cassettes.cassette import MOST_BYTES, is_cassette
from dashnb.client.client import Client
from dashnb.errors import ConfigurationError
from dashnb.files import read_file
from dashnb.keys import Secret
from dashnb.session.connection import connect, place_of
from dashnb.settings import Settings


class _Borrowed(httpx.BaseTransport):
    """The way of a client that stays open."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._client._pool.http.send(request, stream=True)


@contextmanager
def recording(client: Client, settings: Settings, file: str) -> Generator[Client, None, None]:
    """A client for the same service whose requests and answers are written to a file.

    Args:
        client: The client; it stays open.
        settings: Those that it was made with; their keys are taken out of the file.
        file: The cassette; an earlier one is replaced.

    Raises:
        ConfigurationError: The file cannot be written, or is something else than a cassette.
    """
    way = RecordingTransport(_Borrowed(client), file, base_url=client.base_url, secrets=secrets_of(settings))
    with Client(
        client.base_url,
        # What never leaves this process gets no key.
        api_key=None if place_of(client.base_url) == "local" else settings.secret("api_key"),
        workspace=client.workspace,
        timeout=settings.timeout,
        transport=way,
    ) as recorded:
        yield recorded


@contextmanager
def replaying(file: str, *, speed: float | None = None) -> Generator[Client, None, None]:
    """A client that is answered from a file: no server, no network, no key.

    Args:
        file: A cassette, or a recording of one stream.
        speed: How many times as fast as recorded a cassette is replayed; as fast as possible if left out.

    Raises:
        ConfigurationError: The file cannot be read.
        ProtocolError: It is neither.
    """
    if _is_cassette(file):
        client = connect(f"replay:{file}", speed=speed)
    else:
        client = connect("local", engine=f"replay:{file}", database=":memory:")
    with client:
        yield client


def met(file: str) -> dict[str, str]:
    """The ids of the assistant and of the thread that were there before a recording, as far as there were any."""
    found: dict[str, str] = {}
    for exchange in read_cassette(Path(file)).exchanges if _is_cassette(file) else ():
        if exchange.method == "GET" and (named := re.search(r"/(assistant|thread)s/([^/?]+)$", exchange.path)):
            found.setdefault(named[1], named[2])
    return found


def secrets_of(settings: Settings) -> list[Secret]:
    """The keys that the settings hold by now."""
    return settings.secrets


def _is_cassette(file: str) -> bool:
    try:
        return is_cassette(read_file(Path(file), MOST_BYTES))
    except OSError as error:
        raise ConfigurationError(f"The recording {file} cannot be read: {error.strerror}.") from error
