"""Headline: the sentences that stand above every report, on the console, in a notebook and on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.report import text

if TYPE_CHECKING:
    from backtest.report.tables import ResultTables

__all__ = ["ambiguity", "assumed", "data_line", "interval_line", "planned", "scope", "subject"]


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
    """Return the total return under the three readings of the candles, in one sentence (L2.3)."""
    if tables.interval is None:
        return f"one reading of the candles only ({tables.mode}); the other two were not computed"
    shown = [f"{mode} {text.percent(one, signed=True)}" for mode, one in tables.interval._asdict().items()]
    return ", ".join(shown)


def ambiguity(tables: ResultTables) -> str:
    """Return how many candles were ambiguous and what hangs on them (L2.3)."""
    counts = tables.manifest.get("ambiguous") or {}
    candles, trades = int(counts.get("candles") or 0), int(counts.get("trades") or 0)
    if not candles:
        return "No candle was ambiguous: every reading of the candles gives these fills."
    share = counts.get("pnl_share")
    pnl = f" and {text.percent(float(share), digits=0)} of the PnL" if share is not None else ""
    what = f"{text.plural(candles, 'candle')} {'was' if candles == 1 else 'were'} ambiguous"
    return f"{what}, touching {text.plural(trades, 'trade')}{pnl}: finer candles (detail) would decide."


def assumed(tables: ResultTables) -> str:
    """Return how much of the venue's behaviour is an assumption of ours."""
    status = [str(one.get("status")) for one in tables.assumptions]
    if not status:
        return "No assumptions about the venue were recorded."
    parts = [f"{status.count(kind)} {kind}" for kind in ("documented", "confirmed", "assumed") if kind in status]
    return f"Of {text.plural(len(status), 'reading')} of the venue's rules: {', '.join(parts)}."


def planned(tables: ResultTables) -> list[str]:
    """Return how many calls the strategy's management plan may send for a signal; nothing without a plan."""
    most = (tables.manifest.get("strategy") or {}).get("most_calls_of_plan")
    return [] if most is None else [f"The plan sends at most {text.plural(int(most), 'call')} after a create."]


def data_line(tables: ResultTables, symbol: str) -> str:
    """Return where the candles of a symbol come from, in one line."""
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
