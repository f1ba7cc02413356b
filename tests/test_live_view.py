"""The live view, as a person sees it: real front ends, a real kernel, a real browser.

Most runs are played: the kernel of the notebook shows events that a test writes down, and waits where
the test wants to look. Screenshots are written to the folder that DASHNB_SCREENSHOTS names.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

import lab_browser
from lab_browser import CHROMIUM, Lab, Traffic, photograph, wait_for_text

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Locator, Page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
    pytest.mark.filterwarnings("ignore"),  # JupyterLab's, the kernel's and the browser driver's own
]

# Runs in the kernel. An act is a list of events, or the name of a cue to wait for, or a function to call.
STAGE = """
%load_ext dashnb
import socket
import threading
import time
from pathlib import Path

from dashnb.magics.display import show
from dashnb.protocol.state import RunState
from dashnb.view import Heading, make_view
from view_support import call, created, message, run


def perform(*acts, mode="auto", language="en"):
    state = RunState(requested_at=now())
    show(played(state, acts), state, Heading("Weather", "qwen-max", "staged", language=language), mode=mode)


def played(state, acts):
    try:
        for event in events_of([[created()], *acts]):
            state.apply(event, at=now())
            yield state
    except (GeneratorExit, KeyboardInterrupt):
        state.end("cancelled", at=now())
        raise


def events_of(acts):
    for act in acts:
        if isinstance(act, str):
            while not Path(act).exists():
                time.sleep(0.005)
        elif callable(act):
            act()
        elif isinstance(act, list):
            yield from act
        else:
            yield act


def completed(**tokens):
    usage = tokens or {"input_tokens": 12, "output_tokens": 34, "total_tokens": 46}
    return run("completed", usage=usage)


def silence():
    ours, _theirs = socket.socketpair()
    ours.recv(1)


def now():
    return 1000 * time.monotonic()
"""
LONG = "".join(f"Sentence number {number} of a long answer.\n\n" for number in range(60))
ALL_KINDS = """# Heading

