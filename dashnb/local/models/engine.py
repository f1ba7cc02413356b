"""Who answers: the interface between the runner of the embedded API and a model engine.

The runner hands an engine one `Turn`, everything the model may know, and gets back pieces: of text,
of tool calls, of tool outputs if the engine has them itself, and at the end the tokens spent. If a
turn asks for tools, the runner has them called and asks the engine again, with their results in
`Turn.rounds`. An engine keeps nothing between turns.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from dashnb.errors import DashnbError


@dataclass(frozen=True, slots=True)
class Said:
    """One message of the thread: who said it (``user`` or ``assistant``) and its text."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call of an earlier round: the tool's name, arguments as JSON text, its output, its id."""

    name: str
    arguments: str
    output: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """What the model may know when it answers.

    Attributes:
        model: The model's name, as the run asks for it.
        instructions: The system prompt.
        tools: Tool definitions, as the assistant or the run gives them.
        messages: The thread as far as the truncation strategy lets it through, oldest first; the last
            one is the message to answer.
        rounds: The tool calls already made in this run, one tuple per round.
        sampling: ``temperature``, ``top_p``, ``top_k``, ``max_tokens`` where set.
    """

    model: str
    instructions: str
    tools: tuple[dict[str, Any], ...]
    messages: tuple[Said, ...]
    rounds: tuple[tuple[Call, ...], ...] = ()
    sampling: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TextPiece:
    """Text to append to the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningPiece:
    """What the model thinks before it answers: told apart from the answer, and part of no message."""

    text: str


@dataclass(frozen=True, slots=True)
class CallPiece:
    """Arguments to append to a tool call; a new number begins a new call.

    Attributes:
        number: Position of the call in this round, from 0.
        name: The tool's name: a function's name or a built-in tool's type.
        arguments: JSON text to append; may be empty.
    """

    number: int
    name: str
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class OutputPiece:
    """The output of a built-in call, from an engine that has it already: the plugin is then not asked."""

    number: int
    output: str


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens of one model call."""

    input_tokens: int
    output_tokens: int


Piece = TextPiece | ReasoningPiece | CallPiece | OutputPiece | Spent


class Engine(Protocol):
    """A model that answers turns.

    Attributes:
        name: What the engine is called in settings, headers and tables, such as ``guide``.
    """

    name: str

    def answer(self, turn: Turn) -> AsyncIterator[Piece]:
        """The pieces of the answer, as they come.

        Raises:
            EngineError: The model failed; the run ends as ``failed`` with its code and message.
        """
        ...


class EngineError(DashnbError):
    """A model engine failed.

    Attributes:
        code: Becomes ``last_error.code``, such as ``server_error`` or ``rate_limit_exceeded``.
    """

    def __init__(self, message: str, *, code: str = "server_error") -> None:
        super().__init__(message)
        self.code = code
