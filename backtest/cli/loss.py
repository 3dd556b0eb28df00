"""``backtest loss``: what of a strategy's or a channel's signals another venue cannot carry, in words and in money."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from backtest.cli import options
from backtest.errors import InvalidSettingError

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command("loss")(loss)


def loss(  # noqa: PLR0913, PLR0917  every option is an argument
    strategy: Annotated[str, typer.Argument(help="File of the strategy, or a CSV call log.")],
    venue: Annotated[Path, typer.Option("--venue", help="venue.toml of the venue.")],
    candles: Annotated[list[str] | None, typer.Option("--candles", "-c", help="As of backtest run.")] = None,
    symbol: options.SymbolOption = None,
    timeframe: options.TimeframeOption = None,
    exchange: options.ExchangeOption = None,
    since: options.SinceOption = None,
    until: options.UntilOption = None,
    tick: options.TickOption = None,
    step: options.StepOption = None,
    param: options.ParamOption = None,
    profile: options.ProfileOption = "anny",
    store: options.StoreOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    most: Annotated[int, typer.Option(help="How many signals to list.")] = 20,
) -> None:
    """Say what of each signal a venue cannot carry, and what the same calls would have earned there.

    Both runs are over the same candles; what the other side's own settings decide is in no figure.

    backtest loss strategies/breakout.py --venue venue.toml --candles sample:BTC/USD:1h
    """
    from backtest.runner.log_replay import replay_calls
    from backtest.runner.loss import loss_report
    from backtest.runner.run import run
    from backtest.venue.outlet.settings import read_outlet
    from backtest.venue.outlet.template import OutletTemplate

    settings, template = read_outlet(venue)
    if settings.kind != "cornix":
        OutletTemplate(settings, template)  # a template that is none is refused before anything is said of it
    if not candles:
        raise InvalidSettingError("--candles is missing: a loss is of signals over candles, such as sample:BTC/USD:1h")
    by_symbol, markets = options.series_from(
        candles,
        symbol=symbol,
        timeframe=timeframe,
        exchange=exchange,
        tick=tick,
        step=step,
        store=store,
        since=since,
        until=until,
    )
    account = options.profile_from(profile)
    if strategy.lower().endswith(".csv"):
        result = replay_calls(strategy, by_symbol, market=markets, profile=account)
    else:
        chosen = options.strategy_from(strategy, param)
        result = run(chosen, by_symbol, market=markets, profile=account, checks="off")
    found = loss_report(result.finished, settings.says, settings.name)
    typer.echo(json.dumps(found.to_dict(), ensure_ascii=False) if as_json else found.text(most))
