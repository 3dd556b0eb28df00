"""Loss: what of each signal a venue cannot carry, and what that would have been in money."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from backtest.errors import InvalidSettingError
from backtest.model.calls import CreateSignal
from backtest.report import text
from backtest.runner.call_log import CallLog
from backtest.runner.decision import Decision
from backtest.runner.scenario import LoggedCall, walk_log
from backtest.venue.outlet.carried import Lost, carry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backtest.engine.simulator import SimulatedVenue
    from backtest.runner.finished import Finished
    from backtest.venue.outlet.carried import Carries

__all__ = ["LossReport", "SignalLoss", "loss_report"]

_OWN = ("invest", "leverage", "margin_type", "of_fill")
"""What the other side's settings decide: no run of ours knows them, so they are in no figure."""


@dataclass(frozen=True, slots=True)
class SignalLoss:
    """One signal at two venues.

    Attributes
    ----------
    ref
        Of the signal.
    lost
        What cannot be said of it, or of later calls about it.
    whole, carried
        Its PnL in quote currency where everything arrives, and where only what is carried does; after costs.
    """

    ref: str
    lost: tuple[Lost, ...]
    whole: float
    carried: float


@dataclass(frozen=True, slots=True)
class LossReport:
    """A run as it was decided, beside the same calls as a venue carries them.

    Attributes
    ----------
    venue
        Its name.
    signals
        In the order of their creates.
    whole, carried
        Total return as a fraction, of all calls and of what is carried.
    quote
        Currency of the amounts.
    """

    venue: str
    signals: tuple[SignalLoss, ...]
    whole: float
    carried: float
    quote: str

    def text(self, most: int = 20) -> str:
        """Return the report for a terminal; ``most`` is how many signals it lists, those that lose most first."""
        kinds = Counter(lost.field for one in self.signals for lost in one.lost)
        why = {lost.field: lost.why for one in self.signals for lost in one.lost}
        carried, whole = text.percent(self.carried, signed=True), text.percent(self.whole, signed=True)
        lines = [f"{self.venue}: total return {carried} of what it carries, {whole} of the calls as they were decided"]
        lines += [f"  {name}: lost {count:,} times; {why[name]}" for name, count in kinds.most_common()]
        if any(name in _OWN for name in kinds):
            lines.append("  what the other side's settings decide is in no figure here")
        ranked = sorted((one for one in self.signals if one.lost), key=lambda one: one.carried - one.whole)
        for one in ranked[:most]:
            parts = "; ".join(f"{lost.field} {lost.value}".rstrip() for lost in one.lost)
            money = f"{text.money(one.carried, signed=True)} for {text.money(one.whole, signed=True)} {self.quote}"
            lines.append(f"  {one.ref}: {money.rstrip()} ({parts})")
        if len(ranked) > most:
            lines.append(f"  and {len(ranked) - most:,} more")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def loss_report(run: Finished, carries: Carries, name: str) -> LossReport:
    """Hold a run against the same calls as a venue carries them, on the same candles, profile and assumptions.

    The calls are those that were decided: what a strategy would have decided after other fills is not asked.

    Parameters
    ----------
    run
        Of a strategy or a call log.
    carries
        What the venue can say.
    name
        Of the venue.

    Raises
    ------
    InvalidSettingError
        For a run without a signal.
    """
    made = _decisions(run)
    if not any(isinstance(one.call, CreateSignal) for one in made):
        raise InvalidSettingError("there is no signal of which something could be lost")
    lost: dict[str, list[Lost]] = {}
    kept: list[LoggedCall] = []
    for one in made:
        call, missing = carry(one.call, carries)
        lost.setdefault(one.signal, []).extend(missing)
        if call is not None:
            kept.append(LoggedCall(one.at, call))
    histories = run.histories
    whole = walk_log(histories, [LoggedCall(one.at, one.call) for one in made], run.profile, run.assumptions)
    less = walk_log(histories, kept, run.profile, run.assumptions)
    before, after = _pnl(whole), _pnl(less)
    signals = tuple(SignalLoss(str(ref), tuple(lost[ref]), before.get(ref, 0.0), after.get(ref, 0.0)) for ref in lost)
    quotes = {history.market.trade_market for history in histories}
    balance = run.profile.balance
    return LossReport(
        name, signals, _total(whole, balance), _total(less, balance), quotes.pop() if len(quotes) == 1 else ""
    )


def _decisions(run: Finished) -> Sequence[Decision]:
    if isinstance(run.strategy, CallLog):
        calls = sorted(run.strategy.calls, key=lambda one: one.at)
        return [Decision(one.at, one.call) for one in calls]
    return run.execution.decisions


def _pnl(venue: SimulatedVenue) -> dict[str, float]:
    """Return the PnL of each signal after costs; what is open counts at the last close."""
    found: dict[str, float] = {}
    for ref, out in zip(venue.refs, venue.outcomes(), strict=True):
        held = 0.0
        if out.quantity > 0.0:
            last = float(venue.histories[int(out.market)].candles.close[-1])
            held = float(out.side * out.quantity * (last - out.average))
        found[str(ref)] = float(out.realised - out.fees - out.funding) + held
    return found


def _total(venue: SimulatedVenue, balance: float) -> float:
    return venue.curve.final / balance - 1.0
