"""Journal: what shall be sent, what was tried and what became of it, in one SQLite file with one writer.

Every public method that changes something is one transaction, on disk when it returns.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from backtest.errors import InvalidSettingError, StorageError
from backtest.live.intent import TRANSITIONS, Intent, State
from backtest.live.lock import Lock
from backtest.live.outcome import Meaning
from backtest.live.reading import Reading
from backtest.live.records import Cursor, Run, SignalRow
from backtest.live.schema import SCHEMA, VERSION
from backtest.venue.evidence import Evidence
from backtest.venue.failpoint import hit
from backtest.wire import tag_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import Self

    from backtest.live.outcome import Outcome

__all__ = ["Cursor", "Journal", "Run", "SignalRow"]

_FOUND = Evidence(error="FoundSending")
_OFTEN = 100


class Journal(Reading):
    """The emitter's memory.

    Parameters
    ----------
    path
        Made where it is not there.
    run
        Who starts. None only reads, without the lock.

    Raises
    ------
    InvalidSettingError
        For a journal of another account or mode, one that another process writes, or a file that is none.
    StorageError
        Where the disk refuses, or the file is damaged.
    """

    def __init__(self, path: Path | str, run: Run | None = None) -> None:
        self.path = Path(path)
        if run is None and not self.path.exists():
            raise InvalidSettingError(f"there is no journal {self.path}; backtest emit makes one")
        self._lock = Lock(self.path) if run else None
        self._untidy = 0  # transactions since the last tidy
        try:
            with self._storage():
                self._db = self._connect()
                self._check()
                if run:
                    self._start(run)
        except BaseException:
            if self._lock:
                self._lock.release()
            raise

    def _connect(self) -> sqlite3.Connection:
        if self._lock is None:
            return sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)
        return sqlite3.connect(self.path, isolation_level=None)

    def _check(self) -> None:
        known = self._one("SELECT count(*) FROM sqlite_master")
        version = self._one("PRAGMA user_version")
        if known and version != VERSION:
            raise InvalidSettingError(f"{self.path} is no journal of version {VERSION}; name another file")
        if known and (verdict := self._one("PRAGMA quick_check(1)")) != "ok":
            raise StorageError(f"the journal {self.path} is damaged ({verdict}); put it aside and keep it for a person")

    def _start(self, run: Run) -> None:
        db = self._db
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA foreign_keys=ON")
        db.execute("PRAGMA wal_autocheckpoint=0")  # :meth:`tidy` does it where no call waits for it
        if not self._one("SELECT count(*) FROM sqlite_master"):
            db.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version={VERSION}; COMMIT;")
        first = db.execute("SELECT mode, account FROM run ORDER BY id LIMIT 1").fetchone()
        if first and first[0] != run.mode:
            raise InvalidSettingError(f"{self.path} is a journal of mode {first[0]}, not {run.mode}; name another file")
        if first and first[1] != run.account:
            raise InvalidSettingError(
                f"{self.path} is the journal of account {first[1]}, the key given is that of {run.account}; "
                "name another file, or check ANNY_API_KEY"
            )
        with self._transaction():
            row = (run.started_at, run.mode, run.account, run.code_hash, run.config_hash)
            db.execute("INSERT INTO run VALUES (NULL, ?, ?, ?, ?, ?)", row)

    def close(self) -> None:
        """Close the file and let the next writer in."""
        self._db.close()
        if self._lock:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @classmethod
    def reopen(cls, path: Path | str, now: int) -> Journal:
        """Open a journal that is there to write in it, as the account and in the mode that it is of."""
        with cls(path) as journal:
            last = journal.last_run()
        if last is None:
            raise InvalidSettingError(f"the journal {path} is empty; backtest emit fills it")
        return cls(path, Run(last.mode, last.account, now, last.code_hash, last.config_hash))

    # ------------------------------------------------------------ what changes

    def recover(self, now: int) -> list[Intent]:
        """Settle what a killed process left ``sending``: class N becomes unknown, class I is planned again."""
        with self._transaction():
            found = self.intents(State.SENDING)
            for intent in found:
                self._end(intent, now, Meaning.LOST, _FOUND)
                self._move(intent, State.PLANNED if intent.repeatable else State.UNKNOWN, "found sending at start")
            hit("K11", {intent.kind for intent in found})
        hit("K11", {intent.kind for intent in found})
        return found

    def plan(self, cursor: Cursor, intents: Iterable[Intent], ended: Iterable[str] = ()) -> list[Intent]:
        """Keep the calls of one close together with the cursor (T1); return those that were not known.

        Parameters
        ----------
        cursor
            Where the strategy is after this close.
        intents
            In the order of the calls.
        ended
            Refs of signals that have ended in the shadow book.

        Raises
        ------
        InvalidSettingError
            Where an intent is known with another body: the strategy decided otherwise than before.
        """
        with self._transaction():
            new = [intent for intent in intents if not self.knows(intent)]
            for intent in new:
                self._add(intent)
            for ref in ended:
                where = "strategy = ? AND ref = ? AND state = 'living'"
                self._db.execute(f"UPDATE signal SET state = 'ended' WHERE {where}", (cursor.strategy, ref))  # noqa: S608
            row = (cursor.strategy, cursor.symbol, cursor.timeframe, cursor.anchor, cursor.time, cursor.row_hash)
            again = "ON CONFLICT DO UPDATE SET time = excluded.time, row_hash = excluded.row_hash"
            self._db.execute(f"INSERT INTO cursor VALUES (?, ?, ?, ?, ?, ?) {again}", row)  # noqa: S608
        return new

    def begin(self, intent: Intent, now: int) -> None:
        """Keep that an attempt starts (T2): on disk before the first byte leaves, or nothing is sent."""
        hit("K13")
        with self._transaction():
            self._move(intent, State.SENDING)
            self._db.execute("INSERT INTO attempt (intent, phase, at) VALUES (?, 'start', ?)", (intent.id, now))

    def finish(self, intent: Intent, outcome: Outcome, now: int) -> None:
        """Keep what became of an attempt (T3)."""
        with self._transaction():
            self._end(intent, now, outcome.meaning, outcome.evidence)
            self._move(intent, outcome.state, outcome.note)
            if outcome.state is State.ACKED:
                self._confirm(intent, outcome.parent if intent.creates else None)

    def drop(self, intent: Intent, state: State, note: str) -> None:
        """Keep that a planned call will not be sent: expired, superseded or blocked."""
        with self._transaction():
            self._move(intent, state, note)

    def resolve(self, intent: Intent, state: State, now: int, parent: str | None = None) -> None:
        """Keep what a person found out about an unknown: landed, not_landed or abandoned."""
        with self._transaction():
            row = (intent.id, now, state.value, parent)
            self._db.execute("INSERT INTO decision VALUES (NULL, ?, ?, ?, ?)", row)
            self._move(intent, state, "decided by a person")
            if state is State.LANDED:
                self._confirm(intent, parent)
            hit("K12", {intent.kind})
        hit("K12", {intent.kind})

    def tidy(self) -> None:
        """Move what the log beside the file holds into the file, now and then; to be called where no call waits.

        It changes nothing that is kept; left to SQLite, it would come between a close and its calls.
        """
        if self._untidy >= _OFTEN:
            with self._storage():
                self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._untidy = 0

    # ------------------------------------------------------------ inside

    def _add(self, intent: Intent) -> None:
        """Plan one call; older ones that it makes pointless are superseded."""
        state = self._supersede(intent)
        if intent.creates:
            tag = tag_of(json.loads(intent.body).get("attachment_description"))
            row = (intent.level, intent.strategy, intent.symbol, tag, json.dumps(intent.prices))
            self._db.execute("INSERT INTO signal (ref, strategy, symbol, tag, wished) VALUES (?, ?, ?, ?, ?)", row)
        elif intent.kind == "updateprice":
            self._merge(intent, "wished")
        names = (intent.id, intent.strategy, intent.symbol, intent.timeframe, intent.candle, intent.kind, intent.level)
        kept = (intent.number, intent.body, intent.valid_until, intent.allow_marketable)
        rest = ("I" if intent.repeatable else "N", state.value)
        self._db.execute(
            "INSERT INTO intent (id, strategy, symbol, timeframe, candle, kind, level, number, body, valid_until,"
            " allow_marketable, class, state, seq)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(seq), 0) + 1 FROM intent))",
            (*names, *kept, *rest),
        )

    def _supersede(self, newer: Intent) -> State:
        """Give up older calls of the signal that a newer one makes pointless; return the state of the newer one.

        A price update gives way to one that states all its prices; everything that was never sent gives way to a
        cancel, and a cancel of a signal whose create was never sent has nothing to do.
        """
        if newer.kind not in {"updateprice", "cancel"}:
            return State.PLANNED
        where = "strategy = ? AND level = ? AND candle < ? AND state IN ('planned', 'unknown')"
        state = State.PLANNED
        for older in self._intents(where, newer.strategy, newer.level, newer.candle):
            covered = older.kind == "updateprice" and older.prices.keys() <= newer.prices.keys()
            pointless = older.state is State.PLANNED or older.repeatable
            if pointless and (newer.kind == "cancel" or covered):
                self._move(older, State.SUPERSEDED, f"by {newer.kind} {newer.id[:12]}")
                state = State.SUPERSEDED if older.creates else state
        return state

    def _move(self, intent: Intent, state: State, note: str = "") -> None:
        allowed = [before.value for before, after in TRANSITIONS.items() if state in after]
        marks = ", ".join("?" for _ in allowed)
        sql = f"UPDATE intent SET state = ?, note = ? WHERE id = ? AND state IN ({marks})"  # noqa: S608
        if self._db.execute(sql, (state.value, note, intent.id, *allowed)).rowcount != 1:
            now = self._one("SELECT state FROM intent WHERE id = ?", intent.id)
            raise InvalidSettingError(f"{intent.kind} {intent.id[:12]} is {now}; that cannot become {state.value}")
        if intent.creates:
            sql = "UPDATE signal SET state = ? WHERE strategy = ? AND ref = ?"
            self._db.execute(sql, (_SIGNAL_STATES[state], intent.strategy, intent.level))

    def _end(self, intent: Intent, now: int, meaning: Meaning, evidence: Evidence) -> None:
        row = (intent.id, now, meaning.value, evidence.status, evidence.result_type, evidence.error, evidence.body)
        columns = "intent, phase, at, outcome, http_status, result_type, error, response"
        self._db.execute(f"INSERT INTO attempt ({columns}) VALUES (?, 'end', ?, ?, ?, ?, ?, ?)", row)  # noqa: S608

    def _confirm(self, intent: Intent, parent: str | None) -> None:
        """Take up at the signal what the venue has performed."""
        if intent.creates:
            sql = "UPDATE signal SET parent_signal_id = ? WHERE strategy = ? AND ref = ?"
            self._db.execute(sql, (parent, intent.strategy, intent.level))
        if intent.kind == "cancel":
            sql = "UPDATE signal SET state = 'canceled' WHERE strategy = ? AND ref = ?"
            self._db.execute(sql, (intent.strategy, intent.level))
        if intent.creates or intent.kind == "updateprice":
            self._merge(intent, "confirmed")

    def _merge(self, intent: Intent, column: str) -> None:
        sql = f"UPDATE signal SET {column} = json_patch({column}, ?) WHERE strategy = ? AND ref = ?"  # noqa: S608
        found = self._db.execute(sql, (json.dumps(intent.prices), intent.strategy, intent.level))
        if found.rowcount != 1:
            raise InvalidSettingError(f"{intent.kind} is about {intent.level}, which this journal never planned")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._storage():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
                self._untidy += 1
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


_SIGNAL_STATES = {
    State.PLANNED: "planned",
    State.SENDING: "planned",
    State.ACKED: "living",
    State.LANDED: "living",
    State.UNKNOWN: "unknown",
    State.REJECTED: "dead",
    State.EXPIRED: "dead",
    State.SUPERSEDED: "dead",
    State.BLOCKED: "dead",
    State.NOT_LANDED: "dead",
    State.ABANDONED: "dead",
}
