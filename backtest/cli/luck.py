"""``backtest luck``: what chance alone would have given in place of a strategy's run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backtest.cli import options
from backtest.errors import InvalidSettingError

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command("luck")(luck)


def luck(  # noqa: PLR0913, PLR0917  every option is an argument
    strategy: Annotated[str, typer.Argument(help="File of the strategy, or the folder of a saved result.")],
    candles: Annotated[
        list[str] | None, typer.Option("--candles", "-c", help="As of backtest run; a saved result needs none.")
    ] = None,
    symbol: options.SymbolOption = None,
    timeframe: options.TimeframeOption = None,
    exchange: options.ExchangeOption = None,
    tick: options.TickOption = None,
    step: options.StepOption = None,
    param: options.ParamOption = None,
    profile: options.ProfileOption = "anny",
    store: options.StoreOption = None,
    draws: Annotated[int, typer.Option(help="Draws of each kind.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the draws: the same every time.")] = 0,
) -> None:
    """Say what random entries, shifted signals and permuted candles would have earned, and how long a record must be.

    Of a saved result it repeats what was drawn when it was saved: its strategy is a record and cannot be run again.

    backtest luck strategies/rsi_dip.py --candles sample:BTC/USD:1d
    """
    from backtest.runner.result import Result
    from backtest.runner.run import run

    if Path(strategy).is_dir():
        saved = Result.load(strategy).tables.manifest.get("luck")
        if not saved:
            raise InvalidSettingError(f"{strategy} was saved without checks, and with them without luck; run it again")
        typer.echo("\n".join(map(str, saved)))
        return
    if not candles:
        raise InvalidSettingError("--candles is missing: a strategy is run over candles, such as sample:BTC/USD:1h")
    chosen = options.strategy_from(strategy, param)
    by_symbol, markets = options.series_from(
        candles, symbol=symbol, timeframe=timeframe, exchange=exchange, tick=tick, step=step, store=store
    )
    result = run(chosen, by_symbol, market=markets, profile=options.profile_from(profile))
    for line in result.luck(draws=draws, seed=seed).lines:
        typer.echo(line)
