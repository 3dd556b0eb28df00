"""Shapes: what the chart is given, prices, account, indicators and the lives of signals."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

__all__ = ["Account", "ChartInput", "Fill", "Indicator", "Prices", "SignalLife", "Trip"]


@dataclass(frozen=True, slots=True, eq=False)
class Indicator:
    """A curve over the candles of a market.

    Attributes
    ----------
    name
        As the strategy calls it.
    values
        (n,) float64, one a candle; NaN where there is none yet.
    """

    name: str
    values: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """The candles of one market.

    Attributes
    ----------
    symbol, timeframe
        ``"BTC/USDT"``, ``"1h"``.
    step
        Length of a candle, ms.
    time
        (n,) int64, opens, UTC ms, rising.
    open, high, low, close
        (n,) float64, quote currency.
    indicators
        Curves over the same candles.
    """

    symbol: str
    timeframe: str
    step: int
    time: Integers
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    indicators: tuple[Indicator, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Account:
    """What an account was worth.

    Attributes
    ----------
    time
        (n,) int64, closes, UTC ms, rising.
    equity
        (n,) float64, quote currency.
    lowest, highest
        (n,) float64, the lowest and the highest of the three readings of the candles.
    drawdown
        (n,) float64, from 0 down to -1.
    """

    time: Integers
    equity: Floats
    lowest: Floats
    highest: Floats
    drawdown: Floats


@dataclass(frozen=True, slots=True)
class Fill:
    """A trade at the exchange.

    Attributes
    ----------
    time
        Open of the candle in which it happened, UTC ms.
    price, quantity
        Quote currency per unit of base, base currency.
    kind
        An :class:`~backtest.model.events.EventKind` that is a fill: ``entered``, ``dca_filled``, ``target_hit`` ...
    target
        Number of the target, from 1; 0 without.
    """

    time: int
    price: float
    kind: str
    target: int = 0
    quantity: float = 0.0


@dataclass(frozen=True, slots=True)
class Trip:
    """A position from its first fill until flat.

    Attributes
    ----------
    start, end
        UTC ms; end None while it is open.
    entry, exit
        Average prices; exit None while it is open.
    gain, share
        PnL in quote currency, and as a fraction of the margin; None while it is open.
    by
        What closed it: ``"stop hit"``.
    ambiguous
        Whether another reading of a candle changes it.
    """

    start: int
    end: int | None
    entry: float
    exit: float | None = None
    gain: float | None = None
    share: float | None = None
    by: str = ""
    ambiguous: bool = False


@dataclass(frozen=True, slots=True)
class SignalLife:
    """All that is drawn of one signal.

    Attributes
    ----------
    number
        In the order of creation, from 1: that of ``#signal-12``.
    name, symbol, side
        Its ref, its market, +1 for a long and -1 for a short.
    made, until
        When it was created and when it ended, UTC ms; until None while it lives.
    entry
        Bounds of the entry zone, or the prices of a split; empty for a market entry.
    stop
        Steps ``(time, price)`` of the protective stop, oldest first.
    targets
        Steps of each target, the first target first.
    fills, trips
        What was traded.
    outcome
        What became of it, in a few words.
    """

    number: int
    name: str
    symbol: str
    side: int
    made: int
    until: int | None = None
    entry: tuple[float, ...] = ()
    stop: tuple[tuple[int, float], ...] = ()
    targets: tuple[tuple[tuple[int, float], ...], ...] = ()
    fills: tuple[Fill, ...] = ()
    trips: tuple[Trip, ...] = ()
    outcome: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON, as the chart's ``setSignals`` takes it."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class ChartInput:
    """Everything that one chart shows.

    Attributes
    ----------
    markets
        The first is shown first.
    account
        Equity and drawdown; None draws prices alone.
    signals
        In the order of creation.
    quote
        The currency of money; empty where markets do not share one.
    note
        A sentence under the chart, about what was left out; empty mostly.
    """

    markets: tuple[Prices, ...]
    account: Account | None = None
    signals: tuple[SignalLife, ...] = ()
    quote: str = ""
    note: str = ""
