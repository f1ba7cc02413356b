"""What the tests of the view share: recorded runs, hostile text, a notebook that remembers its outputs."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from dashnb.protocol.events import RunEvent, event_of
from dashnb.protocol.recording import parse_recording
from dashnb.protocol.state import RunState

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").iterdir())

_STYLED = ["p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "li", "blockquote", "hr", "br", "wbr", "table", "thead"]
_STYLED += ["tbody", "tr", "th", "td", "pre", "span", "summary", "strong", "em", "s"]
_ALLOWED: dict[str, set[str]] = {
    **{name: {"style"} for name in _STYLED},
    "ol": {"style", "start"},
    "div": {"style", "class"},
    "code": {"style", "class"},
    "details": {"style", "open"},
    "a": {"href", "target", "rel", "title"},
    "img": {"src", "alt", "style"},
    "svg": {"width", "height", "viewbox", "role", "aria-label", "aria-hidden", "style"},
    "circle": {"cx", "cy", "r", "fill"},
    "path": {"d", "fill", "stroke", "stroke-width", "stroke-linecap", "stroke-linejoin"},
}
_VOID = {"hr", "br", "wbr", "img"}
_PICTURE = re.compile(r"(?i)https://|data:image/(png|jpeg|gif|webp);base64,[a-z0-9+/=]+$")

_TAGS = ["<script>", "</script>", "<img src=x onerror=alert(1)>", "<!--", "-->", "</div>", "</details>", "<a:b>"]
_TARGETS = ["[a](", "![a](", ")", "[x]:", "javascript:", "data:text/html,", "data:image/svg+xml;base64,", "https://x.y"]
_MARKS = [
    "`",
    "```",
    "~~~",
    "|",
    ":---",
    "-",
    "*",
    "**",
    "_",
    "~~",
    "#",
    ">",
    "1.",
    "\\",
    "$",
    "$$",
    "\\(",
    "\\)",
    "\\[",
]
_OTHERS = ['"', "'", "<", "&", "&#106;", "&lt;", "&quot;", " onload=", ' style="', '{"', "\x00", "\x1b[31m", "\u202e"]
_OTHERS += ["\ud83d", "日本", "「", "」", " ", "\n", "\n\n", "\t", "    "]

HOSTILE = st.lists(
    st.one_of(st.sampled_from(_TAGS + _TARGETS + _MARKS + _OTHERS), st.text(max_size=4)), max_size=25
).map("".join)


class _Checker(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _ALLOWED, tag
        for name, value in attrs:
            assert name in _ALLOWED[tag], (tag, name)
            if name == "href":
                assert re.match("(?i)https?://", value or ""), value
            if name == "src":
                assert _PICTURE.match(value or ""), value
            if name == "style":
                assert not re.search(r"(?i)url|expression|var\(|import|behavior", value or ""), value
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _VOID, tag
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"comment {data!r}")

    handle_decl = handle_comment
    handle_pi = handle_comment
    unknown_decl = handle_comment


def assert_harmless(html: str) -> None:
    """The HTML is well-formed and has only allowed elements, attributes and addresses."""
    _check(html)


def text_of(html: str) -> str:
    """The HTML's text."""
    return "".join(_check(html).text)


def _check(html: str) -> _Checker:
    checker = _Checker()
    checker.feed(html)
    checker.close()
    assert not checker.open, checker.open
    return checker


def folded(events: list[RunEvent], *, every_ms: float = 40) -> RunState:
    """The state after the events, one in ``every_ms`` milliseconds."""
    state = RunState(requested_at=0)
    for number, event in enumerate(events, 1):
        state.apply(event, at=number * every_ms)
    return state


def recorded(name: str) -> RunState:
    """The state of a recorded run, by the beginning of its file name."""
    return folded(parse_recording(next(path for path in TRANSCRIPTS if path.name.startswith(name)).read_bytes()))


def created() -> RunEvent:
    """A run was made."""
    return event_of("thread.run.created", {**_RUN, "status": "queued"})


def run(status: str, **fields: Any) -> RunEvent:
    """The run has this status."""
    return event_of(f"thread.run.{status}", {**_RUN, "status": status, **fields})


_RUN: dict[str, Any] = {"id": "run_1", "model": "qwen-max", "thread_id": "thread_1", "assistant_id": "asst_1"}


