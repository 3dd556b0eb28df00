"""Mark: a small file beside a journal that says who writes it and how much it held, so that an older copy is noticed."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from backtest.errors import InvalidSettingError, StorageError
from backtest.market_data.disk import replace_private

__all__ = ["Mark"]


class Mark:
    """``JOURNAL.mark``: process, mode and rows, written after what it tells of is on disk.

    Parameters
    ----------
    journal
        Path of the database.
    """

    def __init__(self, journal: Path) -> None:
        self.path = Path(f"{journal}.mark")
        self._found: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            found = json.loads(self.path.read_text("utf-8"))
            self._found = found if isinstance(found, dict) else {}

    @property
    def holder(self) -> str:
        """The process that wrote it last."""
        return str(self._found.get("process", ""))

    def refuse_less(self, rows: dict[str, int]) -> None:
        """Refuse a live journal that holds less than it did: it is empty, or an older copy.

        Raises
        ------
        InvalidSettingError
            With both numbers; what was sent since then would be sent again.
        """
        kept = self._found.get("rows")
        if self._found.get("mode") != "live" or not isinstance(kept, dict):
            return
        for name, count in kept.items():
            if isinstance(count, int) and count > rows.get(name, 0):
                raise InvalidSettingError(
                    f"the journal holds {rows.get(name, 0)} rows of {name}, but {self.path} says that it held {count}: it "
                    "is empty or an older copy, and calls could be sent twice; bring the right file back, or remove "
                    "that mark to go on with this one"
                )

    def write(self, mode: str, rows: dict[str, int]) -> None:
        """Say who writes, in which mode, and how much there is."""
        text = json.dumps({"process": os.getpid(), "mode": mode, "rows": rows})
        try:
            replace_private(self.path, text)
        except OSError as error:
            raise StorageError(f"the mark {self.path} cannot be written: {error.strerror}") from None
