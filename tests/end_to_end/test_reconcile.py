"""Reconcile: journals with planted faults, each named as what it is, and priced; from the command to its figures."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from backtest import Candles, Market, SubscriberProfile, UpdatePrices
from backtest.live.intent import State
from backtest.live.journal import Journal
from backtest.live.person import resolve
from backtest.live.schema import Stream
from backtest.market_data.series import Series
from backtest.market_data.store import Store
from backtest.runner.loading import load_strategy
from tests import oracle
from tests.command_line import BREAKOUT, ROOT, backtest
from tests.fast_disk import fast_folder  # noqa: F401 - a fixture
from tests.journal_room import JournalRoom, alike, shorter
from tests.shown import is_as_kept, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from backtest.live.intent import Intent
    from backtest.strategy import Strategy

HOUR = 3_600_000
BTC, ETH = "BTC/USDT", "ETH/USDT"
MARKETS = {BTC: Market(BTC, tick="0.01"), ETH: Market(ETH, tick="0.01")}
HISTORY, DECIDED = 120, 500
PARAMETERS = ("--strategy", BREAKOUT, "--param", "lookback=24")


@cache
def candles() -> dict[str, Candles]:
    """Return two markets over the same hours."""
    whole = shorter(Candles.sample("BTC/USD", "1h"), 3000, HISTORY + DECIDED + 400)
    found = {BTC: alike(whole, BTC), ETH: alike(whole, ETH, 400, 0.1)}
    return {symbol: replace(one.slice(0, HISTORY + DECIDED), exchange="binance") for symbol, one in found.items()}


def room(path: Path, *symbols: str, strategy: Strategy | None = None) -> JournalRoom:
    """Return an emission that has not begun."""
    chosen = strategy or load_strategy(BREAKOUT)(lookback=24)
    mine = {symbol: candles()[symbol] for symbol in symbols or (BTC, ETH)}
    markets = {symbol: MARKETS[symbol] for symbol in mine}
    return JournalRoom(path / "journal.sqlite", chosen, mine, markets, SubscriberProfile.anny(), HISTORY)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a store with the candles as the exchange has them."""
    place = Store(tmp_path / "store")
    for symbol, one in candles().items():
        names = ("time", "open", "high", "low", "close", "volume")
        columns = {name: np.array(getattr(one, name)) for name in names}
        span = (int(one.time[0]), int(one.close_time[-1]))
        place.add(Series("binance", symbol, "1h"), columns, asked=[span], source="test")
    return tmp_path / "store"


def held(emission: JournalRoom, store: Path | None, *more: object, status: int = 0) -> dict[str, Any]:
    """Return what the command says of a journal, as JSON."""
    where = () if store is None else ("--store", store)
    done = backtest("reconcile", emission.path, "--tick", "0.01", "--json", *where, *(more or PARAMETERS))
    assert done.status == status, done.err
    found: dict[str, Any] = json.loads(done.out)
    only = found["strategies"][0]
    total = only["gain"]["sent"] - only["gain"]["backtest"]
    assert sum(cost["money"] for cost in only["costs"]) == pytest.approx(total, abs=1e-6)
    assert sum(one["difference"] for one in only["signals"]) == pytest.approx(total, abs=1e-6)
    return found


