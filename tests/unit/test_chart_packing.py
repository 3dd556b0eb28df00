"""What the chart's text holds, read back without a browser."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.report.chart import ChartInput, Prices, pack

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALPHABET = [chr(code).translate(str.maketrans("&<", "!~")) for code in range(35, 126)]
START, MINUTE = 1_704_067_200_000, 60_000


def told(chart: ChartInput) -> dict[str, Any]:
    """Return the JSON at the head of a packed chart: characters to bits, bits to gzip, its length before it."""
    number, _, text = str(pack(chart)).partition(":")
    places = {sign: place for place, sign in enumerate(ALPHABET)}
    signs = [places[sign] for sign in text]
    bits = "".join(f"{91 * a + b:013b}" for a, b in zip(signs[::2], signs[1::2], strict=True))
    packed = int(bits[: 8 * int(number)], 2).to_bytes(int(number), "big")
    whole = gzip.decompress(packed)
    size = int.from_bytes(whole[:4], "little")
    found: dict[str, Any] = json.loads(whole[4 : 4 + size])
    return found


def prices(time: NDArray[np.int64], reach: float) -> Prices:
    opened, close = np.full(len(time), 100.000003), np.full(len(time), 100.000001)
    return Prices("BTC/USDT", "1m", MINUTE, time, opened, opened + reach, close - reach, close)


def test_times_are_a_start_a_step_and_the_gaps() -> None:
    time = START + MINUTE * np.array([0, 1, 2, 7, 8], np.int64)
    market = told(ChartInput((prices(time, 0.05),)))["markets"][0]
    assert (market["n"], market["start"], market["step"], market["gaps"]) == (5, START, MINUTE, [[3, 5 * MINUTE]])
    assert (market["decimals"], market["rounded"], market["merged"]) == (6, False, 1)


def test_very_many_prices_are_kept_to_a_hundredth_of_a_candle() -> None:
    time = START + MINUTE * np.arange(200_001, dtype=np.int64)
    found = told(ChartInput((prices(time, 0.025),)))  # a candle measures 0.05
    market = found["markets"][0]
    assert (market["n"], market["decimals"], market["rounded"]) == (200_001, 4, True)
    assert found["note"] == "Prices of BTC/USDT are drawn to 0.0001."
    exact = told(ChartInput((prices(time[:-1], 0.025),)))["markets"][0]
    assert (exact["decimals"], exact["rounded"]) == (6, False)
