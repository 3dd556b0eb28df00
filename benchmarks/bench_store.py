"""Measure the candle store and the fetch: python benchmarks/bench_store.py [FOLDER].

Aims (minimum of several runs, warm): 2,628,000 candles to validated Candles under 100 ms and under 1.3x their size in
memory; 200 symbols x 8,760 under 0.5 s; everything but the exchange's own rate limit under 5 % of a fetch.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from backtest.market_data.cache import _sound
from backtest.market_data.columns import columns_of
from backtest.market_data.exchange import Access, connect
from backtest.market_data.fetch import fetch
from backtest.market_data.job import Wish
from backtest.market_data.series import Series
from backtest.market_data.store import Store
from backtest.model.candles import Candles

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTES = 2_628_000
SYMBOLS, HOURS = 200, 8_760
PAGES = {"binance": (1_000, 1_000), "bybit": (200, 1_000), "okx": (180, 300)}
"""How many pages of how many rows are fetched: about twenty seconds of each exchange's rate limit."""
LATENCY = 0.05
START = 1_577_836_800_000  # 2020-01-01
ONE = Series("binance", "BTC/USDT", "1m")
LOAD_ONCE = """
import re, sys
sys.path.insert(0, sys.argv[1])
import pyarrow.parquet
from backtest.market_data.store import Store
from backtest.market_data.series import Series
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
store, series = Store(sys.argv[2]), Series("binance", "BTC/USDT", "1m")
store.candles(series, 1577836800000, 1577836800000 + 60000 * 250_000)  # the compiler is loaded
open("/proc/self/clear_refs", "w").write("5")
before = peak()
candles = store.candles(series)
print(peak() - before)
"""

SERVE = """
import sys, time
sys.path.insert(0, sys.argv[1])
from tests.loopback_exchange import Loopback
ROWS = [[f"{9 + n / 1e4:.4f}", f"{9.5 + n / 1e4:.4f}", f"{8.5 + n / 1e4:.4f}", f"{9.2 + n / 1e4:.4f}", f"{n / 8}"] for n in range(1000)]
class Quick(Loopback):
    def page(self, timeframe, low, high, limit, *, newest=False):
        times = range(-(-low // 60_000) * 60_000, min(high, self.clock()) + 1, 60_000)
        return [[t, *ROWS[t // 60_000 % 1000]] for t in (times[-limit:] if newest else times[:limit])]
with Quick(int(sys.argv[3]), delay=float(sys.argv[4])) as server:
    print(server.url(sys.argv[2]), flush=True)
    time.sleep(600)
"""


def made(symbol: str, timeframe: str, step: int, n: int, seed: int) -> Candles:
    """Return a random walk of n candles."""
    dice = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(dice.normal(0, 1e-4, n)))
    opened = np.r_[close[0], close[:-1]]
    high, low = np.maximum(opened, close) * 1.0001, np.minimum(opened, close) * 0.9999
    return Candles(symbol, timeframe, START + step * np.arange(n), opened, high, low, close, dice.random(n), "binance")


def put(store: Store, candles: Candles) -> None:
    """Write candles to the store, unless they are there."""
    series = Series(candles.exchange, candles.symbol, candles.timeframe)
    if not store.years(series):
        asked = [(int(candles.time[0]), int(candles.close_time[-1]))]
        store.add(series, columns_of(candles), asked=asked, source="benchmark")


def timed(work: Callable[[], object], runs: int) -> list[float]:
    """Return the sorted seconds of several runs."""
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return sorted(seconds)


