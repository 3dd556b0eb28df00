"""Folder: a result on disk, byte-identical for the same inputs, and sealed.

The manifest names the SHA-256 of every file, and ends with a seal: one hash over the rest of the manifest and all of those,
each chained to the one before. What was changed, cut or exchanged since is refused when it is read. It is no signature: who
can write the folder can seal it anew.
"""

from __future__ import annotations

import hashlib
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
    from collections.abc import Mapping

    import pandas as pd

__all__ = ["load_tables", "save_tables", "write_figure"]

_TABLES = ("trades", "fills", "equity", "events")
_LINES = ("calls", "refused")
_MARKET = "symbol of the candles"
"""Column of the table of indicators: a name that no strategy gives to one of its own."""
_FILES = (*(f"{name}.parquet" for name in ("candles", "indicators", *_TABLES)), *(f"{name}.jsonl" for name in _LINES))


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
            for name in (*_FILES, "manifest.json"):  # the manifest last: until then the folder is seen to be torn
                (made / name).replace(target / name)
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

    put("candles", _stacked(tables.candles))
    put("indicators", _stacked(tables.indicators, _MARKET))
    for name in _TABLES:
        put(name, getattr(tables, name))
    for name in _LINES:
        lines = [json.dumps(row, separators=(",", ":"), ensure_ascii=False) for row in getattr(tables, name)]
        (folder / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    manifest = {**tables.manifest, "files": {name: _digest(folder / name) for name in _FILES}}
    sealed = {**manifest, "seal": _seal(manifest)}
    (folder / "manifest.json").write_text(json.dumps(sealed, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _stacked(frames: Mapping[str, pd.DataFrame], column: str = "symbol") -> pd.DataFrame:
    """Return the tables of all symbols under each other, with a column that names the symbol."""
    import pandas as pd

    parts = [frame.assign(**{column: symbol}) for symbol, frame in sorted(frames.items())]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({column: pd.Series([], dtype="str")})


def _apart(stacked: pd.DataFrame, column: str = "symbol") -> dict[str, pd.DataFrame]:
    return {
        str(symbol): part.drop(columns=column).reset_index(drop=True)
        for symbol, part in stacked.groupby(column, sort=True)
    }


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _seal(manifest: Mapping[str, Any]) -> str:
    """Return the hash that chains the manifest and the hashes of its files, in their order."""
    told = {key: value for key, value in manifest.items() if key not in {"files", "seal"}}
    chain = hashlib.sha256(json.dumps(told, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
    for name, digest in manifest["files"].items():
        chain = hashlib.sha256(f"{chain} {name} {digest}".encode()).hexdigest()
    return chain


def load_tables(folder: str | os.PathLike[str]) -> ResultTables:
    """Read a result that :func:`save_tables` wrote.

    Raises
    ------
    InvalidSettingError
        Where the folder holds no result, one of another format, or one that is not as it was saved.
    """
    import pandas as pd

    source = Path(folder)
    try:
        manifest = json.loads((source / "manifest.json").read_text("utf-8"))
        found = manifest.pop("format", None)
    except (OSError, ValueError, AttributeError, TypeError):
        raise InvalidSettingError(f"{source} holds no result: there is no readable manifest.json in it") from None
    if found != FORMAT:
        raise InvalidSettingError(
            f"{source} was saved in format {found!r}; this version reads format {FORMAT}: run the strategy anew"
        )
    manifest = {"format": found, **manifest}
    _check_seal(source, manifest)
    try:
        frames: dict[str, Any] = {
            name: pd.read_parquet(source / f"{name}.parquet") for name in ("candles", "indicators", *_TABLES)
        }
        lines: dict[str, Any] = {
            name: [json.loads(line) for line in (source / f"{name}.jsonl").read_text("utf-8").splitlines()]
            for name in _LINES
        }
        candles, indicators = _apart(frames.pop("candles")), _apart(frames.pop("indicators"), _MARKET)
    except (OSError, ValueError, KeyError) as error:
        raise InvalidSettingError(f"the result in {source} cannot be read: {error}") from None
    told = {key: value for key, value in manifest.items() if key not in {"files", "seal"}}
    return ResultTables(manifest=told, candles=candles, indicators=indicators, **frames, **lines)


def _check_seal(source: Path, manifest: dict[str, Any]) -> None:
    """Refuse a folder that is not as it was saved."""
    files = manifest.get("files")
    if not isinstance(files, dict) or list(files) != list(_FILES) or manifest.get("seal") != _seal(manifest):
        raise InvalidSettingError(f"the manifest of the result in {source} was changed after it was saved: run it anew")
    for name, digest in files.items():
        try:
            own = _digest(source / name)
        except OSError:
            raise InvalidSettingError(f"the result in {source} is incomplete: {name} is missing; run it anew") from None
        if own != digest:
            raise InvalidSettingError(
                f"{name} of the result in {source} is not the file that was saved (SHA-256 {own[:12]}..., the manifest "
                f"names {digest[:12]}...): run it anew"
            )


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
