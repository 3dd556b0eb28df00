"""Measured: rows of a sweep run one after another over the same candles, reduced to figures and days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from backtest.errors import BacktestError
from backtest.indicators import keeping
from backtest.report.daily import daily_equity
from backtest.report.depth import deepest
from backtest.runner.execute import execute, prepare
from backtest.runner.frames import traded_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from backtest.engine.history import MarketHistory
    from backtest.engine.simulator import SimulatedVenue
    from backtest.model.assumptions import VenueAssumptions
    from backtest.model.profile import SubscriberProfile
    from backtest.strategy import Strategy

    Floats = NDArray[np.float64]

__all__ = ["FIGURES", "Account", "Measured"]

_OWN = np.empty(0, np.int64)
FIGURES = ("total_return", "trades", "final_equity", "max_drawdown")


@dataclass(frozen=True, slots=True)
class Account:
    """What all rows of a sweep share.

    Attributes
    ----------
    histories
        The markets.
    lane
        ``"table"`` or ``"candle"``.
    profile, assumptions
        On which signals are executed.
    kept
        Bytes of indicators that are kept for rows to come.
    """

    histories: Sequence[MarketHistory]
    lane: str
    profile: SubscriberProfile
    assumptions: VenueAssumptions
    kept: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of rows.

    Attributes
    ----------
    figures
        (rows, 4), see :data:`FIGURES`; NaN where a row did not run.
    daily
        (rows, days): equity at the end of each UTC day.
    refused
        Why a row did not run, by position.
    """

    figures: Floats
    daily: Floats
    refused: dict[int, str]

    @classmethod
    def of(cls, account: Account, strategies: Sequence[Strategy], told: Callable[[], object] = int) -> Measured:
        """Run strategies; a row that fails leaves NaN and its reason, and stops no other.

        Parameters
        ----------
        account
            On which each is run.
        strategies
            One a row.
        told
            Called once a row is over.
        """
        each = [history.candles.close_time for history in account.histories]
        closes = each[0] if len(each) == 1 else np.unique(np.concatenate(each))
        places = [np.searchsorted(closes, mine) if len(each) > 1 else _OWN for mine in each]
        ends = daily_equity(closes, np.arange(len(closes), dtype=np.float64))[1].astype(np.int64)
        figures = np.full((len(strategies), len(FIGURES)), np.nan)
        daily = np.full((len(strategies), len(ends)), np.nan)
        refused: dict[int, str] = {}
        with keeping([history.candles for history in account.histories], account.kept):
            for k, strategy in enumerate(strategies):
                try:
                    prepared = [prepare(strategy, history, lane=account.lane) for history in account.histories]
                    venue = execute(strategy, prepared, account.profile, account.assumptions).venue
                except BacktestError as error:
                    refused[k] = str(error)
                except Exception as error:  # noqa: BLE001 - whatever one row of the user's code raises, the others go on
                    refused[k] = _reason(error)
                else:
                    curve, balance = venue.curve, account.profile.balance
                    daily[k], final = curve.at(ends), curve.final
                    trades = len(venue.trade_records) + len(venue.open_records)
                    figures[k] = final / balance - 1.0, trades, final, _deepest(venue, balance, places)
                told()
        return cls(figures, daily, refused)

    @classmethod
    def placed(
        cls, parts: Iterable[tuple[Sequence[int], Measured]], count: int, refused: Mapping[int, str]
    ) -> Measured:
        """Return parts as one of ``count`` rows; a row of none of them did not run.

        Parameters
        ----------
        parts
            The rows of each, and the part; one of which nothing ran may have no days.
        count
            How many rows there are.
        refused
            Why rows of none of the parts did not run.
        """
        each = [(np.asarray(rows, np.int64), one) for rows, one in parts]
        days = max((one.daily.shape[1] for _, one in each), default=0)
        figures, daily, whys = np.full((count, len(FIGURES)), np.nan), np.full((count, days), np.nan), dict(refused)
        for rows, one in each:
            figures[rows] = one.figures
            if one.daily.shape[1]:
                daily[rows] = one.daily
            whys.update({int(rows[k]): why for k, why in one.refused.items()})
        return cls(figures, daily, dict(sorted(whys.items())))

    def rows(self, at: Sequence[int]) -> Measured:
        """Return the rows at some positions, in that order; one may stand there more than once."""
        refused = {k: self.refused[row] for k, row in enumerate(at) if row in self.refused}
        return Measured(self.figures[at], self.daily[at], refused)


def _reason(error: Exception) -> str:
    if isinstance(error, ValueError) and "read-only" in str(error):
        return "it wrote into an indicator, which other rows of a sweep share: copy it first"
    return f"{type(error).__name__}: {error}"


def _deepest(venue: SimulatedVenue, balance: float, places: Sequence[NDArray[np.int64]]) -> float:
    """Return the largest drawdown as :func:`backtest.report.metrics.statistics` defines it."""
    parts = [
        (history.candles, traded_of(venue, history.candles.symbol), place)
        for history, place in zip(venue.histories, places, strict=True)
    ]
    return deepest(balance, venue.curve, parts)
