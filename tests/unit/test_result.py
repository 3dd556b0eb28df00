"""A result: the same bytes for the same inputs, the same result after a round trip, and honest about its certainty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from backtest import (
    Candles,
    EventKind,
    InvalidSettingError,
    Moment,
    Result,
    StorageError,
    Strategy,
    SubscriberProfile,
    UpdatePrices,
    VenueAssumptions,
    replay_calls,
    run,
)
from backtest.report import text
from backtest.report.metrics import statistics
from backtest.runner.record import StrategyRecord
from strategies.breakout import Breakout
from strategies.ema_cross import EmaCross

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backtest import Call

ROOT = Path(__file__).parents[2]
FILES = [
    "calls.jsonl",
    "candles.parquet",
    "equity.parquet",
    "events.parquet",
    "fills.parquet",
    "indicators.parquet",
    "manifest.json",
    "refused.jsonl",
    "trades.parquet",
]
STRATEGY = Breakout(lookback=5, risk=0.4)  # stops so tight that candles are ambiguous
MODES = ["pessimistic", "candle", "optimistic"]


def candles(symbol: str = "BTC/USD") -> Candles:
    return Candles.sample(symbol, "1d").between("2017-11-09", "2019-02-01")


def made() -> Result:
    return run(STRATEGY, {one.symbol: one for one in (candles(), candles("ETH/USD"))})


@pytest.fixture(scope="module")
def result() -> Result:
    return made()


@pytest.fixture(scope="module")
def saved(result: Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return result.save(tmp_path_factory.mktemp("saved") / "out")


@pytest.fixture(scope="module")
def loaded(saved: Path) -> Result:
    return Result.load(saved)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_example_is_worth_testing(result: Result) -> None:
    assert len(result.trades) > 20
    assert {call.call.__class__.__name__ for call in result.calls} == {"CreateSignal", "UpdatePrices"}
    assert not result.trades["open"].any()
    assert result.ambiguous["candles"] > 0
    assert len(set(result.total_return.values())) == 3
    assert set(result.trades["symbol"]) == {"BTC/USD", "ETH/USD"}


def test_saves_these_files(saved: Path) -> None:
    assert sorted(content(saved)) == FILES


def test_the_same_inputs_give_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    assert content(made().save(tmp_path / "again")) == content(saved)


def test_saving_twice_replaces_and_changes_nothing(result: Result, tmp_path: Path) -> None:
    first = content(result.save(tmp_path / "out"))
    assert content(result.save(tmp_path / "out")) == first
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_report_in_the_folder_survives_the_next_save(result: Result, tmp_path: Path) -> None:
    folder = result.save(tmp_path / "out")
    (folder / "notes.txt").write_text("mine", "utf-8")
    result.save(folder)
    assert (folder / "notes.txt").read_text("utf-8") == "mine"


def test_what_was_loaded_is_what_was_saved(result: Result, loaded: Result) -> None:
    pd.testing.assert_frame_equal(loaded.trades, result.trades)
    pd.testing.assert_frame_equal(loaded.fills, result.fills)
    pd.testing.assert_series_equal(loaded.equity, result.equity)
    assert loaded.events == result.events
    assert loaded.calls == result.calls
    assert loaded.stats == result.stats
    assert loaded.total_return == result.total_return
    assert loaded.ambiguous == result.ambiguous
    assert repr(loaded) == repr(result)


def test_a_loaded_result_knows_on_what_it_was_run(tmp_path: Path) -> None:
    profile = SubscriberProfile.anny(balance=5_000.0, intrabar="candle", target_shares=(60.0, 40.0))
    assumptions = VenueAssumptions(cancel_if_target_first=True)
    ran = run(STRATEGY, candles(), profile=profile, assumptions=assumptions)
    back = Result.load(ran.save(tmp_path / "out"))
    assert (back.profile, back.assumptions) == (profile, assumptions)
    assert isinstance(back.strategy, StrategyRecord)
    assert back.strategy.name == "Breakout"
    assert back.strategy.parameters == STRATEGY.parameters
    assert back.strategy.identity == STRATEGY.identity
    back.strategy.check(STRATEGY)


def test_loading_executes_the_file_that_is_named_and_no_other(tmp_path: Path) -> None:
    folder = run(STRATEGY, candles()).save(tmp_path / "out")
    marker = tmp_path / "executed"
    copy = tmp_path / "breakout.py"
    source = (ROOT / "strategies" / "breakout.py").read_text("utf-8")
    copy.write_text(f"{source}\nopen({str(marker)!r}, 'w').close()\n", "utf-8")
    assert isinstance(Result.load(folder).strategy, StrategyRecord)
    assert not marker.exists()
    loaded = Result.load(folder, strategy=copy).strategy
    assert marker.exists()
    assert isinstance(loaded, Strategy)
    assert dict(loaded) == dict(STRATEGY)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("ema_cross.py", ("", ""), "EmaCross has no parameter 'lookback'"),
        ("breakout.py", ("class Breakout", "class Other"), "made by Breakout with class Breakout, the file has Other"),
        (
            "breakout.py",
            ("candles.close > ind", "candles.high > ind"),
            "with source .*, the file has .* as it was then",
        ),
    ],
    ids=["other parameters", "another class", "another source"],
)
def test_another_strategy_than_the_one_of_the_result_is_refused(
    file: str, change: tuple[str, str], message: str, tmp_path: Path
) -> None:
    folder = run(STRATEGY, candles()).save(tmp_path / "out")
    copy = tmp_path / file
    copy.write_text((ROOT / "strategies" / file).read_text("utf-8").replace(*change), "utf-8")
    with pytest.raises(InvalidSettingError, match=message):
        Result.load(folder, strategy=copy)


def test_statistics_of_several_results_make_a_table_of_figures(result: Result) -> None:
    other = run(EmaCross(), candles().slice(0, 30))
    table = pd.DataFrame({"a": result.stats, "b": other.stats})
    assert table.loc["trades", "a"] == len(result.trades)
    assert table["a"].dtype == np.float64
    assert table.loc["total_return", "a"] == result.total_return["pessimistic"]
    assert table["b"].isna()["win_rate"]


class Muddled(Strategy):
    """Sends creates whose stop lies above them every second day, and an update past the market."""

    def on_candle(self, now: Moment) -> Iterable[Call]:
        for signal in now.signals:
            if signal.open_quantity:
                yield UpdatePrices(signal.ref, exit_price_1=now.close * 0.5, allow_marketable=now.position % 3 == 0)
        if not now.signals:
            stop = now.close * (1.1 if now.position % 2 else 0.9)
            yield now.create(entry=now.close, targets=[now.close * 1.2, now.close * 1.3], stop_loss=stop, invest=10)


def test_calls_that_the_desk_refused_are_saved_and_loaded(tmp_path: Path) -> None:
    ran = run(Muddled(), candles().slice(0, 40))
    assert len(ran.refused) == 5
    back = Result.load(ran.save(tmp_path / "out"))
    assert back.refused == ran.refused
    assert back.calls == ran.calls
    assert back.stats["calls_refused_by_desk"] == ran.stats["calls_refused_by_desk"]


def test_a_signal_is_explained_by_its_number(result: Result, loaded: Result) -> None:
    assert result.explain(3) == result.explain("3") == loaded.explain(3)
    with pytest.raises(InvalidSettingError, match="signal was '0'"):
        result.explain(0)


def test_a_loaded_result_draws_everything_again(result: Result, loaded: Result, tmp_path: Path) -> None:
    page = result.report(tmp_path / "one.html").read_bytes()
    assert loaded.report(tmp_path / "two.html").read_bytes() == page
    assert loaded._repr_html_() == result._repr_html_()
    signal = str(result.trades["signal"].iloc[3])
    assert loaded.explain(signal) == result.explain(signal)
    assert loaded.plot(symbol="ETH/USD", last=5).axes


def test_a_loaded_result_saves_to_the_same_bytes(loaded: Result, saved: Path, tmp_path: Path) -> None:
    assert content(loaded.save(tmp_path / "copy")) == content(saved)


def test_the_manifest_says_what_was_run_and_when_nothing(saved: Path) -> None:
    manifest = json.loads((saved / "manifest.json").read_text("utf-8"))
    assert manifest["format"] == 3
    assert manifest["strategy"]["name"] == "Breakout"
    assert manifest["strategy"]["parameters"] == {"lookback": 5, "risk": 0.4, "invest": 10.0}
    assert manifest["profile"]["name"] == "anny"
    assert manifest["candles"]["BTC/USD"]["hash"] == candles().hash
    assert manifest["emitted"]["BTC/USD"] == "BINANCE BTC/USDT"
    assert {"signal-backtest", "numba", "pandas", "python"} <= set(manifest["versions"])
    assert {row["status"] for row in manifest["assumptions"]} <= {"documented", "assumed", "confirmed"}
    assert list(manifest["total_return"]) == MODES
    assert not {"time", "date", "created", "host", "path"} & set(manifest)


def test_times_are_whole_milliseconds_on_disk_and_utc_in_memory(saved: Path, result: Result) -> None:
    for name, columns in {"trades": ["entry_time", "exit_time"], "fills": ["time"], "equity": ["time"]}.items():
        frame = pd.read_parquet(saved / f"{name}.parquet")
        assert {str(frame[column].dtype) for column in columns} == {"int64"}
    assert str(result.trades["entry_time"].dt.tz) == "UTC"
    assert result.equity.index[0] == pd.Timestamp("2017-11-10", tz="UTC")  # the first close, known a day after its open


def test_equity_ends_at_the_sum_of_the_trades(result: Result) -> None:
    gained = result.trades["pnl"].sum()
    assert result.equity.iloc[-1] == pytest.approx(10_000.0 + gained)
    assert result.total_return["pessimistic"] == pytest.approx(result.equity.iloc[-1] / 10_000.0 - 1.0)


@pytest.mark.parametrize("mode", MODES)
def test_each_figure_of_the_interval_is_a_run_of_its_own(mode: str, result: Result) -> None:
    both = {one.symbol: one for one in (candles(), candles("ETH/USD"))}
    alone = run(STRATEGY, both, profile=SubscriberProfile.anny(intrabar=mode))
    assert float(alone.equity.iloc[-1]) / 10_000.0 - 1.0 == result.total_return[mode]
    assert alone.total_return == result.total_return


def test_the_interval_is_shown_lowest_first(result: Result, loaded: Result) -> None:
    low, high = (text.percent(each(result.total_return.values()), signed=True) for each in (min, max))
    best = max(MODES, key=lambda mode: result.total_return[mode])
    assert result.total_return["pessimistic"] < result.total_return["candle"] < result.total_return[best]
    for one in (result, loaded):
        assert repr(one).endswith(f"total return {low} to {high} ({best})>")


def test_events_and_fills_tell_the_same_story(result: Result) -> None:
    entered = [event for event in result.events if event.kind is EventKind.ENTERED]
    assert len(entered) == len(result.trades)
    assert result.fills["time"].is_monotonic_increasing
    assert np.isfinite(result.fills["price"]).all()


def test_a_run_without_a_signal_saves_and_loads(tmp_path: Path) -> None:
    empty = run(EmaCross(), candles().slice(0, 30))
    assert len(empty.trades) == len(empty.calls) == len(empty.events) == 0
    back = Result.load(empty.save(tmp_path / "out"))
    assert back.stats == empty.stats
    assert len(back.trades) == 0
    assert back.report(tmp_path / "page.html").stat().st_size > 1000


def test_a_replayed_log_round_trips_too(tmp_path: Path) -> None:
    log = tmp_path / "channel.csv"
    log.write_text(
        "at,ref,call,coin,trade_market,exchange,invest,entry_price_max,exit_price_1,stop_loss\n"
        "2018-01-05,a,create_v2,BTC,USDT,BINANCE,10,17000,18000,15000\n",
        "utf-8",
    )
    replayed = replay_calls(log, candles())
    back = Result.load(replayed.save(tmp_path / "out"))
    assert back.calls == replayed.calls
    pd.testing.assert_frame_equal(back.trades, replayed.trades)
    assert back.tables.name == "channel.csv"


@pytest.mark.parametrize("kind", ["a folder", "a file"])
def test_a_place_that_holds_something_else_is_refused(kind: str, result: Result, tmp_path: Path) -> None:
    target = tmp_path / "taken"
    if kind == "a folder":
        target.mkdir()
        (target / "diary.txt").write_text("mine", "utf-8")
    else:
        target.write_text("mine", "utf-8")
    with pytest.raises(InvalidSettingError, match="taken exists and holds no result; choose a new folder"):
        result.save(target)
    assert [path.name for path in tmp_path.rglob("*")] == (["taken", "diary.txt"] if kind == "a folder" else ["taken"])


def test_an_empty_folder_may_be_filled(result: Result, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert sorted(content(result.save(tmp_path / "empty"))) == FILES


def test_a_place_that_cannot_be_written_is_an_error_of_the_disk(result: Result) -> None:
    with pytest.raises(StorageError, match="could not be written to /proc/nowhere/out"):
        result.save("/proc/nowhere/out")


def replaced(file: Path, old: str, new: str) -> None:
    told = file.read_text("utf-8")
    assert old in told
    file.write_text(told.replace(old, new), "utf-8")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "holds no result"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "holds no result"),
        (
            lambda folder: (folder / "manifest.json").write_text('{"format": 1}'),
            "format 1; this version reads format 3",
        ),
        (lambda folder: (folder / "trades.parquet").unlink(), "is incomplete"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "holds no result"),
        (lambda folder: (folder / "events.parquet").write_bytes(b"PAR1"), "events.parquet .* is not the file that was"),
        (lambda folder: (folder / "calls.jsonl").write_text("{"), "calls.jsonl .* is not the file that was saved"),
        (
            lambda folder: replaced(folder / "manifest.json", '"balance": 10000', '"balance": 90000'),
            "was changed after",
        ),
        (lambda folder: replaced(folder / "manifest.json", '"seal": "', '"seal": "0'), "was changed after"),
    ],
    ids=[
        "no-manifest",
        "a-broken-manifest",
        "another-format",
        "a-missing-table",
        "no-mapping",
        "a-cut-table",
        "a-cut-log",
        "another-balance",
        "another-seal",
    ],
)
def test_a_damaged_folder_is_refused(harm: object, message: str, result: Result, tmp_path: Path) -> None:
    folder = result.save(tmp_path / "out")
    assert callable(harm)
    harm(folder)
    with pytest.raises(InvalidSettingError, match=message):
        Result.load(folder)


@pytest.mark.parametrize("lane", ["table", "candle"])
@pytest.mark.parametrize("until", ["2018-01-31", "2018-02-01", "2018-02-02", "2018-02-03", "2018-02-14", "2018-02-16"])
def test_statistics_are_those_of_the_tables(lane: str, until: str) -> None:
    some = {one.symbol: one.between("2017-11-09", until) for one in (candles(), candles("ETH/USD"))}
    result = run(Breakout(lookback=2), some, lane=lane)
    early = result.stats
    whole = statistics(result.tables)
    assert (early.rows, early.interval, early.mode) == (whole.rows, whole.interval, whole.mode)
    assert early == whole
