"""``backtest check``: whether a strategy looks ahead, keeps state, or needs more history than it will have live."""

from __future__ import annotations

import typer

from backtest.cli import options

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command("check")(check)


def check(  # noqa: PLR0913, PLR0917  every option is an argument
    strategy: options.StrategyArgument,
    candles: options.CandlesOption,
    symbol: options.SymbolOption = None,
    timeframe: options.TimeframeOption = None,
    exchange: options.ExchangeOption = None,
    tick: options.TickOption = None,
    step: options.StepOption = None,
    param: options.ParamOption = None,
    profile: options.ProfileOption = "anny",
    store: options.StoreOption = None,
) -> None:
    """Run every check of a strategy in full; exit status 2 where one fails.

    backtest check strategies/breakout.py --candles sample:BTC/USD:1h
    """
    from backtest.runner.run import run

    chosen = options.strategy_from(strategy, param)
    by_symbol, markets = options.series_from(
        candles, symbol=symbol, timeframe=timeframe, exchange=exchange, tick=tick, step=step, store=store
    )
    result = run(chosen, by_symbol, market=markets, profile=options.profile_from(profile), checks="full")
    for finding in result.checks:
        typer.echo(f"{finding.verdict.value:>16}  {finding.check}: {finding.sentence}")
    if result.checks.warmup is not None:
        typer.echo(f"warmup: {result.checks.warmup} candles of history suffice")
    if result.checks.failed:
        raise typer.Exit(2)
