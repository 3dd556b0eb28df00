"""``backtest venue``: a paper venue on this machine that speaks the Signal API."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backtest.cli import options

if TYPE_CHECKING:
    from backtest.venue.faults import FaultPlan
    from backtest.venue.paper import PaperVenue

__all__ = ["register", "speed_of"]

_CHUNK = 1000

CandlesOption = Annotated[
    str | None, typer.Option("--candles", "-c", help="What subscribers execute on: a file, or sample:BTC/USD:1h.")
]
FaultOption = Annotated[
    list[str] | None, typer.Option("--fault", help="What goes wrong by chance: 500-after@0.05; repeat it.")
]


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command("venue")(venue)


def venue(  # noqa: PLR0913, PLR0917  every option is an argument
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8787,
    db: Annotated[Path, typer.Option(help="SQLite file; it survives a restart.")] = Path("venue.sqlite"),
    candles: CandlesOption = None,
    speed: Annotated[str, typer.Option(help="Candles a second, or max.")] = "max",
    symbol: options.SymbolOption = None,
    timeframe: options.TimeframeOption = None,
    exchange: options.ExchangeOption = None,
    tick: options.TickOption = None,
    step: options.StepOption = None,
    profile: Annotated[list[str] | None, typer.Option(help="Subscriber: anny, exchange or a JSON file.")] = None,
    fault: FaultOption = None,
    fault_seed: Annotated[int, typer.Option(help="Repeats the same chances.")] = 0,
    rate: Annotated[int, typer.Option(min=0, help="Calls a minute before a 429, as 10; 0 has no limit.")] = 0,
    host: Annotated[
        str, typer.Option(help="Address; another than this machine's needs ANNY_PAPER_TOKEN.")
    ] = "127.0.0.1",
) -> None:
    """Serve the Signal API on paper, to rehearse without the vendor.

    A subscriber has one account for each market that candles are fed of, where a backtest and the vendor have one for
    all.

    It asks for ANNY_API_KEY and ANNY_API_SECRET as set here; any values will do. Faults: none, latency:MS, 429:MS,
    429-result:MS, 500-before, 500-after, drop-before, drop-after, hang-before, hang-after, cut, malformed, redirect.

    backtest venue --port 8787 --db venue.sqlite --candles sample:BTC/USD:1h --speed 10
    """
    from backtest.venue.credentials import Credentials
    from backtest.venue.faults import FaultPlan
    from backtest.venue.guard import Guard
    from backtest.venue.ledger import Ledger
    from backtest.venue.paper import PaperVenue
    from backtest.venue.serving import listen

    pace = speed_of(speed)
    faults = FaultPlan(fault or [], fault_seed)
    guard = Guard(Credentials.load(), host, os.environ.get("ANNY_PAPER_TOKEN") or None)
    feed = _feed(candles, symbol, timeframe, exchange, tick, step)
    paper = PaperVenue(Ledger(db))
    for number, name in enumerate(profile or (["anny"] if feed else []), 1):
        account = options.profile_from(name)
        paper.subscribe(f"{account.name}-{number}", account.to_dict(), {})
    listener = listen(host, port)
    with listener:
        _serve(paper, guard, faults, rate, listener, feed, pace)


def _feed(source: str | None, *market: Any) -> dict[str, Any] | None:
    """Return what is posted for the candles of a file; None without one."""
    if source is None:
        return None
    symbol, timeframe, exchange, tick, step = market
    candles = options.candles_from(source, symbol=symbol, timeframe=timeframe, exchange=exchange)
    where = options.market_from(candles, source=source, exchange=exchange, tick=tick, step=step)
    columns = (candles.time, candles.open, candles.high, candles.low, candles.close, candles.volume)
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    return {"market": where.to_dict(), "timeframe": candles.timeframe, "rows": rows}


def speed_of(text: str) -> float | None:
    """Return candles a second; None for as fast as it goes."""
    from backtest.errors import InvalidSettingError

    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.0 < speed < 1e6:
        raise InvalidSettingError(f"--speed is a number of candles a second, or max, was {text!r}")
    return speed


def _serve(
    paper: PaperVenue,
    guard: Any,
    faults: FaultPlan,
    rate: int,
    listener: Any,
    feed: dict[str, Any] | None,
    speed: float | None,
) -> None:
    import threading

    from backtest.venue.rate import RateLimit
    from backtest.venue.server import paper_app
    from backtest.venue.serving import PaperServer

    server = PaperServer(paper_app(paper, guard, faults=faults, rate=RateLimit(rate) if rate else None), listener)
    typer.echo(f"paper venue at {server.url}, ledger {paper.ledger.path}, document {server.url}/openapi.json")
    if feed is not None:
        stop = threading.Event()
        arguments = (server.url, feed, speed, stop)
        feeder = threading.Thread(target=_post, args=arguments, daemon=True, name="candles")
        feeder.start()
        server.run()
        stop.set()
        feeder.join(5.0)
        return
    server.run()


def _post(url: str, feed: dict[str, Any], speed: float | None, stop: Any) -> None:
    """Post the candles of a file to the venue, as anybody could from outside."""
    from backtest.errors import BacktestError
    from backtest.venue.paper_client import PaperClient

    chunk = _CHUNK if speed is None else 1
    with PaperClient(url, os.environ.get("ANNY_PAPER_TOKEN") or None) as control:
        try:
            for start in range(0, len(feed["rows"]), chunk):
                fed = control.feed(feed["market"], feed["timeframe"], feed["rows"][start : start + chunk])
                if speed is not None and fed.walked and stop.wait(1.0 / speed):
                    return
        except BacktestError as error:
            if not stop.is_set():
                typer.echo(f"error: {error}", err=True)
            return
    typer.echo(f"{len(feed['rows'])} candles were fed")
