"""Parquet: candle columns as plain, uncompressed pages, the same bytes for the same candles."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from backtest.model.candles import Candles

__all__ = ["COLUMNS", "candle_bytes", "file_metadata"]

COLUMNS = ("time", "open", "high", "low", "close", "volume")
_KEY = "signal-backtest"


def candle_bytes(candles: Candles, extra: Mapping[str, str] | None = None) -> pa.Buffer:
    """Return the candles as a Parquet file in memory; nothing but the candles and ``extra`` decides its bytes.

    Plain pages without compression or dictionary read at the speed of memory; a column of doubles hardly compresses.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    about = {"exchange": candles.exchange, "symbol": candles.symbol, "timeframe": candles.timeframe, **(extra or {})}
    types = [pa.field(name, pa.int64() if name == "time" else pa.float64(), nullable=False) for name in COLUMNS]
    table = pa.Table.from_arrays([pa.array(getattr(candles, name)) for name in COLUMNS], schema=pa.schema(types))
    sink = pa.BufferOutputStream()
    plain = {"compression": "none", "use_dictionary": False, "write_statistics": False, "data_page_size": 1 << 24}
    with pq.ParquetWriter(sink, table.schema, store_schema=False, **plain) as writer:
        writer.write_table(table, row_group_size=max(1, len(candles)))
        writer.add_key_value_metadata({_KEY: json.dumps(about, sort_keys=True)})
    return sink.getvalue()


def file_metadata(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    """Return what :func:`candle_bytes` said about a file; empty for a file of somebody else."""
    try:
        about = json.loads((metadata or {}).get(_KEY.encode(), b"{}"))
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}
