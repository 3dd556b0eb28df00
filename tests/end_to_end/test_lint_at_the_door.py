"""Lint as a provider meets it: `run` and `emit` show each finding, and what no venue could take is refused alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.command_line import backtest, days, strategy_file, write

if TYPE_CHECKING:
    from pathlib import Path

DECISION = """if len(now.candles) != 5:
    return
from backtest import Dca, Rebuy, TakeProfit, TrailingStop
c = now.close
yield (signal := now.create({}))
{}"""

FINDINGS = {
    "the stop lies beyond the liquidation": (
        "entry=c, targets=(1.2 * c,), stop_loss=0.8 * c, invest=10, account='FUTURES', leverage=10, ttl='2d'",
        "",
        "warn",
        "stop_beyond_liquidation",
        "stop_loss 795.21 lies beyond the liquidation at 899.5881",
    ),
    "DCA and create invest more than there is": (
        "entry=c, targets=(1.2 * c,), stop_loss=0.5 * c, invest=50, ttl='2d'",
        "yield Dca(signal.ref, 0.9 * c, 1.5)",
        "warn",
        "capital_over_100",
        "invest comes to 125 % of the portfolio",
    ),
    "rebuy and create invest more than there is": (
        "entry=c, targets=(1.2 * c,), stop_loss=0.5 * c, invest=60, ttl='2d'",
        "yield Rebuy(signal.ref, 0.88 * c, 0.9 * c, 50)",
        "warn",
        "capital_over_100",
        "invest comes to 110 % of the portfolio",
    ),
    "the target lies inside fees and slippage": (
        "entry=c, targets=(1.001 * c,), stop_loss=0.9 * c, invest=10, ttl='2d'",
        "",
        "warn",
        "target_inside_costs",
        "exit_price_1 995.02 lies inside fees and slippage",
    ),
    "the time to live is shorter than a candle": (
        "entry=c, targets=(1.1 * c,), stop_loss=0.9 * c, invest=10, ttl='1h'",
        "",
        "warn",
        "ttl_short",
        "ttl_buy_order 3600000 ms is shorter than a candle of 1d",
    ),
    "the trail is tighter than twice the median range": (
        "entry=c, targets=(1.1 * c,), stop_loss=0.9 * c, invest=10, ttl='2d'",
        "yield TrailingStop(signal.ref, 0.99 * c, 0.985 * c)",
        "warn",
        "trail_tight",
        "less than twice the median candle range of 3.55%",
    ),
    "there is no stop": (
        "entry=c, targets=(1.1 * c,), invest=10, ttl='2d'",
        "",
        "warn",
        "no_stop",
        "stop_loss is missing, so nothing ends a loss",
    ),
}
FINDINGS["it may wait for ever"] = (
    "entry=c, targets=(1.1 * c,), stop_loss=0.9 * c, invest=10",
    "",
    "warn",
    "ttl_missing",
    "ttl_buy_order is missing: where nobody can buy it waits for ever",
)
FINDINGS["a stop is sent twice"] = (
    "entry=c, targets=(1.1 * c,), stop_loss=0.9 * c, invest=10, ttl='2d'",
    "from backtest import UpdatePrices; yield UpdatePrices(signal.ref, stop_loss=0.9 * c)",
    "warn",
    "repeats",
    "an update that changes nothing, once",
)
IMPOSSIBLE = {
    "the stop lies on the wrong side": (
        "entry=c, targets=(1.2 * c,), stop_loss=1.1 * c, invest=10, ttl='2d'",
        "yield Dca(signal.ref, 0.9 * c, 1.5)",
        "stop_loss of a long lies below its far entry bound 994.02, was 1093.42",
        0,
    ),
    "the DCA meets the stop on the tick": (
        "entry=c, targets=(1.2 * c,), stop_loss=0.95 * c, invest=10, ttl='2d'",
        "yield Dca(signal.ref, 0.95 * c + 0.0005, 1.5)",
        "buy_price lies above the stop 944.31 of its long, before which it could not be reached, was 944.31, after rounding to the tick 0.01",
        1,
    ),
}
INVALID = {
    "a partial take profit comes without its trailing pair": (
        "entry=c, targets=(1.1 * c,), stop_loss=0.9 * c, invest=10, ttl='2d'",
        "yield TakeProfit(signal.ref, 'limit', 50, 1.05 * c)",
        "trailing_stop_price and trailing_stop_limit_price are required when sell_amount_relative is below 100, was 50",
    ),
}


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return write(days(60), tmp_path / "BTC_USDT-1d.csv")


@pytest.mark.parametrize("case", FINDINGS, ids=lambda name: name.replace(" ", "-"))
def test_run_shows_what_is_hardly_meant(case: str, csv: Path) -> None:
    create, later, severity, code, sentence = FINDINGS[case]
    file = strategy_file(csv.parent, DECISION.format(create, later))
    done = backtest("run", file, "--candles", csv, "--tick", "0.01")
    assert (done.status, done.err) == (0, "")
    out = " ".join(done.out.split())
    assert f"Warning: Lint ({severity}, {code}): 1 signal BTC/USDT-1483660800000-0: " in out
    assert sentence in out


@pytest.mark.parametrize("case", FINDINGS, ids=lambda name: name.replace(" ", "-"))
def test_emit_warns_before_it_sends(case: str, csv: Path) -> None:
    create, later, _, code, sentence = FINDINGS[case]
    file, journal = strategy_file(csv.parent, DECISION.format(create, later)), csv.with_name("journal.sqlite")
    done = backtest("emit", file, "--paper", "--candles", csv, "--tick", "0.01", "--journal", journal)
    assert sentence in done.err
    assert done.err.count("\n") == 1
    assert done.status == 0
    assert done.err.startswith("warning: ")
    assert code in done.err
    assert done.out.startswith("PARITY")


@pytest.mark.parametrize("case", IMPOSSIBLE, ids=lambda name: name.replace(" ", "-"))
def test_what_no_venue_could_take_is_refused_alone(case: str, csv: Path) -> None:
    create, later, sentence, sent = IMPOSSIBLE[case]
    file, journal = strategy_file(csv.parent, DECISION.format(create, later)), csv.with_name("journal.sqlite")
    done = backtest("run", file, "--candles", csv, "--tick", "0.01")
    assert (done.status, done.err) == (0, "")
    said = f"1 call was refused at the desk and never sent; the first, about BTC/USDT-1483660800000-0: {sentence}."
    assert said in " ".join(done.out.split())
    done = backtest("calls", file, "--candles", csv, "--tick", "0.01", "--json")
    assert (done.status, len(done.out.splitlines())) == (0, sent)
    done = backtest("emit", file, "--paper", "--candles", csv, "--tick", "0.01", "--journal", journal)
    assert done.status == 0
    assert done.out.startswith("PARITY")
    assert f"calls: {sent} of {sent}, equal byte for byte" in done.out


def test_strict_ends_the_run_at_the_first_such_call(csv: Path) -> None:
    create, later, sentence, _ = IMPOSSIBLE["the stop lies on the wrong side"]
    file = strategy_file(csv.parent, DECISION.format(create, later))
    done = backtest("run", file, "--candles", csv, "--tick", "0.01", "--strict")
    assert (done.status, done.out) == (2, "")
    assert done.err == f"error: Mine on BTC/USDT at the close of 2017-01-06T00:00:00.000Z: {sentence}\n"


def test_the_same_stop_at_every_close_is_told_with_its_count(csv: Path) -> None:
    body = """from backtest import UpdatePrices