Words with **weight**, `code` and a [link](https://example.org).

> A quotation.

1. one
2. two

| place | degrees |
|---|---|
| Rome | 24 |

```python
def weather(city: str = "Rome") -> int:  # a guess
    return 24 + len(city) if city else None
```
"""


@dataclass
class Stage:
    """A notebook in which runs are played."""

    page: Page
    folder: Path
    traffic: Traffic
    _cues: Iterator[int] = field(default_factory=itertools.count)

    def play(self, *acts: str, **options: str) -> Locator:
        """Begin a run; what its cell shows. Each act is Python, ``cue()`` makes one that waits."""
        named = [f"{name}={value!r}" for name, value in options.items()]
        return lab_browser.start(self.page, f"perform({', '.join([*acts, *named])})")

    def cue(self) -> Cue:
        """Something to wait for in a run."""
        return Cue(self.folder / f"cue-{next(self._cues)}")

    def finish(self) -> None:
        """Wait for the run's end."""
        lab_browser.finish(self.page)


@dataclass(frozen=True)
class Cue:
    """Where a run waits until it is given."""

    file: Path

    def __str__(self) -> str:
        return repr(str(self.file))

    def give(self) -> None:
        """Let the run go on."""
        self.file.touch()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder, home = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("home")
    lab_browser.write_notebook(folder / "stage.ipynb", "1")
    environment = {
        "DASHNB_DATA_DIR": str(home / "dashnb"),
        "DASHNB_CONFIG": str(home / "config.toml"),
        "DASHNB_LANGUAGE": "en",
        "DASHNB_PICTURES": "link",
        "DASHNB_PACE": "15",
        "PYTHONPATH": str(Path(__file__).parent),
    }
    with lab_browser.running_lab(folder, home, **environment) as lab:
        yield lab


@pytest.fixture(scope="module")
def context() -> Iterator[BrowserContext]:
    with lab_browser.browser() as context:
        yield context


@pytest.fixture(scope="module")
def notebook(lab: Lab, context: BrowserContext) -> Iterator[Stage]:
    traffic = Traffic()
    context.on("page", lambda page: page.on("websocket", traffic.follow))
    page = lab_browser.open_notebook(context, lab, "stage.ipynb")
    assert not lab_browser.run(page, STAGE).text_content(), "the stage could not be set up"
    yield Stage(page, lab.folder, traffic)
    page.close()


@pytest.fixture
def stage(notebook: Stage) -> Iterator[Stage]:
    yield notebook
    # A run that a failed test left waiting would hold up all others.
    lab_browser.stop_all(notebook.page)


@contextmanager
def another_page(context: BrowserContext, lab: Lab, name: str) -> Iterator[Page]:
    """A page with a notebook and a kernel of its own, in which runs can be played."""
    lab_browser.write_notebook(lab.folder / name, "1")
    page = lab_browser.open_notebook(context, lab, name)
    lab_browser.run(page, STAGE)
    try:
        yield page
    finally:
        page.close()


def saved_cell(stage: Stage) -> Any:
    """The last cell of the notebook as the file has it, and the notebook's metadata."""
    lab_browser.save(stage.page)
    notebook = nbformat.read(stage.folder / "stage.ipynb", as_version=4)
    return notebook.cells[-1], notebook.metadata


# --- a run from its beginning to its end ---------------------------------------------------------


def test_text_appears_while_the_cell_runs_under_a_header_above_what_goes_on_and_with_a_stop_button(
    stage: Stage,
) -> None:
    more = stage.cue()
    shown = stage.play('message("# In *Rome*\\n\\nIt is 2")', f"{more}", 'message("4 °C.")', "completed()")
    wait_for_text(shown, "It is 2")
    assert "Weather · qwen-max · staged" in shown.inner_text()
    assert shown.locator("h1 em").inner_text() == "Rome"
    assert shown.locator(".dashnb-activity").inner_text() == "writing …"
    assert shown.get_by_role("button", name="Stop").is_visible()
    assert "24 °C." not in shown.inner_text()
    more.give()
    stage.finish()
    wait_for_text(shown, "24 °C.")


def test_at_the_end_there_is_no_stop_button_but_the_status_and_what_it_took(stage: Stage) -> None:
    look = stage.cue()
    shown = stage.play(f"message({ALL_KINDS!r})", f"{look}", "completed()")
    wait_for_text(shown, "A quotation.")
    photograph(stage.page, "live", shown)
    look.give()
    stage.finish()
    wait_for_text(shown, "tokens/s")
    photograph(stage.page, "done", shown)
    assert shown.get_by_role("button").count() == 0
    assert shown.locator(".dashnb-activity").count() == 0
    assert "completed" in shown.inner_text()
    assert re.search(r"46 in total · [\d.]+ s · first text after [\d.]+ s · [\d,]+ tokens/s", shown.inner_text())


def test_the_saved_notebook_has_the_answer_once_and_nothing_of_the_widget(stage: Stage) -> None:
    lab_browser.run(stage.page, f"perform(message({ALL_KINDS!r}), completed())")
    cell, metadata = saved_cell(stage)
    (output,) = cell.outputs
    assert output.output_type == "display_data"
    assert set(output.data) == {"text/html", "text/markdown", "text/plain"}
    assert output.metadata.dashnb.run.status == "completed"
    assert "tokens/s" not in output.data["text/html"]
    assert "widgets" not in metadata


def test_a_notebook_that_is_opened_again_looks_as_it_looked_at_the_end(
    stage: Stage, lab: Lab, context: BrowserContext
) -> None:
    shown = lab_browser.run(stage.page, f"perform(message({ALL_KINDS!r}), completed())")
    wait_for_text(shown, "tokens/s")
    cell, _ = saved_cell(stage)
    again = nbformat.v4.new_notebook(cells=[cell])
    nbformat.write(again, lab.folder / "again.ipynb")
    page = lab_browser.open_notebook(context, lab, "again.ipynb")
    reopened = page.locator(".jp-Cell-outputWrapper")
    wait_for_text(reopened, "46 in total")
    live, kept = without_accounts(shown), without_accounts(reopened)
    assert live == kept
    for before, after in zip(places(shown), places(reopened), strict=True):
        assert before == pytest.approx(after, abs=2)
    page.close()


def without_accounts(shown: Locator) -> str:
    """What is shown, without the last line, which has seconds as long as a person looks on."""
    text: str = shown.locator(".dashnb").inner_text()
    return text.strip().rpartition("\n")[0]


def places(shown: Locator) -> Any:
    """Where each block begins below and beside the frame, and how large it is; in pixels."""
    return shown.locator(".dashnb").evaluate(
        """frame => {
            const origin = frame.getBoundingClientRect();
            return [...frame.querySelectorAll('h1, p, blockquote, li, table, pre')].map(block => {
                const box = block.getBoundingClientRect();
                return [box.x - origin.x, box.y - origin.y, box.width, box.height];
            });
        }"""
    )


def test_a_failed_run_says_why_and_keeps_what_arrived(stage: Stage) -> None:
    failed = 'run("failed", last_error={"code": "server_error", "message": "The model is gone."})'
    shown = lab_browser.run(stage.page, f'perform(message("It is 24"), {failed})')
    wait_for_text(shown, "server_error: The model is gone.")
    photograph(stage.page, "failed", shown)
    assert "It is 24" in shown.inner_text()
    assert shown.get_by_role("button").count() == 0


# --- stop ----------------------------------------------------------------------------------------


def test_stop_ends_a_run_within_a_second_keeps_what_arrived_and_leaves_the_thread_usable(stage: Stage) -> None:
    shown = lab_browser.start(stage.page, "%%assistant -o stopped\nTell me a story")
    wait_for_text(shown, "What streaming is")
    assert lab_browser.press_stop(stage.page, shown) < 1
    wait_for_text(shown, "the run was cancelled")
    photograph(stage.page, "interrupted", shown)
    assert "What streaming is" in shown.inner_text()
    assert "Traceback" not in shown.inner_text()
    assert "cancelled" in lab_browser.run(stage.page, "stopped.status").inner_text()
    answer = lab_browser.run(stage.page, "%%assistant -o next\nWhat is 2 + 3?")
    wait_for_text(answer, "2 plus 3 equals 5")
    assert "True" in lab_browser.run(stage.page, "next.thread_id == stopped.thread_id").inner_text()


def test_stop_reaches_a_run_whose_service_is_silent(stage: Stage) -> None:
    shown = stage.play('message("It is 24")', "silence", "completed()")
    wait_for_text(shown, "It is 24")
    assert lab_browser.press_stop(stage.page, shown) < 1
    wait_for_text(shown, "The run was cancelled.")
    assert "It is 24" in shown.inner_text()
    assert "Traceback" not in shown.inner_text()


def test_stop_reaches_a_model_that_makes_a_long_pause(stage: Stage) -> None:
    lab_browser.run(stage.page, "%env DASHNB_PACE=60000\n%assistant connect local")
    shown = lab_browser.start(stage.page, "%%assistant -o stopped\nTell me a story")
    try:
        shown.locator(".dashnb-activity").wait_for()
        assert lab_browser.press_stop(stage.page, shown) < 1
    finally:
        lab_browser.stop_all(stage.page)
        lab_browser.run(stage.page, "%env DASHNB_PACE=15\n%assistant connect local")
    assert "Traceback" not in shown.inner_text()
    assert "cancelled" in lab_browser.run(stage.page, "stopped.status").inner_text()
    lab_browser.run(stage.page, "thread = stopped.thread_id")
    answer = lab_browser.run(stage.page, "%%assistant --thread thread\nWhat is 2 + 3?")
    wait_for_text(answer, "2 plus 3 equals 5")


def test_in_notebook_7_an_answer_is_live_and_stop_ends_it_within_a_second(lab: Lab, context: BrowserContext) -> None:
    lab_browser.write_notebook(lab.folder / "seven.ipynb", "1")
    page = lab_browser.notebook_page(context, lab, "seven.ipynb")
    lab_browser.run(page, STAGE)
    silent = lab_browser.start(page, 'perform(message("It is 24"), silence, completed())')
    wait_for_text(silent, "It is 24")
    assert lab_browser.press_stop(page, silent) < 1
    wait_for_text(silent, "The run was cancelled.")
    busy = lab_browser.start(page, "%%assistant\nTell me a story")
    wait_for_text(busy, "What streaming is")
    photograph(page, "notebook-7", busy)
    assert lab_browser.press_stop(page, busy) < 1
    wait_for_text(busy, "the run was cancelled")
    assert "Traceback" not in busy.inner_text()
    wait_for_text(lab_browser.run(page, "%%assistant\nWhat is 2 + 3?"), "2 plus 3 equals 5")
    page.close()


# --- tool calls ----------------------------------------------------------------------------------

ARGUMENTS = '{"city": "Rome", "days": 3}'
CALL_BEGINS = """call("get_weather", '{"city": "Ro', status="in_progress")"""
CALL_GROWS = """call("get_weather", 'me", "days": 3}', status="in_progress")[1:]"""
CALL_ENDS = f"""call("get_weather", {ARGUMENTS!r}, "24 °C")[-1:]"""


def test_the_arguments_of_a_tool_call_grow_in_an_open_part_that_closes_when_it_is_done(stage: Stage) -> None:
    grow, done, end = stage.cue(), stage.cue(), stage.cue()
    acts = (CALL_BEGINS, f"{grow}", CALL_GROWS, f"{done}", CALL_ENDS, f"{end}", 'message("It is fine.")', "completed()")
    shown = stage.play(*acts)
    call = shown.locator("details")
    wait_for_text(call.locator("pre"), "Ro")
    assert "days" not in call.locator("pre").inner_text()
    assert call.evaluate("details => details.open")
    assert shown.locator(".dashnb-activity").inner_text() == "get_weather is running …"
    grow.give()
    wait_for_text(call.locator("pre"), "days")
    photograph(stage.page, "tool-call", shown)
    done.give()
    shown.locator("details:not([open])").wait_for()
    assert "24 °C" in call.locator("summary").inner_text()
    end.give()
    stage.finish()
    wait_for_text(shown, "It is fine.")
    assert not call.evaluate("details => details.open")


def test_a_tool_call_that_a_person_opened_stays_open_to_the_end_and_after_it(stage: Stage) -> None:
    more, end = stage.cue(), stage.cue()
    whole = f"""call("get_weather", {ARGUMENTS!r}, "24 °C")"""
    shown = stage.play(whole, f"{more}", 'message("It is ")', f"{end}", 'message("fine.")', "completed()")
    shown.locator("details:not([open]) summary").click()
    assert shown.locator("details pre").first.is_visible()
    more.give()
    wait_for_text(shown, "It is")
    assert shown.locator("details").evaluate("details => details.open")
    end.give()
    stage.finish()
    wait_for_text(shown, "tokens/s")
    assert shown.locator("details").evaluate("details => details.open")
    photograph(stage.page, "tool-call-opened", shown)


def test_the_keyboard_reaches_a_tool_call_and_opens_it(stage: Stage) -> None:
    end = stage.cue()
    shown = stage.play(f"""call("get_weather", {ARGUMENTS!r}, "24 °C")""", f"{end}", "completed()")
    shown.locator("details:not([open])").wait_for()
    shown.locator(".dashnb-stop").focus()
    stage.page.keyboard.press("Tab")
    assert stage.page.evaluate("document.activeElement.localName") == "summary"
    assert ring_of(shown.locator("summary")) == ["solid", "2px"]
    stage.page.keyboard.press("Enter")
    opened = shown.locator("details").evaluate("details => details.open")
    end.give()
    stage.finish()
    assert opened


# --- what a reader does --------------------------------------------------------------------------


def test_what_a_reader_selects_in_the_middle_is_still_selected_at_the_end(stage: Stage) -> None:
    end = stage.cue()
    shown = stage.play('message("Select *these* words.\\n\\nMore is ")', f"{end}", 'message("here.")', "completed()")
    wait_for_text(shown, "More is")
    shown.locator("em").dblclick()
    assert selection(stage.page) == "these"
    end.give()
    stage.finish()
    wait_for_text(shown, "tokens/s")
    assert selection(stage.page) == "these"


def test_lines_break_at_the_end_where_they_broke_before(stage: Stage) -> None:
    end = stage.cue()
    shown = stage.play('message("A long line of words. " * 30)', f"{end}", 'message("The end.")', "completed()")
    wait_for_text(shown, "A long line")
    width = "p => p.getBoundingClientRect().width"
    before = shown.locator("p").evaluate(width)
    end.give()
    stage.finish()
    wait_for_text(shown, "tokens/s")
    assert shown.locator("p").evaluate(width) == pytest.approx(before, abs=2)


def selection(page: Page) -> str:
    """What is selected, without the blank that some systems select with a word."""
    return str(page.evaluate("getSelection().toString()")).strip()


def test_a_second_view_shows_the_whole_text(stage: Stage) -> None:
    end = stage.cue()
    shown = stage.play('message("The beginning, ")', f"{end}", 'message("and the end.")', "completed()")
    wait_for_text(shown, "The beginning,")
    stage.page.evaluate("jupyterapp.commands.execute('notebook:create-output-view')")
    second = stage.page.locator(".jp-LinkedOutputView")
    wait_for_text(second, "The beginning,")
    end.give()
    stage.finish()
    wait_for_text(second, "The beginning, and the end.")
    wait_for_text(shown, "The beginning, and the end.")
    stage.page.evaluate("jupyterapp.shell.currentWidget.close()")
    second.wait_for(state="detached")


def test_a_page_that_is_loaded_again_in_the_middle_is_not_broken(lab: Lab, context: BrowserContext) -> None:
    end = Cue(lab.folder / "cue-loaded-again")
    with another_page(context, lab, "reload.ipynb") as page:
        lab_browser.save(page)
        acts = f'message("The beginning, "), {end}, message("and the end."), completed()'
        wait_for_text(lab_browser.start(page, f"perform({acts})"), "The beginning,")
        load_again(page, end)
        assert page.locator(".jp-Dialog").count() == 0
        wait_for_text(lab_browser.run(page, 'perform(message("Alive."), completed())'), "Alive.")
        lab_browser.save(page)
    notebook = nbformat.read(lab.folder / "reload.ipynb", as_version=4)
    assert "widget" not in str([output.data for cell in notebook.cells for output in cell.outputs])
    assert "Alive." in notebook.cells[-1].outputs[0].data["text/html"]


def test_an_answer_that_was_saved_and_loaded_again_in_the_middle_is_there_in_the_end(
    lab: Lab, context: BrowserContext
) -> None:
    end = Cue(lab.folder / "cue-saved-and-loaded-again")
    with another_page(context, lab, "saved.ipynb") as page:
        acts = f'message("The beginning, "), {end}, message("and the end."), completed()'
        wait_for_text(lab_browser.start(page, f"perform({acts})"), "The beginning,")
        lab_browser.save(page)
        load_again(page, end)
        assert page.locator(".jp-Dialog").count() == 0
        shown = page.locator(".jp-Cell").last.locator(".jp-Cell-outputWrapper")
        shown.scroll_into_view_if_needed()
        wait_for_text(shown, "The beginning, and the end.")


def load_again(page: Page, end: Cue) -> None:
    """Load a page whose cell runs once more, and let the cell end then."""
    page.once("dialog", lambda dialog: dialog.accept())
    page.reload(wait_until="domcontentloaded")
    page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=30_000)
    end.give()
    lab_browser.wait_until_idle(page)


