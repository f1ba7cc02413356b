"""The engine that says again what a recorded run said: its texts, tool calls and outputs, in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from dashnb.errors import ConfigurationError, ProtocolError
from dashnb.files import read_file
from dashnb.local.models.engine import CallPiece, EngineError, OutputPiece, Piece, Spent, TextPiece, Turn
from dashnb.protocol.events import RunEvent
from dashnb.protocol.objects import MessageDelta, StepDelta
from dashnb.protocol.recording import parse_recording
from dashnb.protocol.state import RunState, Step

MOST_BYTES = 100_000_000


class ReplayEngine:
    """Plays a recording: the bytes of a stream, or JSON lines of events.

    A round of the recording ends where its tools have been called, so that the runner hands the
    functions to the caller just as the recorded run did.

    Raises:
        ProtocolError: The recording holds no run.
    """

    name = "replay"

    def __init__(self, events: Iterable[RunEvent]) -> None:
        self._rounds = _rounds(list(events))

    @classmethod
    def from_file(cls, path: Path) -> ReplayEngine:
        """The engine for a recording in a file.

        Raises:
            ConfigurationError: The file cannot be read.
            ProtocolError: It is no recording.
        """
        return cls(read_recording(path))

    async def answer(self, turn: Turn) -> AsyncIterator[Piece]:
        """The pieces of the round that follows those already played."""
        if len(turn.rounds) >= len(self._rounds):
            raise EngineError("The recording has ended; it holds no further answer.", code="recording_ended")
        for piece in self._rounds[len(turn.rounds)]:
            yield piece


def read_recording(path: Path) -> list[RunEvent]:
    """The events of a recording in a file.

    Raises:
        ConfigurationError: The file cannot be read.
        ProtocolError: It is no recording.
    """
    try:
        content = read_file(path, MOST_BYTES)
    except OSError as error:
        raise ConfigurationError(f"The recording {path} cannot be read: {error.strerror}.") from error
    return parse_recording(content)


def _rounds(events: list[RunEvent]) -> list[list[Piece]]:
    state = RunState()
    deltas: dict[str, list[RunEvent]] = {}
    for event in events:
        state.apply(event)
        if isinstance(event.data, (MessageDelta, StepDelta)):
            deltas.setdefault(event.data.id, []).append(event)
    if not state.steps:
        raise ProtocolError("The recording holds no step of a run.")
    rounds: list[list[Piece]] = [[]]
    for step in state.steps:
        rounds[-1] += _pieces(step, deltas)
        if step.calls:
            rounds.append([])
    usage = state.usage
    if usage is not None:
        rounds[-1].append(Spent(usage.input_tokens, usage.output_tokens))
    played = rounds if rounds[-1] else rounds[:-1]
    if not played:
        raise ProtocolError("The recording ends before the run said anything.")
    return played


def _pieces(step: Step, deltas: dict[str, list[RunEvent]]) -> list[Piece]:
    if step.calls:
        return [piece for call in step.calls for piece in _call_pieces(step, call.number, deltas.get(step.id, []))]
    texts = [event.text for event in deltas.get(step.message_id, []) if event.text]
    # The whole text outranks its pieces; a recording may hold pieces that do not add up to it.
    return [TextPiece(text) for text in (texts if "".join(texts) == step.text else [step.text])]


def _call_pieces(step: Step, number: int, deltas: list[RunEvent]) -> list[Piece]:
    call = step.calls[number]
    written: list[str] = []
    for event in deltas:
        for position, part in enumerate(event.data.delta.step_details.tool_calls):
            if (position if part.index is None else part.index) == number:
                written.append(part.payload[1].arguments)
    if "".join(written) != call.arguments:
        written = [call.arguments]
    pieces: list[Piece] = [CallPiece(number, call.name)]
    pieces += [CallPiece(number, call.name, text) for text in written if text]
    if call.type != "function":
        output = call.output if isinstance(call.output, str) else "".join(map(str, call.output or []))
        pieces.append(OutputPiece(number, output))
    return pieces
