"""Scout: asks a strategy ahead of the engine, at closes that are known to change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.strategy.moment import Moment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from backtest.runner.decision import Decision, Refusal
    from backtest.runner.desk import Desk

__all__ = ["Scout"]

_FURTHEST = 65_536  # closes that one peek may pass


class Scout:
    """The queue of closes at which one market is asked, and how far ahead of the engine it may be worked off.

    Nothing happens while nothing lives, nor on the quiet candles that a peek passes; a peek is taken back to the first
    close that returned a call. A ratcheting stop changes at every candle, so nothing is quiet then. A peek that was taken
    back was in vain, so the next one looks less far, and further again where nothing was returned.

    Parameters
    ----------
    desk
        Of a run of one market without detail candles.
    asked
        Positions of the closes at which the strategy is asked besides events, ascending.
    send
        Takes what a close made.
    rows
        Decides by the rows of a table at a position and says whether anything was made; None asks ``on_candle``.
    """

    def __init__(
        self,
        desk: Desk,
        asked: list[int],
        send: Callable[[Sequence[Decision | Refusal]], None],
        rows: Callable[[int], bool] | None,
    ) -> None:
        self._desk, self._venue, self._asked, self._send, self._rows = desk, desk.venue, asked, send, rows
        self._watches = desk.plan is not None and desk.plan.watches_closes
        self._next = 0
        self._ahead = 1

    def next_stop(self, last: int) -> int:
        """Return the position at which the strategy is asked next; ``last`` where it is not asked any more."""
        return self._asked[self._next] if self._next < len(self._asked) else last

    def arrived(self, position: int) -> bool:
        """Whether the strategy is to be asked at a position that the engine has reached; it is then done."""
        is_asked = self._next < len(self._asked) and self._asked[self._next] == position
        self._next += is_asked
        return is_asked

    def go_ahead(self, last: int) -> None:
        """Ask at closes up to the position ``last`` without entering the engine, as far as that can be known to be right."""
        venue, stand = self._venue, self._venue.stand
        waits = stand.call >= 0
        if not (stand.signals or stand.pending or (waits and self._desk.hears_events)):
            self._ask(last)
            return
        if waits or stand.ratcheting or self._watches or self._next >= len(self._asked):
            return
        furthest = min(self._next + self._ahead, len(self._asked)) - 1
        reached, first = venue.walk_to(self._asked[furthest] + 1, peek=True), self._next
        returned = self._ask(reached - 1)
        self._ahead = max(1, self._next - first) if returned else min(2 * self._ahead, _FURTHEST)
        if returned and self._asked[self._next - 1] < reached - 1:
            venue.rewind(self._asked[self._next - 1] + 1)

    def _ask(self, until: int) -> bool:
        """Ask at the closes up to ``until``, or to the first that makes something; return whether one did."""
        asked, k, n = self._asked, self._next, len(self._asked)
        desk, rows = self._desk, self._rows
        on_candle, collect = desk.strategy.on_candle, desk.collect
        while k < n:
            position = asked[k]
            if position > until:
                break
            k += 1
            if rows is not None:
                if rows(position):
                    self._next = k
                    return True
                continue
            made = collect(position, on_candle(Moment(desk, position)))
            if made:
                self._send(made)
                self._next = k
                return True
        self._next = k
        return False