def test_who_reads_the_end_stays_at_the_end_and_who_reads_above_stays_there(stage: Stage) -> None:
    first, second, end = stage.cue(), stage.cue(), stage.cue()
    size = stage.page.viewport_size
    assert size
    stage.page.set_viewport_size({"width": 1000, "height": 500})
    try:
        acts = (
            f"message({LONG!r})",
            f"{first}",
            f"message({LONG + 'The second part.'!r})",
            f"{second}",
            f"message({LONG + 'The third part.'!r})",
            f"{end}",
            "completed()",
        )
        shown = stage.play(*acts)
        wait_for_text(shown, "Sentence number 59")
        scroll_to_end(shown)
        first.give()
        wait_for_text(shown, "The second part.")
        assert below_the_fold(shown) <= 2
        shown.locator(".dashnb-live p").nth(70).scroll_into_view_if_needed()
        seen = top_of(shown.locator("p").nth(70))
        second.give()
        wait_for_text(shown, "The third part.")
        assert top_of(shown.locator("p").nth(70)) == pytest.approx(seen, abs=2)
        end.give()
        stage.finish()
        wait_for_text(shown, "tokens/s")
        assert top_of(shown.locator("p").nth(70)) == pytest.approx(seen, abs=2)
    finally:
        stage.page.set_viewport_size(size)


