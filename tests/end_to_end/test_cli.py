"""The commands demo, run, calls, replay and explain as a user types them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from backtest import Result
from tests.command_line import BREAKOUT, ROOT, Done, backtest, days, in_process_of_its_own, write

if TYPE_CHECKING:
    from pathlib import Path

SCENARIOS = ROOT / "tests" / "scenarios"
STRATEGIES = sorted(path.name for path in (ROOT / "strategies").glob("*.py"))
INTERVAL = re.compile(r"Total return  (([+-][\d.]+ %)( \([a-z ]+\))? to ([+-][\d.]+ %)|[+-][\d.]+ % in every reading)")


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return write(days(), tmp_path / "BTC_USDT-1d.csv")


def well(done: Done) -> str:
    assert done.status == 0, done
    assert done.err == ""
    return done.out


def test_demo_shows_table_interval_report_and_last_calls(tmp_path: Path) -> None:
    done = in_process_of_its_own("demo", cwd=tmp_path, coverage=True)
    assert done.status == 0, done.err
    assert done.err == ""
    assert INTERVAL.search(done.out)
    for row in ("Sharpe ratio", "Largest drawdown", "buy and hold", "Win rate", "Last 5 of"):
        assert row in done.out
    calls = done.out[done.out.index("The last 3 calls") :]
    assert len(re.findall(r"^20\d\d-.*Z  (POST|PUT|GET) /v\d/signal", calls, re.MULTILINE)) == 3
    assert calls.count('"attachment_description":"ref:') + calls.count('"parent_signal_id"') == 3
    assert "api-key" not in done.out.lower()
    assert done.out.rstrip().endswith("out/demo/report.html")
    page = (tmp_path / "out" / "demo" / "report.html").read_text("utf-8")
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert "BINANCE BTC/USDT" in page


def test_demo_twice_leaves_the_same_bytes(tmp_path: Path) -> None:
    first = well(backtest("demo", "--out", tmp_path / "demo"))
    before = {path.name: path.read_bytes() for path in (tmp_path / "demo").iterdir()}
    assert well(backtest("demo", "--out", tmp_path / "demo")) == first
    assert {path.name: path.read_bytes() for path in (tmp_path / "demo").iterdir()} == before
    assert "report.html" in before


@pytest.mark.parametrize("kind", ["csv", "parquet", "feather"])
def test_candles_of_every_kind_give_the_same_run(kind: str, csv: Path, tmp_path: Path) -> None:
    file = write(days(), tmp_path / "other" / f"BTC_USDT-1d.{kind}")
    arguments = ["--tick", "0.01", "--param", "lookback=10"]
    expected = well(backtest("run", BREAKOUT, "--candles", csv, *arguments))
    assert well(backtest("run", BREAKOUT, "--candles", file, *arguments)) == expected


@pytest.mark.parametrize(
    "names",
    [
        {"time": "Date", "open": "Open", "high": "High", "low": "Low", "close": "Close", "volume": "Volume"},
        {"time": "timestamp"},
        {"time": "open_time", "volume": "vol"},
    ],
    ids=["titled", "timestamp", "short"],
)
def test_columns_are_recognised_by_their_usual_names(names: dict[str, str], csv: Path, tmp_path: Path) -> None:
    file = write(days().rename(columns=names), tmp_path / "other" / "BTC_USDT-1d.csv")
    expected = well(backtest("calls", BREAKOUT, "--candles", csv, "--param", "lookback=10"))
    assert well(backtest("calls", BREAKOUT, "--candles", file, "--param", "lookback=10")) == expected


def test_times_may_be_text_or_seconds(csv: Path, tmp_path: Path) -> None:
    expected = well(backtest("calls", BREAKOUT, "--candles", csv))
    text = days().assign(time=lambda f: pd.to_datetime(f["time"], unit="ms", utc=True).dt.strftime("%Y-%m-%d"))
    seconds = days().assign(time=lambda f: f["time"] // 1000)
    for number, frame in enumerate((text, seconds)):
        file = write(frame, tmp_path / str(number) / "BTC_USDT-1d.csv")
        assert well(backtest("calls", BREAKOUT, "--candles", file)) == expected


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_shipped_strategy_runs_and_saves(name: str, tmp_path: Path) -> None:
    source = ROOT / "strategies" / name
    out = well(backtest("run", source, "--candles", "sample:BTC/USD:1d", "--out", tmp_path / "out"))
    assert INTERVAL.search(out)
    result = Result.load(tmp_path / "out")
    assert len(result.calls) > 0
    assert (tmp_path / "out" / "report.html").is_file()


def test_parameters_reach_the_strategy(csv: Path, tmp_path: Path) -> None:
    chosen = ["--param", "lookback=7", "-p", "risk=1.5"]
    well(backtest("run", BREAKOUT, "--candles", csv, *chosen, "--out", tmp_path / "out"))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))
    assert manifest["strategy"]["parameters"] == {"lookback": 7, "risk": 1.5, "invest": 10.0}


def test_market_options_reach_the_calls(csv: Path) -> None:
    chosen = ["--tick", "0.5", "--exchange", "BYBIT", "--symbol", "BTC/USDC", "--json"]
    rows = [json.loads(line) for line in well(backtest("calls", BREAKOUT, "--candles", csv, *chosen)).splitlines()]
    bodies = [row["body"] for row in rows if row["kind"] == "create_v2"]
    assert len(bodies) > 3
    assert {(body["exchange"], body["trade_market"]) for body in bodies} == {("BYBIT", "USDC")}
    prices = [body[name] for body in bodies for name in ("entry_price_max", "exit_price_1", "stop_loss")]
    assert {float(price) % 0.5 for price in prices} == {0.0}
    plain = [json.loads(line) for line in well(backtest("calls", BREAKOUT, "--candles", csv, *chosen[4:])).splitlines()]
    assert any(float(row["body"].get("stop_loss", 0)) % 0.5 for row in plain)  # it was the option that rounded


def test_two_symbols_share_one_account(tmp_path: Path) -> None:
    both = ["--candles", "sample:BTC/USD:1d", "--candles", "sample:ETH/USD:1d"]
    out = well(backtest("run", BREAKOUT, *both, "--out", tmp_path / "out"))
    assert "Breakout on BTC/USD, ETH/USD 1d" in out
    result = Result.load(tmp_path / "out")
    assert set(result.trades["symbol"]) == {"BTC/USD", "ETH/USD"}
    assert result.fills["time"].is_monotonic_increasing


def test_detail_candles_are_walked_in_place_of_coarse_ones(tmp_path: Path) -> None:
    days_and_hours = ["--candles", "sample:BTC/USD:1d", "--detail", "sample:BTC/USD:1h"]
    out = well(backtest("run", BREAKOUT, *days_and_hours, "--out", tmp_path / "out"))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))
    assert manifest["candles"]["BTC/USD"]["detail"]["timeframe"] == "1h"
    assert manifest["candles"]["BTC/USD"]["detail"]["complete"] > 700
    assert "Detail candles were incomplete for" in " ".join(out.split())


@pytest.mark.parametrize("name", ["anny", "exchange", "json"])
def test_profiles_by_name_and_by_file(name: str, csv: Path, tmp_path: Path) -> None:
    source = name
    if name == "json":
        source = str(tmp_path / "subscriber.json")
        (tmp_path / "subscriber.json").write_text(
            '{"name": "mine", "balance": 500, "target_shares": [70, 30]}', "utf-8"
        )
    well(backtest("run", BREAKOUT, "--candles", csv, "--profile", source, "--out", tmp_path / "out"))
    profile = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))["profile"]
    expected: dict[str, Any] = {
        "anny": {"name": "anny", "balance": 10_000.0, "slippage": None},
        "exchange": {"name": "exchange", "slippage": 0.0},
        "json": {"name": "mine", "balance": 500.0, "target_shares": [70.0, 30.0]},
    }[name]
    assert expected.items() <= profile.items()


def test_the_interval_does_not_depend_on_the_mode_that_is_shown() -> None:
    tight = [BREAKOUT, "--candles", "sample:BTC/USD:1d", "-p", "lookback=5", "-p", "risk=0.4"]
    shown = {
        mode: well(backtest("run", *tight, "--intrabar", mode)) for mode in ("pessimistic", "candle", "optimistic")
    }
    found = [INTERVAL.search(text) for text in shown.values()]
    bounds = [(match[2], match[4]) for match in found if match]
    assert len(bounds) == 3
    assert len(set(bounds)) == 1
    low, high = (float(bound.split()[0]) for bound in bounds[0])
    assert low < high
    assert all(f"figures below: {mode}" in text for mode, text in shown.items())


def test_both_lanes_print_the_same() -> None:
    arguments = ["run", BREAKOUT, "--candles", "sample:BTC/USD:1d"]
    assert well(backtest(*arguments, "--lane", "table")) == well(backtest(*arguments, "--lane", "candle"))


def test_calls_walked_one_close_at_a_time_are_those_of_the_whole_run(csv: Path, tmp_path: Path) -> None:
    arguments = [BREAKOUT, "--candles", csv, "--param", "lookback=10", "--tick", "0.01"]
    well(backtest("run", *arguments, "--out", tmp_path / "out"))
    walked = well(backtest("calls", *arguments, "--json"))
    assert walked == (tmp_path / "out" / "calls.jsonl").read_text("utf-8")
    assert len(walked.splitlines()) > 10
    assert well(backtest("calls", *arguments, "--json", "--last", 3)) == "".join(walked.splitlines(True)[-3:])


def test_calls_look_like_requests_and_hold_no_secret(csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANNY_API_KEY", "key-that-nobody-sees")
    monkeypatch.setenv("ANNY_API_SECRET", "secret-that-nobody-sees")
    lines = well(backtest("calls", BREAKOUT, "--candles", csv, "--last", 2)).splitlines()
    assert [bool(re.match(r"2017-\d\d-\d\dT00:00:00.000Z  (POST|PUT) /v[12]/signal", line)) for line in lines[::3]]
    assert all(line.startswith("  accept: application/json  content-type: application/json") for line in lines[1::3])
    assert all(json.loads(line) for line in lines[2::3])
    assert "nobody-sees" not in "".join(lines)


def test_calls_end_quietly_when_their_reader_leaves() -> None:
    command = [sys.executable, "-m", "backtest", "calls", BREAKOUT, "-c", "sample:BTC/USD:1h", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["kind"] == "create_v2"
        process.stdout.close()
        told = process.stderr.read()
    assert (process.returncode, told) == (1, b"")


def test_replay_of_one_file_as_json_and_as_a_table() -> None:
    file = SCENARIOS / "g05-two-targets-in-one-candle.json"
    told = json.loads(well(backtest("replay", file, "--json")))
    assert set(told) == {"signals", "cash", "equity", "ambiguous_candles", "total_return"}
    assert set(told["total_return"]) == {"pessimistic", "candle", "optimistic"}
    expected = json.loads((SCENARIOS / "expected" / file.name).read_text("utf-8"))
    for mine, theirs in zip(told["signals"], expected["signals"], strict=True):
        assert [event["kind"] for event in mine["events"]] == [event["kind"] for event in theirs["events"]]
    table = well(backtest("replay", file))
    assert "target_hit 2" in table
    assert "L6.1" in table
    assert "in every reading of the candles" in " ".join(table.split())


def test_replay_of_a_folder_lists_every_file_and_stops_at_none(tmp_path: Path) -> None:
    names = ["g05-two-targets-in-one-candle.json", "g10-stop-limit-on-a-leg.json"]
    for name in names:
        (tmp_path / name).write_bytes((SCENARIOS / name).read_bytes())
    (tmp_path / "a-broken-one.json").write_text('{"cals": []}', "utf-8")
    (tmp_path / "notes.txt").write_text("not a scenario", "utf-8")
    rows = json.loads(well(backtest("replay", tmp_path, "--json")))
    assert [row["file"] for row in rows] == ["a-broken-one.json", *names]
    assert [row["exit"] for row in rows] == [2, 0, 0]
    assert rows[0]["result"] is None
    assert 'Did you mean "calls"?' in rows[0]["error"]
    for row in rows[1:]:
        assert row["error"] == ""
        assert row["result"] == json.loads(well(backtest("replay", SCENARIOS / row["file"], "--json")))


def test_replay_of_a_channel_s_history_is_judged_like_a_run(tmp_path: Path) -> None:
    log = tmp_path / "channel.csv"
    log.write_text(
        "at,ref,call,coin,trade_market,exchange,invest,entry_price_max,exit_price_1,stop_loss\n"
        "2018-01-05,a,create_v2,BTC,USDT,BINANCE,10,17000,18000,15000\n"
        "2018-01-20,b,create_v2,BTC,USDT,BINANCE,10,13000,14000,9000\n"
        "2018-01-25,b,cancel,,,,,,,\n",
        "utf-8",
    )
    out = well(backtest("replay", log, "--candles", "sample:BTC/USD:1d", "--out", tmp_path / "out"))
    assert "channel.csv on BTC/USD 1d" in out
    assert INTERVAL.search(out)
    assert len(Result.load(tmp_path / "out").calls) == 3
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_explain_tells_the_life_of_a_signal_and_draws_it(ending: str, csv: Path, tmp_path: Path) -> None:
    well(backtest("run", BREAKOUT, "-c", csv, "--tick", "0.01", "-p", "lookback=10", "--out", tmp_path / "out"))
    chart = tmp_path / f"signal.{ending}"
    told = well(backtest("explain", tmp_path / "out", "1", "--chart", chart))
    assert "accepted by the venue" in told
    assert re.search(r"L\d+\.\d+: ", told)
    assert told.rstrip().endswith(f"chart  {chart}")
    assert chart.read_bytes().startswith(b"\x89PNG" if ending == "png" else b"<svg")
    assert well(backtest("explain", tmp_path / "out", Result.load(tmp_path / "out").trades["signal"][0]))


@pytest.mark.parametrize(
    ("signal", "more", "message"),
    [
        ("9999", [], "signal was '9999'"),
        ("0", [], "signal was '0'"),
        ("1", ["--chart", "x.jpg"], "a chart is written as .png or .svg, was 'x.jpg'"),
    ],
)
def test_explain_refuses_in_one_sentence(
    signal: str, more: list[str], message: str, csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    well(backtest("run", BREAKOUT, "-c", csv, "-p", "lookback=10", "--out", tmp_path / "out"))
    done = backtest("explain", tmp_path / "out", signal, *more)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"error: {message}")
    assert not (tmp_path / "x.jpg").exists()


def test_the_help_names_every_command() -> None:
    out = well(backtest("--help"))
    for verb in ("demo", "run", "calls", "emit", "venue", "replay", "explain", "fetch", "data"):
        assert re.search(rf"^  {verb} ", out, re.MULTILINE)
        assert f"backtest {verb}" in well(backtest(verb, "--help"))


def test_prices_without_a_tick_are_not_rounded_and_the_result_says_so(csv: Path) -> None:
    out = " ".join(well(backtest("run", BREAKOUT, "--candles", csv)).split())
    assert "No tick was given for BTC/USDT" in out
    assert "no tick" not in " ".join(well(backtest("run", BREAKOUT, "--candles", csv, "--tick", "0.01")).split())


def test_gaps_are_told(tmp_path: Path) -> None:
    holed = days().drop(index=range(100, 110))
    out = " ".join(well(backtest("run", BREAKOUT, "--candles", write(holed, tmp_path / "BTC_USDT-1d.csv"))).split())
    assert "Candles are missing between the first and the last: 10 of BTC/USDT" in out


def test_a_plan_states_how_many_calls_it_may_send(csv: Path, tmp_path: Path) -> None:
    managed = ROOT / "strategies" / "managed_breakout.py"
    out = well(backtest("run", managed, "--candles", csv, "-p", "lookback=10", "--out", tmp_path / "out"))
    assert "The plan sends at most 3 calls after a create." in out
    assert "The plan sends at most 3 calls after a create." in (tmp_path / "out" / "report.html").read_text("utf-8")
    calls = [json.loads(line) for line in (tmp_path / "out" / "calls.jsonl").read_text("utf-8").splitlines()]
    later = pd.Series([call["ref"] for call in calls if call["method"] != "POST"]).value_counts()
    assert 1 <= later.max() <= 3
    assert "The plan" not in well(backtest("run", BREAKOUT, "--candles", csv))
