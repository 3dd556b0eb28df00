"""Operating: the three things that a person may do from the dashboard, through the emitter's control socket."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from backtest.errors import BacktestError, InvalidSettingError
from backtest.live.commands import ask, resolved
from backtest.live.intent import State
from backtest.live.person import stop_entries

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backtest.live.dashboard.board import Board
    from backtest.live.dashboard.reading import Reading

__all__ = ["Operator", "words_for"]

_STATES = {"landed": State.LANDED, "not_landed": State.NOT_LANDED, "abandon": State.ABANDONED}


def words_for(what: str, *, signals: int = 0, intent: str = "") -> str:
    """Return what must be typed to confirm.

    Parameters
    ----------
    what
        ``resolve``, ``cancel-all``, ``stop-entries`` or ``go-on``.
    signals
        How many would be canceled.
    intent
        Id of the unknown.
    """
    return {
        "resolve": intent[:6],
        "cancel-all": f"cancel {signals}",
        "stop-entries": "stop",
        "go-on": "go on",
    }[what]


class Operator:
    """Does what was asked for and says, in a sentence, what became of it; it never raises.

    Parameters
    ----------
    reading
        Of the journal.
    board
        Where the end of what takes a while is said.
    """

    def __init__(self, reading: Reading, board: Board) -> None:
        self._reading, self._board = reading, board
        self._canceling = threading.Lock()

    def act(self, what: str, form: Mapping[str, str]) -> str:
        """Do it.

        Parameters
        ----------
        what
            See :func:`words_for`.
        form
            The fields that were filled in.
        """
        try:
            if what == "resolve":
                return self._resolve(form)
            if what == "cancel-all":
                return self._cancel_all(form)
            if what in {"stop-entries", "go-on"}:
                return self._stop_entries(form, stop=what == "stop-entries")
        except BacktestError as error:
            return f"Nothing was done: {error}"
        return f"Nothing was done: there is no {what[:40]!r}."

    def _resolve(self, form: Mapping[str, str]) -> str:
        intent, state = form.get("intent", ""), _STATES.get(form.get("state", ""))
        if state is None:
            raise InvalidSettingError("choose landed, not landed or abandon.")
        _confirm(form, words_for("resolve", intent=intent))
        parent = form.get("parent") or None
        done = resolved(self._reading.path, intent, state, parent if state is State.LANDED else None)
        return f"{done['kind']} {done['id'][:12]} of {done['ref']} is {state.value}; {done['unknown']} unknown left."

    def _cancel_all(self, form: Mapping[str, str]) -> str:
        count = len(self._reading.journal().signals("living"))
        _confirm(form, words_for("cancel-all", signals=count))
        if not self._canceling.acquire(blocking=False):
            return "Canceling goes on already; its calls show below."
        threading.Thread(target=self._cancel, name="cancel all", daemon=True).start()
        return f"Cancels of {count} signals were asked for; their calls show below."

    def _cancel(self) -> None:
        try:
            done = ask(self._reading.path, do="cancel-all", ended=False)
            if done is None:
                self._board.say("Nothing was canceled: no emitter runs; use backtest emit cancel-all.")
                return
            states: dict[str, int] = {}
            for one in done["canceled"]:
                states[one["state"]] = states.get(one["state"], 0) + 1
            counts = ", ".join(f"{count} {state}" for state, count in states.items()) or "no signal lived"
            self._board.say(f"Cancel all ended: {counts}.")
        except BacktestError as error:
            self._board.say(f"Cancel all failed: {error}")
        finally:
            self._canceling.release()

    def _stop_entries(self, form: Mapping[str, str], *, stop: bool) -> str:
        _confirm(form, words_for("stop-entries" if stop else "go-on"))
        done: dict[str, Any] | None = ask(self._reading.path, seconds=10.0, do="stop-entries", stop=stop)
        if done is None:
            stop_entries(self._reading.path, stop=stop)
        return "Entries are stopped, over restarts too; exits still go." if stop else "Entries go again."


def _confirm(form: Mapping[str, str], words: str) -> None:
    if form.get("confirm", "").lower() != words:
        raise InvalidSettingError(f"type {words!r} to confirm, typed was {form.get('confirm', '')[:40]!r}.")
