"""Files that are damaged anywhere: whatever is wrong with one, it is told as a StoreError, and no answer is lost."""

from __future__ import annotations

import random
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from damage import damage

import dashnb
from dashnb.client.client import Client
from dashnb.errors import DashnbError, StoreError
from dashnb.history.ledger import Ledger
from dashnb.local.documents.library import Document, Library
from dashnb.local.schema import TABLES
from dashnb.local.store import Store
from dashnb.protocol.requests import ListQuery
from dashnb.protocol.state import RunState
from dashnb.session.recording import Recording
from dashnb.session.session import Session

T = TypeVar("T")
FILES = 700
ASKED = 40


@pytest.fixture
def client() -> Iterator[Client]:
    with dashnb.connect("local", database=":memory:") as opened:
        yield opened


@dashnb.tool
def add(left: int, right: int) -> int:
    """Add two numbers."""
    return left + right


def damaged(tmp_path: Path, whole: Path, seed: int) -> tuple[Path, str]:
    """A damaged copy of a file, and how it was damaged."""
    folder = tmp_path / f"{seed}"
    folder.mkdir()
    file = folder / "a.db"
    shutil.copyfile(whole, file)
    return file, f"seed {seed}: {damage(file, random.Random(seed))}"


class Trial:
    """What is tried on damaged files: it works, or is told as a `DashnbError` of at most three lines.

    Attributes:
        counts: How often it ``worked``, was ``told`` as a failing file, or ``refused`` for another reason.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def of(self, how: str, work: Callable[..., T], *arguments: object) -> T | None:
        """The result of some work on a file that was damaged in some way; None if it did not work."""
        try:
            result = work(*arguments)
        except DashnbError as error:
            outcome, lines, result = ("told" if isinstance(error, StoreError) else "refused"), str(error), None
        except BaseException as error:
            raise AssertionError(f"{how}: {type(error).__name__}: {error}") from error
        else:
            outcome, lines = "worked", ""
        self.counts[outcome] += 1
        assert len(lines.splitlines()) <= 3, how
        return result


def conversation(client: Client, **more: object) -> list[RunState]:
    """A few questions, one of which calls a function."""
    with Session(client=client, tools=[add], **more) as session:  # type: ignore[arg-type]
        for question in ("What is 2 + 3?", "Add 5 to 6", "Tell me of 天气 and cats"):
            session.ask(question)
        return session.runs


@pytest.mark.slow
def test_a_damaged_ledger_costs_no_answer_and_raises_nothing_raw(tmp_path: Path, client: Client) -> None:
    whole = tmp_path / "whole.db"
    for _ in range(6):
        (*_, state) = conversation(client, ledger=whole)
    trial = Trial()
    for seed in range(FILES):
        file, how = damaged(tmp_path, whole, seed)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            recording = Recording(file)
            for _ in range(2):
                recording.record(state, prompt="?", recorded_at=1)
            recording.close()
        assert len(said) <= 1, how
        ledger = trial.of(how, Ledger, file)
        if ledger is not None:
            for read in (ledger.runs, ledger.steps, ledger.messages, ledger.tool_calls, ledger.threads):
                trial.of(how, read)
            ledger.close()
    print(f"{FILES} damaged ledgers: {dict(trial.counts)}")
    assert min(trial.counts["worked"], trial.counts["told"]) > FILES / 4


@pytest.mark.slow
def test_with_a_damaged_ledger_every_question_has_its_answer_and_at_most_one_warning(
    tmp_path: Path, client: Client
) -> None:
    whole = tmp_path / "whole.db"
    for _ in range(6):
        conversation(client, ledger=whole)
    warned = 0
    for seed in range(ASKED):
        file, how = damaged(tmp_path, whole, seed)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            with Session(client=client, ledger=file) as session:
                assert ["997002" in session.ask("What is 999 × 998?").text for _ in range(2)] == [True, True]
        assert len(said) <= 1, how
        warned += len(said)
    assert warned > ASKED / 4


@pytest.mark.slow
def test_a_damaged_database_raises_nothing_raw(tmp_path: Path) -> None:
    whole = tmp_path / "whole.db"
    with dashnb.connect("local", database=str(whole)) as client:
        for _ in range(3):
            runs = conversation(client, ledger=None)
        thread_id, run_id, assistant_id = runs[0].thread_id, runs[0].id, client.assistants.list(limit=1)[0].id
    trial = Trial()
    for seed in range(FILES):
        file, how = damaged(tmp_path, whole, seed)
        store = trial.of(how, Store, str(file))
        if store is not None:
            for table in TABLES:
                trial.of(how, store.every, table)
                trial.of(how, store.page, table, ListQuery())
            trial.of(how, store.active_runs)
            trial.of(how, store.events, run_id)
            store.close()
        served = trial.of(how, partial(dashnb.connect, "local", database=str(file)))
        if served is not None:
            with closing(served):
                trial.of(how, served.assistants.retrieve, assistant_id)
                trial.of(how, served.threads.retrieve, thread_id)
                trial.of(how, served.messages.list, thread_id)
                trial.of(how, partial(served.runs.retrieve, run_id, thread_id=thread_id))
                trial.of(how, served.threads.create)
    print(f"{FILES} damaged databases: {dict(trial.counts)}")
    assert min(trial.counts["worked"], trial.counts["told"]) > FILES / 4


@pytest.mark.slow
def test_damaged_documents_raise_nothing_raw(tmp_path: Path) -> None:
    whole = tmp_path / "whole.db"
    cats = Document("pets", "cats.md", "/cats.md", "markdown")
    with Library(whole) as library:
        for number in range(40):
            document = Document("pets", f"{number}.md", f"/{number}.md", "markdown")
            library.put(document, [("Cats", f"The cat {number} sleeps. " * 20), ("天气", "杭州的天气")])
    trial = Trial()
    for seed in range(FILES):
        file, how = damaged(tmp_path, whole, seed)
        with Library(file) as library:
            trial.of(how, library.documents)
            trial.of(how, library.find, "cats sleep")
            trial.of(how, partial(library.find, "天气", collections=["pets"]))
            trial.of(how, library.put, cats, [("Cats", "They purr.")])
            trial.of(how, library.remove, "3.md")
    print(f"{FILES} damaged files of documents: {dict(trial.counts)}")
    assert min(trial.counts["worked"], trial.counts["told"]) > FILES / 4
