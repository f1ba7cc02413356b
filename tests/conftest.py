"""Every test starts from a scrubbed environment, an empty home and no network settings."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _scrubbed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, no dashnb setting and no data of the person who runs the tests reaches a test."""
    for name in list(os.environ):
        if name.startswith(("DASHSCOPE_", "DASHNB_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    # An IPython shell puts its own module in this place, and other processes are then made from that.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("DASHNB_LANGUAGE", "en")
    monkeypatch.setenv("DASHNB_PICTURES", "link")
    monkeypatch.setenv("DASHNB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("DASHNB_CONFIG", str(tmp_path / "config.toml"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """After ``-m conformance``, the list of what was covered and passed."""
    if config.option.markexpr != "conformance":
        return
    covered: dict[str, set[Any]] = {"call": set(), "scenario": set(), "pattern": set(), "sdk": set()}
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.getreports(outcome):
            found = [value for name, value in report.user_properties if name == "covers"]
            for kind, what in found:
                (covered[kind].add if outcome == "passed" else covered[kind].discard)(what)
    terminalreporter.section("conformance")
    terminalreporter.line(f"dashscope {', '.join(sorted(covered['sdk']))}")
    terminalreporter.line(f"covered: {len(covered['call'])} calls, scenarios {_ranges(covered['scenario'])}")
    terminalreporter.line(f"and: {', '.join(sorted(covered['pattern']))}")


def _ranges(numbers: set[int]) -> str:
    """The numbers as scenarios, those that follow one another as one range: ``S1 … S3, S5``.

    >>> _ranges({1, 2, 3, 5})
    'S1 … S3, S5'
    """
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"S{run[0]} … S{run[-1]}" if len(run) > 1 else f"S{run[0]}" for run in runs) or "none"
