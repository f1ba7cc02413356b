"""Everything that a notebook can show: no part of it runs, whoever wrote the words in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from inert import pages_of, wrong_in
from IPython.core.interactiveshell import InteractiveShell
from shells import opened
from shown_objects import TEXTS, displays_of, errors_of, objects_of, state_of

import dashnb
import hostile
from dashnb.protocol.objects import Message
from dashnb.protocol.state import RunState
from dashnb.session.result import RunResult
from dashnb.view import Heading, StaticView, bundle, record
from view_support import Notebook

PACKAGE = Path(dashnb.__file__).parent


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InteractiveShell]:
    with pytest.MonkeyPatch.context() as patch, opened(patch, tmp_path_factory.mktemp("shell")) as shell:
        yield shell


def wrong_with(shell: InteractiveShell, text: str) -> Iterator[str]:
    """What is wrong with any part of any object, as lines."""
    assert shell.display_formatter is not None
    bundles: dict[str, Mapping[str, str]] = dict(displays_of(text))
    for name, thing in objects_of(text).items():
        bundles[name], metadata = shell.display_formatter.format(thing)
        assert metadata == {}
    for error in errors_of(text):
        bundles[type(error).__name__] = {"text/plain": "\n".join(error._render_traceback_())}
    for name, data in bundles.items():
        for part, page in pages_of(data).items():
            yield from (f"{name}, {part}: {found}" for found in wrong_in(page))


@pytest.mark.parametrize("name", [name for name in TEXTS if name in hostile.WORST][::6])
def test_no_object_shows_more_than_words(shell: InteractiveShell, name: str) -> None:
    assert list(wrong_with(shell, TEXTS[name])) == []


@pytest.mark.slow
@pytest.mark.parametrize("batch", hostile.batches(TEXTS, 20))
def test_no_object_shows_more_than_words_of_any_hostile_text(shell: InteractiveShell, batch: str) -> None:
    wrong = {
        name: found for name, text in hostile.batches(TEXTS, 20)[batch].items() if (found := [*wrong_with(shell, text)])
    }
    assert wrong == {}


def test_what_shows_a_run_shows_one_and_the_same_bundle(shell: InteractiveShell) -> None:
    assert shell.display_formatter is not None
    state = state_of("**Hello** <b>")
    kept, _ = bundle(state, Heading())
    assert shell.display_formatter.format(RunResult(state)) == (kept, {})
    assert shell.display_formatter.format(state) == (kept, {})
    page = Notebook()
    view = StaticView(page)
    view.begin(Heading())
    view.finish(state)
    assert page.outputs == [(kept, {"dashnb": record(state, Heading())})]


def test_a_message_shows_the_same_parts_as_a_run(shell: InteractiveShell) -> None:
    assert shell.display_formatter is not None
    said = Message.model_validate({"id": "message_1", "role": "user", "content": "**Hello** <b> $5 $6"})
    data, _ = shell.display_formatter.format(said)
    assert list(data) == ["text/html", "text/markdown", "text/plain"]
    assert data["text/markdown"] == "*user*\n\n**Hello** &lt;b> <span>\\$</span>5 <span>\\$</span>6"
    assert data["text/plain"] == "**Hello** <b> $5 $6"
    assert "<strong>Hello</strong> &lt;b&gt; <span>$</span>5" in data["text/html"]


def test_a_shell_without_the_extension_shows_states_as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with opened(monkeypatch, tmp_path) as shell:
        assert shell.display_formatter is not None
        assert "text/html" in shell.display_formatter.format(RunState())[0]
        shell.run_line_magic("unload_ext", "dashnb")
        assert list(shell.display_formatter.format(RunState())[0]) == ["text/plain"]
        shell.run_line_magic("load_ext", "dashnb")
        assert "text/html" in shell.display_formatter.format(RunState())[0]


# --- nothing is forgotten ------------------------------------------------------------------------

_METHOD = re.compile(r"_repr_(?!args)\w+_|_mime_|_display_|_ipython_display_|_render_traceback_|__html__|__rich\w*__")
_CALLS = {
    "display",
    "update_display",
    "jupyter_display",
    "_display",
    "publish",
    "publish_display_data",
    "HTML",
    "Markdown",
}
_CALLS |= {"Javascript", "SVG", "Latex", "IFrame", "Pretty", "JSON", "for_type", "for_type_by_name", "get_view_data"}
_MIME = re.compile(r"(?:text/(?!plain|event-stream)|image/|application/(?!json))[\w.+-]+")


def places(source: str, tree: ast.AST) -> Iterator[str]:
    """Where a module makes something that a front end shows: methods, calls and parts of bundles."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _METHOD.fullmatch(node.name):
            yield f"{source}: {node.name}"
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in _CALLS:
                yield f"{source}: {name}()"
        if isinstance(node, ast.Dict | ast.Subscript):
            keys = node.keys if isinstance(node, ast.Dict) else [node.slice]
            for key in keys:
                if isinstance(key, ast.Constant) and _MIME.fullmatch(str(key.value)):
                    yield f"{source}: {key.value}"


# Every place in the package that makes something for a front end.
PLACES = {
    "errors.py: _render_traceback_",
    "history/table.py: _repr_html_",
    "local/plugins/kernel_output.py: image/png",
    "magics/background.py: jupyter_display()",
    "session/result.py: _repr_mimebundle_",
    "session/result.py: _repr_png_",
    "session/result.py: text/html",
    "showing.py: for_type_by_name()",
    "view/bundle.py: text/html",
    "view/bundle.py: text/markdown",
    "view/live.py: _display()",
    "view/live.py: display()",
    "view/live.py: text/html",
    "view/live.py: update_display()",
    "view/terminal.py: Markdown()",
    "view/terminal.py: __rich_console__",
    "view/widget.py: _display()",
    "view/widget.py: get_view_data()",
}


def test_no_place_that_shows_something_is_without_a_test() -> None:
    found = {
        place
        for path in sorted(PACKAGE.rglob("*.py"))
        for place in places(path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text("utf-8")))
    }
    assert found == PLACES, "what is new here has to be one of `objects_of` or `displays_of`, or have a test of its own"


def test_a_new_way_to_show_something_is_found() -> None:
    source = (
        "class A:\n    def _repr_latex_(self): return {'image/svg+xml': 1}\n"
        "def f(): HTML('x'); IPython.display.display(x); data['text/markdown'] = x\n"
    )
    assert sorted(places("a.py", ast.parse(source))) == [
        "a.py: HTML()",
        "a.py: _repr_latex_",
        "a.py: display()",
        "a.py: image/svg+xml",
        "a.py: text/markdown",
    ]
