"""Recorded streams: the events of a run as somebody kept them, as wire bytes or as JSON lines."""

from __future__ import annotations

import codecs

from dashnb.errors import ProtocolError
from dashnb.foreign import read_json
from dashnb.protocol.events import RunEvent, event_of, parse_event
from dashnb.protocol.sse import Decoder


def parse_recording(content: bytes) -> list[RunEvent]:
    r"""The events of a recording: the bytes of a stream, or one ``{"event": …, "data": …}`` per line.

    >>> parse_recording(b"event:done\ndata:[DONE]\n\n")
    [RunEvent(name='done', data=None, id='')]
    >>> parse_recording(b'{"event": "thread.created", "data": {"id": "thread_1"}}\n')[0].name
    'thread.created'

    Raises:
        ProtocolError: It is neither, or an event is malformed; the message names the line or the event.
    """
    content = content.removeprefix(codecs.BOM_UTF8)
    if content.lstrip().startswith(b"{"):
        return [_parse_line(number, line) for number, line in enumerate(content.splitlines(), 1) if line.strip()]
    decoder = Decoder()
    sent = decoder.feed(content)
    if last := decoder.flush():
        sent.append(last)
    if not sent:
        raise ProtocolError("The recording holds no events: expected a stream of events or JSON lines.")
    return [parse_event(event) for event in sent]


def _parse_line(number: int, line: bytes) -> RunEvent:
    try:
        entry = read_json(line)
        name, data = entry["event"], entry.get("data")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(f'Line {number} of the recording is not {{"event": …, "data": …}}.') from error
    if not isinstance(name, str):
        raise ProtocolError(f"Line {number} of the recording names no event: {name!r}.")
    if name == "done":
        return RunEvent("done")
    try:
        return event_of(name, data)
    except ProtocolError as error:
        raise ProtocolError(f"Line {number} of the recording: {error}") from error
