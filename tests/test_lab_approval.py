"""A person decides about a call by the buttons in the answer: a real JupyterLab, a real kernel, a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import nbformat
import pytest

import lab_browser
from lab_browser import CHROMIUM, Lab

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

TOOL = '''
import dashnb

calls = []

@dashnb.tool(approval="ask")
def big_add(left: int, right: int) -> int:
    """Add two integers.

    Args:
        left: The first one.
        right: The second one.
    """
    calls.append((left, right))
    return left + right
'''
QUESTION = "%%assistant --tools big_add -o run\nAdd 87787 to 788988737"
CELLS = (
    "%load_ext dashnb",
    TOOL,
    QUESTION,
    "(run.status, calls)",
    QUESTION,
    "(run.status, calls)",
    QUESTION,
    "(run.status, calls)",
    QUESTION,
    "%assistant continue --deny 'too much'",
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
    pytest.mark.filterwarnings("ignore"),  # JupyterLab's, the kernel's and the browser driver's own
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder, home = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("home")
    lab_browser.write_notebook(folder / "approval.ipynb", *CELLS)
    with lab_browser.running_lab(folder, home, DASHNB_DATA_DIR=str(home / "dashnb"), DASHNB_PACE="5") as lab:
        yield lab


@pytest.fixture(scope="module")
def context() -> Iterator[BrowserContext]:
    with lab_browser.browser(height=2000) as context:
        yield context


@pytest.fixture(scope="module")
def page(lab: Lab, context: BrowserContext) -> Page:
    page = lab_browser.open_notebook(context, lab, "approval.ipynb")
    lab_browser.run_cell(page, 0)
    lab_browser.run_cell(page, 1)
    return page


def asked(page: Page, cell: int) -> None:
    """Ask, and wait for the question in the answer."""
    lab_browser.run_cell(page, cell)
    page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".dashnb-question").wait_for(timeout=20_000)


def wait_for(page: Page, cell: int, words: str) -> None:
    lab_browser.wait_for_text(page.locator(".jp-Notebook .jp-Cell").nth(cell), words)


def test_a_call_waits_for_a_person_and_goes_on_when_it_is_approved(page: Page) -> None:
    asked(page, 2)
    cell = page.locator(".jp-Notebook .jp-Cell").nth(2)
    assert '"left": 87787' in cell.locator("textarea").input_value()
    lab_browser.photograph(page, "approval")
    lab_browser.run_cell(page, 3)
    assert "requires_action" in lab_browser.outputs(page, 3)
    cell.get_by_role("button", name="Approve").click()
    wait_for(page, 2, "789076524")
    wait_for(page, 2, "completed")
    assert cell.locator(".dashnb-question").count() == 0
    lab_browser.run_cell(page, 3)
    assert "'completed', [(87787, 788988737)]" in lab_browser.outputs(page, 3)
    lab_browser.photograph(page, "approved")


def test_a_call_that_is_denied_is_not_made_and_the_model_reads_why(page: Page) -> None:
    asked(page, 4)
    cell = page.locator(".jp-Notebook .jp-Cell").nth(4)
    cell.locator(".dashnb-decision input").fill("not today")
    cell.get_by_role("button", name="Deny").click()
    wait_for(page, 4, "not today")
    wait_for(page, 4, "completed")
    lab_browser.run_cell(page, 5)
    assert "'completed', [(87787, 788988737)]" in lab_browser.outputs(page, 5)


def test_arguments_may_be_changed_before_the_call_is_made(page: Page) -> None:
    asked(page, 6)
    cell = page.locator(".jp-Notebook .jp-Cell").nth(6)
    area = cell.locator("textarea")
    area.fill("{left: 1}")
    cell.get_by_role("button", name="Approve").click()
    assert cell.locator(".dashnb-question").is_enabled(), "what is no JSON is not sent"
    area.fill('{"left": 1, "right": 2}')
    cell.get_by_role("button", name="Approve").click()
    wait_for(page, 6, "completed")
    lab_browser.run_cell(page, 7)
    assert "(1, 2)" in lab_browser.outputs(page, 7)


def test_a_later_cell_decides_as_well_and_the_file_holds_no_widget(page: Page, lab: Lab) -> None:
    asked(page, 8)
    lab_browser.run_cell(page, 9)
    assert "too much" in lab_browser.outputs(page, 9)
    lab_browser.save(page)
    notebook = nbformat.read(lab.folder / "approval.ipynb", as_version=4)
    assert "widgets" not in notebook.metadata
    kinds = [list(output.data) for cell in notebook.cells for output in cell.outputs if "data" in output]
    assert not any("widget" in kind for kinds_of_one in kinds for kind in kinds_of_one)
    assert "789076524" in notebook.cells[2].outputs[0].data["text/html"]
