"""``backtest calls``: the candles one close at a time, as live would, and each Signal API request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from backtest.cli import options
from backtest.errors import InvalidSettingError

if TYPE_CHECKING:
    from backtest.runner.decision import Decision

__all__ = ["print_request", "register"]


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command("calls")(calls)


def calls(  # noqa: PLR0913, PLR0917  every option is an argument
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
    last: Annotated[int | None, typer.Option(min=1, help="Print the last so many only.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Walk the candles one close at a time, as live would, and print each Signal API request.

    Nothing after a close is in memory when the strategy decides on it. The two secret headers are left out.

    backtest calls strategies/breakout.py --candles sample:BTC/USD:1h --last 3
    """
    from backtest.runner.run import lane_of
    from backtest.runner.session import Session

    if len(candles) != 1:
        raise InvalidSettingError(
            f"one symbol at a time is walked, as live does; --candles was given {len(candles)} times"
        )
    chosen = options.strategy_from(strategy, param)
    lane_of(chosen)
    series = options.candles_from(candles[0], symbol=symbol, timeframe=timeframe, exchange=exchange, store=store)
    market = options.market_from(series, source=candles[0], exchange=exchange, tick=tick, step=step, store=store)
    session = Session(chosen, series.slice(0, 0), market=market, profile=options.profile_from(profile))
    columns = (series.time, series.open, series.high, series.low, series.close, series.volume)
    kept: list[Decision] = []
    for row in zip(*(column.tolist() for column in columns), strict=True):
        decided = session.close(*row)
        if last is None:
            for decision in decided:
                print_request(decision, as_json=as_json)
        kept = (kept + decided)[-last:] if last else []
    for decision in kept:
        print_request(decision, as_json=as_json)


def print_request(decision: Decision, *, as_json: bool = False) -> None:
    """Print one call as HTTP has it, without host and secrets; our ref stands for the venue's id.

    Parameters
    ----------
    decision
        The call and its close.
    as_json
        As one JSON object, in place of an HTTP request.
    """
    from backtest.model.calls import CreateSignal
    from backtest.runner.manifest import sent
    from backtest.wire import endpoint_of

    if as_json:
        typer.echo(json.dumps(sent(decision), separators=(",", ":"), ensure_ascii=False))
        return
    import numpy as np

    call = decision.call
    request = endpoint_of(call, None if isinstance(call, CreateSignal) else call.signal)
    headers = "  ".join(f"{name}: {value}" for name, value in request.headers.items())
    typer.echo(
        f"{np.datetime64(decision.at, 'ms')}Z  {request.method} {request.path}\n  {headers}\n  {request.body.decode()}"
    )
