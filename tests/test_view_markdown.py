"""Markdown of a model as HTML: complete, calm and harmless."""

from __future__ import annotations

import re
import time
from html import escape

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dashnb.characters import whole_characters
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


@pytest.mark.parametrize("source", ["[a]({} 'Bank')", "[a][1]\n\n[1]: {} 'Bank'", "<{}>"])
def test_a_link_to_the_web_shows_where_it_leads_opens_apart_and_tells_nothing(source: str) -> None:
    html = to_html(source.format("https://example.org/?q=1&r=2"))
    url = "https://example.org/?q=1&amp;r=2"
    assert f'<a href="{url}" title="{url}" target="_blank" rel="noopener noreferrer">' in html
    assert "Bank" not in html


@pytest.mark.parametrize(
    "source",
    [
        "https://example.org/a.png",
        "HTTPS://example.org/a.png",
        "data:image/png;base64,iVBORw0KGgo=",
        "data:image/jpeg;base64,AAAA",
        "data:image/gif;base64,AAAA",
        "data:image/webp;base64,AAAA",
    ],
)
def test_pictures_come_over_https_or_are_pixels(source: str) -> None:
    assert to_html(f'![the "alt"]({source} "title")').startswith(
        f'<p style="margin:0 0 0.75em 0"><img src="{source}" alt="the &quot;alt&quot;" style="max-width:100%'
    )


@pytest.mark.parametrize(
    "source",
    [
        "data:image/svg+xml;base64,AAAA",
        "data:image/png,AAAA",
        "data:image/png;base64,AAAA;x",
        "data:text/html;base64,AAAA",
        "javascript:alert(1)",
        "javascript:alert(1)//http://x.y/",
        "file:///a.png",
        "//example.org/a.png",
        "http:/example.org/a.png",
        "http://",
        "http://?x",
        "http://me@/x",
        "https:a.png",
        "ftp://example.org/a.png",
        "local.png",
        "",
    ],
)
def test_of_any_other_picture_the_words_are_kept(source: str) -> None:
    assert to_html(f"![the *alt*]({source})") == '<p style="margin:0 0 0.75em 0">the alt</p>\n'


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://example.org/a.png?b&c", "example.org"),
        ("HTTP://Example.org:8080", "Example.org:8080"),
        ("http://example.org#x", "example.org"),
        ("http://bank.example@evil.example/", "evil.example"),
        ("http://bank.example%2F@evil.example/?@bank.example", "evil.example"),
        ("http://a@b@evil.example/@bank.example", "evil.example"),
        ("http:///evil.example/a", "evil.example"),
        ("http://bänk.example/", "xn--bnk-qla.example"),
    ],
)
def test_a_picture_over_plain_http_becomes_a_link_that_names_its_host(url: str, host: str) -> None:
    link = re.search("<a .*</a>", to_html(f"![the alt]({url})"))
    assert link
    assert text_of(link[0]) == f"the alt ({host})"
    href = re.match('<a href="([^"]+)" title="([^"]+)" target="_blank" rel="noopener noreferrer">', link[0])
    assert href
    assert href[1] == href[2]
    assert f">{host}</a>" in to_html(f"![]({url})")


@pytest.mark.parametrize("around", ["[{}](https://x.example)", "[a **{}** b](https://x.example)"])
def test_a_picture_that_may_not_be_shown_is_no_link_inside_a_link(around: str) -> None:
    html = to_html(around.format("![$5](http://example.org/a.png)"))
    assert "<span>$</span>5 (example.org)" in html
    assert html.count("<a ") == html.count("</a>") == 1
    assert "http://" not in html


def test_a_picture_beside_a_link_or_in_one_that_was_taken_away_may_be_a_link() -> None:
    picture = "![b](http://example.org/b.png)"
    assert to_html(f"[a](https://x.example) {picture}").count("<a ") == 2
    assert to_html(f"[{picture}](javascript:alert(1))").count("<a ") == 1


def test_pictures_that_were_fetched_stand_for_their_urls() -> None:
    kept = {"http://example.org/a b.png?c&d": "data:image/png;base64,AAAA", "https://x.example": "javascript:alert(1)"}
    html = to_html("![alt](<http://example.org/a b.png?c&amp;d>)", pictures=kept)
    assert '<img src="data:image/png;base64,AAAA" alt="alt" style="' in html
    assert ">alt</p>" in to_html("![alt](https://x.example)", pictures=kept)
    assert '<img src="https://y.example"' in to_html("![alt](https://y.example)", pictures=kept)


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
    assert "if a < b:\n    pass" in text_of(html)
    assert "onload" not in html
    assert "if a &lt; b:\n    pass</code></pre>" in to_html("    if a < b:\n        pass")


