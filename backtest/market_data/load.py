"""Load: candles, funding rates and market rules from the store, for use; from the exchange too if asked."""

from __future__ import annotations

import time
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import DataUnavailableError, InvalidCandlesError, InvalidSettingError, did_you_mean
from backtest.market_data.columns import CANDLE_NAMES
from backtest.market_data.funding import FundingRates
from backtest.market_data.market_rules import read_market
from backtest.market_data.ranges import without
from backtest.market_data.series import FUNDING, Series, exchange_name
from backtest.market_data.store import Store, repair_command
from backtest.market_data.symbol import refuse_inverse
from backtest.model.candles import Candles, instant
from backtest.model.timeframe import milliseconds

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from backtest.market_data.exchange import Access
    from backtest.market_data.manifest import Manifest
    from backtest.model.market import Market

    Moment = int | str | datetime
    Place = str | os.PathLike[str] | Store

__all__ = ["align", "detail_for", "funding_for", "load_candles", "load_funding", "load_many", "load_market"]


def load_candles(  # noqa: PLR0913  options, all by name
    symbol: str,
    timeframe: str,
    *,
    exchange: str,
    start: Moment | None = None,
    end: Moment | None = None,
    store: Place | None = None,
    fetch: bool | Access = False,
    kind: str = "",
    incomplete: bool = False,
) -> Candles:
    """Return candles from the store.

    Parameters
    ----------
    exchange
        As written in the store or otherwise usual: ``"binance"``, ``"BINANCE"``, ``"gateio"``.
    start, end
        UTC ms, ISO text or datetime, end exclusive; None is the first or last that the store has.
    store
        The store, its folder or its URL; None is ``data/candles``.
    fetch
        Fetch what is missing first; an :class:`Access` in place of True tells how to reach the exchange.
    kind
        ``"mark"`` for candles of the mark price.
    incomplete
        Return what is there although parts of the range were never fetched.

    Raises
    ------
    InvalidSettingError
        For a name that cannot be one, or a range in the future.
    DataUnavailableError
        Where the store has nothing, or not all, of the range: it says which command fetches it. Candles that the
        exchange itself does not have are no reason.
    """
    place = _store(store)
    series = Series(exchange, _symbol(place, exchange, symbol), timeframe, kind)
    low, high = _range(series, start, end)
    if fetch:
        _fetch(series, place, low, high, fetch)
    if not place.holds(series):
        raise DataUnavailableError(f"the store {place} has no {series}{_others(place, series, low)}")
    manifest = place.manifest(series)
    if not incomplete:
        _refuse_parts(series, place, low, high, manifest)
    return place.candles(series, low, high, manifest)


def load_many(symbols: Sequence[str], timeframe: str, *, exchange: str, **options: Any) -> dict[str, Candles]:
    """Return candles of several symbols on one clock: :func:`load_candles` for each, then :func:`align`."""
    loaded = [load_candles(symbol, timeframe, exchange=exchange, **options) for symbol in symbols]
    return align({candles.symbol: candles for candles in loaded})


def align(candles: Mapping[str, Candles]) -> dict[str, Candles]:
    """Return only the candles whose time every symbol has, so that row *i* is the same moment in all.

    Nothing is filled in: a candle that an exchange does not have is no candle.

    Raises
    ------
    InvalidSettingError
        For different timeframes.
    InvalidCandlesError
        Where there is no common time.
    """
    if len({c.timeframe for c in candles.values()}) > 1:
        found = ", ".join(f"{name} {c.timeframe}" for name, c in candles.items())
        raise InvalidSettingError(f"one clock needs one timeframe, was {found}")
    if not candles:
        return {}
    common = reduce(lambda a, b: np.intersect1d(a, b, assume_unique=True), [c.time for c in candles.values()])
    if len(common) == 0:
        raise InvalidCandlesError(f"{', '.join(candles)} have no candle at the same time")
    aligned = {}
    for name, c in candles.items():
        rows = np.isin(c.time, common, assume_unique=True)
        columns = {column: getattr(c, column)[rows] for column in CANDLE_NAMES}
        aligned[name] = Candles(c.symbol, c.timeframe, **columns, exchange=c.exchange, volume_known=c.volume_known)
    return aligned


def detail_for(candles: Candles, *, store: Place | None = None) -> Candles | None:
    """Return the finest candles in the store that cover these, for L2.4; None where there are none.

    Finer ones that cover less than nine tenths of what coarser ones do are passed over.
    """
    if not candles.exchange or len(candles) == 0:
        return None
    place = _store(store)
    wanted = Series(candles.exchange, candles.symbol, candles.timeframe)
    low, high = int(candles.time[0]), int(candles.close_time[-1])
    found = []
    for series in place.series():
        same = (series.exchange, series.symbol, series.kind) == (wanted.exchange, wanted.symbol, "")
        if same and series.length < wanted.length and wanted.length % series.length == 0:
            years = place.manifest(series).years.values()
            spans = [min(high, year.last + series.length) - max(low, year.first) for year in years]
            found.append((series.length, sum(max(0, span) for span in spans), series))
    most = max((span for _, span, _ in found), default=0)
    finest = next((series for _, span, series in sorted(found) if span and span >= 0.9 * most), None)
    return None if finest is None else place.candles(finest, low, high)


