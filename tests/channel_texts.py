"""Labelled channel texts, and what the grammar makes of them, for tests."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from backtest.channel.calls import calls_of_follow_up, calls_of_order
from backtest.channel.clean import clean
from backtest.channel.conventions import ChannelRules
from backtest.channel.follow_up import follow_up_of
from backtest.channel.message import Message
from backtest.channel.order import is_order, order_of
from backtest.channel.prices import Prices
from backtest.channel.reading import Reading
from backtest.errors import InvalidSignalError

TEXTS = Path(__file__).parent / "channel"


@dataclass(frozen=True)
class Judged:
    """A labelled text beside its reading: ``right``, ``misread``, ``refused`` though a reader would know, or with another ``reason``."""

    name: str
    label: str
    verdict: str
    why: str


@cache
def judged(file: str) -> tuple[Judged, ...]:
    """Return every text of a file beside its reading."""
    held = tomllib.loads((TEXTS / file).read_text("utf-8"))
    by_name = {one["id"]: one for one in held["text"]}
    assert len(by_name) == len(held["text"])
    return tuple(_judge(one, by_name, held["rules"]) for one in held["text"])


def rules_of(label: dict[str, Any], base: dict[str, Any]) -> ChannelRules:
    """Return the rules under which a text is read; "unset" takes one away."""
    return ChannelRules(
        **{name: value for name, value in {**base, **label.get("rules", {})}.items() if value != "unset"}
    )


def _judge(label: dict[str, Any], by_name: dict[str, Any], base: dict[str, Any]) -> Judged:
    rules, why = rules_of(label, base), ""
    try:
        found = _follow_up(label, by_name[label["to"]], base) if "to" in label else _order(label["text"], rules)
    except InvalidSignalError as error:
        found, why = {"is": "refuse"}, str(error)
    want = _wanted(label)
    if found["is"] == "refuse" and want["is"] == "refuse":
        told = label["because"].lower() in why.lower()
        return Judged(label["id"], "refuse", "right" if told else "reason", why)
    if found["is"] == "refuse":
        return Judged(label["id"], want["is"], "refused", why)
    return Judged(label["id"], want["is"], "right" if found == want else "misread", f"{found} is not {want}")


def _order(text: str, rules: ChannelRules) -> dict[str, Any]:
    if not is_order(clean(text)):
        found = Reading(rules, Prices()).take(Message("1", 1_700_000_000_000, text))
        if found.kind == "unreadable":
            raise InvalidSignalError(found.reason)
        return {"is": found.kind}
    order = order_of(text, rules)
    if not order.at_market:
        calls_of_order(order, "1", rules)
    return {
        "is": "create",
        "side": "long" if order.side > 0 else "short",
        "symbol": f"{order.coin}/{order.quote}",
        "entries": order.entries,
        "range": order.is_range,
        "targets": order.targets,
        "stop": order.stop,
        "leverage": order.leverage,
        "margin": order.margin,
        "dca": order.dca,
        "amount": order.amount,
    }


def _follow_up(label: dict[str, Any], about: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    rules = rules_of(about, base)
    follow_up = follow_up_of(label["text"], order_of(about["text"], rules), rules)
    calls_of_follow_up(follow_up, "1")
    if follow_up.kind != "update":
        return {"is": follow_up.kind}
    return {"is": "update", "stop": follow_up.stop, "targets": follow_up.targets}


def _wanted(label: dict[str, Any]) -> dict[str, Any]:
    if label["is"] == "create":
        listed = {name: tuple(float(one) for one in label.get(name, ())) for name in ("entries", "targets", "dca")}
        plain = {name: label.get(name) for name in ("stop", "leverage", "margin", "amount")}
        return {
            "is": "create",
            "side": label["side"],
            "symbol": label["symbol"],
            "range": label.get("range", False),
            **listed,
            **plain,
        }
    if label["is"] == "update":
        targets = tuple(None if one == "" else float(one) for one in label.get("targets", ()))
        return {"is": "update", "stop": label.get("stop"), "targets": targets}
    return {"is": label["is"]}
