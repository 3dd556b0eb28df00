"""``backtest replay``: a scenario file, or a folder of them, through the engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from backtest.cli import options
from backtest.errors import InvalidSettingError

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command("replay")(replay)


def replay(  # noqa: PLR0913, PLR0917  every option is an argument
    scenario: Annotated[Path, typer.Argument(help="A scenario file, a folder of *.json files, or a CSV call log.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole result as JSON (scenarios).")] = False,
    candles: Annotated[
        list[str] | None, typer.Option("--candles", "-c", help="Candles under a CSV call log, one file a symbol.")
    ] = None,
    symbol: options.SymbolOption = None,
    timeframe: options.TimeframeOption = None,
    exchange: options.ExchangeOption = None,
    since: options.SinceOption = None,
    until: options.UntilOption = None,
    store: options.StoreOption = None,
    incomplete: options.IncompleteOption = False,
    columns: options.ColumnsOption = None,
    decimal: options.DecimalOption = "",
    dates: options.DatesOption = "",
    tidy: options.TidyOption = False,
    snap: options.SnapOption = False,
    tick: options.TickOption = None,
    step: options.StepOption = None,
    profile: options.ProfileOption = "anny",
    out: Annotated[Path | None, typer.Option(help="Folder for tables, calls and report.html (CSV call logs).")] = None,
) -> None:
    """Replay a call log over candles: what each signal would have done, step by step.

    A folder prints one JSON list of {"file", "exit", "result", "error"}, sorted by name, and exits 0.

    A CSV call log has the columns at, ref, call and the API's fields, and is judged like a strategy's run:

    backtest replay channel.csv --candles btc.parquet --symbol BTC/USDT --out out/channel
    """
    if scenario.suffix.lower() == ".csv":
        asked: dict[str, Any] = {"exchange": exchange, "store": store, "since": since, "until": until}
        asked |= {"incomplete": incomplete}
        asked["reading"] = options.reading_from(columns, decimal, dates, tidy=tidy, snap=snap)
        series = [options.candles_from(one, symbol=symbol, timeframe=timeframe, **asked) for one in candles or []]
        if not series:
            raise InvalidSettingError(f"{scenario} is a call log and needs its candles: --candles FILE")
        from backtest.cli.run import show
        from backtest.runner.log_replay import replay_calls

        markets = {
            one.symbol: options.market_from(one, source=source, exchange=exchange, tick=tick, step=step, store=store)
            for one, source in zip(series, candles or [], strict=True)
        }
        by_symbol = {one.symbol: one for one in series}
        account = options.profile_from(profile)
        show(replay_calls(scenario, by_symbol, market=markets, profile=account), out)
        return
    from backtest.runner.scenario import Scenario, replay_directory
    from backtest.runner.scenario import replay as replay_scenario

    if scenario.is_dir():
        typer.echo(json.dumps(replay_directory(scenario), ensure_ascii=False))
        return
    read = Scenario.from_file(scenario)
    for note in read.notes():
        typer.echo(f"warning: {note}", err=True)
    result = replay_scenario(read)
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
        return
    _show(result, read.profile.intrabar)


def _show(result: dict[str, Any], mode: str) -> None:
    import numpy as np
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from backtest.report.interval import Interval

    console = Console()
    for signal in result["signals"]:
        table = Table(
            "time",
            "event",
            "price",
            "quantity",
            "fee",
            "rule",
            title=Text(f"{signal['ref']}: {signal['status']}"),
            title_justify="left",
        )
        for event in signal["events"]:
            name = event["kind"] if event["target"] is None else f"{event['kind']} {event['target']}"
            price = "" if event["price"] is None else f"{event['price']:.10g}"
            table.add_row(
                f"{np.datetime64(event['time'], 'ms')}Z",
                name,
                price,
                f"{event['quantity']:.10g}",
                f"{event['fee']:.6g}",
                event["rule"],
            )
        console.print(table)
        console.print(
            Text(
                f"realised {signal['realised_pnl']:.8g} and fees {signal['fees']:.8g} in quote currency, "
                f"open {signal['open_quantity']:.10g} in base currency\n"
            )
        )
    console.print(
        Text(
            f"total return {Interval(**result['total_return']).shown(mode, digits=4)}\n"
            f"cash {result['cash']:.8g} in quote currency; ambiguous candles {result['ambiguous_candles']}"
        )
    )
