"""Sweeps over many markets in one command: each on an account of its own, judged together, by one crew."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from backtest import (
    Candles,
    DataUnavailableError,
    Field,
    InvalidSettingError,
    Market,
    StorageError,
    Strategy,
    run,
    run_each,
    run_many,
)
from backtest.market_data.columns import columns_of
from backtest.market_data.load import load_candles
from backtest.market_data.series import Series
from backtest.market_data.store import Store
from backtest.report.selection import overfitting_probability
from backtest.runner.loading import load_strategy
from backtest.runner.trials import tried
from backtest.study.search import search_each, search_many
from tests.command_line import ROOT, Done, backtest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backtest import Call, Moment

STRATEGY = """
import os
import time

from backtest import Field, Strategy, indicators as ta


class Dip(Strategy):
    length: int = Field(20, ge=2)

    def indicators(self, candles):
        time.sleep(float(os.environ.get("SLOW", "0")))
        return {"mean": ta.sma(candles.close, self.length)}

    def triggers(self, candles, ind):
        return ta.crossed_below(candles.close, 0.9 * ind["mean"])

    def on_candle(self, now):
        if not now.signals:
            yield now.market(targets=[1.1 * now.close], stop_loss=0.95 * now.close, invest=10)
"""
GRID = ("--grid", "length=10:13:1")
OF_STORE = ("--exchange", "binance", "--timeframe", "1d")
WRITTEN = ("sweep.csv", "sweep.parquet", "rows.csv")


@pytest.fixture(scope="module")
def strategy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("strategies") / "dip.py"
    file.write_text(STRATEGY, "utf-8")
    return file


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("store")
    for symbol in ("BTC", "ETH", "LTC"):
        candles = Candles.sample(f"{symbol}/USD", "1d").slice(0, 500)
        span = (int(candles.time[0]), int(candles.close_time[-1]))
        Store(root).add(Series("binance", f"{symbol}/USDT", "1d"), columns_of(candles), asked=[span], source="binance")
    return root


def sweep(strategy: Path, store: Path, *words: object, markets: Iterable[str] = ("LTC", "ETH")) -> Done:
    of_markets = [word for name in markets for word in ("--market", f"{name}/USDT")]
    return backtest("sweep", strategy, *of_markets, *OF_STORE, *GRID, "--store", store, *words)


def same(one: Path, two: Path) -> bool:
    return all((one / name).read_bytes() == (two / name).read_bytes() for name in WRITTEN)


def parts_of(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in folder.glob("part-*.parquet")}


def test_processes_write_the_bytes_of_one_and_a_missing_market_ends_nothing(
    strategy: Path, store: Path, tmp_path: Path
) -> None:
    here = sweep(strategy, store, "--out", tmp_path / "one", markets=("LTC", "XRP", "ETH"))
    assert here.status == 0, here.err
    assert "Dip on 2 markets: all 8 rows" in here.out
    assert f"market XRP/USDT is left out: the store {store} has no binance XRP/USDT 1d: backtest fetch" in here.out
    assert "Best of 8 rows on 2 markets, worth" in here.out
    words = ("--jobs", 2, "--parts", tmp_path / "parts", "--out", tmp_path / "two")
    there = sweep(strategy, store, *words, markets=("ETH", "LTC", "XRP"))
    assert there.status == 0, there.err
    assert same(tmp_path / "one", tmp_path / "two")
    assert there.out.splitlines()[:-4] == here.out.splitlines()[:-4]
    assert pd.read_csv(tmp_path / "one" / "left-out.csv")["market"].tolist() == ["XRP/USDT"]
    table = pd.read_csv(tmp_path / "one" / "sweep.csv")
    assert table["market"].tolist() == ["ETH/USDT"] * 4 + ["LTC/USDT"] * 4
    assert table["row"].tolist() == [0, 1, 2, 3] * 2
    alone = backtest(
        *(
            "sweep",
            strategy,
            "--candles",
            "store:binance:LTC/USDT:1d",
            *GRID,
            "--store",
            store,
            "--out",
            tmp_path / "ltc",
        )
    )
    assert alone.status == 0, alone.err
    mine = table[table["market"] == "LTC/USDT"].drop(columns=["market", "row"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, pd.read_csv(tmp_path / "ltc" / "sweep.csv"), check_exact=True)


def test_a_pattern_names_the_markets_that_the_store_has(strategy: Path, store: Path, tmp_path: Path) -> None:
    named = sweep(strategy, store, "--out", tmp_path / "named", markets=("BTC", "LTC", "ETH"))
    alike = sweep(strategy, store, "--out", tmp_path / "alike", markets=("?t*", "*", "ETH"))
    assert (named.status, alike.status) == (0, 0), named.err + alike.err
    assert same(tmp_path / "named", tmp_path / "alike")
    table = pd.read_csv(tmp_path / "named" / "rows.csv")
    assert table["markets"].tolist() == [3] * 4
    swept = pd.read_csv(tmp_path / "named" / "sweep.csv").groupby("row")
    assert table["median_total_return"].tolist() == swept["total_return"].median().tolist()
    assert table["gained"].tolist() == swept["total_return"].apply(lambda one: (one > 0).mean()).tolist()


def test_a_search_over_markets_goes_on_where_it_was_and_is_the_same_in_processes(
    strategy: Path, store: Path, tmp_path: Path
) -> None:
    markets = [word for name in ("LTC", "ETH") for word in ("--market", f"{name}/USDT")]
    words = ("--search", "tpe", "--trials", 18, "--seed", 5, "--grid", "length=1:50:1", "--parts", tmp_path / "parts")
    done = backtest(
        "sweep", strategy, *markets, *OF_STORE, "--store", store, *words, "--out", tmp_path / "out", "--jobs", 2
    )
    assert done.status == 0, done.err
    table = pd.read_csv(tmp_path / "out" / "rows.csv")
    assert len(table) == len(set(table["length"])) == 18
    assert set(table["markets"]) <= {0, 2}
    kept = parts_of(tmp_path / "parts")
    for name in sorted(kept)[::2]:
        (tmp_path / "parts" / name).unlink()
    loaded = [load_candles(f"{name}/USDT", "1d", exchange="binance", store=store) for name in ("LTC", "ETH")]
    asked: tuple[Any, ...] = (load_strategy(str(strategy)), {"length": list(range(1, 51))}, loaded)
    here = search_each(*asked, trials=18, seed=5, ledger=False)
    again = search_each(*asked, trials=18, seed=5, ledger=False, parts=str(tmp_path / "parts"))
    for each in (here, again):
        assert [row["length"] for row in each.grid.rows] == table["length"].tolist()
        assert each.medians().tobytes() == table["median_sharpe"].to_numpy().tobytes()
        assert each.means.tobytes() == here.means.tobytes()
    after = parts_of(tmp_path / "parts")
    assert after.keys() == kept.keys()
    assert [name for name in sorted(kept) if after[name] == kept[name]] == sorted(kept)[1::2]


def test_a_killed_sweep_goes_on_where_it_was_with_another_number_of_processes(
    strategy: Path, store: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "parts"
    words = ["sweep", strategy, "--market", "ETH/USDT", "--market", "LTC/USDT", *OF_STORE, *GRID, "--store", store]
    words += ["--parts", folder, "--jobs", "2"]
    first = subprocess.Popen(
        [sys.executable, "-m", "backtest", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "SLOW": "0.3", "BACKTEST_TRIALS": "off"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not parts_of(folder):
        assert first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.wait()
    done = sweep(strategy, store, "--parts", folder, "--out", tmp_path / "again")
    assert done.status == 0, done.err
    kept = parts_of(folder)
    assert len(kept) == 8
    assert sweep(strategy, store, "--out", tmp_path / "whole").status == 0
    assert same(tmp_path / "again", tmp_path / "whole")
    assert sweep(strategy, store, "--parts", folder, "--jobs", 3, "--out", tmp_path / "more").status == 0
    assert same(tmp_path / "more", tmp_path / "whole")
    assert parts_of(folder) == kept  # nothing was done twice, whatever the number of processes


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (
            ("--market", "XRP/USDT", "--market", "ADA/USDT", *OF_STORE),
            3,
            "none of 2 markets can be loaded: ADA/USDT: the store",
        ),
        (("--market", "ETH/USDT", *OF_STORE, "--until", "2017-11-11"), 3, "is too short: 2 candles of 1d on 2 days"),
        (("--market", "ETH/USDT", *OF_STORE, "--since", "yesterday"), 2, "a date is written 2024-01-31"),
        (("--market", "ETH/USDT"), 2, "give --exchange binance --timeframe 1h with it"),
        (("--market", "ETH/USDT", "--market", "ETH/USDT", *OF_STORE), 2, "ETH/USDT was named twice"),
        (("--market", "*/EUR", *OF_STORE), 2, "is like '*/EUR' and has 1d candles; 3 markets have"),
        (("--market", "ETH/USDT", *OF_STORE, "--by", "sharp"), 2, "by was 'sharp'"),
        (
            ("--market", "*", "--exchange", "binance", "--timeframe", "1h"),
            2,
            "is like '*' and has 1h candles; 0 markets have",
        ),
        ((), 2, "name --candles FILE for one account, or --market BTC/USDT"),
    ],
)
def test_what_cannot_be_swept_is_one_sentence(
    strategy: Path, store: Path, words: tuple[str, ...], status: int, sentence: str
) -> None:
    done = backtest("sweep", strategy, *words, *GRID, "--store", store)
    assert (done.status, done.err.count("\n")) == (status, 1), done.err
    assert sentence in done.err


def test_files_are_markets_too_and_a_damaged_one_is_named(strategy: Path, tmp_path: Path) -> None:
    files = []
    for symbol in ("LTC", "ETH"):
        files.append(tmp_path / f"{symbol}_USD-1d.csv")
        frame = Candles.sample(f"{symbol}/USD", "1d").slice(0, 300).to_pandas().reset_index(names="time")
        frame.to_csv(files[-1], index=False)
    (tmp_path / "broken.csv").write_text("time,open\nnonsense\n", "utf-8")
    named = [word for file in (*files, tmp_path / "broken.csv") for word in ("--candles", file)]
    done = backtest("sweep", strategy, *named, "--each", *GRID, "--since", "2018-01-01", "--out", tmp_path / "out")
    assert done.status == 0, done.err
    assert f"market {tmp_path / 'broken.csv'} is left out: " in done.out
    table = pd.read_csv(tmp_path / "out" / "sweep.csv")
    assert list(dict.fromkeys(table["market"])) == sorted(map(str, files))


class Beat(Strategy):
    """Buys every so often."""

    length: int = Field(20, ge=2)

    def on_candle(self, now: Moment) -> Iterable[Call]:
        if self.length == 7 and now.close > 500.0:
            raise RuntimeError("too dear")
        if not now.signals and now.position % self.length == 0:
            yield now.market(targets=[1.1 * now.close], stop_loss=0.9 * now.close, invest=10)


@pytest.fixture(scope="module")
def candles() -> list[Candles]:
    return [Candles.sample(symbol, "1d").slice(0, 400) for symbol in ("LTC/USD", "BTC/USD", "ETH/USD")]


def test_each_row_on_each_market_is_that_of_a_sweep_of_the_market_alone(candles: list[Candles]) -> None:
    grid = {"length": [5, 7, 9]}
    each = run_each(Beat, grid, candles, market={"LTC/USD": Market("LTC/USD", tick="0.5")}, ledger=False)
    assert each.markets == ("BTC/USD", "ETH/USD", "LTC/USD")
    for k, symbol in enumerate(each.markets):
        one = next(one for one in candles if one.symbol == symbol)
        rules = Market("LTC/USD", tick="0.5") if symbol == "LTC/USD" else None
        many = run_many(Beat, grid, one, market=rules, ledger=False)
        assert each.figures[k].tobytes() == many.figures.tobytes()
        assert each.sharpes[k].tobytes() == many.column("sharpe").tobytes()
        assert {row: why for (name, row), why in each.refused_rows.items() if name == symbol} == many.refused
    assert set(each.refused_rows) == {("ETH/USD", 1)}
    assert "row 1 (length=7) did not run on ETH/USD: RuntimeError: too dear" in each.told()
    market, row = each.best("total_return")
    assert each.table["total_return"].max() == each.figures[each.markets.index(market), row, 0]
    again = each.result("ETH/USD", 2)
    assert again.equity.equals(run(Beat(length=9), candles[2]).equity)
    assert run_each(Beat, grid, candles[:1], ledger=False).medians("total_return").tolist() == [
        run_many(Beat, grid, candles[0], ledger=False).figures[k, 0] for k in range(3)
    ]
    for word in ("lowest", "multiple testing", "best over the markets (median sharpe)"):
        assert word in each.told()
    assert "<table" in each._repr_html_()
    with pytest.raises(InvalidSettingError, match=r'no row ran on market .LTC/USDT..*Did you mean "LTC/USD"'):
        each.result("LTC/USDT", 0)
    with pytest.raises(InvalidSettingError, match="3 rows, from 0 to 2; asked for 3"):
        each.result("LTC/USD", 3)


def test_the_rows_of_all_markets_are_judged_and_counted_together(
    candles: list[Candles], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKTEST_TRIALS", str(tmp_path / "trials.sqlite"))
    grid = {"length": [5, 8, 9]}
    each = run_each(Beat, grid, candles[1:])
    alone = [run_many(Beat, grid, one, ledger=False) for one in candles[1:]]
    joint = np.zeros((6, 6))  # these markets have no day in common: trials of one tell nothing of the other's
    for k, many in enumerate(alone):
        days = np.diff(many.daily, prepend=many.profile.balance) / np.c_[[many.profile.balance] * 3, many.daily[:, :-1]]
        joint[3 * k : 3 * k + 3, 3 * k : 3 * k + 3] = np.corrcoef(days)
    rho = (joint.sum() - 6) / 30
    assert each.trials == pytest.approx(max(rho + (1 - rho) * 6, 36 / (joint**2).sum()))
    assert each.trials > max(many.judge().trials for many in alone)
    assert each.judge().rows == 6
    best = max(alone, key=lambda many: float(np.nanmax(many.column("sharpe"))))
    assert each.judge().dsr < best.judge().dsr  # more was tried
    for one in candles[1:]:
        days = f"{one.index[0]:%Y-%m-%d}..{one.index[-1]:%Y-%m-%d}"
        known = tried("Beat", f"{one.symbol} 1d {days}")
        assert known.count == 6
        assert known.effective == pytest.approx(each.trials)


def test_one_row_for_all_markets_is_judged_by_its_mean_returns() -> None:
    whole = Candles.sample("LTC/USD", "1d")
    parts = {"early": whole.slice(0, 300), "late": whole.slice(100, 420), "twin": whole.slice(0, 300)}
    grid = {"length": [5, 1, 6, 9, 11, 14]}
    each = run_each(Beat, grid, parts, ledger=False)
    first = int(whole.close_time[0] - 1) // 86_400_000
    sums, counts = np.zeros((420, 6)), np.zeros((420, 6))
    for one in parts.values():
        many = run_many(Beat, grid, one, ledger=False)
        day = int(one.close_time[0] - 1) // 86_400_000 - first
        equity = np.c_[np.full(6, many.profile.balance), many.daily].T
        returns = equity[1:] / equity[:-1] - 1.0
        sums[day : day + len(returns)] += returns
        counts[day : day + len(returns)] += 1
    ran = [0, 2, 3, 4, 5]
    assert np.isnan(each.means[:, 1]).all()  # length=1 is refused
    np.testing.assert_allclose(each.means[:, ran], (sums / counts)[:, ran], rtol=1e-9, atol=1e-15)
    told = each.judge_for_all()
    assert (told.rows, told.days, told.markets) == (5, 420, 3)
    assert told.pbo == overfitting_probability(each.means[:, ran], 16)
    sharpes = each.means[:, ran].mean(axis=0) / each.means[:, ran].std(axis=0, ddof=1)
    assert each.best_for_all() == ran[int(np.argmax(sharpes))]
    assert np.isnan(each.sharpes_of_means[1])
    assert each.by_row["markets"].tolist() == [3, 0, 3, 3, 3, 3]
    assert each.judge().pbo is None
    assert told.sentence.startswith("One row for 3 markets: best of 5 rows, worth")
    alone = run_each(Beat, grid, {"early": parts["early"]}, ledger=False)
    many = run_many(Beat, grid, parts["early"], ledger=False)
    assert alone.judge_for_all() == many.judge()  # of one market it is that market's own


def test_a_search_tries_what_is_best_over_the_markets(candles: list[Candles]) -> None:
    grid: dict[str, list[Any]] = {"length": [1, 5, 6, 7, 8, 9, 0, 11]}
    whole = run_each(Beat, grid, candles, ledger=False)
    tried = search_each(Beat, grid, candles, trials=50, by="total_return", ledger=False)
    lengths = [row["length"] for row in tried.grid.rows]
    order = [grid["length"].index(one) for one in lengths]
    assert sorted(lengths) == sorted(grid["length"])
    assert tried.figures.tobytes() == whole.figures[:, order].tobytes()
    assert tried.medians("total_return").tobytes() == whole.medians("total_return")[order].tobytes()
    assert tried.trials == pytest.approx(whole.trials, rel=1e-9)
    at = {
        name: {row: why for (market, row), why in tried.refused_rows.items() if market == name}
        for name in tried.markets
    }
    assert "too dear" in at["ETH/USD"][lengths.index(7)]
    assert "was 1" in at["LTC/USD"][lengths.index(1)]
    gone: dict[str, Any] = {"a": candles[0], "b": _gone}
    some = search_each(Beat, grid, gone, trials=4, ledger=False)
    assert (some.markets, some.refused) == (("a",), {"b": "its disk is gone"})
    with pytest.raises(DataUnavailableError, match="none of 1 market can be loaded: b: its disk is gone"):
        search_each(Beat, grid, {"b": _gone}, trials=4)
    with pytest.raises(InvalidSettingError, match="none of 2 rows can run; row 0: parameter length"):
        search_each(Beat, {"length": [0, 1]}, candles, trials=9)
    with pytest.raises(InvalidSettingError, match="none of 2 rows can run; row 0: parameter length"):
        search_many(Beat, {"length": [0, 1]}, candles[0], trials=9)
    many = search_many(Beat, {"length": [1, 7, 9, 0]}, candles[2], trials=9, ledger=False)
    assert sorted(many.rows[k]["length"] for k in many.refused) == [0, 1, 7]


def _gone() -> Candles:
    raise DataUnavailableError("its disk is gone")


def test_a_store_that_is_gone_ends_a_sweep_and_a_file_that_cannot_be_read_does_not(candles: list[Candles]) -> None:
    asked: list[int] = []

    def refused() -> Candles:
        asked.append(1)
        raise StorageError("cannot read it")

    names: dict[str, Any] = {f"a{k}": refused for k in range(4)}
    each = run_each(Beat, {"length": [5]}, {**names, "b": candles[0], "c": refused}, ledger=False)
    assert each.markets == ("b",)
    assert len(each.refused) == 5
    for workers in (1, 2):
        asked.clear()
        with pytest.raises(StorageError, match="cannot read it"):
            run_each(Beat, {"length": [5]}, {f"a{k}": refused for k in range(99)}, workers=workers, ledger=False)
        assert len(asked) == 5


def test_what_is_left_out_of_thousands_is_counted(candles: list[Candles], tmp_path: Path) -> None:
    sources: dict[str, Any] = {f"m{k:02}": _gone for k in range(13)}
    dear = {f"n{k:02}": candles[2] for k in range(12)}
    each = run_each(Beat, {"length": [7, 9]}, {**sources, "a": candles[0], **dear}, ledger=False)
    assert each.told().count("is left out: its disk is gone") == 10
    assert "3 more markets are left out: left-out.csv (--out) names them all" in each.told()
    assert "n09 and 2 more markets: RuntimeError: too dear" in each.told()
    each.save(tmp_path)
    assert len(pd.read_csv(tmp_path / "left-out.csv")) == 13


def test_a_market_is_loaded_when_its_turn_comes_and_its_failure_loses_no_other(candles: list[Candles]) -> None:
    asked: list[str] = []

    def load(one: Candles) -> Candles:
        asked.append(one.symbol)
        return one

    sources: dict[str, Any] = {one.symbol: lambda one=one: load(one) for one in candles[:2]}
    each = run_each(
        Beat, [{"length": 5}, {"length": 1}], {**sources, "A": _gone, "short": candles[2].slice(0, 2)}, ledger=False
    )
    assert asked == ["BTC/USD", "LTC/USD"]
    assert each.markets == ("BTC/USD", "LTC/USD")
    assert list(each.refused) == ["A", "short"]
    assert each.refused["A"] == "its disk is gone"
    assert "ETH/USD is too short: 2 candles of 1d on 2 days" in each.refused["short"]
    assert "row 1 (length=1) did not run: parameter length of Beat was 1" in each.told()
    with pytest.raises(DataUnavailableError, match="none of 1 market can be loaded: A: its disk is gone"):
        run_each(Beat, {"length": [5]}, {"A": _gone})
    with pytest.raises(InvalidSettingError, match="no row ran on any of 1 market: ETH/USD: none of 1 row can run"):
        run_each(Beat, {"length": [7]}, candles[2:])


def test_bad_arguments_are_refused_before_anything_runs(candles: list[Candles]) -> None:
    with pytest.raises(InvalidSettingError, match="there are two series of LTC/USD; give candles by name"):
        run_each(Beat, {"length": [5]}, [candles[0], candles[0]])
    with pytest.raises(InvalidSettingError, match="there were none"):
        run_each(Beat, {"length": [5]}, [])
    with pytest.raises(InvalidSettingError, match="candles are Candles or a function that loads them, was int"):
        run_each(Beat, {"length": [5]}, {"BTC/USD": 5})  # type: ignore[arg-type]
    with pytest.raises(InvalidSettingError, match="market was given for XRP/USD, of which there are no candles"):
        run_each(Beat, {"length": [5]}, candles, market={"XRP/USD": Market("XRP/USD")})


def test_the_same_candles_under_two_names_are_two_markets(candles: list[Candles], tmp_path: Path) -> None:
    names = {"a": candles[0], "b": candles[0]}
    here = run_each(Beat, {"length": [5, 9]}, names, ledger=False)
    there = run_each(Beat, {"length": [5, 9]}, names, workers=2, parts=str(tmp_path), ledger=False)
    assert there.figures.tobytes() == here.figures.tobytes()
    assert here.figures[0].tobytes() == here.figures[1].tobytes()
    assert here.trials == there.trials < 2.0  # a copy is no further trial of its own


def test_a_market_whose_candles_change_while_it_is_swept_is_left_out_alone(candles: list[Candles]) -> None:
    from backtest.study.each import Given
    from backtest.study.task import Origin

    def other() -> Given:
        return Given(candles[0], origin=Origin.of(candles[0], "sample"))

    def changed() -> Given:
        one = candles[2].slice(10, 300)
        told: dict[str, Any] = {**columns_of(one), "volume": np.ones(len(one))}
        flat = Candles(one.symbol, one.timeframe, **told)
        return Given(flat, origin=Origin.of(flat, "sample"))

    each = run_each(Beat, {"length": [5, 9]}, {"a": other, "b": changed}, workers=2, ledger=False)
    assert each.markets == ("a",)
    assert "the candles of ETH/USD 1d in sample are not those that the sweep was started with" in each.refused["b"]
