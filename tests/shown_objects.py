"""Every object that a notebook may show, with a text in every place that others fill; for a kernel too."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nbformat.v4 import new_code_cell, new_notebook, new_output

import hostile
from dashnb import errors
from dashnb.characters import whole_characters
from dashnb.client.cassettes.cassette import Cassette, Exchange
from dashnb.client.cassettes.runs import ToldRun, told_runs
from dashnb.history import from_notebook
from dashnb.history.table import Table
from dashnb.protocol.objects import Assistant, Message, Page, Run, RunStep, Thread, Tool
from dashnb.protocol.state import RunState
from dashnb.session.result import Picture, RunResult
from dashnb.view import Heading, StaticView, UpdateView, bundle
from dashnb.view.blocks import blocks
from dashnb.view.bundle import live_data
from view_support import Notebook, call, created, folded, message, run, waiting

_GROUPS = ("tags", "addresses", "characters", "ends", "formulas", "heavy formulas")
TEXTS = {
    **{name: text for group in _GROUPS for name, text in hostile.GROUPS[group].items()},
    **hostile.WORDS,
    "prices": "costs $5 or $10",
    "nothing": "",
}


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
