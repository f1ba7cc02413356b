"""Code in colours that read on every page, and fences found as a Markdown parser finds them."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from dashnb.view.code import PAINTED_AT_MOST, PALETTE, Fence, Fences, language_of, painted

PARSER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
LANGUAGES = ["py", "python3", "ipython", "js", "ts", "sh", "console", "jsonc", "json", "yaml", "html", "sql", "c++"]
LANGUAGES += ["diff", "pycon", "http", "toml", "dockerfile", "latex", "php", "rust", "text", "nonsense", ""]
CODE = 'def f(x: int) -> str:\n\t"""Words."""\n\treturn f"{x!r}" + \'a\\n\'  # so\n\n@d\nclass A(B): pass\n'

Colour = tuple[float, float, float]
GREY: Colour = (128, 128, 128)
WHITE: Colour = (255, 255, 255)
DARK: Colour = (17, 17, 17)


# --- colours -----------------------------------------------------------------------------------


def css_of(word: str, code: str, language: str) -> str:
    return next(css for css, text in painted(code, language) if text.strip() == word)


def test_the_parts_of_a_program_differ() -> None:
    program = '@d\ndef f(x):\n    return len("a") + 12 if x and y else None  # why'
    words = ["@d", "def", "f", "len", '"a"', "12", "# why"]
    assert len({css_of(word, program, "python") for word in words}) == len(words)
    assert css_of("and", program, "python") == css_of("def", program, "python")


@pytest.mark.parametrize("language", LANGUAGES)
@given(
    st.one_of(
        st.text(max_size=60), st.text(alphabet="ab1 \t\n\r\x0b\x0c\x85\u2028\0\ufeff\"'`#{}<>$@/*\\", max_size=60)
    )
)
@example(CODE)
@example("\n\n  x\r\ny\r\n\n")
@example("\ufeffx = 1")
@example("$ ls\nout\n>>> 1\n1")
@settings(deadline=None, max_examples=40)
def test_the_texts_join_to_the_code_and_neighbours_differ(language: str, code: str) -> None:
    pairs = painted(code, language)
    assert "".join(text for _, text in pairs) == code
    assert all(text for _, text in pairs)
    assert all(one[0] != other[0] for one, other in pairwise(pairs))
    assert {css for css, _ in pairs} <= set(PALETTE.values())


@pytest.mark.parametrize(
    "language",
    ["py", "Python", "python3", "js", "nodejs", "sh", "console", "jsonc", "kt", "patch", "hpp", "cmd", "svg"],
)
def test_names_that_people_write_are_understood(language: str) -> None:
    code = "\n".join(["$ echo 1", "+ 'a'", 'fun x() { return "b"; } // c', "def f(): pass", "<a b='c'/>", "@echo off"])
    assert len(painted(code, language)) > 1


@pytest.mark.parametrize("language", ["", "nonsense", "text", "../x", "__init__"])
def test_code_in_an_unknown_language_is_plain(language: str) -> None:
    assert painted(CODE, language) == (("", CODE),)


def test_no_code_is_no_pairs() -> None:
    assert painted("", "py") == painted("", "") == ()


def test_code_that_is_too_long_is_plain() -> None:
    line = "x = 1\n"
    longest = line * (PAINTED_AT_MOST // len(line))
    assert len(painted(longest, "py")) > 1
    assert painted(longest + line, "py") == (("", longest + line),)


@pytest.mark.parametrize("strange", ["x = '" + "a" * 500 + "'", "if x:" + "\n" * 101 + "    y", "if" + " " * 101 + "x"])
def test_code_with_endless_lines_or_gaps_is_plain(strange: str) -> None:
    assert painted(strange, "py") == (("", strange),)


@pytest.mark.parametrize("language", ["py", "js", "java", "c#", "c", "console", "css", "markdown", "make", "html"])
@pytest.mark.parametrize(
    "line", ["a", "a;" * 200, "(" * 500, "<" * 500, "a " * 250, '"a\\' * 166, "\n" * 99 + "x", "{[(" * 166, "a" * 500]
)
def test_code_on_which_lexers_would_work_for_minutes_stays_whole(language: str, line: str) -> None:
    code = "\n".join([line] * (PAINTED_AT_MOST // len(line) - 1))
    assert "".join(text for _, text in painted(code, language)) == code


def test_a_lexer_that_fails_leaves_the_code_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr("pygments.lexers.TOMLLexer.get_tokens", fail)
    assert painted("this_one = 'fails'", "toml") == (("", "this_one = 'fails'"),)


def over(ground: Colour, colour: Colour, opacity: float) -> Colour:
    red, green, blue = (below + (above - below) * opacity for below, above in zip(ground, colour, strict=True))
    return red, green, blue


def luminance(colour: Colour) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: Colour, other: Colour) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def seen(css: str, page: Colour, ground: Colour) -> Colour:
    if match := re.fullmatch(r"color:#(\w\w)(\w\w)(\w\w)", css):
        return int(match[1], 16), int(match[2], 16), int(match[3], 16)
    opacity = re.match(r"opacity:(0\.\d+)", css)
    assert opacity, css
    words = over(page, DARK if page == WHITE else WHITE, 0.87)  # JupyterLab's own text
    return over(ground, words, float(opacity[1]))


@pytest.mark.parametrize("page", [WHITE, DARK])
@pytest.mark.parametrize("css", sorted(set(PALETTE.values()) - {""}))
def test_every_colour_reads_on_light_and_dark_pages(css: str, page: Colour) -> None:
    ground = over(page, GREY, 0.1)
    assert contrast(seen(css, page, page), page) >= 4
    # No colour has more than 3.9 on the grounds of both pages: their own contrast is 3.9².
    assert contrast(seen(css, page, ground), ground) >= 3.85


def test_no_single_colour_could_have_a_contrast_of_four_on_both_grounds() -> None:
    assert contrast(over(WHITE, GREY, 0.1), over(DARK, GREY, 0.1)) < 4**2


# --- fences ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("info", "language"),
    [
        ("py", "py"),
        (" c++ x", "c++"),
        ("c#", "c#"),
        ("objective-c", "objective-c"),
        ("{.x}", ""),
        ("", ""),
        ("<b>", ""),
    ],
)
def test_the_language_is_the_first_word_after_the_fence(info: str, language: str) -> None:
    assert language_of(info) == language


def closed_by_parser(text: str) -> list[Fence]:
    """The fences in which a further line would not stand."""
    tokens = PARSER.parse(text + " " * 200 + "PROBE\n")
    fences = [token for token in tokens if token.type == "fence"]
    return [
        Fence(number, language_of(token.info), token.content.rstrip("\n"))
        for number, token in enumerate(fences)
        if "PROBE" not in token.content
    ]


MARGINS = ["", "", "", " ", "  ", "   ", "    ", "     ", "      ", "\t", "\t\t"]
STARTS = ["", "", "", "- ", "* ", "1. ", "2) ", "10. ", "-\t", "-   ", "1.      "]
REST = [
    "```",
    "```",
    "```py",
    "``` c++ x",
    "````",
    "~~~",
    "~~~ a`b",
    "``` a`b",
    "```  ",
    "x",
    "word word",
    "",
    "",
    "",
    "|",
]
REST += ["# T", "---", "* * *", "===", "``", "\\```", "    y", "\tz", "`", "a\0b", "日本"]
LINES = st.tuples(*map(st.sampled_from, (MARGINS, STARTS, REST))).map("".join)
DOCUMENTS = st.tuples(st.lists(LINES, max_size=14), st.sampled_from(["\n", "\n", "\r\n"])).map(
    lambda drawn: "".join(line + drawn[1] for line in drawn[0])
)


@given(DOCUMENTS)
@settings(deadline=None, max_examples=600)
def test_fences_are_those_of_the_parser_after_every_line(text: str) -> None:
    fences = Fences()
    found: list[Fence] = []
    for end in [match.end() for match in re.finditer("\n", text)]:
        found += fences.closed(text[:end])
        assert found == closed_by_parser(text[:end])


@given(DOCUMENTS, st.lists(st.integers(0, 300)))
@settings(deadline=None)
def test_the_pieces_in_which_a_text_comes_make_no_difference(text: str, cuts: list[int]) -> None:
    fences = Fences()
    found = [fence for cut in sorted(cuts) for fence in fences.closed(text[:cut])]
    assert found + fences.closed(text) == Fences().closed(text)


def test_a_fence_is_closed_by_a_complete_line_only() -> None:
    fences = Fences()
    text = "```py\nx = 1\n\n```"
    assert fences.closed(text) == []
    assert fences.closed(text + "\n") == [Fence(0, "py", "x = 1")]
    assert fences.closed(text + "\nmore\n") == []


def test_a_fence_ends_with_the_list_item_around_it() -> None:
    assert Fences().closed("- a\n  ~~~ sh\n  ls\n\nmore\n") == [Fence(0, "sh", "ls")]


def test_marks_inside_a_fence_do_not_close_it() -> None:
    inside = '"""\n    ```\n> ```\n~~~\n```py\n"""'
    assert Fences().closed(f"```py\n{inside}\n```\n```\ny\n```\n") == [Fence(0, "py", inside), Fence(1, "", "y")]


def test_fences_in_block_quotes_are_not_counted() -> None:
    assert Fences().closed("> ```\n> x\n> ```\n\n```\ny\n```\n") == [Fence(0, "", "y")]


def test_another_text_begins_anew() -> None:
    fences = Fences()
    assert fences.closed("```\nx\n```\nand so on") == [Fence(0, "", "x")]
    assert fences.closed("```\ny\n```\n") == [Fence(0, "", "y")]
    assert fences.closed("") == []
    assert fences.closed("```\nz\n```\n") == [Fence(0, "", "z")]


def test_every_fence_of_a_long_answer_is_found_once() -> None:
    text = ("Words.\n\n```py\n" + "x = 1\n" * 30 + "```\n\n" + "y" * 300 + "\n") * 250
    fences = Fences()
    found = [fence for end in range(0, len(text) + 1, 10) for fence in fences.closed(text[:end])]
    assert len(found + fences.closed(text)) == 250
