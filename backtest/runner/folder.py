"""Folder: a result on disk, byte-identical for the same inputs."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtest.errors import InvalidSettingError, StorageError
from backtest.report.tables import ResultTables
from backtest.runner.manifest import FORMAT

if TYPE_CHECKING:
    import os

    import pandas as pd

__all__ = ["load_tables", "save_tables", "write_figure"]

_TABLES = ("trades", "fills", "equity", "events")
_LINES = ("calls", "refused")


def save_tables(tables: ResultTables, folder: str | os.PathLike[str]) -> Path:
    """Write a result as a whole or not at all; an earlier result in the folder is replaced, nothing else is touched.

    Parameters
    ----------
    tables
        The result.
    folder
        Made with its parents where it is not there.

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
    for name in _LINES:
        lines = [json.dumps(row, separators=(",", ":"), ensure_ascii=False) for row in getattr(tables, name)]
        (folder / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    (folder / "manifest.json").write_text(json.dumps(tables.manifest, indent=1, ensure_ascii=False) + "\n", "utf-8")


def load_tables(folder: str | os.PathLike[str]) -> ResultTables:
    """Read a result that :func:`save_tables` wrote."""
    import pandas as pd

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
        frames: dict[str, Any] = {name: pd.read_parquet(source / f"{name}.parquet") for name in ("candles", *_TABLES)}
        lines: dict[str, Any] = {
            name: [json.loads(line) for line in (source / f"{name}.jsonl").read_text("utf-8").splitlines()]
            for name in _LINES
        }
    except (OSError, ValueError) as error:
        raise InvalidSettingError(f"the result in {source} is incomplete: {error}") from None
    candles = {
        str(symbol): part.drop(columns="symbol").reset_index(drop=True)
        for symbol, part in frames.pop("candles").groupby("symbol")
    }
    return ResultTables(manifest=manifest, candles=candles, **frames, **lines)


def write_figure(figure: Any, path: Path) -> None:
    """Write a figure as PNG or SVG, by the ending of its name.

    Parameters
    ----------
    figure
        What is drawn.
    path
        Its ending says which: ``.png`` or ``.svg``.

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
