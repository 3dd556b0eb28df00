"""A provider's own history: read from a table, refused where it breaks a rule, evaluated like a run."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from backtest import Result, SubscriberProfile, read_call_log, replay_calls, run
from backtest.errors import InvalidSettingError, InvalidSignalError
from backtest.model.calls import Cancel, CreateSignal, Dca, TakeProfit, UpdatePrices
from backtest.model.candles import Candles
from backtest.model.events import SignalRef
from backtest.model.market import Market
from backtest.report.explain import timeline
from backtest.runner.manifest import sent
from backtest.runner.scenario import LoggedCall, Scenario, replay
from strategies.breakout import Breakout

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HOUR = 3_600_000
START = 1_700_002_800_000
ROWS: list[tuple[float, float, float, float]] = [
    (100, 101, 99, 100),
    (100, 101, 96, 97),
    (97, 106, 96.5, 105),
    (105, 112, 104, 111),
    (111, 111, 94, 95),
]
PLAIN = SubscriberProfile.exchange(maker_fee=0.0, taker_fee=0.0, stop_order="market")
HEAD = "at,ref,call,coin,trade_market,exchange,invest,entry_price_max,exit_price_1,exit_price_2,stop_loss\n"
CREATE = f"{START},s1,create_v2,BTC,USDT,BINANCE,10,98,105,110,95\n"


def candles(rows: Sequence[tuple[float, float, float, float]] = ROWS) -> Candles:
    o, h, l, c = np.array(rows, np.float64).T.copy()  # noqa: E741
    return Candles("BTC/USDT", "1h", START + HOUR * np.arange(len(rows)), o, h, l, c, np.ones(len(rows)))


def log(folder: Path, text: str) -> Path:
    path = folder / "history.csv"
    path.write_text(text, "utf-8")
    return path


def sheet(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "history.csv"
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_cells_become_calls_by_the_types_of_the_wire(tmp_path: Path) -> None:
    text = HEAD.strip() + ",order_type,sell_amount_relative,buy_price,multiplier,allow_marketable,ttl_buy_order\n"
    text += CREATE.strip() + ",,,,,,7200000\n"
    text += f"{START + HOUR},s1,takeprofit,,,,,,,,,market,100,,,,\n"
    text += "2023-11-15T00:00,s1,dca,,,,,,,,,,,90.5,1.5,,\n\n"
    text += "2023-11-15T02:00+01:00,s1,updateprice,,,,,,,,96.5,,,,,TRUE,\n"
    text += f"{START + 9 * HOUR},s1,cancel\n"
    found = read_call_log(log(tmp_path, text))
    create = CreateSignal(
        coin="BTC", trade_market="USDT", exchange="BINANCE", invest=10, entry_price_max=98.0, targets=(105.0, 110.0),
        stop_loss=95.0, type=None, ttl_buy_order=7_200_000, ref=found[0].call.ref,  # type: ignore[union-attr]
    )  # fmt: skip
    ref = create.ref
    assert ref == "s1"
    assert [one.call for one in found] == [
        create,
        TakeProfit(ref, "market", 100),
        Dca(ref, 90.5, 1.5),
        UpdatePrices(ref, stop_loss=96.5, allow_marketable=True),
        Cancel(ref),
    ]
    assert [one.at for one in found[2:4]] == [1_700_006_400_000, 1_700_010_000_000]


def test_a_byte_order_mark_and_spaces_do_no_harm(tmp_path: Path) -> None:
    found = read_call_log(log(tmp_path, "\ufeff" + HEAD + CREATE.replace(",", " , ")))
    assert found[0].at == START
    assert isinstance(found[0].call, CreateSignal)


@pytest.mark.parametrize("factor", [0.001, 1, 1_000, 1_000_000], ids=["s", "ms", "us", "ns"])
def test_the_unit_of_a_time_is_told_by_its_size(tmp_path: Path, factor: float) -> None:
    text = HEAD + CREATE.replace(str(START), str(round(START * factor)))
    assert [one.at for one in read_call_log(log(tmp_path, text))] == [START]


def test_each_line_has_its_own_unit(tmp_path: Path) -> None:
    text = HEAD + CREATE.replace(str(START), str(START // 1000)) + f"{START + HOUR},s1,cancel\n"
    assert [one.at for one in read_call_log(log(tmp_path, text))] == [START, START + HOUR]


def test_a_call_before_its_create_is_refused_with_both_places(tmp_path: Path) -> None:
    text = HEAD + f"{START},s1,cancel\n" + CREATE.replace(str(START), str(START + HOUR))
    message = (
        r"history\.csv line 2 \(cancel s1\) was sent at 2023-11-14 23:00, before its create \(history\.csv line 3, "
        r"2023-11-15 00:00\), and would do nothing: correct its time, or leave it out"
    )
    with pytest.raises(InvalidSignalError, match=message) as caught:
        read_call_log(log(tmp_path, text))
    assert caught.value.field == "at"
    calls = [LoggedCall(START, Cancel(SignalRef("s1"))), *read_call_log(log(tmp_path, HEAD + CREATE))]
    with pytest.raises(InvalidSignalError, match="before its create"):
        replay_calls(calls, candles())


def test_at_one_instant_the_order_of_the_lines_counts(tmp_path: Path) -> None:
    cancel = f"{START},s1,cancel\n"
    assert len(read_call_log(log(tmp_path, HEAD + CREATE + cancel))) == 2
    with pytest.raises(InvalidSignalError, match="before its create"):
        read_call_log(log(tmp_path, HEAD + cancel + CREATE))


def test_twins_are_told_and_change_nothing(tmp_path: Path) -> None:
    text = HEAD + CREATE + CREATE.replace("s1", "s2") + CREATE.replace("s1", "s3").replace(",95\n", ",94\n")
    result = replay_calls(log(tmp_path, text), candles(), profile=PLAIN)
    told = [sentence for sentence in result.tables.warnings if "another ref" in sentence]
    said = "history.csv line 3 (create s2) is history.csv line 2 (create s1) once more under another ref"
    assert told == [f"{said}: whoever follows both buys twice."]
    assert len(result.trades) == 3


def test_instants_in_seconds_are_refused_where_no_file_tells_the_unit() -> None:
    create = CreateSignal(
        coin="BTC", trade_market="USDT", exchange="BINANCE", invest=10, entry_price_max=98.0, targets=(105.0,),
        ref=SignalRef("s1"),
    )  # fmt: skip
    with pytest.raises(InvalidSignalError, match="call 1: at is UTC milliseconds, was 1700002800, which are seconds"):
        replay_calls([LoggedCall(START // 1000, create)], candles())


BROKEN = {
    "unknown column": (HEAD.replace("stop_loss", "stop_los") + CREATE, r"line 1: 'stop_los' .*stop_loss", "stop_los"),
    "a column twice": (HEAD.replace("exit_price_2", "exit_price_1") + CREATE, "line 1: column exit_price_1", None),
    "no ref column": ("at,call\n1,cancel\n", "column ref is missing", "ref"),
    "empty file": ("\n\n", "is empty", None),
    "too many cells": (HEAD + CREATE.strip() + ",,7\n", "line 2: 13 cells stand under 11 columns", None),
    "no instant": (HEAD + CREATE.replace(str(START), ""), r"line 2 \(create_v2 s1\): at is UTC .*is missing", "at"),
    "a time that is none": (HEAD + CREATE.replace(str(START), "noon"), "line 2: at is Unix time or ISO", "at"),
    "unknown call": (HEAD + CREATE.replace("create_v2", "creat_v2"), r'line 2 .*Did you mean "create_v2"', "call"),
    "a number that is none": (
        HEAD + CREATE.replace(",10,", ",ten,"),
        r"line 2 \(create_v2 s1\): invest .*ten",
        "invest",
    ),
    "a price with an exponent": (HEAD + CREATE.replace(",98,", ",9.8e1,"), "entry_price_max", "entry_price_max"),
    "a field of another call": (HEAD + CREATE + f"{START},s1,cancel,BTC\n", r"line 3 \(cancel s1\): coin", "coin"),
    "stop on the wrong side": (
        HEAD + CREATE.replace(",95\n", ",99\n"),
        r"line 2 \(create_v2 s1\): stop_loss",
        "stop_loss",
    ),
    "created twice": (
        HEAD + CREATE + "\n" + CREATE,
        r"history.csv line 4 \(create s1\): ref 's1' is created twice",
        "ref",
    ),
    "never created": (HEAD + CREATE + f"{START},s2,cancel\n", r"line 3 \(cancel s2\): .*never created", "ref"),
    "a marketable cancel": (
        "at,ref,call,allow_marketable\n1,s1,cancel,yes\n",
        r"line 2 \(cancel s1\): allow_marketable",
        "allow_marketable",
    ),
}


@pytest.mark.parametrize(("text", "match", "field"), BROKEN.values(), ids=BROKEN)
def test_what_breaks_a_rule_names_file_line_and_field(tmp_path: Path, text: str, match: str, field: str | None) -> None:
    with pytest.raises(InvalidSignalError, match=match) as caught:
        read_call_log(log(tmp_path, text))
    assert str(caught.value).startswith("history.csv")
    assert caught.value.exit_status == 2
    assert field in (None, caught.value.field)


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingError, match="there is no call log"):
        read_call_log(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidSettingError, match="cannot be read"):
        read_call_log(tmp_path / "binary.csv")


def test_a_log_gives_what_the_same_scenario_gives(tmp_path: Path) -> None:
    result = replay_calls(log(tmp_path, HEAD + CREATE), candles(), profile=PLAIN)
    body = dict(zip(HEAD.strip().split(",")[3:], CREATE.strip().split(",")[3:], strict=True)) | {"invest": 10}
    scenario = {
        "market": {"symbol": "BTC/USDT"},
        "profile": PLAIN.to_dict(),
        "candles": {"timeframe": "1h", "rows": [[START + k * HOUR, *row, 1] for k, row in enumerate(ROWS)]},
        "calls": [{"at": START, "ref": "s1", "call": "create_v2", "body": body}],
    }
    told = replay(Scenario.from_dict(scenario))
    assert result.total_return == told["total_return"]
    assert result.equity.tolist() == [value for _, value in told["equity"]]
    assert [event.kind for event in result.events] == [event["kind"] for event in told["signals"][0]["events"]]
    assert result.trades["exit"].tolist() == ["target_hit"]


def test_the_calls_of_a_run_replayed_give_the_run(tmp_path: Path) -> None:
    series = Candles.sample("BTC/USD", "1h").slice(0, 2000)
    ran = run(Breakout(), series)
    rows = []
    for decision in ran.calls:
        row = sent(decision)
        body = {k: v for k, v in row["body"].items() if k != "parent_signal_id"}
        rows.append({"at": row["at"], "ref": row["ref"], "call": row["kind"], **body})
    replayed = replay_calls(sheet(tmp_path, rows), series)
    assert len(replayed.trades) == len(ran.trades) > 5
    assert replayed.equity.equals(ran.equity)
    assert replayed.events == ran.events
    assert [(d.at, d.call) for d in replayed.calls] == [(d.at, d.call) for d in ran.calls]
    # the strategy decides anew in the other modes, the log cannot
    assert replayed.total_return["pessimistic"] == ran.total_return["pessimistic"]


def test_a_replayed_log_is_a_whole_result(tmp_path: Path) -> None:
    result = replay_calls(read_call_log(log(tmp_path, HEAD + CREATE)), candles(), profile=PLAIN)
    named = replay_calls(tmp_path / "history.csv", candles(), profile=PLAIN)
    assert named.tables.name == "history.csv"
    assert named.strategy.identity == result.strategy.identity
    assert repr(result).startswith("<Result call log on BTC/USDT: 1 trade, total return ")
    assert {key: result.stats[key] for key in ("trades", "open_trades", "signals_sent", "signals_filled")} == {
        "trades": 1,
        "open_trades": 0,
        "signals_sent": 1,
        "signals_filled": 1,
    }
    assert "entered: bought 10.20408163 at 98" in result.explain("s1")
    assert timeline(result.tables, "s1")[0].kind == "POST /v2/signal"
    loaded = Result.load(result.save(tmp_path / "saved"))
    assert loaded.calls == result.calls
    assert loaded.tables.manifest["strategy"]["parameters"] == {"calls": 1, "signals": 1}
    first = (result.save(tmp_path / "again") / "manifest.json").read_bytes()
    assert first == (tmp_path / "saved" / "manifest.json").read_bytes()
    page = result.report(tmp_path / "page.html").read_text("utf-8")
    assert "<h1>call log</h1>" in page
    assert "Calls that were really sent, replayed over candles." in page


def test_the_three_modes_are_three_walks_of_the_log(tmp_path: Path) -> None:
    text = HEAD + f"{START},s1,create_v2,BTC,USDT,BINANCE,10,100,102,,98\n"
    result = replay_calls(log(tmp_path, text), candles([(100, 100, 100, 100), (100, 103, 97, 101)]), profile=PLAIN)
    returns = result.total_return
    assert returns["optimistic"] > 0.0 > returns["pessimistic"] == returns["candle"]
    assert result.ambiguous["candles"] == 1


def test_calls_outside_the_candles_are_told(tmp_path: Path) -> None:
    late = f"{START + 90 * HOUR},s1,cancel\n"
    early = CREATE.replace(str(START), str(START - HOUR))
    result = replay_calls(log(tmp_path, HEAD + early + late), candles(), profile=PLAIN)
    told = " ".join(result.tables.warnings)
    assert "1 call of the log was sent before the first candle" in told
    assert "1 call of the log was sent after the last candle" in told


def test_a_signal_of_another_market_is_refused(tmp_path: Path) -> None:
    path = log(tmp_path, HEAD + CREATE.replace("BTC", "DOGE"))
    with pytest.raises(InvalidSignalError, match=r" line 2 \(create s1\): coin and trade_market were DOGE/USDT"):
        replay_calls(path, candles())
    assert replay_calls(path, candles(), market=Market("BTC/USDT", coin="DOGE")).trades.shape[0] == 1
