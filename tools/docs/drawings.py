"""Drawings of scenarios: the candles, the path that was walked through them, the levels and what happened on the way."""

from __future__ import annotations

import io
import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from backtest.model.events import EventKind, Leg, Mark, Status
from backtest.runner.scenario import Scenario

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from backtest.model.events import Event

__all__ = ["draw"]

MODES = ("pessimistic", "candle", "optimistic")
MARKS = {
    Mark.ENTRY: ("^", "#2b6cb0"),
    Mark.TARGET: ("o", "#2f855a"),
    Mark.STOP: ("v", "#c53030"),
    Mark.LIQUIDATED: ("X", "#c53030"),
    Mark.CANCELED: ("s", "#6b7280"),
    Mark.NONE: ("d", "#6b7280"),
}
LEGS = {Leg.FIRST: 0, Leg.SECOND: 1, Leg.THIRD: 2}


def draw(path: Path) -> tuple[str, str]:
    """Return a scenario as SVG, one panel for each reading that differs, and its reason in words."""
    values = json.loads(path.read_text("utf-8"))
    scenario = Scenario.from_dict(values)
    history = scenario.histories[0]
    panels: dict[tuple[Any, ...], list[str]] = {}
    events: dict[tuple[Any, ...], list[Event]] = {}
    for mode in MODES:
        found = [event for event in scenario.run(mode).new_events() if event.symbol == history.market.symbol]
        key = tuple((e.time, e.kind, e.price, e.quantity) for e in found)
        panels.setdefault(key, []).append(mode)
        events.setdefault(key, found)
    candles = history.detail if history.detail is not None else history.candles
    rows = list(zip(candles.time, candles.open, candles.high, candles.low, candles.close, strict=True))
    with mpl.rc_context(
        {"svg.hashsalt": "drawings", "font.size": 8.5, "svg.fonttype": "none", "font.family": "sans-serif"}
    ):
        width = max(4.2, min(1.0 + 0.75 * len(rows), 9.0))
        figure = Figure(figsize=(width, 2.7 * len(panels)), layout="constrained")
        axes = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
        for ax, (key, modes) in zip(axes, panels.items(), strict=True):
            _panel(ax, rows, events[key], values)
            title = "every reading" if len(panels) == 1 else " and ".join(modes)
            ax.set_title(title, loc="left", fontsize=8.5, color="#374151")
        page = io.StringIO()
        figure.savefig(page, format="svg", metadata={"Date": None, "Creator": None})
    return page.getvalue(), str(values.get("why", ""))


def _panel(ax: Axes, rows: list[tuple[Any, ...]], events: list[Event], values: dict[str, Any]) -> None:
    start = {int(row[0]): at for at, row in enumerate(rows)}
    for at, (_, first, high, low, last) in enumerate(rows):
        colour = "#9fc9b0" if last >= first else "#e3a6a1"
        ax.plot([at, at], [low, high], color=colour, linewidth=1.2, zorder=1)
        ax.bar(
            at, max(abs(last - first), (high - low) * 0.004), 0.62, min(first, last), color=colour, alpha=0.55, zorder=1
        )
        here = [event for event in events if start.get(event.time) == at]
        walked = _path(first, high, low, last, here)
        ax.plot([at - 0.3 + 0.2 * k for k in range(4)], walked, color="#374151", linewidth=0.9, zorder=2)
        for event in here:
            if event.price is None or event.kind is EventKind.CREATED:
                continue
            marker, shade = MARKS[event.kind.mark]
            ax.plot(_place(at, event, walked), event.price, marker, color=shade, markersize=5.5, zorder=4)
            ax.annotate(
                _words(event),
                (_place(at, event, walked), event.price),
                xytext=(5, 3),
                textcoords="offset points",
                fontsize=7,
                color=shade,
                zorder=5,
                annotation_clip=True,
            )
    _draw_levels(ax, rows, events, values)
    ends = [
        event
        for event in events
        if event.kind.ends in {Status.EXPIRED, Status.INVALIDATED} or event.kind is EventKind.REFUSED
    ]
    if ends:
        ax.set_xlabel(
            "; ".join(f"{event.signal}: {event.kind.words}" for event in ends[:3]), fontsize=7.5, color="#6b7280"
        )
    ax.set_xticks(range(len(rows)), [str(k) for k in range(len(rows))])
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlim(-0.6, max(len(rows), 3) - 0.3)


