"""Notebooks as programs run them: nbclient executes, nbconvert converts, and the answer is there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter, MarkdownExporter
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from dashnb import tutorials

pytestmark = [
    pytest.mark.slow,
    # The kernel's own channels, not ours, warn about missing encryption on loopback.
    pytest.mark.filterwarnings("ignore"),
]


def execute(*cells: str, **environment: str) -> NotebookNode:
    """The notebook of these cells, executed by nbclient in a kernel of its own."""
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    client = NotebookClient(notebook, timeout=60, kernel_name="python3")
    client.execute(env={**os.environ, "DASHNB_PACE": "0", **environment})
    return notebook


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> NotebookNode:
    folder = str(tmp_path_factory.mktemp("data"))
    return execute("%load_ext dashnb", "%%assistant\nWhat is 999 × 998?", DASHNB_DATA_DIR=folder)


def test_a_cell_keeps_exactly_one_output_as_html_markdown_and_text(asked: NotebookNode) -> None:
    (output,) = asked.cells[1].outputs
    assert output.output_type == "display_data"
    assert set(output.data) == {"text/html", "text/markdown", "text/plain"}
    assert all("997002" in output.data[kind] for kind in output.data)


def test_no_widget_state_is_kept(asked: NotebookNode) -> None:
    assert "widgets" not in asked.metadata
    assert "widget" not in json.dumps(asked)


def test_the_ids_and_times_of_the_run_are_in_the_metadata_only(asked: NotebookNode) -> None:
    (output,) = asked.cells[1].outputs
    run = output.metadata["dashnb"]["run"]
    assert run["id"].startswith("run_")
    assert run["id"] not in json.dumps(output.data)


def test_two_executions_keep_the_same_output(asked: NotebookNode, tmp_path: Path) -> None:
    again = execute("%load_ext dashnb", "%%assistant\nWhat is 999 × 998?", DASHNB_DATA_DIR=str(tmp_path))
    assert again.cells[1].outputs[0].data == asked.cells[1].outputs[0].data


def test_nbconvert_shows_the_answer_as_html_without_a_kernel(asked: NotebookNode) -> None:
    page, _ = HTMLExporter().from_notebook_node(asked)
    assert "997002" in page
    assert "model not found" not in page
    assert "application/vnd.jupyter.widget-view+json" not in page


def test_nbconvert_shows_the_answer_as_markdown(asked: NotebookNode) -> None:
    text, _ = MarkdownExporter().from_notebook_node(asked)
    assert "999 multiplied by 998 equals 997002." in text


def test_a_failing_run_fails_the_notebook(tmp_path: Path) -> None:
    with pytest.raises(CellExecutionError, match="NotFound"):
        execute("%load_ext dashnb", "%%assistant --thread thread_x\nhello", DASHNB_DATA_DIR=str(tmp_path))


def test_bad_arguments_fail_the_notebook(tmp_path: Path) -> None:
    with pytest.raises(CellExecutionError, match=r"(?s)%%assistant.*--modle"):
        execute("%load_ext dashnb", "%%assistant --modle x\nhello", DASHNB_DATA_DIR=str(tmp_path))


@pytest.mark.parametrize("path", sorted(tutorials.source().glob("*.ipynb")), ids=lambda path: path.name)
def test_a_tutorial_is_kept_executed_without_errors_or_widgets(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not any(output.output_type == "error" for output in outputs)
    assert "widgets" not in notebook.metadata
    assert not any("execution" in cell.metadata for cell in code)
    assert str(Path.home()) not in path.read_text(encoding="utf-8")
