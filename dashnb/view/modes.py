"""How a run is shown: decided by where the code runs, unless somebody says so.

| mode | what happens | chosen by ``auto`` |
|---|---|---|
| ``widget`` | one live output that grows, and takes what a person clicks | in JupyterLab and Notebook |
| ``update`` | a cell's outputs are replaced as the answer grows | in other front ends, when a person looks on |
| ``static`` | one output at the end | in a kernel run by a program (nbclient, nbval, papermill) |
| ``text`` | text is written as it comes | in a terminal and in marimo |
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from dashnb.errors import ConfigurationError

MODES = ("auto", "widget", "update", "static", "text")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where the code runs.

    >>> Surroundings(in_kernel=True, allow_stdin=True, front_end="colab").choose("auto")
    'update'

    Attributes:
        in_kernel: True in a Jupyter kernel.
        allow_stdin: True if the cell may ask questions, which means that a person looks on: JupyterLab
            allows it, programs that execute notebooks do not.
        front_end: What the person looks at: ``terminal`` or ``jupyter`` unless there are signs of
            another one, such as ``vscode``; the names are those that `find_front_end` returns.
    """

    in_kernel: bool = False
    allow_stdin: bool = False
    front_end: str = "terminal"

    def choose(self, requested: str) -> str:
        """The mode to use here.

        Raises:
            ConfigurationError: There is no such mode, or it cannot work here.
        """
        return choose_mode(
            requested,
            in_kernel=self.in_kernel,
            allow_stdin=self.allow_stdin,
            front_end=self.front_end,
            widgets=_widgets_installed(),
        )


def choose_mode(
    requested: str, *, in_kernel: bool, allow_stdin: bool, front_end: str = "jupyter", widgets: bool = True
) -> str:
    """The mode to use.

    >>> choose_mode("auto", in_kernel=True, allow_stdin=False)
    'static'

    Args:
        requested: One of `MODES`; anything but ``auto`` is followed.
        in_kernel: As in `Surroundings`.
        allow_stdin: As in `Surroundings`.
        front_end: As in `Surroundings`.
        widgets: True if anywidget and ipywidgets are installed.

    Raises:
        ConfigurationError: There is no such mode, or a widget is asked for where there is no kernel.
    """
    if requested not in MODES:
        raise ConfigurationError(f"There is no view {requested!r}; choose one of {', '.join(MODES)}.")
    if requested == "widget" and not in_kernel:
        raise ConfigurationError(
            "The view 'widget' needs a Jupyter kernel, and this is none.\n"
            "Choose 'auto' or 'text' here, or run the code in a notebook."
        )
    if requested != "auto":
        return requested
    if not in_kernel or front_end == "marimo":
        return "text"
    if not allow_stdin:
        return "static"
    # Other front ends fetch their widget manager from the network, or ask a person to allow it, and a
    # kernel cannot see whether that worked; outputs that are replaced work in all of them.
    return "widget" if front_end == "jupyter" and widgets else "update"


def surroundings() -> Surroundings:
    """Where this code runs, as IPython and the process tell it; outside of IPython, a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython and hasattr(ipython, "get_ipython") else None
    signs = Signs(
        environ=os.environ, modules=sys.modules, names=getattr(shell, "user_ns", None) or {}, platform=sys.platform
    )
    return surroundings_of(getattr(shell, "kernel", None), signs)


def surroundings_of(kernel: Any, signs: Signs | None = None) -> Surroundings:
    """What an ipykernel says about the request it executes, and what the signs say; None is no kernel."""
    front_end = find_front_end(signs or Signs())
    if kernel is None:
        return Surroundings(front_end=front_end or "terminal")
    try:
        request = kernel.get_parent() or {}
    except (AttributeError, LookupError):
        request = {}
    content = request.get("content") or {}
    return Surroundings(True, bool(content.get("allow_stdin")), front_end or "jupyter")


@dataclass(frozen=True, slots=True)
class Signs:
    """What can be seen of a front end from inside the process.

    Attributes:
        environ: Environment variables.
        modules: The modules that are loaded.
        names: What the person's cells have defined, and what the front end put there.
        platform: As ``sys.platform``.
    """

    environ: Mapping[str, str] = field(default_factory=dict)
    modules: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, Any] = field(default_factory=dict)
    platform: str = ""


def find_front_end(signs: Signs) -> str:
    """The name of the front end that left signs, or ``""``.

    >>> find_front_end(Signs(environ={"COLAB_RELEASE_TAG": "release-colab"}))
    'colab'
    >>> find_front_end(Signs())
    ''
    """
    return next((name for name, shows in _FRONT_ENDS if shows(signs)), "")


def _is_marimo(signs: Signs) -> bool:
    # A loaded marimo is not enough: a Jupyter notebook may import it too.
    running = getattr(signs.modules.get("marimo"), "running_in_notebook", None)
    return bool(running and running())


def _is_vscode(signs: Signs) -> bool:
    # What a terminal of VS Code starts inherits its variables; a Jupyter server names the notebook
    # to each kernel that it starts, so JupyterLab is told from VS Code by that.
    if "__vsc_ipynb_file__" in signs.names or "-jvsc-" in signs.environ.get("JPY_SESSION_NAME", ""):
        return True
    inherited = {"VSCODE_PID", "VSCODE_CWD", "VSCODE_IPC_HOOK"} & set(signs.environ)
    return bool(inherited) and "JPY_SESSION_NAME" not in signs.environ


# The first that shows wins. Kaggle stands before Colab because its image is made from Colab's.
_FRONT_ENDS: tuple[tuple[str, Callable[[Signs], bool]], ...] = (
    ("marimo", _is_marimo),
    ("pyodide", lambda signs: signs.platform == "emscripten"),
    ("kaggle", lambda signs: "KAGGLE_KERNEL_RUN_TYPE" in signs.environ),
    ("colab", lambda signs: "COLAB_RELEASE_TAG" in signs.environ or "google.colab" in signs.modules),
    ("databricks", lambda signs: "DATABRICKS_RUNTIME_VERSION" in signs.environ),
    ("vscode", _is_vscode),
)


def _widgets_installed() -> bool:
    return all(find_spec(name) for name in ("anywidget", "ipywidgets"))
