"""The result of a run, as a notebook's variable holds it: always what the run has come to by now."""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

from dashnb.foreign import read_json
from dashnb.protocol.state import RunState

if TYPE_CHECKING:
    from markdown_it.token import Token

    from dashnb.history.table import Table
    from dashnb.prices import Cost, Prices
    from dashnb.view.heading import Heading

_MIME = re.compile(r"image/(?:png|jpeg|gif|webp)")
_DATA_URI = re.compile(r"data:(image/(?:png|jpeg|gif|webp));base64,([A-Za-z0-9+/]+={0,2})")
_ADDRESS = re.compile(r"(?i)https://[^\s\x00-\x20\"'<>\\]+")


class Work(Protocol):
    """A run that goes on in the background."""

    @property
    def done(self) -> bool:
        """True if it is over."""

    @property
    def exception(self) -> BaseException | None:
        """Why it went wrong, or None."""

    def wait(self, timeout: float | None) -> None:
        """Return when it is over; raise WaitTimeout after so many seconds."""

    def cancel(self) -> None:
        """Stop it."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What was known of such a run when its result was copied or sent to another process."""

    done: bool
    exception: BaseException | None

    def wait(self, timeout: float | None) -> None:
        """Return at once: no copy hears of the run's end."""

    def cancel(self) -> None:
        """Leave the run alone."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a run, shown by a notebook as a picture.

    >>> picture_of("data:image/png;base64,aGk=")
    Picture(mime='image/png', url='')

    Attributes:
        mime: Its type, such as ``image/png``; ``""`` for one that is only an address.
        data: Its bytes; empty for one that is only an address.
        url: Where it is, beginning with ``https://``; ``""`` for one whose bytes are here.
    """

    mime: str = ""
    data: bytes = field(default=b"", repr=False)
    url: str = ""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        shown = {"text/plain": repr(self)}
        if self.data and _MIME.fullmatch(self.mime):  # what is of another type a front end might run
            shown[self.mime] = base64.b64encode(self.data).decode("ascii")
        elif not self.data and _ADDRESS.fullmatch(self.url):
            source = html.escape(self.url)
            shown["text/html"] = f'<img src="{source}" alt="" referrerpolicy="no-referrer" style="max-width:100%">'
        return shown

    def _repr_png_(self) -> bytes | None:
        return self.data if self.mime == "image/png" else None


def picture_of(address: str) -> Picture | None:
    """The picture at an address: decoded if it is the address itself, None if it is no place for pictures.

    >>> picture_of("https://example.org/cat.png").url, picture_of("file:///etc/passwd")
    ('https://example.org/cat.png', None)
    """
    if inside := _DATA_URI.fullmatch(address):
        try:
            return Picture(inside[1], base64.b64decode(inside[2], validate=True))
        except binascii.Error:
            return None
    return Picture(url=address) if _ADDRESS.fullmatch(address) else None