def test_code_in_a_known_language_has_colours() -> None:
    assert '><span style="color:#ad50cc">if</span> a &lt; b: ' in to_html("```py\nif a < b: pass\n```")
    for plain in ("```\nif a: pass\n```", "``` nonsense\nif a: pass\n```", "    if a: pass"):
        assert ">if a: pass</code></pre>" in to_html(plain)


@pytest.mark.parametrize("language", ["html", "js", "py", "diff"])
@given(text=HOSTILE)
@settings(deadline=None, max_examples=50)
def test_code_in_colours_stays_text(language: str, text: str) -> None:
    code = re.sub("[`\0\r]", "", text)
    html = to_html(f"````{language}\n{code}\n````")
    assert_harmless(html)
    assert text_of(html) == whole_characters(code).rstrip("\n") + "\n"


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
    html = to_html(text)
    assert_harmless(html)
    assert not re.search('(?i)src="http:', html)


@given(st.text(alphabet="ab <&\"'", max_size=60))
def test_plain_words_are_all_kept(text: str) -> None:
    assert text_of(to_html("x " + text)).split() == ("x " + text).split()


def test_an_item_whose_only_link_is_dropped_is_empty() -> None:
    assert "<li" in to_html("- [](foo)")


@pytest.mark.parametrize(
    "formula",
    [
        r"\unicode[x;background:url(a)]{41}",
        r"\mmlToken{mi}[mathsize=x]{x}",
        r"\href{x}{y}",
        r"\htmlId{x}{y}",
        r"\def\x{y}",
        r"\renewcommand{\x}{y}",
        r"\csname def\endcsname",
        r"\color{red;background:x}{x}",
        r"\bbox[background:x]{x}",
        r"\enclose{box}[mathcolor=x]{y}",
        r"\begin{evil}x\end{evil}",
        r"\begin {matrix }x\end{matrix}",
        "{" * 26 + "x" + "}" * 26,
        r"\left(" * 26 + "x" + r"\right)" * 26,
        r"{\right{" * 20,
        "{x}" * 401,
    ],
)
def test_a_formula_that_is_more_than_mathematics_is_words(formula: str) -> None:
    html = to_html(f"So ${formula}$ holds.")
    assert text_of(html).strip() == f"So ${formula}$ holds."
    assert "<span>$</span>" in html
    assert not re.search(r"<span>\$[^<]", html)


@pytest.mark.parametrize(
    "formula",
    [
        r"\frac{1}{\sqrt[3]{x}} \in [0, 1]",
        r"\begin{pmatrix} a & b \\ c & d \end{pmatrix}",
        r"\begin{cases} x & \text{if } y: z \\ 0 & \text{else} \end{cases}",
        r"\begin{align*} a &= b \end{align*}",
        r"\left\{ x \mid \leftarrow y \right\}",
        r"\color{red}{x} \textcolor{#ff0000}{y} \colorbox{yellow}{z}",
        r"\bbox[yellow, 5px]{x} \cancel{x}",
        r"\text{let } \preceq \overset{\text{def}}{=}",
        r"\ce{H2O} \operatorname{argmax}_{\theta}",
    ],
)
def test_a_formula_of_mathematics_passes_through(formula: str) -> None:
    assert f"<span>${escape(formula)}$</span>" in to_html(f"So ${formula}$ holds.")


def test_a_backslash_in_words_stands_apart() -> None:
    assert r"<span>\</span>begin{equation}x<span>\</span>end{equation}" in to_html(r"\begin{equation}x\end{equation}")


def test_half_a_character_in_an_address_is_replaced() -> None:
    assert 'href="https://a.example/%EF%BF%BD"' in to_html("[x](https://a.example/\ud83d)")


def test_emphasis_nests_forty_deep_and_then_stays_words() -> None:
    html = to_html("*a " * 2400 + "a* " * 2400)
    assert html.count("<em>") == html.count("</em>") == 40


def test_a_paragraph_of_a_thousand_brackets_is_words() -> None:
    assert "<a " not in to_html("[" * 1001 + "x" + "](https://a.example)" * 1001)
    assert "<a " in to_html("[" * 10 + "x" + "](https://a.example)" * 10)


@pytest.mark.parametrize("text", ["x" * 1000, "。" * 1000, "*。*" * 1000, "`x`-" * 500, "`" + "x" * 1000 + "`"])
def test_a_line_may_break_within_what_has_no_blanks(text: str) -> None:
    assert 3 <= to_html(text).count("<wbr") <= 6


@pytest.mark.parametrize("text", ["word " * 300, "漢字、かな。" * 300, "- a\n" * 300])
def test_a_text_that_breaks_by_itself_is_left_alone(text: str) -> None:
    assert "<wbr" not in to_html(text)