for signal in now.signals:
    yield UpdatePrices(signal.ref, stop_loss=100.0)
if len(now.candles) == 5:
    c = now.close
    yield now.create(entry=c, targets=(9 * c,), stop_loss=0.2 * c, invest=10, ttl='2d')"""
    done = backtest("run", strategy_file(csv.parent, body), "--candles", csv, "--tick", "0.01")
    out = " ".join(done.out.split())
    assert "Lint (warn, repeats): 1 signal BTC/USDT-1483660800000-0: stop_loss is sent again as 100: " in out
    assert "an update that changes nothing, 54 times" in out


def test_leverage_on_spot_ends_the_command_with_the_way_out(csv: Path) -> None:
    create = "entry=c, targets=(1.2 * c,), stop_loss=0.9 * c, invest=10, leverage=5"
    done = backtest("run", strategy_file(csv.parent, DECISION.format(create, "")), "--candles", csv)
    assert (done.status, done.out) == (2, "")
    assert 'leverage needs account="FUTURES" or account="MARGIN"; on SPOT every signal is 1x' in done.err


@pytest.mark.parametrize("command", ["run", "emit"])
@pytest.mark.parametrize("case", INVALID, ids=lambda name: name.replace(" ", "-"))
def test_what_the_api_would_refuse_ends_the_command(
    case: str, command: str, csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(csv.parent)
    create, later, sentence = INVALID[case]
    file = strategy_file(csv.parent, DECISION.format(create, later))
    done = backtest(command, file, "--candles", csv, "--tick", "0.01")
    assert (done.status, done.out) == (2, "")
    assert done.err == f"error: Mine on BTC/USDT at the close of 2017-01-06T00:00:00.000Z: {sentence}\n"
