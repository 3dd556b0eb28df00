"""Reached: the candles that streams have seen, what they were told and how far they are, as the journal keeps it."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from backtest.errors import InvalidSettingError
from backtest.live.chain import sealed
from backtest.live.schema import SEALED

if TYPE_CHECKING:
    import sqlite3

    from backtest.live.chain import Chain
    from backtest.live.schema import Decided, Seen, Stream, Told
    from backtest.model.market import Market

__all__ = ["Reached", "row_hash"]

_STANDS = "SELECT series, anchor, moved FROM cursor WHERE strategy = ? AND symbol = ? AND timeframe = ?"
_REACH = (
    f"INSERT INTO cursor ({', '.join(SEALED['cursor'])}, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "  # noqa: S608
    "ON CONFLICT DO UPDATE SET moved = excluded.moved, anchor = excluded.anchor, time = excluded.time, "
    "close = excluded.close, row_hash = excluded.row_hash, hash = excluded.hash"
)


class Reached:
    """What is written of streams, always within a transaction of the journal.

    It remembers what it has written, so that a close of many markets asks the database little.

    Parameters
    ----------
    db
        Open to be written, with the journal's tables.
    chain
        Of the journal.
    """

    def __init__(self, db: sqlite3.Connection, chain: Chain) -> None:
        self._db, self._chain = db, chain
        self._numbers: dict[tuple[str, str, str], int] = {}  # of series
        self._newest: dict[int, int] = {}  # candle of a series
        self._stands: dict[tuple[str, str, str], tuple[int, int, int]] = {}  # of a cursor: series, anchor, moved

    def forget(self) -> None:
        """Forget what was remembered: the transaction was rolled back."""
        for known in (self._numbers, self._newest, self._stands):
            known.clear()

    def series(self, stream: Stream) -> int:
        """Return the number of a stream's series, which is kept from here on."""
        key = (stream.exchange, stream.symbol, stream.timeframe)
        if key not in self._numbers:
            where = "exchange = ? AND symbol = ? AND timeframe = ?"
            found = self._db.execute(f"SELECT id FROM series WHERE {where}", key).fetchone()  # noqa: S608
            self._numbers[key] = int(found[0]) if found else self._chain.add("series", (*key, int(stream.volumes)))
        return self._numbers[key]

    def see(self, series: int, candle: Seen) -> None:
        """Keep a candle as it is acted on.

        Parameters
        ----------
        series
            Its number.
        candle
            One that closed, or is missing.

        Raises
        ------
        InvalidSettingError
            Where it was acted on with another value.
        """
        found = self._seen_before(series, candle.time)
        if found is None:
            self._chain.add("seen", (series, candle.time, 0, *_floats(candle), candle.source, candle.arrived))
            self._newest[series] = max(self._newest[series], candle.time)
        elif found != candle.row:
            raise InvalidSettingError(
                f"the candle of {candle.time} was {found[1:]} when it was acted on, now it is {candle.row[1:]}; what was "
                "acted on is never revised: give the same candles, or another journal"
            )

    def _seen_before(self, series: int, time: int) -> tuple[Any, ...] | None:
        """Return a candle as it was acted on; of one that is newer than all, nothing has to be asked."""
        if series not in self._newest:
            newest = "SELECT coalesce(max(time), -1) FROM seen WHERE series = ?"
            self._newest[series] = self._db.execute(newest, (series,)).fetchone()[0]
        if time > self._newest[series]:
            return None
        columns = "time, open, high, low, close, volume"
        where = "series = ? AND time = ? AND revision = 0"
        found: tuple[Any, ...] | None = self._db.execute(
            f"SELECT {columns} FROM seen WHERE {where}",  # noqa: S608
            (series, time),
        ).fetchone()
        return found

    def revise(self, stream: Stream, candle: Seen) -> bool:
        """Keep what a candle was found to be later, beside what it was when it was acted on.

        Parameters
        ----------
        stream
            Whose candle.
        candle
            As it is now.

        Returns
        -------
        bool
            Whether it was acted on; else nothing is kept.
        """
        series = self.series(stream)
        where = "series = ? AND time = ?"
        count = self._db.execute(f"SELECT count(*) FROM seen WHERE {where}", (series, candle.time)).fetchone()[0]  # noqa: S608
        if not count:
            return False
        self._chain.add("seen", (series, candle.time, count, *_floats(candle), candle.source, candle.arrived))
        self._newest.pop(series, None)
        return True

    def change_rules(self, stream: Stream, close: int, market: Market) -> None:
        """Keep which rules of a market hold behind a close.

        Parameters
        ----------
        stream
            Whose market.
        close
            UTC ms.
        market
            The rules.
        """
        text = json.dumps(market.to_dict(), separators=(",", ":"))
        self._chain.add("rules", (*stream.key, close, text))

    def tell(self, strategy: str, told: Told) -> None:
        """Keep what a strategy was told of one of its calls.

        Parameters
        ----------
        strategy
            Its identity.
        told
            What, and at which close.
        """
        self._chain.add("told", (strategy, told.intent, told.outcome, told.entered, told.close, told.reason))

    def reach(self, one: Decided, series: int) -> None:
        """Move the cursor of a stream to the close that was decided; the first time with the rules of its market.

        Parameters
        ----------
        one
            What was decided.
        series
            The number of its series.
        """
        last = one.seen[-1] if one.seen else None
        found = self._stands.get(one.stream.key)
        if found is None:
            found = self._db.execute(_STANDS, one.stream.key).fetchone()
        before = None if found is None else found[1]
        if before is None and one.market is not None:
            self.change_rules(one.stream, one.start, one.market)
        if before != one.anchor:
            self._chain.add("anchor", (*one.stream.key, one.start if before is None else one.time, one.anchor))
        moved = one.time if found is None or before != one.anchor else found[2]
        place = series if found is None else found[0]
        row = (*one.stream.key, place, one.anchor, moved, one.time, _close(last), row_hash(last))
        self._db.execute(_REACH, (*row, sealed(row)))
        self._stands[one.stream.key] = place, one.anchor, moved


def row_hash(candle: Seen | None) -> str:
    """Return 16 hex digits that change with any value of a candle; empty for none."""
    return hashlib.sha256(repr((candle.time, *_floats(candle))).encode()).hexdigest()[:16] if candle else ""


def _close(candle: Seen | None) -> float | None:
    return None if candle is None or candle.close is None else float(candle.close)


def _floats(candle: Seen) -> list[float | None]:
    """Return prices and volume as the database gives them back."""
    return [None if value is None else float(value) for value in candle.row[1:]]
