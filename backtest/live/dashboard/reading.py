"""Reading: the view of a journal and of the emitter that may run on it; nothing is ever written from here."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from backtest.errors import BacktestError
from backtest.live.clock import WallClock
from backtest.live.commands import ask
from backtest.live.daily import DAY, drift_of
from backtest.live.dashboard.view import CallLine, Level, SeriesLine, SignalLine, StrategyLine, UnknownCard, View
from backtest.live.intent import State
from backtest.live.journal import Journal
from backtest.live.person import stop_file_of
from backtest.model.timeframe import milliseconds
from backtest.wire import read_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from backtest.live.intent import Intent
    from backtest.live.schema import Cursor, SignalRow

__all__ = ["Reading", "key_of"]

_SHOWN = ("living", "unknown")
_CALLS, _NOTICES = 60, 60
_ANSWER_SECONDS = 2.0


class Reading:
    """Reads a journal again and again; any thread may.

    Parameters
    ----------
    path
        Of the journal; it may come to be later.
    now
        Returns UTC ms; None for this machine's clock.
    """

    def __init__(self, path: Path, now: Callable[[], int] | None = None) -> None:
        self.path, self._now = path, now or WallClock().now
        self._journal: Journal | None = None
        self._lock = threading.Lock()
        self._creates: dict[tuple[str, str], dict[str, Any]] = {}
        self._names: dict[str, str] = {}
        """Of strategies by identity, as a running emitter told them."""

    def journal(self) -> Journal:
        """Return the open journal.

        Raises
        ------
        BacktestError
            Where there is none yet, or it cannot be read.
        """
        with self._lock:
            if self._journal is None:
                self._journal = Journal(self.path)
            return self._journal

    def close(self) -> None:
        """Close the journal."""
        with self._lock:
            if self._journal is not None:
                self._journal.close()
                self._journal = None

    def view(self) -> View:
        """Return everything as it is now; what cannot be read is said in it."""
        now = self._now()
        try:
            state = self.state()
            told = () if state is None else self._notices()
            journal = self.journal()
            with journal.moment():
                return self._view(journal, state, told, now)
        except (BacktestError, sqlite3.Error) as error:
            self.close()
            return View(self.path.name, now, trouble=str(error))

    def state(self) -> dict[str, Any] | None:
        """Return what a running emitter says; None where none answers."""
        with suppress(BacktestError):
            found = ask(self.path, seconds=_ANSWER_SECONDS, do="state")
            if found is not None:
                self._names |= {one["identity"]: str(one["strategy"]) for one in found.get("shadows", [])}
            return found
        return None

    def named(self, identity: str) -> str:
        """Return what a person calls a strategy, or the start of its hash where no emitter has said it."""
        return self._names.get(identity, identity[:8])

    def _view(self, journal: Journal, state: dict[str, Any] | None, told: tuple[dict[str, Any], ...], now: int) -> View:
        run = journal.last_run()
        cursors = journal.cursors()
        tally = journal.tally(now - DAY)
        drift = drift_of(tally)
        running = state is not None
        said: Mapping[str, Any] = state or {}
        signals = self.signals(journal, said, cursors)
        return View(
            journal=self.path.name,
            now=now,
            mode=run.mode if run else "",
            account=run.account if run else "",
            started=run.started_at if run else None,
            running=running,
            beaten=said.get("beaten") or None,
            reached=max((cursor.time for cursor in cursors), default=None),
            halted=bool(said.get("halted")),
            hold=str(said.get("hold", "")),
            stopped=stop_file_of(self.path).exists(),
            rate=(int(said["rate"]["left"]), int(said["rate"]["per_minute"])) if "rate" in said else None,
            flying=int(said.get("flying", 0)),
            clocks=tuple((str(name), int(off)) for name, off in said.get("clocks", {}).items()),
            limits=dict(said.get("limits", {})),
            created_today=journal.creates_since(now // DAY * DAY),
            open=journal.open_signals(),
            waiting=len(journal.intents(State.PLANNED, State.SENDING)),
            drift=drift.text,
            share=drift.share,
            candles=journal.candles_tally(now - DAY),
            tally={one.value: count for one, count in tally.items()},
            unknowns=tuple(_card(journal, one) for one in journal.intents(State.UNKNOWN)),
            signals=signals,
            calls=tuple(_call(*row) for row in journal.newest(_CALLS)),
            series=_series(said, cursors),
            strategies=self._strategies(said, cursors, signals),
            notices=told,
        )

    def _notices(self) -> tuple[dict[str, Any], ...]:
        with suppress(BacktestError):
            told = (ask(self.path, seconds=_ANSWER_SECONDS, do="notices", after=0) or {}).get("notices", [])
            return tuple(reversed(told[-_NOTICES:]))
        return ()

    def signals(self, journal: Journal, said: Mapping[str, Any], cursors: list[Cursor]) -> tuple[SignalLine, ...]:
        """Return the signals that live or may live, the newest first.

        Parameters
        ----------
        journal
            Open.
        said
            What the emitter says; empty for none.
        cursors
            Of the journal.
        """
        rows = journal.signals(*_SHOWN)
        known = {(row.strategy, row.ref) for row in rows}
        if not known <= self._creates.keys():
            found = {one.signal: {**read_object(one.body), "candle": one.candle} for one in journal.creates_of(*_SHOWN)}
            self._creates = found
        ends = {(one.strategy, one.symbol): one for one in cursors}
        shadows = {
            (book["identity"], one["ref"]): one for book in said.get("shadows", []) for one in book.get("signals", [])
        }
        lines = [
            self._signal(
                row, self._creates.get((row.strategy, row.ref), {}), ends, shadows.get((row.strategy, row.ref))
            )
            for row in rows
        ]
        return tuple(sorted(lines, key=lambda line: (-line.opened, line.symbol, line.ref)))

    def _signal(
        self,
        row: SignalRow,
        body: Mapping[str, Any],
        ends: Mapping[tuple[str, str], Cursor],
        shadow: Mapping[str, Any] | None,
    ) -> SignalLine:
        cursor = ends.get((row.strategy, row.symbol))
        prices = {**row.wished, **row.confirmed}
        entry = sorted(float(v) for k, v in prices.items() if k.startswith(("entry_price", "buy_price")))
        left = (shadow or {}).get("targets")
        targets = tuple(
            Level(float(price), reached=left is not None and number <= len(left) and left[number - 1] is None)
            for number, price in _numbered(prices)
        )
        stop = float(prices["stop_loss"]) if "stop_loss" in prices else None
        first = body.get("stop_loss")
        state = "unknown" if row.state == "unknown" else str((shadow or {}).get("status", row.state))
        return SignalLine(
            key=key_of(row.strategy, row.ref),
            ref=row.ref,
            identity=row.strategy,
            strategy=self.named(row.strategy),
            symbol=row.symbol,
            timeframe=cursor.timeframe if cursor else "",
            exchange=cursor.exchange if cursor else "",
            side=-1 if body.get("type") == "short" else 1,
            state=state,
            opened=int(body.get("candle", 0)),
            tag=row.tag or "",
            parent=row.parent_signal_id or "",
            entry=tuple(entry),
            targets=targets,
            stop=stop if shadow is None else shadow["stop"],
            first_stop=None if first is None else float(first),
            trailing=bool((shadow or {}).get("trailing")),
            last=cursor.close if cursor else None,
            average=(shadow or {}).get("average"),
            quantity=float((shadow or {}).get("quantity") or 0.0),
        )

    def _strategies(
        self, said: Mapping[str, Any], cursors: list[Cursor], signals: tuple[SignalLine, ...]
    ) -> tuple[StrategyLine, ...]:
        books = {book["identity"]: book for book in said.get("shadows", [])}
        halted = [str(one["halted"]) for one in said.get("strategies", [])]
        lines = []
        for identity in dict.fromkeys([*(one.strategy for one in cursors), *books]):
            mine = [one for one in cursors if one.strategy == identity]
            book = books.get(identity, {})
            symbols = book.get("symbols") or [one.symbol for one in mine]
            name, number = self.named(identity), list(books).index(identity) if identity in books else -1
            lines.append(
                StrategyLine(
                    identity=identity,
                    name=name,
                    markets=", ".join(symbols[:4]) + (f" and {len(symbols) - 4} more" if len(symbols) > 4 else ""),
                    timeframe=book.get("timeframe") or (mine[0].timeframe if mine else ""),
                    open=sum(one.identity == identity for one in signals),
                    halted=halted[number] if 0 <= number < len(halted) else "",
                    balance=book.get("balance"),
                    equity=book.get("equity"),
                    curve=tuple((int(time), float(value)) for time, value in book.get("curve", [])),
                )
            )
        return tuple(lines)


def key_of(strategy: str, ref: str) -> str:
    """Return what names a signal on the page and in addresses: 12 hex digits, whatever the ref holds."""
    return hashlib.sha256(f"{strategy}\n{ref}".encode()).hexdigest()[:12]


def _numbered(prices: Mapping[str, str]) -> list[tuple[int, str]]:
    found = [(name, price) for name, price in prices.items() if name.startswith(("exit_price_", "sell_price_"))]
    return sorted((int(name.rpartition("_")[2]), price) for name, price in found if name[-1].isdigit())


def _call(intent: Intent, note: str, at: int, began: int | None) -> CallLine:
    delay = None if began is None else began - intent.candle
    what = (intent.id[:12], intent.kind, intent.symbol, intent.ref, intent.state.value)
    return CallLine(*what, note, intent.candle, at, delay)


def _card(journal: Journal, intent: Intent) -> UnknownCard:
    attempts, row = journal.attempts(intent), journal.signal(*intent.signal)
    starts = [one["at"] for one in attempts if one["phase"] == "start"]
    ends = [one["at"] for one in attempts if one["phase"] == "end"]
    last = attempts[-1] if attempts else {}
    evidence = " ".join(str(last[name]) for name in ("http_status", "result_type", "error") if last.get(name))
    return UnknownCard(
        id=intent.id[:12],
        kind=intent.kind,
        symbol=intent.symbol,
        ref=intent.ref,
        tag=row.tag or "" if row else "",
        parent=row.parent_signal_id or "" if row else "",
        creates=intent.creates,
        began=starts[0] if starts else None,
        ended=ends[-1] if ends else None,
        evidence=evidence or "none",
        body=intent.body,
    )


def _series(said: Mapping[str, Any], cursors: list[Cursor]) -> tuple[SeriesLine, ...]:
    """Return the series as the emitter follows them, or as far as the journal has them.

    A series that has had no close since the emitter started shows the newest that the journal has.
    """
    seen = {(one.exchange, one.symbol, one.timeframe): one for one in cursors}
    if "series" in said:
        acted = {key: one.time for key, one in seen.items()}
        return tuple(
            SeriesLine(
                exchange=str(one["exchange"]),
                symbol=str(one["symbol"]),
                timeframe=str(one["timeframe"]),
                span=milliseconds(one["timeframe"]),
                phase=str(one["phase"]),
                closed=one["closed"] or acted.get((one["exchange"], one["symbol"], one["timeframe"])),
                lag=one["lag"],
                source=str(one["source"] or ""),
            )
            for one in said["series"]
        )
    return tuple(
        SeriesLine(
            one.exchange, one.symbol, one.timeframe, milliseconds(one.timeframe), "stopped", one.time, None, source=""
        )
        for one in seen.values()
    )
