"""Folder: a result on disk, byte-identical for the same inputs."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.engine.codes import REFUSED
from backtest.errors import InvalidSettingError, StorageError
from backtest.model.calls import CreateSignal
from backtest.model.events import SignalRef
from backtest.runner.frames import equity_frame, events_frame, fills_frame, trades_frame
from backtest.runner.linting import lint_sentences
from backtest.runner.session import Decision
from backtest.strategy import Strategy
from backtest.strategy.plan import plan_of
from backtest.wire import call_from_body, endpoint_of

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import pandas as pd

    from backtest.engine.simulator import SimulatedVenue
    from backtest.report.tables import ResultTables
    from backtest.runner.execute import Prepared
    from backtest.runner.result import Result

__all__ = ["FORMAT", "calls_of", "load_tables", "save_tables", "sent", "tables_of", "write_figure"]

FORMAT = 1
_TABLES = ("trades", "fills", "equity", "events")
_PACKAGES = ("signal-backtest", "numpy", "numba", "pandas", "pyarrow", "TA-Lib", "empyrical-reloaded")


def tables_of(result: Result, prepared: Sequence[Prepared], venue: SimulatedVenue) -> ResultTables:
    """Return a finished run as tables and a manifest without a wall clock."""
    from backtest.report.tables import ResultTables

    return ResultTables(
        manifest=_manifest(result, prepared, venue),
        candles={part.feed.candles.symbol: _candles_frame(part) for part in prepared},
        trades=trades_frame(venue),
        fills=fills_frame(venue),
        equity=equity_frame(venue),
        events=events_frame(venue),
        calls=[sent(decision) for decision in result.calls],
    )


def sent(decision: Decision) -> dict[str, Any]:
    """Return a call as the Signal API would get it; our ref stands for the venue's id."""
    call = decision.call
    ref = call.ref if isinstance(call, CreateSignal) else call.signal
    request = endpoint_of(call, None if isinstance(call, CreateSignal) else ref)
    row = {
        "at": decision.at,
        "ref": ref,
        "kind": request.kind,
        "method": request.method,
        "path": request.path,
        "body": json.loads(request.body),
    }
    if getattr(call, "allow_marketable", False):
        row["allow_marketable"] = True
    return row


def calls_of(rows: Sequence[dict[str, Any]]) -> list[Decision]:
    """Return saved calls as objects."""
    return [
        Decision(
            row["at"],
            call_from_body(
                row["kind"], row["body"], SignalRef(row["ref"]), allow_marketable=row.get("allow_marketable", False)
            ),
        )
        for row in rows
    ]


def save_tables(tables: ResultTables, folder: str | os.PathLike[str]) -> Path:
    """Write a result as a whole or not at all; an earlier result in the folder is replaced, nothing else is touched.

    Raises
    ------
    InvalidSettingError
        Where the folder holds something that is no result.
    StorageError
        Where the disk refuses.
    """
    target = Path(folder)
    if target.exists() and (
        not target.is_dir() or (any(target.iterdir()) and not (target / "manifest.json").is_file())
    ):
        raise InvalidSettingError(f"{target} exists and holds no result; choose a new folder")
    made = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        _write(tables, made)
        if target.exists():
            for old in made.iterdir():
                old.replace(target / old.name)
            made.rmdir()
        else:
            made.chmod(0o755)
            made.replace(target)
    except OSError as error:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
        raise StorageError(f"the result could not be written to {target}: {error.strerror or error}") from None
    return target