class RunResult:
    """A run: its text, pictures, tables, cost, and everything that `RunState` tells of it.

    >>> from dashnb.protocol.events import event_of
    >>> result = RunResult(RunState())
    >>> delta = {"content": [{"type": "text", "text": {"value": "| n |\\n|---|\\n| 1 |"}}]}
    >>> result.state.apply(event_of("thread.message.delta", {"id": "message_1", "delta": delta}))
    >>> result.tables[0]["n"], str(result) == result.text
    (['1'], True)

    It is made before the run begins and reads the state each time, so that it is never out of date. What it
    does not have itself, such as ``text``, ``status``, ``steps``, ``usage`` or ``tool_calls``, is the state's.

    Args:
        state: What the run adds up to.
        place: Whose prices hold: `dashnb.prices.place_of`.
        prices: What models cost; the built-in prices if left out.
        work: The thread that reads it, for a run in the background.
        heading: What stands above it where it is shown; made from the run if None.

    Attributes:
        state: What the run adds up to.
        parsed: What the answer holds, where a schema was asked for; None otherwise, or if it does not fit.
    """

    def __init__(
        self,
        state: RunState,
        *,
        place: str = "",
        prices: Prices | None = None,
        work: Work | None = None,
        heading: Heading | None = None,
    ) -> None:
        self.state = state
        self.parsed: Any = None
        self._place = place
        self._prices = prices
        self._work = work
        self._heading = heading

    def __getstate__(self) -> dict[str, Any]:
        # The thread that reads a run stays where it is; what it has come to goes along.
        work = self._work
        return {**vars(self), "_work": None if work is None else _Told(work.done, work.exception)}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "state":  # a half-made copy has no state to ask
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.state, name)

    def __dir__(self) -> Iterable[str]:
        return sorted({*super().__dir__(), *(name for name in dir(self.state) if not name.startswith("_"))})

    @property
    def text(self) -> str:
        """The answer so far."""
        return self.state.text

    @property
    def cost(self) -> Cost | None:
        """What the run costs by the known prices, or None if its model has none or nothing was counted yet."""
        state, usage = self.state, self.state.usage
        if usage is None:
            return None
        from dashnb.prices import built_in

        prices, thought = self._prices or built_in(), bool(state.reasoning)
        return prices.cost(state.model, usage.input_tokens, usage.output_tokens, self._place, thought=thought)

    @property
    def images(self) -> tuple[Picture, ...]:
        """The pictures of the run: those that tools made, then those of the answer, each once."""
        found = (picture_of(address) for address in dict.fromkeys(_addresses(self.state)))
        return tuple(picture for picture in found if picture is not None)

    @property
    def tables(self) -> tuple[Table, ...]:
        """The Markdown tables of the answer, every cell as text."""
        return tuple(_tables(self.state.text))

    # --- a run in the background ---------------------------------------------------------------

    @property
    def done(self) -> bool:
        """True if the run is over, and nothing more is shown of it."""
        return self.state.is_final if self._work is None else self._work.done

    @property
    def exception(self) -> BaseException | None:
        """Why a run in the background went wrong, or None."""
        return None if self._work is None else self._work.exception

    def wait(self, timeout: float | None = None) -> Self:
        """The result itself, once a run in the background is over, whether it went well or not.

        Args:
            timeout: Seconds to wait at most; None for as long as it takes.

        Raises:
            WaitTimeout: The run goes on after that time.
        """
        if self._work is not None:
            self._work.wait(timeout)
        return self

    def cancel(self) -> None:
        """Stop a run in the background; what arrived is kept. One that is over stays as it is."""
        if self._work is not None:
            self._work.cancel()

    # --- showing ---------------------------------------------------------------------------------

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        state = self.state
        tokens = f", tokens={state.usage.total_tokens}" if state.usage else ""
        parts = f"steps={len(state.steps)}, chars={len(state.text)}{tokens}"
        return f"RunResult(id={state.id!r}, status={state.status!r}, {parts})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from dashnb.showing import shown_run

        return shown_run(self.state, self._heading, goes_on=self._work is not None and not self._work.done)


# --- pictures --------------------------------------------------------------------------------------


def _addresses(state: RunState) -> Iterator[str]:
    for call in state.tool_calls:
        output = call.output
        text = output if isinstance(output, str) else json.dumps(output, default=str)
        yield from _results(text)
        yield from (found[0] for found in _DATA_URI.finditer(text))
        if call.id in state.asides:
            yield from state.asides[call.id].pictures
    for token in _read(state.text):
        for child in token.children or ():
            if child.type == "image":
                yield str(child.attrs.get("src", ""))


def _results(text: str) -> Iterator[str]:
    """The addresses that a drawing tool gave out, which stand in ``results`` or ``output.results``."""
    try:
        value = read_json(text)
    except ValueError:
        return
    inner = value.get("output") if isinstance(value, dict) else None
    holder = inner if isinstance(inner, dict) else value
    entries = holder.get("results") if isinstance(holder, dict) else None
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("url"), str) and "title" not in entry:
            yield entry["url"]


# --- tables ----------------------------------------------------------------------------------------


def _read(text: str) -> list[Token]:
    from markdown_it import MarkdownIt

    # Halves of characters cannot stand in an address.
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return MarkdownIt("commonmark").enable("table").parse(whole)


def _tables(text: str) -> Iterator[Table]:
    from dashnb.history.table import Table

    rows: list[list[str]] = []
    for token, following in _pairs(_read(text)):
        if token.type == "table_open":
            rows = []
        elif token.type == "tr_open":
            rows.append([])
        elif token.type in ("th_open", "td_open"):
            rows[-1].append(_plain(following))
        elif token.type == "table_close":
            head, *body = rows
            yield Table(dict.fromkeys(_distinct(head), "text"), body, name="rows")


def _pairs(tokens: list[Token]) -> Iterator[tuple[Token, Token]]:
    return zip(tokens, tokens[1:] + tokens[-1:], strict=True)


def _plain(cell: Token) -> str:
    """The text of a cell, without the marks around it."""
    return "".join("\n" if child.type.endswith("break") else child.content for child in cell.children or ()).strip()


def _distinct(names: list[str]) -> list[str]:
    """The names of columns: one without a name gets its number, and so does one that is there already."""
    made: dict[str, None] = {}  # a model may write as many columns as it likes
    for number, name in enumerate(names, 1):
        chosen = name or f"column {number}"
        while chosen in made:
            chosen += f" ({number})"
        made[chosen] = None
    return list(made)
