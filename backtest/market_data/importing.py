"""Importing: candles and funding rates from files of other programs into the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from backtest.errors import InvalidCandlesError, InvalidSettingError
from backtest.market_data import symbol as symbols
from backtest.market_data.columns import Columns, columns_of
from backtest.market_data.files import read_candles, read_frame, stem
from backtest.market_data.frame import milliseconds_of
from backtest.market_data.ranges import holes, without
from backtest.market_data.series import FUNDING, Series

if TYPE_CHECKING:
    import os

    from backtest.market_data.store import Added, Store

__all__ = ["Imported", "import_file"]


class Imported(NamedTuple):
    """What a file brought: the series, its rows, and how many of them were new or differ from those in the store."""

    series: Series
    rows: int
    added: Added


def import_file(
    path: str | os.PathLike[str],
    store: Store,
    *,
    exchange: str | None = None,
    symbol: str | None = None,
    timeframe: str | None = None,
    tidy: bool = False,
) -> Imported:
    """Put a file's rows into the store.

    Also read are freqtrade's files, whose name tells the kind: ``BTC_USDT_USDT-8h-mark.feather`` holds candles of the
    mark price, ``-funding_rate`` funding rates in the column ``open``. What the file does not hold counts as never
    fetched, so that a later fetch fills it.

    Raises
    ------
    InvalidSettingError
        For a file that cannot be read, or where exchange or symbol is not to be found.
    InvalidCandlesError
        For rows that are no candles; nothing of such a file is kept.
    """
    file = Path(path)
    named = symbols.from_file_name(stem(file))
    kind = {"mark": "mark", "funding_rate": FUNDING}.get(named.kind, "")
    if kind == FUNDING:
        series, columns = _rates(file, exchange, symbol or named.symbol)
    else:
        candles = read_candles(file, symbol=symbol, timeframe=timeframe, exchange=exchange or "", tidy=tidy)
        series = Series(_known(file, candles.exchange), candles.symbol, candles.timeframe, kind)
        columns = columns_of(candles)
    time = columns["time"]
    if len(time) == 0:
        raise InvalidCandlesError(f"{file} holds no rows")
    whole = (int(time[0]), int(time[-1]) + max(1, series.length))
    asked = without(whole, holes(time, series.length)) if series.length else [whole]
    return Imported(series, len(time), store.add(series, columns, asked=asked, source=f"file:{file.name}"))


def _rates(file: Path, exchange: str | None, symbol: str | None) -> tuple[Series, Columns]:
    """Read freqtrade's funding rates: candles of 0 with the rate as their open."""
    frame, _ = read_frame(file)
    if "date" not in frame or "open" not in frame or symbol is None:
        raise InvalidSettingError(f"{file} is no file of freqtrade's funding rates: it needs columns date and open")
    time = milliseconds_of(frame["date"])
    if len(time) > 1 and not (np.diff(time) > 0).all():
        raise InvalidCandlesError(f"{file} has funding rates whose times do not ascend: sort them")
    rate = frame["open"].to_numpy(dtype=np.float64)
    if not np.isfinite(rate).all():
        raise InvalidCandlesError(
            f"{file} has a funding rate that is no number, in row {int(np.argmin(np.isfinite(rate)))}"
        )
    return Series(_known(file, exchange or ""), symbol, "", FUNDING), {"time": time, "rate": rate + 0.0}


def _known(file: Path, exchange: str) -> str:
    if not exchange:
        raise InvalidSettingError(
            f"{file} does not say where its candles were traded: give --exchange, such as binance"
        )
    return exchange
