"""Verdict: what a reader must know before any figure, one short fact each, and whether it is good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from backtest.report import headline, text
from backtest.report.signal_metrics import signals_of
from backtest.report.trade_metrics import few

if TYPE_CHECKING:
    from backtest.report.tables import ResultTables

__all__ = ["Fact", "Reading", "facts", "grave", "notes", "readings"]

_MUCH = 0.1
"""Share of the PnL in ambiguous trades from which on the interval matters more than any figure."""
_GRAVE = "This result is not to be believed"


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact of the strip.

    Attributes
    ----------
    label, value
        ``"Trades"``, ``"228 closed"``.
    tone
        ``good``, ``fair`` or ``poor``; the word is read out, its colour is not all there is.
    about
        The rest of it, in a few words.
    """

    label: str
    value: str
    tone: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """The total return of one reading of the candles.

    Attributes
    ----------
    mode, shown, says
        ``"pessimistic"``, ``"+7.54 %"``, and what that reading is.
    is_own
        Whether all other figures are of this reading.
    """

    mode: str
    shown: str
    says: str
    is_own: bool


_SAYS = {
    "pessimistic": "the worse path",
    "candle": "the path that its colour suggests",
    "optimistic": "the better path",
}


def readings(tables: ResultTables) -> list[Reading]:
    """Return the three readings of the candles, the lowest first; none where they were not computed."""
    if tables.interval is None:
        return []
    return [
        Reading(mode, text.percent(getattr(tables.interval, mode), signed=True), _SAYS[mode], mode == tables.mode)
        for mode in tables.interval.by_return
    ]


def facts(tables: ResultTables) -> list[Fact]:
    """Return the facts of the strip, in their order."""
    found = [
        _trades(tables),
        _costs(tables),
        _inside(tables),
        _venue(tables),
        _candles(tables),
        _calls(tables),
        _checks(tables),
        _luck(tables),
    ]
    return [one for one in found if one is not None]


def grave(tables: ResultTables) -> list[str]:
    """Return the sentences that nobody may miss."""
    return [*(one for one in tables.warnings if one.startswith(_GRAVE)), *headline.alarms(tables)]


def notes(tables: ResultTables) -> list[tuple[str, str]]:
    """Return everything else that a reader should know, each with its kind: ``caution``, ``check`` or ``note``."""
    cautions = [("caution", one) for one in tables.warnings if not one.startswith(_GRAVE)]
    checks = [("check", sentence) for sentence in headline.checked(tables)]
    said = [headline.ambiguity(tables), headline.assumed(tables), *headline.planned(tables)]
    luck = [("luck", str(line)) for line in tables.manifest.get("luck") or ()]
    return [*cautions, *(("note", sentence) for sentence in said), *checks, *luck]


def _trades(tables: ResultTables) -> Fact:
    closed = int((~tables.trades["open"].to_numpy(bool)).sum())
    still = len(tables.trades) - closed
    said = few(closed) if closed else "nothing to judge"
    about = said or "enough to judge"
    return Fact(
        "Trades",
        f"{closed:,} closed" + (f", {still:,} open" if still else ""),
        "good" if not said else ("poor" if closed < 10 else "fair"),
        about,
    )


def _costs(tables: ResultTables) -> Fact:
    fees, funding = float(tables.trades["fees"].sum()), float(tables.trades["funding"].sum())
    pnl, quote = float(tables.trades["pnl"].fillna(0.0).sum()), tables.quote
    total = fees + funding
    if not len(tables.trades):
        return Fact("Costs", "none", "good", "nothing was traded")
    before = pnl + total
    share = (
        f"{text.percent(total / before, digits=0)} of the gain before them" if before > 0.0 else "no gain before them"
    )
    tone = "good" if before > 0.0 and total < 0.25 * before else ("fair" if pnl > 0.0 else "poor")
    return Fact("Costs", f"{text.money(total)} {quote}".rstrip(), tone, share)


