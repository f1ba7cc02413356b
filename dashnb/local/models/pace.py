"""An engine slowed down, so that a person can watch what a rule-based engine says all at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

from dashnb.local.models.engine import CallPiece, Engine, Piece, TextPiece, Turn


class PacedEngine:
    """The same answers, with a pause before each piece of text and of arguments.

    Args:
        engine: Who answers.
        seconds: The length of a pause.
        sleep: How to let seconds pass.
    """

    def __init__(self, engine: Engine, seconds: float, *, sleep: Callable[[float], Awaitable[None]]) -> None:
        self.name = engine.name
        self._engine = engine
        self._seconds = seconds
        self._sleep = sleep

    async def answer(self, turn: Turn) -> AsyncIterator[Piece]:
        """The pieces of the other engine's answer, one pause apart."""
        first = True
        pieces = self._engine.answer(turn)
        try:
            async for piece in pieces:
                if not first and isinstance(piece, (TextPiece, CallPiece)):
                    await self._sleep(self._seconds)
                first = False
                yield piece
        finally:
            # A cancel has to reach the model's own stream now, not when garbage is collected.
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()
