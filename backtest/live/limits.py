"""Limits: what holds an entry back although the strategy decided on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.live.intent import ENTRIES, Intent
from backtest.model.calls import CreateSignal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from backtest.live.journal import Journal
    from backtest.live.settings import EmitSettings
    from backtest.model.calls import Call

__all__ = ["Limits", "expired"]

_MINUTE, _DAY = 60_000, 86_400_000


class Limits:
    """Says of one entry why it may not be sent; exits, updates and cancels are never asked about.

    Parameters
    ----------
    journal
        Knows what is unknown, what is open and what the last closes were.
    settings
        The limits.
    stop_file
        While a file of this name is there, no entry is sent; None for none.
    """

    def __init__(self, journal: Journal, settings: EmitSettings, stop_file: Path | None) -> None:
        self._journal, self._settings, self.stop_file = journal, settings, stop_file
        run = journal.last_run()
        self._live = run is not None and run.mode == "live"

    def bare(self, call: Call) -> str:
        """Return why a create is never sent live: the venue, and not our process, must end a loss when we die."""
        if not (self._live and isinstance(call, CreateSignal) and call.stop_loss is None):
            return ""
        allowed = call.allow_no_stop or self._settings.allow_no_stop
        return "" if allowed else "it has no stop_loss; live that needs allow_no_stop"

    def reason(self, intent: Intent, unknown: Sequence[Intent], *, halted: bool) -> str:
        """Return why an entry is held back; empty where it may go.

        Parameters
        ----------
        intent
            The entry.
        unknown
            All calls whose outcome awaits a person.
        halted
            Whether the venue refused the credentials, or sent a redirect.
        """
        if intent.kind not in ENTRIES:
            return ""
        if halted:
            return "the venue refused the credentials, or sent a redirect"
        if self.stop_file is not None and self.stop_file.exists():
            return f"entries are stopped: {self.stop_file} is there"
        if len(unknown) > self._settings.most_unknowns:
            return f"{len(unknown)} unknown outcomes await a person"
        here = [other.id[:12] for other in unknown if other.symbol == intent.symbol]
        if here:
            return f"unknown {here[0]} on {intent.symbol} awaits a person"
        return self._far(intent) or (self._full(intent) if intent.creates else "")

    def _full(self, intent: Intent) -> str:
        journal, most = self._journal, self._settings
        counts: tuple[tuple[int | None, str, Callable[[], int]], ...] = (
            (most.creates_a_minute, "creates a minute", lambda: journal.creates_since(intent.candle - _MINUTE + 1)),
            (most.creates_a_day, "creates a day", lambda: journal.creates_since(intent.candle // _DAY * _DAY)),
            (most.open_signals, "open signals", journal.open_signals),
            (most.open_a_symbol, f"open signals on {intent.symbol}", lambda: journal.open_signals(intent.symbol)),
        )
        for limit, name, count in counts:
            if limit is not None and count() >= limit:
                return f"the limit of {limit} {name} is reached"
        return ""

    def _far(self, intent: Intent) -> str:
        """Look for a price that no market can mean: of another symbol, or in another unit."""
        cursor = self._journal.cursor(intent.strategy, intent.symbol, intent.timeframe)
        last = cursor.close if cursor else None
        if last is None or not last > 0.0:
            return ""
        for name, text in intent.prices.items():
            if (
                name.startswith(("entry_price", "buy_price"))
                and abs(float(text) / last - 1.0) > self._settings.most_away
            ):
                return f"{name} {text} is more than {100.0 * self._settings.most_away:g} % away from the last close {last:g}"
        return ""


def expired(intent: Intent, now: int) -> bool:
    """Whether the time of a call has passed: it is never sent at or after ``valid_until``."""
    return intent.valid_until is not None and now >= intent.valid_until