def one_long_series(store: Store, root: str) -> None:
    """Load five years of minutes."""
    put(store, made("BTC/USDT", "1m", 60_000, MINUTES, 1))
    read = timed(lambda: store.columns(ONE), 9)
    os.environ["BACKTEST_CACHE_GB"] = "0"
    ready = timed(lambda: store.candles(ONE), 9)
    os.environ["BACKTEST_CACHE_GB"] = "20"
    store.candles(ONE)  # the cache is made
    mapped = timed(lambda: (_sound.clear(), store.candles(ONE)), 9)
    known = timed(lambda: store.candles(ONE), 9)
    os.environ["BACKTEST_CACHE_GB"] = "0"  # what follows is about Parquet
    (Path(root) / ONE.folder / ".cache" / "rows.arrow").unlink()
    size = MINUTES * 6 * 8
    command = [sys.executable, "-c", LOAD_ONCE, str(Path(__file__).parents[1]), root]
    peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(f"{MINUTES:,} candles, columns read       {read[0] * 1e3:7.1f} ms (median {read[4] * 1e3:.1f})")
    print(f"{MINUTES:,} candles, read and validated {ready[0] * 1e3:7.1f} ms (median {ready[4] * 1e3:.1f}), aim 100")
    print(f"the same, mapped from the cache         {mapped[0] * 1e3:7.1f} ms (median {mapped[4] * 1e3:.1f}), aim 12")
    print(f"the same, seen before by the process    {known[0] * 1e3:7.2f} ms (median {known[4] * 1e3:.2f}), aim 1")
    print(f"peak memory of loading them          {peak / size:7.2f} x their {size / 1e6:.0f} MB, aim 1.3")


def many_short_series(store: Store) -> None:
    """Load a year of hours of many symbols."""
    series = [Series("binance", f"S{number}/USDT", "1h") for number in range(SYMBOLS)]
    for number, one in enumerate(series):
        put(store, made(one.symbol, "1h", 3_600_000, HOURS, number))
    ready = timed(lambda: [store.candles(one) for one in series], 5)
    print(
        f"{SYMBOLS} symbols x {HOURS:,} candles       {ready[0] * 1e3:11.1f} ms (median {ready[2] * 1e3:.1f}), aim 500"
    )


def fetches() -> None:
    """Fetch minutes from a server in another process and compare with the least time that the rate limit allows."""
    print(
        f"fetching 1m candles, each answer {LATENCY * 1e3:.0f} ms away; overhead is all beyond ccxt's rate limit, aim 5 %"
    )
    for exchange, (pages, rows) in PAGES.items():
        end = int(time.time() * 1000) // 86_400_000 * 86_400_000 - 2 * 86_400_000
        start = end - pages * rows * 60_000
        command = [sys.executable, "-c", SERVE, str(Path(__file__).parents[1]), exchange, str(start), str(LATENCY)]
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
            tempfile.TemporaryDirectory() as folder,
        ):
            access = Access(server.stdout.readline().strip() if server.stdout else "")
            try:
                least = asyncio.run(least_seconds(exchange, access, start, pages, rows))
                wish = Wish(["BTC/USDT"], ["1m"], start=start, end=end)
                began, used = time.perf_counter(), time.process_time()
                outcome = fetch(wish, exchange=exchange, store=Store(folder), access=access)[0]
                seconds, busy = time.perf_counter() - began, time.process_time() - used
            finally:
                server.kill()
        print(
            f"{exchange:8} {outcome.rows:9,} rows in {pages:5,} pages: rate limit {least:6.2f} s, fetch {seconds:6.2f} s"
            f" = {seconds / least - 1:+.1%}, CPU {busy:5.2f} s = {busy / least:.0%}"
        )


async def least_seconds(exchange: str, access: Access, start: int, pages: int, rows: int) -> float:
    """Return the seconds that ccxt's rate limit takes for markets, clock and no more pages than the rows need."""
    costs: list[float] = []
    async with connect(exchange, ["BTC/USDT"], access) as opened:
        client = opened._client  # noqa: SLF001  the limit is ccxt's
        throttle = client.throttle

        async def counted(cost: float) -> None:
            costs.append(cost)
            await throttle(cost)

        client.throttle = counted
        await opened.open()
        opening = sum(costs)
        costs.clear()
        series = Series(exchange, "BTC/USDT", "1m")
        await opened.candle_rows(series, "1m", start, rows, start + rows * 60_000 - 1)
        return (opening + pages * sum(costs)) * float(client.rateLimit) / 1000


def main() -> None:
    """Run every measurement, in a folder that is kept if one is given."""
    with tempfile.TemporaryDirectory() as temporary:
        root = sys.argv[1] if len(sys.argv) > 1 else temporary
        store = Store(root)
        one_long_series(store, root)
        many_short_series(store)
    fetches()


if __name__ == "__main__":
    main()
