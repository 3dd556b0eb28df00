"""Words: numbers, prices and times as the dashboard writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from backtest.live.dashboard.view import SignalLine

__all__ = ["FILTERS", "price", "share", "when"]

NOTHING = "\N{EN DASH}"
_KINDS = {
    "create_v1": "create",
    "create_v2": "create",
    "updateprice": "move prices",
    "takeprofit": "take profit",
    "trailingstop": "trailing stop",
    "dca": "DCA",
}


def price(value: float | None) -> str:
    """Return up to eight significant digits, and no exponent."""
    if value is None:
        return NOTHING
    text = np.format_float_positional(float(f"{value:.8g}"), trim="-")
    whole, dot, rest = text.partition(".")
    return f"{int(whole):,}{dot}{rest}" if whole.lstrip("-").isdigit() and not whole.startswith("-0") else text


def share(value: float | None, digits: int = 2) -> str:
    """Return a signed percentage.

    Parameters
    ----------
    value
        A fraction.
    digits
        Behind the point.
    """
    return NOTHING if value is None else f"{100.0 * value:+.{digits}f} %"


def when(moment: int | None) -> str:
    """Return a moment (UTC ms) as text, to the second."""
    if moment is None:
        return NOTHING
    return str(np.datetime64(int(moment), "ms").astype("datetime64[s]")).replace("T", " ") + " UTC"


def lasted(milliseconds: int | None) -> str:
    """Return a short span in the unit that fits."""
    if milliseconds is None:
        return NOTHING
    sign, size = ("-" if milliseconds < 0 else ""), abs(int(milliseconds))
    for limit, unit, word in (
        (1_000, 1, "ms"),
        (60_000, 1_000, "s"),
        (3_600_000, 60_000, "min"),
        (86_400_000, 3_600_000, "h"),
    ):
        if size < limit:
            text = f"{size / unit:.1f}" if word == "s" and size < 10_000 else f"{size // unit}"
            return f"{sign}{text} {word}"
    return f"{sign}{size // 86_400_000} d"


def age(moment: int | None, now: int, late: int | None = None) -> Markup:
    """Return how long ago a moment was: the script goes on counting, and marks what is ``late`` (ms).

    Parameters
    ----------
    moment
        UTC ms; None for never.
    now
        UTC ms.
    late
        After how many ms it is too long ago; None for never.
    """
    if moment is None:
        return escape(NOTHING)
    over = late is not None and now - moment > late
    more = Markup(' data-late="{}"').format(late) if late is not None else Markup("")
    iso = f"{np.datetime64(int(moment), 'ms')}Z"
    text = Markup('<time class="age{}" data-at="{}"{} datetime="{}" title="{}">{} ago</time>')
    return text.format(" late" if over else "", moment, more, iso, when(moment), lasted(max(0, now - moment)))


def kind(name: str) -> str:
    """Return what a person calls a kind of call."""
    return _KINDS.get(name, name)


def line_of(curve: Sequence[tuple[int, float]], width: int = 120, height: int = 28) -> Markup:
    """Return a small curve as an SVG.

    Parameters
    ----------
    curve
        Points of time and value.
    width, height
        In pixels.
    """
    if len(curve) < 2:
        return Markup("")
    first, last = curve[0][0], curve[-1][0]
    low, high = min(v for _, v in curve), max(v for _, v in curve)
    across, up = max(1, last - first), (high - low) or 1.0
    points = " ".join(
        f"{(t - first) / across * (width - 2) + 1:.1f},{height - 2 - (v - low) / up * (height - 4):.1f}"
        for t, v in curve
    )
    way = "up" if curve[-1][1] >= curve[0][1] else "down"
    text = Markup('<svg class="spark {}" viewBox="0 0 {} {}" aria-hidden="true"><polyline points="{}"/></svg>')
    return text.format(way, width, height, points)


def bar_of(line: SignalLine) -> Markup:
    """Return where the last price stands between stop, entry and targets, as an SVG and in words."""
    prices = [*line.entry, *(level.price for level in line.targets)]
    prices += [value for value in (line.stop, line.last) if value is not None]
    if not prices:
        return Markup("")
    low, high = min(prices), max(prices)
    room = (high - low) or 1.0

    def at(value: float) -> str:
        return f"{4.0 + (value - low) / room * 132.0:.1f}"

    parts = [Markup('<path class="track" d="M4 9H136"/>')]
    if line.entry:
        left, right = float(at(line.entry[0])), float(at(line.entry[-1]))
        zone = Markup('<rect class="zone" x="{}" y="5" width="{}" height="8" rx="1"/>')
        parts.append(zone.format(f"{left:.1f}", f"{max(2.0, right - left):.1f}"))
    for level in line.targets:
        reached = "target hit" if level.reached else "target"
        parts.append(Markup('<path class="{}" d="M{} 3v12"/>').format(reached, at(level.price)))
    if line.stop is not None:
        parts.append(Markup('<path class="stop" d="M{} 3v12"/>').format(at(line.stop)))
    if line.last is not None:
        parts.append(Markup('<circle class="last" cx="{}" cy="9" r="3.5"/>').format(at(line.last)))
    words = [f"stop {price(line.stop)}", "entry " + " to ".join(map(price, line.entry))]
    words += ["targets " + ", ".join(price(level.price) for level in line.targets), f"last {price(line.last)}"]
    svg = Markup('<svg class="bar" viewBox="0 0 140 18" aria-hidden="true">{}</svg>').format(Markup("").join(parts))
    return svg + Markup('<span class="heard">{}</span>').format(", ".join(words))


FILTERS: dict[str, Callable[..., Any]] = {
    "price": price,
    "share": share,
    "when": when,
    "lasted": lasted,
    "age": age,
    "kind": kind,
    "spark": line_of,
    "bar": bar_of,
    "e": escape,
}
"""For the templates."""
