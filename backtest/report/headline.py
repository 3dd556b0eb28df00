"""Headline: the sentences that stand above every report, on the console, in a notebook and on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backtest.report import text
from backtest.report.daily import DAY
from backtest.report.signal_metrics import Signals, ran_out, signals_of
from backtest.report.statistic import SHORT
from backtest.report.trade_metrics import few

if TYPE_CHECKING:
    from backtest.report.tables import ResultTables

__all__ = ["alarms", "ambiguity", "assumed", "checked", "data_line", "interval_line", "planned", "scope", "subject"]

_MUCH, _LONG, _IDLE = 0.5, 0.1, 0.25
"""Shares that make a headline: of later creates refused, of the run waited for one fill, of the run without a position."""


def subject(tables: ResultTables) -> str:
    """Return what was run on what: strategy, symbols, timeframe, span."""
    return f"{tables.name} on {scope(tables)}"


def scope(tables: ResultTables) -> str:
    """Return what it was run on: symbols, timeframe, span."""
    named = tables.manifest.get("candles") or {}
    frames = sorted({str(named.get(symbol, {}).get("timeframe", "")) for symbol in tables.symbols} - {""})
    names = ", ".join(tables.symbols[:4]) or "no candles"
    more = f" and {len(tables.symbols) - 4} more" if len(tables.symbols) > 4 else ""
    first, last = tables.span
    span = f", {text.day(first)} to {text.day(last - 1)}" if last else ""
    return f"{names}{more}{''.join(f' {frame}' for frame in frames)}{span}"


def interval_line(tables: ResultTables) -> str:
    """Return the lowest and the highest total return of the three readings of the candles (L2.3)."""
    if tables.interval is None:
        return f"one reading of the candles only ({tables.mode}); the other two were not computed"
    return tables.interval.shown(tables.mode)


def ambiguity(tables: ResultTables) -> str:
    """Return how many candles were ambiguous and what hangs on them (L2.3)."""
    counts = tables.manifest.get("ambiguous") or {}
    candles, trades = int(counts.get("candles") or 0), int(counts.get("trades") or 0)
    tight = _tight(int(counts.get("tight_candles") or 0))
    if not candles:
        return f"No candle was ambiguous: every reading of the candles gives these fills.{tight}"
    share = counts.get("pnl_share")
    pnl = f" and {text.percent(float(share), digits=0)} of the PnL" if share is not None else ""
    what = f"{text.plural(candles, 'candle')} {'was' if candles == 1 else 'were'} ambiguous"
    return f"{what}, touching {text.plural(trades, 'trade')}{pnl}: finer candles (detail) would decide.{tight}"


def _tight(candles: int) -> str:
    """Return in how many candles not even the interval is a bound (L2.7)."""
    if not candles:
        return ""
    return (
        f" In {text.plural(candles, 'candle')} a trailing stop was closer than the candle is long: not even the interval "
        "is a bound there, and finer candles (detail) would decide."
    )


def assumed(tables: ResultTables) -> str:
    """Return how much of the venue's behaviour is an assumption of ours."""
    status = [str(one.get("status")) for one in tables.assumptions]
    if not status:
        return "No assumptions about the venue were recorded."
    parts = [f"{status.count(kind)} {kind}" for kind in ("documented", "confirmed", "assumed") if kind in status]
    return f"Of {text.plural(len(status), 'reading')} of the venue's rules: {', '.join(parts)}."


def checked(tables: ResultTables) -> list[str]:
    """Return what the checks of the strategy found, one sentence a check that did not fail (those stand as warnings)."""
    checks = tables.manifest.get("checks")
    if checks is None:
        return []
    if checks.get("level") == "off":
        return ["Look-ahead and state of the strategy were not checked."]
    return [
        f"Check {one['check']} ({one['verdict']}): {one['sentence']}."
        for one in checks.get("findings", ())
        if one["verdict"] != "fail"
    ]


def planned(tables: ResultTables) -> list[str]:
    """Return how many calls the strategy's management plan may send for a signal; nothing without a plan."""
    most = (tables.manifest.get("strategy") or {}).get("most_calls_of_plan")
    return [] if most is None else [f"The plan sends at most {text.plural(int(most), 'call')} after a create."]


