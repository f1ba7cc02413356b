"""Server-sent events, in both directions: bytes to events, events to bytes.

The rules are those of the WHATWG HTML standard (section "Server-sent events"), with one deliberate
difference: an event that the end of the stream cuts off before its empty line is handed out by
`Decoder.flush`, so that whoever reads can decide whether it is whole.

* A line ends with CR, LF or CRLF and with nothing else: U+2028, U+2029 and U+0085 are data.
* One blank after the colon is dropped; a byte order mark at the very start is dropped.
* Bytes that are not UTF-8 become U+FFFD; a character may be cut anywhere between two chunks.
* An event without data is not an event.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field

from dashnb.errors import ProtocolError

MOST_EVENT = 16 << 20  # characters of one event
_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event of a stream: its name, its data with lines joined by LF, and the last id seen.

    >>> ServerSentEvent("done", "[DONE]")
    ServerSentEvent(event='done', data='[DONE]', id='')

    Attributes:
        has_id: True if the id came with this event, and not with one before.
    """

    event: str = "message"
    data: str = ""
    id: str = ""
    has_id: bool = field(default=False, compare=False, repr=False)


class Decoder:
    """Turns the chunks of a stream into events, whatever the chunk borders are.

    >>> decoder = Decoder()
    >>> decoder.feed(b"event:done\\ndata:[DO")
    []
    >>> decoder.feed(b"NE]\\n\\n")
    [ServerSentEvent(event='done', data='[DONE]', id='')]

    Args:
        most: How many characters of an event are kept while its end is waited for.
    """

    def __init__(self, most: int = MOST_EVENT) -> None:
        self._most = most
        self._kept = 0  # characters of the event that has not ended
        self._begun = 0  # and of its line that has not ended
        self._text = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._line: list[str] = []
        self._after_cr = False
        self._event = ""
        self._data: list[str] = []
        self._id = ""
        self._has_id = False

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events that this chunk completes, in order.

        Raises:
            ProtocolError: The event that earlier chunks began is too long already.
        """
        if self._kept + self._begun > self._most:
            raise ProtocolError(f"An event of the stream has more than {self._most:,} characters.")
        return self._read(self._text.decode(chunk))

    def flush(self) -> ServerSentEvent | None:
        """The event that the end of the stream left without its empty line, or None.

        Its data may be cut short: accept it only if it is complete by its own rules, as JSON is.
        """
        events = self._read(self._text.decode(b"", final=True) + "\n")
        return events[0] if events else self._dispatch()

    def _read(self, text: str) -> list[ServerSentEvent]:
        if self._after_cr and text:
            # A CR ends its line at once, so that no event waits for the next chunk; an LF that
            # turns out to follow it belongs to the same line end.
            text = text.removeprefix("\n")
            self._after_cr = False
            if not text:
                return []
        first, *rest = _LINE_END.split(text)
        self._line.append(first)
        self._begun += len(first)
        if not rest:
            return []
        self._after_cr = text.endswith("\r")
        lines = ["".join(self._line), *rest[:-1]]
        self._line = [rest[-1]]
        self._begun = len(rest[-1])
        return [event for line in lines if (event := self._take_line(line)) is not None]

    def _take_line(self, line: str) -> ServerSentEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._event = value
        elif name == "data":
            self._data.append(value)
            self._kept += len(value) + 1
        elif name == "id" and "\0" not in value:
            self._id, self._has_id = value, True
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        data, name, has_id = self._data, self._event or "message", self._has_id
        self._data, self._event, self._has_id, self._kept = [], "", False, 0
        return ServerSentEvent(name, "\n".join(data), self._id, has_id) if data else None


def encode(event: ServerSentEvent) -> bytes:
    r"""The bytes of one event, as the Assistant API writes them: no blank after the colon.

    >>> encode(ServerSentEvent("done", "[DONE]"))
    b'event:done\ndata:[DONE]\n\n'

    Raises:
        ValueError: The name or the id is longer than one line; the rest would be read as fields.

    Source: Runs reference, streamed answers of "Create a run".
    """
    if _LINE_END.search(event.event + event.id):
        raise ValueError(f"the name and the id of an event are one line each: {event.event!r}, {event.id!r}")
    fields = [("id", event.id)] if event.id else []
    fields.append(("event", event.event))
    fields += [("data", line) for line in _LINE_END.split(event.data)]
    lines = "".join(f"{name}:{_guard(value)}\n" for name, value in fields)
    # Half a surrogate pair, which JSON can spell and UTF-8 cannot carry, must not end a stream.
    return f"{lines}\n".encode(errors="replace")


def comment(text: str) -> bytes:
    r"""The bytes of a comment, which keeps an idle connection open and is no event.

    >>> comment("heartbeat")
    b': heartbeat\n\n'
    """
    lines = "".join(f": {line}\n" for line in _LINE_END.split(text))
    return f"{lines}\n".encode(errors="replace")


def _guard(value: str) -> str:
    # A decoder drops one blank after the colon, so a value that starts with one needs a second.
    return f" {value}" if value.startswith(" ") else value