SCROLLER = "shown.closest('.jp-WindowedPanel-outer')"


def scroll_to_end(shown: Locator) -> None:
    shown.evaluate(
        f"""shown => {{
            const fold = {SCROLLER}.getBoundingClientRect().bottom;
            {SCROLLER}.scrollTop += shown.querySelector('.dashnb-view').getBoundingClientRect().bottom - fold;
        }}"""
    )


def below_the_fold(shown: Locator) -> float:
    """How many pixels of what is shown are below what can be seen."""
    end = "shown.querySelector('.dashnb-view').getBoundingClientRect().bottom"
    return float(shown.evaluate(f"shown => {end} - {SCROLLER}.getBoundingClientRect().bottom"))


def top_of(shown: Locator) -> float:
    return float(shown.evaluate("shown => shown.getBoundingClientRect().top"))


# --- much at once, and messages that get lost ----------------------------------------------------


def test_lost_messages_are_made_good_before_the_end(stage: Stage) -> None:
    lab_browser.run(
        stage.page,
        """
from dashnb.view.run_view import RunView

tell = RunView.tell
RunView.tell = lambda view, seq, operations: tell(view, seq, operations) if seq % 3 else None
""",
    )
    end = stage.cue()
    shown = stage.play(
        'message("first ")',
        '*(act for number in range(200) for act in (message(f"word{number} " * 3), lambda: time.sleep(0.01)))',
        f"{end}",
        "completed()",
    )
    try:
        wait_for_text(shown, "word99 word99 word99 word100")
        assert shown.locator(".dashnb-stop").is_visible()
        words = re.findall(r"word(\d+)", shown.locator(".dashnb-live").inner_text())
        assert [int(word) for word in words] == [number for number in range(len(words) // 3) for _ in range(3)]
    finally:
        end.give()
        stage.finish()
        lab_browser.run(stage.page, "RunView.tell = tell")
    wait_for_text(shown, "word199 word199 word199")


def test_eight_thousand_pieces_at_full_speed_arrive_whole_in_fewer_than_200_messages(stage: Stage) -> None:
    before = stage.traffic.messages
    shown = lab_browser.run(stage.page, 'perform(message(*(f"w{n} " for n in range(8000))), completed())')
    wait_for_text(shown, "tokens/s")
    sent = stage.traffic.messages - before
    words = re.findall(r"\bw(\d+)", shown.locator(".dashnb").inner_text())
    assert [int(word) for word in words] == list(range(8000))
    assert 3 < sent < 200


def test_ten_answers_at_once_all_end_whole(stage: Stage) -> None:
    together = """
def answer(number):
    state, view = RunState(requested_at=now()), make_view("widget")
    view.begin(Heading(f"Number {number}"))
    pieces = message(*(f"{number}:{word} " for word in range(300)))
    for event in [created(), *pieces, completed()]:
        state.apply(event, at=now())
        view.show(state)
        time.sleep(0.002)
    view.finish(state)

threads = [threading.Thread(target=answer, args=[number]) for number in range(10)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
    shown = lab_browser.run(stage.page, together)
    frames = shown.locator(".jp-RenderedHTMLCommon.dashnb, .jp-RenderedHTMLCommon .dashnb")
    stage.page.wait_for_function(
        "shown => shown.querySelectorAll('.jp-OutputArea-child .dashnb').length === 10", arg=shown.element_handle()
    )
    texts = sorted(frames.all_inner_texts(), key=lambda text: text[:9])
    for number, text in enumerate(texts):
        assert f"Number {number}" in text
        assert re.findall(rf"\b{number}:(\d+)", text) == [str(word) for word in range(300)]
    assert shown.get_by_role("button").count() == 0


# --- for everybody -------------------------------------------------------------------------------


def test_the_answer_has_a_name_is_read_out_and_can_be_reached_by_keyboard(stage: Stage) -> None:
    begin, end = stage.cue(), stage.cue()
    shown = stage.play(f"{begin}", 'message("It is 24 °C.\\n\\nSo it\\nis ")', f"{end}", "completed()")
    assert shown.locator(".dashnb-activity").inner_text() == "Weather is working …"
    assert shown.get_by_role("group", name="Answer of Weather").is_visible()
    aloud = shown.locator("[aria-live=polite]")
    begin.give()
    stage.page.wait_for_function("element => element.textContent.includes('writing …')", arg=aloud.element_handle())
    stage.page.keyboard.press("Tab")
    shown.locator(".dashnb-stop").focus()
    assert ring_of(shown.locator(".dashnb-stop")) == ["solid", "2px"]
    stage.page.wait_for_function("element => element.textContent.includes('24 °C.')", arg=aloud.element_handle())
    end.give()
    stage.finish()


def ring_of(shown: Locator) -> Any:
    return shown.evaluate("node => [getComputedStyle(node).outlineStyle, getComputedStyle(node).outlineWidth]")


def test_nothing_moves_for_who_wants_less_motion(stage: Stage) -> None:
    end = stage.cue()
    shown = stage.play('message("It is")', f"{end}", "completed()")
    activity = shown.locator(".dashnb-waiting .dashnb-activity")
    activity.wait_for()
    animation = "node => getComputedStyle(node, '::before').animationName"
    assert activity.evaluate(animation) == "dashnb-pulse"
    stage.page.emulate_media(reduced_motion="reduce")
    assert activity.evaluate(animation) == "none"
    stage.page.emulate_media(reduced_motion="no-preference")
    end.give()
    stage.finish()


# Ratios of luminance of each text to what is behind it, every translucent ground and opacity counted in.
CONTRASTS = """frame => {
    const parse = colour => {
        const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number);
        return [r, g, b, a];
    };
    const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
    const light = ([r, g, b]) => {
        const [x, y, z] = [r, g, b].map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const ancestors = node => node ? [...ancestors(node.parentElement), node] : [];
    const walker = document.createTreeWalker(frame, NodeFilter.SHOW_TEXT);
    const found = [];
    for (let text = walker.nextNode(); text; text = walker.nextNode()) {
        const node = text.parentElement;
        if (!text.data.trim() || !node.checkVisibility() || node.closest('button')) continue;
        let ground = [255, 255, 255, 1], opacity = 1;
        for (const one of ancestors(node)) {
            const style = getComputedStyle(one);
            ground = over(parse(style.backgroundColor), ground);
            if (frame.contains(one)) opacity *= Number(style.opacity);
        }
        const ink = parse(getComputedStyle(node).color);
        const seen = over([ink[0], ink[1], ink[2], ink[3] * opacity], ground);
        const [low, high] = [light(seen), light(ground)].sort((a, b) => a - b);
        const kind = node.closest('pre') && node.closest('span') ? 'code' : opacity < 1 ? 'quiet' : 'plain';
        const sign = text.data.trim() === '●' || node.closest('svg');
        if (!sign) found.push([kind, (high + 0.05) / (low + 0.05), text.data.trim()]);
    }
    return found;
}"""


@pytest.mark.parametrize("theme", ["JupyterLab Dark", "JupyterLab Light"])
def test_text_stands_out_from_its_ground(stage: Stage, theme: str) -> None:
    end = stage.cue()
    lab_browser.use_theme(stage.page, theme)
    acts = (f'call("get_weather", {ARGUMENTS!r}, "24 °C")', f"message({ALL_KINDS!r})", f"{end}", "completed()")
    shown = stage.play(*acts)
    try:
        shown.evaluate("shown => shown.scrollIntoView()")  # what is out of sight has no colours yet
        wait_for_text(shown, "def")
        shown.locator("pre span").first.wait_for()
        shown.locator("summary").click()
        live = shown.locator(".dashnb-live").evaluate(CONTRASTS)
        end.give()
        stage.finish()
        wait_for_text(shown, "tokens/s")
        photograph(stage.page, theme.split()[1].lower(), shown)
        kept = shown.locator(".dashnb").evaluate(CONTRASTS)
    finally:
        lab_browser.use_theme(stage.page, "JupyterLab Light")
    least = {"plain": 4.5, "quiet": 3, "code": 3.8}
    for found in (live, kept):
        assert {kind for kind, _, _ in found} == set(least)
        assert [(words, ratio) for kind, ratio, words in found if ratio < least[kind]] == []


@pytest.mark.parametrize(
    ("language", "labels"),
    [("ja", ("停止", "アシスタントの回答", "キャンセル済み")), ("zh", ("停止", "助手的回答", "已取消"))],
)
def test_the_words_around_an_answer_are_in_the_readers_language(
    stage: Stage, language: str, labels: tuple[str, str, str]
) -> None:
    stop, _, cancelled = labels
    lab_browser.run(stage.page, f"%env DASHNB_LANGUAGE={language}\n%assistant connect local")
    shown = lab_browser.start(stage.page, "%%assistant\nTell me a story")
    try:
        wait_for_text(shown, "What streaming is")
        assert shown.locator(".dashnb-stop").inner_text() == stop
        assert shown.locator(".dashnb-activity").inner_text() in ("正在书写…", "回答を書いています…")
        assert shown.get_by_role("group").get_attribute("aria-label") in ("dashnb的回答", "dashnbの回答")
        lab_browser.press_stop(stage.page, shown)
        wait_for_text(shown, cancelled)
    finally:
        lab_browser.stop_all(stage.page)
        lab_browser.run(stage.page, "%env DASHNB_LANGUAGE=en\n%assistant connect local")


def test_long_chinese_text_wraps_inside_the_cell(stage: Stage) -> None:
    words = "## 今天的天气\\n\\n" + "今天北京天气晴朗，气温二十四摄氏度，适合出门散步。" * 20
    end = stage.cue()
    shown = stage.play(f'message("{words}")', f"{end}", "completed()", language="zh")
    wait_for_text(shown, "今天北京")
    wide = "shown => [shown, ...shown.querySelectorAll('*')].some(node => node.scrollWidth > node.clientWidth + 1 && "
    wide += "getComputedStyle(node).display === 'block' && !node.matches('.dashnb-unseen'))"
    assert not shown.evaluate(wide)
    photograph(stage.page, "chinese", shown)
    end.give()
    stage.finish()
    wait_for_text(shown, "每秒")
    assert not shown.evaluate(wide)


def test_formulas_are_typeset_in_the_end(stage: Stage) -> None:
    shown = lab_browser.run(stage.page, 'perform(message("Energy: $E=mc^2$, and a price of \\\\$5."), completed())')
    shown.locator("mjx-container").wait_for()
    assert shown.locator("mjx-container").count() == 1
    assert "$E" not in shown.inner_text()
    wait_for_text(shown, "Energy:")


# --- other views, and other programs -------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "option", "grows"),
    [
        ("", "--view static", False),
        ("", "--view update", True),
        ("%env DASHNB_VIEW=static", "", False),
        ("%env DASHNB_VIEW=update", "", True),
    ],
    ids=["static", "update", "DASHNB_VIEW=static", "DASHNB_VIEW=update"],
)
def test_another_view_is_used_where_a_person_asks_for_it(stage: Stage, before: str, option: str, grows: bool) -> None:
    lab_browser.run(stage.page, f"{before}\n%env DASHNB_PACE=5\n%assistant connect local")
    shown = lab_browser.start(stage.page, f"%%assistant {option}\nTell me a story")
    try:
        stage.page.evaluate(WATCH, shown.element_handle())
        stage.finish()
        wait_for_text(shown, "What streaming is")
        seen = stage.page.evaluate("window.seen")
    finally:
        lab_browser.stop_all(stage.page)
        lab_browser.run(stage.page, "%env DASHNB_VIEW=auto\n%env DASHNB_PACE=15\n%assistant connect local")
    assert not seen["live"]
    assert (seen["sizes"] > 2) == grows


# Notes whether a live view was there, and how many lengths the text had.
WATCH = """shown => {
    window.seen = {live: false, sizes: 0};
    const sizes = new Set();
    new MutationObserver(() => {
        window.seen.live ||= Boolean(shown.querySelector('.dashnb-view'));
        window.seen.sizes = sizes.add(shown.querySelector('.dashnb')?.textContent.length ?? 0).size;
    }).observe(shown, {childList: true, subtree: true, characterData: true});
}"""


def test_a_notebook_streamed_live_passes_nbval(stage: Stage, tmp_path: Path) -> None:
    completed = (
        "%%assistant\nWhat is 999 × 998?",
        "%%assistant\nTell me a story",
        "%%assistant --tools quark_search\nWhat is the weather in Beijing today?",
    )
    lab_browser.run(stage.page, "%env DASHNB_PACE=5\n%assistant connect local")
    for cell in (*completed, "%%assistant --thread thread_nowhere\nhello"):
        lab_browser.run(stage.page, cell)
    stopped = lab_browser.start(stage.page, "%%assistant --new\nTell me a story")
    stopped.locator(".dashnb-activity").wait_for()
    lab_browser.press_stop(stage.page, stopped)
    lab_browser.save(stage.page)
    cells = nbformat.read(stage.folder / "stage.ipynb", as_version=4).cells[-5:]
    assert not any("widget-view" in str(output) for cell in cells for output in cell.outputs)
    cells = [nbformat.v4.new_code_cell("%load_ext dashnb"), *cells[:3]]
    for number, cell in enumerate(cells, 1):
        cell.execution_count = number
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "live.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-o", "addopts=", "-c", "/dev/null", "live.ipynb"]
    settings = {"DASHNB_DATA_DIR": str(tmp_path / "data"), "DASHNB_PACE": "0", "DASHNB_LANGUAGE": "en"}
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
