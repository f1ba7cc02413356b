"""Everything that a notebook can show: no part of it runs, whoever wrote the words in it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from inert import pages_of, wrong_in
from IPython.core.interactiveshell import InteractiveShell
from nbformat.v4 import new_code_cell, new_notebook, new_output
from shells import opened

import dashnb
import hostile
from dashnb import errors
from dashnb.client.cassettes.cassette import Cassette, Exchange
from dashnb.client.cassettes.runs import ToldRun, told_runs
from dashnb.history import from_notebook
from dashnb.history.table import Table
from dashnb.protocol.objects import Assistant, Message, Page, Run, RunStep, Thread, Tool
from dashnb.protocol.state import RunState
from dashnb.session.result import Picture, RunResult
from dashnb.view import Heading, StaticView, UpdateView, bundle, record
from dashnb.view.blocks import blocks
from dashnb.view.bundle import live_data
from dashnb.view.text import whole_characters
from view_support import Notebook, call, created, folded, message, run, waiting

PACKAGE = Path(dashnb.__file__).parent


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InteractiveShell]:
    with pytest.MonkeyPatch.context() as patch, opened(patch, tmp_path_factory.mktemp("shell")) as shell:
        yield shell


class Reading:
    """A run that another thread reads."""

    done = False
    exception: BaseException | None = None

    def wait(self, timeout: float | None) -> None:
        """Return at once."""

    def cancel(self) -> None:
        """Go on."""


def state_of(text: str, *, over: bool = True) -> RunState:
    """A run that has the text in every place that others fill."""
    found = {"data": [{"title": text, "url": text, "desc": text, "source": text}]}
    events = [created(), *call(text, json.dumps({"q": text}), text), *call("f", text, json.dumps(found), step="s")]
    events += [*call("g", "{}", json.dumps({"results": [{"url": text}], "text": text}), step="u"), *message(text)]
    return folded([*events, run("failed", last_error={"code": text, "message": text})] if over else events)


def objects_of(text: str) -> dict[str, Any]:
    """Every kind of object that may hold the words of a model, a tool, a person or a server."""
    state, heading = state_of(text), Heading(text, model=text, engine=text)
    sent = whole_characters(text)  # halves of characters are refused where an object is read
    fields = {"id": sent or "x", "name": text, "description": text, "instructions": text, "metadata": {text: text}}
    said = {"id": "message_1", "role": text, "content": [{"type": "text", "text": {"value": text}}], "name": text}
    failed = {"last_error": {"code": text, "message": text}, "status": text}
    tool = {"type": "function", "function": {"name": text, "description": text, "parameters": {text: text}}}
    table = Table({text: "text", "n": "integer", "at": "time", "id": "id"}, [(text, 5, 0, text)] * 2, name=text)
    kept = from_notebook(notebook_of({"shown": bundle(state, heading)}))
    exchange = Exchange(
        1, "POST", text, status=200, chunks=[(0.0, json.dumps({"object": "thread.run", "id": "r"}).encode())]
    )
    return {
        "result": RunResult(state, heading=heading),
        "result in the background": RunResult(state_of(text, over=False), work=Reading(), heading=heading),
        "result of which nothing is known": RunResult(RunState()),
        "result that waits": RunResult(folded([created(), waiting(text, text)])),
        "state": state,
        "step": state.steps[0],
        "tool call": state.tool_calls[0],
        "message": Message.model_validate(said),
        "messages": Page[Message].model_validate({"data": [said]}),
        "messages as a list": [Message.model_validate(said)],
        "assistant": Assistant.model_validate({**fields, "model": text, "tools": [tool]}),
        "thread": Thread.model_validate(fields),
        "run": Run.model_validate({**fields, **failed}),
        "run step": RunStep.model_validate({**fields, **failed, "type": text}),
        "tool": Tool.model_validate(tool),
        "table": table,
        "row": table[0],
        "column": table[text],
        "part of a table": table[:1],
        "tables of the answer": RunResult(state).tables,
        "table of the answer": next(iter(RunResult(folded([created(), *message(_table(text))])).tables), None),
        "pictures of the answer": list(RunResult(state).images),
        "picture at an address": Picture(url=text),
        "picture of a type": Picture(text, text.encode("utf-8", "replace")),
        "kept": kept,
        "runs that are kept": kept.runs(),
        "steps that are kept": kept.steps(),
        "messages that are kept": kept.messages(),
        "calls that are kept": kept.tool_calls(),
        "cassette": Cassette(Path("x.jsonl"), text, text, (exchange,)),
        "runs of a cassette": told_runs(Cassette(Path("x.jsonl"), text, text, (exchange,))),
        "run of a cassette": ToldRun(text, messages={text: Message.model_validate(said)}),
        "heading": heading,
    }


def _table(text: str) -> str:
    cell = " ".join(text.split()).replace("|", "\\|")
    return f"| {cell} | b |\n|---|---|\n| {cell} | {cell} |"


def displays_of(text: str) -> dict[str, Mapping[str, str]]:
    """What is put under a cell by itself."""
    state, going, heading = state_of(text), state_of(text, over=False), Heading(text, engine=text)
    shown: dict[str, Mapping[str, str]] = {"run that is kept": bundle(state, heading)[0]}
    for number, block in enumerate(blocks(state)):
        shown[f"block {number}"] = bundle(state, heading, block=block)[0]
        shown[f"open block {number}"] = live_data(going, heading, block=block)
    for name, make in _VIEWS.items():
        page = Notebook()
        view = make(page)
        view.begin(heading)
        view.show(going)
        shown |= {f"{name}, output {number}": data for number, (data, _) in enumerate(page.outputs)}
        view.finish(state)
        shown |= {f"{name}, kept output {number}": data for number, (data, _) in enumerate(page.outputs)}
    return shown


_VIEWS: dict[str, Callable[[Notebook], Any]] = {"static": StaticView, "update": UpdateView}


def errors_of(text: str) -> list[errors.DashnbError]:
    """Every kind of error, with the text for its words."""
    state, made = state_of(text), []
    for kind in _kinds(errors.DashnbError):
        named = {"state": state} if kind in (errors.RunError, errors.RunInterrupted, errors.AnswerMismatch) else {}
        made.append(kind(text, **named))
        made[-1].foreword = text
        made[-1].add_note(text)
    return made


def _kinds(base: type[errors.DashnbError]) -> Iterator[type[errors.DashnbError]]:
    if base.__module__ == "dashnb.errors":
        yield base
        for kind in base.__subclasses__():
            yield from _kinds(kind)


def notebook_of(shown: Mapping[str, Any]) -> Any:
    """A notebook that keeps these bundles, with their metadata."""
    cells = []
    for name, (data, metadata) in shown.items():
        output = new_output("display_data", data, metadata=metadata)
        cells.append(new_code_cell(name, outputs=[output], execution_count=1))
    return new_notebook(cells=cells)


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


_GROUPS = ("tags", "addresses", "characters", "ends", "formulas", "heavy formulas")
TEXTS = {
    **{name: text for group in _GROUPS for name, text in hostile.GROUPS[group].items()},
    **hostile.WORDS,
    "prices": "costs $5 or $10",
    "nothing": "",
}


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
