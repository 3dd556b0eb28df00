"""Journal: what shall be sent, what was tried and what became of it, in one SQLite file with one writer.

Every public method that changes something is one transaction, on disk when it returns. Any thread may call any method.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from contextlib import contextmanager
from dataclasses import astuple, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtest.errors import InvalidSettingError, StorageError
from backtest.live.chain import Chain, damage, seal, sealed
from backtest.live.copies import copied, read_only
from backtest.live.intent import TRANSITIONS, Intent, State, intent_of, intents_of
from backtest.live.mark import Mark
from backtest.live.questions import Questions
from backtest.live.refused import kept_refusal
from backtest.live.schema import SCHEMA, SEALED, VERSION, Run, SignalRow, Stream
from backtest.model.calls import Cancel
from backtest.model.events import SignalRef
from backtest.venue.failpoint import hit
from backtest.venue.file_lock import FileLock
from backtest.venue.verdict import Meaning, Verdict
from backtest.wire import tag_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType
    from typing import Self

    from backtest.live.schema import Code, Decided, Seen, Told
    from backtest.model.calls import Call
    from backtest.model.market import Market

__all__ = ["Journal"]

_FOUND = Verdict(Meaning.LOST, "found sending at start", error="FoundSending")
_NEVER_SENT = "the create was never sent"
_OFTEN = 100
_STANDS = "SELECT series, anchor, moved FROM cursor WHERE strategy = ? AND symbol = ? AND timeframe = ?"
_REACH = (
    f"INSERT INTO cursor ({', '.join(SEALED['cursor'])}, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "  # noqa: S608
    "ON CONFLICT DO UPDATE SET moved = excluded.moved, anchor = excluded.anchor, time = excluded.time, "
    "close = excluded.close, row_hash = excluded.row_hash, hash = excluded.hash"
)


class Journal(Questions):
    """The emitter's memory.

    Parameters
    ----------
    path
        Made where it is not there; a symbolic link is followed.
    run
        Who starts. None only reads, without the lock.

    Raises
    ------
    InvalidSettingError
        For a journal of another account, mode or version, one that another process writes, an older copy of one, or a
        file that is none.
    StorageError
        Where the disk refuses, or what is kept is not as it was written.
    """

    def __init__(self, path: Path | str, run: Run | None = None) -> None:
        self.path = Path(path).resolve()
        if run is None and not self.path.exists():
            raise InvalidSettingError(f"there is no journal {path}; backtest emit makes one")
        if self.path.is_dir():
            raise InvalidSettingError(f"the journal {path} is a folder; name the file in it")
        self._mutex = threading.RLock()
        self._mark = Mark(self.path)
        self._lock = FileLock(self.path, "the journal", self._mark.holder) if run else None
        self._mode = run.mode if run else ""
        self._untidy = 0  # transactions since the last tidy
        self._numbers: dict[tuple[str, str, str], int] = {}  # of series
        self._newest: dict[int, int] = {}  # candle of a series
        self._stands: dict[tuple[str, str, str], tuple[int, int, int]] = {}  # of a cursor: series, anchor, moved
        try:
            with self._storage():
                self._db = self._connect()
                self._check()
                if run:
                    self._start(run)
        except BaseException:
            if hasattr(self, "_db"):
                self._db.close()
            if self._lock:
                self._lock.release()
            raise

    def _connect(self) -> sqlite3.Connection:
        if self._lock is None:
            return read_only(self.path)
        return sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)

    def _check(self) -> None:
        known, version = self._one("SELECT count(*) FROM sqlite_master"), self._one("PRAGMA user_version")
        if not known and self._lock is None:
            raise InvalidSettingError(f"the journal {self.path} is empty; backtest emit fills it")
        if known and 0 < version < VERSION:
            raise InvalidSettingError(
                f"{self.path} is a journal of version {version}, which only the program that wrote it can go on with; "
                "let that one resolve its unknowns, then name another file"
            )
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
            self._mark.refuse_less({})
            db.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version={VERSION}; COMMIT;")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.verify()
        self._chain = Chain(db)
        self._mark.refuse_less(self._chain.rows)
        first = db.execute("SELECT mode, account FROM run ORDER BY id LIMIT 1").fetchone()
        if first and first[0] != run.mode:
            raise InvalidSettingError(f"{self.path} is a journal of mode {first[0]}, not {run.mode}; name another file")
        if first and first[1] != run.account:
            raise InvalidSettingError(
                f"{self.path} is the journal of account {first[1]}, the key given is that of {run.account}; "
                "name another file, or check ANNY_API_KEY"
            )
        with self._transaction():
            self._chain.add("run", (run.started_at, run.mode, run.account, run.code_hash, run.config_hash))
        self._mark.write(self._mode, self._chain.rows)

    def close(self) -> None:
        """Move all into the one file, close it and let the next writer in."""
        with self._mutex:
            try:
                if self._lock and self._lock.is_there:
                    self.tidy(now=True)
            finally:
                self._db.close()
                if self._lock:
                    self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except StorageError:
            if error is None:  # else a disk that is full, say, was told of already: by what met it first
                raise

    @classmethod
    def reopen(cls, path: Path | str, now: int) -> Journal:
        """Open a journal that is there to write in it, as the account and in the mode that it is of.

        Parameters
        ----------
        path
            Of the file.
        now
            UTC ms, for the record of this start.
        """
        with cls(path) as journal:
            last = journal.last_run()
        if last is None:
            raise InvalidSettingError(f"the journal {path} is empty; backtest emit fills it")
        return cls(path, Run(last.mode, last.account, now, last.code_hash, last.config_hash))

    def verify(self) -> None:
        """Hold every row against its hash and the chain of its table.

        Raises
        ------
        StorageError
            Naming the first row that is not as it was written.
        """
        with self._storage(), self.moment():
            found = damage(self._db)
        if found:
            raise StorageError(f"the journal {self.path} is damaged ({found}); put it aside and keep it for a person")

    def backup(self, path: Path) -> None:
        """Copy the whole journal to a new file, also while it is written.

        Raises
        ------
        InvalidSettingError
            For a file that is there already.
        StorageError
            Where the disk refuses.
        """
        with self.moment():  # else SQLite begins anew each time that the emitter writes
            copied(self._db, path)

    # ------------------------------------------------------------ what changes

    def recover(self, now: int) -> list[Intent]:
        """Settle what a killed process left ``sending``: class N becomes unknown, class I is planned again."""
        with self._transaction():
            found = self.intents(State.SENDING)
            for intent in found:
                self._end(intent, now, _FOUND)
                state = State.PLANNED if intent.repeatable else State.UNKNOWN
                self._move(intent, state, now, _FOUND.reason)
                self._give_way(replace(intent, state=state), now)
            hit("K11", {intent.kind for intent in found})
        hit("K11", {intent.kind for intent in found})
        return found

    def keep(self, decided: Sequence[Decided], now: int, blocked: Callable[[Call], str] = lambda _: "") -> list[Intent]:
        """Keep all that one pass brought: candles, outcomes told, calls and cursors (T1); return the new calls.

        Parameters
        ----------
        decided
            One for each stream that had a close; calls are planned in this order.
        now
            UTC ms, for the record.
        blocked
            Returns why a call is never to be sent, or nothing; it is kept as blocked from the beginning.

        Raises
        ------
        InvalidSettingError
            Where a call is known with another body, or a candle with another value: what was decided otherwise before
            cannot go on in this journal.
        """
        new: list[Intent] = []
        with self._transaction():
            for one in decided:
                series = self._series(one.stream)
                for candle in one.seen:
                    self._see(series, candle)
                for told in one.told:
                    self._tell(one.stream.strategy, told)
                for intent, call in zip(intents_of(one.stream, one.time, one.calls), one.calls, strict=True):
                    if self.knows(intent):
                        continue
                    kept = self._add(intent, now)
                    reason = blocked(call)
                    if reason:
                        self._move(intent, State.BLOCKED, now, reason)
                        kept = replace(kept, state=State.BLOCKED)
                    new.append(kept)
                for refusal in one.refused:
                    self._chain.add("refusal", (*one.stream.key, *kept_refusal(refusal)))
                for ref in one.ended:
                    self._turn(one.stream.strategy, ref, "living", "ended")
                for ref in one.revived:
                    self._turn(one.stream.strategy, ref, "ended", "living")
                self._reach(one, series)
        return new

    def revise(self, stream: Stream, candle: Seen) -> bool:
        """Keep what a candle was found to be later; the one that was acted on stays as it is.

        Returns
        -------
        bool
            Whether it was acted on; else nothing is kept.

        Parameters
        ----------
        stream
            Whose candle.
        candle
            As it is now.
        """
        with self._transaction():
            series = self._series(stream)
            where = "series = ? AND time = ?"
            count = self._one(f"SELECT count(*) FROM seen WHERE {where}", series, candle.time)  # noqa: S608
            if not count:
                return False
            self._chain.add("seen", (series, candle.time, count, *_floats(candle), candle.source, candle.arrived))
            self._newest.pop(series, None)
        return True

    def change_rules(self, stream: Stream, close: int, market: Market) -> None:
        """Keep that an exchange changed the rules of a market.

        Parameters
        ----------
        stream
            Whose market.
        close
            Behind which close they hold, UTC ms.
        market
            The rules.
        """
        with self._transaction():
            self._chain.add("rules", (*stream.key, close, _rules_text(market)))

    def note_code(self, code: Code) -> None:
        """Keep which code decides from a close on."""
        with self._transaction():
            self._chain.add("code", (*astuple(code)[:-1], int(code.accepted)))

    def cancel(self, stream: Stream, rows: Iterable[SignalRow], now: int) -> list[Intent]:
        """Plan the cancel that a person asks for of each of these signals; return the new ones.

        What waits already is not planned twice; what was tried before and is not confirmed is tried again.

        Parameters
        ----------
        stream
            Whose signals.
        rows
            The signals.
        now
            UTC ms, for the record.
        """
        new: list[Intent] = []
        with self._transaction():
            cursor = self.cursor(*stream.key)
            for row in rows:
                tried = self.intents_of_signal(row.strategy, row.ref, "cancel")
                if any(each.state in {State.PLANNED, State.SENDING} for each in tried):
                    continue
                number = min([0, *(each.number for each in tried)]) - 1
                at = cursor.time if cursor else 0
                intent = intent_of(stream, at, Cancel(SignalRef(row.ref)), number)
                if stream.max_lag is not None:
                    intent = replace(intent, valid_until=now + stream.max_lag)
                new.append(self._add(intent, now))
        return new

    def begin(self, intents: Sequence[Intent], now: int) -> list[Intent]:
        """Keep that attempts start (T2): on disk before the first byte leaves, or nothing is sent.

        Returns
        -------
        list of Intent
            Those whose attempt starts: what a newer call of another thread has superseded since it was read does not.
        """
        hit("K13", [intent.kind for intent in intents])
        if self._lock is None or not self._lock.is_there:
            raise StorageError(f"the journal {self.path} was moved or replaced while it is written; nothing is sent")
        with self._transaction():
            left = [intent for intent in intents if not self._overtaken(intent)]
            for intent in left:
                self._move(intent, State.SENDING, now)
                self._chain.add("attempt", (intent.id, "start", now, "", None, "", "", ""))
        return left

    def finish(self, intent: Intent, verdict: Verdict, state: State, now: int) -> State:
        """Keep what became of an attempt (T3); return the state that it is in.

        A create that was performed under the name of another signal is unknown: a person must find out. What would be
        sent again, or be unknown, and is pointless by what was planned while it was on its way, is superseded.

        Parameters
        ----------
        intent, verdict
            What was sent, and what that proved.
        state
            In which that leaves it.
        now
            UTC ms.
        """
        note, parent = verdict.reason, verdict.parent_signal_id if intent.creates else None
        with self._transaction():
            self._end(intent, now, verdict)
            if state is State.ACKED and parent is not None and (other := self.named(parent)) is not None:
                state, note = State.UNKNOWN, f"the venue answered with {parent}, which is its name of {other.ref}"
            self._move(intent, state, now, note, parent if state is State.ACKED else None)
            if state is State.ACKED:
                self._confirm(intent, parent)
            else:
                state = self._give_way(replace(intent, state=state), now)
        return state

    def drop(self, given_up: Iterable[tuple[Intent, State, str]], now: int) -> list[tuple[Intent, State, str]]:
        """Keep that planned calls will not be sent (expired, superseded or blocked), each with the reason.

        Returns
        -------
        list of tuple
            Those that it came to: what a newer call of another thread has superseded since it was read stays so.
        """
        with self._transaction():
            left = [each for each in given_up if not self._overtaken(each[0])]
            for intent, state, note in left:
                self._move(intent, state, now, note)
        return left

    def resolve(self, intent: Intent, state: State, now: int, parent: str | None = None) -> None:
        """Keep what a person found out about an unknown.

        Parameters
        ----------
        intent
            The unknown.
        state
            ``landed``, ``not_landed`` or ``abandoned``.
        now
            UTC ms.
        parent
            The venue's name of the signal, of one that landed.
        """
        with self._transaction():
            self._chain.add("decision", (intent.id, now, state.value, parent))
            self._move(intent, state, now, "decided by a person", parent if intent.creates else None)
            if state is State.LANDED:
                self._confirm(intent, parent)
            hit("K12", {intent.kind})
        hit("K12", {intent.kind})

    def tidy(self, *, now: bool = False) -> None:
        """Move what the log beside the file holds into the file, so that a copy of it alone is whole.

        Where no call waits for it: always with ``now``, else once in a while. It changes nothing that is kept; left to
        SQLite, it would come between a close and its calls.
        """
        with self._mutex:
            if self._untidy >= (1 if now else _OFTEN):
                with self._storage():
                    self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
                    self._mark.write(self._mode, self._chain.rows)
                self._untidy = 0

    # ------------------------------------------------------------ inside

    def _series(self, stream: Stream) -> int:
        key = (stream.exchange, stream.symbol, stream.timeframe)
        if key not in self._numbers:
            where = "exchange = ? AND symbol = ? AND timeframe = ?"
            found = self._one(f"SELECT id FROM series WHERE {where}", *key)  # noqa: S608
            self._numbers[key] = int(found) if found else self._chain.add("series", (*key, int(stream.volumes)))
        return self._numbers[key]

    def _see(self, series: int, candle: Seen) -> None:
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
            self._newest[series] = self._one("SELECT coalesce(max(time), -1) FROM seen WHERE series = ?", series)
        if time > self._newest[series]:
            return None
        columns = "time, open, high, low, close, volume"
        where = "series = ? AND time = ? AND revision = 0"
        found: tuple[Any, ...] | None = self._db.execute(
            f"SELECT {columns} FROM seen WHERE {where}",  # noqa: S608
            (series, time),
        ).fetchone()
        return found

    def _tell(self, strategy: str, told: Told) -> None:
        self._chain.add("told", (strategy, told.intent, told.outcome, told.entered, told.close, told.reason))

    def _reach(self, one: Decided, series: int) -> None:
        last = one.seen[-1] if one.seen else None
        found = self._stands.get(one.stream.key)
        if found is None:
            found = self._db.execute(_STANDS, one.stream.key).fetchone()
        before = None if found is None else found[1]
        if before is None and one.market is not None:
            self._chain.add("rules", (*one.stream.key, one.start, _rules_text(one.market)))
        if before != one.anchor:
            self._chain.add("anchor", (*one.stream.key, one.start if before is None else one.time, one.anchor))
        moved = one.time if found is None or before != one.anchor else found[2]
        place = series if found is None else found[0]
        row = (*one.stream.key, place, one.anchor, moved, one.time, _close(last), row_hash(last))
        self._db.execute(_REACH, (*row, sealed(row)))
        self._stands[one.stream.key] = place, one.anchor, moved

    def _add(self, intent: Intent, now: int) -> Intent:
        """Plan one call and return it as it is kept; older ones that it makes pointless are superseded."""
        state = self._supersede(intent, now)
        if intent.creates:
            tag = tag_of(json.loads(intent.body).get("attachment_description"))
            row = (intent.ref, intent.strategy, intent.symbol, tag, json.dumps(intent.prices))
            self._db.execute("INSERT INTO signal (ref, strategy, symbol, tag, wished) VALUES (?, ?, ?, ?, ?)", row)
            seal(self._db, "signal", "strategy = ? AND ref = ?", *intent.signal)
        elif intent.kind == "updateprice":
            self._merge(intent, "wished")
        names = (intent.id, intent.strategy, intent.symbol, intent.timeframe, intent.candle, intent.kind, intent.ref)
        kept = (intent.number, intent.body, intent.valid_until, int(intent.allow_marketable))
        seq = self._chain.add("intent", (*names, *kept, "I" if intent.repeatable else "N"))
        self._chain.add("event", (now, intent.id, State.PLANNED.value, "", None))
        if state is not State.PLANNED:
            self._move(intent, state, now, _NEVER_SENT)
        return replace(intent, seq=seq, state=state)

    def _supersede(self, newer: Intent, now: int) -> State:
        """Give up older calls of the signal that a newer one makes pointless; return the state of the newer one.

        A price update gives way to one that states all its prices; everything that was never sent gives way to a
        cancel, and a cancel of a signal whose create was never sent has nothing to do.
        """
        if newer.kind not in {"updateprice", "cancel"}:
            return State.PLANNED
        where = "strategy = ? AND ref = ? AND candle < ? AND state IN ('planned', 'unknown')"
        state, before = State.PLANNED, newer.candle + newer.by_person
        for older in self._intents(where, newer.strategy, newer.ref, before):
            if _is_pointless(older, newer):
                self._move(older, State.SUPERSEDED, now, f"by {newer.kind} {newer.id[:12]}")
                state = State.SUPERSEDED if older.creates else state
        return state

    def _give_way(self, older: Intent, now: int) -> State:
        """Let a call that was on its way give way to what was planned meanwhile, as one that waited; return its state."""
        if older.state not in {State.PLANNED, State.UNKNOWN}:
            return older.state
        where = "strategy = ? AND ref = ? AND seq > ? AND candle + (number < 0) > ? AND state = 'planned'"
        for newer in self._intents(where, older.strategy, older.ref, older.seq, older.candle):
            if newer.kind in {"updateprice", "cancel"} and _is_pointless(older, newer):
                self._move(older, State.SUPERSEDED, now, f"by {newer.kind} {newer.id[:12]}")
                if older.creates:
                    self._move(newer, State.SUPERSEDED, now, _NEVER_SENT)
                return State.SUPERSEDED
        return older.state

    def _overtaken(self, intent: Intent) -> bool:
        """Whether a newer call has superseded one since it was read."""
        return bool(self._one("SELECT state FROM intent WHERE id = ?", intent.id) == State.SUPERSEDED.value)

    def _move(self, intent: Intent, state: State, now: int, note: str = "", parent: str | None = None) -> None:
        allowed = [before.value for before, after in TRANSITIONS.items() if state in after]
        marks = ", ".join("?" for _ in allowed)
        sql = f"UPDATE intent SET state = ?, note = ? WHERE id = ? AND state IN ({marks})"  # noqa: S608
        if self._db.execute(sql, (state.value, note, intent.id, *allowed)).rowcount != 1:
            found = self._one("SELECT state FROM intent WHERE id = ?", intent.id)
            raise InvalidSettingError(f"{intent.kind} {intent.id[:12]} is {found}; that cannot become {state.value}")
        self._chain.add("event", (now, intent.id, state.value, note, parent))
        if intent.creates:
            self._change(intent, "state = ?", _SIGNAL_STATES[state])

    def _end(self, intent: Intent, now: int, verdict: Verdict) -> None:
        shown = (verdict.status, verdict.result_type, verdict.error, verdict.body)
        self._chain.add("attempt", (intent.id, "end", now, verdict.meaning.value, *shown))

    def _confirm(self, intent: Intent, parent: str | None) -> None:
        """Take up at the signal what the venue has performed."""
        if intent.creates:
            self._change(intent, "parent_signal_id = ?", parent)
        if intent.kind == "cancel":
            self._change(intent, "state = ?", "canceled")
        if intent.creates or intent.kind == "updateprice":
            self._merge(intent, "confirmed")

    def _merge(self, intent: Intent, column: str) -> None:
        self._change(intent, f"{column} = json_patch({column}, ?)", json.dumps(intent.prices))

    def _turn(self, strategy: str, ref: str, before: str, after: str) -> None:
        """Let a signal be in another state by the shadow book, where it is in the one ``before``."""
        sql = "UPDATE signal SET state = ? WHERE strategy = ? AND ref = ? AND state = ?"
        if self._db.execute(sql, (after, strategy, ref, before)).rowcount:
            seal(self._db, "signal", "strategy = ? AND ref = ?", strategy, ref)

    def _change(self, intent: Intent, what: str, value: str | None) -> None:
        where = "strategy = ? AND ref = ?"
        if self._db.execute(f"UPDATE signal SET {what} WHERE {where}", (value, *intent.signal)).rowcount != 1:  # noqa: S608
            raise InvalidSettingError(f"{intent.kind} is about {intent.ref}, which this journal never planned")
        seal(self._db, "signal", where, *intent.signal)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._mutex, self._storage():
            if self._lock is None:
                raise StorageError(f"the journal {self.path} cannot be used: it was opened for reading")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._chain.write()
                self._db.execute("COMMIT")
            except BaseException:
                self._chain.rollback()
                for known in (self._numbers, self._newest, self._stands):
                    known.clear()
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self._chain.commit()
            self._untidy += 1


def row_hash(candle: Seen | None) -> str:
    """Return 16 hex digits that change with any value of a candle; empty for none."""
    return hashlib.sha256(repr((candle.time, *_floats(candle))).encode()).hexdigest()[:16] if candle else ""


def _is_pointless(older: Intent, newer: Intent) -> bool:
    """Whether a price update or a cancel leaves nothing to do for an older call of its signal."""
    covered = older.kind == "updateprice" and older.prices.keys() <= newer.prices.keys()
    may_go = older.state is State.PLANNED or older.repeatable
    return may_go and (newer.kind == "cancel" or covered)


def _rules_text(market: Market) -> str:
    return json.dumps(market.to_dict(), separators=(",", ":"))


def _close(candle: Seen | None) -> float | None:
    return None if candle is None or candle.close is None else float(candle.close)


def _floats(candle: Seen) -> list[float | None]:
    """Return prices and volume as the database gives them back."""
    return [None if value is None else float(value) for value in candle.row[1:]]


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
