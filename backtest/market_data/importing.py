"""Importing: candles and funding rates from files of other programs into the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from backtest.errors import InvalidCandlesError, InvalidSettingError
from backtest.market_data.columns import Columns, columns_of
from backtest.market_data.files import candles_of, named_file, read_table
from backtest.market_data.frame import Reading
from backtest.market_data.ranges import holes, without
from backtest.market_data.series import FUNDING, Series
from backtest.market_data.times import times_of

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from backtest.market_data.store import Added, Store
    from backtest.model.candles import Candles

__all__ = ["Imported", "import_file"]


class Imported(NamedTuple):
    """What a file brought: the series, its rows, and how many of them were new or differ from those in the store."""

    series: Series
    rows: int
    added: Added


def import_file(  # noqa: PLR0913  options, all by name
    path: str | os.PathLike[str],
    store: Store,
    *,
    exchange: str | None = None,
    symbol: str | None = None,
    timeframe: str | None = None,
    tidy: bool = False,
    columns: Mapping[str, str] | None = None,
    decimal: str = "",
    dates: str = "",
    snap: bool = False,
) -> Imported:
    """Put a file's rows into the store.

    Also read are freqtrade's files, whose name tells the kind: ``BTC_USDT_USDT-8h-mark.feather`` holds candles of the
    mark price, ``-funding_rate`` funding rates in the column ``open``. What the file does not hold counts as never
    fetched, so that a later fetch fills it.

    Parameters
    ----------
    path
        The file.
    store
        Where its rows go.
    exchange
        Where they were traded; None takes it from the file's metadata.
    symbol, timeframe, tidy, columns, decimal, dates, snap
        As in :func:`backtest.market_data.files.read_candles`.

    Raises
    ------
    InvalidSettingError
        For a file that cannot be read or holds something else, or where exchange or symbol is not to be found.
    InvalidCandlesError
        For rows that are no candles, and for candles without volumes where the store's have them or the other way round;
        nothing of such a file is kept.
    """
    file = Path(path)
    reading = Reading(dict(columns or {}), decimal, dates, tidy=tidy, snap=snap)
    named = named_file(file)
    kind = {"mark": "mark", "funding_rate": FUNDING}.get(named.kind, "")
    if kind == FUNDING:
        series, rates = _rates(file, exchange, symbol or named.symbol)
        return _put(file, store, series, rates)
    if named.kind in {"index", "premiumIndex"}:
        raise InvalidSettingError(
            f"{file} holds candles of kind {named.kind}, not of trades: the store has no place for them"
        )
    candles = candles_of(file, named, reading, symbol=symbol, timeframe=timeframe, exchange=exchange or "")
    series = Series(_known(file, candles.exchange), candles.symbol, candles.timeframe, kind)
    if not kind:
        _refuse_mixed_volumes(file, store, series, candles)
    return _put(file, store, series, columns_of(candles))


def _put(file: Path, store: Store, series: Series, columns: Columns) -> Imported:
    time = columns["time"]
    if len(time) == 0:
        raise InvalidCandlesError(f"{file} holds no rows")
    whole = (int(time[0]), int(time[-1]) + max(1, series.length))
    asked = without(whole, holes(time, series.length)) if series.length else [whole]
    return Imported(series, len(time), store.add(series, columns, asked=asked, source=f"file:{file.name}"))


def _refuse_mixed_volumes(file: Path, store: Store, series: Series, candles: Candles) -> None:
    """Refuse rows without volumes among rows with them: they would count as candles without a trade (L2.6)."""
    if len(candles) == 0 or not store.years(series):
        return
    held = store.volume_known(series)
    if held != candles.volume_known:
        one, other = ("none", "volumes") if held else ("volumes", "none")
        raise InvalidCandlesError(
            f"{file} has {one}, but {series} in the store has {other}: candles of volume 0 would count as candles without "
            "a trade; import it into a store of its own (--store)"
        )


def _rates(file: Path, exchange: str | None, symbol: str | None) -> tuple[Series, Columns]:
    """Read freqtrade's funding rates: candles of 0 with the rate as their open."""
    table = read_table(file)
    frame = table.frame
    if "date" not in frame or "open" not in frame or symbol is None:
        raise InvalidSettingError(f"{file} is no file of freqtrade's funding rates: it needs columns date and open")
    time = times_of(frame["date"], table.where)
    if len(time) > 1 and not (np.diff(time) > 0).all():
        raise InvalidCandlesError(f"{file} has funding rates whose times do not ascend: sort them")
    rate = frame["open"].to_numpy(dtype=np.float64)
    if not np.isfinite(rate).all():
        row = int(np.argmin(np.isfinite(rate)))
        raise InvalidCandlesError(f"{table.where(row)} has a funding rate that is no number, {rate[row]}")
    return Series(_known(file, exchange or ""), symbol, "", FUNDING), {"time": time, "rate": rate + 0.0}


def _known(file: Path, exchange: str) -> str:
    if not exchange:
        raise InvalidSettingError(
            f"{file} does not say where its candles were traded: give --exchange, such as binance"
        )
    return exchange
