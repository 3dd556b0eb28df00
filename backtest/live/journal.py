"""Journal: what shall be sent, what was tried and what became of it, in one SQLite file with one writer.

Every public method that changes something is one transaction, on disk when it returns. Any thread may call any method.
What such a transaction writes is in ``states`` (calls and signals) and ``reached`` (streams and their candles).
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import astuple, replace
from pathlib import Path
from typing import TYPE_CHECKING

from backtest.errors import InvalidSettingError, StorageError
from backtest.live import opening
from backtest.live.chain import Chain, damage
from backtest.live.copies import copied
from backtest.live.intent import Intent, State, intent_of, intents_of
from backtest.live.mark import Mark
from backtest.live.questions import Questions
from backtest.live.reached import Reached
from backtest.live.refused import kept_refusal
from backtest.live.schema import Run, SignalRow, Stream
from backtest.live.states import States
from backtest.model.calls import Cancel
from backtest.model.events import SignalRef
from backtest.venue.failpoint import hit
from backtest.venue.file_lock import FileLock
from backtest.venue.verdict import Meaning, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType
    from typing import Self

    from backtest.live.schema import Code, Decided, Seen
    from backtest.model.calls import Call
    from backtest.model.market import Market

__all__ = ["Journal"]

_FOUND = Verdict(Meaning.LOST, "found sending at start", error="FoundSending")
_OFTEN = 100


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
        try:
            with self._storage():
                self._db = opening.connect(self.path, reads=run is None)
                opening.check(self._db, self.path, reads=run is None)
                if run:
                    self._start(run)
        except BaseException:
            if hasattr(self, "_db"):
                self._db.close()
            if self._lock:
                self._lock.release()
            raise

    def _start(self, run: Run) -> None:
        opening.prepare(self._db, self._mark)
        self.verify()
        self._chain = Chain(self._db)
        self._reached, self._states = Reached(self._db, self._chain), States(self._db, self._chain, self)
        self._mark.refuse_less(self._chain.rows)
        opening.refuse_another(self._db, self.path, run)
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
                self._states.end(intent, now, _FOUND)
                state = State.PLANNED if intent.repeatable else State.UNKNOWN
                self._states.move(intent, state, now, _FOUND.reason)
                self._states.give_way(replace(intent, state=state), now)
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
                series = self._reached.series(one.stream)
                for candle in one.seen:
                    self._reached.see(series, candle)
                for told in one.told:
                    self._reached.tell(one.stream.strategy, told)
                for intent, call in zip(intents_of(one.stream, one.time, one.calls), one.calls, strict=True):
                    if self.knows(intent):
                        continue
                    kept = self._states.plan(intent, now)
                    reason = blocked(call)
                    if reason:
                        self._states.move(intent, State.BLOCKED, now, reason)
                        kept = replace(kept, state=State.BLOCKED)
                    new.append(kept)
                for refusal in one.refused:
                    self._chain.add("refusal", (*one.stream.key, *kept_refusal(refusal)))
                for ref in one.ended:
                    self._states.turn(one.stream.strategy, ref, "living", "ended")
                for ref in one.revived:
                    self._states.turn(one.stream.strategy, ref, "ended", "living")
                self._reached.reach(one, series)
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
            return self._reached.revise(stream, candle)

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
            self._reached.change_rules(stream, close, market)

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
                new.append(self._states.plan(intent, now))
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
            left = [intent for intent in intents if not self._states.overtaken(intent)]
            for intent in left:
                self._states.start(intent, now)
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
            self._states.end(intent, now, verdict)
            if state is State.ACKED and parent is not None and (other := self.named(parent)) is not None:
                state, note = State.UNKNOWN, f"the venue answered with {parent}, which is its name of {other.ref}"
            self._states.move(intent, state, now, note, parent if state is State.ACKED else None)
            if state is State.ACKED:
                self._states.confirm(intent, parent)
            else:
                state = self._states.give_way(replace(intent, state=state), now)
        return state

    def drop(self, given_up: Iterable[tuple[Intent, State, str]], now: int) -> list[tuple[Intent, State, str]]:
        """Keep that planned calls will not be sent (expired, superseded or blocked), each with the reason.

        Returns
        -------
        list of tuple
            Those that it came to: what a newer call of another thread has superseded since it was read stays so.
        """
        with self._transaction():
            left = [each for each in given_up if not self._states.overtaken(each[0])]
            for intent, state, note in left:
                self._states.move(intent, state, now, note)
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
            self._states.move(intent, state, now, "decided by a person", parent if intent.creates else None)
            if state is State.LANDED:
                self._states.confirm(intent, parent)
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
                self._reached.forget()
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self._chain.commit()
            self._untidy += 1
