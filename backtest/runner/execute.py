"""Execute: walk the candles once in one mode, asking the strategy where it wants to be asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.engine.codes import C_REFUSED, C_REFUSED_CREATE, C_VOID
from backtest.engine.simulator import SimulatedVenue
from backtest.errors import InvalidSettingError, InvalidSignalError
from backtest.model.calls import placed_call
from backtest.model.progress import progress
from backtest.runner.decision import Decision, Refusal
from backtest.runner.desk import Desk, hears_events, row_fields, table_rows, taken
from backtest.runner.memory import keep_freed_columns
from backtest.runner.scout import Scout
from backtest.runner.table_lane import refused_at, table_records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from backtest.engine.history import MarketHistory
    from backtest.model.assumptions import VenueAssumptions
    from backtest.model.calls import Call
    from backtest.model.intake import Condition
    from backtest.model.profile import SubscriberProfile
    from backtest.strategy import Indicators, SignalTable, Strategy

__all__ = ["Execution", "Prepared", "execute", "prepare"]

LONG = 200_000
"""Candles above which a run tells how far it is, where Python decides between them."""

_NO_POSITIONS: NDArray[np.int64] = np.empty(0, np.int64)


@dataclass(slots=True)
class Prepared:
    """What a strategy computes once over the candles of one market, whatever the mode."""

    history: MarketHistory
    ind: Indicators
    table: SignalTable | None
    records: Any
    asked: NDArray[np.int64]


@dataclass
class Execution:
    """One run in one mode: the venue as it stands at the end, and the calls as they were decided."""

    venue: SimulatedVenue
    prepared: Sequence[Prepared]
    desks: Sequence[Desk]
    made: list[Decision | Refusal] = field(default_factory=list)
    from_tables: bool = False

    @cached_property
    def decisions(self) -> list[Decision]:
        """The calls that were sent, in order of time; those of a pure table become objects when first asked for."""
        return [one for one in self._all if isinstance(one, Decision)]

    @cached_property
    def refusals(self) -> list[Refusal]:
        """The calls that the desk refused, in order of time (L3.8): never sent, in a backtest, on paper or live."""
        if self.from_tables and not any((part.records["kind"] >= C_REFUSED_CREATE).any() for part in self.prepared):
            return []
        return [one for one in self._all if isinstance(one, Refusal)]

    @cached_property
    def _all(self) -> list[Decision | Refusal]:
        if not self.from_tables:
            return self.made
        self.name_signals()
        found = [
            one
            for q in range(len(self.prepared))
            for k, at, number in zip(*self._made(q), strict=True)
            for one in self._row(q, k, at, number)
        ]
        found.sort(key=lambda one: one.at)
        return found

    def strict_error(self) -> InvalidSignalError:
        """Return the first refusal of a table as the error that it is to a strict run."""
        first = self.refusals[0]
        desk = next(desk for desk in self.desks if first.signal.startswith(f"{desk.symbol}-"))
        return desk.named(InvalidSignalError(first.reason, first.field), first.at)

    def close_index(self) -> pd.DatetimeIndex:
        """Return the times of the equity points as a pandas index, UTC; that of the candles where there is one market."""
        import pandas as pd

        if len(self.prepared) == 1:
            return self.prepared[0].history.candles.close_index
        return pd.DatetimeIndex(self.venue.equity_time.view("M8[ms]"), tz="UTC", name="time")

    def name_signals(self) -> None:
        """Give the signals of tables the refs that :class:`Desk` gives them (``SYMBOL-closeMs-n``)."""
        if not self.from_tables:
            return
        for q, desk in enumerate(self.desks):
            first = int(np.searchsorted(self.venue.markets_of, q))  # tables are sent market by market
            made, at, number = self._made(q)
            self.venue.name_signals(first, made, desk.refs(at, number))

    def _made(self, q: int) -> tuple[list[int], list[int], list[int]]:
        """Return rows, close times and numbers within the close of the creates of a table that were made."""
        part = self.prepared[q]
        assert part.table is not None  # noqa: S101
        rows, made = part.table.rows, self.venue.table_creates(q)
        at = part.history.candles.time[rows[made]] + part.history.candles.milliseconds
        number = np.arange(len(made)) - np.searchsorted(rows[made], rows[made])
        return made.tolist(), at.tolist(), number.tolist()

    def _row(self, q: int, k: int, at: int, number: int) -> Iterator[Decision | Refusal]:
        """Yield what the desk made of one row of a table: its create and what follows it."""
        part, desk = self.prepared[q], self.desks[q]
        assert part.table is not None  # noqa: S101
        create = desk.numbered_create(at, taken(row_fields(part.table, k), desk.market)[0], number)
        calls = [create, *part.table.calls_after(k, create.ref)]
        first = k * part.table.width
        for place, kind in enumerate(part.records["kind"][first : first + part.table.width].tolist()):
            call = create if place == 0 else placed_call(calls[place], create, desk.market)
            if kind == C_VOID:
                return
            if kind in {C_REFUSED_CREATE, C_REFUSED}:
                _, broken, reason = refused_at(part.table, desk.market)(first + place)
                yield Refusal(at, call, broken.field, broken.value, reason)
            else:
                yield Decision(at, call)


def prepare(strategy: Strategy, history: MarketHistory, *, lane: str) -> Prepared:
    """Compute indicators, and the table or the triggers, over all candles of one market.

    Raises
    ------
    InvalidSignalError
        For the first row of a table that is a fault of the code, naming its candle.
    """
    keep_freed_columns()
    candles = history.candles
    ind = strategy.indicators(candles)
    if lane == "table":
        table = strategy.signals(candles, ind)
        if len(table) and not 0 <= int(table.rows[0]) <= int(table.rows[-1]) < len(candles):
            raise InvalidSettingError(
                f"SignalTable.at lies within the {len(candles)} candles, was {int(table.rows[0])} to {int(table.rows[-1])}"
            )
        try:
            records = table_records(table, candles, history.market)
        except InvalidSignalError as error:
            raise InvalidSignalError(f"{type(strategy).__name__} on {candles.symbol} {error}", error.field) from None
        return Prepared(history, ind, table, records, _NO_POSITIONS)
    if not strategy.has("on_candle"):
        return Prepared(history, ind, None, None, _NO_POSITIONS)
    triggers = strategy.triggers(candles, ind)
    if triggers is None:
        return Prepared(history, ind, None, None, np.arange(len(candles)))
    if triggers.shape != (len(candles),) or triggers.dtype != np.bool_:
        raise InvalidSettingError(
            f"triggers are {len(candles)} of true and false, one a candle, had shape {triggers.shape} of {triggers.dtype}"
        )
    return Prepared(history, ind, None, None, np.flatnonzero(triggers))


def execute(
    strategy: Strategy,
    prepared: Sequence[Prepared],
    profile: SubscriberProfile,
    assumptions: VenueAssumptions,
    *,
    strict: bool = False,
) -> Execution:
    """Run one strategy over one account to the end of the candles.

    Parameters
    ----------
    strategy
        Asked at the closes that it names.
    prepared
        What it computed over the candles of each market (:func:`prepare`).
    profile, assumptions
        On which the signals are executed.
    strict
        Whether the first call that the desk refuses is an error (L3.8).

    Raises
    ------
    InvalidSignalError
        For a fault of the strategy's code, naming candle, field and value.
    """
    hears = hears_events(strategy)
    venue = SimulatedVenue([part.history for part in prepared], profile, assumptions, want_events=hears)
    desks = [Desk(strategy, part.history.candles, part.history.market, venue, strict=strict) for part in prepared]
    pure = not hears and all(part.table is not None for part in prepared)
    run = Execution(venue, prepared, desks, from_tables=pure)
    if pure:
        for q, part in enumerate(prepared):
            assert part.table is not None  # noqa: S101
            conditional, worded = part.table.while_open == "skip", refused_at(part.table, part.history.market)
            reasons = partial(_sentence, worded)
            venue.send_table(q, part.records, width=part.table.width, conditional=conditional, reasons=reasons)
        venue.settle_tables(venue.advance())
        if strict and run.refusals:
            raise run.strict_error()
        return run
    for desk, part in zip(desks, prepared, strict=True):
        desk.bind(part.history.candles, part.ind)
    if len(prepared) == 1 and prepared[0].history.detail is None:
        _walk_one(run, desks[0], prepared[0])
    else:
        _walk_many(run)
    return run


def _asked_at(part: Prepared) -> NDArray[np.int64]:
    """Return the positions at which the strategy is asked besides events: triggers, or the rows of its table."""
    return np.unique(part.table.rows) if part.table is not None else part.asked


def _decide(run: Execution, desk: Desk, part: Prepared, position: int, events: Sequence[Any], *, asked: bool) -> bool:
    """Ask at one close and send what comes back; return whether anything did."""
    table = part.table
    if table is None:
        made = desk.decide(position, events, asked=asked)
    else:
        rows = table_rows(table, position) if asked else range(0)
        made = desk.decide(position, events, asked=False, table=table, rows=rows)
    if made:
        _send(run, desk, made)
    return bool(made)


def _walk_one(run: Execution, desk: Desk, part: Prepared) -> None:
    """Walk one market: compiled code between two closes at which Python has something to decide."""
    venue, hears = run.venue, desk.hears_events
    closes, last, due = part.history.candles.close_time, len(part.history.candles) - 1, 0
    rows = None if part.table is None else partial(_decide, run, desk, part, events=(), asked=True)
    scout = Scout(desk, _asked_at(part).tolist(), partial(_send, run, desk), rows)
    watches, planned, made = desk.plan is not None and desk.plan.watches_closes, last + 1, False
    with progress("candles", len(closes) if len(closes) > LONG else 0) as bar:
        while due <= last:
            if not made:  # else a call waits for the next candle
                scout.go_ahead(last)
            if watches:
                planned = _planned(desk, closes, int(closes[due - 1]) if due else 0)
            position = venue.walk_to(min(scout.next_stop(last), planned) + 1) - 1
            desk.forget()
            events = venue.new_events() if hears else ()
            is_asked = scout.arrived(position)
            is_due = is_asked or events or position == planned
            made = bool(is_due) and _decide(run, desk, part, position, events, asked=is_asked)
            due = position + 1
            if bar.is_shown:
                bar.at(due)


def _planned(desk: Desk, closes: NDArray[np.int64], reached: int) -> int:
    """Return the position of the next close at which the strategy's plan must be asked; past the last one: none."""
    if desk.plan is None or not desk.plan.watches_closes:
        return len(closes)
    done = int(np.searchsorted(closes, reached, "right"))
    instant = desk.next_ask(int(closes[done - 1]) if done else 0)
    return len(closes) if instant is None else int(np.searchsorted(closes, instant))


