"""``backtest venue``: a paper venue on this machine that speaks the Signal API."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backtest.cli import options

if TYPE_CHECKING:
    from backtest.venue.faults import FaultPlan
    from backtest.venue.paper import PaperVenue
    from backtest.venue.paper_client import PaperClient

__all__ = ["register", "speed_of"]

_CHUNK = 1000
_TOKEN = "ANNY_PAPER_TOKEN"  # noqa: S105 - the name of a variable

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
    speed: Annotated[
        str | None,
        typer.Option(help="Candles a second, or max; without it all are fed at once when the first call has come."),
    ] = None,
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
    no_token: Annotated[bool, typer.Option("--no-token", help="Let any program of this machine use /paper.")] = False,
) -> None:
    """Serve the Signal API on paper, to rehearse without the vendor.

    A subscriber has one account over all markets of an exchange and timeframe, as in a backtest.

    It asks for ANNY_API_KEY and ANNY_API_SECRET as set here; any values will do. Its own paths, /paper/..., ask for the
    token in ANNY_PAPER_TOKEN; without one a token is made and printed. Faults: none, latency:MS, 429:MS,
    429-result:MS, 500-before, 500-after, drop-before, drop-after, hang-before, hang-after, cut, malformed, redirect.

    backtest venue --port 8787 --db venue.sqlite --candles sample:BTC/USD:1h --speed 10
    """
    from backtest.errors import InvalidSettingError
    from backtest.model.assumptions import VenueAssumptions
    from backtest.venue.credentials import Credentials, is_loopback
    from backtest.venue.faults import FaultPlan
    from backtest.venue.guard import Guard
    from backtest.venue.ledger import Ledger
    from backtest.venue.paper import PaperVenue
    from backtest.venue.serving import listen
    from backtest.venue.subscribers import Subscriber

    token = os.environ.get(_TOKEN) or None
    if no_token and token is not None:
        raise InvalidSettingError(f"--no-token was said and {_TOKEN} is set; leave out one")
    if token is None and not no_token and is_loopback(host):
        token = secrets.token_hex(16)
        typer.echo(f"export {_TOKEN}={token}")
    pace = None if speed is None else speed_of(speed)
    faults = FaultPlan(fault or [], fault_seed)
    guard = Guard(Credentials.load(), host, token)
    feed = _feed(candles, symbol, timeframe, exchange, tick, step)
    feeder = _Feeder(feed, pace, token, waits=speed is None) if feed else None
    with listen(host, port) as listener:
        paper = PaperVenue(Ledger(db))
        for number, name in enumerate(profile or (["anny"] if feed else []), 1):
            account = options.profile_from(name)
            paper.subscribe(Subscriber(f"{account.name}-{number}", account, VenueAssumptions()))
        _serve(paper, guard, faults, rate, listener, feeder)


def _feed(source: str | None, *market: Any) -> dict[str, Any] | None:
    """Return what is posted for the candles of a file; None without one."""
    if source is None:
        return None
    symbol, timeframe, exchange, tick, step = market
    candles = options.candles_from(source, symbol=symbol, timeframe=timeframe, exchange=exchange)
    where = options.market_from(candles, source=source, exchange=exchange, tick=tick, step=step)
    columns = (candles.time, candles.open, candles.high, candles.low, candles.close, candles.volume)
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    return {"market": where.to_dict(), "timeframe": candles.timeframe, "rows": rows, "known": candles.volume_known}


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
    feeder: _Feeder | None,
) -> None:
    from backtest.venue.rate import RateLimit
    from backtest.venue.server import paper_app
    from backtest.venue.serving import PaperServer

    server = PaperServer(paper_app(paper, guard, faults=faults, rate=RateLimit(rate) if rate else None), listener)
    typer.echo(f"paper venue at {server.url}, ledger {paper.ledger.path}, document {server.url}/openapi.json")
    if feeder is not None:
        feeder.start(server.url)
    server.run()
    if feeder is not None:
        feeder.end()


class _Feeder:
    """Posts the candles of a file to the venue, as anybody could from outside, in a thread of its own."""

    def __init__(self, feed: dict[str, Any], speed: float | None, token: str | None, *, waits: bool) -> None:
        import threading

        self._feed, self._speed, self._token, self._waits = feed, speed, token, waits
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, url: str) -> None:
        """Begin, as soon as the venue answers and, where that is asked for, a call has come."""
        import threading

        if self._waits:
            count = len(self._feed["rows"])
            typer.echo(f"{count} candles wait for the first call; --speed max or a number feeds them by itself")
        self._thread = threading.Thread(target=self._run, args=(url,), daemon=True, name="candles")
        self._thread.start()

    def end(self) -> None:
        """Stop, with what was fed."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5.0)

    def _run(self, url: str) -> None:
        from backtest.errors import BacktestError
        from backtest.venue.paper_client import PaperClient

        try:
            with PaperClient(url, self._token) as client:
                self._post(client)
        except BacktestError as error:
            if not self._stop.is_set():
                typer.echo(f"error: {error}", err=True)

    def _post(self, client: PaperClient) -> None:
        while self._waits and not client.effects():
            if self._stop.wait(0.05):
                return
        rows, chunk = self._feed["rows"], _CHUNK if self._speed is None else 1
        for start in range(0, len(rows), chunk):
            feed = self._feed
            piece = rows[start : start + chunk]
            fed = client.feed(feed["market"], feed["timeframe"], piece, volume_known=feed["known"])
            if self._stop.is_set() or (self._speed is not None and fed.new and self._stop.wait(1.0 / self._speed)):
                return
        typer.echo(f"{len(rows)} candles were fed")
