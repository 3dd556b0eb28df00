"""Agreement: the engine and the oracle on one scenario, in all three modes, compared in everything they say."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from backtest.engine.parameters import MODES
from backtest.errors import BacktestError
from backtest.runner.scenario import Scenario, _signals
from tests import oracle

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TOLERANCE = 1e-9
NUMBERS = ("realised_pnl", "fees", "open_quantity", "average_entry")


def near(a: float | None, b: float | None) -> bool:
    """Whether two numbers agree to 1e-9, absolute for small ones."""
    if a is None or b is None:
        return a is b
    return abs(a - b) <= TOLERANCE * max(1.0, abs(a), abs(b))


def disagreement(values: dict[str, Any]) -> str | None:
    """Return the first thing in which engine and oracle differ, or None; refusing together is agreeing."""
    try:
        parsed: Any = oracle.parse_scenario(copy.deepcopy(values))
    except oracle.ScenarioError as error:
        parsed = error
    try:
        scenario: Any = Scenario.from_dict(copy.deepcopy(values))
    except BacktestError as error:
        scenario = error
    if isinstance(parsed, Exception) or isinstance(scenario, Exception):
        both = isinstance(parsed, Exception) and isinstance(scenario, Exception)
        return None if both else f"the oracle says {parsed}, the engine {scenario}"
    for mode in MODES:
        for found in differences(from_oracle(parsed, mode), from_engine(scenario, mode)):
            return f"{mode}: {found}"
    return None


def from_oracle(parsed: oracle.Scenario, mode: str) -> dict[str, Any]:
    """Return what the oracle makes of a scenario in one mode."""
    world, equity = oracle.run(parsed, mode)
    rows = {signal.ref: oracle.signal_row(world, signal) for signal in world.signals}
    refs = [call.ref for call in sorted(parsed.calls, key=lambda call: call.seq) if call.kind.startswith("create")]
    return {
        "signals": [rows.get(ref) or oracle.pending_row(ref) for ref in refs],
        "cash": world.cash,
        "equity": equity,
        "ambiguous_candles": world.ambiguous,
        "tight_candles": world.tight_candles,
    }


def from_engine(scenario: Scenario, mode: str) -> dict[str, Any]:
    """Return what the engine makes of a scenario in one mode."""
    venue = scenario.run(mode)
    return {
        "signals": _signals(venue),
        "cash": float(venue.account.cash),
        "equity": [[int(t), float(v)] for t, v in zip(venue.equity_time, venue.equity, strict=True)],
        "ambiguous_candles": int(venue.account.ambiguous),
        "tight_candles": int(venue.account.tight),
    }


def differences(want: dict[str, Any], got: dict[str, Any]) -> Iterator[str]:
    """Tell each thing in which two results differ."""
    theirs = {signal["ref"]: signal for signal in got["signals"]}
    if list(theirs) != [signal["ref"] for signal in want["signals"]]:
        yield f"signals {list(theirs)}"
        return
    for signal in want["signals"]:
        yield from signal_differences(signal, theirs[signal["ref"]])
    if not near(want["cash"], got["cash"]):
        yield f"cash {want['cash']}, was {got['cash']}"
    for name in ("ambiguous_candles", "tight_candles"):
        if want[name] != got[name]:
            yield f"{name} {want[name]}, were {got[name]}"
    yield from equity_differences(want["equity"], got["equity"])


def signal_differences(want: dict[str, Any], got: dict[str, Any]) -> Iterator[str]:
    """Tell in what two accounts of one signal differ: its events one by one, then where it stands."""
    mine, theirs = want["events"], got["events"]
    for k in range(max(len(mine), len(theirs))):
        a, b = mine[k] if k < len(mine) else None, theirs[k] if k < len(theirs) else None
        if a is None or b is None or not same_event(a, b):
            yield f"{want['ref']} event {k}: {a}, was {b}"
            return
    if want["status"] != got["status"]:
        yield f"{want['ref']}: status {want['status']}, was {got['status']}"
    for name in NUMBERS:
        if not near(want[name], got[name]):
            yield f"{want['ref']}: {name} {want[name]}, was {got[name]}"


def same_event(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two events agree; the rule that is named is informative and may differ."""
    same = (a["time"], a["kind"], a["target"]) == (b["time"], b["kind"], b["target"])
    return same and all(near(a[name], b[name]) for name in ("price", "quantity", "fee"))


def equity_differences(want: Sequence[Sequence[float]], got: Sequence[Sequence[float]]) -> Iterator[str]:
    """Tell where two equity curves part."""
    if [point[0] for point in want] != [point[0] for point in got]:
        yield f"{len(got)} equity points instead of {len(want)}, or at other times"
        return
    for (time, mine), (_, theirs) in zip(want, got, strict=True):
        if not near(mine, theirs):
            yield f"equity at {time}: {mine}, was {theirs}"
