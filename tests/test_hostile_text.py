"""What anybody may write to keep a program busy: the work grows with the text, whatever it says, for all readers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from math import isqrt

import pytest

from dashnb.client.cassettes.redaction import Redactor
from dashnb.local.documents import passages, terms
from dashnb.local.documents.page import title_and_text
from dashnb.local.documents.texts import Text
from dashnb.local.models.engine import Said, Turn
from dashnb.local.models.guide import GuideEngine
from dashnb.protocol.events import event_of
from dashnb.protocol.sse import Decoder
from dashnb.protocol.state import RunState
from dashnb.session.docstrings import describe
from dashnb.view import Heading
from dashnb.view.blocks import cut, open_fence
from dashnb.view.bundle import bundle
from dashnb.view.code import Fences
from dashnb.view.formula import is_harmless
from dashnb.view.page import page
from dashnb.view.patch import changes
from dashnb.view.text import without_picture_data
from patterns import TooLong, seconds
from work import assert_linear

REPEATED = (
    *(
        "> ",
        "- ",
        "* ",
        "1. ",
        "[",
        "![",
        "](",
        "<",
        "<a ",
        "<!--",
        "<![CDATA[",
        "`",
        "`` `",
        "**a ",
        "*a_",
        "~~a",
        "|",
    ),
    *("$", "$a", "\\(", "\\[", "&", "&#1", "a@b.", "http://a", "[a](", "[a]: b\n", "![a](data:image/png;base64,"),
    *(
        "x",
        "1",
        "1.",
        "9 ",
        " ",
        "\t",
        "\n",
        "- a\n",
        "> a\n",
        "# a\n",
        "```\n",
        "- ```\n",
        "\r",
        "\0",
        "e\u0301",
        "\ud800",
    ),
    *(
        "中",
        "**中**",
        "{",
        "\\begin{a}",
        "\\color ",
        "(",
        '"',
        "'",
        "“a ",
        "「",
        "=\n",
        "a|b\n-|-\n",
        "\x1b[1m",
        "%%x\n",
    ),
    *("and ", "translate ", "weather in Aa ", "1 + ", "(1", "[redacted]", ":param ", "\\", "1,111,", "qr code for "),
)
SHAPES: dict[str, Callable[[int], str]] = {
    **{repr(piece): lambda n, piece=piece: piece * (n // len(piece)) for piece in REPEATED},  # type: ignore[misc]
    "backticks of all lengths": lambda n: "".join("`" * k + "a" for k in range(1, isqrt(2 * n))),
    "a list of all depths": lambda n: "".join(" " * (2 * k) + "- a\n" for k in range(isqrt(n))),
    "a quotation of all depths": lambda n: "".join(">" * k + "a\n" for k in range(isqrt(2 * n))),
    "a wide table": lambda n: "|a" * (n // 4) + "|\n" + "|-" * (n // 4) + "|\n",
    "a table": lambda n: "|a" * isqrt(n) + "|\n" + "|-" * isqrt(n) + "|\n" + "|\n" * (n // 2),
    "deep JSON": lambda n: "[" * (n // 2) + "]" * (n // 2),
    "deep maps": lambda n: '{"a":' * (n // 6) + "1" + "}" * (n // 6),
    "definitions": lambda n: "".join(f"[a{k}]: b\n[a{k}]" for k in range(n // 20)),
    "code": lambda n: "```python\n" + "x=" * (n // 2),
    "fences": lambda n: "```py\nx\n```\n" * (n // 12),
}

HEADING = Heading("Weather", watched=True)
TOOLS = (
    *(
        {"type": name}
        for name in ("calculator", "quark_search", "text_to_image", "code_interpreter", "generate_qrcode")
    ),
    {
        "type": "function",
        "function": {
            "name": "translate",
            "description": "translate a text",
            "parameters": {
                "type": "object",
                "properties": {
                    **{name: {"type": "string"} for name in ("text", "to_language", "from_place", "city", "email")},
                    "n": {"type": "integer"},
                    "flag": {"type": "boolean"},
                    "many": {"type": "array", "items": {"type": "number"}},
                },
                "required": ["text", "n", "city"],
            },
        },
    },
)


def saying(text: str) -> RunState:
    """A run whose answer is the text."""
    state = RunState()
    state.apply(event_of("thread.run.created", {"id": "run_1", "status": "queued"}))
    content = [{"type": "text", "text": {"value": text}}]
    state.apply(event_of("thread.message.delta", {"id": "m", "delta": {"content": content}}))
    return state


def calling(text: str) -> RunState:
    """A run that calls a function with the text, which answers the same."""
    state = RunState()
    state.apply(event_of("thread.run.created", {"id": "run_1", "status": "queued"}))
    called = {"name": text[:300], "arguments": text, "output": text}
    calls = [{"index": 0, "id": "c", "type": "function", "function": called}]
    details = {"type": "tool_calls", "tool_calls": calls}
    state.apply(event_of("thread.run.step.created", {"id": "s", "type": "tool_calls", "step_details": details}))
    return state


def guided(text: str) -> None:
    async def answer() -> None:
        turn = Turn("guide", "", TOOLS, (Said("user", "What is 2 + 3?"), Said("assistant", text), Said("user", text)))
        async for _ in GuideEngine().answer(turn):
            pass

    asyncio.run(answer())


REDACTOR = Redactor(["open sesame"], [r"\d{11}"])
READERS: dict[str, Callable[[str], object]] = {
    "blocks": cut,
    "an open fence": open_fence,
    "fences": lambda text: Fences().closed(text),
    "pictures": lambda text: without_picture_data(text, over=False),
    "a formula": is_harmless,
    "a page of HTML": title_and_text,
    "passages": lambda text: passages.passages(Text("a", text, "markdown")),
    "terms": terms.terms,
    "a docstring": describe,
    "a stream": lambda text: Decoder().feed(f"data:{text}\n\n".encode("utf-8", "replace")),
    "redaction": REDACTOR.text,
    "redaction of JSON": lambda text: REDACTOR.text(json.dumps({"a": text, "b": [text]})),
    "the output of a call": lambda text: bundle(calling(text), HEADING),
}
# They take longer for each character.
SLOW_READERS: dict[str, Callable[[str], object]] = {
    "the bundle": lambda text: bundle(saying(text), HEADING),
    "the live view": lambda text: changes((), page(saying(text), HEADING)),
    "the guide": guided,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_work_of_a_reader_grows_with_the_text(shape: str, reader: str) -> None:
    assert_linear(READERS[reader], SHAPES[shape], 25_000)


@pytest.mark.parametrize("reader", SLOW_READERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_no_answer_hangs_what_shows_or_reads_it(shape: str, reader: str) -> None:
    for n in (40, 200, 1000, 5000):
        try:
            seconds(lambda n=n: SLOW_READERS[reader](SHAPES[shape](n)), 2)  # type: ignore[misc]
        except TooLong:
            pytest.fail(f"busy for two seconds with {n} characters")


@pytest.mark.slow
@pytest.mark.parametrize("reader", SLOW_READERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_work_of_a_slow_reader_grows_with_the_text(shape: str, reader: str) -> None:
    assert_linear(SLOW_READERS[reader], SHAPES[shape], 25_000)


@pytest.mark.parametrize("before", ["", "> ", "> > ", "- ", "1. ", "12) ", "- > 1. ", ">>", "  ", ">\t- "])
def test_a_fence_is_seen_behind_every_mark(before: str) -> None:
    assert open_fence(f"{before}```py\nx") == "```"
    assert open_fence(f"{before}~~~~\nx") == "~~~~"
    assert open_fence(f"{before}x ```py\nx") == ""
    assert open_fence(f"{before}```a`b") == ""


@pytest.mark.parametrize(("source", "said"), [
    ("<p>a<p>b", "a\n\nb"), ("a < b and c > d", "a < b and c > d"), ("<a href='x>y'>z</a>", "z"), ("text <", "text <"),
    ("<SCRIPT>if (a<b) x</SCRIPT>t", "t"), ("<!-->a", "a"), ("<!-- a -- > b --> c", "c"), ("<![CDATA[x]]>y", "y"),
    ("<?php echo ?>z", "z"), ("a<!-- never closed", "a"), ("a<script>never closed", "a"), ("</>w", "w"),
    ("<a <b>c", "c"),
    ("<br/>x<hr>y", "x\n\ny"), ("<style/>x", "x"), (f"&#{'9' * 5000};a&#x41;", "\ufffdaA"), ("<a 'x>y<b 'z>w", "w"),
    ("<h2>A</h2>b<td>c", "## A\n\nb c"), ("<noscript>a</noscript>b", "b"), ("<p title=\"a>b\">t", "t"),
])  # fmt: skip
def test_a_page_says_what_a_browser_shows(source: str, said: str) -> None:
    assert title_and_text(source) == ("", said)


def test_a_long_number_is_no_number_to_the_guide() -> None:
    guided(f"translate {'9' * 5000} to 5 {'1' * 5000}.5")


def test_a_picture_inside_the_name_of_another_is_the_picture() -> None:
    assert without_picture_data("![a ![b](data:image/png;base64,AA)") == "![a [picture: b]"
    assert without_picture_data("![a ![b](data:image/png;base64,AA", over=False) == "![a "
