"""Who answers, as a person reads it above an answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands above and below an answer and is not part of the run.

    >>> Heading("Weather", model="qwen-max", engine="guide · rules, no language model").line()
    'Weather · qwen-max · guide · rules, no language model'

    Attributes:
        assistant: The assistant's name; ``""`` shows as ``Assistant``.
        model: The model, as long as the run itself does not name it.
        engine: Who answers, such as ``cloud`` or ``guide · rules, no language model``.
        watched: True if a person looks on: seconds and tokens per second, which differ from run to
            run, are shown.
    """

    assistant: str = ""
    model: str = ""
    engine: str = ""
    watched: bool = False

    @property
    def name(self) -> str:
        """The assistant's name, never empty."""
        return self.assistant or "Assistant"

    def facts(self, model: str = "") -> tuple[str, ...]:
        """Model and engine, as far as known; ``model`` outranks the heading's own."""
        return tuple(fact for fact in (model or self.model, self.engine) if fact)

    def line(self, model: str = "") -> str:
        """Name, model and engine in one line."""
        return " · ".join((self.name, *self.facts(model)))
