"""Who answers, as a person reads it above an answer."""

from __future__ import annotations

from dataclasses import dataclass

from dashnb.characters import in_line
from dashnb.prices import Prices
from dashnb.view.languages import translate


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands above and below an answer and is not part of the run.

    >>> Heading("Weather", model="qwen-max", engine="guide · rules, no language model").line()
    'Weather · qwen-max · guide · rules, no language model'

    Attributes:
        assistant: The assistant's name; ``""`` shows as ``Assistant``, in the reader's language.
        model: The model, as long as the run itself does not name it.
        engine: Who answers, such as ``cloud`` or ``guide · rules, no language model``.
        watched: True if a person looks on: seconds and tokens per second, which differ from run to
            run, are shown.
        language: The language of the words around the answer: ``en``, ``zh`` or ``ja``.
        prices: What models cost; the built-in prices if left out.
    """

    assistant: str = ""
    model: str = ""
    engine: str = ""
    watched: bool = False
    language: str = "en"
    prices: Prices | None = None

    @property
    def place(self) -> str:
        """Whose prices hold, as `dashnb.prices.place_of` names it: the first word of the engine.

        >>> Heading(engine="cloud-intl").place, Heading(engine="guide · rules, no language model").place
        ('cloud-intl', 'guide')
        """
        return self.engine.partition(" · ")[0]

    @property
    def name(self) -> str:
        """The assistant's name in one line, never empty."""
        return in_line(self.assistant) or self.say("Assistant")

    def facts(self, model: str = "") -> tuple[str, ...]:
        """Model and engine, as far as known; ``model`` outranks the heading's own."""
        return tuple(in_line(fact) for fact in (model or self.model, self.say(self.engine)) if fact)

    def line(self, model: str = "") -> str:
        """Name, model and engine in one line."""
        return " · ".join((self.name, *self.facts(model)))

    def say(self, sentence: str, /, **values: object) -> str:
        """The sentence in the reader's language.

        >>> Heading(language="ja").say("{n} results", n=3)
        '3 件の結果'
        """
        return translate(sentence, self.language, **values)

    def count(self, number: int, one: str, many: str) -> str:
        """How many there are: ``one`` or ``many``, sentences with ``{n}`` in them.

        >>> Heading().count(1, "{n} result", "{n} results")
        '1 result'
        """
        return self.say(one if number == 1 else many, n=f"{number:,}")


ENGLISH = Heading()