def _draw_levels(ax: Axes, rows: list[tuple[Any, ...]], events: list[Event], values: dict[str, Any]) -> None:
    """Draw the levels near the prices; those far away are named at the edge, not to flatten the candles."""
    seen = [float(price) for row in rows for price in row[2:4]] + [e.price for e in events if e.price is not None]
    low, high = min(seen), max(seen)
    room = max(high - low, 0.01 * high) * 0.9
    near = [price for _, price in _levels(values) if low - room <= price <= high + room]
    low, high = min([low, *near]), max([high, *near])
    pad = (high - low or 1.0) * 0.1
    ax.set_ylim(low - pad, high + pad)
    style: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7, "color": "#6b7280"}
    far: dict[bool, list[str]] = {True: [], False: []}
    for name, price in _levels(values):
        if price in near:
            ax.axhline(price, color="#9ca3af", linewidth=0.7, linestyle=(0, (4, 3)), zorder=0)
            ax.annotate(name, (1.0, price), xycoords=("axes fraction", "data"), xytext=(3, -3), **style)
        else:
            far[price > high].append(f"{name} {price:g}")
    for above, names in far.items():
        if names:
            ax.annotate(
                f"{', '.join(names)} {chr(0x2191 if above else 0x2193)}",
                (1.0, 1.0 if above else 0.0),
                xycoords="axes fraction",
                xytext=(3, -3),
                **style,
            )


def _path(first: float, high: float, low: float, last: float, events: list[Event]) -> list[float]:
    """Return the journey that fits what happened on the legs; by colour where both do."""
    up, down = [first, high, low, last], [first, low, high, last]
    likely = [down, up] if last >= first else [up, down]
    return next((one for one in likely if _fits(one, events)), likely[0])


def _fits(walked: list[float], events: list[Event]) -> bool:
    legs = list(pairwise(walked))
    for event in events:
        if event.leg in LEGS and event.price is not None and event.kind.is_fill:
            low, high = sorted(legs[LEGS[event.leg]])
            if not low - 1e-9 <= event.price <= high + 1e-9:
                return False
    return True


def _place(at: int, event: Event, walked: list[float]) -> float:
    """Return where along the path it happened."""
    if event.leg not in LEGS:
        return at - 0.3 if event.leg is not Leg.CLOSE else at + 0.3
    number = LEGS[event.leg]
    begin, end = walked[number], walked[number + 1]
    share = 0.5 if begin == end or event.price is None else min(1.0, max(0.0, (event.price - begin) / (end - begin)))
    return at - 0.3 + 0.2 * (number + share)


def _words(event: Event) -> str:
    price = f"{event.price:g}"
    words = event.kind.words.format(target=event.target or "", price=price)
    return words if price in words else f"{words} {price}"


def _levels(values: dict[str, Any]) -> list[tuple[str, float]]:
    """Return the levels of the first create: entry, targets, stop."""
    create: dict[str, Any] = next((c["body"] for c in values.get("calls", []) if c["call"].startswith("create")), {})
    names = {
        "entry_price_min": "entry",
        "entry_price_mid": "entry",
        "entry_price_max": "entry",
        "buy_price_min": "entry",
        "buy_price_max": "entry",
        "stop_loss": "stop",
    }
    names |= {f"exit_price_{k}": f"target {k}" for k in range(1, 7)}
    return [(name, float(create[key])) for key, name in names.items() if create.get(key) is not None]
