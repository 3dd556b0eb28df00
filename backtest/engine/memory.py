"""Memory: the record arrays of a run, and the one record in which the kernel finds them by their addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.engine.records import (
    ACCOUNT,
    BOOK,
    CALL,
    EVENT,
    LACKS,
    NEVER,
    ORDER,
    OUTCOME,
    SCRATCH,
    SEGMENT,
    SIGNAL,
    STRETCH,
    TRACK,
    TRADE,
    TURN,
    WORLD,
)
from backtest.engine.tracks import as_bytes, with_room

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from backtest.engine.tracks import Track

__all__ = ["Memory"]

AHEAD = 512
"""Candles that a market looks ahead after something happened; twice as many each time it finds nothing."""

MANY = 12
"""Living signals of a market from which on only those are walked that can act in a candle."""

SEGMENTS = 8_192
"""Segments of equity that are kept before the points are written."""

ROOMS = {
    "signals": 8,
    "orders": 24,
    "events": 65_536,
    "scratch_events": 512,
    "trades": 16_384,
    "scratch_trades": 128,
    "stretches": 16_384,
}
"""The buffers that may get full, in the order of :data:`LACKS`, and the room each begins with."""

_ARRAYS = (
    "accounts",
    "books",
    "markets",
    "config",
    "trackers",
    "keys",
    "heap",
    "members",
    "closes",
    "equity",
    "segments",
    "stretches",
)


class Memory:
    """All that the kernel reads and writes.

    Attributes
    ----------
    address
        Of the ``WORLD`` record: what an entry point of the kernel is given.
    accounts : (1 + SCRATCH,)
        The subscriber's account, and its copies for the journeys.
    books : (n + SCRATCH,)
        One a market, in order of symbol, and those of the journeys; ``signals`` and ``orders``: a row of each a book.
    config, markets
        Profile and assumptions; the markets.
    events, trades
        What happened, in order; ``scratch_events``, ``scratch_trades``: (SCRATCH, k), of the journeys.
    calls, turns
        What was sent, and what the kernel notes beside it.
    outcomes, accepted
        Where each signal stands; when signals were accepted.
    closes, equity
        The equity points, written when they are asked for. ``segments``: what those of several markets are made of that were
        passed and not written yet; ``stretches``: those of an only market, one a candle.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        markets: NDArray[Any],
        config: NDArray[Any],
        balance: float,
    ) -> None:
        n = len(tracks)
        self.tracks, self.markets, self.config = tracks, markets, config
        self.accounts = np.zeros(1 + SCRATCH, ACCOUNT)
        self.accounts["cash"] = balance
        self.books = np.zeros(n + SCRATCH, BOOK)
        for name in ("call", "last_call", "first_segment", "last_segment"):
            self.books[name] = -1
        self.books["high"], self.books["next_expiry"], self.books["stale"] = np.inf, NEVER, 1
        self.signals = np.zeros((n + SCRATCH + 1, ROOMS["signals"]), SIGNAL)  # the last row is for those that can act
        self.orders = np.zeros((n + SCRATCH + 1, ROOMS["orders"]), ORDER)
        self.events = np.empty(ROOMS["events"], EVENT)  # written whole; the system gives memory when it is touched
        self.scratch_events = np.empty((SCRATCH, ROOMS["scratch_events"]), EVENT)
        self.trades = np.empty(ROOMS["trades"], TRADE)
        self.scratch_trades = np.empty((SCRATCH, ROOMS["scratch_trades"]), TRADE)
        self.calls, self.turns = np.zeros(64, CALL), _turns(64)
        self.outcomes, self.accepted = np.zeros(64, OUTCOME), np.zeros(64, np.int64)
        self.trackers = np.zeros(n, TRACK)
        self.keys, self.heap, self.members = np.full(n, NEVER), np.arange(n), np.zeros(n, np.int64)
        self.segments = np.empty(max(SEGMENTS, 3 * n + 8), SEGMENT)  # written whole, as events are
        self.stretches = np.empty(ROOMS["stretches"] if n == 1 else 0, STRETCH)
        self.closes, self.equity = np.empty(0, np.int64), np.empty(0)
        self._world = np.zeros(1, WORLD)
        self.world: Any = self._world[0]
        for name, value in (("n_markets", n), ("waiting", n), ("ahead", AHEAD), ("many", MANY)):
            self.world[name] = value
        self.locate()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Find the arrays of a copy: they lie elsewhere."""
        self.__dict__.update(state)
        self.world = self._world[0]
        self.locate()

    # ------------------------------------------------------------ where it lies

    def locate(self) -> None:
        """Write down where all arrays lie: after any of them was made anew.

        Fields are written by their names: as attributes of a record they take numpy eight times longer.
        """
        world = self.world
        self.address: int = self._world.ctypes.data
        for name in _ARRAYS:
            world["tracks" if name == "trackers" else name] = self._address(name)
        self._locate_calls()
        self._locate_outcomes()
        for name, each in (("signals", "signal"), ("orders", "order")):
            rows = getattr(self, name)
            address = self._address(name)
            self.books[name] = address + np.arange(len(self.books)) * rows.strides[0]
            world[f"few_{name}"] = address + len(self.books) * rows.strides[0]
            self.books[f"{each}_room"] = rows.shape[1]
        for name, each in (("events", "event"), ("trades", "trade")):
            scratch = getattr(self, f"scratch_{name}")
            self.accounts[name][0], self.accounts[f"{each}_room"][0] = self._address(name), len(getattr(self, name))
            self.accounts[name][1:] = self._address(f"scratch_{name}") + np.arange(SCRATCH) * scratch.strides[0]
            self.accounts[f"{each}_room"][1:] = scratch.shape[1]
        world["segment_room"], world["stretch_room"] = len(self.segments), len(self.stretches)
        self._extents = tuple(self.trackers[name] for name in ("rows", "even", "apart"))
        self._stale, self._point, self._n_closes = self.books["stale"], self._world["point"], self._world["n_closes"]
        self._n_events = self.accounts["n_events"]
        for track, record in zip(self.tracks, self.trackers, strict=True):
            track.describe(record)

    def _locate_calls(self) -> None:
        world = self.world
        world["calls"], world["turns"] = self._address("calls"), self._address("turns")
        world["call_room"] = len(self.calls)

    def _locate_outcomes(self) -> None:
        world = self.world
        world["outcomes"], world["accepted"] = self._address("outcomes"), self._address("accepted")
        world["outcome_room"] = len(self.outcomes)

    def _address(self, name: str) -> int:
        column = getattr(self, name)
        assert column.flags.c_contiguous  # noqa: S101
        return int(column.ctypes.data)

    def take_row(self, k: int, *, moved: bool) -> None:
        """Write down how many candles a market has, after one was added, and where they lie if they have moved."""
        if moved:
            self.tracks[k].describe(self.trackers[k])
        else:  # columns of numbers: a field of a record takes numpy twenty times longer, and a close waits for it
            for column, value in zip(self._extents, self.tracks[k].extent, strict=True):
                column[k] = value
        self._stale[k] = 1

    def walked(self, k: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Return open times and kinds of the candles of a market."""
        track = self.tracks[k]
        return track.time[: track.filled], track.kind[: track.filled]

    # ------------------------------------------------------------ room

    def grow(self) -> None:
        """Double what may be full; the kernel stopped before anything happened."""
        for name, full in zip(ROOMS, LACKS, strict=True):
            if self.accounts[0].lacks & full:
                old = getattr(self, name)
                new = np.zeros((*old.shape[:-1], 2 * old.shape[-1]), old.dtype)
                as_bytes(new)[..., : as_bytes(old).shape[-1]] = as_bytes(old)
                setattr(self, name, new)
        self.locate()

    def reserve_calls(self, n: int) -> None:
        """Make room for ``n`` calls."""
        if n > len(self.calls):
            size, old = max(n, 2 * len(self.calls)), self.turns
            self.calls, self.turns = with_room(self.calls, size), _turns(size)
            self.turns[: len(old)] = old
            self._locate_calls()

    def take_calls(self, records: NDArray[Any]) -> None:
        """Take the calls of a table as they lie: shared with the other modes, they are numbered alike in each."""
        self.calls, self.turns = records, _turns(len(records))
        self._locate_calls()

    def reserve_outcomes(self, n: int) -> None:
        """Make room for ``n`` signals."""
        if n > len(self.outcomes):
            size = max(n, 2 * len(self.outcomes))
            self.outcomes, self.accepted = with_room(self.outcomes, size), with_room(self.accepted, size)
            self._locate_outcomes()

    # ------------------------------------------------------------ equity points

    def set_closes(self, closes: NDArray[np.int64], span: int) -> None:
        """Set the instants of the equity points.

        Parameters
        ----------
        closes
            (n,) UTC ms, ascending.
        span
            How far two of them are apart at least, ms.
        """
        n = len(closes)
        self.closes, self.equity = closes, np.empty(n)
        self.world.closes, self.world.equity = closes.ctypes.data, self.equity.ctypes.data
        self.world.n_closes, self.world.close_apart = n, span
        self.world.close_even = n > 0 and int(closes[-1]) - int(closes[0]) == (n - 1) * span

    @property
    def happened(self) -> int:
        """How many events there were."""
        return int(self._n_events[0])

    @property
    def points(self) -> int:
        """How many equity points of several markets were passed."""
        return int(self._point[0])

    def is_passed(self, instant: int) -> bool:
        """Whether an equity point behind an instant was passed."""
        return self.points > 0 and bool(self.closes[self.points - 1] > instant)

    def forget_points(self) -> None:
        """Drop the candles that their tracks forgot, and the equity points."""
        self.closes, self.equity = np.empty(0, np.int64), np.empty(0)
        self.world.n_closes = 0
        self.locate()

    def reserve_points(self, n: int) -> None:
        """Make room for ``n`` equity points of an only market, one a candle."""
        old = len(self.equity)
        if n > old:
            self.equity = with_room(self.equity, max(n, 2 * old)) if old else np.empty(n)
            self.world.equity = self.equity.ctypes.data

    @property
    def noted(self) -> NDArray[Any]:
        """The stretches of an only market, in order of their rows."""
        return self.stretches[: int(self.world.n_stretches)]

    def go_back(self, row: int) -> None:
        """Drop the stretches of an only market from a row on, and the equity points."""
        world = self.world
        world.n_stretches = self.noted["row"].searchsorted(row)
        world.written = min(int(world.written), row)

    def add_close(self, close: int, least: int) -> None:
        """Add the equity point of candles to come.

        Parameters
        ----------
        close
            UTC ms; none is added where there is one as late.
        least
            How far two points are apart at least, ms.
        """
        world, n = self.world, int(self._n_closes[0])
        if n and self.closes[n - 1] >= close:
            return
        if n == len(self.closes):
            size = max(1024, 2 * n)
            self.closes, self.equity = with_room(self.closes, size), with_room(self.equity, size)
            world.closes, world.equity = self.closes.ctypes.data, self.equity.ctypes.data
        if n and close - int(self.closes[n - 1]) != world.close_apart:
            world.close_even, world.close_apart = 0, min(int(world.close_apart), close - int(self.closes[n - 1]))
        elif not n:
            world.close_even, world.close_apart = 1, least
        self.closes[n] = close
        world.n_closes = n + 1


def _turns(n: int) -> NDArray[Any]:
    """Return what stands beside ``n`` calls none of which was made."""
    turns = np.zeros(n, TURN)
    turns["next"] = turns["made"] = turns["at"] = -1
    return turns
