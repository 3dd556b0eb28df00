"""``backtest run``: a strategy over candles, printed, saved and written as a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backtest.cli import options
from backtest.cli.run_config import config_of, read_config
from backtest.errors import InvalidSettingError

if TYPE_CHECKING:
    from backtest.market_data.funding import FundingRates
    from backtest.model.candles import Candles
    from backtest.model.profile import SubscriberProfile

__all__ = ["register", "show"]

_DEAR = 0.02
"""A fee above this, not written as a percent, is more likely a percent than a fraction."""


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command("run")(run)


def run(  # noqa: PLR0913, PLR0917  every option is an argument
    context: typer.Context,
    strategy: options.StrategyArgument,
    candles: options.CandlesOption,
    symbol: options.SymbolOption = None,
    timeframe: options.TimeframeOption = None,
    exchange: options.ExchangeOption = None,
    since: options.SinceOption = None,
    until: options.UntilOption = None,
    tick: options.TickOption = None,
    step: options.StepOption = None,
    param: options.ParamOption = None,
    profile: options.ProfileOption = "anny",
    intrabar: Annotated[str | None, typer.Option(help="pessimistic, candle or optimistic.")] = None,
    detail: Annotated[
        list[str] | None,
        typer.Option(help="Finer candles, walked in place of coarse ones; of store:... found by themselves, or none."),
    ] = None,
    store: options.StoreOption = None,
    incomplete: options.IncompleteOption = False,
    columns: options.ColumnsOption = None,
    decimal: options.DecimalOption = "",
    dates: options.DatesOption = "",
    tidy: options.TidyOption = False,
    snap: options.SnapOption = False,
    lane: Annotated[str | None, typer.Option(help="table or candle, where the strategy has both.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End at the first call that the desk refuses.")] = False,
    balance: Annotated[float | None, typer.Option(help="Initial balance, in place of the profile's.")] = None,
    fee: Annotated[str | None, typer.Option(help="Fee of each fill, 0.1% or 0.001, in place of the profile's.")] = None,
    config: Annotated[  # noqa: ARG001  read by its callback, before the others
        Path | None,
        typer.Option(callback=_configured, is_eager=True, help="TOML file with these options; flags go before it."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for tables, calls and report.html.")] = None,
) -> None:
    """Run a strategy over candles and show what a subscriber would have got.

    backtest run strategies/breakout.py --candles sample:BTC/USD:1h --param lookback=72 --out out/breakout
    """
    from backtest.runner.run import run as run_strategy

    tables = config_of(context)
    chosen = options.strategy_from(strategy, param, tables["parameters"])
    asked: dict[str, Any] = {"exchange": exchange, "store": store, "since": since, "until": until}
    asked["incomplete"] = incomplete
    asked["reading"] = options.reading_from(columns, decimal, dates, tidy=tidy, snap=snap)
    by_symbol, markets = options.series_from(candles, symbol=symbol, timeframe=timeframe, tick=tick, step=step, **asked)
    given = list(by_symbol.values())
    held = [one for one, source in zip(given, candles, strict=True) if source.startswith("store:")]
    fine = _detail(detail or [], held, store, {"symbol": symbol, **asked})
    account = _account(context, profile, {"intrabar": intrabar, "balance": balance, **_fees(fee)})
    funding = _funding(held, store, incomplete=incomplete)
    _tell(held, fine if detail is None else {}, funding)
    _tell_odd(given, held, incomplete=incomplete, snapped=snap)
    result = run_strategy(
        chosen, by_symbol, market=markets, profile=account, detail=fine, funding=funding, lane=lane, strict=strict
    )
    show(result, out)


def _configured(context: typer.Context, file: Path | None) -> Path | None:
    read_config(context, file)
    return file


def _account(context: typer.Context, profile: str, changes: dict[str, Any]) -> SubscriberProfile:
    """Return the subscriber: the profile that is named, with what the config and the flags change."""
    table, source = config_of(context)["profile"], context.get_parameter_source("profile")
    if source is not None and source.name == "COMMANDLINE":
        table = {}  # a profile that is named on the command line goes before the file's
    base = options.profile_from(profile)
    given = {name: value for name, value in changes.items() if value is not None}
    return type(base).from_dict({**base.to_dict(), **table, **given}) if table or given else base


def _fees(text: str | None) -> dict[str, float]:
    """Return maker and taker fee as fractions, from ``0.1%`` or ``0.001``."""
    if text is None:
        return {}
    number, percent, rest = text.strip().partition("%")
    try:
        fee = float(number) / (100.0 if percent else 1.0)
    except ValueError:
        fee = -1.0
    if rest or not 0.0 <= fee < 1.0:
        raise InvalidSettingError(f"--fee is a percent such as 0.1% or a fraction such as 0.001, was {text!r}")
    if not percent and fee > _DEAR:
        raise InvalidSettingError(f"--fee {text} would be {100.0 * fee:g} % of each fill: write {text}%, or a fraction")
    return {"maker_fee": fee, "taker_fee": fee}


def _detail(sources: list[str], held: list[Candles], store: str | None, asked: dict[str, Any]) -> dict[str, Candles]:
    """Return the finer candles that are named, and for candles of the store those that it has beside them (L2.4)."""
    if sources == ["none"]:
        return {}
    given = [options.candles_from(source, **asked) for source in sources]
    found = {one.symbol: one for one in given}
    if held:
        from backtest.market_data.load import detail_for

        beside = {one.symbol: detail_for(one, store=store) for one in held if one.symbol not in found}
        found |= {name: one for name, one in beside.items() if one is not None}
    return found


def _funding(held: list[Candles], store: str | None, *, incomplete: bool) -> dict[str, FundingRates]:
    """Return the funding rates that the store has beside its candles (L13.3)."""
    from backtest.market_data.load import funding_for

    beside = {one.symbol: funding_for(one, store=store, incomplete=incomplete) for one in held}
    return {name: rates for name, rates in beside.items() if rates is not None}


def _tell(held: list[Candles], detail: dict[str, Candles], funding: dict[str, FundingRates]) -> None:
    """Say what was taken from the store beside its candles."""
    for name in [one.symbol for one in held]:
        found = [f"{len(detail[name]):,} candles of {detail[name].timeframe} as detail"] if name in detail else []
        found += [f"{len(funding[name])} funding rates"] if name in funding else []
        if found:
            typer.echo(f"{name}: the store has {' and '.join(found)}", err=True)


def _tell_odd(given: list[Candles], held: list[Candles], *, incomplete: bool, snapped: bool) -> None:
    """Say which candles open off the grid of their timeframe, and what share a store lacks that may be incomplete."""
    from backtest.market_data.quality import off_grid

    for one in given:
        count, most = off_grid(one)
        if count:
            way = (
                ""
                if any(one is other for other in held) or snapped
                else "; --snap moves each to the nearest time on it"
            )
            typer.echo(
                f"{one.symbol}: {count:,} of {len(one):,} candles open off the grid of {one.timeframe}, by up to "
                f"{most / 1000:g} s{way}",
                err=True,
            )
    for one in held if incomplete else []:
        whole = len(one) + one.gaps
        typer.echo(f"{one.symbol}: {one.gaps:,} of {whole:,} candles are missing ({one.gaps / whole:.1%})", err=True)


def show(result: object, out: Path | None, *, calls: int = 0) -> None:
    """Print a result, and save it with its page where a folder is given.

    Parameters
    ----------
    result
        A :class:`backtest.Result`.
    out
        Folder in which it is saved with its page; None saves nothing.
    calls
        How many of the last calls are printed.
    """
    from rich.console import Console

    from backtest.report.console import render_result
    from backtest.runner.result import Result

    assert isinstance(result, Result)  # noqa: S101
    saved = None
    if out is not None:
        saved = result.save(out)
        result.report(saved / "report.html")
    console = Console()
    console.print(render_result(result.tables, result.stats))
    if calls:
        from backtest.cli.calls import print_request

        console.print(f"\nThe last {calls} calls, as live would send them:")
        for decision in result.calls[-calls:]:
            print_request(decision)
    if saved is not None:
        console.print(f"\nresult  {saved}\nreport  {saved / 'report.html'}", soft_wrap=True, highlight=False)
