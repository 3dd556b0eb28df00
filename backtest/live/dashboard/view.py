"""View: everything that the dashboard shows at one moment, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["CallLine", "Level", "SeriesLine", "SignalLine", "StrategyLine", "UnknownCard", "View"]


@dataclass(frozen=True, slots=True)
class Level:
    """A price of a signal, and whether it was reached."""

    price: float
    reached: bool = False


@dataclass(frozen=True, slots=True)
class SignalLine:
    """A signal that lives or may live.

    Attributes
    ----------
    key
        Names it on the page.
    ref, identity, strategy
        Our name of it; whose it is, as the journal and as a person names it.
    side
        +1 or -1.
    state
        ``unknown``, else that of the shadow book (``waiting``, ``open``), else ``living``.
    opened
        Close at which it was created, UTC ms.
    entry
        Its entry prices, lowest first.
    last
        The last close of its market; None before the first.
    average, quantity
        Of the shadow's position; average None while flat.
    """

    key: str
    ref: str
    identity: str
    strategy: str
    symbol: str
    timeframe: str
    exchange: str
    side: int
    state: str
    opened: int
    tag: str = ""
    parent: str = ""
    entry: tuple[float, ...] = ()
    targets: tuple[Level, ...] = ()
    stop: float | None = None
    first_stop: float | None = None
    trailing: bool = False
    last: float | None = None
    average: float | None = None
    quantity: float = 0.0

    @property
    def gain(self) -> float | None:
        """What the open position has gained at the last close, before costs, as a fraction of its entry."""
        if self.average is None or self.last is None or not self.average > 0.0:
            return None
        return self.side * (self.last / self.average - 1.0)


@dataclass(frozen=True, slots=True)
class CallLine:
    """A call as it went: ``at`` is its last change, ``delay`` the ms from its close to its first attempt."""

    id: str
    kind: str
    symbol: str
    ref: str
    state: str
    note: str
    candle: int
    at: int
    delay: int | None


@dataclass(frozen=True, slots=True)
class UnknownCard:
    """A call whose outcome awaits a person, with all that helps to find out."""

    id: str
    kind: str
    symbol: str
    ref: str
    tag: str
    parent: str
    creates: bool
    began: int | None
    ended: int | None
    evidence: str
    body: str


@dataclass(frozen=True, slots=True)
class SeriesLine:
    """How the candles of a series come; ``closed`` is the close of the newest, ``lag`` how late it came, ms."""

    exchange: str
    symbol: str
    timeframe: str
    span: int
    phase: str
    closed: int | None
    lag: int | None
    source: str


@dataclass(frozen=True, slots=True)
class StrategyLine:
    """A strategy: its markets, its shadow account and how many signals it has open."""

    identity: str
    name: str
    markets: str
    timeframe: str
    open: int
    halted: str = ""
    balance: float | None = None
    equity: float | None = None
    curve: tuple[tuple[int, float], ...] = ()

    @property
    def gain(self) -> float | None:
        """Of the account since its start, as a fraction; None where no emitter says it."""
        return None if self.equity is None or not self.balance else self.equity / self.balance - 1.0


@dataclass(frozen=True)
class View:
    """One moment.

    Attributes
    ----------
    journal
        Name of the file.
    trouble
        Why the journal cannot be shown; empty where it can.
    running
        Whether an emitter answers; what only that one knows is None or empty without.
    beaten
        When its loop last went on, UTC ms.
    reached
        The last close that was decided on, UTC ms.
    drift, share
        What became of the calls of the last 24 hours: in words, and the share of those that were not sent as decided.
    """

    journal: str
    now: int
    trouble: str = ""
    mode: str = ""
    account: str = ""
    started: int | None = None
    running: bool = False
    beaten: int | None = None
    reached: int | None = None
    halted: bool = False
    hold: str = ""
    stopped: bool = False
    rate: tuple[int, int] | None = None
    flying: int = 0
    clocks: tuple[tuple[str, int], ...] = ()
    limits: dict[str, int | None] = field(default_factory=dict)
    created_today: int = 0
    open: int = 0
    waiting: int = 0
    drift: str = ""
    share: float = 0.0
    candles: tuple[int, int, int] = (0, 0, 0)
    tally: dict[str, int] = field(default_factory=dict)
    unknowns: tuple[UnknownCard, ...] = ()
    signals: tuple[SignalLine, ...] = ()
    calls: tuple[CallLine, ...] = ()
    series: tuple[SeriesLine, ...] = ()
    strategies: tuple[StrategyLine, ...] = ()
    notices: tuple[dict[str, Any], ...] = ()

    @property
    def equity(self) -> tuple[float, float] | None:
        """Start and now of all shadow accounts together; None where no emitter says it."""
        known = [one for one in self.strategies if one.equity is not None and one.balance is not None]
        if not known:
            return None
        return sum(one.balance or 0.0 for one in known), sum(one.equity or 0.0 for one in known)
