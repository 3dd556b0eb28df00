"""What ``backtest`` says of itself, the template of ``backtest new``, and the options of ``backtest run`` that a file may hold."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from backtest import Result
from tests.command_line import BREAKOUT, backtest

DAYS = "sample:BTC/USD:1d"


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BACKTEST_CHECKS", "off")
    return tmp_path


def test_the_version_is_said() -> None:
    done = backtest("--version")
    assert (done.status, done.out) == (0, f"signal-backtest {version('signal-backtest')}\n")


def test_a_new_strategy_runs_as_it_is_and_passes_its_checks(in_a_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = backtest("new", "my_strategy.py")
    assert made.status == 0, made.err
    assert "class MyStrategy(Strategy):" in (in_a_folder / "my_strategy.py").read_text("utf-8")
    command = made.out.splitlines()[-1].split()
    assert command[:3] == ["backtest", "run", "my_strategy.py"]
    done = backtest(*command[1:-2])  # without the folder that it names
    assert done.status == 0, done.err
    assert "Trades closed" in done.out
    assert "Only" not in done.out  # no word on too few trades
    monkeypatch.delenv("BACKTEST_CHECKS")
    checked = backtest("check", "my_strategy.py", "--candles", DAYS)
    assert checked.status == 0, checked.out + checked.err


def test_the_part_that_is_commented_out_runs_too(in_a_folder: Path) -> None:
    backtest("new", "mine.py")
    file = in_a_folder / "mine.py"
    head, mark, tail = file.read_text("utf-8").partition("    # def on_event")
    body = "\n".join(line.replace("# ", "", 1) if line.strip() != "#" else "" for line in (mark + tail).splitlines())
    file.write_text(head + body + "\n", "utf-8")
    done = backtest("calls", "mine.py", "--candles", "sample:BTC/USD:1h", "--last", 30)
    assert done.status == 0, done.err
    assert "/updateprice" in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["there.py"], "there.py is there already and is not written over"),
        (["mine.txt"], "a strategy is a Python file such as my_strategy.py, was 'mine.txt'"),
        (["1st.py"], "'1st' can be no name of a Python class"),
        (["strategy.py"], "Strategy is a name of backtest itself"),
        (["ok.py", "--class", "my class"], "'my class' can be no name of a Python class"),
    ],
)
def test_new_refuses_in_one_sentence(in_a_folder: Path, arguments: list[str], message: str) -> None:
    (in_a_folder / "there.py").write_text("mine", "utf-8")
    done = backtest("new", *arguments)
    assert (done.status, message in done.err) == (2, True), done.err
    assert (in_a_folder / "there.py").read_text("utf-8") == "mine"
    assert not (in_a_folder / "ok.py").exists()


def test_a_disk_that_refuses_is_status_three() -> None:
    assert backtest("new", "no/such/folder/mine.py").status == 3


def test_balance_and_fee_go_before_the_profile() -> None:
    done = backtest("run", BREAKOUT, "-c", DAYS, "--balance", 500, "--fee", "0.05%", "--out", "out/x")
    assert done.status == 0, done.err
    profile = Result.load("out/x").profile
    assert (profile.balance, profile.maker_fee, profile.taker_fee) == pytest.approx((500.0, 0.0005, 0.0005))
    assert backtest("run", BREAKOUT, "-c", DAYS, "--fee", "0.0005").status == 0


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--fee", "0.1", "--fee 0.1 would be 10 % of each fill: write 0.1%, or a fraction"),
        ("--fee", "-1%", "--fee is a percent such as 0.1% or a fraction such as 0.001, was '-1%'"),
        ("--fee", "nan", "--fee is a percent"),
        ("--fee", "cheap", "--fee is a percent"),
        ("--balance", "0", "profile balance"),
        ("--balance", "nan", "profile balance"),
    ],
)
def test_a_bad_balance_or_fee_is_one_sentence(option: str, value: str, message: str) -> None:
    done = backtest("run", BREAKOUT, "-c", DAYS, f"{option}={value}")
    assert done.status == 2
    assert message in done.err


CONFIG = """
strategy = "breakout.py"
candles = ["sample:BTC/USD:1d"]
since = "2016-01-01"
intrabar = "candle"
strict = true
out = "out/breakout"
fee = "0.2%"

[parameters]
lookback = 24
risk = 3