def _inside(tables: ResultTables) -> Fact:
    counts = tables.manifest.get("ambiguous") or {}
    candles, tight = int(counts.get("candles") or 0), int(counts.get("tight_candles") or 0)
    share = float(counts.get("pnl_share") or 0.0)
    trails = f", {tight:,} with a trail too tight" if tight else ""
    if not candles and not tight:
        return Fact("Ambiguous candles", "none", "good", "every reading fills alike")
    tone = "poor" if tight or share > 3.0 * _MUCH else ("fair" if share > _MUCH else "good")
    touched = text.plural(int(counts.get("trades") or 0), "trade")
    return Fact(
        "Ambiguous candles", f"{candles:,}{trails}", tone, f"in {touched}, {text.percent(share, digits=0)} of the PnL"
    )


def _venue(tables: ResultTables) -> Fact | None:
    status = [str(one.get("status")) for one in tables.assumptions]
    if not status:
        return Fact("Venue's rules", "not recorded", "poor")
    assumed = status.count("assumed")
    return Fact(
        "Venue's rules",
        f"{assumed} of {len(status)} assumed",
        "good" if not assumed else "fair",
        "the others documented or confirmed" if assumed < len(status) else "none confirmed",
    )


def _candles(tables: ResultTables) -> Fact:
    about = tables.manifest.get("candles") or {}
    rows = sum(len(frame) for frame in tables.candles.values())
    missing = sum(int((about.get(symbol) or {}).get("gaps", 0)) for symbol in tables.symbols)
    said = f"{text.plural(missing, 'candle')} missing" if missing else "none missing"
    share = missing / max(1, rows + missing)
    return Fact("Candles", f"{rows:,}", "good" if not missing else ("poor" if share > 0.02 else "fair"), said)


def _calls(tables: ResultTables) -> Fact:
    desk, found = len(tables.refused), signals_of(tables)
    refused = int(np.sum(found.refused))
    sent = f"{len(tables.calls):,} sent"
    if not desk and not refused:
        return Fact("Calls", sent, "good", "none refused")
    parts = [f"{desk:,} refused by the desk"] if desk else []
    parts += [f"{text.plural(refused, 'create')} refused"] if refused else []
    tone = "poor" if refused > 0.5 * max(1, len(found.names)) else "fair"
    return Fact("Calls", sent, tone, ", ".join(parts))


def _checks(tables: ResultTables) -> Fact:
    checks = tables.manifest.get("checks") or {}
    if not checks or checks.get("level") == "off":
        return Fact("Look-ahead and state", "not checked", "fair")
    verdicts = {str(one["check"]): str(one["verdict"]) for one in checks.get("findings", ())}
    bad = [name for name, verdict in verdicts.items() if verdict == "fail"]
    odd = [name for name, verdict in verdicts.items() if verdict not in {"pass", "fail"}]
    if bad:
        return Fact("Look-ahead and state", "failed", "poor", ", ".join(bad))
    passed = f"{len(verdicts) - len(odd)} of {len(verdicts)} passed" if odd else "passed"
    return Fact("Look-ahead and state", passed, "fair" if odd else "good", ", ".join(odd or verdicts))


def _luck(tables: ResultTables) -> Fact | None:
    lines = [str(line) for line in tables.manifest.get("luck") or ()]
    if not lines:
        return Fact("Luck", "not asked", "fair")
    found = next((line for line in lines if "probability" in line), "")
    chance = found.partition("probability ")[2].split(" ")[0].rstrip(".,;") if found else ""
    try:
        skill = float(chance)
    except ValueError:
        return Fact("Luck", "see below", "fair", text.some([lines[0]], 1)[:60])
    tone = "good" if skill >= 0.95 else ("fair" if skill >= 0.8 else "poor")
    return Fact("Luck", f"{text.percent(skill, digits=0)} sure", tone, "that the Sharpe ratio is above 0")
