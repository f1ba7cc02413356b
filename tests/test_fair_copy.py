"""A hostile answer as Markdown: nothing in it runs in a renderer that takes raw HTML as it is."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inert import RENDERERS, wrong_in

import hostile
from dashnb.view import Heading, to_markdown
from dashnb.view.fair_copy import code_span, fair_copy, fenced
from dashnb.view.markdown import MARKDOWN_AT_MOST
from dashnb.view.markdown import to_html as to_html_of
from view_support import HOSTILE, TRANSCRIPTS, call, created, folded, message, recorded, run

ORDINARY = """# A heading & more

Words with **bold**, *italic*, `code`, ~~gone~~, snake_case, 2 * 3 and a < b, [a link](https://example.org/a_b?c=d&e).

- one
- two
  1. nested
  2. again
- [ ] a task

```python
if a < b and c <= d:
    print("x" * 3, {1: "a"}, f"{a}")
```

| a | b |
|:--|--:|
| 1 | `c` |

> A quote
> of two lines
> with a break.

![a picture](https://example.org/p.png) and ![](data:image/png;base64,iVBORw0KGgo=)

漢字と**「強調」**の例。AT&T costs $5. One line\\
and another. $
""".replace("costs $5. ", "").replace(" $\n", "\n")


@pytest.mark.parametrize("text", [ORDINARY, *(recorded(path.name[:6]).text for path in TRANSCRIPTS)])
def test_an_ordinary_answer_is_left_as_it_is_to_the_letter(text: str) -> None:
    assert fair_copy(text) == text.strip("\n")


@pytest.mark.parametrize(
    ("text", "copy"),
    [
        ("Use <b> & <script>x</script>.", "Use &lt;b> & &lt;script>x&lt;/script>."),
        ("`<b>` and <b>", "`<b>` and &lt;b>"),
        ("``a ` <b>``", "`` a ` <b> ``"),
        ("5 &lt; 6 and &copy; &amp;lt;", "5 < 6 and © &amp;lt;"),
        ("<!-- x --> <?x?> <![CDATA[x]]>", "&lt;!-- x --> &lt;?x?> &lt;\\!&#91;CDATA[x]&#93;>"),
        ("costs $5 or $10", "costs <span>\\$</span>5 or <span>\\$</span>10"),
        ("$x^2$ costs $5", "$x^2$ costs <span>\\$</span>5"),
        ("\\(x\\) and \\[y\\]", "$x$ and $$y$$"),
        ("$a<b>c$", "$a< b>c$"),
        ("$[a](javascript:x)$", "$[a] (javascript:x)$"),
        ("$\\href{javascript:x}{y}$", "`$\\href{javascript:x}{y}$`"),
        ("$\\openin5=/etc/passwd$ $x$", "`$\\openin5=/etc/passwd$` $x$"),
        ("\\input{/etc/passwd} and C:\\new", "`\\input{/etc/passwd}` and `C:\\new`"),
        ("\\begin{a}\\unicode{41}\\end{a}", "`\\\u200bbegin{a}\\unicode{41}\\\u200bend{a}`"),
        ("[a](javascript:x) [b](DATA:text/html,x) [c](/d)", "a b c"),
        ("[a][1]\n\n[1]: javascript:x", "a"),
        ("[a][1]\n\n[1]: https://example.org 'x'", "[a](https://example.org)"),
        ("<https://example.org/?a=1> <mailto:a@b.c>", "<https://example.org/?a=1> mailto:a@b.c"),
        ("![a](http://example.org/p.png)", "[a (example.org)](http://example.org/p.png)"),
        ("!![a](http://example.org/p.png)", "\\![a (example.org)](http://example.org/p.png)"),
        ('![a" onerror="x](https://example.org/p.png)', "![a' onerror='x](https://example.org/p.png)"),
        ('[a](https://example.org/(b) "c")', "[a](https://example.org/%28b%29)"),
        ('[a](https://example.org/(b)c "d")', "[a](https://example.org/%28b%29c)"),
        ("# a {onclick=x}\n\n{: onclick=x}", "# a \\{onclick=x\\}\n\n\\{: onclick=x\\}"),
        ("`<b>`{=html}", "`<b>`\\{=html\\}"),
        ("```{=html}\n<b>\n```", "```\n<b>\n```"),
        ('```html onclick="x"\n<b>\n```', "```html\n<b>\n```"),
        ("```mermaid\ngraph\n```", "```\ngraph\n```"),
        ("    <b>\n    c", "```\n<b>\nc\n```"),
        ("~~~html\n<b>\n```\n", "~~~html\n<b>\n```\n~~~"),
        ("```html\n<b>", "```html\n<b>\n```"),
        ("- a\n  ```html\n  <b>\n  ```", "- a\n  ```html\n  <b>\n  ```"),
        ("> - ```\n>   <b> $x\n>   ```", "> - ```\n>   <\u200bb> $x\n>   ```"),
        (
            "> > > > > `x`\n> > > > > ```\n> > > > > <b>",
            "> > > > > `x`\n> > > > >\n> > > > > ```\n> > > > > <\u200bb>\n> > > > > ```",
        ),
        ("| a | `<b>` |\n|-|:-:|\n| c\\|d | `e\\|<i>` |", "| a | `<b>` |\n| --- | :-: |\n| c\\|d | `e\\|<i>` |"),
        ("a\r<b>\x00\u2028c", "a\n&lt;b> c"),
        ("---\n<b>", "___\n\n&lt;b>"),
        ("2\\. <b>\n\\- c\n\\# d", "2\\. &lt;b>\n\\- c\n\\# d"),
        ("3. <b>\n4. c\n\n   d", "3. &lt;b>\n\n4. c\n\n   d"),
        ("`<b>``c` `$$` $x$", "``` <b>``c ``` `$\u200b$` $x$"),
        ("**[](javascript:x)** <b>", "&lt;b>"),
    ],
)
def test_what_could_be_more_than_words_is_written_anew(text: str, copy: str) -> None:
    assert fair_copy(text) == copy


def test_a_definition_elsewhere_in_the_answer_holds_for_a_piece_of_it() -> None:
    whole = "See [a].\n\n[a]: https://example.org"
    assert fair_copy("See [a].", context=whole) == "See [a](https://example.org)."


def test_a_price_in_one_piece_is_no_beginning_of_a_formula_in_the_next() -> None:
    assert fair_copy("costs $5") == "costs $5"
    assert fair_copy("costs $5", context="costs $5\n\nor $10") == "costs \\$5"


def test_a_text_that_is_too_long_to_be_read_is_code() -> None:
    copy = fair_copy("<b> ```\n" * (MARKDOWN_AT_MOST // 8 + 1))
    assert copy.startswith("````\n<\u200bb> ```\n")
    assert copy.endswith("\n````")


def test_code_is_between_marks_that_are_longer_than_any_in_it() -> None:
    assert code_span("a\nb\u2028c") == "`a b c`"
    assert code_span("`") == "`` ` ``"
    assert code_span(" a ") == "`  a  `"
    assert code_span("") == ""
    assert fenced("~~~~", "py", "~") == "~~~~~py\n~~~~\n~~~~~"


# --- what renderers make of it -------------------------------------------------------------------

_GROUPS = ("tags", "addresses", "characters", "ends", "formulas", "heavy formulas")
_TEXTS = {
    **{
        name: text
        for group in ("tags", "addresses", "characters", "ends", "formulas")
        for name, text in hostile.GROUPS[group].items()
    },
    **hostile.WORDS,
}


@pytest.mark.parametrize("renderer", RENDERERS)
def test_a_hostile_answer_is_words_in_every_renderer(renderer: str) -> None:
    wrong = {name: found for name, text in _TEXTS.items() if (found := wrong_in(RENDERERS[renderer](fair_copy(text))))}
    assert wrong == {}


_MARGINS = ("", "", "> ", "- ", "  ", "    ", "1. ", "   ", "* ", "> > ", "\t", "+ ", "10) ", "> - ", "  - ", "- - ")
_PIECES = (
    *("<script>x</script>", "<img src=x onerror=y>", "<!--", "-->", "<![CDATA[", "<?", "<", "</", "<div>", "</pre>"),
    *("```", "```html", "~~~", "````", "`", "``", "`<b>`", "x`<p>`y", "{=html}", "{: onclick=x}", "{", "}"),
    *("$", "$$", "$x$", "$<i>$", "\\", "\\\\", "\\(", "\\[", "\\begin{a}", "\\end{a}", "&#60;b>", "&lt;b&gt;"),
    *("|", "|-|-|", "a | b", "--- | ---", "#", "===", "---", "***", ":::", "1.", "!", "[^1]:", "[ ] ", "*", "**", "_"),
    *("[a](javascript:x)", "![a](http://e/x)", "[a]: javascript:x", "[a]", "[", "]", "](", "~~", "<https://a.b>"),
    *('![x" onerror="y](https://a.b/c)', '[x](https://a.b "t" )', "\u00a0", "\x0b", "\u2028", "\r", '"', "'", "word"),
)
_LINES = st.tuples(
    st.sampled_from(_MARGINS), st.lists(st.sampled_from(_PIECES), max_size=4), st.sampled_from(["", " "])
)
_MIXED = st.lists(_LINES.map(lambda line: line[0] + line[2].join(line[1])), min_size=1, max_size=9).map("\n".join)


@given(st.one_of(_MIXED, HOSTILE))
@settings(deadline=None, max_examples=300)
def test_any_mixture_of_marks_is_words_in_every_renderer(text: str) -> None:
    copy = fair_copy(text)
    for name, render in RENDERERS.items():
        assert wrong_in(render(copy)) == [], name


@given(_MIXED)
@settings(deadline=None, max_examples=150)
def test_a_copy_says_what_the_text_says(text: str) -> None:
    text = re.sub("[\r\x0b\u2028]", " ", text)
    # The one element of ours is words to the HTML view.
    copy = fair_copy(text).replace("<span>\\$</span>", "\\$")
    assert _words(to_html_of(copy)) == _words(to_html_of(text))


def _words(page: str) -> str:
    """The letters of a page: marks are written in several ways, and a list may count anew."""
    return "".join(re.findall(r"[a-z]", html.unescape(re.sub(r"<[^>]*>", "", page))))


@given(text=HOSTILE, arguments=HOSTILE, output=HOSTILE, name=HOSTILE)
@settings(deadline=None, max_examples=100)
def test_nothing_that_a_run_says_anywhere_is_more_than_words(text: str, arguments: str, output: str, name: str) -> None:
    failed = run("failed", last_error={"code": name or "x", "message": output})
    state = folded([created(), *call(name, arguments, output), *message(text), *message(output, step="n"), failed])
    for live in (False, True):
        shown = to_markdown(state, Heading(name, model=text, engine=output), live=live)
        for renderer, render in RENDERERS.items():
            assert wrong_in(render(shown)) == [], renderer
