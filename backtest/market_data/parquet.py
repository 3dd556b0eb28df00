"""Parquet: columns as plain, uncompressed pages, the same bytes for the same rows."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.market_data.columns import CANDLE_NAMES, Columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from backtest.model.candles import Candles

__all__ = ["candle_bytes", "column_bytes", "column_hash", "file_metadata", "read_columns"]

_KEY = "signal-backtest"


def candle_bytes(candles: Candles) -> memoryview:
    """Return candles as a Parquet file in memory that says whose candles they are."""
    columns: Columns = {name: getattr(candles, name) for name in CANDLE_NAMES}
    about = {"exchange": candles.exchange, "symbol": candles.symbol, "timeframe": candles.timeframe}
    return column_bytes(columns, {**about, "volume_known": candles.volume_known})


def column_bytes(columns: Columns, about: Mapping[str, str | bool]) -> memoryview:
    """Return columns as a Parquet file in memory; nothing but they and ``about`` decides its bytes.

    Plain pages without compression or dictionary read at the speed of memory; a column of doubles hardly compresses.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [pa.field(name, pa.from_numpy_dtype(values.dtype), nullable=False) for name, values in columns.items()]
    table = pa.Table.from_arrays([pa.array(values) for values in columns.values()], schema=pa.schema(fields))
    sink = pa.BufferOutputStream()
    plain = {"compression": "none", "use_dictionary": False, "write_statistics": False, "data_page_size": 1 << 24}
    plain["write_page_checksum"] = True  # a flipped bit is found when it is read
    with pq.ParquetWriter(sink, table.schema, store_schema=False, **plain) as writer:
        writer.write_table(table, row_group_size=max(1, len(table)))
        writer.add_key_value_metadata({_KEY: json.dumps(dict(about), sort_keys=True)})
    return memoryview(sink.getvalue())


def column_hash(columns: Columns) -> str:
    """Return the SHA-256 of rows, the same for the same rows however they came."""
    digest = hashlib.sha256("|".join(columns).encode())
    for values in columns.values():
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def file_metadata(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """Return what :func:`column_bytes` wrote about a file; empty for a file of somebody else."""
    try:
        about = json.loads((metadata or {}).get(_KEY.encode(), b"{}"))
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}


def read_columns(sources: Sequence[Any], names: Sequence[str]) -> tuple[Columns, list[int]]:
    """Return the rows of several files, one after another, in columns allocated once, and how many each has.

    Parameters
    ----------
    sources
        Paths of local files, or buffers, in the order of their rows.
    names
        The columns to read.

    Raises
    ------
    pyarrow.ArrowException, OSError, KeyError
        For a file that is cut off or changed, no Parquet or without such columns.
    """
    files = [_opened(source) for source in sources]
    counts = [int(file.metadata.num_rows) for file in files]
    rows = sum(counts)
    columns = {name: np.empty(rows, np.int64 if name == "time" else np.float64) for name in names}
    row = 0
    for file, count in zip(files, counts, strict=True):
        # one column after another: what is decoded beside the result stays a fraction of a year
        for name in names:
            position = row
            for piece in file.read(columns=[name], use_threads=False).column(name).chunks:
                columns[name][position : position + len(piece)] = piece.to_numpy(zero_copy_only=False)
                position += len(piece)
        row += count
        file.close()
    return columns, counts


def _opened(source: Any) -> pa.parquet.ParquetFile:
    import pyarrow.parquet as pq

    return pq.ParquetFile(source, pre_buffer=False, page_checksum_verification=True)
