"""Questions: what the journal holds, for the emitter and for a person."""

from __future__ import annotations

import json
import sqlite3
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from backtest.errors import InvalidSettingError, StorageError
from backtest.live.intent import Intent, State
from backtest.live.refused import read_refusal
from backtest.live.schema import WAITING, Code, Cursor, Run, Seen, SignalRow, Stream, Told
from backtest.model.market import Market

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from pathlib import Path

    from backtest.runner.decision import Refusal
    from backtest.venue.file_lock import FileLock

__all__ = ["Questions"]

_WAITING = frozenset({State.PLANNED, State.SENDING, State.UNKNOWN})
_INTENT = tuple(field.name for field in fields(Intent))
_SIGNAL = tuple(field.name for field in fields(SignalRow))
_CODE = tuple(field.name for field in fields(Code))
_CURSORS = (
    "SELECT c.strategy, c.symbol, c.timeframe, s.exchange, c.anchor, c.moved, c.time, c.close, c.row_hash"
    " FROM cursor c JOIN series s ON s.id = c.series"
)


class Questions:
    """What may be asked of an open journal, by any thread.

    Attributes
    ----------
    path
        Of the file.
    """

    path: Path
    _db: sqlite3.Connection
    _mutex: threading.RLock
    _lock: FileLock | None

    @contextmanager
    def moment(self) -> Iterator[None]:
        """Let all that is asked within be answered from one moment, whoever writes meanwhile.

        Whoever may write holds off the other threads of the process; whoever only reads sees what was there at the first
        question.
        """
        with self._mutex, self._storage():
            ours = self._lock is None and not self._db.in_transaction
            if ours:
                self._db.execute("BEGIN")
            try:
                yield
            finally:
                if ours and self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def knows(self, intent: Intent) -> bool:
        """Whether an intent of this id is kept; one with another body is refused."""
        found = self._one("SELECT body FROM intent WHERE id = ?", intent.id)
        if found is not None and found != intent.body:
            raise InvalidSettingError(
                f"{intent.kind} of {intent.ref} was decided as {found} before, now as {intent.body}; the strategy or "
                "its candles changed: use another journal"
            )
        return found is not None

    def intents(self, *states: State) -> list[Intent]:
        """Return the intents in these states, all without one, in the order of planning."""
        marks = ", ".join("?" for _ in states)
        where = f"state IN ({marks})" if states else "1"
        if states and _WAITING.issuperset(states):
            where = f"{WAITING} AND {where}"  # else SQLite would look at every intent there ever was
        return self._intents(where, *(state.value for state in states))

    def intent(self, prefix: str) -> Intent:
        """Return the intent whose id begins so.

        Raises
        ------
        InvalidSettingError
            Unless there is exactly one.
        """
        found = self._intents("substr(id, 1, ?) = ?", len(prefix), prefix) if prefix else []
        if len(found) != 1:
            count = "none" if not found else f"{len(found)} of them"
            raise InvalidSettingError(f"an intent is named by the start of its id; of {prefix!r} there is {count}")
        return found[0]

    def signal(self, strategy: str, ref: str) -> SignalRow | None:
        """Return a signal; None where it was never planned."""
        found = self._signals("strategy = ? AND ref = ?", strategy, ref)
        return found[0] if found else None

    def signals(self, *states: str) -> list[SignalRow]:
        """Return the signals in these states, all without one, in the order of planning."""
        marks = ", ".join("?" for _ in states)
        return self._signals(f"state IN ({marks})" if states else "1", *states)

    def named(self, parent_signal_id: str) -> SignalRow | None:
        """Return the signal that the venue calls so."""
        found = self._signals("parent_signal_id = ?", parent_signal_id)
        return found[0] if found else None

    def open_signals(self, symbol: str | None = None) -> int:
        """Return how many signals live or may live at the venue, on one symbol or on all."""
        where = "state IN ('living', 'unknown')" + ("" if symbol is None else " AND symbol = ?")
        return int(self._one(f"SELECT count(*) FROM signal WHERE {where}", *([] if symbol is None else [symbol])))  # noqa: S608

    def creates_since(self, candle: int) -> int:
        """Return how many creates of closes from one on were sent, or may have been."""
        where = "candle >= ? AND kind IN ('create_v1', 'create_v2')"
        states = "('sending', 'acked', 'rejected', 'unknown', 'landed', 'not_landed', 'abandoned')"
        return int(self._one(f"SELECT count(*) FROM intent WHERE {where} AND state IN {states}", candle))  # noqa: S608

    def intents_of_signal(self, strategy: str, ref: str, *kinds: str) -> list[Intent]:
        """Return the calls about a signal, of these kinds or all, in the order of planning."""
        marks = ", ".join("?" for _ in kinds)
        where = "strategy = ? AND ref = ?" + (f" AND kind IN ({marks})" if kinds else "")
        return self._intents(where, strategy, ref, *kinds)

    def intents_of_strategy(self, strategy: str) -> list[Intent]:
        """Return all calls of a strategy, in the order of planning."""
        return self._intents("strategy = ?", strategy)

    def intent_named(self, strategy: str, candle: int, kind: str, ref: str, number: int) -> Intent | None:
        """Return the call of a close, kind and number about a signal; None where it was never planned."""
        where = "strategy = ? AND ref = ? AND candle = ? AND kind = ? AND number = ?"
        found = self._intents(where, strategy, ref, candle, kind, number)
        return found[0] if found else None

    def waiting_before(self, newer: Intent) -> list[Intent]:
        """Return the calls of a signal that were decided before one and wait or are unknown, in the order of planning."""
        where = "strategy = ? AND ref = ? AND candle < ? AND state IN ('planned', 'unknown')"
        return self._intents(where, *newer.signal, newer.candle + newer.by_person)

    def planned_after(self, older: Intent) -> list[Intent]:
        """Return the calls of a signal that were decided after one and wait, in the order of planning."""
        where = "strategy = ? AND ref = ? AND seq > ? AND candle + (number < 0) > ? AND state = 'planned'"
        return self._intents(where, *older.signal, older.seq, older.candle)

    def state_of(self, intent: Intent) -> str | None:
        """Return the state in which a call is kept now; None where it was never planned."""
        found = self._one("SELECT state FROM intent WHERE id = ?", intent.id)
        return None if found is None else str(found)

    def untold_by_person(self, strategy: str) -> list[Intent]:
        """Return the calls that a person asked for and that the strategy was not told of."""
        where = "number < 0 AND strategy = ? AND id NOT IN (SELECT intent FROM told)"
        return self._intents(where, strategy)

    def cursor(self, strategy: str, symbol: str, timeframe: str) -> Cursor | None:
        """Return how far a stream has seen its candles; None before the first one."""
        where = "c.strategy = ? AND c.symbol = ? AND c.timeframe = ?"
        found = self._all(f"{_CURSORS} WHERE {where}", strategy, symbol, timeframe)
        return Cursor(*found[0]) if found else None

    def cursors(self) -> list[Cursor]:
        """Return how far each stream has seen its candles."""
        return [Cursor(*row) for row in self._all(f"{_CURSORS} ORDER BY c.rowid")]

    def seen(self, stream: Stream, since: int = 0) -> list[Seen]:
        """Return the candles of a stream as they were acted on, missing ones too, from an opening time on."""
        columns = "n.time, n.open, n.high, n.low, n.close, n.volume, n.source, n.arrived"
        key = (stream.exchange, stream.symbol, stream.timeframe)
        where = "s.exchange = ? AND s.symbol = ? AND s.timeframe = ? AND n.revision = 0 AND n.time >= ?"
        sql = f"SELECT {columns} FROM series s JOIN seen n ON n.series = s.id WHERE {where} ORDER BY n.time"  # noqa: S608
        return [Seen(*row) for row in self._all(sql, *key, since)]

    def volumes(self, stream: Stream) -> bool:
        """Return whether the volumes of a series mean anything (L2.6)."""
        where = "exchange = ? AND symbol = ? AND timeframe = ?"
        key = (stream.exchange, stream.symbol, stream.timeframe)
        return bool(self._one(f"SELECT volumes FROM series WHERE {where}", *key))  # noqa: S608

    def told(self, strategy: str) -> list[Told]:
        """Return what a strategy was told of its calls, in order."""
        columns = "intent, outcome, close, entered, reason"
        return [Told(*row) for row in self._all(f"SELECT {columns} FROM told WHERE strategy = ? ORDER BY id", strategy)]  # noqa: S608

    def refusals(self, strategy: str = "", timeframe: str = "") -> list[Refusal]:
        """Return what the desk refused (L3.8), in order.

        Parameters
        ----------
        strategy, timeframe
            Of which one, on which candles; empty for all.
        """
        columns = "close, kind, ref, call, field, value, reason, rule"
        named = {"strategy": strategy, "timeframe": timeframe}
        where = " AND ".join(["1", *(f"{name} = ?" for name, value in named.items() if value)])
        values = [value for value in named.values() if value]
        rows = self._all(f"SELECT {columns} FROM refusal WHERE {where} ORDER BY id", *values)  # noqa: S608
        return [read_refusal(row) for row in rows]

    def anchors(self, stream: Stream) -> list[tuple[int, int]]:
        """Return behind which close indicators began at which candle (open time), UTC ms, in order.

        The first close is the account's start: what closed by then is history.
        """
        where = "strategy = ? AND symbol = ? AND timeframe = ?"
        found = self._all(f"SELECT close, anchor FROM anchor WHERE {where} ORDER BY id", *stream.key)  # noqa: S608
        return [(int(close), int(anchor)) for close, anchor in found]

    def rules(self, stream: Stream) -> list[tuple[int, Market]]:
        """Return behind which close (UTC ms) which rules of the market held, in order."""
        where = "strategy = ? AND symbol = ? AND timeframe = ?"
        found = self._all(f"SELECT close, market FROM rules WHERE {where} ORDER BY id", *stream.key)  # noqa: S608
        return [(int(close), Market.from_dict(json.loads(text))) for close, text in found]

    def codes(self, strategy: str) -> list[Code]:
        """Return which code decided for a strategy, in order."""
        columns = ", ".join(_CODE)
        rows = self._all(f"SELECT {columns} FROM code WHERE strategy = ? ORDER BY id", strategy)  # noqa: S608
        return [Code(**{**dict(zip(_CODE, row, strict=True)), "accepted": bool(row[-1])}) for row in rows]

    def attempts_since(self, moment: int) -> list[int]:
        """Return when calls were sent since a moment, UTC ms, in order."""
        where = "phase = 'start' AND at >= ?"
        return [row[0] for row in self._all(f"SELECT at FROM attempt WHERE {where} ORDER BY at", moment)]  # noqa: S608

    def attempts(self, intent: Intent) -> list[dict[str, Any]]:
        """Return the attempts at a call, as they were kept."""
        columns = ("phase", "at", "outcome", "http_status", "result_type", "error", "response")
        rows = self._all(f"SELECT {', '.join(columns)} FROM attempt WHERE intent = ? ORDER BY id", intent.id)  # noqa: S608
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def lost(self, intent: Intent) -> int:
        """Return how often a call was sent without an answer that tells."""
        return int(self._one("SELECT count(*) FROM attempt WHERE intent = ? AND outcome = 'lost'", intent.id))

    def note(self, intent: Intent) -> str:
        """Return what was noted with the state of an intent."""
        return str(self._one("SELECT note FROM intent WHERE id = ?", intent.id) or "")

    def last_run(self) -> Run | None:
        """Return the last start; None before the first one."""
        columns = "mode, account, started_at, code_hash, config_hash"
        found = self._all(f"SELECT {columns} FROM run ORDER BY id DESC LIMIT 1")  # noqa: S608
        return Run(*found[0]) if found else None

    def tally(self, since: int = 0, until: int | None = None) -> dict[State, int]:
        """Return how many calls stand where, of closes in a span of time.

        Parameters
        ----------
        since, until
            UTC ms, the end excluded; None has none.
        """
        span = "candle >= ?" + ("" if until is None else " AND candle < ?")
        values = (since,) if until is None else (since, until)
        rows = self._all(f"SELECT state, count(*) FROM intent WHERE {span} GROUP BY state", *values)  # noqa: S608
        return {State(state): int(count) for state, count in rows}

    def newest(self, most: int) -> list[tuple[Intent, str, int, int | None]]:
        """Return the last calls, the newest first: each with its note, its last change and its first attempt, UTC ms."""
        columns = ", ".join(f"i.{name}" for name in _INTENT)
        changed = "(SELECT max(at) FROM event WHERE intent = i.id)"
        began = "(SELECT min(at) FROM attempt WHERE intent = i.id)"
        sql = f"SELECT {columns}, i.note, {changed}, {began} FROM intent i ORDER BY i.seq DESC LIMIT ?"  # noqa: S608
        count = len(_INTENT)
        return [(_intent(row[:count]), *row[count:]) for row in self._all(sql, most)]

    def creates_of(self, *states: str) -> list[Intent]:
        """Return the creates of the signals in these states, in the order of planning."""
        marks, columns = ", ".join("?" for _ in states), ", ".join(f"i.{name}" for name in _INTENT)
        join = "intent i JOIN signal s ON s.strategy = i.strategy AND s.ref = i.ref"
        where = f"s.state IN ({marks}) AND i.kind IN ('create_v1', 'create_v2')"
        sql = f"SELECT {columns} FROM {join} WHERE {where} ORDER BY i.seq"  # noqa: S608
        return [_intent(row) for row in self._all(sql, *states)]

    def changes(self) -> int:
        """Return a number that is another one once somebody else has written."""
        return int(self._one("PRAGMA data_version"))

    def candles_tally(self, since: int = 0) -> tuple[int, int, int]:
        """Return how many candles since a moment were seen, were missing, and were found to be others later."""
        sums = "count(*), sum(n.source = 'missing'), sum(n.revision > 0)"
        sql = f"SELECT {sums} FROM series s JOIN seen n ON n.series = s.id AND n.time >= ? AND n.source != 'history'"  # noqa: S608
        seen, missing, revised = self._all(sql, since)[0]
        return int(seen) - int(revised or 0), int(missing or 0), int(revised or 0)

    def _intents(self, where: str, *values: Any) -> list[Intent]:
        sql = f"SELECT {', '.join(_INTENT)} FROM intent WHERE {where} ORDER BY seq"  # noqa: S608
        return [_intent(row) for row in self._all(sql, *values)]

    def _signals(self, where: str, *values: Any) -> list[SignalRow]:
        sql = f"SELECT {', '.join(_SIGNAL)} FROM signal WHERE {where} ORDER BY rowid"  # noqa: S608
        found = [dict(zip(_SIGNAL, row, strict=True)) for row in self._all(sql, *values)]
        prices = ("wished", "confirmed")
        return [SignalRow(**{**row, **{name: json.loads(row[name]) for name in prices}}) for row in found]

    def _one(self, sql: str, *values: Any) -> Any:
        with self._mutex, self._storage():
            found = self._db.execute(sql, values).fetchone()
        return found[0] if found else None

    def _all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._mutex, self._storage():  # no thread sees half of what another one is about to keep
            return self._db.execute(sql, values).fetchall()

    @contextmanager
    def _storage(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError as error:
            raise InvalidSettingError(f"the journal {self.path} refused: {error}") from None
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_NOTADB:
                raise InvalidSettingError(f"{self.path} is no journal, or a damaged one; name another file") from None
            raise StorageError(f"the journal {self.path} cannot be used: {error}") from None
        except (UnicodeDecodeError, json.JSONDecodeError, OverflowError) as error:
            raise StorageError(f"the journal {self.path} is damaged ({type(error).__name__})") from None


def _intent(row: tuple[Any, ...]) -> Intent:
    found = dict(zip(_INTENT, row, strict=True))
    state, allowed = State(found["state"]), bool(found["allow_marketable"])
    return Intent(**{**found, "state": state, "allow_marketable": allowed})
