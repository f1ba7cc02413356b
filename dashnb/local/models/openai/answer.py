"""From the chunks of a chat-completions stream to pieces: text, thoughts, whole tool calls, tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dashnb.foreign import read_json
from dashnb.local.models.engine import CallPiece, EngineError, Piece, ReasoningPiece, Spent, TextPiece

_OPEN, _CLOSE = "<think>", "</think>"


class Thoughts:
    """Tells the thoughts that some models write before their answer, as ``<think>…</think>``, from the answer.

    >>> thoughts = Thoughts()
    >>> [*thoughts.feed("<thi"), *thoughts.feed("nk>Hm.</think>\\n\\nYes <think>")]
    [ReasoningPiece(text='Hm.'), TextPiece(text='Yes <think>')]

    Later in the answer, the tags are text like any other: the answer may be about them.
    """

    def __init__(self) -> None:
        self.any = False
        self._rest = ""
        self._place = "start"

    def feed(self, text: str) -> Iterator[TextPiece | ReasoningPiece]:
        """The pieces that are certain now; what may be part of a tag waits."""
        self._rest += text
        while self._rest:
            if self._place == "start":
                begun = self._rest.lstrip()
                if _OPEN.startswith(begun):
                    return
                if begun.startswith(_OPEN):
                    self._place, self._rest, self.any = "thinking", begun.removeprefix(_OPEN), True
                else:
                    # Blank lines before an answer only divide it from the thoughts.
                    self._place, self._rest = "answer", begun if self.any else self._rest
            elif self._place == "thinking":
                thought, closed, after = self._rest.partition(_CLOSE)
                waiting = 0 if closed else _overlap(thought, _CLOSE)
                if certain := thought[: len(thought) - waiting]:
                    yield ReasoningPiece(certain)
                if not closed:
                    self._rest = thought[len(certain) :]
                    return
                self._place, self._rest = "start", after
            else:
                yield TextPiece(self._rest)
                self._rest = ""

    def flush(self) -> Iterator[TextPiece | ReasoningPiece]:
        """What waited for the rest of a tag that did not come."""
        rest, self._rest = self._rest, ""
        if self._place == "thinking" and rest:
            yield ReasoningPiece(rest)
        elif rest and not (self.any and rest.isspace()):
            yield TextPiece(rest)


@dataclass(slots=True, eq=False)
class _Words:
    """Text that waits until the call before it is complete."""

    text: str
    complete: bool = True

    def take(self, *, final: bool) -> Iterator[Piece]:
        if self.text:
            yield TextPiece(self.text)
        self.text = ""


@dataclass(slots=True, eq=False)
class _OpenCall:
    """A tool call as far as it has come."""

    own_name: Callable[[str], str]
    number: int
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    told: int = 0
    begun: bool = False

    @property
    def complete(self) -> bool:
        """True once the arguments are a whole JSON object: nothing can follow it."""
        text = "".join(self.arguments)
        # Cheap and almost always right; parsing at each piece would be quadratic.
        if not text.rstrip().endswith("}"):
            return False
        try:
            read_json(text)
        except ValueError:
            return False
        return True

    def add(self, name: str, arguments: str) -> None:
        # The name comes first, whole, in pieces, or again with every piece.
        if name and not self.arguments and name != self.name:
            self.name += name
        if arguments:
            self.arguments.append(arguments)

    def take(self, *, final: bool) -> Iterator[Piece]:
        """What has not been told yet; the name waits for the first arguments, as it may come in pieces."""
        if not self.begun:
            if not (self.name and self.arguments) and not final:
                return
            if not self.name:
                raise EngineError("The model called a tool without a name.\nAsk again, or choose another model.")
            self.begun = True
            yield CallPiece(self.number, self.own_name(self.name))
        if final and not self.arguments:
            self.arguments.append("{}")
        for text in self.arguments[self.told :]:
            yield CallPiece(self.number, self.own_name(self.name), text)
        self.told = len(self.arguments)


class Answer:
    """The answer of one chat-completions stream.

    The first open call is told as it comes; what comes for others meanwhile, and text, waits until its
    arguments are complete, because the runner takes one call after the other.

    Args:
        own_name: The tool of a name that the model wrote.
    """

    def __init__(self, own_name: Callable[[str], str]) -> None:
        self.finish_reason = ""
        self.said = False
        self._own_name = own_name
        self._thoughts = Thoughts()
        self._blanks = ""
        self._items: list[_Words | _OpenCall] = []
        self._head = 0
        self._calls: list[_OpenCall] = []
        self._keys: dict[object, _OpenCall] = {}
        self._spent: Spent | None = None

    def feed(self, chunk: dict[str, Any]) -> Iterator[Piece]:
        """The pieces of a chunk, or of a whole completion."""
        if isinstance(usage := chunk.get("usage"), dict):
            # Some servers count with every chunk; the last count is that of the whole answer.
            self._spent = Spent(_count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))
        for choice in chunk.get("choices") or []:
            if not choice.get("index"):
                yield from self._delta(choice.get("delta") or choice.get("message") or {})
                self.finish_reason = choice.get("finish_reason") or self.finish_reason

    def end(self) -> Iterator[Piece]:
        """What waited, and the tokens: none where the server does not count them.

        Raises:
            EngineError: The model was stopped before it said anything, or within a call.
        """
        for piece in self._thoughts.flush():
            yield from self._say(piece)
        yield from self._emit(final=True)
        if self._spent is not None:
            yield self._spent
        if self.finish_reason == "content_filter":
            raise EngineError(
                "The server's content filter ended the answer.\nPut the question in other words.",
                code="DataInspectionFailed",
            )
        cut = any(not call.complete for call in self._calls)
        if self.finish_reason == "length" and (cut or not self.said):
            what = "in the middle of a tool call" if cut else "before it answered"
            raise EngineError(
                f"The model reached its limit of tokens {what}.\n"
                "Raise max_tokens, or shorten the thread; a thinking model needs room for its thoughts.",
                code="max_tokens",
            )

    def _delta(self, delta: dict[str, Any]) -> Iterator[Piece]:
        for key in ("reasoning_content", "reasoning"):
            if isinstance(thought := delta.get(key), str) and thought:
                self._thoughts.any = True
                yield ReasoningPiece(thought)
                break
        for text in (_text(delta.get("content")), _text(delta.get("refusal"))):
            for piece in self._thoughts.feed(text):
                yield from self._say(piece)
        for part in delta.get("tool_calls") or []:
            function = part.get("function") or {}
            arguments = function.get("arguments") or ""
            text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
            self._add(part, function.get("name") or "", text)
            yield from self._emit()

    def _say(self, piece: TextPiece | ReasoningPiece) -> Iterator[Piece]:
        if isinstance(piece, ReasoningPiece):
            yield piece
            return
        text = self._blanks + piece.text
        if self._calls and isinstance(self._items[-1], _OpenCall):
            # Models put line ends around their calls, which would become messages of nothing.
            self._blanks = "" if text.strip() else text
            if not text.strip():
                return
        self.said = True
        self._items.append(_Words(text))
        yield from self._emit()

    def _add(self, part: dict[str, Any], name: str, arguments: str) -> None:
        call = self._find(part, name)
        if self._items.index(call) < self._head and arguments.strip():
            raise EngineError("The model's tool calls are mixed up: one went on behind its end.\nAsk again.")
        call.add(name, arguments)

    def _find(self, part: dict[str, Any], name: str) -> _OpenCall:
        """The call that a delta belongs to; a new one where the index, or else the id or the name, is new."""
        id_ = part.get("id") or ""
        key = part.get("index")
        if key is None:
            key = id_ or (len(self._calls) if name or not self._calls else len(self._calls) - 1)
            if not id_ and not name and self._calls:
                return self._calls[-1]
        call = self._keys.get(key)
        # Some servers number every call 0 and tell them apart by their ids alone.
        if call is None or (name and id_ and call.id and id_ != call.id):
            call = _OpenCall(self._own_name, len(self._calls), id_)
            self.said = True
            self._blanks = ""
            self._keys[key] = call
            self._calls.append(call)
            self._items.append(call)
        return call

    def _emit(self, *, final: bool = False) -> Iterator[Piece]:
        while self._head < len(self._items):
            item = self._items[self._head]
            last = self._head == len(self._items) - 1
            passed = final or isinstance(item, _Words) or (not last and item.complete)
            yield from item.take(final=passed)
            if not passed:
                return
            self._head += 1


def _text(content: object) -> str:
    """The text of a content: text, nothing, or a list of parts."""
    if isinstance(content, list):
        return "".join(_text(part.get("text")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _count(usage: dict[str, Any], name: str) -> int:
    return value if isinstance(value := usage.get(name), int) else 0


def _overlap(text: str, tag: str) -> int:
    """How many characters at the end of the text may be the beginning of the tag."""
    return next((size for size in range(min(len(text), len(tag) - 1), 0, -1) if text.endswith(tag[:size])), 0)
