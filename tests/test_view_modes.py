"""How a run is shown, by where the code runs."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from dashnb.errors import ConfigurationError
from dashnb.view import Surroundings, choose_mode, surroundings
from dashnb.view.modes import surroundings_of


@pytest.mark.parametrize(
    ("in_kernel", "allow_stdin", "mode"),
    [(True, True, "update"), (True, False, "static"), (False, False, "text"), (False, True, "text")],
)
def test_auto_decides_by_the_surroundings(in_kernel: bool, allow_stdin: bool, mode: str) -> None:
    assert choose_mode("auto", in_kernel=in_kernel, allow_stdin=allow_stdin) == mode


@pytest.mark.parametrize("mode", ["update", "static", "text"])
def test_a_mode_that_is_asked_for_is_used(mode: str) -> None:
    assert choose_mode(mode, in_kernel=False, allow_stdin=False) == mode


def test_a_mode_that_does_not_exist_is_refused_with_the_choices() -> None:
    with pytest.raises(ConfigurationError, match="auto, update, static, text"):
        choose_mode("video", in_kernel=True, allow_stdin=True)


class Kernel:
    """What an ipykernel shows of the request that it executes."""

    def __init__(self, request: Any) -> None:
        self.request = request

    def get_parent(self) -> Any:
        return self.request


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        (None, Surroundings(False, False)),
        (Kernel({"content": {"allow_stdin": True}}), Surroundings(True, True)),
        (Kernel({"content": {"allow_stdin": False}}), Surroundings(True, False)),
        (Kernel({}), Surroundings(True, False)),
        (Kernel(None), Surroundings(True, False)),
        (object(), Surroundings(True, False)),
    ],
)
def test_the_kernel_tells_whether_a_person_looks_on(kernel: object, expected: Surroundings) -> None:
    assert surroundings_of(kernel) == expected


def test_outside_of_ipython_there_is_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert surroundings() == Surroundings()


def test_importing_the_view_loads_no_heavy_library() -> None:
    code = "import sys, dashnb.view; print([m for m in ('IPython', 'ipywidgets', 'markdown_it') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
