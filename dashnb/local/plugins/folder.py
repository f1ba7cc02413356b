"""Where plugins keep what belongs to a person: the data folder, looked up when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Folder = Callable[[], Path]

DOCUMENTS = "documents.db"
PICTURES = "pictures"
REGISTRY = "plugins.json"


def data_folder() -> Path:
    """The folder of the settings; what the environment and the config file say at this moment."""
    from dashnb.settings import Settings

    return Settings.load().data_dir
