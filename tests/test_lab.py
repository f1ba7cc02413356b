"""The main job, as a person does it: a real JupyterLab, a real kernel, a real browser.

Screenshots are written to the folder that DASHNB_SCREENSHOTS names, for people to look at.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

import lab_browser
from lab_browser import CHROMIUM, Lab, photograph

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

CELLS = (
    "%load_ext dashnb",
    "%%assistant\nWhat is 999 × 998?",
    "%%assistant\nTell me a story",
    "%%assistant --tools quark_search\nWhat is the weather in Beijing today?",
    "%%assistant --tools text_to_image\nDraw a picture of a ragdoll cat.",
    "%%assistant --thread thread_nowhere\nhello",
    "%%assistant -o stopped\nTell me a story",
    "stopped.status",
    "%%assistant\nWhat is 2 + 3?",
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
    pytest.mark.filterwarnings("ignore"),  # JupyterLab's, the kernel's and the browser driver's own
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder, home = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("home")
    lab_browser.write_notebook(folder / "first.ipynb", *CELLS)
    with lab_browser.running_lab(folder, home, DASHNB_DATA_DIR=str(home / "dashnb"), DASHNB_PACE="15") as lab:
        yield lab


@pytest.fixture(scope="module")
def context() -> Iterator[BrowserContext]:
    with lab_browser.browser(height=2400) as context:
        yield context


@pytest.fixture(scope="module")
def page(lab: Lab, context: BrowserContext) -> Page:
    page = lab_browser.open_notebook(context, lab, "first.ipynb")
    lab_browser.run_cell(page, 0)
    return page


def test_the_first_question_is_answered_in_the_cell(page: Page) -> None:
    lab_browser.run_cell(page, 1)
    assert "999 multiplied by 998 equals 997002." in lab_browser.outputs(page, 1)


def test_an_answer_arrives_piece_by_piece_and_is_whole_at_the_end(page: Page) -> None:
    lab_browser.run_cell(page, 2, wait=False)
    lengths: list[int] = []
    for _ in range(2000):
        lengths.append(len(lab_browser.outputs(page, 2)))
        if page.query_selector(".jp-Notebook-ExecutionIndicator[data-status='idle']") and lengths[-1] > 1200:
            break
        if len(lengths) == 60:
            photograph(page, "streaming")
        page.wait_for_timeout(20)
    assert len(set(lengths)) > 10, "the answer did not grow before the reader's eyes"
    lab_browser.wait_until_idle(page)
    assert "What streaming is" in lab_browser.outputs(page, 2)
    assert "done" in lab_browser.outputs(page, 2)


def test_tool_calls_and_pictures_are_shown(page: Page) -> None:
    lab_browser.run_cell(page, 3)
    assert "quark_search" in lab_browser.outputs(page, 3)
    lab_browser.run_cell(page, 4)
    picture = page.query_selector(".jp-Notebook .jp-Cell:nth-child(5) .jp-OutputArea img")
    assert picture is not None
    assert picture.evaluate("image => image.complete && image.naturalWidth > 0")


def test_a_failed_request_is_a_short_message_and_no_traceback(page: Page) -> None:
    lab_browser.run_cell(page, 5)
    shown = lab_browser.outputs(page, 5)
    assert "NotFound" in shown
    assert "Traceback" not in shown


def test_an_interrupt_keeps_what_arrived_cancels_the_run_and_leaves_the_thread_usable(page: Page) -> None:
    lab_browser.run_cell(page, 6, wait=False)
    page.wait_for_function(
        "() => document.querySelectorAll('.jp-Notebook .jp-Cell')[6].textContent.includes('What streaming is')"
    )
    lab_browser.interrupt(page)
    lab_browser.wait_until_idle(page)
    shown = lab_browser.outputs(page, 6)
    assert "What streaming is" in shown
    assert "the run was cancelled" in shown
    assert "Traceback" not in shown
    photograph(page, "stopped")
    lab_browser.run_cell(page, 7)
    assert "cancelled" in lab_browser.outputs(page, 7)
    lab_browser.run_cell(page, 8)
    assert "2 plus 3 equals 5" in lab_browser.outputs(page, 8)


def test_the_saved_notebook_still_shows_everything_without_a_kernel(
    page: Page, lab: Lab, context: BrowserContext
) -> None:
    lab_browser.save(page)
    for theme in ("JupyterLab Light", "JupyterLab Dark"):
        lab_browser.use_theme(page, theme)
        page.wait_for_timeout(300)
        photograph(page, theme.split()[1].lower())
    notebook = nbformat.read(lab.folder / "first.ipynb", as_version=4)
    assert "widgets" not in notebook.metadata
    for cell, words in zip(notebook.cells[1:4], ("997002", "What streaming is", "24 °C"), strict=True):
        kept = [output for output in cell.outputs if output.output_type == "display_data"]
        for kind in ("text/html", "text/markdown", "text/plain"):
            assert any(words in output.data[kind] for output in kept)
    lab_browser.write_notebook(lab.folder / "again.ipynb", "1")
    nbformat.write(notebook, lab.folder / "again.ipynb")
    again = lab_browser.open_notebook(context, lab, "again.ipynb")
    assert "997002" in lab_browser.outputs(again, 1)
    assert "What streaming is" in lab_browser.outputs(again, 2)
    again.close()


def test_a_notebook_streamed_live_and_saved_passes_nbval(page: Page, lab: Lab, tmp_path: Path) -> None:
    notebook = nbformat.read(lab.folder / "first.ipynb", as_version=4)
    notebook.cells = [notebook.cells[0], notebook.cells[1]]
    for number, cell in enumerate(notebook.cells, 1):
        cell.execution_count = number
    nbformat.write(notebook, tmp_path / "live.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-o", "addopts=", "-c", "/dev/null", "live.ipynb"]
    environment = {**os.environ, "DASHNB_DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
