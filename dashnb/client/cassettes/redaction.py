"""What a cassette must not hold, and how it is taken out of texts, JSON and streams. Pure.

A secret is looked for within one unit: a line of a stream of events, else the whole body. So a stream can
be written while it comes, and a secret that is cut over two chunks is still found: a chunk is kept back
until its last line is complete. Where nothing is found, not a byte changes.

Known secrets and tokens of a known form are also found where a model spells them out in several events; fields
such as ``password`` and what patterns of one's own find are not.
"""

from __future__ import annotations

import json
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from dashnb.client.cassettes import spelling
from dashnb.credentials import REDACTED, Known, merged, open_token, spans, tokens, touching
from dashnb.errors import ConfigurationError
from dashnb.foreign import read_json
from dashnb.keys import Secret, hidden

# Shorter ones cannot be told from ordinary text.
SHORTEST = 4
# Of a secret that the end of a stream cuts off, so many characters give it away.
GIVEN_AWAY = 6
# Up to so many bytes of a stream that are kept back are looked at again with every chunk; of more, one part in so
# many has to come first, as what waits for its end could be read for each chunk else.
_LITTLE = 16_384
_PART = 8

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\Z)|[-+.\w]+', re.DOTALL)
# Seconds of the processor for a line of some dozens of characters, which take microseconds else.
_BUSY = 0.1
_WORDS = ("a", "A", "0", " ", "a ", "-", ".", "_", "@", "/", "a.", "a-")
_PREFIX = re.compile(r"(?:data:)?\s*")

Span = tuple[int, int]
Change = tuple[int, int, str]