def data_line(tables: ResultTables, symbol: str) -> str:
    """Return where the candles of a symbol come from, in one line.

    Parameters
    ----------
    tables
        The result.
    symbol
        One of its symbols.
    """
    about = (tables.manifest.get("candles") or {}).get(symbol, {})
    rows = int(about.get("rows", len(tables.candles[symbol])))
    gaps = int(about.get("gaps", 0))
    emitted = (tables.manifest.get("emitted") or {}).get(symbol)
    parts = [f"{text.plural(rows, 'candle')} of {about.get('timeframe', '?')}"]
    parts.append(f"{text.plural(gaps, 'candle')} missing inside" if gaps else "none missing")
    if emitted and str(emitted).rpartition(" ")[2] != symbol:
        parts.append(f"signals name {emitted}, whose prices may differ")
    elif emitted:
        parts.append(f"signals name {emitted}")
    return ", ".join(parts)


def alarms(tables: ResultTables) -> list[str]:
    """Return what makes the figures below them say something else than they seem to, the worst first."""
    found = signals_of(tables)
    sentences = [*_posted(tables), *_ran_out(found), *_waited(found, tables.span), *_idle(tables)]
    closed = int((~tables.trades["open"].to_numpy(bool)).sum())
    if closed and few(closed):
        sentences.append(f"Only {text.plural(closed, 'trade')} closed ({few(closed)}).")
    return sentences


def _posted(tables: ResultTables) -> list[str]:
    """Return what a channel's history says of itself: deleted and edited messages, signals after the fact."""
    return [str(sentence) for sentence in (tables.manifest.get("posted") or {}).get("sentences", ())]


def _ran_out(found: Signals) -> list[str]:
    """Return since when the account could not pay for what was sent, where that hit half of it or more."""
    since = ran_out(found)
    if since is None or since[1] < _MUCH:
        return []
    return [
        f"Free balance ran out on {text.day(since[0])}; {text.percent(since[1], digits=0)} of later creates refused."
    ]


def _waited(found: Signals, span: tuple[int, int]) -> list[str]:
    """Return the longest wait of each market for a fill, where it takes a tenth of the run and nothing else was made."""
    sentences = []
    symbols = np.array(found.symbols, object)
    for symbol in dict.fromkeys(found.symbols):
        own = (symbols == symbol) & ~found.refused
        waits = np.where(own, found.until - found.made, -1)
        k = int(np.argmax(waits))
        if waits[k] < _LONG * (span[1] - span[0]) or waits[k] <= 0:
            continue
        others = own & (found.made > found.made[k]) & (found.made < found.until[k])
        if others.any():
            continue
        end = "the end" if found.lives[k] else text.day(int(found.until[k]))
        of = f" of {symbol}" if len(set(found.symbols)) > 1 else ""
        sentences.append(
            f"Signal {k + 1}{of} waited from {text.day(int(found.made[k]))} to {end}: no other was made meanwhile."
        )
    return sentences


def _idle(tables: ResultTables) -> list[str]:
    """Return the longest stretch without a position, where it takes a quarter of a run that has yearly figures."""
    first, last = tables.span
    if not len(tables.trades) or last - first < SHORT * DAY:
        return []
    entries = tables.trades["entry_time"].to_numpy(np.int64)
    exits = np.where(tables.trades["open"].to_numpy(bool), last, tables.trades["exit_time"].to_numpy(np.int64))
    order = np.argsort(entries, kind="stable")
    held_until = np.r_[first, np.maximum.accumulate(exits[order])]
    gaps = np.r_[entries[order], last] - held_until
    k = int(np.argmax(gaps))
    if gaps[k] < _IDLE * (last - first):
        return []
    start, end = int(held_until[k]), int(held_until[k] + gaps[k])
    days = f"{(end - start) // DAY:,} of {text.plural((last - first) // DAY, 'day')}"
    return [
        f"No position was held from {text.day(start)} to {text.day(end)}, {days}: the yearly figures average them in."
    ]
