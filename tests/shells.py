"""A real IPython shell with the magics and the embedded API behind them, for tests."""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

import dashnb
from dashnb.client.client import Client
from dashnb.local.models.engine import Engine
from dashnb.local.service import BASE_URL, LocalService
from dashnb.magics.conversation import Conversation
from dashnb.magics.magics import AssistantMagics
from dashnb.settings import Settings


@contextmanager
def opened(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[InteractiveShell]:
    """A shell with the extension loaded, whose data is in the folder."""
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    monkeypatch.setenv("DASHNB_PACE", "0")
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell(config=config)
    monkeypatch.setattr(InteractiveShell, "_instance", shell)
    shell.run_line_magic("load_ext", "dashnb")
    yield shell
    shell.run_line_magic("unload_ext", "dashnb")
    atexit.unregister(shell.atexit_operations)
    shell.atexit_operations()


def run(shell: InteractiveShell, cell: str) -> tuple[Any, str]:
    """The result of a cell and what it printed; a cell that fails raises."""
    with capture_output() as captured:
        result = shell.run_cell(cell)
    error = result.error_before_exec or result.error_in_exec
    if error is not None:
        raise error
    return result.result, captured.stdout + "".join(map(str, captured.outputs))


def failed(shell: InteractiveShell, cell: str) -> list[str]:
    """The lines that a person sees of a cell that fails."""
    with capture_output() as captured:
        assert not shell.run_cell(cell).success
    return [line for line in (captured.stdout + captured.stderr).splitlines() if line.strip()]


def magics_of(shell: InteractiveShell) -> AssistantMagics:
    magics = shell.magics_manager.registry["AssistantMagics"]
    assert isinstance(magics, AssistantMagics)
    return magics


def messages_of(shell: InteractiveShell, thread_id: str) -> list[str]:
    """What the person said on a thread, in order."""
    rows = dashnb.history.messages(thread_id=thread_id).to_dicts()
    return [str(row["text"]) for row in rows if row["role"] == "user"]


def serve(shell: InteractiveShell, engine: Engine) -> None:
    """Connect the magics of a shell to an embedded API of its own with this engine."""
    conversation = Conversation(Settings.load(database=":memory:"), "local")
    service = LocalService(":memory:", engine)
    conversation._client = Client(BASE_URL, transport=service.transport(closes=True))
    magics_of(shell).connect(conversation)
