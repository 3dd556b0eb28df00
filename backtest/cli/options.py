"""Options that several verbs share: strategy, parameters, candles, market, profile and journal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backtest.errors import InvalidSettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backtest.model.candles import Candles
    from backtest.model.market import Market
    from backtest.model.profile import SubscriberProfile
    from backtest.strategy import Strategy

__all__ = [
    "CANDLES",
    "CandlesOption",
    "ColumnsOption",
    "DatesOption",
    "DecimalOption",
    "ExchangeOption",
    "IncompleteOption",
    "JournalOption",
    "ParamOption",
    "ProfileOption",
    "SinceOption",
    "SnapOption",
    "StepOption",
    "StoreOption",
    "StrategyArgument",
    "SymbolOption",
    "TickOption",
    "TidyOption",
    "TimeframeOption",
    "UntilOption",
    "candles_from",
    "market_from",
    "parameters_from",
    "profile_from",
    "reading_from",
    "series_from",
    "strategy_from",
]

StrategyArgument = Annotated[str, typer.Argument(help="File of the strategy, with :Class where it holds several.")]
CANDLES = typer.Option(
    "--candles",
    "-c",
    help="CSV, Parquet, Feather or JSON file (also .gz, .zip), sample:BTC/USD:1h, or store:binance:BTC/USDT:1h; "
    "repeat it for several symbols.",
)
CandlesOption = Annotated[list[str], CANDLES]
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
SinceOption = Annotated[str | None, typer.Option(help="First day, 2020-01-01; without it the first there is.")]
UntilOption = Annotated[str | None, typer.Option(help="Day after the last one; without it the last there is.")]
IncompleteOption = Annotated[
    bool,
    typer.Option("--incomplete", help="Of store:... take what is there, also where a part was never fetched."),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(help="Names of the file's columns, time=Date+Time,open=First; close_time=... where candles end."),
]
DecimalOption = Annotated[str, typer.Option(help="Decimal sign of the file's numbers, where it is not plain.")]
DatesOption = Annotated[str, typer.Option(help="dmy or mdy, where the file's dates are like 01/02/2024.")]
TidyOption = Annotated[bool, typer.Option("--tidy", help="Sort shuffled rows, drop rows that repeat another.")]
SnapOption = Annotated[
    bool, typer.Option("--snap", help="Move times off the grid of the timeframe to the nearest one on it.")
]
JournalOption = Annotated[Path, typer.Option(help="SQLite file with every call and what became of it.")]
StepOption = Annotated[str | None, typer.Option(help="Quantity step of the market, 0.00001.")]


def strategy_from(source: str, params: list[str] | None, before: Mapping[str, Any] | None = None) -> Strategy:
    """Return the strategy of a file with its parameters.

    Parameters
    ----------
    source
        ``FILE.py`` or ``FILE.py:Class``.
    params
        Each ``name=value``, a value as JSON or plain text.
    before
        Parameters that hold where ``params`` say nothing.
    """
    from backtest.runner.loading import load_strategy

    return load_strategy(source)(**{**(before or {}), **parameters_from(params)})


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


def reading_from(
    columns: str | None, decimal: str = "", dates: str = "", *, tidy: bool = False, snap: bool = False
) -> dict[str, Any]:
    """Return how a file is read, as options of :func:`backtest.market_data.files.read_candles`.

    Parameters
    ----------
    columns
        ``"time=Date+Time,open=First"``.
    decimal, dates, tidy, snap
        As in :class:`backtest.market_data.frame.Reading`.
    """
    named: dict[str, str] = {}
    for part in (columns or "").split(","):
        name, equals, told = part.strip().partition("=")
        if columns and (not equals or not name or not told):
            raise InvalidSettingError(f"--columns is written time=Date,open=First, was {columns!r}")
        if name in named:
            raise InvalidSettingError(f"--columns names {name} twice, was {columns!r}")
        if name:
            named[name.strip()] = told.strip()
    return {"columns": named, "decimal": decimal, "dates": dates, "tidy": tidy, "snap": snap}


def candles_from(  # noqa: PLR0913  options, all by name
    source: str,
    *,
    symbol: str | None = None,
    timeframe: str | None = None,
    exchange: str | None = None,
    store: str | None = None,
    since: str | None = None,
    until: str | None = None,
    incomplete: bool = False,
    reading: Mapping[str, Any] | None = None,
) -> Candles:
    """Return the candles that an option names: a file, ``sample:SYMBOL:TIMEFRAME`` or ``store:EXCHANGE:SYMBOL:TIMEFRAME``.

    Parameters
    ----------
    source
        What ``--candles`` was given.
    symbol, timeframe, exchange, reading
        Of a file, where it does not say so itself.
    store, incomplete
        Of ``store:...``.
    since, until
        ISO dates, the end exclusive.

    Raises
    ------
    InvalidSettingError
        For a source that cannot be one, or without candles in the range.
    """
    kind, _, rest = source.partition(":")
    if kind == "store":
        from backtest.market_data.load import load_candles

        parts = rest.split(":")
        if len(parts) < 3:
            raise InvalidSettingError(f"candles of the store are written store:binance:BTC/USDT:1h, was {source!r}")
        found = load_candles(
            ":".join(parts[1:-1]),
            parts[-1],
            exchange=parts[0],
            store=store,
            start=since,
            end=until,
            incomplete=incomplete,
        )
        return _some(found, source, found, since, until)
    if kind == "sample":
        from backtest.market_data.sample import sample_candles

        name, _, frame = rest.rpartition(":")
        if not name:
            raise InvalidSettingError(f"sample candles are written sample:BTC/USD:1h, was {source!r}")
        whole = sample_candles(name, frame)
    else:
        from backtest.market_data.files import read_candles

        whole = read_candles(
            Path(source), symbol=symbol, timeframe=timeframe, exchange=(exchange or "").lower(), **(reading or {})
        )
    return _some(whole.between(since, until), source, whole, since, until)


def _some(part: Candles, source: str, whole: Candles, since: str | None, until: str | None) -> Candles:
    """Return the part of candles that was asked for; one without a candle is refused."""
    if len(part) == 0 and (since is not None or until is not None):
        has = f"it has {whole.index[0]:%Y-%m-%d} to {whole.index[-1]:%Y-%m-%d}" if len(whole) else "it has none"
        raise InvalidSettingError(
            f"{source} has no candle from {since or 'its first'} until {until or 'its last'}; {has}"
        )
    return part


def series_from(
    sources: list[str], *, tick: str | None = None, step: str | None = None, **asked: Any
) -> tuple[dict[str, Candles], dict[str, Market]]:
    """Return the candles that options name and their markets, each by symbol.

    Parameters
    ----------
    sources
        What ``--candles`` was given, once a symbol.
    tick, step
        Of the market, where the options say them.
    asked
        As :func:`candles_from` takes it.

    Raises
    ------
    InvalidSettingError
        For two sources of one symbol.
    """
    given = [candles_from(source, **asked) for source in sources]
    exchange, store = asked.get("exchange"), asked.get("store")
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
        from backtest.market_data.market_rules import read_market
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
