"""The live view in a real browser: its Markdown is the kernel's own, however it arrives, and so is its page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dashnb
import lab_browser
from dashnb.view.markdown import to_html
from dashnb.view.run_view import LOOK
from dashnb.view.style import TAGS
from lab_browser import CHROMIUM

if TYPE_CHECKING:
    from playwright.sync_api import Page

BUNDLE = Path(dashnb.__file__).parent / "view" / "front" / "dist" / "run_view.js"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
    pytest.mark.filterwarnings("ignore"),  # the browser driver's own
]

# What stands in the page before every test: the bundle, and how two pages are compared. Blanks between
# blocks are not content, colours of code come by themselves, and attributes that only the live page has
# are its own business.
_SETUP = """async ([bundle, look]) => {
    window.front = await import(URL.createObjectURL(new Blob([bundle], {type: "text/javascript"})));
    window.look = look;
    const BLOCKS = "div,p,h1,h2,h3,h4,h5,h6,ul,ol,li,blockquote,hr,table,thead,tbody,tr,th,td,pre";
    const isBlock = node => node?.nodeType === 1 && node.matches(BLOCKS);
    window.settled = root => {
        for (const code of root.querySelectorAll("pre code")) code.textContent = code.textContent;
        for (const img of root.querySelectorAll("img")) {
            img.removeAttribute("loading"); img.removeAttribute("referrerpolicy");
        }
        root.normalize();
        const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT), texts = [];
        while (walker.nextNode()) texts.push(walker.currentNode);
        for (const text of texts) {
            if (text.parentElement.closest("pre")) continue;
            if (isBlock(text.nextSibling)) text.data = text.data.replace(/\\n+$/, "");
            if (isBlock(text.previousSibling)) text.data = text.data.replace(/^\\n+/, "");
            if (!text.data || (text.data === "\\n" && text.parentElement.matches(BLOCKS))) text.remove();
        }
        return root;
    };
    window.drawn = (pieces, each = 1) => {
        const root = document.createElement("div");
        const drawing = new front.Drawing(root, new front.Markdown(look), () => 0);
        drawing.apply(["add", "text", "", null, ["div", {}], "markdown", ""]);
        pieces.forEach((piece, index) => {
            drawing.apply(["append", "text", piece]);
            if (index % each === 0) drawing.flush();
        });
        drawing.finish();
        return root.firstChild;
    };
    window.difference = ([pieces, html]) => {
        const wanted = document.createElement("div");
        wanted.innerHTML = html;
        const found = drawn(pieces);
        const same = settled(found).isEqualNode(settled(wanted));
        return same ? null : {found: found.innerHTML, wanted: wanted.innerHTML};
    };
    window.Model = class {
        constructor(values) {
            this.values = {snapshot: {seq: 0, ops: []}, running: true, kernel_id: "k", look, labels: {}, ...values};
            this.heard = {}; this.sent = [];
        }
        get(name) { return this.values[name]; }
        on(name, listener) { (this.heard[name] ??= []).push(listener); }
        send(message) { this.sent.push(message); }
        say(message) { (this.heard["msg:custom"] ?? []).forEach(listener => listener(message)); }
        set(name, value) {
            this.values[name] = value;
            (this.heard[`change:${name}`] ?? []).forEach(listener => listener());
        }
    };
    window.shown = (widget, model) => {
        const el = document.createElement("div");
        document.body.append(el);
        el.remove_view = widget.render({model, el});
        return el;
    };
    window.started = values => {
        document.body.replaceChildren();
        const model = new Model(values), widget = front.default();
        widget.initialize({model});
        return [model, widget, shown(widget, model)];
    };
    window.frame = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
    window.text = (key, mode, text) => ["add", key, "", null, ["div", {}], mode, text];
}"""

CORPUS = (
    "Plain words.\n\nA second paragraph,\nbroken in the middle,  \nand hard.\\\nTwice.",
    "# One\n## Two ##\n### Three\n#### Four\n##### Five\n###### Six\n\nSet\n===\n\nAgain\n---\ntext\n#no\n#",
    "*a* **b** ***c*** _d_ __e__ ~~f~~ `g` ``h ` i`` ~j~ ~~~k~~~\n\nsnake_case_name 2 * 3 * 4 **a*b** *a**b***",
    "- a\n- b\n  - c\n    - d\n\n      deep\n- e\n\n1. one\n2. two\n\n   more\n3) other\n\n* x\n\n\n* y\n+ z",
    "7. seven\n8. eight\n\n- \n- empty\n-\n\n1. a\n\n2. b\n\n10. c",
    "> quote\nlazy\n> > nested\n>\n> - list\n>   in it\n\nafter\n> again\n- x\n> y",
    "```python title=x\nif a < b:\n\tpass\n\n```\n\n~~~\nplain\n~~~\n\n    indented\n\n    code\n\n```\n"
    "never closed\n\n\n",
    "- item\n\n  ```js\n  let a = 1;\n  ```\n\n- next\n\n      indented\n\n1. > ```\n   > q\n   > ```",
    "| a | b | c |\n|---|:-:|--:|\n| 1 | **2** | `3|` |\n| $5 | \\| |\n\nx | y\n- | -\n1 | 2 | 3\nend\n\n|a|\n|-|-|",
    "para\n| a | b |\n|---|---|\n| 1 | 2 |\n\n> | q |\n> |---|\n> | r |",
    "**「強調」**の文。これは**注意：**です。~~（旧）~~新\n"
    '한국어 **"강조"**는\n一行目\n二行目。\n**三**行目\n𠀀\n𠀁**。**𠀂',
    "So $a_1 * b_2 * c$ and \\(x_1 * y\\), \\[\na_1 + b_1\n\\]\n\n$$\nx_1 * y_1 *z\n$$\n\n"
    "from $5 to $10, $ a$, $a $b, $x$1 $²$²",
    "- [x] done\n- [ ] open\n- [X] **big**\n- [y] none\n  - [ ] in\n\n1. [x] $5",
    "&amp; &lt; &copy; &nbsp; &#35; &#x22; &#0; &#xD800; &notit; &unknown; &NotEqualTilde; &semi; &Tab;x &ngE; a&b;",
    '[a](https://e.org/?q=1&r=2 "t") [b](<https://e.org/a b>) <https://e.org/ä?x=%41%zz> <me@e.org> '
    "[c][] [d] [e][f]\n\n"
    "[c]: https://c.org 'title'\n[d]: <https://d.org>\n[F]:\nhttps://f.org\n'more\nlines'",
    "[x](javascript:alert(1)) [**y**](/local) [](https://empty.org) [z](//host/p) "
    "<ftp://a.b> <javascript:x> [m](mailto:a@b.c)",
    "[x](https://例え.jp/パス?q=日本#部分) <https://xn--r8jz45g.jp/%E3%83%91%2F%FF> [y](http://[::1]:80/ä) [z](HTTPS://A.ORG)",
    '![alt](https://e.org/a.png "t") ![](http://e.org/a.png) ![*w* `x` $5](http://u:p@h.org:80/p?q) ![no](local.png)',
    "![d](data:image/png;base64,iVBORw0KGgo=) ![s](data:image/svg+xml;base64,AAAA) "
    "[![in](http://h/x)](https://y.org) ![a ![b](c)](d)",
    "[*a*][r] ![p][r]\n\n[r]: https://r.org/x\n[r]: https://other.org\n\n> [s]: https://s.org\n\n[s] after",
    "<script>alert(1)</script> <b onclick=x>b</b> <!-- c -->\n\n<div>\n*x*\n</div>\n\n<img src=x onerror=alert(1)>",
    "---\n***\n___\n- - -\na\n***\nb\n---\n\n\\* \\_ \\a \\\\ \\` \\# \\$5$ \\  x",
    "a\r\nb\rc\r\n\r\nd\0e\tf\n\n\tcode\ttab\n\n \u3000wide\u3000\n\n\u00a0",
    "> " * 50 + "deep\n\n" + "- " * 50 + "deep\n\n" + "*a " * 60 + "\n\n" + "[" * 60 + "x" + "](https://a.b)" * 60,
    "*a " * 60 + "b* " * 60 + "\n\n" + "**a ~~b " * 30 + "[*c*](https://e.org) " + "x~~ y** " * 30,
    "[" * 1001 + "*a*\nb $5 \\c\n\n" + "[" * 999 + "*a*](https://e.org)",
    "x" * 1000 + " " + "。" * 500 + "*" + "y" * 150 + "*" + "z" * 150 + "`" + "A" * 450 + "`**b**\n" + "🙂" * 250,
    "漢字" * 300 + "か。" * 300 + "`漢`" * 300 + "*。*" * 300 + "$5 \\\\" * 90 + "\u00a0a" * 150,
    "$\\unicode{41}$ $a \\href{x}{y}$ \\(\\color{red}{x}\\) \\(\\color{red;}{x}\\) \\[\\begin{matrix}1\\end{matrix}\\] "
    "$\\begin{evil}x\\end{evil}$ $\\def\\x{y}$ $\\bbox[red]{x}$ $\\bbox[url(a)]{x}$ $\\cancel[x]{y}$ "
    "$x//y$ *$\\let\\a b*c*$",
    "$"
    + "{" * 25
    + "x"
    + "}" * 25
    + "$ $"
    + "{" * 26
    + "x"
    + "}" * 26
    + "$ $"
    + "{}" * 401
    + "$ $"
    + "}\\end{x}" * 9
    + "$ $"
    + "\\left(" * 26
    + "$ $"
    + "\\{" * 30
    + "$",
    "words \\begin{equation}x\\end{equation} \\ref{a} &bsol;( &#92;[ \\\\(x\\\\)\n\n| \\ref{a} |\n|-|\n\n`\\a $`",
    "1. a\n\n2. b\n\n2\n\n3\n\n- a\n\n--\n\n-\n\n- b\n\n---",
    "foo\n-\n\nbar\n=\n\n[a]: https://x\n'title\n\nx'\n\n[a]\n\n[b]: https://y\n'whole'\ntext [b]",
)

# fmt: off
_BLOCK = ["- ", "1. ", "2. ", "> ", "# ", "```", "~~~", "    ", "\t", "|", "|-|-|", "| a | b |", "---", "==="]
_INLINE = ["\n", "\n\n", "*", "**", "_", "~~", "`", "$", "$$", "\\(", "\\)", "\\", "&amp;", "&notit;", "&#35;", "<b>"]
_LINKS = ["[a]", "[a](", "![a](", ")", "]: ", "[a]: ", "https://e.org", "http://h.org", "javascript:x", "'t'", "<https://x.y>"]
_WORDS = ["[x] ", "[ ] ", "日本", "「", "」", "。", "한", "𠀀", "😀", "\u3000", " ", "  ", "\r", "1", "é", "\0"]
_BITS = [*_BLOCK, *_INLINE, *_LINKS, *_WORDS]
# fmt: on
MARKDOWN = st.lists(st.one_of(st.sampled_from(_BITS), st.text(max_size=3)), max_size=30).map("".join)


def cut(text: str, places: list[int]) -> list[str]:
    """The text in pieces that end at these places."""
    ends = sorted({place % (len(text) + 1) for place in places} | {len(text)})
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with lab_browser.browser() as context:
        page = context.new_page()
        page.route("**/*", lambda route: route.abort())
        page.evaluate(_SETUP, [BUNDLE.read_text("utf-8"), LOOK])
        yield page


def assert_same(page: Page, text: str, pieces: list[str]) -> None:
    difference: Any = page.evaluate("difference", [pieces, to_html(text)])
    assert difference is None, f"\n{text!r}\nfound:  {difference['found']}\nwanted: {difference['wanted']}"


@pytest.mark.parametrize("text", CORPUS)
def test_a_whole_text_looks_in_the_browser_as_the_kernel_keeps_it(page: Page, text: str) -> None:
    assert_same(page, text, [text])


@pytest.mark.parametrize("text", CORPUS)
def test_a_text_that_comes_letter_by_letter_ends_as_the_whole_one(page: Page, text: str) -> None:
    assert_same(page, text, list(text))


def test_all_texts_one_after_another_are_one_page(page: Page) -> None:
    text = "\n\n".join(text for text in CORPUS if "never closed" not in text)
    assert_same(page, text, cut(text, list(range(0, len(text), 7))))


@given(MARKDOWN, st.lists(st.integers(0, 10_000), max_size=12))
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_in_any_pieces_looks_as_the_kernel_keeps_it(page: Page, text: str, places: list[int]) -> None:
    assert_same(page, text, cut(text, places))


# --- Markdown that grows -------------------------------------------------------------------------


def test_a_selection_lasts_while_the_answer_grows(page: Page) -> None:
    selected = page.evaluate(
        """() => {
            const root = document.createElement("div");
            document.body.replaceChildren(root);
            const drawing = new front.Drawing(root, new front.Markdown(look), () => 0);
            drawing.apply(text("a", "markdown", "- one **two**\\n- three fo"));
            drawing.flush();
            const words = root.querySelector("strong").firstChild;
            getSelection().setBaseAndExtent(words, 0, words, 3);
            for (const piece of ["ur", "\\n- five", "\\n\\nNext `c", "ode`\\n\\n", "# End\\nof it"]) {
                drawing.apply(["append", "a", piece]);
                drawing.flush();
            }
            drawing.finish();
            return [String(getSelection()), words.isConnected, root.textContent];
        }"""
    )
    assert selected == ["two", True, "one twothree fourfiveNext codeEndof it"]


def test_colours_come_once_to_the_fence_they_fit_and_stay(page: Page) -> None:
    found = page.evaluate(
        """() => {
            const root = document.createElement("div");
            const drawing = new front.Drawing(root, new front.Markdown(look), () => 0);
            drawing.apply(text("a", "markdown", "```py\\nif 1\\n```\\n\\n- [x][y]\\n\\n  ```\\n  😀 = 2\\n  ```\\n"));
            drawing.apply(["code", "a", 0, [["color:#111", 2], ["", 2]]]);
            drawing.apply(["code", "a", 5, [["color:#222", 2], ["", 4]]]);
            drawing.apply(["code", "a", 0, [["color:#333", 4]]]);
            drawing.apply(["append", "a", "- more\\n\\nend\\n\\n[y]: https://y.org\\n"]);
            drawing.finish();
            return [[...root.querySelectorAll("code")].map(code => code.innerHTML), root.querySelectorAll("a").length];
        }"""
    )
    codes = ['<span style="color:#111">if</span> 1', '<span style="color:#222">😀</span> = 2']
    assert found == [codes, 1]


def test_what_is_too_long_to_parse_is_shown_as_it_is(page: Page) -> None:
    found = page.evaluate(
        """() => {
            const root = drawn(["**a**\\n\\nb\\n\\n", "x\\n".repeat(80_000), "**b**"]);
            return [root.firstChild.textContent, root.lastChild.localName, root.lastChild.textContent.slice(-7)];
        }"""
    )
    assert found == ["a", "pre", "x\n**b**"]


def test_a_picture_is_not_drawn_while_its_data_arrive(page: Page) -> None:
    found = page.evaluate(
        """() => {
            const root = document.createElement("div");
            const drawing = new front.Drawing(root, new front.Markdown(look), () => 0), seen = [];
            const say = piece => {
                drawing.apply(["append", "a", piece]);
                drawing.flush();
                seen.push([root.textContent, root.querySelectorAll("img").length]);
            };
            drawing.apply(text("a", "markdown", ""));
            ["see ", "![a](data:image/png;base64,", "AAAA", "BBBB", ") and ![b](data:image/png;base64,AA"].forEach(say);
            drawing.finish();
            return [...seen, root.textContent];
        }"""
    )
    assert found == [
        *[["see", 0]] * 4,
        ["see  and", 1],
        "see  and ![b](data:image/png;base64,AA",
    ]


def test_a_long_word_has_room_for_breaks_however_it_comes(page: Page) -> None:
    found = page.evaluate(
        """() => [["x".repeat(1000)], [..."x".repeat(1000)], ["x".repeat(199), "x", "x".repeat(800)]].map(pieces => {
            const root = document.createElement("div");
            const drawing = new front.Drawing(root, new front.Markdown(look));
            drawing.apply(text("a", "text", ""));
            pieces.forEach(piece => drawing.apply(["append", "a", piece]));
            return [...root.firstChild.childNodes].filter(node => node.data !== "").map(node => node.data?.length ?? 0);
        })"""
    )
    assert found == [[200, 0, 200, 0, 200, 0, 200, 0, 200]] * 3


@pytest.mark.parametrize(
    ("style", "stays"),
    [
        ("color:#ad50cc;font-style:italic", True),
        (LOOK["frame"], True),
        (TAGS["pre"], True),
        ("margin:2px 0 -3px;background:rgba(1,2,3,0.5)", True),
        ("background:url(//e.org)", False),
        ("background:u\\72l(//e.org)", False),
        ("background:image-set('x' 1x)", False),
        ("color:var(--x)", False),
        ("width:expression(1)", False),
        ("color:red;position:fixed", False),
        ("@import 'x'", False),
    ],
)
def test_a_style_stays_if_it_names_nothing_to_fetch(page: Page, style: str, stays: bool) -> None:
    found = page.evaluate(
        """style => {
            const root = document.createElement("div");
            new front.Drawing(root, new front.Markdown(look)).apply(["add", "a", "", null, ["p", {style}], "", ""]);
            return root.firstChild.hasAttribute("style");
        }""",
        style,
    )
    assert found == stays


def test_nothing_comes_into_the_page_but_what_is_allowed(page: Page) -> None:
    found = page.evaluate(
        """() => {
            const root = document.createElement("div");
            const drawing = new front.Drawing(root, new front.Markdown(look));
            const tree = ["div", {onclick: "x", id: "i", style: "background:url(https://e.org)", "aria-label": "l"},
                ["script", {}, "alert(1)"], ["iframe", {src: "https://e.org"}], ["a", {href: "javascript:x"}, "a"],
                ["img", {src: "http://e.org/x.png", alt: "p"}], ["svg", {viewBox: "0 0 1 1"}, ["rect", {width: "1"}]]];
            drawing.apply(["add", "a", "", null, tree, "", ""]);
            return [root.innerHTML, root.querySelector("rect").namespaceURI];
        }"""
    )
    assert found == [
        '<div aria-label="l"><a>a</a><img loading="lazy" referrerpolicy="no-referrer" alt="p">'
        '<svg viewBox="0 0 1 1"><rect width="1"></rect></svg></div>',
        "http://www.w3.org/2000/svg",
    ]


def test_a_text_that_takes_long_rests_four_times_as_long_and_is_whole_at_the_end(page: Page) -> None:
    found = page.evaluate(
        """() => {
            let now = 0;
            const root = document.createElement("div"), markdown = new front.Markdown(look);
            const own = markdown.blocks;
            markdown.blocks = (...given) => { now += 10; return own.apply(markdown, given); };
            const drawing = new front.Drawing(root, markdown, () => now), seen = [];
            const see = () => { drawing.flush(); seen.push([root.textContent, drawing.wait() ?? null]); };
            drawing.apply(text("a", "markdown", "1")); see();
            drawing.apply(["append", "a", "2"]); see();
            now += 40; see();
            drawing.apply(["append", "a", "3"]); see();
            drawing.finish();
            return [...seen, root.textContent];
        }"""
    )
    assert found == [["1", None], ["1", 40], ["12", None], ["12", 40], "123"]


# --- the page ------------------------------------------------------------------------------------


def test_every_view_shows_the_whole_page_whenever_it_begins(page: Page) -> None:
    found = page.evaluate(
        """async () => {
            const [model, widget, first] = started({snapshot: {seq: 2, ops: [text("a", "markdown", "**on")]}});
            model.say({seq: 2, ops: [["append", "a", "twice"]]});
            model.say({seq: 3, ops: [["append", "a", "e**"], text("c", "", ""), ["shell", "c", ["div", {}, "last"]]]});
            const second = shown(widget, model);
            model.say({seq: 4, ops: [["add", "b", "a", null, ["p", {}, "in"], "text", "!"], ["drop", "c"]]});
            model.say({seq: 5, ops: [["add", "d", "", "a", ["p", {}, "first"], "", ""], ["text", "b", "?"]]});
            await frame();
            const third = shown(widget, model);
            return [first, second, third].map(el => el.querySelector("[role=group]").innerHTML);
        }"""
    )
    paragraph = f'<p style="{TAGS["p"]}"><strong>one</strong></p>'
    assert found == [f"<p>first</p><div>{paragraph}<p>in?</p></div>"] * 3


def test_a_gap_is_filled_by_a_snapshot(page: Page) -> None:
    found = page.evaluate(
        """async () => {
            const [model, , el] = started();
            model.say({seq: 1, ops: [text("a", "text", "1")]});
            model.say({seq: 4, ops: [["append", "a", "4"]]});
            model.say({seq: 5, ops: [["append", "a", "5"]]});
            const asked = model.sent.slice();
            model.set("snapshot", {seq: 3, ops: [text("a", "text", "123")]});
            model.set("snapshot", {seq: 2, ops: [text("a", "text", "old")]});
            await frame();
            return [asked, el.querySelector("[role=group]").textContent];
        }"""
    )
    assert found == [[{"want": "snapshot"}], "12345"]


def test_the_end_is_drawn_at_once(page: Page) -> None:
    found = page.evaluate(
        """() => {
            const [model, , el] = started();
            const more = ["append", "a", "\\n\\n[y]: https://y.org"];
            model.say({seq: 1, ops: [text("a", "markdown", "x [y]"), more, ["end"]]});
            return el.querySelector("a").href;
        }"""
    )
    assert found == "https://y.org/"


def test_a_tab_that_draws_no_frames_is_up_to_date_all_the_same(page: Page) -> None:
    found = page.evaluate(
        """async () => {
            const own = window.requestAnimationFrame;
            window.requestAnimationFrame = () => 0;
            const [model, , el] = started();
            model.say({seq: 1, ops: [text("a", "markdown", "words")]});
            await new Promise(done => setTimeout(done, 400));
            window.requestAnimationFrame = own;
            return el.querySelector("[role=group]").textContent;
        }"""
    )
    assert found == "words"


@pytest.mark.parametrize(("place", "follows"), [("bottom", True), ("above", False)])
def test_a_reader_at_the_end_stays_there_and_any_other_where_they_are(page: Page, place: str, follows: bool) -> None:
    found = page.evaluate(
        """async place => {
            const [model, , el] = started();
            const scroller = document.createElement("div");
            scroller.style.cssText = "height:200px;overflow:auto";
            document.body.append(scroller);
            scroller.append(el);
            model.say({seq: 1, ops: [text("a", "markdown", "words\\n\\n".repeat(20))]});
            await frame();
            scroller.scrollTop = place === "bottom" ? 1e6 : 50;
            const before = scroller.scrollTop;
            model.say({seq: 2, ops: [["append", "a", "more\\n\\n".repeat(20)]]});
            while (!el.textContent.includes("more")) await frame(); // a text that took long rests first
            const end = scroller.scrollHeight - scroller.clientHeight;
            return [scroller.scrollTop === before, Math.abs(scroller.scrollTop - end) < 2];
        }""",
        place,
    )
    assert found == [not follows, follows]


def test_details_that_the_reader_opened_stay_open(page: Page) -> None:
    found = page.evaluate(
        """async () => {
            const [model, , el] = started();
            const details = words => ["details", {}, ["summary", {}, words]];
            model.say({seq: 1, ops: [["add", "a", "", null, details("calls"), "", ""]]});
            await frame();
            el.querySelector("details").open = true;
            model.say({seq: 2, ops: [["shell", "a", ["details", {open: ""}, ["summary", {}, "called"]]]]});
            model.say({seq: 3, ops: [["shell", "a", details("done")]]});
            await frame();
            return [el.querySelector("details").open, el.querySelector("summary").textContent];
        }"""
    )
    assert found == [True, "done"]


def test_stop_asks_the_kernel_and_without_an_answer_interrupts_it(page: Page) -> None:
    found = page.evaluate(
        """async () => {
            const asked = [], own = window.fetch;
            window.fetch = async (url, options) => { asked.push([String(url), options]); return {ok: true}; };
            const config = document.createElement("script");
            config.type = "application/json"; config.id = "jupyter-config-data";
            config.textContent = JSON.stringify({baseUrl: "https://nowhere.example/base/", token: "t"});
            const sleep = ms => new Promise(done => setTimeout(done, ms));
            const [model, , el] = started({labels: {stop: "Stop", stopping: "Stopping"}});
            document.head.append(config);
            const button = el.querySelector("button"), states = [];
            const see = () => states.push([button.hidden, button.disabled, button.textContent]);
            see();
            button.click(); button.click(); see();
            model.say({ack: 1});
            await sleep(250);
            states.push(asked.length);
            model.set("running", false); see();
            model.set("running", true); see();
            button.click();
            await sleep(250); see();
            window.fetch = own; config.remove();
            return [states, model.sent, asked.length, button.title !== ""];
        }"""
    )
    states = [[False, False, "Stop"], [False, True, "Stopping"], 0, [True, False, "Stop"], [False, False, "Stop"]]
    # The server of another origin is not asked: the button says what to do instead.
    assert found == [[*states, [False, False, "Stop"]], [{"stop": 1}, {"stop": 1}], 0, True]


def test_news_are_said_one_at_a_time(page: Page) -> None:
    found = page.evaluate(
        """async () => {
            const [model, , el] = started();
            model.say({seq: 1, ops: [["say", "first"], text("a", "markdown", "Done.\\n\\nNext\\n")]});
            await frame();
            const live = el.querySelector("[aria-live=polite]");
            const said = [live.textContent];
            model.say({seq: 2, ops: [["say", "second"], ["say", "third"]]});
            await frame();
            said.push(live.textContent);
            return said;
        }"""
    )
    assert found == ["first", "first"]


def test_at_the_end_the_readers_own_elements_stand_in_the_kept_output(page: Page) -> None:
    found = page.evaluate(
        """async () => {
            document.body.innerHTML = `<div class="jp-OutputArea"><div class="jp-OutputArea-child"></div></div>`;
            const area = document.body.firstChild, model = new Model(), widget = front.default();
            widget.initialize({model});
            const remove = widget.render({model, el: area.firstChild});
            model.say({seq: 1, ops: [text("a", "markdown", "some words"), ["end"]]});
            const words = area.querySelector("p").firstChild;
            getSelection().setBaseAndExtent(words, 5, words, 10);
            await frame();
            area.replaceChildren();
            remove();
            await frame();
            area.innerHTML = `<div class="jp-OutputArea-child"><div class="jp-RenderedHTMLCommon">
                <div class="jp-RenderedHTMLCommon dashnb"><p>kept</p></div></div></div>`;
            await frame();
            const kept = area.querySelector(".dashnb");
            return [kept.contains(words), String(getSelection()), area.querySelectorAll("button").length];
        }"""
    )
    assert found == [True, "words", 0]
