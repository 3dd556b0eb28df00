"""Job: one series to fetch, checked as a whole before the first candle is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from backtest.errors import InvalidSettingError
from backtest.market_data.series import FUNDING, Series
from backtest.market_data.source import CandleSource, RateSource
from backtest.market_data.symbol import refuse_inverse
from backtest.market_data.traits import Traits, traits_of
from backtest.model.timeframe import week_offset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backtest.market_data.exchange import Exchange
    from backtest.market_data.ranges import Range
    from backtest.market_data.store import Store

__all__ = ["Fetched", "Job", "Wish", "jobs"]

_LATE = 600_000
"""An exchange may publish a row this many ms late; a row missing at the very end is asked for again."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What to fetch.

    Attributes
    ----------
    symbols, timeframes, kinds
        Every combination; ``kinds`` as in :class:`Series`, funding rates once for each symbol.
    start, end
        UTC ms, end exclusive; start None continues what the store has, end None is now.
    again
        Ask for everything, also what the store has, to find candles that the exchange has revised.
    """

    symbols: Sequence[str]
    timeframes: Sequence[str]
    kinds: Sequence[str] = ("",)
    start: int | None = None
    end: int | None = None
    again: bool = False


@dataclass(slots=True)
class Fetched:
    """What one series gained: new rows, revised ones and those refused, and the range that was asked for.

    ``notes`` are sentences that a person should read.
    """

    series: Series
    start: int
    end: int
    notes: list[str] = field(default_factory=list)
    rows: int = 0
    revised: int = 0
    refused: int = 0
    off_grid: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """What is left to do for one series.

    Attributes
    ----------
    outcome
        Filled while the job runs.
    ranges
        What to ask for: the parts of the wished range that no source has answered.
    settled
        Until here an empty answer proves that there is nothing, UTC ms.
    tried
        Whether an empty answer before the first row proves that there is nothing.
    """

    outcome: Fetched
    ranges: list[Range]
    source: CandleSource | RateSource
    settled: int
    tried: bool = True

    def pieces(self, count: int) -> list[Range]:
        """Return the ranges, cut into at most so many pieces each; a piece is worth at least two full answers."""
        window, cut = self.source.window, []
        for start, end in self.ranges:
            answers = -(-(end - start) // window)
            length = max(2, -(-answers // count)) * window
            cut += [(low, min(end, low + length)) for low in range(start, end, length)]
        return cut


def jobs(wish: Wish, exchange: Exchange, store: Store) -> list[Job]:
    """Return one job for each series of a wish.

    Raises
    ------
    InvalidSettingError
        For an unknown symbol, timeframe or kind, a range in the future, or one that the exchange no longer serves.
    DataUnavailableError
        Where a file of the series in the store is cut off.
    """
    symbols = [exchange.symbol(text) for text in wish.symbols]
    for symbol in symbols:
        refuse_inverse(symbol)
    planned = []
    for symbol in dict.fromkeys(symbols):
        for kind in dict.fromkeys(wish.kinds):
            for timeframe in [""] if kind == FUNDING else dict.fromkeys(wish.timeframes):
                if kind != FUNDING:
                    exchange.check_timeframe(timeframe)
                planned.append(_job(Series(exchange.name, symbol, timeframe, kind), wish, exchange, store))
    return planned


def _job(series: Series, wish: Wish, exchange: Exchange, store: Store) -> Job:
    traits = traits_of(exchange.name, contract=":" in series.symbol)
    _refuse_kind(series, traits)
    now = exchange.now()
    length = series.length
    closed = now if not length else now - (now - week_offset(series.timeframe)) % length
    end = closed if wish.end is None else min(wish.end, closed)
    notes = store.reconcile(series)
    start = _start(series, wish, store.manifest(series).first, traits, closed)
    if wish.end is not None and start >= wish.end:
        raise InvalidSettingError(f"the start of a range lies before its end, was {_day(start)} to {_day(wish.end)}")
    if start >= now:
        raise InvalidSettingError(f"{series} from {_day(start)} lies in the future: it is {_day(now)} there")
    ranges = [(start, end)] if wish.again and start < end else store.missing(series, start, end) if start < end else []
    oldest = closed - traits.keeps * length + length if traits.keeps else 0
    if (
        wish.start is None and ranges and ranges[0][0] < oldest
    ):  # the store stopped too long ago: go on from what is left
        notes.append(
            f"{series.exchange} serves only its newest {traits.keeps:,} candles: what lies between {_day(ranges[0][0])} and "
            f"{_day(oldest)} can no longer be fetched"
        )
        ranges = [(max(low, oldest), high) for low, high in ranges if high > oldest]
    for low, _ in ranges:
        _refuse_too_old(series, traits, low, closed)
    source = RateSource if series.kind == FUNDING else CandleSource
    settled = closed - max(length, _LATE)
    return Job(Fetched(series, start, end, notes), ranges, source(exchange, series, traits, now), settled, traits.tried)


def _start(series: Series, wish: Wish, known: int | None, traits: Traits, closed: int) -> int:
    if wish.start is not None:
        return wish.start
    if known is not None:
        return known
    if traits.keeps:
        return closed - traits.keeps * series.length + series.length
    raise InvalidSettingError(f"the store has nothing of {series} to continue: say since when, such as 2020-01-01")


def _refuse_kind(series: Series, traits: Traits) -> None:
    if not series.kind:
        return
    what = "funding rates" if series.kind == FUNDING else "mark candles"
    if ":" not in series.symbol:
        raise InvalidSettingError(f"{series.symbol} has no {what}: perpetuals have, such as {series.symbol}:USDT")
    if not (traits.rates if series.kind == FUNDING else traits.mark_candles):
        raise InvalidSettingError(f"{what} of {series.exchange} cannot be fetched; binance, bybit and okx have them")


def _refuse_too_old(series: Series, traits: Traits, start: int, closed: int) -> None:
    oldest = closed - traits.keeps * series.length + series.length
    if traits.keeps and start < oldest:
        raise InvalidSettingError(
            f"{series.exchange} serves only its newest {traits.keeps:,} candles, {series.timeframe} ones from "
            f"{_day(oldest)} on, asked was from {_day(start)}: start later, choose another exchange, or import a file"
        )


def _day(moment: int) -> str:
    return str(np.datetime64(moment, "ms").astype("M8[m]")) + "Z"
