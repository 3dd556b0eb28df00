"""What cannot be used: one sentence with the value, the rule and the way out, and nothing half-written."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from backtest import Result
from tests.command_line import BREAKOUT, ROOT, Done, backtest, days, in_process_of_its_own, strategy_file, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Frame = pd.DataFrame


def refused(done: Done, *parts: str, status: int = 2) -> None:
    """Check that a command ended in one sentence, which holds these parts."""
    assert done.status == status, done
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1, done.err
    for part in parts:
        assert part in done.err, done.err


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results" / "out"


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    file = tmp_path / "BTC_USDT-1d.csv"
    days().to_csv(file, index=False)
    return file


def with_value(column: str, value: float | str) -> Callable[[Frame], Frame]:
    def change(frame: Frame) -> Frame:
        changed = frame.astype({column: object}) if isinstance(value, str) else frame
        changed.loc[5, column] = value
        return changed

    return change


CANDLES: dict[str, tuple[Callable[[Frame], Frame], tuple[str, ...]]] = {
    "a column is missing": (
        lambda frame: frame.drop(columns="close"),
        ("no column 'close'", "open, high, low, close, volume", "found were: time, open, high, low, volume"),
    ),
    "there is no time": (lambda frame: frame.drop(columns="time"), ("time", "found were: open")),
    "a time comes twice": (
        lambda frame: pd.concat([frame, frame.tail(1)]),
        ("line 302", "has the time of the row before", "drop duplicates"),
    ),
    "the times are shuffled": (
        lambda frame: frame.sample(frac=1.0, random_state=4),
        ("is older than the row before", "ascending times", "sort them"),
    ),
    "a price is no number at all": (with_value("high", "abc"), ("line 7: column high holds 'abc'",)),
    "a price is NaN": (with_value("high", np.nan), ("line 7 (2017-01-06", "high nan", "repair or drop that row")),
    "a price is negative": (with_value("low", -1.0), ("line 7 (2017-01-06", "low -1.0", "0 < low")),
    "a price is zero": (with_value("low", 0.0), ("line 7", "low 0.0", "0 < low")),
    "a price is infinite": (with_value("high", np.inf), ("line 7", "high inf", "finite")),
    "a volume is negative": (with_value("volume", -3.0), ("line 7", "volume -3.0", "volume >= 0")),
    "the high lies under the low": (with_value("high", 1.0), ("line 7", "high 1.0", "low <= open, close <= high")),
    "there is no row": (lambda frame: frame.head(0), ("0 row",)),
}


@pytest.mark.parametrize("command", ["run", "calls"])
@pytest.mark.parametrize("case", CANDLES, ids=lambda name: name.replace(" ", "-"))
def test_candles_that_are_none(case: str, command: str, tmp_path: Path, out: Path) -> None:
    change, parts = CANDLES[case]
    file = tmp_path / "BTC_USDT-1d.csv"
    change(days()).to_csv(file, index=False)
    saved = ["--out", out] if command == "run" else []
    refused(backtest(command, BREAKOUT, "--candles", file, *saved), *parts)
    assert not out.parent.exists()


@pytest.mark.parametrize(
    ("source", "status", "parts"),
    [
        ("BTC_USDT-1.csv", 2, ("BTC_USDT-1.csv", "no such file", 'Did you mean "BTC_USDT-1d.csv"?')),
        ("nothing/here.parquet", 2, ("nothing/here.parquet", "no such file")),
        ("BTC_USDT-1d.xlsx", 2, (".csv, .parquet, .feather", "BTC_USDT-1d.xlsx")),
        ("sample:BTC/USD:2h", 2, ("'2h'", "1h, 1d", 'Did you mean "1h"?')),
        ("sample:BTC/EUR:1h", 2, ("'BTC/EUR'", 'Did you mean "BTC/USD"?')),
        ("sample:BTC", 2, ("sample:BTC/USD:1h", "'sample:BTC'")),
        ("store:binance:BTC", 2, ("store:binance:BTC/USDT:1h", "'store:binance:BTC'")),
        ("store:binance:BTC/USDT:1h", 3, ("backtest fetch BTC/USDT --exchange binance --timeframe 1h",)),
    ],
)
def test_candles_that_are_not_there(
    source: str, status: int, parts: tuple[str, ...], csv: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(csv.parent)
    refused(backtest("run", BREAKOUT, "--candles", source, "--out", out), *parts, status=status)
    assert not out.parent.exists()


def test_two_files_of_one_symbol(csv: Path, out: Path) -> None:
    done = backtest("run", BREAKOUT, "--candles", csv, "--candles", csv, "--out", out)
    refused(done, "another symbol", "BTC/USDT, BTC/USDT", "--detail")


def test_a_file_that_does_not_say_its_symbol(csv: Path) -> None:
    renamed = csv.rename(csv.with_name("prices.csv"))
    refused(backtest("run", BREAKOUT, "--candles", renamed), "which symbol", "BTC/USDT")
    assert backtest("run", BREAKOUT, "--candles", renamed, "--symbol", "BTC/USDT").status == 0


@pytest.mark.parametrize("kind", ["csv", "parquet", "feather"])
def test_strictly_descending_rows_are_turned_round(kind: str, tmp_path: Path) -> None:
    ways = {"up": days(), "down": days().iloc[::-1].reset_index(drop=True)}
    printed = set()
    for way, frame in ways.items():
        file = tmp_path / way / f"BTC_USDT-1d.{kind}"
        write(frame, file)
        done = backtest("run", BREAKOUT, "--candles", file, "--tick", "0.01")
        assert done.status == 0, done.err
        printed.add(done.out)
    assert len(printed) == 1


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([str(ROOT / "strategies" / "brekout.py")], ("brekout.py", "breakout.py")),
        ([str(ROOT / "strategies")], ("a Python file such as strategies/breakout.py",)),
        ([f"{BREAKOUT}:Brekout"], ("no strategy 'Brekout'", "it defines Breakout", 'Did you mean "Breakout"?')),
        ([BREAKOUT, "--param", "lokback=72"], ("no parameter 'lokback'", 'Did you mean "lookback"?')),
        ([BREAKOUT, "--param", "lookback=1"], ("lookback of Breakout was 1", "greater than or equal to 2")),
        ([BREAKOUT, "--param", "lookback=many"], ("lookback of Breakout was 'many'", "valid integer")),
        ([BREAKOUT, "--param", "invest=101"], ("invest of Breakout was 101", "less than or equal to 100")),
        ([BREAKOUT, "--param", "risk=NaN"], ("risk of Breakout was nan",)),
        ([BREAKOUT, "--param", "lookback"], ("name=value", "'lookback'")),
        ([BREAKOUT, "--param", "risk=1", "--param", "risk=2"], ("'risk' was given twice",)),
        ([BREAKOUT, "--tick", "abc"], ("'abc'", '"0.01"')),
        ([BREAKOUT, "--profile", "any"], ("'any'", "anny and exchange", 'Did you mean "anny"?')),
    ],
)
@pytest.mark.parametrize("command", ["run", "calls"])
def test_a_strategy_or_parameter_that_is_none(
    arguments: list[str], parts: tuple[str, ...], command: str, csv: Path
) -> None:
    refused(backtest(command, *arguments, "--candles", csv), *parts)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--lane", "tabel"], ("'tabel'", "table and candle")),
        (["--intrabar", "best"], ("intrabar was 'best'", "'pessimistic', 'candle' or 'optimistic'")),
        (["--detail", "sample:ETH/USD:1d"], ("ETH/USD", "there are no candles")),
        (["--timeframe", "7x"], ("'7x'", "1m, 3m, 5m")),
        (["--symbol", "BTC"], ("'BTC'", "BTC/USDT")),
        (["--columns", "open"], ("time=Date,open=First", "'open'")),
        (["--columns", "opne=Open"], ("'opne'", 'Did you mean "open"?')),
        (["--decimal", "x"], ("decimal", "'x'")),
        (["--dates", "ymd"], ("dmy", "'ymd'")),
        (["--since", "2031-01-01"], ("no candle from 2031-01-01", "2017-01-01 to 2017-10-27")),
    ],
)
def test_an_option_that_is_none(arguments: list[str], parts: tuple[str, ...], csv: Path, out: Path) -> None:
    refused(backtest("run", BREAKOUT, "--candles", csv, *arguments, "--out", out), *parts)
    assert not out.parent.exists()


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("print('no strategy here')", ("defines no subclass of backtest.Strategy",)),
        ("def (:", ("fails when it is loaded", "SyntaxError")),
        ("import no_such_module", ("fails when it is loaded", "no_such_module")),
        ("raise SystemExit(0)", ("fails when it is loaded", "SystemExit")),
        ("from backtest import Strategy\nclass A(Strategy): ...\nclass B(Strategy): ...", ("A, B", "mine.py:A")),
        ("from backtest import Strategy\nclass A(Strategy): ...", ("neither on_candle nor signals",)),
    ],
)
@pytest.mark.parametrize("command", ["run", "calls"])
def test_a_file_without_a_strategy(content: str, parts: tuple[str, ...], command: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(content, "utf-8")
    done = backtest(command, file, "--candles", "sample:BTC/USD:1d")
    refused(Done(done.status, "", done.err), *parts)  # what the file itself prints is its own affair


CREATE = "if now.signals:\n    return\nc = now.close\nyield now.create({})"
DECISIONS = {
    "the version is none": (
        "entry=c, targets=[2 * c], stop_loss=0.9 * c, invest=10, version=3",
        ("version is 2 or 1, was 3",),
    ),
    "the description is no text": (
        "entry=c, targets=[2 * c], stop_loss=0.9 * c, invest=10, description=5",
        ("attachment_description is text, was 5",),
    ),
    "invest is a word": (
        "entry=c, targets=[2 * c], stop_loss=0.9 * c, invest='much'",
        ("invest is a finite number", "'much'"),
    ),
    "leverage is a word": (
        "entry=c, targets=[2 * c], stop_loss=0.9 * c, invest=10, leverage='5x'",
        ("leverage is a finite number", "'5x'"),
    ),
    "targets is one price": ("entry=c, targets=c, stop_loss=0.9 * c, invest=10", ("targets is a list of prices",)),
    "the entry is a word": (
        "entry='market', targets=[2 * c], invest=10",
        ("entry is a price, (low, high)", "'market'"),
    ),
    "there is no target": ("entry=c, targets=(), stop_loss=0.9 * c, invest=10", ("exit_price_1 is missing",)),
    "there are too many targets": (
        "entry=c, targets=tuple(c * (1.1 + k / 10) for k in range(6)), stop_loss=0.9 * c, invest=10",
        ("exit_price_6 does not exist in version 2", "version=1 has six"),
    ),
    "the shares do not sum": (
        "entry={c: 50, 0.99 * c: 40}, targets=(1.2 * c,), stop_loss=0.9 * c, invest=10",
        ("at the close of 2017-01-02", "sum to 100", "was 90"),
    ),
    "an entry is NaN": (
        "entry=float('nan'), targets=(1.2 * c,), stop_loss=0.9 * c, invest=10",
        ("entry_price_max is a finite number above 0, was nan",),
    ),
    "nothing is invested": (
        "entry=c, targets=(1.2 * c,), stop_loss=0.9 * c, invest=0",
        ("invest", "was 0"),
    ),
}
OUT_OF_ORDER = {
    "the stop lies on the wrong side": (
        "entry=c, targets=(1.1 * c,), stop_loss=1.05 * c, invest=10",
        ("stop_loss of a long lies below", "was "),
    ),
    "the stop of a short lies on the wrong side": (
        "entry=c, targets=(0.9 * c,), stop_loss=0.95 * c, invest=10, side='short'",
        ("stop_loss of a short lies above"),
    ),
    "the targets are in the wrong order": (
        "entry=c, targets=(1.2 * c, 1.1 * c), stop_loss=0.9 * c, invest=10",
        ("exit_price_2 of a long lies above exit_price_1"),
    ),
    "the first target lies under the entry": (
        "entry=c, targets=(0.99 * c,), stop_loss=0.9 * c, invest=10",
        ("exit_price_1 of a long lies above the near entry bound",),
    ),
    "the bounds are swapped": (
        "entry=(c, 0.99 * c), targets=(1.2 * c,), stop_loss=0.9 * c, invest=10",
        ("entry_price_min may not exceed entry_price_max",),
    ),
}


@pytest.mark.parametrize("command", ["run", "calls"])
@pytest.mark.parametrize("case", DECISIONS, ids=lambda name: name.replace(" ", "-"))
def test_a_signal_that_no_venue_would_accept(case: str, command: str, csv: Path, out: Path) -> None:
    fields, parts = DECISIONS[case]
    file = strategy_file(csv.parent, CREATE.format(fields))
    saved = ["--out", out] if command == "run" else []
    refused(backtest(command, file, "--candles", csv, *saved), *parts)
    assert not out.parent.exists()


@pytest.mark.parametrize("case", OUT_OF_ORDER, ids=lambda name: name.replace(" ", "-"))
def test_prices_out_of_order_are_refused_alone_and_the_run_goes_on(case: str, csv: Path, out: Path) -> None:
    fields, parts = OUT_OF_ORDER[case]
    file = strategy_file(csv.parent, CREATE.format(fields))
    done = backtest("run", file, "--candles", csv, "--out", out)
    assert (done.status, done.err) == (0, "")
    said = " ".join(done.out.split())
    assert "calls were refused at the desk and never sent; the first, about BTC/USDT-" in said
    for part in parts:
        assert part in said
    result = Result.load(out)
    assert len(result.calls) == 0
    acted = 299  # the refusal of the last close finds no candle
    assert result.stats["calls_refused_by_desk"] == result.stats["signals_refused"] == acted
    told = backtest("calls", file, "--candles", csv)
    assert (told.status, told.out) == (0, "")


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        ("yield now.create(entry=1 / 0, targets=(1.0,), invest=10)", ("mine.py line 6", "division by zero")),
        ("return ['buy']", ("Mine returned 'buy'", "now.create(...)")),
        ("return [now['art']]", ("no indicator 'art'",)),
        ("return [now.previous('close', -1)]", ("at least 0 candles, was -1",)),
        ("return [now.creat(entry=1)]", ("mine.py line 6", "creat")),
    ],
)
@pytest.mark.parametrize("command", ["run", "calls"])
def test_a_mistake_in_a_strategy_is_told_with_its_line(
    body: str, parts: tuple[str, ...], command: str, csv: Path
) -> None:
    refused(backtest(command, strategy_file(csv.parent, body), "--candles", csv), *parts)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('{"balanec": 5}', ("no field 'balanec'", 'Did you mean "balance"?')),
        ('{"balance": -5}', ("balance was -5", "greater than 0")),
        ('{"target_shares": [60, 60]}', ("was [60, 60]: target_shares sum to 120", "100")),
        ('{"take_profit_at": "four"}', ("'four'", '"4%"')),
        ('{"slippage": NaN}', ("slippage was nan",)),
        ("[1]", ("JSON object", "list")),
        ('{"a"', ("no JSON", "line 1")),
    ],
)
def test_a_profile_that_is_none(text: str, parts: tuple[str, ...], csv: Path, out: Path) -> None:
    profile = csv.with_name("profile.json")
    profile.write_text(text, "utf-8")
    refused(backtest("run", BREAKOUT, "--candles", csv, "--profile", profile, "--out", out), *parts)
    assert not out.parent.exists()


def test_a_profile_that_is_not_there(csv: Path) -> None:
    refused(backtest("run", BREAKOUT, "--candles", csv, "--profile", "mine.json"), "there is no profile file mine.json")


ELSEWHERE = {
    "coin": "ETH",
    "trade_market": "USDT",
    "exchange": "BINANCE",
    "invest": 10,
    "entry_price_max": "98",
    "exit_price_1": "105",
}


def scenario(folder: Path, **changes: object) -> Path:
    file = folder / "one.json"
    values = json.loads((ROOT / "tests" / "scenarios" / "g03-entry-and-target-by-the-close.json").read_text("utf-8"))
    file.write_text(json.dumps(values | changes), "utf-8")
    return file


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"cals": []}, ("no field 'cals'", 'Did you mean "calls"?')),
        ({"profile": {"balanec": 1}}, ("balanec", 'Did you mean "balance"?')),
        ({"candles": {"timeframe": "1h", "rows": [[0, 1, 2]]}}, ("candles row 0", "[time in ms, open")),
        ({"calls": [{"at": 0, "ref": "a", "call": "buy", "body": {}}]}, ("call 1", "create_v2")),
        ({"calls": [{"at": 0, "ref": "a", "call": "cancel", "body": {}}]}, ("call 1", "'a' is never created")),
        ({"calls": [{"at": 0, "ref": "a", "call": "create_v2", "body": ELSEWHERE}]}, ("call 1 (create a)", "ETH/USDT")),
        ({"funding": [1, 2]}, ("is a list of [time in ms, rate], was [1, 2]",)),
        ({"funding": [[1, "x"]]}, ("is a list of [time in ms, rate], was [[1, 'x']]",)),
    ],
)
def test_a_scenario_that_breaks_a_rule(changes: dict[str, object], parts: tuple[str, ...], tmp_path: Path) -> None:
    refused(backtest("replay", scenario(tmp_path, **changes), "--json"), *parts)


def test_a_scenario_that_is_not_there(tmp_path: Path) -> None:
    refused(backtest("replay", tmp_path / "none.json"), "none.json")
    broken = tmp_path / "broken.json"
    broken.write_text("{", "utf-8")
    refused(backtest("replay", broken), "broken.json", "no JSON")


def test_a_call_log_of_another_market_or_without_candles(tmp_path: Path) -> None:
    log = tmp_path / "channel.csv"
    log.write_text(
        "at,ref,call,coin,trade_market,exchange,invest,entry_price_max,exit_price_1\n\n"
        "2018-01-05,a,create_v2,ETH,USDT,BINANCE,10,1000,1100\n",
        "utf-8",
    )
    done = backtest("replay", log, "--candles", "sample:BTC/USD:1d")
    refused(done, "channel.csv line 3 (create a)", "coin and trade_market were ETH/USDT", "those of BTC/USDT")
    refused(backtest("replay", log), "channel.csv is a call log and needs its candles", "--candles FILE")


PLANS = [
    ('{"parts": [{"kind": "break_even"}]}', ("plan.parts.0", "'break_even_at'")),
    ('{"parts": [{"kind": "time_stop"}]}', ("a time stop has either candles or milliseconds",)),
    (
        '{"parts": [{"kind": "dca_ladder", "levels": 3, "step_percent": 40}]}',
        ("the last DCA would lie 120 % below the entry",),
    ),
    (
        '{"parts": [{"kind": "time_stop", "candles": 2}, {"kind": "time_stop", "candles": 3}]}',
        ("one part of each kind, had two of time_stop",),
    ),
    ('{"parts": [{"kind": "break_even_at", "targt": 1}]}', ("targt",)),
]


@pytest.mark.parametrize(("plan", "parts"), PLANS, ids=[parts[0] for _, parts in PLANS])
def test_a_plan_that_is_none(plan: str, parts: tuple[str, ...], csv: Path) -> None:
    managed = ROOT / "strategies" / "managed_breakout.py"
    done = backtest("run", managed, "--candles", csv, "--param", f"plan={plan}")
    refused(done, "parameter plan.parts", "of ManagedBreakout", *parts)
    assert "Value error" not in done.err


def test_a_folder_that_holds_something_else_is_left_alone(csv: Path) -> None:
    foreign = csv.parent / "foreign"
    foreign.mkdir()
    (foreign / "diary.txt").write_text("mine", "utf-8")
    for target in (foreign, foreign / "diary.txt"):
        done = backtest("run", BREAKOUT, "--candles", csv, "--out", target)
        refused(done, str(target), "holds no result", "choose a new folder")
    assert [path.name for path in foreign.iterdir()] == ["diary.txt"]
    refused(backtest("explain", foreign, "1"), "holds no result")


@pytest.mark.parametrize("before", [False, True], ids=["new", "over-an-earlier-result"])
def test_a_disk_that_fails_leaves_nothing_half_written(before: bool, csv: Path) -> None:
    """The kernel itself refuses: no file of the process may exceed 8 KiB."""
    target = csv.parent / "results" / "out"
    command = ["run", BREAKOUT, "--candles", str(csv), "--out", str(target)]
    if before:
        assert backtest(*command, "--param", "lookback=20").status == 0
    old = {path.name: path.read_bytes() for path in target.rglob("*")}
    limited = (
        "import resource, sys\n"
        "from backtest.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
        "sys.argv = ['backtest', *sys.argv[1:]]\n"
        "main()"
    )
    done = in_process_of_its_own(*command, prefix=("-c", limited))
    refused(done, "could not be written", str(target), status=3)
    assert {path.name: path.read_bytes() for path in target.rglob("*")} == old
    assert [path.name for path in target.parent.iterdir()] == (["out"] if before else [])


def test_a_library_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "uvicorn", None)  # what Python itself takes for: there is no such module
    monkeypatch.delitem(sys.modules, "backtest.venue.serving", raising=False)
    done = backtest("venue", "--port", "0")
    refused(done, 'this command needs uvicorn: pip install "signal-backtest[live]"')


def test_no_traceback_from_the_shell(tmp_path: Path) -> None:
    done = in_process_of_its_own("run", BREAKOUT, "--candles", "none.csv", cwd=tmp_path)
    refused(done, "none.csv", "no such file")
    assert list(tmp_path.iterdir()) == []


def test_wrong_usage_shows_the_way_to_the_help() -> None:
    done = backtest("run")
    assert done.status == 2
    assert "backtest run --help" in done.err
    assert re.search(r"No such command 'rnu'", backtest("rnu").err)
