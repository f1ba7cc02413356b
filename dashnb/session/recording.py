"""What becomes of a run in the ledger: kept, or said once that it is not; no answer depends on it."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dashnb.errors import StoreError
from dashnb.prices import load
from dashnb.protocol.state import RunState
from dashnb.settings import Settings

if TYPE_CHECKING:
    from dashnb.history.ledger import Ledger

# Seconds to wait for others: whoever has waited in vain does not let every question wait as long.
PATIENCE, IMPATIENCE = 10.0, 1.0


class Recording:
    """Keeps runs in a ledger, which is opened when it is first needed.

    A ledger that fails is opened anew for the next run, so that what was in its way may pass; a person is
    told at the first failure, and again only if it worked in between.

    >>> Recording(None).ledger is None
    True

    Args:
        ledger: A ledger, its file, ``settings`` for the one that they name, or None for none.
        said: What a person is told first when it fails.

    Attributes:
        opened: The ledger while it is open here, None before and after.
    """

    def __init__(
        self, ledger: Ledger | Path | str | Literal["settings"] | None, *, said: str = "The run was not recorded."
    ) -> None:
        self._from_settings = ledger == "settings"
        self._given = Path(ledger) if isinstance(ledger, str) else ledger
        self._said = said
        self.opened: Ledger | None = None
        self._failed = False
        self._lock = threading.Lock()

    @property
    def ledger(self) -> Ledger | None:
        """The ledger; None if there is none, or it cannot be used now, which is then said."""
        with self._lock:
            try:
                return self._open()
            except StoreError as error:
                self._fail(error)
                return None

    def record(self, state: RunState, **about: Any) -> None:
        """Keep a run, as `Ledger.record`; what it cost comes from the prices that the settings name."""
        with self._lock:
            try:
                ledger = self._open()
                if ledger is not None:
                    ledger.record(state, prices=load(Settings.load().prices_file), **about)
                self._failed = False
            except Exception as error:
                # The answer is there; whatever is wrong with its record must not take it away.
                self._fail(error)

    def close(self) -> None:
        """Close the ledger, if it was opened here."""
        with self._lock:
            if self.opened is not None:
                self.opened.close()

    def _open(self) -> Ledger | None:
        if self._from_settings:
            self._given = Settings.load().ledger_file
            self._from_settings = False
        if not isinstance(self._given, Path):
            return self._given
        if self.opened is not None and not self.opened.is_in_place:
            self.opened.close()  # before the next one is opened: what SQLite keeps beside a file has its name
            self.opened = None
        if self.opened is None:
            from dashnb.history.ledger import Ledger

            self.opened = Ledger(self._given, busy_timeout=IMPATIENCE if self._failed else PATIENCE)
        return self.opened

    def _fail(self, error: Exception) -> None:
        if self.opened is not None:
            self.opened.close()
            self.opened = None
        known, self._failed = self._failed, True
        if not known:
            warnings.warn(f"{self._said} {error}", RuntimeWarning, stacklevel=4)