[profile]
balance = 5_000
target_shares = [25, 75]
"""


@pytest.fixture
def configured(in_a_folder: Path) -> Path:
    """A folder below this one with a config and the strategy that it names."""
    folder = in_a_folder / "deep"
    folder.mkdir()
    (folder / "breakout.py").write_text(Path(BREAKOUT).read_text("utf-8"), "utf-8")
    (folder / "run.toml").write_text(CONFIG, "utf-8")
    return folder


def test_a_file_holds_the_options(configured: Path) -> None:
    done = backtest("run", "--config", configured / "run.toml")
    assert done.status == 0, done.err
    result = Result.load(configured / "out" / "breakout")
    manifest = result.tables.manifest
    assert manifest["strategy"]["parameters"] | {"lookback": 24, "risk": 3.0} == manifest["strategy"]["parameters"]
    profile = result.profile
    assert (profile.balance, profile.target_shares, profile.intrabar, profile.taker_fee) == (
        5_000,
        (25.0, 75.0),
        "candle",
        0.002,
    )
    assert manifest["candles"]["BTC/USD"]["first"] == 1_451_606_400_000


def test_what_is_said_goes_before_the_file(configured: Path) -> None:
    arguments = [
        "--param",
        "lookback=48",
        "--balance",
        77,
        "--fee",
        "0.1%",
        "--out",
        "out/here",
        "--intrabar",
        "optimistic",
    ]
    done = backtest("run", "--config", configured / "run.toml", *arguments)
    assert done.status == 0, done.err
    result = Result.load("out/here")
    parameters = result.tables.manifest["strategy"]["parameters"]
    assert (parameters["lookback"], parameters["risk"]) == (48, 3.0)
    assert (result.profile.balance, result.profile.taker_fee, result.profile.intrabar) == (77.0, 0.001, "optimistic")


def test_a_profile_that_is_named_goes_before_the_file_s(configured: Path) -> None:
    (configured / "me.json").write_text(json.dumps({"balance": 321}), "utf-8")
    done = backtest("run", "--config", configured / "run.toml", "--profile", configured / "me.json")
    assert done.status == 0, done.err
    assert "321.00" in done.out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("candels = []", "config run.toml has no key 'candels'; it knows balance, candles, "),
        ("candles = 'sample:BTC/USD:1d'", "candles is a list of texts"),
        ("strict = 1", "strict is true or false, was 1"),
        ("balance = true", "balance is a number, was True"),
        ("lane = 3", "lane is a text, was 3"),
        ("parameters = 3", "parameters is a table, [parameters], was 3"),
        ("a = ", "config run.toml is no TOML"),
        ("[profile]\nfees = 3", "profile has no field 'fees'"),
        ("[parameters]\nlookbak = 3", "Breakout has no parameter 'lookbak'"),
    ],
)
def test_a_bad_file_is_one_sentence(in_a_folder: Path, text: str, message: str) -> None:
    (in_a_folder / "run.toml").write_text(text, "utf-8")
    done = backtest("run", BREAKOUT, "-c", DAYS, "--config", "run.toml")
    assert done.status == 2
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_file_that_is_not_there() -> None:
    done = backtest("run", BREAKOUT, "-c", DAYS, "--config", "none.toml")
    assert (done.status, "config none.toml cannot be read: No such file" in done.err) == (2, True)


def test_without_a_file_strategy_and_candles_are_asked_for() -> None:
    assert backtest("run").status == 2
    assert backtest("run", BREAKOUT).status == 2


def test_a_saved_run_is_taken_apart(in_a_folder: Path) -> None:
    backtest("run", BREAKOUT, "-c", DAYS, "--out", "out/run")
    done = backtest("breakdowns", "out/run", "--only", "by_exit", "--only", "costs", "--out", "out/tables")
    assert done.status == 0, done.err
    assert "By exit" in done.out
    assert "At other costs" in done.out
    assert "Months" not in done.out
    assert (in_a_folder / "out" / "tables" / "by_exit.csv").read_text("utf-8").startswith("exit,trades,share")
    whole = backtest("breakdowns", "out/run")
    assert all(words in whole.out for words in ("Months", "Worst drawdowns", "MAE, MFE and R", "A candle late"))
    assert "nan" not in whole.out.lower()
    assert backtest("breakdowns", "out/run", "--only", "by_exits").status == 2


def test_the_page_of_a_saved_run_is_written_anew(in_a_folder: Path) -> None:
    backtest("run", BREAKOUT, "-c", DAYS, "--out", "out/run")
    first = (in_a_folder / "out" / "run" / "report.html").read_bytes()
    done = backtest("report", "out/run", "--out", "again.html")
    assert (done.status, done.out) == (0, "report  again.html\n")
    assert (in_a_folder / "again.html").read_bytes() == first
    assert b"Breakdowns" in first
    assert b"Marketplace and subscribers" in first
    assert backtest("report", "nowhere").status == 2
