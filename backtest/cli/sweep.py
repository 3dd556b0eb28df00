"""``backtest sweep`` and ``backtest walk-forward``: many sets of parameters, and what choosing among them is worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backtest.cli import options
from backtest.errors import InvalidSettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backtest.model.candles import Candles

__all__ = ["register"]

_MOST = 1_000_000

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
    by: Annotated[str, typer.Option(help="sharpe, total_return, final_equity or max_drawdown.")] = "sharpe",
    search: Annotated[str, typer.Option(help="grid (every row) or tpe (--trials of them, by optuna).")] = "grid",
    trials: Annotated[int, typer.Option(help="Rows that tpe tries.")] = 100,
    seed: Annotated[int, typer.Option(help="Of tpe.")] = 0,
    jobs: WorkersOption = 1,
    cluster: ClusterOption = None,
    parts: PartsOption = None,
    timeout: TimeoutOption = 600.0,
    out: Annotated[Path | None, typer.Option(help="Folder for sweep.csv, sweep.parquet and heatmap.png.")] = None,
) -> None:
    """Run a strategy once for each row of a grid, and say how much of the best row is choice.

    backtest sweep strategies/breakout.py --candles sample:BTC/USD:1h --grid lookback=24:240:24 --grid risk=1,2,3
    """
    from backtest.study.search import search_many
    from backtest.study.sweep import run_many

    chosen = options.strategy_from(strategy, param)
    values = parse_grid(grid)
    by_symbol, markets = options.series_from(
        candles, symbol=symbol, timeframe=timeframe, exchange=exchange, tick=tick, step=step, store=store
    )
    if cluster is not None and jobs != 1:
        raise InvalidSettingError(f"--jobs {jobs} are processes on this machine; with --cluster leave it out")
    told: dict[str, Any] = {
        "market": markets,
        "profile": options.profile_from(profile),
        "workers": cluster or jobs,
        "parts": parts,
        "timeout": timeout,
        "origins": _origins(candles, by_symbol, store),
    }
    if search == "tpe":
        many = search_many(chosen, values, by_symbol, by=by, trials=trials, seed=seed, **told)
    elif search == "grid":
        many = run_many(chosen, values, by_symbol, **told)
    else:
        raise InvalidSettingError(f"--search is grid or tpe, was {search!r}")
    typer.echo(many.told(by))
    if out is not None:
        for path in many.save(out, by=by):
            typer.echo(f"written  {path}")


def _origins(sources: list[str], by_symbol: Mapping[str, Candles], store: str | None) -> dict[str, Any]:
    """Return where other processes find the candles of a store or of the sample, by symbol."""
    from backtest.market_data.store import DEFAULT_ROOT
    from backtest.study.task import Origin

    root = store or DEFAULT_ROOT
    place = root if "://" in root else str(Path(root).expanduser().absolute())
    found = {}
    for source, (symbol, one) in zip(sources, by_symbol.items(), strict=True):
        kind = source.partition(":")[0]
        if kind in {"store", "sample"}:
            found[symbol] = Origin.of(one, kind, place if kind == "store" else "")
    return found


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