class Redactor:
    r"""Takes secrets out.

    >>> redactor = Redactor(["open sesame"], [r"\d{11}"])
    >>> redactor.text('{"phone": 13800000000, "word": "open sesame!"}')
    '{"phone": "[redacted]", "word": "[redacted]!"}'

    Keys, tokens and passwords are taken out by their form, see `dashnb.credentials`. JSON stays JSON: of what a pattern
    finds, only strings and values are replaced.

    Args:
        secrets: What must not be kept; also as JSON, in a URL and in base64. Those below four characters
            cannot be told from ordinary text, and are left.
        patterns: Regular expressions of what else must not be kept, looked for within a line of a stream.
            Python's expressions go back: those that repeat a repetition may take years for a line of an answer. What
            is found to is refused, but not all of it can be found; write such as possessive, as in ``(?:a++)+``.

    Raises:
        ConfigurationError: A pattern is no regular expression, or found to take years for a short line.
    """

    def __init__(self, secrets: Iterable[Secret | str | None] = (), patterns: Iterable[str] = ()) -> None:
        # A text has letters to iterate over, which nobody means.
        known = [hidden(one) for one in ([secrets] if isinstance(secrets, str) else secrets)]
        secrets = ()  # a traceback with local variables shows this one
        patterns = [patterns] if isinstance(patterns, str) else patterns
        self._patterns = [_compiled(pattern) for pattern in patterns]
        self._known = Known((secret.reveal() for secret in known if secret), shortest=SHORTEST)

    def text(self, text: str) -> str:
        """The text, as one unit, without secrets."""
        return _changed(text, self._changes(text))

    def pieces(self, pieces: Sequence[bytes], *, by_line: bool, at_end: bool = False) -> list[bytes]:
        """The same pieces of one text without secrets, cut where they were.

        Args:
            pieces: Bytes that make whole units together.
            by_line: True if each line is a unit, False if all are one.
            at_end: True if more may have been meant to come: the beginning of a secret is taken out too.
        """
        whole = b"".join(pieces)
        return _recut(pieces, whole, list(self._byte_changes(whole, by_line, at_end)))

    def spelled(self, content: bytes, *, at_end: bool = False) -> list[spelling.Finding]:
        """The secrets that the events of a stream spell out in pieces."""
        found: list[spelling.Finding] = []
        for pieces in spelling.texts(content):
            text = "".join(piece.text for piece in pieces)
            places = merged([*self._known.spans(text), *tokens(text)])
            if at_end and not places:
                places = [(begin, end) for begin, end, _ in self._cut_off(text)]
            found += spelling.findings(pieces, places, REDACTED)
        return found

    def begins(self, text: str) -> int:
        """Where in a text something begins that may become a secret; its length if nothing does."""
        return min(self._known.begins(text), open_token(text))

    def _byte_changes(self, whole: bytes, by_line: bool, at_end: bool) -> Iterator[tuple[int, int, bytes]]:
        start = 0
        units = whole.split(b"\n") if by_line else [whole]
        for number, unit in enumerate(units, 1):
            text = unit.decode("utf-8", "surrogateescape")
            changes = self._changes(text)
            if at_end and number == len(units) and not changes:
                changes = self._cut_off(text)
            seen, place = 0, start
            for begin, end, new in changes:
                left = place + _size(text[seen:begin])
                seen, place = end, left + _size(text[begin:end])
                yield left, place, new.encode("utf-8", "surrogateescape")
            start += len(unit) + 1

    def _changes(self, text: str) -> list[Change]:
        found = self._found(text)
        if not found and "\\" not in text:
            return []
        start = match.end() if (match := _PREFIX.match(text)) else 0
        if _is_json(text[start:]):
            return list(self._changes_in_json(text, start, found))
        return [(begin, end, REDACTED) for begin, end in found]

    def _changes_in_json(self, text: str, start: int, found: list[Span]) -> Iterator[Change]:
        tokens_found = (token.span() for token in _TOKEN.finditer(text, start))
        for (begin, end), touched in touching(tokens_found, found):
            token = text[begin:end]
            if not token.startswith('"'):
                if touched:
                    yield begin, end, f'"{REDACTED}"'
            elif "\\" in token:
                new = self._string(token, bool(touched))
                if new != token:
                    yield begin, end, new
            else:
                inside = [(max(left, begin + 1), min(right, end - 1)) for left, right in touched]
                yield from ((left, right, REDACTED) for left, right in inside if left < right)

    def _string(self, token: str, touched: bool) -> str:
        """A JSON string with escapes; what they hide is looked at, too."""
        value = read_json(token, strict=False)
        clean = _changed(value, [(left, right, REDACTED) for left, right in self._found(value)])
        if clean == value:
            return f'"{REDACTED}"' if touched else token
        new = json.dumps(clean)
        return f'"{REDACTED}"' if self._found(new) else new

    def _found(self, text: str) -> list[Span]:
        own = (match.span() for pattern in self._patterns for match in pattern.finditer(text))
        return merged([*self._known.spans(text), *spans(text), *own])

    def _cut_off(self, text: str) -> list[Change]:
        place = self._known.cut_off(text, GIVEN_AWAY)
        return [(*place, REDACTED)] if place else []


