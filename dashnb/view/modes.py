"""How a run is shown: decided by where the code runs, unless somebody says so.

| mode | what happens | chosen by ``auto`` |
|---|---|---|
| ``update`` | a cell's outputs are replaced as the answer grows | in a kernel, when a person looks on |
| ``static`` | one output at the end | in a kernel run by a program (nbclient, nbval, papermill) |
| ``text`` | text is written as it comes | in a terminal |
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from dashnb.errors import ConfigurationError

MODES = ("auto", "update", "static", "text")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where the code runs.

    Attributes:
        in_kernel: True in a Jupyter kernel.
        allow_stdin: True if the cell may ask questions, which means that a person looks on: JupyterLab
            allows it, programs that execute notebooks do not.
    """

    in_kernel: bool = False
    allow_stdin: bool = False


def choose_mode(requested: str, *, in_kernel: bool, allow_stdin: bool) -> str:
    """The mode to use.

    >>> choose_mode("auto", in_kernel=True, allow_stdin=False)
    'static'

    Raises:
        ConfigurationError: There is no such mode.
    """
    if requested not in MODES:
        raise ConfigurationError(f"There is no view {requested!r}; choose one of {', '.join(MODES)}.")
    if requested != "auto":
        return requested
    if not in_kernel:
        return "text"
    return "update" if allow_stdin else "static"


def surroundings() -> Surroundings:
    """Where this code runs, as IPython tells it; outside of IPython, a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython and hasattr(ipython, "get_ipython") else None
    return surroundings_of(getattr(shell, "kernel", None))


def surroundings_of(kernel: Any) -> Surroundings:
    """What an ipykernel says about the request it executes; None is no kernel."""
    if kernel is None:
        return Surroundings()
    try:
        request = kernel.get_parent() or {}
    except (AttributeError, LookupError):
        request = {}
    content = request.get("content") or {}
    return Surroundings(in_kernel=True, allow_stdin=bool(content.get("allow_stdin")))
