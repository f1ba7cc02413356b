"""Hostile texts in a real browser: nothing runs, nothing but pictures is fetched, and the page goes on."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from watched_page import PICTURE, Watch, asked, is_picture

import dashnb
import hostile
import lab_browser
from dashnb.protocol.events import RunEvent
from dashnb.protocol.state import RunState
from dashnb.view import Heading, to_html
from dashnb.view.run_view import LOOK
from lab_browser import CHROMIUM, Lab
from view_support import assert_harmless, call, created, folded, message, run

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Route

BUNDLE = Path(dashnb.__file__).parent / "view" / "front" / "dist" / "run_view.js"
HOME = "http://notebook.test/lab/tree/"  # not https, so that `//host` is refused by the test and not by the browser
MODULE = "http://notebook.test/run_view.js"
HANG = 20.0  # seconds for one thing: more is not load, it is work without end

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
    pytest.mark.filterwarnings("ignore"),  # JupyterLab's, the kernel's and the browser driver's own
]

# Everything that may stand in an answer. What the view itself draws, as a button, is not in the answer.
_STYLED = ["p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "li", "blockquote", "hr", "br", "wbr", "pre", "span"]
_STYLED += ["summary", "table", "thead", "tbody", "tr", "th", "td", "strong", "em", "s"]
ALLOWED: dict[str, list[str]] = {
    **{name: ["style"] for name in _STYLED},
    "ol": ["style", "start"],
    "div": ["style", "class"],
    "code": ["style", "class"],
    "details": ["style", "open"],
    "a": ["href", "title", "target", "rel"],
    "img": ["src", "alt", "style", "loading", "referrerpolicy"],
    "svg": ["style", "width", "height", "viewBox", "role", "aria-label", "aria-hidden"],
    "circle": ["cx", "cy", "r", "fill"],
    "path": ["d", "fill", "stroke", "stroke-width", "stroke-linecap", "stroke-linejoin"],
}

_SETUP = r"""([allowed, look]) => {
    const own = new Set(Reflect.ownKeys(window)), prototype = Reflect.ownKeys(Object.prototype).length;
    const OURS = ["tests", "front", "asked"];
    const SRC = /^(https:\/\/|data:image\/(png|jpeg|gif|webp);base64,)/i;
    const STYLE = /url|image-set|expression|import|behavior|position\s*:|var\(|@|\\/i;
    const CLASS = /^(language-[\p{L}\p{N}_+#-]+|dashnb(-[a-z]+)?|jp-RenderedHTMLCommon)$/u;
    const fits = (name, value) => {
        if (name === "href") return /^https?:\/\//i.test(value);
        if (name === "src") return SRC.test(value);
        if (name === "style") return !STYLE.test(value);
        if (name === "class") return value.split(/\s+/).filter(Boolean).every(word => CLASS.test(word));
        return true;
    };
    const wrong = function* (root) {
        const walker = document.createNodeIterator(root, NodeFilter.SHOW_ALL);
        for (let node = walker.nextNode(); node; node = walker.nextNode()) {
            if (node === root || node.nodeType === Node.TEXT_NODE) continue;
            const names = Object.hasOwn(allowed, node.localName ?? "") ? allowed[node.localName] : null;
            if (node.nodeType !== Node.ELEMENT_NODE || !names) yield `a node <${node.nodeName}>`;
            for (const {name, value} of node.attributes ?? []) {
                const fine = names?.includes(name) && fits(name, value);
                if (!fine) yield `${node.nodeName} ${name}=${value.slice(0, 200)}`;
            }
        }
    };
    const longest = {now: 0};
    new PerformanceObserver(list => {
        for (const {duration} of list.getEntries()) longest.now = Math.max(longest.now, duration);
    }).observe({entryTypes: ["longtask"]});
    const later = milliseconds => new Promise(done => setTimeout(done, milliseconds));

    class Model {
        state = {snapshot: {seq: 0, ops: []}, running: true, kernel_id: "", look, labels: {}};
        callbacks = [];
        seq = 0;
        get(name) { return this.state[name]; }
        on(name, callback) { this.callbacks.push([name, callback]); }
        off() {}
        send() {}
        tell(ops) {
            this.seq += 1;
            this.callbacks.forEach(([name, callback]) => name === "msg:custom" && callback({seq: this.seq, ops}));
        }
    }
    const add = (key, mode, text = "") => ["add", key, "", null, ["div", {}], mode, text];

    window.tests = {
        later,
        open() {
            const model = new Model(), widget = front.default(), el = document.createElement("div");
            document.body.replaceChildren(el);
            widget.initialize({model});
            widget.render({model, el});
            return {model, answer: el.querySelector("[role=group]")};
        },
        async stream(pieces, {pause = 0, read = true} = {}) {
            longest.now = 0;
            const {model, answer} = tests.open();
            model.tell([add("said", "markdown"), ...(read ? [add("read", "text")] : [])]);
            for (const piece of JSON.parse(pieces)) {
                model.tell([["append", "said", piece], ["append", "read", piece], ["say", piece.slice(0, 500)]]);
                await later(pause);
            }
            model.tell([["end"]]);
            await later(20);
            const found = [...wrong(answer)].slice(0, 5);
            return [found, await tests.alive(), await tests.longest()];
        },
        async look(pieces) {
            const {model, answer} = tests.open(), found = new Set();
            model.tell([add("said", "markdown")]);
            for (const piece of JSON.parse(pieces)) {
                model.tell([["append", "said", piece]]);
                await new Promise(requestAnimationFrame);
                for (const line of wrong(answer)) found.add(line);
            }
            return [...found];
        },
        async place(pages) {
            longest.now = 0;
            const found = [];
            for (const html of JSON.parse(pages)) {
                const div = document.createElement("div");
                document.body.replaceChildren(div);
                div.innerHTML = html;
                found.push(...[...wrong(div)].slice(0, 5));
                await later(0);
            }
            await later(20);
            return [found, await tests.alive(), await tests.longest()];
        },
        async alive() {
            const began = performance.now(), {model, answer} = tests.open();
            model.tell([add("a", "markdown", "well **for")]);
            model.tell([["append", "a", "med**"]]);
            while (answer.querySelector("strong")?.textContent !== "formed") {
                if (performance.now() - began > 20_000) return 20;
                await later(5);
            }
            return (performance.now() - began) / 1000;
        },
        async longest() { await later(20); return longest.now; },
        wrong: root => [...wrong(root)].slice(0, 5),
        changed: () => [
            ...Reflect.ownKeys(window).filter(key => !own.has(key) && !OURS.includes(key)).map(String),
            ...(Reflect.ownKeys(Object.prototype).length === prototype ? [] : ["Object.prototype"]),
        ],
    };
}"""


def answer_here(route: Route) -> None:
    """Nothing leaves this machine: every picture is the same one, and there is nothing else."""
    if route.request.url == HOME:
        route.fulfill(content_type="text/html", body="<!doctype html><title>hostile</title><body></body>")
    elif route.request.url == MODULE:
        route.fulfill(content_type="text/javascript", path=BUNDLE)
    elif is_picture(route.request):
        route.fulfill(content_type="image/png", body=PICTURE)
    else:
        route.abort()


@contextmanager
def watched(context: BrowserContext) -> Iterator[tuple[Page, Watch]]:
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.route("**/*", answer_here)
    page.goto(HOME)
    page.evaluate("async () => { window.front = await import('/run_view.js'); }")
    page.evaluate(_SETUP, [ALLOWED, LOOK])
    watch = Watch(page)
    yield page, watch
    page.close()


@pytest.fixture(scope="module")
def context() -> Iterator[BrowserContext]:
    with lab_browser.browser() as context:
        yield context


@pytest.fixture(scope="module")
def shared(context: BrowserContext) -> Iterator[tuple[Page, Watch]]:
    with watched(context) as both:
        yield both


@pytest.fixture
def fresh(context: BrowserContext) -> Iterator[tuple[Page, Watch]]:
    with watched(context) as both:
        yield both


def assert_quiet(page: Page, watch: Watch, name: str = "") -> None:
    seen, watch.seen = watch.seen, []
    assert seen == [], name
    assert page.evaluate("tests.changed()") == []
    assert page.url == HOME


def assert_well(found: Any, name: str = "") -> None:
    wrong, alive, longest = found
    print(f"{name}: alive after {alive:.2f} s, longest {longest:.0f} ms")
    assert wrong == [], name
    assert alive < HANG, f"{name}: the next answer took {alive:.1f} s"
    assert longest < 1000 * HANG, f"{name}: the page did not react for {longest:.0f} ms"


def stream(page: Page, text: str, seed: int, **more: Any) -> Any:
    # As ASCII, so that half characters come through the driver as they are.
    pieces = json.dumps(hostile.pieces(text, seed, 24 if len(text) < 1_000_000 else 6))
    return asked(page, "([pieces, more]) => tests.stream(pieces, more)", [pieces, more])


def seed_of(name: str) -> int:
    return zlib.crc32(name.encode())


# --- the live view -------------------------------------------------------------------------------


@pytest.mark.parametrize("group", hostile.GROUPS)
def test_a_hostile_answer_is_words_only(shared: tuple[Page, Watch], group: str) -> None:
    page, watch = shared
    for name, text in hostile.GROUPS[group].items():
        assert_well(stream(page, text, seed_of(name)), name)
        assert_quiet(page, watch, name)


def test_a_hostile_answer_is_words_only_at_every_moment(shared: tuple[Page, Watch]) -> None:
    page, watch = shared
    for name, text in hostile.WORST.items():
        if len(text) < 3000:
            found = asked(page, "pieces => tests.look(pieces)", json.dumps(hostile.pieces(text, seed_of(name), 12)))
            assert found == [], name
    assert_quiet(page, watch)


_LONG = hostile.batches(hostile.AT_THE_LIMIT, 8)


@pytest.mark.parametrize("batch", _LONG)
def test_an_answer_as_long_as_is_still_read_does_not_hold_the_page(fresh: tuple[Page, Watch], batch: str) -> None:
    page, watch = fresh
    for name, text in _LONG[batch].items():
        assert_well(stream(page, text, seed_of(name), read=False), name)
        assert_quiet(page, watch, name)


@pytest.mark.parametrize("name", hostile.HUGE)
def test_a_huge_answer_does_not_hold_the_page(fresh: tuple[Page, Watch], name: str) -> None:
    page, watch = fresh
    # Only answers are shown in full; what tools take and return is cut.
    assert_well(stream(page, hostile.HUGE[name], seed_of(name), pause=45, read=False), name)
    assert_quiet(page, watch)


@pytest.mark.parametrize("key", hostile.KEYS)
def test_keys_attributes_and_tags_are_names_only(shared: tuple[Page, Watch], key: str) -> None:
    page, watch = shared
    found = page.evaluate(
        """async key => {
            const {model, answer} = tests.open();
            const shell = JSON.parse(`["div", {${JSON.stringify(key || "x")}: {"polluted": 1}}, "x"]`);
            model.tell([["add", key, "", null, ["div", {}], "markdown", "**a**"], ["append", key, "b"]]);
            model.tell([["add", "in", key, key, shell, "text", "c"], ["shell", key, shell], ["text", key, "d"]]);
            model.tell([["code", key, 0, [["x", 1]]], ["code", key, 5, []], [key, key, key], ["say", key]]);
            model.tell([["drop", "in"]]);
            if (/^[a-z]+$/i.test(key)) model.tell([["add", "tag", "", null, [key, {}, "x"], "", ""]]);
            await tests.later(50);
            const found = tests.wrong(answer);
            model.tell([["drop", key], ["drop", key], ["end"]]);
            await tests.later(50);
            return [found.concat(({}).polluted ? ["polluted"] : []), await tests.alive(), 0];
        }""",
        key,
    )
    assert_well(found)
    assert_quiet(page, watch)


_EVIL = "http://evil.example/x"


@pytest.mark.parametrize(
    "shell",
    [
        ["div", {"style": f"background:u\\72l({_EVIL})"}],
        ["div", {"style": f"background:image-set('{_EVIL}' 1x)"}],
        ["div", {"style": f"list-style-image:src('{_EVIL}');display:list-item"}],
        ["div", {"style": f"background:URL({_EVIL})"}],
        ["div", {"onclick": "pwned=1", "ONLOAD": "pwned=1", "id": "x", "srcdoc": "x", "data-x": "y"}],
        ["img", {"src": _EVIL, "srcset": _EVIL, "style": f"content:u\\72 l({_EVIL})"}],
        ["img", {"src": f"  {_EVIL}"}],
        ["img", {"src": "data:image/svg+xml;base64,PHN2Zy8+"}],
        ["a", {"href": "\x01javascript:pwned=1", "xlink:href": "javascript:pwned=1", "ping": _EVIL}, "x"],
        ["svg", {}, ["a", {"href": "javascript:pwned=1"}, ["text", {}, "x"]], ["path", {"fill": f"url({_EVIL}#x)"}]],
        ["svg", {}, ["style", {}, f"@import '{_EVIL}'"], ["use", {"href": _EVIL}], ["image", {"href": _EVIL}]],
        ["SCRIPT", {}, "pwned=1"],
        ["svg", {}, ["script", {}, "pwned=1"]],
        ["div", {}, ["iframe", {"src": _EVIL}], ["style", {}, f"@import '{_EVIL}'"], ["form", {"action": _EVIL}]],
    ],
)
def test_a_hostile_shell_brings_only_what_is_allowed(shared: tuple[Page, Watch], shell: list[Any]) -> None:
    page, watch = shared
    found = page.evaluate(
        """async shell => {
            const {model, answer} = tests.open();
            model.tell([["add", "a", "", null, shell, "", ""], ["add", "b", "", null, [shell[0], {}], "", ""]]);
            model.tell([["shell", "b", shell]]);
            await tests.later(80);
            return [tests.wrong(answer), await tests.alive(), 0];
        }""",
        shell,
    )
    assert_quiet(page, watch)
    assert_well(found)


# --- what is kept --------------------------------------------------------------------------------


def answered(text: str) -> str:
    """The HTML of a run that says the text."""
    return to_html(folded([created(), *message(text), run("completed")]), Heading("A"))


def kept(text: str) -> dict[str, str]:
    """The HTML of runs that have the text in every place that others fill."""
    fine = json.dumps({"q": text})
    searched = {"data": [{"title": text, "url": text, "desc": text, "source": text}]}
    drawn = {"results": [{"url": text}], "text": text}
    runs: dict[str, list[RunEvent]] = {
        "message": [created(), *message(text), run("completed")],
        "arguments": [created(), *call("f", fine), *call("g", text, step="s"), run("completed")],
        "output": [created(), *call("f", "{}", text), *call("g", "{}", fine, step="s"), run("completed")],
        "search": [created(), *call("f", "{}", json.dumps(searched)), *call("g", "{}", json.dumps(drawn), step="s")],
        "tool name": [created(), *call(text, "{}", "x"), *call(text, "{}", status="in_progress", step="s")],
        "error": [created(), run("failed", last_error={"code": text, "message": text})],
    }
    pages = {place: to_html(folded(events), Heading("A")) for place, events in runs.items()}
    pages["assistant"] = to_html(RunState(), Heading(assistant=text, model=text, engine=text))
    return pages


@pytest.mark.parametrize("group", hostile.GROUPS)
def test_a_hostile_text_anywhere_in_what_is_kept_is_words_only(shared: tuple[Page, Watch], group: str) -> None:
    page, watch = shared
    for name, text in hostile.GROUPS[group].items():
        began = time.monotonic()
        pages = kept(text) if group not in ("depth", "heavy formulas") else {"message": answered(text)}
        made = time.monotonic() - began
        for html in pages.values():
            assert_harmless(html)
        assert_well(asked(page, "pages => tests.place(pages)", json.dumps(list(pages.values()))), name)
        assert_quiet(page, watch, name)
        assert made < HANG, f"{name}: the kernel took {made:.1f} s"


_LONG_OR_HUGE = hostile.batches({**hostile.AT_THE_LIMIT, **hostile.HUGE}, 8)


@pytest.mark.parametrize("batch", _LONG_OR_HUGE)
def test_a_long_hostile_text_is_kept_in_good_time(fresh: tuple[Page, Watch], batch: str) -> None:
    page, watch = fresh
    for name, text in _LONG_OR_HUGE[batch].items():
        began = time.monotonic()
        html = answered(text)
        made = time.monotonic() - began
        assert_well(asked(page, "pages => tests.place(pages)", json.dumps([html])), name)
        assert_quiet(page, watch, name)
        assert made < HANG, f"{name}: the kernel took {made:.1f} s"


# --- the whole way, in JupyterLab ----------------------------------------------------------------

_LOOK = r"""async () => {
    // The kept output has taken the place of the live one, and formulas are typeset.
    const later = milliseconds => new Promise(done => setTimeout(done, milliseconds));
    const area = () => document.querySelectorAll(".jp-Notebook .jp-Cell")[1].querySelector(".jp-Cell-outputArea");
    const began = performance.now();
    await later(100);
    const isIdle = () => document.querySelector(".jp-Notebook-ExecutionIndicator[data-status='idle']");
    const isKept = () => isIdle() && !area().querySelector(".dashnb-stop") && area().querySelector(".dashnb");
    while (performance.now() - began < 30_000 && !isKept()) await later(20);
    await later(250);
    const found = [];
    if (!isKept()) found.push("no kept output");
    const STRANGE = "script, iframe, object, embed, form, meta, link, base, style, input, video, audio";
    for (const node of area().querySelectorAll("*")) {
        const say = what => found.push(`${node.localName} ${what}`.slice(0, 200));
        if (node.matches(STRANGE)) say("stands there");
        for (const {name, value} of node.attributes) {
            if (/^on/i.test(name)) say(name);
            if (/href$/i.test(name) && !/^https?:\/\//i.test(value)) say(`${name}=${value}`);
            const isPicture = /^(https:|data:image\/(png|jpeg|gif|webp);)/i.test(value);
            if (/^src/i.test(name) && !isPicture) say(`${name}=${value}`);
            if (name === "style" && /url\(|image-set|expression/i.test(value)) say(`style=${value}`);
            const names = value.split(/\s+/).filter(word => name === "id" || !word.startsWith("language-"));
            const isStrange = word => /evil|^document$|dock-panel/.test(word);
            if (["id", "class"].includes(name) && names.some(isStrange)) say(`${name}=${value}`);
        }
        if (getComputedStyle(node).position === "fixed") say("is fixed");
    }
    return found;
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder, home = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("home")
    cells = ("%load_ext dashnb", "%run_stream --replay said.jsonl", "%run_stream --replay well.jsonl")
    lab_browser.write_notebook(folder / "first.ipynb", *cells)
    (folder / "well.jsonl").write_text(recording({"well": "well **formed**"}))
    with lab_browser.running_lab(folder, home, DASHNB_DATA_DIR=str(home / "dashnb"), DASHNB_LANGUAGE="en") as lab:
        yield lab


@contextmanager
def opened(context: BrowserContext, lab: Lab) -> Iterator[tuple[Page, Watch]]:
    context.route(lambda url: not url.startswith(lab.url), answer_here)
    page = lab_browser.open_notebook(context, lab, "first.ipynb")
    page.set_default_timeout(120_000)
    lab_browser.run_cell(page, 0)
    yield page, Watch(page, own=lab.url)
    page.close()
    context.unroute_all()


@pytest.fixture(scope="module")
def notebook(lab: Lab, context: BrowserContext) -> Iterator[tuple[Page, Watch]]:
    with opened(context, lab) as both:
        yield both


def recording(texts: Mapping[str, str]) -> str:
    """A recorded run that for each text calls a tool, which returns it, and says it in pieces."""
    about = {"id": "run_1", "thread_id": "thread_1", "assistant_id": "asst_1", "model": "qwen-max"}
    events: list[tuple[str, dict[str, Any]]] = [("thread.run.created", {**about, "status": "queued"})]
    for number, (name, text) in enumerate(texts.items()):
        tool = {"index": 0, "type": "function", "function": {"name": "f", "arguments": "{}", "output": text[:50_000]}}
        creation = {"type": "message_creation", "message_creation": {"message_id": f"message_{number}"}}
        called = {"step_details": {"type": "tool_calls", "tool_calls": [tool]}}
        said = {"id": f"said_{number}", "type": "message_creation", "status": "in_progress", "step_details": creation}
        events += [
            ("thread.run.step.created", {"id": f"call_{number}", "type": "tool_calls", "status": "in_progress"}),
            ("thread.run.step.delta", {"id": f"call_{number}", "delta": called}),
            ("thread.run.step.created", said),
        ]
        for piece in hostile.pieces(text, seed_of(name)):
            delta = {"content": [{"type": "text", "text": {"value": piece}}]}
            events.append(("thread.message.delta", {"id": f"message_{number}", "delta": delta}))
    events.append(("thread.run.completed", {**about, "status": "completed"}))
    return "".join(json.dumps({"event": name, "data": data}) + "\n" for name, data in events)


_LONGEST = {name: text for name, text in hostile.HUGE.items() if len(text) < 5_000_000}  # more takes long to send
_WHOLE_WAY = hostile.batches({**hostile.WORST, **hostile.WORDS, **hostile.FORMULAS, **hostile.HEAVY, **_LONGEST}, 12)


@pytest.mark.parametrize("batch", _WHOLE_WAY)
def test_hostile_answers_do_nothing_in_jupyterlab_and_the_page_goes_on(
    notebook: tuple[Page, Watch], lab: Lab, batch: str
) -> None:
    page, watch = notebook
    texts = _WHOLE_WAY[batch]
    (lab.folder / "said.jsonl").write_text(recording(texts))
    lab_browser.run_cell(page, 1, wait=False)
    found = asked(page, _LOOK)
    seen, watch.seen = watch.of_mine(), []
    assert (seen, found, page.evaluate("'pwned' in window")) == ([], [], False), list(texts)
    lab_browser.run_cell(page, 2)
    page.wait_for_function(
        "document.querySelectorAll('.jp-Notebook .jp-Cell')[2].querySelector('.jp-OutputArea strong')"
    )


def test_jupyterlab_sets_formulas_but_none_in_words(notebook: tuple[Page, Watch], lab: Lab) -> None:
    page, _ = notebook
    (lab.folder / "said.jsonl").write_text(recording({"formula": "$x^2$", **hostile.WORDS}))
    lab_browser.run_cell(page, 1, wait=False)
    assert asked(page, _LOOK) == []
    page.wait_for_function("document.querySelectorAll('.jp-Notebook .jp-Cell')[1].querySelector('mjx-container')")
    assert page.locator(".jp-Notebook .jp-Cell").nth(1).locator("mjx-container").count() == 1
