"""The tutorials are executed with no key, no settings and data folders of their own."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest

from dashnb.settings import SETTINGS


def pytest_configure(config: pytest.Config) -> None:
    """Scrub the environment that the kernels inherit."""
    settings = {variable for setting in SETTINGS.values() for variable in setting.variables}
    for name in list(os.environ):
        if name in settings or name.startswith("DASHSCOPE_"):
            del os.environ[name]
    folder = tempfile.mkdtemp(prefix="dashnb-notebooks-")
    os.environ["DASHNB_DATA_DIR"] = folder
    os.environ["DASHNB_CONFIG"] = os.path.join(folder, "config.toml")
    os.environ["DASHNB_PACE"] = "0"
    os.environ["DASHNB_LANGUAGE"] = "en"


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the data folder."""
    shutil.rmtree(os.environ.get("DASHNB_DATA_DIR", ""), ignore_errors=True)
