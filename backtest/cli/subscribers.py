"""``backtest subscribers``: what many subscribers would have got of the calls of a saved result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backtest.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence


__all__ = ["register", "write_tables"]


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command("subscribers")(subscribers)


def subscribers(  # noqa: PLR0913, PLR0917  every option is an argument
    run: Annotated[Path, typer.Argument(help="Folder of a saved result.")],
    profile: Annotated[
        list[str] | None, typer.Option(help="One more subscriber: a JSON file, or exchange; repeat it.")
    ] = None,
    drawn: Annotated[int, typer.Option(help="Subscribers who choose at random.")] = 40,
    seed: Annotated[int, typer.Option(help="Of the draws: the same every time.")] = 0,
    late: Annotated[
        list[str] | None,
        typer.Option(help="One more subscriber so much late, 30s or 2h; repeat it. Needs detail if short."),
    ] = None,
    min_cost: Annotated[
        float | None, typer.Option(help="Least order in quote currency, where the market has none.")
    ] = None,
    detail: Annotated[
        list[str] | None, typer.Option(help="Finer candles, as of backtest run: a saved result keeps none.")
    ] = None,
    store: options.StoreOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the tables as CSV.")] = None,
) -> None:
    """Walk the same calls for many subscribers: other exits, stops, balances, fees and latencies.

    Also shows the venue's own figures, as a subscriber sees them before joining.

    backtest subscribers out/breakout --min-cost 5
    """
    from rich.console import Console

    from backtest.model.timeframe import milliseconds
    from backtest.report.titled import render_tables
    from backtest.runner.result import Result

    result = Result.load(run)
    asked: dict[str, Any] = {"drawn": drawn, "seed": seed, "min_cost": min_cost}
    if detail:
        fine = [options.candles_from(source, store=store) for source in detail]
        asked["detail"] = {one.symbol: one for one in fine}
    more = {name: options.profile_from(name) for name in profile or ()}
    many = result.subscribers(more, latencies=[milliseconds(one) for one in late or ()], **asked)
    console = Console()
    console.print(render_tables(many.tables, most=20))
    if out is not None:
        frames = {
            "marketplace": many.marketplace,
            "subscribers": many.table,
            "choices": many.costs,
            "drawn": many.drawn_table,
        }
        write_tables(list(frames.items()), out)
        console.print(f"tables  {out}", soft_wrap=True, highlight=False)


def write_tables(frames: Sequence[tuple[str, Any]], folder: Path) -> None:
    """Write tables as CSV files of a folder, which is made where it is not there.

    Parameters
    ----------
    frames
        Name and DataFrame of each.
    folder
        Where they go.

    Raises
    ------
    StorageError
        Where the disk refuses.
    """
    from backtest.errors import StorageError

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, frame in frames:
            frame.to_csv(folder / f"{name}.csv", index=frame.index.name is not None)
    except OSError as error:
        raise StorageError(f"the tables could not be written to {folder}: {error.strerror or error}") from None
