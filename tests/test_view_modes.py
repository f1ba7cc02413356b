"""How a run is shown, by where the code runs."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from dashnb.errors import ConfigurationError
from dashnb.view import Surroundings, choose_mode, surroundings
from dashnb.view.modes import Signs, find_front_end, surroundings_of


@pytest.mark.parametrize(
    ("in_kernel", "allow_stdin", "mode"),
    [(True, True, "widget"), (True, False, "static"), (False, False, "text"), (False, True, "text")],
)
def test_auto_decides_by_the_surroundings(in_kernel: bool, allow_stdin: bool, mode: str) -> None:
    assert choose_mode("auto", in_kernel=in_kernel, allow_stdin=allow_stdin) == mode


@pytest.mark.parametrize("front_end", ["vscode", "colab", "kaggle", "databricks", "pyodide"])
def test_auto_takes_no_widget_where_its_manager_may_be_missing(front_end: str) -> None:
    assert choose_mode("auto", in_kernel=True, allow_stdin=True, front_end=front_end) == "update"
    assert choose_mode("auto", in_kernel=True, allow_stdin=False, front_end=front_end) == "static"


def test_auto_takes_no_widget_where_none_is_installed() -> None:
    assert choose_mode("auto", in_kernel=True, allow_stdin=True, widgets=False) == "update"


def test_auto_writes_text_in_marimo() -> None:
    assert choose_mode("auto", in_kernel=True, allow_stdin=True, front_end="marimo") == "text"


@pytest.mark.parametrize("mode", ["update", "static", "text"])
def test_a_mode_that_is_asked_for_is_used(mode: str) -> None:
    assert choose_mode(mode, in_kernel=False, allow_stdin=False) == mode


def test_a_widget_that_is_asked_for_is_used_in_any_kernel() -> None:
    assert choose_mode("widget", in_kernel=True, allow_stdin=False, front_end="colab") == "widget"


def test_a_widget_outside_of_a_kernel_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match="Choose 'auto' or 'text' here"):
        choose_mode("widget", in_kernel=False, allow_stdin=True)


def test_a_mode_that_does_not_exist_is_refused_with_the_choices() -> None:
    with pytest.raises(ConfigurationError, match="auto, widget, update, static, text"):
        choose_mode("video", in_kernel=True, allow_stdin=True)


def test_the_surroundings_choose_for_themselves() -> None:
    assert Surroundings().choose("auto") == "text"
    assert Surroundings(True, True, "jupyter").choose("auto") == "widget"
    assert Surroundings(True, True, "vscode").choose("auto") == "update"
    assert Surroundings(True, False, "jupyter").choose("update") == "update"


class Kernel:
    """What an ipykernel shows of the request that it executes."""

    def __init__(self, request: Any) -> None:
        self.request = request

    def get_parent(self) -> Any:
        return self.request


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        (None, Surroundings(False, False, "terminal")),
        (Kernel({"content": {"allow_stdin": True}}), Surroundings(True, True, "jupyter")),
        (Kernel({"content": {"allow_stdin": False}}), Surroundings(True, False, "jupyter")),
        (Kernel({}), Surroundings(True, False, "jupyter")),
        (Kernel(None), Surroundings(True, False, "jupyter")),
        (object(), Surroundings(True, False, "jupyter")),
    ],
)
def test_the_kernel_tells_whether_a_person_looks_on(kernel: object, expected: Surroundings) -> None:
    assert surroundings_of(kernel) == expected


VSCODE = {"VSCODE_PID": "94309", "VSCODE_CWD": "/"}


@pytest.mark.parametrize(
    ("signs", "front_end"),
    [
        (Signs(), ""),
        (Signs(names={"__vsc_ipynb_file__": "/a.ipynb"}), "vscode"),
        (Signs(environ=VSCODE), "vscode"),
        (Signs(environ={"JPY_SESSION_NAME": "a-jvsc-1234.ipynb"}), "vscode"),
        (Signs(environ={"COLAB_RELEASE_TAG": "release-colab"}), "colab"),
        (Signs(modules={"google.colab": object()}), "colab"),
        (Signs(environ={"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}), "kaggle"),
        (Signs(environ={"DATABRICKS_RUNTIME_VERSION": "16.4"}), "databricks"),
        (Signs(platform="emscripten"), "pyodide"),
        (Signs(modules={"marimo": SimpleNamespace(running_in_notebook=lambda: True)}), "marimo"),
    ],
)
def test_a_front_end_is_known_by_its_signs(signs: Signs, front_end: str) -> None:
    assert find_front_end(signs) == front_end


def test_jupyterlab_started_in_a_terminal_of_vscode_is_jupyterlab() -> None:
    signs = Signs(environ={**VSCODE, "JPY_SESSION_NAME": "/home/a/b.ipynb"})
    assert surroundings_of(Kernel({}), signs).front_end == "jupyter"


def test_kaggle_is_told_from_colab_whose_image_it_is_made_from() -> None:
    signs = Signs(environ={"KAGGLE_KERNEL_RUN_TYPE": "Batch", "COLAB_RELEASE_TAG": "release-colab"})
    assert find_front_end(signs) == "kaggle"


def test_a_notebook_that_only_imports_marimo_is_not_marimo() -> None:
    signs = Signs(modules={"marimo": SimpleNamespace(running_in_notebook=lambda: False)})
    assert surroundings_of(Kernel({}), signs).front_end == "jupyter"
    assert find_front_end(Signs(modules={"marimo": object()})) == ""


def test_a_front_end_is_known_without_a_kernel_too() -> None:
    signs = Signs(modules={"marimo": SimpleNamespace(running_in_notebook=lambda: True)})
    assert surroundings_of(None, signs) == Surroundings(False, False, "marimo")


def test_outside_of_ipython_there_is_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    for name in ("VSCODE_PID", "VSCODE_CWD", "VSCODE_IPC_HOOK"):
        monkeypatch.delenv(name, raising=False)
    assert surroundings() == Surroundings()


def test_importing_the_view_loads_no_heavy_library() -> None:
    heavy = ("IPython", "anywidget", "ipywidgets", "markdown_it", "rich")
    code = f"import sys, dashnb.view; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
