"""``backtest data``: what the store holds, whether it is whole, and files into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from backtest.cli import options
from backtest.cli.fetch import RetriesOption, StoreOption, UrlOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backtest.market_data.quality import Finding
    from backtest.market_data.series import Series
    from backtest.market_data.store import Store

__all__ = ["day", "register"]

SymbolArgument = Annotated[str, typer.Argument(help="Such as BTC/USDT, or BTC/USDT:USDT for a perpetual.")]
AnySymbol = Annotated[str | None, typer.Argument(help="Such as BTC/USDT; without it all symbols.")]
ExchangeOption = Annotated[str, typer.Option("--exchange", "-e", help="Such as binance.")]
AnyExchange = Annotated[str | None, typer.Option("--exchange", "-e", help="Such as binance; without it all.")]
TimeframeOption = Annotated[str, typer.Option("--timeframe", "-t", help="Such as 1h.")]
AnyTimeframe = Annotated[str | None, typer.Option("--timeframe", "-t", help="Such as 1h; without it all.")]
FileTimeframe = Annotated[str | None, typer.Option("--timeframe", "-t", help="Where the rows do not show it: 1h.")]
MarkOption = Annotated[bool, typer.Option("--mark", help="Candles of the mark price.")]
FundingOption = Annotated[bool, typer.Option("--funding", help="Funding rates.")]
_SHOWN = 20

app = typer.Typer(no_args_is_help=True, help="The candle store: what it holds, whether it is whole, files into it.")


def register(parent: typer.Typer) -> None:
    """Add the commands to an application."""
    parent.add_typer(app, name="data")


@app.command("list")
def list_series(store: StoreOption = "data/candles") -> None:
    """List every series: from when to when, rows, missing ones, size on disk, last fetch."""
    from backtest.market_data.store import Store

    place = Store(store)
    rows = [_row(place, series) for series in place.series()]
    if not rows:
        typer.echo(
            f"the store {place} is empty: backtest fetch BTC/USDT --exchange binance --since 2020-01-01 fills it"
        )
        return
    _print_table(("exchange", "symbol", "series", "from", "to", "rows", "missing", "size", "fetched"), rows)


@app.command("show")
def show(
    symbol: SymbolArgument,
    exchange: ExchangeOption,
    timeframe: TimeframeOption = "1h",
    mark: MarkOption = False,
    funding: FundingOption = False,
    store: StoreOption = "data/candles",
) -> None:
    """Show one series: its years with their hashes, gaps and their cause, refused and revised candles, its sources."""
    place, series = _held(store, symbol, exchange, timeframe, mark=mark, funding=funding)
    manifest = place.manifest(series)
    typer.echo(f"{series} in {place}/{series.folder}")
    for year, entry in sorted(manifest.years.items()):
        typer.echo(
            f"  {year}  {entry.rows:>9,} rows  {day(entry.first)} to {day(entry.last)}  sha256 {entry.sha256[:16]}"
        )
    gaps = manifest.gaps(place.columns(series)["time"], series.length) if series.length else []
    for gap in gaps[:_SHOWN]:
        cause = "the exchange has none" if gap.asked else "never fetched"
        typer.echo(f"  gap  {day(gap.start)} to {day(gap.end)}  {gap.candles:,} candles, {cause}")
    if len(gaps) > _SHOWN:
        typer.echo(f"  ... and {len(gaps) - _SHOWN:,} more gaps, {sum(g.candles for g in gaps):,} candles in all")
    for candle in manifest.refused[:_SHOWN]:
        typer.echo(f"  refused  {day(candle.time)}  {candle.why}")
    for revision in manifest.revisions:
        what = "replaced, those before are" if revision.taken else "later told differently,"
        typer.echo(f"  revised  {revision.rows:,} candle(s) from {day(revision.first)}: {what} in {revision.file}")
    for fetch in manifest.fetches[-_SHOWN:]:
        span = f"{day(fetch.start)} to {day(fetch.end)}"
        typer.echo(f"  fetched  {fetch.at[:19]}  {fetch.rows:,} rows from {fetch.source}, {span}")


@app.command("verify")
def verify(
    symbol: AnySymbol = None,
    exchange: AnyExchange = None,
    timeframe: AnyTimeframe = None,
    store: StoreOption = "data/candles",
) -> None:
    """Check files, times and values, and compare with finer candles; exit status 3 where something is wrong."""
    from backtest.market_data.series import exchange_name
    from backtest.market_data.store import Store
    from backtest.market_data.symbol import unified
    from backtest.market_data.upkeep import verify as check
    from backtest.model.progress import tracked

    place = Store(store)
    name, market = exchange and exchange_name(exchange), symbol and (unified(symbol) or symbol).lower()
    wanted = [s for s in place.series() if name in {None, s.exchange} and market in {None, s.symbol.lower()}]
    wanted = [s for s in wanted if timeframe in {None, s.timeframe}]
    if not wanted:
        _refuse_empty(place, " ".join(part for part in (name, market, timeframe) if part))
    wrong = 0
    for series in tracked("verify", wanted, len(wanted)):
        findings = check(place, series)
        wrong += sum(finding.serious for finding in findings)
        typer.echo(f"{series}: {_verdict(findings)}")
        for finding in sorted(findings, key=lambda f: not f.serious)[:_SHOWN]:
            mark = "!" if finding.serious else "-"
            typer.echo(f"  {mark} {finding.kind}  {day(finding.time)}  {finding.count:,}  {finding.text}")
    if wrong:
        raise typer.Exit(3)


@app.command("repair")
def repair(  # noqa: PLR0913, PLR0917  every option is an argument
    symbol: SymbolArgument,
    exchange: ExchangeOption,
    timeframe: TimeframeOption = "1h",
    mark: MarkOption = False,
    funding: FundingOption = False,
    take_revisions: Annotated[bool, typer.Option("--take-revisions", help="Make revised candles current.")] = False,
    fetch: Annotated[bool, typer.Option("--fetch/--no-fetch", help="Then fetch what is missing.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Delete damaged files that were set aside.")] = False,
    store: StoreOption = "data/candles",
    retries: RetriesOption = 5,
    url: UrlOption = None,
) -> None:
    """Set damaged files aside, make the manifest again, fetch what is missing; say what was done.

    Nothing is deleted without --force, no candle is replaced without --take-revisions.
    """
    from backtest.cli.fetch import run
    from backtest.market_data.job import Wish
    from backtest.market_data.upkeep import repair as set_right
    from backtest.market_data.upkeep import take_revisions as take

    place, series = _held(store, symbol, exchange, timeframe, mark=mark, funding=funding)
    first, last = _extent(place, series)
    done = set_right(place, series, force=force)
    if take_revisions:
        done += take(place, series)
    if fetch and (missing := place.missing(series, first, last)):
        wish = Wish([series.symbol], [series.timeframe], [series.kind], start=missing[0][0], end=missing[-1][1])
        outcome = run(wish, series.exchange, place, retries=retries, url=url)[0]
        done.append(f"{outcome.rows:,} rows were fetched, from {day(missing[0][0])} to {day(missing[-1][1])}")
    for sentence in done or ["nothing to repair"]:
        typer.echo(f"{series}: {sentence}")


@app.command("import")
def import_files(  # noqa: PLR0913, PLR0917  every option is an argument
    files: Annotated[
        list[str],
        typer.Argument(
            help="CSV, Feather, Parquet or JSON, also in .gz or .zip: freqtrade's, Binance's, Kraken's, LEAN's."
        ),
    ],
    exchange: Annotated[str | None, typer.Option("--exchange", "-e", help="Where the candles were traded.")] = None,
    symbol: Annotated[str | None, typer.Option(help="Where the file does not say it: BTC/USDT.")] = None,
    timeframe: FileTimeframe = None,
    columns: options.ColumnsOption = None,
    decimal: options.DecimalOption = "",
    dates: options.DatesOption = "",
    tidy: options.TidyOption = False,
    snap: options.SnapOption = False,
    store: StoreOption = "data/candles",
) -> None:
    """Put candle files into the store; a file is taken in whole or not at all."""
    from backtest.market_data.importing import import_file
    from backtest.market_data.store import Store
    from backtest.model.progress import tracked

    place = Store(store)
    reading = options.reading_from(columns, decimal, dates, tidy=tidy, snap=snap)
    for file in tracked("import", files, len(files)):
        series, rows, added = import_file(file, place, exchange=exchange, symbol=symbol, timeframe=timeframe, **reading)
        odd = f", {added.revised:,} differ from those in the store and were kept apart" if added.revised else ""
        typer.echo(f"{file}: {rows:,} rows of {series}, {added.rows:,} new{odd}")


def day(moment: int) -> str:
    """Return UTC ms as ``2024-01-31 12:00``, without the clock at midnight."""
    import numpy as np

    text = str(np.datetime64(moment, "ms").astype("M8[m]")).replace("T", " ")
    return text.removesuffix(" 00:00")


def _held(store: str, symbol: str, exchange: str, timeframe: str, *, mark: bool, funding: bool) -> tuple[Store, Series]:
    """Return the series that the options name; one that the store does not have is refused."""
    from backtest.market_data.series import Series, exchange_name
    from backtest.market_data.store import Store

    kind = "funding" if funding else "mark" if mark else ""
    place = Store(store)
    series = Series(exchange, place.symbol(exchange_name(exchange), symbol), "" if funding else timeframe, kind)
    if not place.disk.names(series.folder):
        _refuse_empty(place, str(series))
    return place, series


def _refuse_empty(store: Store, wanted: str) -> None:
    from backtest.errors import InvalidSettingError, did_you_mean

    held = [str(series) for series in store.series()]
    raise InvalidSettingError(f"the store {store} has no {wanted or 'candles'}.{did_you_mean(wanted, held)}")


def _extent(store: Store, series: Series) -> tuple[int, int]:
    """Return the range that a series was fetched for, or at least the years of its files."""
    from backtest.errors import DataUnavailableError

    try:
        asked = store.manifest(series).asked
    except DataUnavailableError:
        asked = []
    from backtest.model.candles import instant

    years = [(instant(f"{year}-01-01"), instant(f"{year + 1}-01-01")) for year in store.years(series)]
    known = asked or years
    return known[0][0], known[-1][1]


def _row(store: Store, series: Series) -> tuple[str, ...]:
    manifest = store.manifest(series)
    years = list(manifest.years.values())
    names = [name for name in store.disk.names(series.folder) if name.endswith(".parquet")]
    size = sum(store.disk.size(f"{series.folder}/{name}") for name in names)
    gaps = sum(max(1, (end - start) // series.length) for year in years for start, end in year.gaps)
    return (
        series.exchange,
        series.symbol,
        " ".join(part for part in (series.timeframe, series.kind) if part),
        day(min((y.first for y in years), default=0)),
        day(max((y.last for y in years), default=0)),
        f"{sum(y.rows for y in years):,}",
        f"{gaps:,}",
        f"{size / 1e6:,.1f} MB",
        manifest.fetches[-1].at[:10] if manifest.fetches else "",
    )


def _print_table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in [names, *rows]) for column in range(len(names))]
    numbers = {"rows", "missing", "size"}
    for row in [names, *rows]:
        cells = [
            text.rjust(width) if name in numbers else text.ljust(width)
            for text, width, name in zip(row, widths, names, strict=True)
        ]
        typer.echo("  ".join(cells).rstrip())


def _verdict(findings: Sequence[Finding]) -> str:
    wrong = sum(finding.serious for finding in findings)
    if wrong:
        return f"{wrong} wrong, {len(findings) - wrong} to know"
    return f"whole, {len(findings)} to know" if findings else "whole"
