"""Markdown of a model as HTML: complete, calm and harmless."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dashnb.view.markdown import MARKDOWN_AT_MOST, to_html
from view_support import HOSTILE, assert_harmless, text_of


def test_commonmark_tables_and_strikethrough_are_rendered() -> None:
    html = to_html("# T\n\n- **b** *i* ~~s~~ `c`\n\n|a|b|\n|-|-:|\n|1|2|\n")
    for part in (
        "<h1 ",
        "<li ",
        "<strong>b</strong>",
        "<em>i</em>",
        "<s>s</s>",
        ">c</code>",
        "<td ",
        "text-align:right",
    ):
        assert part in html


def test_raw_html_stays_text() -> None:
    assert "&lt;img src=x onerror=alert(1)&gt;" in to_html("<img src=x onerror=alert(1)>")


@pytest.mark.parametrize(
    "target",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java&#115;cript:alert(1)",
        "vbscript:x",
        "file:///etc/passwd",
        "data:text/html;base64,PHNjcmlwdD4=",
        "data:image/png;base64,AAAA",
        "mailto:a@b.c",
        "//example.org",
        "/etc",
        "#top",
    ],
)
def test_a_link_that_does_not_lead_to_the_web_keeps_its_words_only(target: str) -> None:
    html = to_html(f"[words **here**]({target})")
    assert "href" not in html
    assert "words <strong>here</strong>" in html


def test_a_link_to_the_web_opens_apart_and_tells_nothing() -> None:
    html = to_html("[a](https://example.org/?q=1&r=2)")
    assert 'href="https://example.org/?q=1&amp;r=2" target="_blank" rel="noopener noreferrer"' in html


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("https://example.org/a.png", True),
        ("http://example.org/a.png", True),
        ("data:image/png;base64,iVBORw0KGgo=", True),
        ("data:image/webp;base64,AAAA", True),
        ("data:image/svg+xml;base64,AAAA", False),
        ("data:text/html;base64,AAAA", False),
        ("javascript:alert(1)", False),
        ("local.png", False),
    ],
)
def test_pictures_come_from_the_web_or_are_pixels(source: str, shown: bool) -> None:
    html = to_html(f"![the alt]({source})")
    assert ("<img " in html) is shown
    assert "the alt" in html


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("**「強調」**の文", "<strong>「強調」</strong>の文"),
        ("これは**注意：**です", "これは<strong>注意：</strong>です"),
        ('한국어 **"강조"**는', "<strong>&quot;강조&quot;</strong>는"),
        ("~~（旧）~~新", "<s>（旧）</s>新"),
        ("一行目\n二行目", "一行目二行目"),
        ("一行目。\n**二**行目", "一行目。<strong>二</strong>行目"),
        ("one\ntwo", "one\ntwo"),
        ("한국어\n문장", "한국어\n문장"),
        ("snake_case_name 2 * 3 * 4", "snake_case_name 2 * 3 * 4"),
    ],
)
def test_east_asian_text_is_emphasised_and_wrapped_as_its_readers_expect(source: str, expected: str) -> None:
    assert expected in to_html(source)


@pytest.mark.parametrize("formula", ["$a_1 * b_2 * c$", "\\(x_1 * y\\)", "\\[\na_1 + b_1\n\\]", "$$\nx_1 * y_1 *z\n$$"])
def test_formulas_pass_through_untouched(formula: str) -> None:
    assert f"<span>{formula}</span>" in to_html(f"So {formula} holds.")


def test_prices_are_not_formulas() -> None:
    assert to_html("from $5 to $10").count("<span>$</span>") == 2


def test_code_is_shown_as_it_is() -> None:
    html = to_html("```py onload=x\nif a < b:\n    pass\n```")
    assert 'class="language-py"' in html
    assert "if a &lt; b:\n    pass</code></pre>" in html
    assert "onload" not in html


def test_task_lists_show_boxes() -> None:
    html = to_html("- [x] done\n- [ ] open")
    assert "☑ done" in html
    assert "☐ open" in html


def test_link_definitions_elsewhere_in_the_answer_hold_for_a_piece() -> None:
    assert 'href="https://example.org"' in to_html("See [1].", context="See [1].\n\n[1]: https://example.org\n")


@pytest.mark.parametrize(
    "text",
    [
        "> " * 9999,
        "[" * 20_000,
        "*a_ " * 9999,
        "- " * 9999,
        "a\n" * 20_000,
        "![" * 9999,
        "\\(" * 20_000,
        "$a" * 20_000,
        "*\n" * 9999,
    ],
)
def test_nesting_and_unclosed_marks_neither_hang_nor_overflow(text: str) -> None:
    started = time.process_time()
    assert to_html(text)
    assert time.process_time() - started < 20


def test_a_text_too_long_to_parse_is_shown_as_it_is() -> None:
    assert "**not bold** &lt;" in to_html("**not bold** <" + "x" * MARKDOWN_AT_MOST)


@given(HOSTILE)
@example("[a](javascript:alert(1)) <script>alert(1)</script> ![x](x onerror=alert(1))")
@example('[a](https://x" onmouseover="alert(1))')
@example('```"><script>\n```')
@example("<https://x' onload=alert(1)>")
@settings(deadline=None, max_examples=300)
def test_nothing_a_model_writes_becomes_active(text: str) -> None:
    assert_harmless(to_html(text))


@given(st.text(alphabet="ab <&\"'", max_size=60))
def test_plain_words_are_all_kept(text: str) -> None:
    assert text_of(to_html("x " + text)).split() == ("x " + text).split()
