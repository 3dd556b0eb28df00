"""A channel's history with every kind of call, replayed over real candles, and explained signal by signal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from backtest import Result
from backtest.report.charts import signal_chart
from tests.command_line import BREAKOUT, backtest

if TYPE_CHECKING:
    from pathlib import Path

MARKET = {"call": "create_v2", "coin": "BTC", "trade_market": "USDT", "exchange": "BINANCE", "invest": 10}
HISTORY: list[dict[str, object]] = [
    {
        **MARKET,
        "at": "2018-01-05",
        "ref": "trailed",
        "entry_price_min": 16000,
        "entry_price_max": 17000,
        "exit_price_1": 19000,
        "stop_loss": 12000,
    },
    {
        "at": "2018-01-06",
        "ref": "trailed",
        "call": "trailingstop",
        "trailing_stop_price": 15500,
        "trailing_stop_limit_price": 15000,
    },
    {
        **MARKET,
        "at": "2018-02-06",
        "ref": "bought-more",
        "entry_price_max": 7800,
        "exit_price_1": 9500,
        "exit_price_2": 11000,
        "stop_loss": 5000,
    },
    {"at": "2018-02-06", "ref": "bought-more", "call": "dca", "buy_price": 6500, "multiplier": 1.5},
    {
        "at": "2018-02-08",
        "ref": "bought-more",
        "call": "takeprofit",
        "order_type": "limit",
        "sell_price": 8400,
        "sell_amount_relative": 50,
        "trailing_stop_price": 7000,
        "trailing_stop_limit_price": 6900,
    },
    {
        "at": "2018-02-12",
        "ref": "bought-more",
        "call": "rebuy",
        "invest": 5,
        "buy_price_min": 8000,
        "buy_price_max": 8200,
    },
    {
        **MARKET,
        "at": "2018-03-05",
        "ref": "late",
        "entry_price_max": 9000,
        "exit_price_1": 13000,
        "stop_loss": 8000,
        "ttl_buy_order": 86_400_000,
    },
    {
        **MARKET,
        "at": "2018-03-12",
        "ref": "taken-back",
        "entry_price_max": 9500,
        "exit_price_1": 13000,
        "stop_loss": 6000,
    },
    {"at": "2018-03-14", "ref": "taken-back", "call": "cancel"},
    {
        **MARKET,
        "at": "2018-04-01",
        "ref": "levered",
        "entry_price_max": 7100,
        "exit_price_1": 5000,
        "type": "short",
        "account": "FUTURES",
        "leverage": 10,
    },
    {**MARKET, "at": "2018-05-01", "ref": "too-large", "invest": 200, "entry_price_max": 9500, "exit_price_1": 13000},
    {
        **MARKET,
        "at": "2018-06-01",
        "ref": "too-late",
        "entry_price_min": 7900,
        "entry_price_max": 8000,
        "exit_price_1": 9000,
        "stop_loss": 7850,
    },
    {
        **MARKET,
        "at": "2018-06-05",
        "ref": "moved",
        "entry_price_max": 7700,
        "exit_price_1": 9000,
        "stop_loss": 5000,
    },
    {"at": "2018-06-06", "ref": "moved", "call": "updateprice", "stop_loss": 9000},
    {"at": "2018-06-07", "ref": "moved", "call": "takeprofit", "order_type": "market", "sell_amount_relative": 100},
]
COLUMNS = list(dict.fromkeys(column for row in HISTORY for column in row))
TOLD = {
    "trailed": ("-16.01 USD after costs", "L8.1: ", "L8.4: ", "trailing stop reached: sold 0.06237518 at 15791.18301"),
    "bought-more": ("L10.1: ", "DCA filled: bought", "L9.1: ", "L9.2: ", "L10.2: ", "bought again", "target 2 reached"),
    "late": ("never bought anything (expired)", "L4.4: "),
    "taken-back": ("DELETE /v1/signal/taken-back/cancel", "canceled: sold", "L12.1: "),
    "levered": ("short 7100 to 7774.5, -1,000.00 USD", "liquidated at 7774.5", "L13.1: "),
    "too-large": ("never bought anything (refused)", "the free balance does not carry it", "L5.3: "),
    "too-late": ("never bought anything (invalidated)", "L4.5: "),
    "moved": ("refused (WouldTriggerNow)", "L11.2: ", "take profit filled: sold"),
}


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The saved result, and what was printed."""
    folder = tmp_path_factory.mktemp("channel")
    log = folder / "channel.csv"
    rows = [",".join(str(row.get(column, "")) for column in COLUMNS) for row in HISTORY]
    log.write_text("\n".join([",".join(COLUMNS), *rows, ""]), "utf-8")
    done = backtest("replay", log, "--candles", "sample:BTC/USD:1d", "--out", folder / "out")
    assert (done.status, done.err) == (0, "")
    return folder / "out", done.out


