"""``backtest fetch``: candles, funding rates and market rules from an exchange into the store."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from backtest.market_data.job import Fetched, Wish
    from backtest.market_data.series import Series
    from backtest.market_data.store import Store

__all__ = ["register"]

SymbolsArgument = Annotated[list[str], typer.Argument(help="Such as BTC/USDT, or BTC/USDT:USDT for a perpetual.")]
ExchangeOption = Annotated[
    str,
    typer.Option("--exchange", "-e", help="binance, bybit, okx, kraken, kucoin, gate, mexc, or any that ccxt knows."),
]
TimeframesOption = Annotated[
    list[str] | None,
    typer.Option("--timeframe", "-t", help="Such as 15m; repeat it for several.", show_default="1h"),
]
StoreOption = Annotated[str, typer.Option("--store", help="Folder or fsspec URL (s3://...) of the store.")]
UrlOption = Annotated[
    str | None, typer.Option("--url", hidden=True, help="Stands in for the exchange's scheme and host.")
]
RetriesOption = Annotated[int, typer.Option(min=0, help="How often a failed request is sent again.")]


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command("fetch")(fetch)


def fetch(  # noqa: PLR0913, PLR0917  every option is an argument
    symbols: SymbolsArgument,
    exchange: ExchangeOption,
    timeframe: TimeframesOption = None,
    since: Annotated[str | None, typer.Option(help="First day, 2020-01-01; without it the store is continued.")] = None,
    until: Annotated[str | None, typer.Option(help="Day after the last one; without it up to now.")] = None,
    mark: Annotated[bool, typer.Option("--mark", help="Candles of the mark price too (perpetuals).")] = False,
    funding: Annotated[bool, typer.Option("--funding", help="Funding rates too (perpetuals).")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Ask also for what is there, to find revised candles.")
    ] = False,
    store: StoreOption = "data/candles",
    retries: RetriesOption = 5,
    url: UrlOption = None,
) -> None:
    """Fetch what the store lacks. No API key is needed.

    Run it again tomorrow and it goes on where it stopped; Ctrl-C keeps what is complete. The open candle is left out.

    backtest fetch BTC/USDT ETH/USDT --exchange binance --timeframe 1h --since 2020-01-01
    """
    from backtest.market_data.job import Wish
    from backtest.market_data.store import Store
    from backtest.model.candles import instant

    kinds = ["", *(["mark"] if mark else []), *(["funding"] if funding else [])]
    start, end = (None if text is None else instant(text) for text in (since, until))
    wish = Wish(symbols, timeframe or ["1h"], kinds, start=start, end=end, again=again)
    place = Store(store)
    for outcome in run(wish, exchange, place, retries=retries, url=url):
        typer.echo(_line(outcome, place))
        for note in outcome.notes:
            typer.echo(f"  {note}")


def run(wish: Wish, exchange: str, store: Store, *, retries: int, url: str | None) -> list[Fetched]:
    """Fetch with progress bars; a Ctrl-C ends the program with one sentence.

    Raises
    ------
    typer.Exit
        With status 130 after a Ctrl-C.
    """
    from backtest.market_data.exchange import Access
    from backtest.market_data.fetch import fetch as fetch_wish
    from backtest.market_data.retry import Retry

    bars = Bars()
    try:
        with bars.shown:
            access = Access(url, retry=Retry(retries + 1))
            return fetch_wish(wish, exchange=exchange, store=store, progress=bars, access=access)
    except KeyboardInterrupt:
        typer.echo(f"stopped; {bars.rows} rows were kept, the same command goes on from there", err=True)
        raise typer.Exit(130) from None


class Bars:
    """Progress bars on stderr, one for each series, with rows, speed and time left."""

    def __init__(self) -> None:
        from rich.console import Console

        console = Console(stderr=True)
        self.rows = 0
        self._tasks: dict[Series, Any] = {}
        self._progress = _progress(console) if console.is_terminal else None
        self.shown: AbstractContextManager[Any] = self._progress or nullcontext()

    def begin(self, series: Series, length: int) -> None:
        """Show a bar for a series of which ``length`` ms are to be fetched."""
        if self._progress is not None:
            self._tasks[series] = self._progress.add_task(str(series), total=length, rows=0, speed="")

    def advance(self, series: Series, length: int, rows: int) -> None:
        """Move the bar of a series."""
        self.rows += rows
        if self._progress is None:
            return
        task = self._progress.tasks[self._progress.task_ids.index(self._tasks[series])]
        total = task.fields["rows"] + rows
        speed = f"{total / task.elapsed:,.0f}/s" if task.elapsed else ""
        self._progress.update(task.id, advance=length, rows=total, speed=speed)


def _progress(console: Any) -> Any:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True)


def _line(outcome: Fetched, store: Store) -> str:
    """Return one line about what a series gained and holds."""
    from backtest.cli.data import day

    years = list(store.manifest(outcome.series).years.values())
    held = "none held"
    if years:
        first, last = day(min(y.first for y in years)), day(max(y.last for y in years))
        held = f"{sum(y.rows for y in years):,} held from {first} to {last}"
    odd = [
        f"{n:,} {what}"
        for n, what in (
            (outcome.revised, "revised"),
            (outcome.refused, "refused as contradictory"),
            (outcome.off_grid, f"off the grid of {outcome.series.timeframe}"),
        )
        if n
    ]
    return f"{outcome.series}: {outcome.rows:,} new, {held}" + "".join(f", {text}" for text in odd)