def _write(tables: ResultTables, folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def put(name: str, frame: pd.DataFrame) -> None:
        pq.write_table(
            pa.Table.from_pandas(frame, preserve_index=False), folder / f"{name}.parquet", compression="zstd"
        )

    import pandas as pd

    put(
        "candles",
        pd.concat([frame.assign(symbol=symbol) for symbol, frame in sorted(tables.candles.items())], ignore_index=True),
    )
    for name in _TABLES:
        put(name, getattr(tables, name))
    lines = [json.dumps(row, separators=(",", ":"), ensure_ascii=False) for row in tables.calls]
    (folder / "calls.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    (folder / "manifest.json").write_text(json.dumps(tables.manifest, indent=1, ensure_ascii=False) + "\n", "utf-8")


def load_tables(folder: str | os.PathLike[str]) -> ResultTables:
    """Read a result that :func:`save_tables` wrote."""
    import pandas as pd

    from backtest.report.tables import ResultTables

    source = Path(folder)
    try:
        manifest = json.loads((source / "manifest.json").read_text("utf-8"))
    except (OSError, ValueError):
        raise InvalidSettingError(f"{source} holds no result: there is no readable manifest.json in it") from None
    if manifest.get("format") != FORMAT:
        raise InvalidSettingError(
            f"{source} was saved in format {manifest.get('format')!r}; this version reads format {FORMAT}"
        )
    try:
        frames = {name: pd.read_parquet(source / f"{name}.parquet") for name in ("candles", *_TABLES)}
        calls = [json.loads(line) for line in (source / "calls.jsonl").read_text("utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise InvalidSettingError(f"the result in {source} is incomplete: {error}") from None
    candles = {
        str(symbol): part.drop(columns="symbol").reset_index(drop=True)
        for symbol, part in frames.pop("candles").groupby("symbol")
    }
    return ResultTables(manifest=manifest, candles=candles, calls=calls, **frames)


def _candles_frame(part: Prepared) -> pd.DataFrame:
    import pandas as pd

    candles = part.feed.candles
    return pd.DataFrame({name: getattr(candles, name) for name in ("time", "open", "high", "low", "close", "volume")})


def _manifest(result: Result, prepared: Sequence[Prepared], venue: SimulatedVenue) -> dict[str, Any]:
    feeds = [part.feed for part in prepared]
    return {
        "format": FORMAT,
        "strategy": _record(result),
        "profile": result.profile.to_dict(),
        "assumptions": [assumption._asdict() for assumption in result.assumptions.listed()],
        "market": {feed.candles.symbol: feed.market.to_dict() for feed in feeds},
        "candles": {feed.candles.symbol: _described(feed) for feed in feeds},
        "emitted": {
            feed.candles.symbol: f"{feed.market.exchange} {feed.market.coin}/{feed.market.trade_market}"
            for feed in feeds
        },
        "versions": _versions(),
        "total_return": result.total_return,
        "ambiguous": result.ambiguous,
        "warnings": _warnings(result, prepared, venue),
    }


def _record(result: Result) -> dict[str, Any]:
    """Return what is kept of the strategy, or of the call log in its place."""
    strategy = result.strategy
    if not isinstance(strategy, Strategy):
        return strategy.record
    doc, plan = (type(strategy).__doc__ or "").strip(), plan_of(strategy)
    creates = [decision.call for decision in result.calls if isinstance(decision.call, CreateSignal)] if plan else []
    most = max((plan.most_calls(create) for create in creates), default=0) if plan else None
    return {
        "name": type(strategy).__name__,
        "identity": strategy.identity,
        "source_hash": strategy.source_hash,
        "parameters": strategy.parameters,
        "doc": doc.splitlines()[0] if doc else "",
        **({} if most is None else {"most_calls_of_plan": most}),
    }


def _described(feed: Any) -> dict[str, Any]:
    candles = feed.candles
    row = {
        "hash": candles.hash,
        "rows": len(candles),
        "first": int(candles.time[0]),
        "last": int(candles.time[-1]),
        "gaps": candles.gaps,
        "timeframe": candles.timeframe,
        "exchange": candles.exchange,
    }
    if feed.detail is not None:
        row["detail"] = {
            "timeframe": feed.detail.timeframe,
            "hash": feed.detail.hash,
            "rows": len(feed.detail),
            "complete": int(feed.complete().sum()),
        }
    return row


def _versions() -> dict[str, str]:
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed as a package"
    return found


def _warnings(result: Result, prepared: Sequence[Prepared], venue: SimulatedVenue) -> list[str]:
    """Return the sentences that a reader of the figures must know."""
    found = []
    for part in prepared:
        feed = part.feed
        candles, market = feed.candles, feed.market
        if candles.gaps:
            found.append(
                f"{candles.symbol}: {candles.gaps} candles are missing between the first and the last; nothing was invented for them."
            )
        if market.price_grid.mantissa == 0.0:
            found.append(f"{candles.symbol}: no tick was given, so prices were not rounded as the exchange would.")
        if f"{market.coin}/{market.trade_market}" != candles.symbol.partition(":")[0]:
            found.append(
                f"{candles.symbol}: the candles are of {candles.symbol}, the signals are emitted for {market.exchange} {market.coin}/{market.trade_market}."
            )
        if feed.detail is not None and not feed.complete().all():
            found.append(
                f"{candles.symbol}: detail candles were incomplete for {int((~feed.complete()).sum())} of {len(candles)} candles, which were walked as they are."
            )
        if not len(feed.funding) and venue.has_futures(candles.symbol):
            found.append(f"{candles.symbol}: no funding rates were given; funding was taken as 0.")
    refused = int(np.sum(venue.outcomes()["status"] == REFUSED))
    if refused:
        were = "create was" if refused == 1 else "creates were"
        found.append(f"{refused} {were} refused by the market or the account; see the events of kind refused.")
    if not isinstance(result.strategy, Strategy):
        found.extend(result.strategy.warnings([part.feed for part in prepared]))
    found.extend(lint_sentences(result.calls, [part.feed for part in prepared], result.profile))
    return found


def write_figure(figure: Any, path: Path) -> None:
    """Write a figure as PNG or SVG, by the ending of its name.

    Raises
    ------
    InvalidSettingError
        For another ending.
    StorageError
        Where the disk refuses.
    """
    from backtest.report.canvas import png, svg

    if path.suffix not in {".png", ".svg"}:
        raise InvalidSettingError(f"a chart is written as .png or .svg, was {path.name!r}")
    made = png(figure) if path.suffix == ".png" else svg(figure).encode()
    try:
        path.write_bytes(made)
    except OSError as error:
        raise StorageError(f"the chart could not be written to {path}: {error.strerror}") from None
