"""Report of one strategy: its calls beside the backtest's, and what the difference made."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from backtest.live.reconcile_calls import CallFault, Cause

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backtest.live.reconcile_calls import CallLine, Cost, Money

__all__ = ["Fill", "StrategyReport"]


@dataclass(frozen=True, slots=True)
class Fill:
    """A fill of the subscriber: when (open of the candle, UTC ms), what, price, quantity and fee."""

    ref: str
    time: int
    kind: str
    price: float
    quantity: float
    fee: float


@dataclass(frozen=True)
class StrategyReport:
    """One strategy's calls beside the backtest's, and what the difference made on a subscriber's account.

    Attributes
    ----------
    identity, name, parameters
        Of the journal's strategy; name and parameters of the one that was asked, empty where none was.
    same_identity
        Whether that is the journal's: another class or other parameters are another identity.
    same_code
        Whether its file is the one that the emitter last started with; None where that cannot be told.
    asked
        Whether a strategy was asked at all. Else every call that was decided counts as the backtest's.
    quote, balance
        Currency of all money, and the capital.
    lines, money, costs
        Each call, each signal, and the sums by kind of difference.
    stored_calls
        Calls that the backtest on the store's candles makes otherwise, None where there is no store: at, kind, ref, and
        its body on the candles acted on and on the store's.
    sent, backtest, stored
        What the account gained: as sent, in the backtest on the candles acted on, and on the store's.
    fills
        Of signals whose fills differ, by ref: the shadow's and the backtest's.
    """

    identity: str
    name: str
    parameters: Mapping[str, Any]
    same_identity: bool
    same_code: bool | None
    asked: bool
    quote: str
    balance: float
    lines: Sequence[CallLine]
    money: Sequence[Money]
    costs: Sequence[Cost]
    stored_calls: Sequence[tuple[int, str, str, str | None, str | None]] | None
    sent: float
    backtest: float
    stored: float | None
    fills: Mapping[str, tuple[Sequence[Fill], Sequence[Fill]]] = field(default_factory=dict)

    @property
    def expected(self) -> int:
        """How many calls the backtest makes."""
        return sum(line.expected is not None for line in self.lines)

    def count(self, fault: CallFault) -> int:
        """Return how many calls are so."""
        return sum(line.fault is fault for line in self.lines)

    @property
    def code_differs(self) -> bool:
        """Whether the strategy now decides otherwise than it did on the very same candles and outcomes."""
        return any(line.cause is Cause.CODE for line in self.lines)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        counts = {fault.value: count for fault in CallFault if (count := self.count(fault))}
        return {
            **{name: getattr(self, name) for name in ("identity", "name", "parameters", "asked", "same_identity")},
            **{name: getattr(self, name) for name in ("same_code", "quote", "balance", "expected")},
            "calls": counts,
            "gain": {"sent": self.sent, "backtest": self.backtest, "stored": self.stored},
            "costs": [cost.to_dict() for cost in self.costs],
            "signals": [{**asdict(one), "difference": one.difference} for one in self.money],
            "lines": [asdict(line) for line in self.lines if line.fault is not CallFault.EQUAL],
            "lags": [line.lag for line in self.lines if line.lag is not None],
            "stored_calls": self.stored_calls,
            "fills": {
                ref: {"sent": [asdict(one) for one in sent], "backtest": [asdict(one) for one in backtest]}
                for ref, (sent, backtest) in self.fills.items()
            },
        }