def _planned_close(desk: Desk, closes: NDArray[np.int64], reached: int) -> int | None:
    position = _planned(desk, closes, reached)
    return int(closes[position]) if position < len(closes) else None


def _send(run: Execution, desk: Desk, made: Sequence[Decision | Refusal]) -> None:
    desk.send(made)
    run.made.extend(made)


def _sentence(worded: Callable[[int], tuple[Call, Condition, str]], position: int) -> str:
    return worded(position)[2]


def _walk_many(run: Execution) -> None:
    """Walk several markets, or one with detail candles, close by close where there is something to decide (L14.1)."""
    venue = run.venue
    asked = [_asked_at(part) for part in run.prepared]
    closes = [part.history.candles.close_time for part in run.prepared]
    due = (
        np.unique(np.concatenate([close[positions] for close, positions in zip(closes, asked, strict=True)]))
        if asked
        else _NO_POSITIONS
    )
    k, reached = 0, 0
    long = sum(map(len, closes)) > LONG
    with progress("closes", len(due) if long else 0) as bar:
        while True:
            target = int(due[k]) if k < len(due) else None
            planned = [_planned_close(desk, close, reached) for desk, close in zip(run.desks, closes, strict=True)]
            reached = venue.advance(min((t for t in (target, *planned) if t is not None), default=None))
            events = _by_symbol(venue.new_events()) if run.desks and run.desks[0].hears_events else {}
            is_due = target is not None and reached >= target
            for q, desk in enumerate(run.desks):
                desk.forget()
                position = int(np.searchsorted(closes[q], reached))
                closes_now = position < len(closes[q]) and closes[q][position] == reached
                is_asked = is_due and closes_now and bool(_contains(asked[q], position))
                mine = events.get(desk.symbol, ())
                if is_asked or mine or reached == planned[q]:
                    _decide(run, desk, run.prepared[q], position if closes_now else position - 1, mine, asked=is_asked)
            k += is_due
            if bar.is_shown:
                bar.at(k)
            if target is None and not events and not any(planned):
                return


def _contains(positions: NDArray[np.int64], position: int) -> bool:
    k = int(np.searchsorted(positions, position))
    return k < len(positions) and positions[k] == position


def _by_symbol(events: Sequence[Any]) -> Mapping[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for event in events:
        found.setdefault(event.symbol, []).append(event)
    return found
