"""``backtest sweep`` and ``backtest walk-forward``: many sets of parameters, and what choosing among them is worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backtest.cli import options
from backtest.errors import InvalidSettingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from backtest.model.candles import Candles
    from backtest.study.each import Given
    from backtest.study.task import Origin

__all__ = ["register"]

_MOST = 1_000_000

_SourcesOption = Annotated[list[str] | None, options.CANDLES]
_MarketsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--market",
        "-m",
        help="BTC/USDT, or '*/USDT' for all such, of the store, with --exchange and --timeframe; repeat it: each on an "
        "account of its own.",
    ),
]
GridOption = Annotated[
    list[str],
    typer.Option("--grid", "-g", help="lookback=24:240:12 (first:last:step) or risk=1,2,3; repeat it."),
]
WorkersOption = Annotated[int, typer.Option("--jobs", min=1, help="Processes on this machine.")]
ClusterOption = Annotated[
    str | None, typer.Option("--cluster", help="Dask scheduler in place of --jobs, tls://HOST:8786 (docs/scaling).")
]
PartsOption = Annotated[
    str | None,
    typer.Option("--parts", help="Folder or URL that keeps what is done; the same command goes on from there."),
]
TimeoutOption = Annotated[float, typer.Option("--timeout", help="Seconds that a task of about a second may take.")]


def register(app: typer.Typer) -> None:
    """Add the commands to an application."""
    app.command("sweep")(sweep)
    app.command("walk-forward")(walk_forward)


def sweep(  # noqa: PLR0913, PLR0917  every option is an argument
    strategy: options.StrategyArgument,
    grid: GridOption,
    candles: _SourcesOption = None,
    market: _MarketsOption = None,
    each: Annotated[
        bool, typer.Option("--each", help="Each --candles on an account of its own; without it all share one.")
    ] = False,
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
    incomplete: options.IncompleteOption = False,
    columns: options.ColumnsOption = None,
    decimal: options.DecimalOption = "",
    dates: options.DatesOption = "",
    tidy: options.TidyOption = False,
    snap: options.SnapOption = False,
    by: Annotated[str, typer.Option(help="sharpe, total_return, final_equity or max_drawdown.")] = "sharpe",
    search: Annotated[
        str,
        typer.Option(help="grid (every row) or tpe (--trials of them, by optuna); of many markets the median counts."),
    ] = "grid",
    trials: Annotated[int, typer.Option(help="Rows that tpe tries.")] = 100,
    seed: Annotated[int, typer.Option(help="Of tpe.")] = 0,
    jobs: WorkersOption = 1,
    cluster: ClusterOption = None,
    parts: PartsOption = None,
    timeout: TimeoutOption = 600.0,
    out: Annotated[Path | None, typer.Option(help="Folder for sweep.csv, sweep.parquet and heatmap.png.")] = None,
) -> None:
    """Run a strategy once for each row of a grid, on one account or on each of many markets, and judge the best row.

    What is judged is how much of the best row is choice: the rows of all markets together, and one row for all of them.

    backtest sweep strategies/breakout.py --candles sample:BTC/USD:1h --grid lookback=24:240:24 --grid risk=1,2,3

    backtest sweep strategies/breakout.py --market BTC/USDT --market ETH/USDT --exchange binance --timeframe 1h
    --grid lookback=24:240:24 --jobs 8
    """
    from backtest.model.candles import instant
    from backtest.study.each import run_each
    from backtest.study.search import search_each, search_many
    from backtest.study.shown import require_figure
    from backtest.study.sweep import run_many

    chosen = options.strategy_from(strategy, param)
    values = parse_grid(grid)
    if cluster is not None and jobs != 1:
        raise InvalidSettingError(f"--jobs {jobs} are processes on this machine; with --cluster leave it out")
    if search not in {"grid", "tpe"}:
        raise InvalidSettingError(f"--search is grid or tpe, was {search!r}")
    require_figure(by)  # before anything is run
    for day in filter(None, (since, until)):
        instant(day)  # what is no date is no date on any market
    reading = options.reading_from(columns, decimal, dates, tidy=tidy, snap=snap)
    asked: dict[str, Any] = {
        "symbol": symbol,
        "timeframe": timeframe,
        "exchange": exchange,
        "store": store,
        "tick": tick,
        "step": step,
    }
    asked |= {"since": since, "until": until, "incomplete": incomplete, "reading": reading}
    terms = options.profile_from(profile)
    told: dict[str, Any] = {"profile": terms, "workers": cluster or jobs, "parts": parts, "timeout": timeout}
    tpe: dict[str, Any] = {"by": by, "trials": trials, "seed": seed}
    try:
        if market or each:
            sources = _sources(market or [], candles or [], asked)
            many: Any = (
                search_each(chosen, values, sources, **tpe, **told)
                if search == "tpe"
                else run_each(chosen, values, sources, **told)
            )
        else:
            if not candles:
                raise InvalidSettingError(
                    "name --candles FILE for one account, or --market BTC/USDT for markets of the store"
                )
            by_symbol, markets = options.series_from(candles, **asked)
            origins = {
                one.symbol: _origin(source, one, store) for source, one in zip(candles, by_symbol.values(), strict=True)
            }
            told |= {"market": markets, "origins": {name: one for name, one in origins.items() if one is not None}}
            many = (
                search_many(chosen, values, by_symbol, **tpe, **told)
                if search == "tpe"
                else run_many(chosen, values, by_symbol, **told)
            )
    except KeyboardInterrupt:
        kept = (
            "nothing is kept without --parts"
            if parts is None
            else f"what was done is in {parts}: the same command goes on"
        )
        typer.echo(f"interrupted; {kept}", err=True)
        raise typer.Exit(130) from None
    typer.echo(many.told(by))
    if out is not None:
        for path in many.save(out, by=by):
            typer.echo(f"written  {path}")


def _sources(markets: list[str], sources: list[str], asked: dict[str, Any]) -> dict[str, Callable[[], Given]]:
    """Return what loads each market, by name: a symbol of ``--market``, or what ``--candles`` was given."""
    named = [(source, source, asked) for source in sources]
    if markets:
        exchange, timeframe = asked["exchange"], asked["timeframe"]
        if exchange is None or timeframe is None:
            raise InvalidSettingError(
                "--market names a symbol of the store: give --exchange binance --timeframe 1h with it"
            )
        of_store = {**asked, "exchange": None}
        symbols = _symbols(markets, exchange, timeframe, asked["store"])
        named += [(symbol, f"store:{exchange}:{symbol}:{timeframe}", of_store) for symbol in symbols]
    found: dict[str, Callable[[], Given]] = {}
    for name, source, words in named:
        if name in found:
            raise InvalidSettingError(f"{name} was named twice: its rows would count twice")
        found[name] = _source(source, words)
    return found


def _symbols(markets: list[str], exchange: str, timeframe: str, store: str | None) -> list[str]:
    """Return the symbols that ``--market`` names, those of a pattern as the store has them; each of these once.

    Raises
    ------
    InvalidSettingError
        For a pattern that none has.
    StorageError
        Where the store cannot be reached: each market would say so, one after another.
    """
    from fnmatch import fnmatchcase

    from backtest.market_data.series import exchange_name
    from backtest.market_data.store import Store
    from backtest.report import text

    place, name = Store(store), exchange_name(exchange)
    patterns = [one for one in markets if "*" in one or "?" in one]
    found = [one for one in markets if one not in patterns]
    if not patterns:
        place.disk.names("")
        return found
    held = place.symbols(name, timeframe)
    for pattern in patterns:
        alike = [one for one in held if fnmatchcase(one.lower(), pattern.lower())]
        if not alike:
            raise InvalidSettingError(
                f"no market of {name} in the store {place} is like {pattern!r} and has {timeframe} candles; "
                f"{text.plural(len(held), 'market')} have"
            )
        found += [one for one in alike if one not in found]
    return found


def _source(source: str, asked: dict[str, Any]) -> Callable[[], Given]:
    """Return what loads the candles of one option, and their market."""

    def load() -> Given:
        from backtest.study.each import Given

        by_symbol, markets = options.series_from([source], **asked)
        ((symbol, candles),) = by_symbol.items()
        return Given(candles, markets[symbol], origin=_origin(source, candles, asked["store"]))

    return load


def _origin(source: str, candles: Candles, store: str | None) -> Origin | None:
    """Return where other processes find candles of a store or of the sample; None for those of a file."""
    from backtest.market_data.store import DEFAULT_ROOT
    from backtest.study.task import Origin

    kind = source.partition(":")[0]
    if kind not in {"store", "sample"}:
        return None
    root = store or DEFAULT_ROOT
    place = root if "://" in root else str(Path(root).expanduser().absolute())
    return Origin.of(candles, kind, place if kind == "store" else "")


def walk_forward(  # noqa: PLR0913, PLR0917  every option is an argument
    strategy: options.StrategyArgument,
    candles: options.CandlesOption,
    grid: GridOption,
    symbol: options.SymbolOption = None,
    timeframe: options.TimeframeOption = None,
    exchange: options.ExchangeOption = None,
    tick: options.TickOption = None,
    step: options.StepOption = None,
    param: options.ParamOption = None,
    profile: options.ProfileOption = "anny",
    store: options.StoreOption = None,
    train: Annotated[str, typer.Option(help="Length of a training part: 180d, 12h, 4w.")] = "180d",
    test: Annotated[str, typer.Option(help="Length of a test part.")] = "30d",
    embargo: Annotated[str | None, typer.Option(help="Left out between them.")] = None,
    anchored: Annotated[bool, typer.Option(help="Every training part begins with the first candle.")] = False,
    by: Annotated[str, typer.Option(help="sharpe, total_return, final_equity or max_drawdown.")] = "sharpe",
    jobs: WorkersOption = 1,
    out: Annotated[Path | None, typer.Option(help="Folder for the stitched result with its report.")] = None,
) -> None:
    """Choose on each training part, judge on the test part behind it, stitched into one account.

    backtest walk-forward strategies/breakout.py -c sample:BTC/USD:1h -g lookback=24:240:24 --train 365d --test 60d
    """
    from backtest.study.walk_forward import walk_forward as walk

    chosen = options.strategy_from(strategy, param)
    by_symbol, markets = options.series_from(
        candles, symbol=symbol, timeframe=timeframe, exchange=exchange, tick=tick, step=step, store=store
    )
    found = walk(
        chosen,
        parse_grid(grid),
        by_symbol,
        train=train,
        test=test,
        embargo=embargo,
        anchored=anchored,
        by=by,
        market=markets,
        profile=options.profile_from(profile),
        workers=jobs,
    )
    typer.echo(repr(found))
    if out is not None:
        from backtest.cli.run import show

        show(found.result, out)


def parse_grid(written: list[str]) -> dict[str, list[Any]]:
    """Return values by parameter of ``name=first:last:step`` and ``name=a,b,c``.

    Raises
    ------
    InvalidSettingError
        For anything else, a name twice, a grid of nothing or of more than a million rows, with the figure.
    """
    found: dict[str, list[Any]] = {}
    rows = 1
    for text in written:
        name, equals, values = text.partition("=")
        if not equals or not name or not values:
            raise InvalidSettingError(f"--grid is written lookback=24:240:12 or risk=1,2,3, was {text!r}")
        if name in found:
            raise InvalidSettingError(f"--grid was given twice for {name}")
        found[name] = _range(text, values.split(":")) if ":" in values else [_value(one) for one in values.split(",")]
        rows *= len(found[name])
        if rows == 0:
            raise InvalidSettingError(f"--grid {text} holds no value")
        if rows > _MOST:
            raise InvalidSettingError(
                f"the grid has {rows:,} rows and more; at most {_MOST:,} are run: take wider steps"
            )
    return found


def _range(text: str, parts: list[str]) -> list[Any]:
    try:
        first, last, step = (float(part) for part in parts)
    except ValueError:
        raise InvalidSettingError(f"a range is written first:last:step with three numbers, was {text!r}") from None
    if not step > 0.0 or not (last - first) / step <= _MOST:
        raise InvalidSettingError(f"a range needs a step above 0 and at most {_MOST:,} values, was {text!r}")
    whole = all(part.strip().lstrip("-").isdigit() for part in parts)
    count = int((last - first) / step + 1e-9) + 1 if last >= first else 0
    values = [first + k * step for k in range(count)]
    return [round(value) for value in values] if whole else [round(value, 12) for value in values]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.strip()
