"""Every test starts from a scrubbed environment, an empty home and no network settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _scrubbed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, no dashnb setting and no data of the person who runs the tests reaches a test."""
    for name in list(os.environ):
        if name.startswith(("DASHSCOPE_", "DASHNB_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DASHNB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("DASHNB_CONFIG", str(tmp_path / "config.toml"))
