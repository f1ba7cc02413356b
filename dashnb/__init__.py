"""Talk to an assistant from a notebook cell, watch it work, and keep what happened as tables.

In a notebook or in IPython:

    %load_ext dashnb

    %%assistant
    What is 999 × 998?

From Python:

>>> import dashnb
>>> with dashnb.connect("local", database=":memory:") as client:
...     thread = client.threads.create(messages=[{"role": "user", "content": "What is 999 × 998?"}])
...     assistant = client.assistants.create(model="qwen-max")
...     run = client.runs.create(thread.id, assistant_id=assistant.id)
...     client.runs.wait(run.id, thread_id=thread.id).status
'completed'

Every name is loaded when it is first used, so that ``import dashnb`` and ``%load_ext dashnb`` are quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.2.0"

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from dashnb import history
    from dashnb.client.client import AsyncClient, Client
    from dashnb.errors import DashnbError
    from dashnb.local.server import serve
    from dashnb.protocol.state import RunState
    from dashnb.session.connection import connect
    from dashnb.session.session import Session
    from dashnb.session.tools import tool

__all__ = [
    "AsyncClient",
    "Client",
    "DashnbError",
    "RunState",
    "Session",
    "connect",
    "history",
    "serve",
    "tool",
]

_HOMES = {
    "AsyncClient": "dashnb.client.client",
    "Client": "dashnb.client.client",
    "DashnbError": "dashnb.errors",
    "RunState": "dashnb.protocol.state",
    "Session": "dashnb.session.session",
    "connect": "dashnb.session.connection",
    "serve": "dashnb.local.server",
    "tool": "dashnb.session.tools",
}


def __getattr__(name: str) -> object:
    if name == "history":
        return importlib.import_module("dashnb.history")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'dashnb' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__", "load_ipython_extension", "unload_ipython_extension"])


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics; ``%load_ext dashnb`` calls it."""
    from dashnb.magics.magics import register

    register(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take the magics away again and close what they opened; ``%unload_ext dashnb`` calls it."""
    from dashnb.magics.magics import unregister

    unregister(shell)
