"""Sample: the real candles that come with the package, and the market they belong to."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtest.errors import DataUnavailableError, InvalidSettingError, did_you_mean
from backtest.model.market import Market

if TYPE_CHECKING:
    from backtest.model.candles import Candles

__all__ = ["is_sample", "sample_candles", "sample_market", "sample_strategy"]


def sample_candles(symbol: str, timeframe: str) -> Candles:
    """Return the sample candles of a symbol.

    Raises
    ------
    InvalidSettingError
        For a symbol or timeframe that is not in the sample.
    """
    from backtest.market_data.files import read_candles

    files = _entry(symbol)["files"]
    if timeframe not in files:
        raise InvalidSettingError(
            f"the sample has {symbol} in {', '.join(files)}, was {timeframe!r}.{did_you_mean(timeframe, files)}"
        )
    file = files[timeframe]
    exchange = str(file.get("source", "")).lower()
    return read_candles(_folder() / file["path"], symbol=symbol, timeframe=timeframe, exchange=exchange)


def sample_market(symbol: str) -> Market:
    """Return tick, step and address (where signals for it are sent) of a symbol of the sample.

    Raises
    ------
    InvalidSettingError
        For a symbol that is not in the sample.
    """
    entry = _entry(symbol)
    return Market(symbol=symbol, tick=entry["tick"], step=entry["step"], **entry["emit"])


def sample_strategy() -> Path:
    """Return the file of the strategy that the demo runs over the sample.

    Raises
    ------
    DataUnavailableError
        Where neither the package nor the checkout has it.
    """
    package = Path(__file__).parents[1]
    for file in (package / "_sample" / "breakout.py", package.parent / "strategies" / "breakout.py"):
        if file.is_file():
            return file
    raise DataUnavailableError("the demo's strategy is missing: neither the package nor the checkout has breakout.py")


def is_sample(candles: Candles) -> bool:
    """Whether candles come from the sample, told by their symbol and source."""
    files = _markets().get(candles.symbol, {}).get("files", {})
    return any(str(file.get("source", "")).lower() == candles.exchange for file in files.values())


def _entry(symbol: str) -> dict[str, Any]:
    markets = _markets()
    if symbol not in markets:
        raise InvalidSettingError(
            f"the sample has {', '.join(markets)}, was {symbol!r}.{did_you_mean(symbol, markets)}"
        )
    entry: dict[str, Any] = markets[symbol]
    return entry


@cache
def _folder() -> Path:
    """Return the sample's folder: inside an installed package, or ``data/sample`` of a checkout."""
    package = Path(__file__).parents[1]
    for folder in (package / "_sample", package.parent / "data" / "sample"):
        if (folder / "markets.json").is_file():
            return folder
    raise DataUnavailableError("the sample candles are missing: neither the package nor the checkout has data/sample")


@cache
def _markets() -> dict[str, Any]:
    markets: dict[str, Any] = json.loads((_folder() / "markets.json").read_text(encoding="utf-8"))
    return markets