def message(*pieces: str, step: str = "step_m") -> list[RunEvent]:
    """A step that writes a message in these pieces."""
    details = {"type": "message_creation", "message_creation": {"message_id": f"message_{step}"}}
    begun = {"id": step, "type": "message_creation", "status": "in_progress", "step_details": details}
    return [
        event_of("thread.run.step.created", begun),
        *(event_of("thread.message.delta", _delta(f"message_{step}", piece)) for piece in pieces),
    ]


def _delta(message_id: str, text: str) -> dict[str, Any]:
    return {"id": message_id, "delta": {"content": [{"type": "text", "text": {"value": text}}]}}


def call(
    name: str, arguments: str, output: Any = None, *, status: str = "completed", step: str = "step_t"
) -> list[RunEvent]:
    """A step that calls a tool."""
    one = {"type": "function", "function": {"name": name, "arguments": arguments, "output": output}}
    begun = {"id": step, "type": "tool_calls", "status": "in_progress", "step_details": {"type": "tool_calls"}}
    whole = {"id": step, "type": "tool_calls", "step_details": {"type": "tool_calls", "tool_calls": [one]}}
    delta = {"step_details": {"type": "tool_calls", "tool_calls": [{**one, "index": 0}]}}
    events = [
        event_of("thread.run.step.created", begun),
        event_of("thread.run.step.delta", {"id": step, "delta": delta}),
    ]
    return events if status == "in_progress" else [*events, event_of(f"thread.run.step.{status}", whole)]


def waiting(name: str = "get_weather", arguments: str = '{"city": "Rome"}') -> RunEvent:
    """The run waits for the output of a function."""
    calls = [{"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}]
    action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}
    return run("requires_action", required_action=action)


class Notebook:
    """A cell that remembers what each of its outputs shows, and counts."""

    def __init__(self) -> None:
        self.outputs: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.places: dict[str, int] = {}
        self.updates = 0
        self.times: list[float] = []
        self.now = 0.0

    def __call__(self, data: dict[str, str], metadata: dict[str, Any], *, display_id: str | None, update: bool) -> None:
        self.times.append(self.now)
        if update:
            assert display_id is not None
            self.updates += 1
            self.outputs[self.places[display_id]] = (data, metadata)
            return
        if display_id is not None:
            assert display_id not in self.places
            self.places[display_id] = len(self.outputs)
        self.outputs.append((data, metadata))

    def clock(self) -> float:
        """The time that the test sets."""
        return self.now


class Screen:
    """A browser's page: carries out operations, and refuses what it could not do."""

    def __init__(self) -> None:
        self._known: dict[str, list[Any]] = {}
        self._order: dict[str, list[str]] = {"": []}
        self.said: list[str] = []
        self.colours: list[tuple[str, int]] = []
        self.ended = False
        self.parked = False
        self.asked: list[dict[str, str]] = []

    def carry_out(self, operations: list[list[Any]]) -> None:
        for name, *values in operations:
            assert not self.ended, "nothing may follow the end"
            getattr(self, f"_{name}")(*values)

    @property
    def parts(self) -> list[tuple[Any, ...]]:
        return self._below("")

    def _below(self, holder: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        for key in self._order[holder]:
            rows.append((key, holder, *self._known[key]))
            rows.extend(self._below(key))
        return rows

    def text(self, key: str) -> str:
        text: str = self._known[key][2]
        return text

    def _add(self, key: str, inside: str, before: str | None, shell: Any, grows: str, text: str) -> None:
        assert key not in self._known
        siblings = self._order[inside]
        siblings.insert(len(siblings) if before is None else siblings.index(before), key)
        self._known[key], self._order[key] = [shell, grows, text], []

    def _shell(self, key: str, shell: Any) -> None:
        self._known[key][0] = shell

    def _append(self, key: str, text: str) -> None:
        assert text
        self._known[key][2] += text

    def _text(self, key: str, text: str) -> None:
        self._known[key][2] = text

    def _drop(self, key: str) -> None:
        for held in list(self._order[key]):
            self._drop(held)
        next(order for order in self._order.values() if key in order).remove(key)
        del self._known[key], self._order[key]

    def _code(self, key: str, number: int, spans: list[list[Any]]) -> None:
        assert key in self._known
        assert spans
        self.colours.append((key, number))

    def _say(self, text: str) -> None:
        self.said.append(text)

    def _ask(self, calls: list[dict[str, str]]) -> None:
        self.asked = calls

    def _park(self) -> None:
        self.parked = True

    def _end(self) -> None:
        self.ended = True
