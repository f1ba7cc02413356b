"""Runs in the background: the cell ends at once, the run goes on below it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from shells import failed, magics_of, opened, run, serve

from dashnb.errors import AnswerMismatch, APIError, DashnbError, RunError, RunInterrupted, WaitTimeout
from dashnb.local.models.engine import EngineError, TextPiece
from dashnb.magics import asking, background
from dashnb.protocol.state import RunState
from dashnb.session.result import RunResult
from dashnb.view import Heading
from dashnb.view.modes import Surroundings
from scripted import Gate, Script

SECONDS = 10  # to wait for what is certain to come


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[InteractiveShell]:
    with opened(monkeypatch, tmp_path) as shell:
        yield shell


class Watched:
    """A view that keeps what it was told."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.ended: list[str] = []
        self.heading = Heading()

    def begin(self, heading: Heading) -> None:
        self.heading = heading

    def show(self, state: RunState) -> None:
        self.texts.append(state.text)

    def finish(self, state: RunState) -> None:
        self.ended.append(state.status)


@pytest.fixture
def view(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """What a person sees in a front end that takes updates."""
    view = Watched()
    in_notebook = Surroundings(in_kernel=True, allow_stdin=True, front_end="vscode")
    monkeypatch.setattr(asking, "surroundings", lambda: in_notebook)
    monkeypatch.setattr(background, "_view", lambda *_: view)
    return view


def until(true: Callable[[], Any]) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def begin(shell: InteractiveShell, options: str = "") -> RunResult:
    run(shell, f"%%assistant --background job {options}\nWork")
    result = shell.user_ns["job"]
    assert isinstance(result, RunResult)
    return result


def test_the_cell_ends_at_once_and_the_run_goes_on_below_it(shell: InteractiveShell, view: Watched) -> None:
    gate = Gate()
    serve(shell, Script([TextPiece("Half "), gate, TextPiece("done.")]))
    job = begin(shell, "-o same")
    assert shell.user_ns["same"] is job
    until(lambda: job.text)
    assert (job.done, job.text, job.status) == (False, "Half ", "in_progress")
    with pytest.raises(WaitTimeout, match=r"goes on after 0\.01 s"):
        job.wait(0.01)
    gate.open()
    assert job.wait(SECONDS) is job
    assert (job.done, job.status, job.text, job.exception) == (True, "completed", "Half done.", None)
    assert (view.texts[-1], view.ended) == ("Half done.", ["completed"])


def test_a_run_in_the_background_is_recorded(shell: InteractiveShell, view: Watched) -> None:
    import dashnb

    serve(shell, Script([TextPiece("Done.")]))
    job = begin(shell).wait(SECONDS)
    assert [row["id"] for row in dashnb.history.runs().to_dicts()] == [job.id]


@pytest.mark.parametrize("silent", [True, False])
def test_it_can_be_cancelled_also_while_its_stream_says_nothing(
    shell: InteractiveShell, view: Watched, silent: bool
) -> None:
    gate = Gate()
    more = [TextPiece("word ")] * 3
    serve(shell, Script([TextPiece("Half "), gate, *([] if silent else more)]))
    job = begin(shell)
    until(lambda: job.text)
    job.cancel()
    job.cancel()  # a second time does nothing
    assert job.wait(SECONDS).status == "cancelled"
    assert isinstance(job.exception, RunInterrupted)
    assert (job.text, view.ended) == ("Half ", ["cancelled"])
    job.cancel()


def test_two_of_them_run_at_once_on_two_threads(shell: InteractiveShell, view: Watched) -> None:
    gates = Gate(), Gate()
    serve(shell, Script(*([gate, TextPiece("Done.")] for gate in gates)))
    first = begin(shell)
    until(lambda: gates[0].reached.is_set())
    second = begin(shell, "--new")
    until(lambda: gates[1].reached.is_set())
    assert (first.done, second.done) == (False, False)
    gates[1].open()
    second.wait(SECONDS)
    assert not first.done
    gates[0].open()
    first.wait(SECONDS)
    assert (first.text, second.text) == ("Done.", "Done.")
    assert first.thread_id != second.thread_id


def test_the_next_question_on_the_same_thread_follows_the_rule_for_busy_threads(
    shell: InteractiveShell, view: Watched
) -> None:
    gate = Gate()
    serve(shell, Script([gate, TextPiece("Done.")], [TextPiece("Next.")]))
    job = begin(shell)
    until(lambda: job.id)
    with pytest.raises(APIError, match=job.id):
        run(shell, "%%assistant\nAnd?")
    gate.open()
    job.wait(SECONDS)
    run(shell, "%%assistant -o then\nAnd?")
    assert (job.text, shell.user_ns["then"].text) == ("Done.", "Next.")


def test_what_goes_wrong_is_kept_and_shown(shell: InteractiveShell, view: Watched) -> None:
    serve(shell, Script([TextPiece("Half "), EngineError("It broke.", code="broken")]))
    job = begin(shell).wait(SECONDS)
    assert isinstance(job.exception, RunError)
    assert (job.status, job.text, view.ended) == ("failed", "Half ", ["failed"])


def test_an_answer_that_does_not_fit_is_kept_and_shown(shell: InteractiveShell, view: Watched) -> None:
    shown: list[str] = []
    serve(shell, Script([TextPiece("seven")], [TextPiece("7")]))
    shell.user_ns["Number"] = int
    original = background.jupyter_display
    background.jupyter_display = lambda data, *_, **__: shown.append(data["text/plain"])
    try:
        job = begin(shell, "--json-schema Number").wait(SECONDS)
    finally:
        background.jupyter_display = original
    assert isinstance(job.exception, AnswerMismatch)
    assert shown[0].startswith("AnswerMismatch: The answer does not fit int:")
    assert begin(shell, "--json-schema Number").wait(SECONDS).parsed == 7


def test_what_goes_wrong_speaks_the_language_of_the_reader(
    shell: InteractiveShell, view: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHNB_LANGUAGE", "zh")
    serve(shell, Script([EngineError("It broke.", code="ModelNotFound")]))
    job = begin(shell, "-m qwen-plsu").wait(SECONDS)
    assert isinstance(job.exception, RunError)
    (shown,) = job.exception._render_traceback_()
    assert shown.startswith("运行没有正常完成")
    assert shown.endswith("Did you mean qwen-plus?")


def test_unloading_stops_what_still_runs(shell: InteractiveShell, view: Watched) -> None:
    serve(shell, Script([TextPiece("Half "), Gate()]))
    job = begin(shell)
    until(lambda: job.text)
    magics_of(shell).close()
    assert (job.done, job.status) == (True, "cancelled")


def test_a_view_that_fails_takes_the_answer_from_nobody(
    shell: InteractiveShell, view: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(state: RunState) -> None:
        raise ValueError("no screen")

    monkeypatch.setattr(view, "finish", broken)
    serve(shell, Script([TextPiece("Done.")]))
    job = begin(shell).wait(SECONDS)
    assert (job.text, str(job.exception)) == ("Done.", "no screen")


def test_without_a_person_it_simply_runs_in_the_cell(shell: InteractiveShell) -> None:
    serve(shell, Script([TextPiece("Done.")], [EngineError("It broke.", code="broken")]))
    job = begin(shell, "--view static")
    assert (job.done, job.text) == (True, "Done.")
    with pytest.raises(DashnbError, match="It broke"):
        run(shell, "%%assistant --background job --view static\nAgain")
    assert shell.user_ns["job"].status == "failed"


def test_in_a_terminal_the_text_is_written_when_it_is_complete(shell: InteractiveShell) -> None:
    gate = Gate()
    serve(shell, Script([TextPiece("Half "), gate, TextPiece("done.")]))
    with capture_output() as captured:
        shell.run_cell("%%assistant --background job\nWork").raise_error()
        job = shell.user_ns["job"]
        until(lambda: job.text)
        assert captured.stdout == ""
        gate.open()
        job.wait(SECONDS)
    assert captured.stdout == "Half done.\n"


def test_stop_in_the_live_view_stops_this_run_and_interrupts_nothing_else(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dashnb.view import run_view

    made: list[Any] = []
    in_notebook = Surroundings(in_kernel=True, allow_stdin=True, front_end="jupyter")
    monkeypatch.setattr(asking, "surroundings", lambda: in_notebook)
    monkeypatch.setattr(run_view, "interrupt_main_thread", lambda: pytest.fail("another cell was interrupted"))
    original = run_view.RunView
    monkeypatch.setattr(run_view, "RunView", lambda *args, **more: made.append(original(*args, **more)) or made[-1])
    gate = Gate()
    serve(shell, Script([TextPiece("Half "), gate]))
    with capture_output():
        shell.run_cell("%%assistant --background job\nWork").raise_error()
        job = shell.user_ns["job"]
        until(lambda: job.text)
        assert made[0].kernel_id == ""  # so that the browser does not interrupt the kernel either
        made[0]._hear(made[0], {"stop": 1}, [])
        job.wait(SECONDS)
    assert (job.status, type(job.exception)) == ("cancelled", RunInterrupted)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--background 1x", "--background needs the name of a variable"),
        ("--background job --record x.jsonl", "exclude each other"),
        ("--background job --replay x.jsonl", "exclude each other"),
    ],
)
def test_what_does_not_go_with_it_is_refused(shell: InteractiveShell, options: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        run(shell, f"%%assistant {options}\nWork")
    assert failed(shell, f"%%assistant {options}\nWork")


class _Holding(httpx.BaseTransport):
    """A way on which new runs are begun, and nothing is heard of them before it is let go."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner
        self.begun = threading.Event()
        self.let_go = threading.Event()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(request)
        if request.method == "POST" and request.url.path.endswith("/runs"):
            self.begun.set()
            assert self.let_go.wait(SECONDS)
        return response

    def close(self) -> None:
        self._inner.close()


def test_a_run_that_has_not_told_its_name_yet_can_be_stopped(shell: InteractiveShell, view: Watched) -> None:
    gate = Gate()
    serve(shell, Script([TextPiece("Half "), gate, TextPiece("done.")], [TextPiece("free")]))
    client = magics_of(shell).conversation.client
    way = _Holding(client._pool.http._transport)
    client._pool.http._transport = way
    job = begin(shell)
    assert way.begun.wait(SECONDS)
    assert gate.reached.wait(SECONDS)  # else the next question is answered with these words
    assert job.id == ""
    job.cancel()
    (there,) = client.runs.list(job.thread_id)
    assert there.status in ("cancelling", "cancelled")
    way.let_go.set()
    job.wait(SECONDS)
    assert isinstance(job.exception, RunInterrupted)
    run(shell, "%%assistant -o next\nAnd now?")
    assert shell.user_ns["next"].text == "free"
