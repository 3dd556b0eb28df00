"""``backtest run``: a strategy over candles, printed, saved and written as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backtest.cli import options
from backtest.errors import InvalidSettingError

__all__ = ["register", "show"]


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command("run")(run)


def run(  # noqa: PLR0913, PLR0917  every option is an argument
    strategy: options.StrategyArgument,
    candles: options.CandlesOption,
    symbol: options.SymbolOption = None,
    timeframe: options.TimeframeOption = None,
    exchange: options.ExchangeOption = None,
    tick: options.TickOption = None,
    step: options.StepOption = None,
    param: options.ParamOption = None,
    profile: options.ProfileOption = "anny",
    intrabar: Annotated[str | None, typer.Option(help="pessimistic, candle or optimistic.")] = None,
    detail: Annotated[list[str] | None, typer.Option(help="Finer candles, walked in place of coarse ones.")] = None,
    lane: Annotated[str | None, typer.Option(help="table or candle, where the strategy has both.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for tables, calls and report.html.")] = None,
) -> None:
    """Run a strategy over candles and show what a subscriber would have got.

    backtest run strategies/breakout.py --candles sample:BTC/USD:1h --param lookback=72 --out out/breakout
    """
    from backtest.runner.run import run as run_strategy

    chosen = options.strategy_from(strategy, param)
    series = [options.candles_from(source, symbol=symbol, timeframe=timeframe, exchange=exchange) for source in candles]
    by_symbol = {one.symbol: one for one in series}
    if len(by_symbol) < len(series):
        names = ", ".join(one.symbol for one in series)
        raise InvalidSettingError(f"each --candles holds another symbol, had {names}; --detail takes finer candles")
    markets = {one.symbol: options.market_from(one, exchange=exchange, tick=tick, step=step) for one in series}
    fine = [options.candles_from(source, symbol=symbol, exchange=exchange) for source in detail or []]
    account = options.profile_from(profile)
    if intrabar is not None:
        account = type(account).from_dict({**account.to_dict(), "intrabar": intrabar})
    result = run_strategy(
        chosen, by_symbol, market=markets, profile=account, detail={one.symbol: one for one in fine}, lane=lane
    )
    show(result, out)


def show(result: object, out: Path | None, *, calls: int = 0) -> None:
    """Print a result, and save it with its page where a folder is given."""
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