def faults(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return what is wrong with each call that is not equal: kind, fault and cause."""
    return [(line["kind"], line["fault"], line["cause"]) for line in found["strategies"][0]["lines"]]


def candle_faults(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for one in found["candles"] for each in one["differences"]]


def one_of(kind: str, number: int = 2) -> Callable[[Intent], bool]:
    """Return what picks the call of a kind and number of a run."""
    counted: list[str] = []

    def picked(intent: Intent) -> bool:
        if intent.kind == kind and intent.id not in counted:
            counted.append(intent.id)
        return intent.id in counted and counted.index(intent.id) == number

    return picked


def busier(one: Candles, row: int) -> tuple[int, float, float, float, float, float]:
    """Return a candle with more volume."""
    prices = (float(one.open[row]), float(one.high[row]), float(one.low[row]), float(one.close[row]))
    return (int(one.time[row]), *prices, float(one.volume[row]) + 1.0)


def test_a_clean_month_prints_no_difference(tmp_path: Path, store: Path) -> None:
    emission = room(tmp_path)
    emission.emit()
    found = held(emission, store)
    only = found["strategies"][0]
    assert faults(found) == []
    assert candle_faults(found) == []
    assert only["costs"] == []
    assert only["fills"] == {}
    assert only["gain"]["sent"] == only["gain"]["backtest"] == only["gain"]["stored"] != 0.0
    assert only["calls"] == {"equal": only["expected"]}
    assert only["expected"] > 20
    assert found["verdict"] == [
        f"{only['expected']} of {only['expected']} calls equal; every candle as it was acted on"
    ]


@pytest.mark.parametrize(
    ("fate", "fault"),
    [("expired", "expired"), ("rejected", "refused"), ("blocked", "blocked"), ("lost", "lost")],
)
def test_a_create_that_never_arrived_is_named_and_priced(tmp_path: Path, store: Path, fate: str, fault: str) -> None:
    emission = room(tmp_path)
    picked = one_of("create_v2")
    emission.emit(lambda intent: fate if picked(intent) else "acked")
    found = held(emission, store)
    assert [each for each in faults(found) if each[2] != "follows"] == [("create_v2", fault, "")]
    costs = {cost["group"].split()[0]: cost for cost in found["strategies"][0]["costs"]}
    assert costs[fault]["money"] != 0.0
    assert f"1 {fault}" in found["verdict"][0] or fault in {"refused", "blocked", "lost"}


def test_an_unknown_counts_as_there_and_asks_for_a_person(tmp_path: Path, store: Path) -> None:
    emission = room(tmp_path)
    picked = one_of("create_v2")
    emission.emit(lambda intent: "unknown" if picked(intent) else "acked")
    found = held(emission, store, status=4)
    assert faults(found) == [("create_v2", "unknown", "")]
    assert found["strategies"][0]["gain"]["sent"] == found["strategies"][0]["gain"]["backtest"]


def test_an_unknown_that_was_abandoned_asks_for_nobody(tmp_path: Path, store: Path) -> None:
    emission = room(tmp_path, BTC)
    picked = one_of("create_v2", 1)
    emission.emit(lambda intent: "unknown" if picked(intent) else "acked")
    with Journal.reopen(emission.path, emission.now) as journal:
        (unknown,) = journal.intents(State.UNKNOWN)
        resolve(journal, unknown.id, State.ABANDONED, emission.now)
    assert faults(held(emission, store)) == [("create_v2", "unknown", "")]


def test_what_a_person_asked_for_is_told_apart_and_priced(tmp_path: Path, store: Path) -> None:
    emission, canceled = room(tmp_path, BTC), list[str]()

    def meddle(journal: Journal, close: int) -> None:
        living = journal.signals("living")
        if living and not canceled and close > emission.first + 100 * HOUR:
            stream = Stream("account", emission.strategy.identity, BTC, "1h", "binance")
            canceled.extend(row.ref for row in living)
            for intent in journal.cancel(stream, living, close):
                emission.meet(journal, intent, "acked")

    emission.meddle = meddle
    emission.emit()
    found = held(emission, store)
    assert ("cancel", "extra", "person") in faults(found)
    assert {each[2] for each in faults(found)} <= {"person", "follows"}
    mine = [one for one in found["strategies"][0]["signals"] if one["ref"] in canceled]
    assert [one["group"] for one in mine] == ["person"] * len(canceled)
    assert mine[0]["difference"] != 0.0


def test_a_late_call_is_named_and_priced(tmp_path: Path, store: Path) -> None:
    emission = room(tmp_path)
    picked = one_of("create_v2")
    emission.emit(lambda intent: "planned" if picked(intent) and emission.now == intent.candle else "acked")
    found = held(emission, store)
    assert [each for each in faults(found) if each[2] != "follows"] == [("create_v2", "late", "")]


def test_a_doubled_call_is_named(tmp_path: Path, store: Path) -> None:
    emission = room(tmp_path)
    doubled: list[UpdatePrices] = []

    def again(calls: list[Any]) -> list[Any]:
        mine = [call for call in calls if isinstance(call, UpdatePrices)]
        if mine and not doubled:
            doubled.extend(mine[:1])
            return mine[:1]
        return []

    emission.added = again
    emission.emit()
    found = held(emission, store, status=3)
    assert faults(found) == [("updateprice", "doubled", "code")]


def test_a_call_that_was_never_planned_is_missing(tmp_path: Path, store: Path) -> None:
    emission = room(tmp_path, BTC)
    dropped: list[Any] = []

    def drop(decision: Any) -> bool:
        if isinstance(decision.call, UpdatePrices) and not dropped:
            dropped.append(decision)
        return decision in dropped

    emission.dropped = drop
    emission.emit()
    found = held(emission, store, status=3)
    assert ("updateprice", "missing", "code") in faults(found)
    assert found["strategies"][0]["lines"][0]["at"] == dropped[0].at


def test_a_revised_candle_that_changes_a_call_is_named_and_priced(tmp_path: Path, store: Path) -> None:
    emission = room(tmp_path, BTC)
    emission.emit()
    with Journal(emission.path) as journal:
        create = [each for each in journal.intents() if each.creates][3]
    opened = create.candle - HOUR
    one = candles()[BTC]
    row = int(np.searchsorted(one.time, opened))
    low = float(one.low[row])
    changed = room(tmp_path / "other", BTC)
    changed.path.parent.mkdir()
    changed.seen_as[BTC, opened] = (
        opened,
        float(one.open[row]),
        float(one.high[row]),
        low,
        low,
        float(one.volume[row]),
    )
    quiet = int(one.time[HISTORY + 5])
    changed.seen_as[BTC, quiet] = busier(one, HISTORY + 5)
    changed.emit()
    found = held(changed, store)
    assert faults(found) == []  # the code did on what it saw what it does now
    told = {each["time"]: each for each in candle_faults(found)}
    assert {time: each["fault"] for time, each in told.items()} == {opened: "revised", quiet: "revised"}
    assert told[quiet]["changed"] == ["volume"]
    assert told[quiet]["effects"] == {}
    (effect,) = told[opened]["effects"].values()
    assert effect["calls"] >= 1
    gain = found["strategies"][0]["gain"]
    assert effect["pnl"] == pytest.approx(gain["stored"] - gain["backtest"])
    assert (create.candle, create.kind, create.ref) in {
        tuple(each[:3]) for each in found["strategies"][0]["stored_calls"]
    }
    assert "2 candles were revised later, which change" in found["verdict"][0]


def test_a_revision_without_effect_says_so(tmp_path: Path, store: Path) -> None:
    emission = room(tmp_path)
    one = candles()[ETH]
    time = int(one.time[HISTORY + 9])
    emission.seen_as[ETH, time] = busier(one, HISTORY + 9)
    emission.emit()
    found = held(emission, store)
    assert [each["fault"] for each in candle_faults(found)] == ["revised"]
    assert found["verdict"][0].endswith("; 1 candle was revised later, without effect")


def test_missing_and_late_candles_are_told_apart(tmp_path: Path, store: Path) -> None:
    emission = room(tmp_path)
    gone, slow = int(candles()[BTC].time[HISTORY + 30]), int(candles()[ETH].time[HISTORY + 40])
    emission.seen_as[BTC, gone] = None
    emission.lag = lambda symbol, time: 61_000 if (symbol, time) == (ETH, slow) else 250
    emission.emit()
    found = held(emission, store)
    assert {(each["symbol"], each["time"], each["fault"]) for each in candle_faults(found)} == {
        (BTC, gone, "missing"),
        (ETH, slow, "late"),
    }
    assert found["candles"][1]["lags"] == [250.0, 250.0, 61_000.0]
    assert faults(found) == []


def test_another_parameter_is_named_and_priced(tmp_path: Path, store: Path) -> None:
    emission = room(tmp_path, BTC)
    emission.emit()
    found = held(emission, store, "--strategy", BREAKOUT, "--param", "lookback=30", status=3)
    only = found["strategies"][0]
    assert only["same_identity"] is False
    assert {each[1] for each in faults(found)} >= {"extra", "missing"}
    assert {each[2] for each in faults(found)} == {"code"}
    assert only["gain"]["sent"] != only["gain"]["backtest"]
    assert "another class or other parameters" in found["verdict"][0]


def test_a_changed_strategy_is_named_and_priced(tmp_path: Path, store: Path) -> None:
    emission = room(tmp_path, BTC)
    emission.emit()
    text = (ROOT / "strategies" / "breakout.py").read_text("utf-8")
    file = tmp_path / "breakout.py"
    file.write_text(text.replace("now.close + 2.0 * risk,", "now.close + 2.1 * risk,"), "utf-8")
    file.write_text(file.read_text("utf-8").replace("close + 2.0 * risk,", "close + 2.1 * risk,"), "utf-8")
    found = held(emission, store, "--strategy", file, "--param", "lookback=24", status=3)
    only = found["strategies"][0]
    assert only["same_identity"] is True
    assert only["same_code"] is False
    first = only["lines"][0]
    assert (first["fault"], first["cause"]) == ("other price", "code")
    assert first["note"].startswith("exit_price_1 ")
    assert "the strategy's file is not the one that emitted" in found["verdict"][0]


def test_the_figures_follow_from_the_journal_alone_by_other_code(tmp_path: Path, store: Path) -> None:
    """From SQL to the oracle: neither our snapshot, replay nor engine."""
    emission = room(tmp_path, BTC)
    count = iter(range(1000))
    emission.emit(lambda intent: "expired" if intent.creates and next(count) % 4 == 1 else "acked")
    found = held(emission, store)["strategies"][0]
    with sqlite3.connect(emission.path) as db:
        seen = db.execute(
            "SELECT time, open, high, low, close, volume FROM seen WHERE revision = 0 AND source <> 'history'"
        )
        rows = [list(row) for row in seen]
        sql = "SELECT t.entered, i.ref, i.kind, i.body FROM told t JOIN intent i ON i.id = t.intent WHERE t.outcome = 'entered'"
        calls = [_entry(*row) for row in db.execute(f"{sql} ORDER BY t.id")]
        states = dict(db.execute("SELECT state, count(*) FROM intent GROUP BY state"))
    known = oracle.Profile.__dataclass_fields__
    raw = {
        "market": {"symbol": BTC, "tick": "0.01", "step": "0.00000001"},
        "profile": {name: v for name, v in SubscriberProfile.anny().to_dict().items() if name in known},
        "candles": {"timeframe": "1h", "rows": rows},
        "calls": calls,
    }
    world, equity = oracle.run(oracle.parse_scenario(raw), "pessimistic")
    assert found["gain"]["sent"] == pytest.approx(equity[-1][1] - 10_000.0, abs=1e-6)
    assert sum("expired" in {line["fault"], line["note"].split(",")[0]} for line in found["lines"]) == states["expired"]
    theirs = {signal.ref: oracle.signal_row(world, signal) for signal in world.signals}
    for one in found["signals"]:
        if one["ref"] in theirs and theirs[one["ref"]]["open_quantity"] == 0.0:
            row = theirs[one["ref"]]
            assert one["sent"] == pytest.approx(row["realised_pnl"] - row["fees"], abs=1e-6), one["ref"]


def _entry(at: int, ref: str, kind: str, body: str) -> dict[str, Any]:
    named = json.loads(body)
    named.pop("parent_signal_id", None)
    return {"at": at, "ref": ref, "call": kind, "body": named}


def test_without_a_strategy_calls_are_held_against_those_decided(tmp_path: Path) -> None:
    emission = room(tmp_path)
    picked = one_of("create_v2")
    emission.emit(lambda intent: "expired" if picked(intent) else "acked")
    found = held(emission, None, "--profile", "anny")
    assert faults(found)[0] == ("create_v2", "expired", "")
    assert found["strategies"][0]["asked"] is False
    assert "candles were not held against a store" in found["verdict"][0]


def test_a_journal_that_is_being_written_is_read_at_one_moment(tmp_path: Path, store: Path) -> None:
    emission = room(tmp_path, BTC)
    emission.emit(until=HISTORY + 300)
    with sqlite3.connect(emission.path, isolation_level=None) as db:
        db.execute("BEGIN IMMEDIATE")
        db.execute(
            "INSERT INTO decision (id, intent, at, state, hash) SELECT 1, id, 0, 'landed', '' FROM intent LIMIT 1"
        )
        found = held(emission, store)
        db.execute("ROLLBACK")
    assert faults(found) == []


def test_the_console_shows_the_verdict_first(tmp_path: Path, store: Path) -> None:
    emission = room(tmp_path)
    picked = one_of("create_v2")
    emission.emit(lambda intent: "expired" if picked(intent) else "acked")
    done = backtest("reconcile", emission.path, "--store", store, "--tick", "0.01", *PARAMETERS)
    assert done.status == 0, done.err
    assert re.match(r"\d+ of \d+ calls equal; 1 expired .* of capital; .*\n", done.out)
    assert "as sent" in done.out


def test_console_and_page_of_an_eventful_month_are_as_they_were_read(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    emission, one = room(tmp_path), candles()[BTC]
    fates = {2: "expired", 4: "rejected", 5: "lost", 7: "unknown"}
    count = iter(range(10_000))
    emission.lag = lambda symbol, time: (
        6_500 if symbol == ETH and time % (97 * HOUR) == 0 else 200 + time // HOUR % 7 * 50
    )
    emission.delay = lambda intent: 300 + intent.candle // HOUR % 11 * 500
    gone = int(one.time[HISTORY + 30])
    emission.seen_as[BTC, gone] = None
    busy = int(one.time[HISTORY + 60])
    emission.seen_as[BTC, busy] = busier(one, HISTORY + 60)
    turned = int(one.time[HISTORY + 200])
    low = float(one.low[HISTORY + 200])
    emission.seen_as[BTC, turned] = (
        turned,
        float(one.open[HISTORY + 200]),
        float(one.high[HISTORY + 200]),
        low,
        low,
        1.0,
    )
    emission.emit(lambda intent: fates.get(next(count), "acked") if intent.creates else "acked")
    arguments = ("reconcile", emission.path, "--store", store, "--tick", "0.01", "--out", tmp_path / "out", *PARAMETERS)
    done = backtest(*arguments)
    assert done.status == 4, done.err
    is_as_kept("drift_console.txt", done.out.partition("\npage ")[0] + "\n")
    is_as_kept("drift_page.txt", lines_of((tmp_path / "out" / "drift.html").read_text("utf-8")))


BAD: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "nothing there": (lambda path: path.unlink(), 2, "there is no journal"),
    "not a journal": (lambda path: path.write_bytes(b"nothing of the kind" * 400), 2, "is no journal"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), 3, ""),
    "an older version": (lambda path: _sql(path, "PRAGMA user_version=1"), 2, "is a journal of version 1"),
    "a row altered": (lambda path: _sql(path, "UPDATE cursor SET close = close + 1"), 3, "is not as it was written"),
}


def _sql(path: Path, sql: str) -> None:
    with sqlite3.connect(path) as db:
        db.execute(sql)


@pytest.mark.parametrize("name", BAD)
def test_a_journal_that_cannot_be_read_is_one_sentence(tmp_path: Path, name: str) -> None:
    emission = room(tmp_path, BTC)
    emission.emit(until=HISTORY + 60)
    spoil, status, sentence = BAD[name]
    spoil(emission.path)
    done = backtest("reconcile", emission.path, *PARAMETERS)
    assert done.status == status, done.err
    assert sentence in done.err
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1


def test_an_empty_journal_is_one_sentence(tmp_path: Path) -> None:
    emission = room(tmp_path, BTC)
    emission.emit(until=0)
    done = backtest("reconcile", emission.path, *PARAMETERS)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "has seen no candle yet" in done.err


def test_one_strategy_in_two_places_is_one_sentence(tmp_path: Path) -> None:
    emission = room(tmp_path, BTC)
    emission.emit(until=HISTORY + 20)
    slow = {BTC: candles()[BTC].resample("4h")}
    other = JournalRoom(emission.path, emission.strategy, slow, emission.markets, emission.profile, 20)
    other.emit(until=30)
    done = backtest("reconcile", emission.path, *PARAMETERS)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "decides on binance 1h and binance 4h: reconcile looks at one of them, named by" in done.err
    found = {}
    for timeframe in ("1h", "4h"):
        done = backtest("reconcile", emission.path, "--timeframe", timeframe, "--json", *PARAMETERS)
        assert done.status == 0, done.err
        found[timeframe] = json.loads(done.out)
    alone = room(tmp_path / "alone", BTC)
    alone.emit(until=HISTORY + 20)
    whole = json.loads(backtest("reconcile", alone.path, "--json", *PARAMETERS).out)
    assert found["1h"]["strategies"] == whole["strategies"] != found["4h"]["strategies"]
    done = backtest("reconcile", emission.path, "--timeframe", "1d", *PARAMETERS)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "nothing decides on 1d, only on binance 1h and binance 4h" in done.err


def test_a_store_without_the_span_is_one_sentence(tmp_path: Path, store: Path) -> None:
    emission = room(tmp_path, BTC)
    emission.emit(until=HISTORY + 60)
    shutil.rmtree(store)
    done = backtest("reconcile", emission.path, "--store", store, *PARAMETERS)
    assert (done.status, done.err.count("\n")) == (3, 1)
    assert "backtest fetch BTC/USDT --exchange binance" in done.err


def test_a_strategy_that_never_emitted_here_is_refused(tmp_path: Path) -> None:
    emission = room(tmp_path, BTC)
    emission.emit(until=HISTORY + 60)
    config = tmp_path / "live.toml"
    both = "".join(
        f'[[strategy]]\nfile = "{BREAKOUT}"\nexchange = "binance"\nmarkets = ["BTC/USDT"]\ntimeframe = "1h"\n'
        f"parameters = {{lookback = {lookback}}}\n"
        for lookback in (24, 25)
    )
    config.write_text(both, "utf-8")
    done = backtest("reconcile", emission.path, "--config", config)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "never emitted into this journal" in done.err