class Sieve:
    """Chunks with their times, each handed on without secrets once what follows can no longer make it one.

    >>> sieve = Sieve(Redactor(["canary-1"]), by_line=True)
    >>> sieve.feed(1.0, b"data:can"), sieve.feed(2.0, b"ary-1!")
    ([], [])
    >>> sieve.feed(3.0, bytes([10]))
    [(1.0, b'data:[redacted]'), (2.0, b'!'), (3.0, b'\\n')]
    """

    def __init__(self, redactor: Redactor, *, by_line: bool) -> None:
        self._redactor = redactor
        self._by_line = by_line
        self._kept: deque[tuple[float, bytes]] = deque()
        self._size = 0  # bytes of what is kept
        self._enough = 0  # bytes at which it is looked at again
        # Of the first chunk kept back, what was decided already.
        self._decided = b""

    def feed(self, at: float, chunk: bytes) -> list[tuple[float, bytes]]:
        """The chunks that are decided now."""
        self._kept.append((at, chunk))
        self._size += len(chunk)
        if not self._by_line or b"\n" not in chunk or self._size < self._enough:
            return []
        whole = b"".join(piece for _, piece in self._kept)
        content = whole[: whole.rfind(b"\n") + 1]
        found = self._redactor.spelled(content)
        size = spelling.decided(content, self._redactor.begins, found)
        clean = self._hand_on(size, [change for one in found if one.lines[0] < size for change in one.changes])
        self._enough = self._size + self._size // _PART if self._size > _LITTLE else 0
        return clean

    def flush(self) -> list[tuple[float, bytes]]:
        """The chunks that were kept back, as nothing follows."""
        whole = b"".join(piece for _, piece in self._kept)
        found = self._redactor.spelled(whole, at_end=True) if self._by_line else []
        return self._hand_on(len(whole), [change for one in found for change in one.changes], at_end=True)

    def _hand_on(
        self, size: int, changes: list[tuple[int, int, bytes]], *, at_end: bool = False
    ) -> list[tuple[float, bytes]]:
        """The first so many bytes of what is kept, changed; what is left of a chunk waits for its end."""
        times, pieces, is_cut = [], [], False
        while self._kept and not is_cut and (size or not self._kept[0][1]):
            at, piece = self._kept.popleft()
            times.append(at)
            pieces.append(piece[:size])
            if is_cut := size < len(piece):
                self._kept.appendleft((at, piece[size:]))
            size -= len(pieces[-1])
            self._size -= len(pieces[-1])
        if not pieces:
            return []
        whole = b"".join(pieces)
        recut = _recut(pieces, whole, sorted(changes))
        clean = self._redactor.pieces(recut, by_line=self._by_line, at_end=at_end)
        clean[0], self._decided = self._decided + clean[0], b""
        if is_cut:
            times.pop()
            self._decided = clean.pop()
        return [(time, piece) for time, piece in zip(times, clean, strict=True) if piece]


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise ConfigurationError(f"To redact {pattern!r} is no regular expression: {error}.") from error
    if line := _endless(found):
        raise ConfigurationError(
            f"To redact {pattern!r} would take years for a text such as {line!r}: a repetition in it repeats.\n"
            "Write the inner one without + or *, or possessive: (?:a+)+ as a+, (?:a+)* as (?:a++)*."
        )
    return found


def _endless(pattern: re.Pattern[str]) -> str:
    """A short line that keeps an expression busy; ``""`` if none of those tried does.

    What doubles its work with each character is told before it takes long, as each line is a little longer.
    """
    words = dict.fromkeys((*_WORDS, *re.findall(r"[^\W_]{1,12}", pattern.pattern)[:8]))
    befores = dict.fromkeys(("", *re.findall(r"[\w-]{1,12}", pattern.pattern)[:1]))
    for before in befores:
        for word in words:
            for count in range(4, 44, 2):
                line: str = before + word * count + "\0"
                began = time.thread_time()
                pattern.search(line)
                if time.thread_time() - began > _BUSY:
                    return line
    return ""


def _is_json(text: str) -> bool:
    try:
        read_json(text, strict=False)
    except ValueError:
        return False
    return True


def _changed(text: str, changes: Iterable[Change]) -> str:
    parts, start = [], 0
    for begin, end, new in changes:
        parts += [text[start:begin], new]
        start = end
    return "".join([*parts, text[start:]])


def _recut(pieces: Sequence[bytes], whole: bytes, changes: list[tuple[int, int, bytes]]) -> list[bytes]:
    """The pieces of a whole with these changes, cut where they were.

    What is put in place of a secret stands in the piece where the secret began.
    """
    if not changes:
        return list(pieces)
    instead = {(begin, end): new for begin, end, new in changes}
    cut: list[bytes] = []
    for (start, end), touched in touching(_places(pieces), list(instead)):
        parts, at = [], start
        for change in touched:
            parts.append(whole[at : max(at, change[0])])
            if change[0] >= start:
                parts.append(instead[change])
            at = min(change[1], end)
        cut.append(b"".join([*parts, whole[at:end]]))
    return cut


def _places(pieces: Iterable[bytes]) -> Iterator[Span]:
    start = 0
    for piece in pieces:
        yield start, (start := start + len(piece))


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))
