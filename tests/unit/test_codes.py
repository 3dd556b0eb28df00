"""Every kind of event, reason and rule is complete, and the kernel's numbers are theirs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from backtest.engine import codes
from backtest.model.events import EventKind, Leg, Mark, Reason, Status, Trade
from backtest.model.rule import Rule
from backtest.report import panels

FILLS = {
    EventKind.ENTERED: Mark.ENTRY,
    EventKind.REBOUGHT: Mark.ENTRY,
    EventKind.DCA_FILLED: Mark.ENTRY,
    EventKind.TARGET_HIT: Mark.TARGET,
    EventKind.TAKE_PROFIT_FILLED: Mark.TARGET,
    EventKind.STOP_HIT: Mark.STOP,
    EventKind.TRAILING_HIT: Mark.STOP,
    EventKind.LIQUIDATED: Mark.LIQUIDATED,
    EventKind.CANCELED: Mark.CANCELED,
}


@pytest.mark.parametrize("kind", EventKind)
def test_an_event_kind_is_complete(kind: EventKind) -> None:
    assert kind.words
    assert "_" not in kind.words
    assert set(re.findall(r"{(\w+)}", kind.words)) <= {"target", "price"}
    assert kind.is_fill == (kind in FILLS)
    assert kind.mark is FILLS.get(kind, Mark.NONE)
    assert (kind.trade is Trade.ENTERS) == (kind.mark is Mark.ENTRY)
    ended = {Status.EXPIRED, Status.INVALIDATED, Status.CANCELED, Status.CLOSED}
    assert kind.ends == (Status(kind.value) if kind.value in ended else None)


def test_every_mark_has_a_shape_of_its_own() -> None:
    assert set(panels.MARKS) == set(Mark) - {Mark.NONE}
    shapes = [shape for styles in panels.MARKS.values() for _, shape, _ in styles]
    assert len(set(shapes)) == len(shapes)


@pytest.mark.parametrize("rule", Rule)
def test_a_rule_has_one_sentence_and_a_code_that_leads_back(rule: Rule) -> None:
    assert rule.sentence.endswith(".")
    assert rule.sentence[0].isupper()
    assert rule.name == rule.value.replace(".", "_")
    assert codes.RULES[rule.code] is rule


def test_two_rules_never_share_a_code() -> None:
    assert len(codes.RULES) == len(Rule)


def test_the_numbers_of_the_kernel_are_the_positions_in_the_enums() -> None:
    named = {name: value for name, value in vars(codes).items() if isinstance(value, np.int64)}
    for name, value in named.items():
        if re.fullmatch(r"L\d+_\d", name):
            assert codes.RULES[int(value)].name == name
    for prefix, members in (("E_", EventKind), ("R_", Reason), ("LEG_", Leg)):
        numbers = [int(value) for name, value in named.items() if name.startswith(prefix)]
        assert sorted(numbers) == list(range(len(members)))
    assert [int(named[status.name]) for status in Status] == list(range(len(Status)))
    assert [str(kind) for kind in codes.KINDS] == [
        "created", "refused", "entered", "target_hit", "stop_moved", "stop_hit", "stop_unfilled", "trailing_hit",
        "take_profit_filled", "rebought", "dca_filled", "updated", "liquidated", "expired", "invalidated", "canceled",
        "closed",
    ]  # fmt: skip


def test_every_rule_that_the_package_cites_is_known() -> None:
    package = Path(__file__).parents[2] / "backtest"
    cited = {rule for file in package.rglob("*.py") for rule in re.findall(r"\bL\d+\.\d\b", file.read_text("utf-8"))}
    assert cited <= {rule.value for rule in Rule}
