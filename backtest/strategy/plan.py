"""Plan: the management of every signal of a strategy as data, compiled to ordinary calls at the closes of candles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from backtest.model.calls import Cancel, CreateSignal, TrailingStop, UpdatePrices
from backtest.model.events import Status
from backtest.strategy.plan_parts import BreakEvenAt, DcaLadder, MovingTarget, PercentBelowHighest, TimeStop

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from backtest.model.calls import Call
    from backtest.model.events import Event
    from backtest.model.signal import LiveSignal
    from backtest.strategy.moment import Moment

__all__ = ["Plan", "plan_of"]

Part = Annotated[BreakEvenAt | MovingTarget | PercentBelowHighest | TimeStop | DcaLadder, Field(discriminator="kind")]


class Plan(BaseModel):
    """What shall happen to each signal after its create, the same in a backtest, on paper and live.

    A strategy that declares a field ``plan: Plan = Plan(parts=(...))`` has it carried out on all of its signals, in
    both lanes; the plan is one of its parameters, so it is recorded, swept and part of the identity. It remembers
    nothing: what it does follows from the living signals, their creates and the events of the close (parity rule).

    At a close the parts that move the stop are asked together, and the best of their stops is sent as one
    :class:`UpdatePrices` if it is better than the stop in force and the market is not there yet (L11.2). What the
    strategy itself does comes first: a stop that trails by its call is left alone, and so is a signal that it cancels
    or whose stop it moves at the same close.

    Attributes
    ----------
    parts
        At most one of each kind.

    Examples
    --------
    >>> from backtest import BreakEvenAt, Plan, TimeStop
    >>> plan = Plan(parts=(BreakEvenAt(target=1), TimeStop(candles=48)))
    >>> [part.kind for part in plan.parts]
    ['break_even_at', 'time_stop']
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    parts: tuple[Part, ...] = ()

    @field_validator("parts", mode="before")
    @classmethod
    def _one_may_stand_alone(cls, value: Any) -> Any:
        return (value,) if isinstance(value, BaseModel | dict) else value

    @field_validator("parts")
    @classmethod
    def _one_of_each_kind(cls, value: tuple[Part, ...]) -> tuple[Part, ...]:
        kinds = [part.kind for part in value]
        twice = next((kind for kind in kinds if kinds.count(kind) > 1), None)
        if twice is not None:
            raise ValueError(f"a plan has one part of each kind, had two of {twice}")
        return value

    @property
    def watches_closes(self) -> bool:
        """Whether a close without events may need a call."""
        return any(isinstance(part, PercentBelowHighest | TimeStop) for part in self.parts)

    def at_close(self, now: Moment, returned: Sequence[Call], events: Sequence[Event]) -> list[Call]:
        """Return all calls of a close.

        Parameters
        ----------
        returned
            What the strategy itself returns at this close, its creates among them.
        events
            Those of the candle, of all signals, in order (L1.4).
        """
        calls = [call for create in returned if isinstance(create, CreateSignal) for call in self.opening(create)]
        canceled = {call.signal for call in returned if isinstance(call, Cancel)}
        moved = {call.signal for call in returned if not isinstance(call, CreateSignal) and _moves_the_stop(call)}
        for signal in now.signals:
            if signal.ref in canceled:
                continue
            found = self.calls_for(now, signal, [event for event in events if event.signal == signal.ref])
            calls += [call for call in found if signal.ref not in moved or isinstance(call, Cancel)]
        return calls

    def opening(self, create: CreateSignal) -> list[Call]:
        """Return the calls that follow a create at its own close: the DCA ladder, lying ready from the start."""
        return [call for part in self.parts if isinstance(part, DcaLadder) for call in part.opening(create)]

    def calls_for(self, now: Moment, signal: LiveSignal, events: Sequence[Event] = ()) -> list[Call]:
        """Return the calls for one living signal, one of ``now.signals``, and what happened to it in the candle."""
        if signal.status not in {Status.WAITING, Status.OPEN}:
            return []
        if any(part.is_over(now, signal) for part in self.parts if isinstance(part, TimeStop)):
            return [Cancel(signal.ref)]
        stop = self._stop(now, signal, events)
        return [] if stop is None else [UpdatePrices(signal.ref, stop_loss=stop)]

    def asks_at(self, signals: Iterable[LiveSignal], close_time: int, span: int) -> int | None:
        """Return the next instant, UTC ms, at which the plan must be asked besides closes with events; None: never.

        Closes before it would be answered with no call, so a run passes them in compiled code.
        """
        due = []
        for signal in signals:
            for part in self.parts:
                if isinstance(part, TimeStop) and signal.status is not Status.PENDING:
                    due.append(part.due(signal, span))
                elif isinstance(part, PercentBelowHighest) and signal.status is Status.OPEN:
                    due.append(close_time + 1)
        return min((instant for instant in due if instant > close_time), default=None)

    def most_calls(self, create: CreateSignal) -> int:
        """Return how many calls the plan may send for a signal, besides those of the strategy.

        Counted are the targets of the create as it stands. A signal may live on, and need more, where its last target is
        skipped (L6.3) or moved; and an update repeats while a latency of more than a candle keeps it from acting.
        """
        return sum(part.most_calls(create) for part in self.parts)

    def _stop(self, now: Moment, signal: LiveSignal, events: Sequence[Event]) -> float | None:
        """Return the best stop that the parts wish, if it is worth a call and not reached already."""
        if signal.trailing or signal.average_entry is None:
            return None  # nothing is bought, or a ratchet would be lost
        side, grid = signal.side, now.market_rules.price_grid
        wishes = [part.stop(now, signal, events) for part in self.parts if not isinstance(part, TimeStop | DcaLadder)]
        placed = [grid.down(wish) if side > 0 else grid.up(wish) for wish in wishes if wish is not None]
        possible = [stop for stop in placed if stop > 0.0 and side * stop < side * now.close]
        best = max(possible, key=lambda stop: side * stop, default=None)
        if best is None or (signal.stop is not None and side * best <= side * signal.stop):
            return None
        return best


def _moves_the_stop(call: Call) -> bool:
    return isinstance(call, TrailingStop) or (isinstance(call, UpdatePrices) and call.stop_loss is not None)


def plan_of(strategy: object) -> Plan | None:
    """Return the plan that a strategy declares in its field ``plan``; None without one."""
    plan = getattr(strategy, "plan", None)
    return plan if isinstance(plan, Plan) and plan.parts else None
