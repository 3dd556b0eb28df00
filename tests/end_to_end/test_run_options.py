"""``backtest run`` on files as people have them: snapped, cut, and named column by column."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command_line import BREAKOUT, backtest

MINUTE = 60_000
START = 1_518_000_000_000


def written(path: Path, times: list[int], header: str = "time,open,high,low,close,volume") -> str:
    rows = [
        f"{time},{100 + k % 7},{108 + k % 7},{95 + k % 7},{101 + k % 7},{1 + k % 3}" for k, time in enumerate(times)
    ]
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


def test_rows_off_the_grid_are_reported_and_snapped_on_request(tmp_path: Path) -> None:
    times = [START + k * MINUTE + (14_000 if k >= 60 else 0) for k in range(200)]
    path = written(tmp_path / "BTC_USDT-1m.csv", times)
    refused = backtest("run", BREAKOUT, "--candles", path, "--timeframe", "1m")
    snapped = backtest("run", BREAKOUT, "--candles", path, "--timeframe", "1m", "--snap")
    assert "off the grid" in refused.out + refused.err
    assert snapped.status == 0, snapped.err
    assert "Breakout on BTC/USDT 1m" in snapped.out


@pytest.mark.parametrize(
    ("options", "candles"),
    [(("--since", "2018-02-08"), 1_200), (("--until", "2018-02-08"), 800), ((), 2_000)],
)
def test_candles_are_cut_by_date(options: tuple[str, ...], candles: int, tmp_path: Path) -> None:
    path = written(tmp_path / "BTC_USDT-1m.csv", [START - START % MINUTE + k * MINUTE for k in range(2_000)])
    done = backtest("run", BREAKOUT, "--candles", path, *options)
    assert done.status == 0, done.err
    assert f"{candles:,} candles of 1m" in " ".join(done.out.split())


def test_columns_are_named_where_nothing_else_helps(tmp_path: Path) -> None:
    times = [START - START % MINUTE + k * MINUTE for k in range(120)]
    path = written(tmp_path / "BTC_USDT-1m.csv", times, "a,b,c,d,e,f")
    named = "time=a,open=b,high=c,low=d,close=e,volume=f"
    assert backtest("run", BREAKOUT, "--candles", path, "--columns", named).status == 0


def test_a_date_that_cuts_everything_is_one_sentence(tmp_path: Path) -> None:
    path = written(tmp_path / "BTC_USDT-1m.csv", [START - START % MINUTE + k * MINUTE for k in range(120)])
    done = backtest("run", BREAKOUT, "--candles", path, "--since", "2030-01-01")
    assert done.status == 2
    assert done.err.count("\n") == 1
