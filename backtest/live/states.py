"""States: where calls and their signals stand, as the journal keeps it, and what gives way to what."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from backtest.errors import InvalidSettingError
from backtest.live.chain import seal
from backtest.live.intent import TRANSITIONS, Intent, State
from backtest.wire import tag_of

if TYPE_CHECKING:
    import sqlite3

    from backtest.live.chain import Chain
    from backtest.live.questions import Questions
    from backtest.venue.verdict import Verdict

__all__ = ["States"]

_NEVER_SENT = "the create was never sent"
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


class States:
    """What is written of calls and signals, always within a transaction of the journal.

    Of two calls of a signal the newer may leave nothing to do for the older one: a price update gives way to one that
    states all its prices, and everything that was never sent gives way to a cancel. A cancel of a signal whose create was
    never sent has nothing to do either. Either call may be the one that comes: the newer one when it is planned, the older
    one when it comes back from an attempt (:meth:`plan`, :meth:`give_way`).

    Parameters
    ----------
    db
        Open to be written, with the journal's tables.
    chain, kept
        Of the journal, and what may be asked of it.
    """

    def __init__(self, db: sqlite3.Connection, chain: Chain, kept: Questions) -> None:
        self._db, self._chain, self._kept = db, chain, kept

    def plan(self, intent: Intent, now: int) -> Intent:
        """Plan one call and return it as it is kept; older ones that it makes pointless are superseded.

        Parameters
        ----------
        intent
            New to the journal.
        now
            UTC ms, for the record.
        """
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
            self.move(intent, state, now, _NEVER_SENT)
        return replace(intent, seq=seq, state=state)

    def _supersede(self, newer: Intent, now: int) -> State:
        """Let older calls give way to a newer one that comes; return the state of the newer one."""
        if newer.kind not in {"updateprice", "cancel"}:
            return State.PLANNED
        state = State.PLANNED
        for older in self._kept.waiting_before(newer):
            if self._give_way_to(newer, older, now):
                state = State.SUPERSEDED if older.creates else state
        return state

    def give_way(self, older: Intent, now: int) -> State:
        """Let an older call that comes back give way to what was planned meanwhile; return the state of the older one.

        Parameters
        ----------
        older
            Whose attempt has ended, with the state that it is in.
        now
            UTC ms, for the record.
        """
        if older.state not in {State.PLANNED, State.UNKNOWN}:
            return older.state
        for newer in self._kept.planned_after(older):
            if self._give_way_to(newer, older, now):
                if older.creates:
                    self.move(newer, State.SUPERSEDED, now, _NEVER_SENT)
                return State.SUPERSEDED
        return older.state

    def _give_way_to(self, newer: Intent, older: Intent, now: int) -> bool:
        """Supersede the older of two calls where the newer leaves nothing to do for it; return whether."""
        if not _is_pointless(older, newer):
            return False
        self.move(older, State.SUPERSEDED, now, f"by {newer.kind} {newer.id[:12]}")
        return True

    def overtaken(self, intent: Intent) -> bool:
        """Whether a newer call has superseded one since it was read."""
        return self._kept.state_of(intent) == State.SUPERSEDED.value

    def move(self, intent: Intent, state: State, now: int, note: str = "", parent: str | None = None) -> None:
        """Let a call, and the signal that it creates, be in another state.

        Parameters
        ----------
        intent, state
            Which one, and its new state.
        now
            UTC ms, for the record.
        note
            Why.
        parent
            The venue's name of the signal, where that is known now.

        Raises
        ------
        InvalidSettingError
            Where the state that it is in does not allow that.
        """
        allowed = [before.value for before, after in TRANSITIONS.items() if state in after]
        marks = ", ".join("?" for _ in allowed)
        sql = f"UPDATE intent SET state = ?, note = ? WHERE id = ? AND state IN ({marks})"  # noqa: S608
        if self._db.execute(sql, (state.value, note, intent.id, *allowed)).rowcount != 1:
            found = self._kept.state_of(intent)
            raise InvalidSettingError(f"{intent.kind} {intent.id[:12]} is {found}; that cannot become {state.value}")
        self._chain.add("event", (now, intent.id, state.value, note, parent))
        if intent.creates:
            self._change(intent, "state = ?", _SIGNAL_STATES[state])

    def start(self, intent: Intent, now: int) -> None:
        """Keep that an attempt starts.

        Parameters
        ----------
        intent
            Of which call.
        now
            UTC ms.
        """
        self.move(intent, State.SENDING, now)
        self._chain.add("attempt", (intent.id, "start", now, "", None, "", "", ""))

    def end(self, intent: Intent, now: int, verdict: Verdict) -> None:
        """Keep that an attempt has ended.

        Parameters
        ----------
        intent
            Of which call.
        now
            UTC ms.
        verdict
            What the answer proved.
        """
        shown = (verdict.status, verdict.result_type, verdict.error, verdict.body)
        self._chain.add("attempt", (intent.id, "end", now, verdict.meaning.value, *shown))

    def confirm(self, intent: Intent, parent: str | None) -> None:
        """Take up at the signal what the venue has performed.

        Parameters
        ----------
        intent
            The call.
        parent
            The venue's name of a signal that was created.
        """
        if intent.creates:
            self._change(intent, "parent_signal_id = ?", parent)
        if intent.kind == "cancel":
            self._change(intent, "state = ?", "canceled")
        if intent.creates or intent.kind == "updateprice":
            self._merge(intent, "confirmed")

    def turn(self, strategy: str, ref: str, before: str, after: str) -> None:
        """Let a signal be in another state by the shadow book, where it is in the one ``before``.

        Parameters
        ----------
        strategy, ref
            Which signal.
        before, after
            Its states.
        """
        sql = "UPDATE signal SET state = ? WHERE strategy = ? AND ref = ? AND state = ?"
        if self._db.execute(sql, (after, strategy, ref, before)).rowcount:
            seal(self._db, "signal", "strategy = ? AND ref = ?", strategy, ref)

    def _merge(self, intent: Intent, column: str) -> None:
        self._change(intent, f"{column} = json_patch({column}, ?)", json.dumps(intent.prices))

    def _change(self, intent: Intent, what: str, value: str | None) -> None:
        where = "strategy = ? AND ref = ?"
        if self._db.execute(f"UPDATE signal SET {what} WHERE {where}", (value, *intent.signal)).rowcount != 1:  # noqa: S608
            raise InvalidSettingError(f"{intent.kind} is about {intent.ref}, which this journal never planned")
        seal(self._db, "signal", where, *intent.signal)


def _is_pointless(older: Intent, newer: Intent) -> bool:
    """Whether a price update or a cancel leaves nothing to do for an older call of its signal."""
    updates = older.kind == newer.kind == "updateprice"
    may_go = older.state is State.PLANNED or older.repeatable
    return may_go and (newer.kind == "cancel" or (updates and older.prices.keys() <= newer.prices.keys()))
