"""By symbol: what was given for one market or for several, put in order by the name of the symbol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backtest.errors import InvalidSettingError
from backtest.runner.funding import funding_table

if TYPE_CHECKING:
    from backtest.model.candles import Candles

__all__ = ["by_symbol", "rates_of"]


def by_symbol(given: Any, kind: type, series: Mapping[str, Candles], name: str) -> dict[str, Any]:
    """Return what was given by symbol.

    Parameters
    ----------
    given
        Of the one symbol, or by symbol; None is nothing.
    kind
        What each of them is.
    series
        The candles by symbol.
    name
        What it is called, for a refusal.

    Raises
    ------
    InvalidSettingError
        For another kind, a symbol without candles, or one for several symbols.
    """
    if given is None:
        return {}
    if isinstance(given, kind):
        if len(series) > 1:
            raise InvalidSettingError(f"{name} is given by symbol where there are {len(series)} symbols")
        return {next(iter(series)): given}
    if not isinstance(given, Mapping):
        raise InvalidSettingError(f"{name} is a {kind.__name__} or those by symbol, was {type(given).__name__}")
    for symbol in given:
        if symbol not in series:
            raise InvalidSettingError(f"{name} was given for {symbol}, of which there are no candles")
    return dict(given)


def rates_of(funding: Any, series: Mapping[str, Candles]) -> dict[str, Any]:
    """Return funding rates by symbol, each a checked (k, 2) table (L13.3).

    Parameters
    ----------
    funding
        Of the first symbol, or by symbol; None is none.
    series
        The candles by symbol.
    """
    if funding is None:
        return {}
    given = funding if isinstance(funding, Mapping) else {next(iter(series)): funding}
    for symbol in given:
        if symbol not in series:
            raise InvalidSettingError(f"funding was given for {symbol}, of which there are no candles")
    return {symbol: funding_table(rows, series[symbol]) for symbol, rows in given.items()}
