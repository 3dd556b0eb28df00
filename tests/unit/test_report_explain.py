"""The life of one signal, step by step, each with its reason."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from backtest.errors import InvalidSettingError
from backtest.model.events import EventKind
from backtest.model.rule import Rule
from backtest.report import explain
from tests.unit.test_report_tables import EVENT_COLUMNS, FILL_COLUMNS, START, sample_tables

TABLES = sample_tables(1500)


def with_event(kind: str, **more: object) -> list[explain.TimelineStep]:
    row = {
        "time": START,
        "signal": "s",
        "symbol": "BTC/USDT",
        "kind": kind,
        "price": np.nan,
        "quantity": 0.0,
        "fee": 0.0,
    }
    row |= {"target": None, "average_entry": np.nan, "open_quantity": 0.0, "leg": "open", "rule": "L5.3", "reason": ""}
    return explain.timeline(replace(TABLES, events=pd.DataFrame([row | more], columns=EVENT_COLUMNS)), "s")


def test_a_signal_is_told_from_its_call_to_its_end() -> None:
    steps = explain.timeline(TABLES, "3")
    assert steps[0].kind == "POST /v2/signal"
    assert "exit_price_1" in steps[0].what
    assert [step.kind for step in steps[1:3]] == ["created", "entered"]
    assert steps[-1].kind == "closed"
    assert [step.time for step in steps] == sorted(step.time for step in steps)
    assert all(step.reason for step in steps[1:])


def test_a_fill_says_what_was_bought_and_what_is_left() -> None:
    entered = next(step for step in explain.timeline(TABLES, "3") if step.kind == "entered")
    trade = TABLES.trades.iloc[2]
    assert entered.what.startswith("entered: bought ")
    assert entered.open_quantity == pytest.approx(trade["quantity"])
    assert entered.average_entry == pytest.approx(trade["average_entry"])
    short = TABLES.trades.index[TABLES.trades["side"] < 0][0]
    name = str(TABLES.trades["signal"][short])
    assert any("entered: sold" in step.what for step in explain.timeline(TABLES, name))


def test_a_fill_of_every_kind_tells_price_quantity_fee_and_what_is_left() -> None:
    fill = {"time": START, "signal": "s", "symbol": "BTC/USDT", "kind": "target_hit", "buy": False, "price": 95.0}
    fill |= {"quantity": 2.0, "fee": 0.19, "target": 2, "rule": "L6.1", "leg": "leg 2"}
    row = {**fill, "average_entry": 90.0, "open_quantity": 3.0, "reason": ""}
    tables = replace(
        TABLES,
        events=pd.DataFrame([row], columns=EVENT_COLUMNS),
        fills=pd.DataFrame([fill], columns=[*FILL_COLUMNS]),
        trades=TABLES.trades.iloc[:0],
    )
    (step,) = explain.timeline(tables, "s")
    assert step.what == "target 2 reached: sold 2 at 95, fee 0.19; 3 open at 90"


def test_a_refusal_says_why() -> None:
    step = with_event("refused", reason="the free balance does not carry it")[0]
    assert step.what == "refused (the free balance does not carry it)"
    assert step.reason == Rule.L5_3.sentence


@pytest.mark.parametrize("kind", list(EventKind))
def test_every_kind_of_event_is_told(kind: EventKind) -> None:
    step = with_event(str(kind), price=95.0, target=1)[0]
    assert step.kind == kind.value
    assert step.what == kind.words.replace("{target}", "1").replace("{price}", "95")
    assert (step.rule, step.reason) == ("L5.3", Rule.L5_3.sentence)


def test_the_text_carries_rule_and_sentence() -> None:
    told = explain.explain_text(TABLES, "3")
    assert "L4.1: A range entry buys the whole allocation" in told
    assert re.search(r"long \d+\.?\d* to \d+\.?\d*, [+-]\d+\.\d\d USDT after costs", told)
    assert "still open" in explain.explain_text(TABLES, str(len(TABLES.trades)))


def test_a_signal_that_never_bought_is_told() -> None:
    empty = replace(TABLES, trades=TABLES.trades.iloc[:0], fills=TABLES.fills.iloc[:0])
    assert "never bought anything (closed)" in explain.explain_text(empty, "3")


def test_an_unknown_signal_is_refused() -> None:
    with pytest.raises(InvalidSettingError, match="signal was 'nope'"):
        explain.timeline(TABLES, "nope")
