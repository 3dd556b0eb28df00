"""Make ``data/sample/`` from the two CSV files named in ``data/README.md``.

    python tools/make_sample.py SOURCE_DIR [--out data/sample]

The same sources give the same bytes, as long as pyarrow stays the same. A row that contradicts itself is printed and
left out, never repaired.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

COLUMNS = ["open", "high", "low", "close", "volume"]
HOUR = pd.Timedelta(hours=1)
DAY = pd.Timedelta(days=1)
COINBASE = "Coinbase_BTCUSD_1h.csv"
BITSTAMP = "bitstamp_(BTC,ETH,LTC)USD_d.csv"
COINS = ("BTC", "ETH", "LTC")
SCHEMA = pa.schema([("time", pa.int64()), *((name, pa.float64()) for name in COLUMNS)])


def numbers(texts: pd.DataFrame) -> pd.DataFrame:
    """Return the nearest float64 of each text: Python rounds correctly, whatever pandas' reader does."""
    return texts.map(float)


def read_coinbase(file: Path) -> pd.DataFrame:
    """Return the hourly candles, indexed by opening time: the file is mostly newest first and partly shuffled."""
    table = pd.read_csv(file, skiprows=1, dtype=str)
    table.index = pd.to_datetime(table["date"], format="%Y-%m-%d %I-%p", utc=True)
    table = table.rename(columns={"volume": "volume_usd", "volume_btc": "volume"})
    return numbers(table[COLUMNS]).sort_index()


def read_bitstamp(file: Path, coin: str) -> pd.DataFrame:
    """Return one market's daily candles, indexed by opening time, without the days before it was listed."""
    table = pd.read_csv(file, index_col=0, dtype=str)
    table.index = pd.to_datetime(table.index, format="%Y-%m-%d", utc=True)
    columns = table[[f"{coin}:{name}" for name in COLUMNS]].set_axis(COLUMNS, axis="columns")
    return numbers(columns.dropna(how="all")).sort_index()


def without_contradictions(candles: pd.DataFrame, label: str) -> pd.DataFrame:
    """Return the rows that can be true, and print the others."""
    low, high, volume = candles["low"], candles["high"], candles["volume"]
    body = candles[["open", "close"]]
    # NaN compares false, so a row with a hole is refused too.
    possible = (
        (low > 0) & (low <= body.min(axis=1)) & (body.max(axis=1) <= high) & (volume >= 0) & candles.notna().all(axis=1)
    )
    for time, row in candles[~possible].iterrows():
        print(f"{label}: left out {time}, it contradicts itself: {row.to_dict()}")
    return candles[possible]


def spans(times: "pd.Index[Any]", step: pd.Timedelta) -> str:
    """Return runs of consecutive times as text: ``2019-03-20 to 2019-03-31 (12)``."""
    if times.empty:
        return "none"
    form = "%Y-%m-%d" if step >= DAY else "%Y-%m-%d %H:%M"
    run = (times.to_series().diff() != step).cumsum().to_numpy()
    groups = [times[run == number] for number in np.unique(run)]
    texts = (
        f"{group[0].strftime(form)} to {group[-1].strftime(form)} ({len(group)})"
        if len(group) > 1
        else group[0].strftime(form)
        for group in groups
    )
    return ", ".join(texts)


def describe(candles: pd.DataFrame, step: pd.Timedelta, label: str) -> None:
    """Print what ``data/README.md`` must admit: missing candles and candles without a trade."""
    expected: pd.Index[Any] = pd.date_range(candles.index[0], candles.index[-1], freq=step)
    print(f"{label}: {len(candles)} rows, {candles.index[0]} to {candles.index[-1]}")
    print(f"  missing: {spans(expected.difference(candles.index), step)}")
    still = candles[candles["volume"] == 0]
    moved = still[still["high"] != still["low"]]
    print(f"  no volume: {spans(still.index, step)}")
    print(f"  no volume, yet the price moved: {spans(moved.index, step)}")


def write(candles: pd.DataFrame, step: pd.Timedelta, out: Path, path: str, source: str) -> dict[str, Any]:
    """Write one Parquet file and return its entry for ``markets.json``."""
    kept = without_contradictions(candles, path)
    if not kept.index.is_unique:
        sys.exit(f"{path}: two candles open at {kept.index[kept.index.duplicated()][0]}; the source must be looked at")
    describe(kept, step, path)
    times = pd.DatetimeIndex(kept.index).as_unit("ms").asi8
    table = pa.table([times, *(kept[name].to_numpy() for name in COLUMNS)], schema=SCHEMA)
    file = out / path
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file, compression="zstd", compression_level=19, store_schema=False)
    return {
        "path": path,
        "source": source,
        "rows": len(kept),
        "first": f"{kept.index[0]:%Y-%m-%dT%H:%M:%SZ}",
        "last": f"{kept.index[-1]:%Y-%m-%dT%H:%M:%SZ}",
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }


def market(coin: str, files: dict[str, Any]) -> dict[str, Any]:
    """Return one market of ``markets.json``: its USD candles are emitted as signals for the USDT market."""
    return {
        "tick": "0.01",
        "step": "0.00000001",
        "emit": {"exchange": "BINANCE", "coin": coin, "trade_market": "USDT"},
        "files": files,
    }


def main() -> None:
    """Read the sources, write the sample."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help=f"folder that holds {COINBASE} and {BITSTAMP}")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "data" / "sample")
    options = parser.parse_args()
    for name in (COINBASE, BITSTAMP):
        if not (options.source / name).is_file():
            parser.error(f"{options.source} has no {name}; data/README.md says where it comes from")

    hourly = read_coinbase(options.source / COINBASE)
    files: dict[str, dict[str, Any]] = {coin: {} for coin in COINS}
    files["BTC"]["1h"] = write(hourly, HOUR, options.out, "coinbase/BTC-USD-1h.parquet", "Coinbase")
    for coin in COINS:
        daily = read_bitstamp(options.source / BITSTAMP, coin)
        files[coin]["1d"] = write(daily, DAY, options.out, f"bitstamp/{coin}-USD-1d.parquet", "Bitstamp")

    markets = {f"{coin}/USD": market(coin, files[coin]) for coin in COINS}
    (options.out / "markets.json").write_text(json.dumps(markets, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
