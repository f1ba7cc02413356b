"""What happened, kept as tables: runs, steps, tool calls, messages and threads.

    state → rows → ledger → table → text · HTML · pandas, polars, Arrow

The functions of this package read the ledger that the settings name. A ledger of your own is opened
with ``Ledger(file)``, which has the same functions as methods. `from_notebook` makes the tables from a
saved notebook alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashnb.history.notebook import Kept, from_notebook
from dashnb.history.table import Table

if TYPE_CHECKING:
    from dashnb.history.ledger import Ledger

__all__ = ["Kept", "Ledger", "Table", "from_notebook", "messages", "runs", "steps", "threads", "tool_calls"]


def runs(*, thread_id: str | None = None, limit: int | None = None) -> Table:
    """The runs that were kept, oldest first: one row per question asked, interrupted and failed ones too.

    >>> from dashnb import history
    >>> history.runs(limit=10).columns[:4]
    ('id', 'thread_id', 'assistant_id', 'model')

    Args:
        thread_id: Only those of one thread.
        limit: Only the newest so many.

    Raises:
        ConfigurationError: The ledger is switched off.
        StoreError: The ledger's file cannot be read.
    """
    return _read("runs", thread_id=thread_id, limit=limit)


def steps(*, run_id: str | None = None, thread_id: str | None = None, limit: int | None = None) -> Table:
    """The steps of all runs, oldest first: what was written and which tools were called, with times.

    >>> from dashnb import history
    >>> history.steps(limit=10).columns[3:7]
    ('position', 'type', 'status', 'tool')

    Args:
        run_id: Only those of one run.
        thread_id: Only those of one thread.
        limit: Only the newest so many.

    Raises:
        ConfigurationError: The ledger is switched off.
        StoreError: The ledger's file cannot be read.
    """
    return _read("steps", run_id=run_id, thread_id=thread_id, limit=limit)


def messages(*, thread_id: str | None = None, run_id: str | None = None, limit: int | None = None) -> Table:
    """The messages, oldest first: of each run the prompt, then what the assistant wrote.

    >>> from dashnb import history
    >>> history.messages(limit=10).columns[4:]
    ('role', 'text', 'created_at')

    Args:
        thread_id: Only those of one thread.
        run_id: Only those of one run.
        limit: Only the newest so many.

    Raises:
        ConfigurationError: The ledger is switched off.
        StoreError: The ledger's file cannot be read.
    """
    return _read("messages", thread_id=thread_id, run_id=run_id, limit=limit)


def threads(*, limit: int | None = None) -> Table:
    """The threads, oldest first, with the number of their runs, messages and tokens.

    >>> from dashnb import history
    >>> history.threads(limit=10).columns
    ('id', 'runs', 'messages', 'first_at', 'last_at', 'total_tokens')

    Args:
        limit: Only those that began last, so many.

    Raises:
        ConfigurationError: The ledger is switched off.
        StoreError: The ledger's file cannot be read.
    """
    return _read("threads", limit=limit)


def tool_calls(*, run_id: str | None = None, thread_id: str | None = None, limit: int | None = None) -> Table:
    """The tool calls of all steps, oldest first, with their arguments and outputs.

    >>> from dashnb import history
    >>> history.tool_calls(limit=10).columns[5:]
    ('name', 'arguments', 'output', 'status')

    Args:
        run_id: Only those of one run.
        thread_id: Only those of one thread.
        limit: Only the newest so many.

    Raises:
        ConfigurationError: The ledger is switched off.
        StoreError: The ledger's file cannot be read.
    """
    return _read("tool_calls", run_id=run_id, thread_id=thread_id, limit=limit)


def _read(name: str, **filters: str | int | None) -> Table:
    from dashnb.errors import ConfigurationError
    from dashnb.history.schema import TABLES
    from dashnb.settings import Settings

    settings = Settings.load()
    file = settings.ledger_file
    if file is None:
        raise ConfigurationError(
            f"The ledger is off ({settings.source('ledger')}), so there is no history.\n"
            "Switch it on with DASHNB_LEDGER=on; what was asked while it was off is not in it."
        )
    if not file.exists():
        return Table(TABLES[name], name=name)
    from dashnb.history.ledger import Ledger

    with Ledger(file) as ledger:
        table: Table = getattr(ledger, name)(**filters)
        return table


def __getattr__(name: str) -> object:
    # The database library takes longer to import than everything else here.
    if name == "Ledger":
        from dashnb.history.ledger import Ledger

        return Ledger
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
