"""Manifest: what a run was, as plain JSON without a wall clock, beside its tables."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.model.calls import CreateSignal
from backtest.model.events import SignalRef
from backtest.report.tables import ResultTables
from backtest.runner.caveats import caveats
from backtest.runner.decision import Decision, Refusal
from backtest.runner.frames import equity_frame, events_frame, fills_frame, trades_frame
from backtest.runner.record import record_of
from backtest.runner.timing import of_waits
from backtest.strategy import Strategy
from backtest.wire import ENDPOINTS, call_from_body, endpoint_of, kind_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from backtest.engine.history import MarketHistory
    from backtest.runner.execute import Prepared
    from backtest.runner.finished import Finished

__all__ = ["FORMAT", "calls_of", "figures_of", "refusals_of", "sent", "tables_of"]

FORMAT = 3
_OURS = ("allow_marketable", "allow_no_stop")  # keys of ours, which no body holds
_CREATE = ENDPOINTS["create_v2"]
_PACKAGES = ("signal-backtest", "numpy", "numba", "pandas", "pyarrow", "TA-Lib")


def figures_of(run: Finished) -> ResultTables:
    """Return a finished run as far as its statistics look: of the calls the creates that still wait alone."""
    venue = run.venue
    lowest, highest = run.equity_bounds
    return ResultTables(
        manifest={
            "profile": run.profile.to_dict(),
            "candles": {history.candles.symbol: {"timeframe": history.candles.timeframe} for history in run.histories},
            "total_return": run.total_return,
        },
        candles={history.candles.symbol: _candles_frame(history) for history in run.histories},
        trades=trades_frame(venue),
        fills=fills_frame(venue),
        equity=equity_frame(venue).assign(lowest=lowest, highest=highest),
        events=events_frame(venue),
        calls=[{"ref": ref, "path": _CREATE.path} for symbol in venue.symbols for ref in venue.pending(symbol)],
    )


def tables_of(run: Finished, figures: ResultTables) -> ResultTables:
    """Return a finished run as tables and a manifest.

    Parameters
    ----------
    run
        The run: its checks are made here, and each of its calls is written as a request.
    figures
        What :func:`figures_of` made of it.
    """
    return replace(
        figures,
        manifest=_manifest(run),
        calls=[sent(decision) for decision in run.execution.decisions],
        refused=[_unsent(refusal) for refusal in run.execution.refusals],
        indicators={part.history.candles.symbol: _indicators(part) for part in run.prepared},
    )


def sent(decision: Decision) -> dict[str, Any]:
    """Return a call as the Signal API would get it; our ref stands for the venue's id."""
    call = decision.call
    ref = call.ref if isinstance(call, CreateSignal) else call.signal
    request = endpoint_of(call, None if isinstance(call, CreateSignal) else ref)
    row = {
        "at": decision.at,
        "ref": ref,
        "kind": request.kind,
        "method": request.method,
        "path": request.path,
        "body": json.loads(request.body),
    }
    for own in _OURS:
        if getattr(call, own, False):
            row[own] = True
    return row


def calls_of(rows: Sequence[dict[str, Any]]) -> list[Decision]:
    """Return saved calls as objects."""
    found = []
    for row in rows:
        call: Any = call_from_body(row["kind"], row["body"], SignalRef(row["ref"]))
        found.append(Decision(row["at"], replace(call, **{own: True for own in _OURS if row.get(own)})))
    return found


def refusals_of(rows: Sequence[dict[str, Any]]) -> list[Refusal]:
    """Return saved refusals of the desk as objects."""
    found = []
    for row in rows:
        fields = {name: tuple(value) if isinstance(value, list) else value for name, value in row["call"].items()}
        made: Any = ENDPOINTS[row["kind"]].call
        found.append(Refusal(row["at"], made(**fields), row["field"], row["value"], row["reason"], row["rule"]))
    return found


def _unsent(refusal: Refusal) -> dict[str, Any]:
    """Return a call that the desk refused: by its fields, since no body can state it."""
    return {
        "at": refusal.at,
        "ref": refusal.signal,
        "kind": kind_of(refusal.call),
        "field": refusal.field,
        "value": refusal.value,
        "reason": refusal.reason,
        "rule": refusal.rule,
        "call": asdict(refusal.call),
    }


def _manifest(run: Finished) -> dict[str, Any]:
    histories, strategy = run.histories, run.strategy
    calls = (decision.call for decision in run.execution.decisions)
    record = record_of(strategy, calls) if isinstance(strategy, Strategy) else strategy.record
    return {
        "format": FORMAT,
        "strategy": record.to_dict(),
        "profile": run.profile.to_dict(),
        "assumptions": [assumption._asdict() for assumption in run.assumptions.listed()],
        "market": {history.candles.symbol: history.market.to_dict() for history in histories},
        "candles": {history.candles.symbol: _described(history) for history in histories},
        "emitted": {
            history.candles.symbol: f"{history.market.exchange} {history.market.coin}/{history.market.trade_market}"
            for history in histories
        },
        "versions": _versions(),
        "total_return": run.total_return,
        "ambiguous": run.ambiguous,
        "warnings": caveats(run),
        "checks": run.checks.to_dict(),
        **_posted(run),
    }


def _posted(run: Finished) -> dict[str, Any]:
    """Return what is known of a call log that was imported, and how long its calls waited; nothing of another one."""
    log = run.strategy
    if isinstance(log, Strategy) or log.posted is None:
        return {}
    told = [*log.posted.sentences, *of_waits(run.venue.waits())]
    return {"posted": {"sentences": told, "counts": log.posted.counts}}


def _candles_frame(history: MarketHistory) -> pd.DataFrame:
    import pandas as pd

    candles = history.candles
    return pd.DataFrame({name: getattr(candles, name) for name in ("time", "open", "high", "low", "close", "volume")})


def _indicators(part: Prepared) -> pd.DataFrame:
    """Return what the strategy computed over the candles of a market: the columns of numbers, a row a candle."""
    import pandas as pd

    n = len(part.history.candles)
    columns = {str(name): np.asarray(values) for name, values in (part.ind or {}).items()}
    chosen = {name: x.astype(np.float64) for name, x in columns.items() if x.shape == (n,) and x.dtype.kind in "fiu"}
    return pd.DataFrame(chosen, index=range(n))


def _described(history: MarketHistory) -> dict[str, Any]:
    candles = history.candles
    row = {
        "hash": candles.hash,
        "rows": len(candles),
        "first": int(candles.time[0]),
        "last": int(candles.time[-1]),
        "gaps": candles.gaps,
        "timeframe": candles.timeframe,
        "exchange": candles.exchange,
        "volume_known": candles.volume_known,
    }
    if history.detail is not None:
        row["detail"] = {
            "timeframe": history.detail.timeframe,
            "hash": history.detail.hash,
            "rows": len(history.detail),
            "complete": int(history.complete().sum()),
        }
    return row


def _versions() -> dict[str, str]:
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed as a package"
    return found