def load_funding(
    symbol: str,
    *,
    exchange: str,
    start: Moment | None = None,
    end: Moment | None = None,
    store: Place | None = None,
    fetch: bool | Access = False,
    incomplete: bool = False,
) -> FundingRates:
    """Return the funding rates of a perpetual from the store, fetched first if asked; options as for candles."""
    place = _store(store)
    series = Series(exchange, _symbol(place, exchange, symbol), "", FUNDING)
    low, high = _range(series, start, end)
    if fetch:
        _fetch(series, place, low, high, fetch)
    if not place.holds(series):
        raise DataUnavailableError(f"the store {place} has no {series}: {_command(series, low)}")
    if not incomplete:
        _refuse_parts(series, place, low, high, place.manifest(series))
    rows = place.columns(series, low, high)
    return FundingRates(series.symbol, rows["time"], rows["rate"], series.exchange)


def funding_for(candles: Candles, *, store: Place | None = None, incomplete: bool = False) -> FundingRates | None:
    """Return the funding rates that the store has for a perpetual's candles, for L13.3; None where it has none.

    Parameters
    ----------
    candles
        Whose symbol, exchange and range count.
    store
        As for candles.
    incomplete
        Return what is there although it has those of a part only.

    Raises
    ------
    DataUnavailableError
        Where it has those of a part only: the rest would be taken as 0 in silence.
    """
    place = _store(store)
    if ":" not in candles.symbol or not candles.exchange or len(candles) == 0:
        return None
    if not place.holds(Series(candles.exchange, candles.symbol, "", FUNDING)):
        return None
    low, high = int(candles.time[0]), int(candles.close_time[-1])
    found = load_funding(
        candles.symbol, exchange=candles.exchange, start=low, end=high, store=place, incomplete=incomplete
    )
    return found if len(found) else None


def load_market(symbol: str, *, exchange: str, store: Place | None = None) -> Market:
    """Return tick, step and limits of a symbol, as they were when its candles were last fetched (L3.6).

    Raises
    ------
    DataUnavailableError
        Where the store has none.
    """
    name = _symbol(_store(store), exchange, symbol)
    market = read_market(_store(store), exchange, name)
    if market is None:
        raise DataUnavailableError(
            f"the store has no rules of {exchange} {name}: backtest fetch {name} --exchange {exchange} reads them"
        )
    return market


def _symbol(store: Store, exchange: str, text: str) -> str:
    """Return a symbol as the store spells it; an inverse contract is refused."""
    found = store.symbol(exchange_name(exchange), text)
    refuse_inverse(found)
    return found


def _store(place: Place | None) -> Store:
    return place if isinstance(place, Store) else Store(place)


def _range(series: Series, start: Moment | None, end: Moment | None) -> tuple[int | None, int | None]:
    low, high = (None if start is None else instant(start)), (None if end is None else instant(end))
    now = round(time.time() * 1000)
    if low is not None and low > now:
        raise InvalidSettingError(f"{series} from {_day(low)} lies in the future")
    if low is not None and high is not None and low >= high:
        raise InvalidSettingError(f"the start of a range lies before its end, was {_day(low)} to {_day(high)}")
    return low, high


def _fetch(series: Series, store: Store, low: int | None, high: int | None, access: bool | Access) -> None:  # noqa: FBT001
    if low is not None and high is not None and not store.missing(series, low, high):
        return
    from backtest.market_data.fetch import fetch
    from backtest.market_data.job import Wish

    wish = Wish([series.symbol], [series.timeframe], [series.kind], start=low, end=high)
    fetch(wish, exchange=series.exchange, store=store, access=None if isinstance(access, bool) else access)


def _refuse_parts(series: Series, store: Store, low: int | None, high: int | None, manifest: Manifest) -> None:
    """Refuse a range of which a part was never asked for; the last candle may not have closed yet."""
    asked, first = manifest.asked, manifest.first
    if not asked or first is None:
        raise DataUnavailableError(
            f"the store {store} does not know what it was asked for of {series}: its manifest.json is gone; "
            f"`{repair_command(series)}` makes it again from the candle files"
        )
    length = series.length or milliseconds("8h")
    closed = round(time.time() * 1000) - length
    whole = (first if low is None else low, min(closed, asked[-1][1] if high is None else high))
    lacking = without(whole, asked)
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise DataUnavailableError(
            f"the store {store} lacks {series} from {_day(lacking[0][0])} to {_day(lacking[0][1])}{more}: "
            f"{_command(series, lacking[0][0])}, or take what is there with --incomplete (incomplete=True)"
        )


def _others(store: Store, series: Series, low: int | None) -> str:
    """Return what the store has instead, and the command that fetches what it has not."""
    folder = series.folder.rpartition("/")[0]
    held = [
        one for name in store.disk.names(folder) if (one := Series.of_folder(f"{folder}/{name}")) and store.holds(one)
    ]
    only = f", only {', '.join(' '.join(str(s).split()[2:]) for s in held)}" if held else ""
    hint = "" if held else did_you_mean(str(series), _alike(store, series))
    return f"{only}: {_command(series, low)} fetches it{'.' if hint else ''}{hint}"


def _alike(store: Store, series: Series) -> list[str]:
    """Return the series that somebody may have meant, which may be there: no more folders are looked into than these."""
    exchanges = store.disk.names("")
    near = [name for name in exchanges if name == series.exchange] or exchanges
    rest = str(series).split()[2:]
    return [" ".join((name, symbol, *rest)) for name in near for symbol in store.symbols(name)]


def _command(series: Series, low: int | None) -> str:
    since = "2020-01-01" if low is None else str(np.datetime64(low, "ms").astype("M8[D]"))
    what = "--funding" if series.kind == FUNDING else f"--timeframe {series.timeframe}"
    mark = " --mark" if series.kind == "mark" else ""
    return f"backtest fetch {series.symbol} --exchange {series.exchange} {what}{mark} --since {since}"


def _day(moment: int) -> str:
    return str(np.datetime64(moment, "ms").astype("M8[m]")) + "Z"
