"""Levels of one signal through time: where its entry, stop and targets stood, from its calls and events."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from backtest.model.events import EventKind
from backtest.report.tables import body_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backtest.report.tables import ResultTables

__all__ = ["Levels", "Step", "signal_levels"]

_MOVES = [EventKind.STOP_MOVED.value, EventKind.UPDATED.value, EventKind.REFUSED.value]


class Step(NamedTuple):
    """A level that holds from ``time`` (UTC ms) on."""

    time: int
    price: float


@dataclass(frozen=True, slots=True)
class Levels:
    """What a signal asked for, and how that moved.

    Attributes
    ----------
    side
        +1 for a long, -1 for a short.
    entry
        Entry prices of the create: the bounds of the range, or the prices of a split.
    stop
        Steps of the protective stop, oldest first; empty without one.
    targets
        Steps of each target by its number, from 1.
    """

    side: int = 1
    entry: tuple[float, ...] = ()
    stop: list[Step] = field(default_factory=list)
    targets: dict[int, list[Step]] = field(default_factory=dict)


def signal_levels(tables: ResultTables) -> dict[str, Levels]:
    """Return the levels of every signal that has a create call, by its name."""
    calls: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for call in tables.calls:
        calls[str(call.get("ref", ""))].append(call)
    moves: dict[str, list[tuple[int, str, float]]] = defaultdict(list)
    seen = tables.events[tables.events["kind"].isin(_MOVES)]
    for time, signal, kind, price in zip(seen["time"], seen["signal"], seen["kind"], seen["price"], strict=True):
        moves[str(signal)].append((int(time), str(kind), float(price)))
    return {ref: _levels(own, moves[ref]) for ref, own in calls.items() if _is_create(own[0])}


def _is_create(call: dict[str, Any]) -> bool:
    return str(call["path"]).endswith("/signal")


def _levels(calls: list[dict[str, Any]], moves: list[tuple[int, str, float]]) -> Levels:
    body, at = body_of(calls[0]), int(calls[0]["at"])
    entry = {float(value) for name, value in body.items() if name.startswith(("entry_price_", "buy_price_"))}
    levels = Levels(-1 if body.get("type") == "short" else 1, tuple(sorted(entry)))
    _apply(levels, body, at)
    answers = iter([move for move in moves if move[1] != EventKind.STOP_MOVED])
    for call in calls[1:]:
        if str(call["path"]).endswith("/updateprice") and (acted := _answered(answers, int(call["at"]))) is not None:
            _apply(levels, body_of(call), acted)
    levels.stop.extend(Step(time, price) for time, kind, price in moves if kind == EventKind.STOP_MOVED)
    levels.stop.sort(key=lambda step: step.time)
    return levels


def _answered(answers: Iterator[tuple[int, str, float]], at: int) -> int | None:
    """Return when the venue performed an update sent at ``at``; None where it refused, or never saw it."""
    for time, kind, _ in answers:
        if time >= at:
            return time if kind == EventKind.UPDATED else None
    return None


def _apply(levels: Levels, body: dict[str, Any], time: int) -> None:
    for name, value in body.items():
        if name == "stop_loss":
            levels.stop.append(Step(time, float(value)))
        elif name.startswith(("exit_price_", "sell_price_")):
            levels.targets.setdefault(int(name.rpartition("_")[2]), []).append(Step(time, float(value)))
