"""Options that several verbs share: strategy, parameters, candles, market and profile."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backtest.errors import InvalidSettingError

if TYPE_CHECKING:
    from backtest.model.candles import Candles
    from backtest.model.market import Market
    from backtest.model.profile import SubscriberProfile
    from backtest.strategy import Strategy

__all__ = [
    "CandlesOption",
    "ExchangeOption",
    "ParamOption",
    "ProfileOption",
    "StepOption",
    "StoreOption",
    "StrategyArgument",
    "SymbolOption",
    "TickOption",
    "TimeframeOption",
    "candles_from",
    "market_from",
    "parameters_from",
    "profile_from",
    "series_from",
    "strategy_from",
]

StrategyArgument = Annotated[str, typer.Argument(help="File of the strategy, with :Class where it holds several.")]
CandlesOption = Annotated[
    list[str],
    typer.Option(
        "--candles",
        "-c",
        help="CSV, Parquet or Feather file, sample:BTC/USD:1h, or store:binance:BTC/USDT:1h; repeat it for several symbols.",
    ),
]
ParamOption = Annotated[
    list[str] | None, typer.Option("--param", "-p", help="Parameter of the strategy, lookback=72; repeat it.")
]
ProfileOption = Annotated[str, typer.Option(help="anny, exchange, or a JSON file.")]
SymbolOption = Annotated[
    str | None, typer.Option(help="Symbol of the file's candles, BTC/USDT, where it does not say.")
]
TimeframeOption = Annotated[str | None, typer.Option(help="Timeframe of the file's candles, where it is not plain.")]
ExchangeOption = Annotated[str | None, typer.Option(help="Exchange named in the signals, BINANCE.")]
TickOption = Annotated[str | None, typer.Option(help="Price tick of the market, 0.01.")]
StoreOption = Annotated[
    str | None,
    typer.Option("--store", help="Folder or URL of the store that store:... names.", show_default="data/candles"),
]
StepOption = Annotated[str | None, typer.Option(help="Quantity step of the market, 0.00001.")]


def strategy_from(source: str, params: list[str] | None) -> Strategy:
    """Return the strategy of a file with its parameters."""
    from backtest.runner.loading import load_strategy

    return load_strategy(source)(**parameters_from(params))


def parameters_from(params: list[str] | None) -> dict[str, Any]:
    """Return the parameters that options give, each as the JSON that it is, else as text."""
    found: dict[str, Any] = {}
    for text in params or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InvalidSettingError(f"--param is written name=value, such as lookback=72, was {text!r}")
        if name in found:
            raise InvalidSettingError(f"parameter {name!r} was given twice")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def candles_from(
    source: str,
    *,
    symbol: str | None = None,
    timeframe: str | None = None,
    exchange: str | None = None,
    store: str | None = None,
) -> Candles:
    """Return the candles that an option names: a file, ``sample:SYMBOL:TIMEFRAME`` or ``store:EXCHANGE:SYMBOL:TIMEFRAME``."""
    kind, _, rest = source.partition(":")
    if kind == "sample":
        from backtest.market_data.sample import sample_candles

        name, _, frame = rest.rpartition(":")
        if not name:
            raise InvalidSettingError(f"sample candles are written sample:BTC/USD:1h, was {source!r}")
        return sample_candles(name, frame)
    if kind == "store":
        from backtest.market_data.load import load_candles

        parts = rest.split(":")
        if len(parts) < 3:
            raise InvalidSettingError(f"candles of the store are written store:binance:BTC/USDT:1h, was {source!r}")
        return load_candles(":".join(parts[1:-1]), parts[-1], exchange=parts[0], store=store)
    from backtest.market_data.files import read_candles

    return read_candles(Path(source), symbol=symbol, timeframe=timeframe, exchange=(exchange or "").lower())


def series_from(
    sources: list[str],
    *,
    symbol: str | None = None,
    timeframe: str | None = None,
    exchange: str | None = None,
    tick: str | None = None,
    step: str | None = None,
    store: str | None = None,
) -> tuple[dict[str, Candles], dict[str, Market]]:
    """Return the candles that options name and their markets, each by symbol."""
    given = [
        candles_from(source, symbol=symbol, timeframe=timeframe, exchange=exchange, store=store) for source in sources
    ]
    by_symbol = {one.symbol: one for one in given}
    if len(by_symbol) < len(given):
        names = ", ".join(one.symbol for one in given)
        raise InvalidSettingError(f"each --candles holds another symbol, had {names}; --detail takes finer candles")
    markets = {
        one.symbol: market_from(one, source=source, exchange=exchange, tick=tick, step=step, store=store)
        for one, source in zip(given, sources, strict=True)
    }
    return by_symbol, markets


def market_from(
    candles: Candles,
    *,
    source: str = "",
    exchange: str | None = None,
    tick: str | None = None,
    step: str | None = None,
    store: str | None = None,
) -> Market:
    """Return the market of candles with what the options change; the store has the rules of its own candles (L3.6)."""
    from backtest.runner.run import market_of

    changes: dict[str, Any] = {
        name: value for name, value in (("exchange", exchange), ("tick", tick), ("step", step)) if value is not None
    }
    held = None
    if source.startswith("store:"):
        from backtest.market_data.rules import read_market
        from backtest.market_data.store import Store

        held = read_market(Store(store), candles.exchange, candles.symbol)
    return replace(held or market_of(candles), **changes)


def profile_from(name: str) -> SubscriberProfile:
    """Return a preset by name, or the profile of a JSON file."""
    from backtest.model.json_file import read_json
    from backtest.model.profile import SubscriberProfile

    if not name.endswith(".json"):
        return SubscriberProfile.preset(name)
    values = read_json(Path(name), "profile")
    if not isinstance(values, dict):
        raise InvalidSettingError(f"profile {name} holds a JSON object, was {type(values).__name__}")
    return SubscriberProfile.from_dict(values)