@pytest.mark.parametrize("signal", TOLD)
def test_every_signal_is_explained_by_the_rules_that_made_its_steps(signal: str, replayed: tuple[Path, str]) -> None:
    done = backtest("explain", replayed[0], signal)
    assert (done.status, done.err) == (0, "")
    assert [part for part in TOLD[signal] if part not in done.out] == []


def test_the_result_says_what_was_hardly_meant(replayed: tuple[Path, str]) -> None:
    out = " ".join(replayed[1].split())
    assert "Lint (warn, capital_over_100): 1 signal too-large: invest comes to 200 % of the portfolio." in out
    assert "Lint (warn, stop_wrong_side): 1 signal moved: stop_loss is moved to 9000" in out
    assert "1 create was refused by the market or the account" in out
    assert "No funding rates were given for BTC/USD" in out


def test_each_trade_is_one_line_of_the_terminal(replayed: tuple[Path, str]) -> None:
    lines = replayed[1].splitlines()
    listed = lines[next(at for at, line in enumerate(lines) if line.startswith("Last 5 of 5 trades")) + 4 :][:5]
    assert [line.split()[3:5] for line in listed] == [
        ["trailing", "16016"],
        ["target", "6849.114"],
        ["canceled", "9500"],
        ["liquidated", "7100"],
        ["take", "profit"],
    ]


def test_a_refused_signal_is_drawn_where_it_was_refused(replayed: tuple[Path, str]) -> None:
    (axes,) = signal_chart(Result.load(replayed[0]).tables, "too-large").axes
    first, last = axes.get_xlim()
    assert last - first < 30.0  # days; the candles go on for another 600


def test_a_liquidation_is_no_stop_on_the_chart(replayed: tuple[Path, str]) -> None:
    (axes,) = signal_chart(Result.load(replayed[0]).tables, "levered").axes
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["short entry", "liquidated"]


def test_a_scenario_says_on_standard_error_what_does_nothing(tmp_path: Path) -> None:
    body = {"coin": "BTC", "trade_market": "USDT", "exchange": "BINANCE", "invest": 10}
    body |= {"entry_price_max": "98", "exit_price_1": "105"}
    start = 1_700_002_800_000
    calls = [
        {"at": start, "ref": "a", "call": "create_v2", "body": body},
        {"at": start, "ref": "b", "call": "create_v2", "body": body},
        {"at": start - 1, "ref": "b", "call": "cancel", "body": {}},
    ]
    rows = [[start + 3_600_000 * k, 100, 101, 97, 100, 1] for k in range(3)]
    file = tmp_path / "log.json"
    text = {"market": {"symbol": "BTC/USDT"}, "candles": {"timeframe": "1h", "rows": rows}, "calls": calls}
    file.write_text(json.dumps(text), "utf-8")
    done = backtest("replay", file, "--json")
    assert done.status == 0
    assert [signal["ref"] for signal in json.loads(done.out)["signals"]] == ["a", "b"]
    told = done.err.splitlines()
    assert told[0].startswith("warning: call 3 (cancel b) was sent at 2023-11-14 22:59:59, before its create (call 2, ")
    assert told[1].startswith("warning: call 2 (create b) is call 1 (create a) once more under another ref")


def test_a_profile_with_a_key_twice_is_refused(tmp_path: Path) -> None:
    profile = tmp_path / "mine.json"
    profile.write_text('{"balance": 1000, "slippage": 0.001, "balance": 2000}', "utf-8")
    done = backtest("run", BREAKOUT, "--candles", "sample:BTC/USD:1d", "--profile", profile)
    assert done.status == 2
    assert done.err == f"error: profile {profile}: key 'balance' stands twice in one object; give it once\n"
