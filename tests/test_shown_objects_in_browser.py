"""Hostile words in everything that a notebook shows, in a real JupyterLab and in nbconvert's HTML: nothing runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook, new_output
from shells import opened
from shown_objects import TEXTS, displays_of, errors_of, objects_of
from watched_page import PICTURE, Watch, asked, is_picture

import hostile
import lab_browser
from dashnb.view import Heading, to_markdown
from lab_browser import CHROMIUM, Lab
from view_support import created, folded, message, run

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Route

TESTS = Path(__file__).parent
# What the templates of nbconvert fetch by themselves.
_TEMPLATES = ("https://cdnjs.cloudflare.com/ajax/libs/", "https://cdn.jsdelivr.net/npm/")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
    pytest.mark.filterwarnings("ignore"),  # JupyterLab's, the kernel's and the browser driver's own
]

FEW = (
    *("script", "event handlers", "handlers without blanks", "svg", "mutation", "ends of ours", "tags in alt"),
    *("address, plain", "address, data html base64", "widgets", "formula, pictures of tokens", "prices"),
    *("formula, fonts of characters", "formula, links", "in words, environments", "in words, escaped marks"),
)

# What stands in the outputs and must not, once they are there and formulas are set.
_LOOK = r"""async selector => {
    const later = milliseconds => new Promise(done => setTimeout(done, milliseconds));
    await later(700);
    const found = [];
    const areas = document.querySelectorAll(selector);
    if (!areas.length) found.push("nothing is shown");
    const STRANGE = "script, iframe, object, embed, form, meta, link, base, style, video, audio, animate, use";
    for (const area of areas) for (const node of area.querySelectorAll("*")) {
        if (node.closest("mjx-container, .MathJax, .jp-RenderedMermaid")) continue;
        const say = what => found.push(`${node.localName} ${what}`.slice(0, 200));
        if (node.matches(STRANGE)) say("stands there");
        for (const {name, value} of node.attributes) {
            if (/^on/i.test(name)) say(name);
            // JupyterLab makes links of addresses in plain text; those to data lead nowhere.
            const allowed = node.closest("pre") ? /^(https?|ftp|mailto|data):/i : /^(https?:|ftp:|mailto:|\/\/|#)/i;
            if (/href$/i.test(name) && !allowed.test(value)) say(`${name}=${value}`);
            const isPicture = /^(https:|data:image\/(png|jpeg|gif|webp);)/i.test(value);
            if (/^src/i.test(name) && !isPicture) say(`${name}=${value}`);
            if (name === "style" && /url\(|image-set|expression/i.test(value)) say(`style=${value}`);
            if (/^data-commandlinker/.test(name)) say(name);
        }
        if (getComputedStyle(node).position === "fixed") say("is fixed");
    }
    for (const set of document.querySelectorAll("mjx-container, .MathJax")) {
        if (set.querySelector("a, img, image, [style*='url']")) found.push(`set: ${set.outerHTML.slice(0, 200)}`);
    }
    return found;
}"""


@pytest.fixture(scope="module")
def context() -> Iterator[BrowserContext]:
    with lab_browser.browser() as context:
        yield context


def only_pictures(route: Route) -> None:
    """Nothing leaves this machine: every picture is the same one, and there is nothing else."""
    if is_picture(route.request):
        route.fulfill(content_type="image/png", body=PICTURE)
    else:
        route.abort()


# --- JupyterLab ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder, home = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("home")
    begin = (
        "%load_ext dashnb\nimport json, sys\nfrom pathlib import Path\nfrom IPython.display import display\n"
        f"sys.path.insert(0, {str(TESTS)!r})\nfrom shown_objects import displays_of, errors_of, objects_of\n"
        "def put(data): display(data, raw=True)"
    )
    lab_browser.write_notebook(folder / "first.ipynb", begin)
    with lab_browser.running_lab(folder, home, DASHNB_DATA_DIR=str(home / "dashnb"), DASHNB_LANGUAGE="en") as lab:
        yield lab


@pytest.fixture(scope="module")
def notebook(lab: Lab, context: BrowserContext) -> Iterator[tuple[Page, Watch]]:
    context.route(lambda url: not url.startswith(lab.url), only_pictures)
    page = lab_browser.open_notebook(context, lab, "first.ipynb")
    page.set_default_timeout(120_000)
    lab_browser.run_cell(page, 0)
    yield page, Watch(page, own=lab.url)
    page.close()
    context.unroute_all()


def looked_at(notebook: tuple[Page, Watch], source: str) -> Any:
    """What is wrong after a cell was run: what it shows, what the page did."""
    page, watch = notebook
    shown = lab_browser.start(page, source)
    page.wait_for_function("window.ended !== undefined")
    number = shown.evaluate("shown => shown.closest('[data-number]').dataset.number")
    found = asked(page, _LOOK, f"[data-number='{number}'] .jp-Cell-outputArea .jp-OutputArea-output")
    seen, watch.seen = watch.of_mine(), []
    ran = page.evaluate("'pwned' in window")
    page.evaluate("jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    return found, seen, ran


WELL: Any = ([], [], False)


@pytest.mark.parametrize("name", FEW)
def test_nothing_runs_in_jupyterlab_whatever_shows_it(notebook: tuple[Page, Watch], lab: Lab, name: str) -> None:
    (lab.folder / "text.json").write_text(json.dumps(TEXTS[name]))
    text = "text = json.loads(Path('text.json').read_text())\n"
    assert looked_at(notebook, f"{text}for thing in objects_of(text).values(): display(thing)") == WELL
    assert looked_at(notebook, f"{text}for data in displays_of(text).values(): put(data)") == WELL
    markdown = "{'text/markdown': data['text/markdown']}"
    every = f"{text}for data in displays_of(text).values(): 'text/markdown' in data and put({markdown})"
    assert looked_at(notebook, every) == WELL
    assert looked_at(notebook, f"{text}objects_of(text)['result']") == WELL
    assert looked_at(notebook, f"{text}raise errors_of(text)[-1]") == WELL


_ALL = hostile.batches(TEXTS, 40)


@pytest.mark.parametrize("batch", _ALL)
def test_jupyterlab_makes_nothing_but_words_of_the_markdown_alone(
    notebook: tuple[Page, Watch], lab: Lab, batch: str
) -> None:
    copies = [markdown_of(text) for text in _ALL[batch].values()]
    (lab.folder / "copies.json").write_text(json.dumps(copies))
    put = "for copy in json.loads(Path('copies.json').read_text()): put({'text/markdown': copy})"
    assert looked_at(notebook, put) == WELL


def markdown_of(text: str) -> str:
    """The Markdown of a run that says the text."""
    return to_markdown(folded([created(), *message(text), run("completed")]), Heading("A"))


def test_formulas_are_set_and_prices_and_commands_are_not(notebook: tuple[Page, Watch]) -> None:
    page, _ = notebook
    copy = markdown_of("$x^2$ and \\(y\\), but not $\\href{javascript:pwned=1}{x}$ or `$z$` and \\begin{x}1\\end{x}")
    shown = lab_browser.run(page, f"put({{'text/markdown': {copy!r}}})")
    shown.locator("mjx-container").first.wait_for(timeout=15_000)
    assert shown.locator("mjx-container").count() == 2
    copy = markdown_of("It costs $5 to $10, or **$11**, or $x$ as well.\n\n| $1 | $2 |\n|---|---|\n| $3 to $4 | $x$ |")
    shown = lab_browser.run(page, f"put({{'text/markdown': {copy!r}}})")
    shown.locator("mjx-container").nth(1).wait_for(timeout=15_000)
    assert shown.locator("mjx-container").count() == 2
    assert "It costs $5 to $10, or $11, or" in shown.inner_text()
    assert "$3 to $4" in shown.inner_text()


# --- nbconvert -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InteractiveShell]:
    with pytest.MonkeyPatch.context() as patch, opened(patch, tmp_path_factory.mktemp("shell")) as shell:
        yield shell


@pytest.fixture
def tab(context: BrowserContext) -> Iterator[tuple[Page, Watch]]:
    page = context.new_page()
    page.set_default_timeout(120_000)
    yield page, Watch(page)
    page.close()


def opened_as_html(tab: tuple[Page, Watch], outputs: list[Any], template: str) -> Any:
    """What is wrong in nbconvert's page of a notebook with these outputs."""
    page, watch = tab
    cell = new_code_cell("answer", outputs=outputs, execution_count=1)
    body, _ = HTMLExporter(template_name=template).from_notebook_node(new_notebook(cells=[cell]))
    own = "http://notebook.test/page.html"

    def answer(route: Route) -> None:
        if route.request.url == own:
            route.fulfill(content_type="text/html; charset=utf-8", body=body)
        else:
            only_pictures(route)

    page.route("**/*", answer)
    page.goto(own)
    found = asked(page, _LOOK, ".output, .jp-OutputArea-output")
    fetched = tuple(f"request {kind} {place}" for kind in ("script", "stylesheet") for place in _TEMPLATES)
    expected = (f"request document {own}", *fetched)
    return (
        found,
        [line for line in watch.of_mine() if not line.startswith(expected)],
        page.evaluate("'pwned' in window"),
    )


def outputs_of(shell: InteractiveShell, text: str) -> Iterator[Any]:
    """Everything that a notebook may keep of a text, as outputs."""
    assert shell.display_formatter is not None
    bundles: list[Mapping[str, str]] = [shell.display_formatter.format(thing)[0] for thing in objects_of(text).values()]
    for data in (*bundles, *displays_of(text).values()):
        yield new_output("display_data", data)
        if "text/markdown" in data:
            yield new_output("display_data", {"text/markdown": data["text/markdown"]})
    for error in errors_of(text):
        traceback = error._render_traceback_()
        yield new_output("error", ename=type(error).__name__, evalue=str(error), traceback=traceback)


@pytest.mark.parametrize("template", ["lab", "classic", "basic"])
def test_nothing_runs_in_a_page_of_nbconvert_whatever_shows_it(
    shell: InteractiveShell, tab: tuple[Page, Watch], template: str
) -> None:
    outputs = [output for name in FEW for output in outputs_of(shell, TEXTS[name])]
    assert opened_as_html(tab, outputs, template) == WELL


@pytest.mark.parametrize("batch", _ALL)
def test_a_page_of_nbconvert_makes_nothing_but_words_of_the_markdown_alone(tab: tuple[Page, Watch], batch: str) -> None:
    outputs = [new_output("display_data", {"text/markdown": markdown_of(text)}) for text in _ALL[batch].values()]
    assert opened_as_html(tab, outputs, "lab") == WELL
