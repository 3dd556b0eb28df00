"""Subscribers: the same calls on the accounts of many subscribers, by profile and drawn, each walked by the engine."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import InvalidSettingError
from backtest.model.calls import CreateSignal
from backtest.model.profile import SubscriberProfile, TrailingTakeProfit
from backtest.model.progress import progress
from backtest.report import text
from backtest.report.daily import DAY
from backtest.report.marketplace import marketplace_rows
from backtest.report.subscribers import Subscribers
from backtest.runner.frames import trades_frame
from backtest.runner.replaying import Slipping, account_of, require_visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from backtest.report.statistic import Statistic
    from backtest.runner.replaying import Placed, Replay

__all__ = ["DRAWN", "Subscriber", "named_subscribers", "subscribers_of"]

DRAWN = 40
"""Subscribers that are drawn, where nothing else is asked for."""

_MOST = 10_000
"""Subscribers at most: each is a walk over all candles."""

_FREE: dict[str, Any] = {"allocation_limit": 1e12, "risk_limit": None, "frequency_limit": None, "max_open": None}


@dataclass(frozen=True)
class Subscriber:
    """One subscriber.

    Attributes
    ----------
    name
        What is special about this one.
    profile
        Fees, automation, balance and latency; None where there can be none, and ``reason`` says why.
    takes_stops
        Whether the stops of the signals are placed.
    choices
        What was drawn, by the name of the choice.
    reason
        Why this one cannot be walked.
    """

    name: str
    profile: SubscriberProfile | None
    takes_stops: bool = True
    choices: Mapping[str, str] | None = None
    reason: str = ""


def subscribers_of(
    replay: Replay,
    *,
    profiles: Mapping[str, SubscriberProfile] | None = None,
    drawn: int = DRAWN,
    seed: int = 0,
    latencies: Sequence[int] = (),
    min_cost: float | None = None,
) -> Subscribers:
    """Walk the same calls for many subscribers.

    Parameters
    ----------
    replay
        The calls and the candles.
    profiles
        More subscribers, by name.
    drawn
        How many are drawn at random.
    seed
        Of the draws: the same every time.
    latencies
        More subscribers, so many ms late; they must be visible in the candles walked (L1.2).
    min_cost
        Least order in quote currency, where the market does not say.

    Raises
    ------
    InvalidSettingError
        For latencies that the candles cannot tell apart, a number of draws that is none, or a result without calls.
    """
    _check(replay, drawn, seed, latencies, min_cost)
    if min_cost is not None:
        histories = [
            replace(history, market=replace(history.market, min_cost=max(history.market.min_cost, float(min_cost))))
            for history in replay.histories
        ]
        replay = replace(replay, histories=histories)
    named = named_subscribers(replay, latencies)
    named += [Subscriber(name, profile) for name, profile in (profiles or {}).items()]
    people = [*named, *drawn_subscribers(replay, drawn, seed, latencies)]
    bare = replay.without_stops()
    rows: list[dict[str, Any]] = []
    with progress("subscribers", len(people)) as bar:
        for one in people:
            rows.append(_row(replay, bare, one))
            bar.advance()
    first = len(named)
    return Subscribers(
        named=rows[:first],
        drawn=rows[first:],
        choices=[dict(one.choices or {}) for one in people[first:]],
        market=_marketplace(replay),
        mode=replay.profile.intrabar,
        seed=seed,
        missing=replay.missing,
    )


def _check(replay: Replay, drawn: int, seed: int, latencies: Sequence[int], min_cost: float | None) -> None:
    if not replay.calls:
        raise InvalidSettingError("nothing was sent, so there is nothing that subscribers could have got")
    asked: list[tuple[str, Any, int]] = [("drawn", drawn, _MOST), ("seed", seed, 2**63)]
    for name, value, most in asked:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise InvalidSettingError(f"{name} is a whole number from 0 to {most:,}, was {value!r}")
    late: list[Any] = list(latencies)
    for latency in late:
        if isinstance(latency, bool) or not isinstance(latency, int) or latency < 0:
            raise InvalidSettingError(f"a latency is a whole number of ms of at least 0, was {latency!r}")
    if min_cost is not None and not 0.0 <= float(min_cost) < math.inf:
        raise InvalidSettingError(f"min_cost is an amount of quote currency of at least 0, was {min_cost!r}")
    require_visible([*latencies, *([replay.profile.latency_ms] if latencies else [])], replay.histories)


def named_subscribers(replay: Replay, latencies: Sequence[int] = ()) -> list[Subscriber]:
    """Return the subscribers that are always shown: the one of the result, and one a choice that differs from it.

    Parameters
    ----------
    replay
        The calls and the candles.
    latencies
        More of them, so many ms late.
    """
    base = replay.profile

    def other(name: str, **changes: Any) -> Subscriber:
        return Subscriber(name, _changed(base, **changes))

    plain = {"target_shares": None, "take_profit_at": None, "trailing_take_profit": None}
    after = TrailingTakeProfit(from_target=1, stop_to="break_even")
    previous = TrailingTakeProfit(from_target=1, stop_to="previous_target")
    found = [
        Subscriber("as in the result", base),
        other("all at target 1", **plain | {"take_profit_at": 1}),
        other("equal parts", **plain),
        other("half at target 1", **plain | {"target_shares": (50.0,)}),
        other("all at the last target", **plain | {"target_shares": (0.0,) * (_most_targets(replay) - 1)}),
        other("trailing, to break-even", trailing_take_profit=after),
        other("trailing, to the target before", trailing_take_profit=previous),
        other("stop on close", stop_trigger="close"),
        Subscriber("no stop", base, takes_stops=False),
        other("equity as basis", basis="equity"),
        other("half the fees", maker_fee=base.maker_fee / 2, taker_fee=base.taker_fee / 2),
        other("twice the fees", maker_fee=min(2 * base.maker_fee, 0.99), taker_fee=min(2 * base.taker_fee, 0.99)),
        Subscriber("twice the slippage", _slipping(base, 2.0)),
    ]
    least, reason = smallest_balance(replay)
    found.append(Subscriber("small balance", None if least is None else _changed(base, balance=least), reason=reason))
    found.append(other("one candle late", latency_ms=base.latency_ms + replay.candle))
    found += [other(f"{text.duration(late)} late", latency_ms=late) for late in latencies]
    return found


def smallest_balance(replay: Replay) -> tuple[float | None, str]:
    """Return a balance on which the usual signal buys one and a half times the market's least order, so that parts of it cannot be sold (L6.3), or why there is none.

    Parameters
    ----------
    replay
        The calls and the candles.
    """
    least = 0.0
    for history in replay.histories:
        price = float(np.median(history.candles.close))
        least = max(least, history.market.min_cost, history.market.min_amount * price)
    invests = [float(call.invest) for _, call in replay.placed if isinstance(call, CreateSignal) and call.invest]
    if least == 0.0 or not invests:
        return None, "no least order of the market is known: give min_cost"
    return 1.5 * least * 100.0 / float(np.median(invests)), ""


def drawn_subscribers(replay: Replay, count: int, seed: int, latencies: Sequence[int]) -> list[Subscriber]:
    """Return subscribers who made every choice at random.

    Parameters
    ----------
    replay
        The calls and the candles.
    count, seed
        How many, and of which seed: the same every time.
    latencies
        Among which lateness is drawn, ms; without any, none or one candle.
    """
    rng, base, found = np.random.default_rng(seed), replay.profile, []
    least, _ = smallest_balance(replay)
    late = [base.latency_ms, *(latencies or [base.latency_ms + replay.candle])]
    exits: dict[str, dict[str, Any]] = {
        "equal parts": {},
        "all at target 1": {"take_profit_at": 1},
        "half at target 1": {"target_shares": (50.0,)},
        "all at the last target": {"target_shares": (0.0,) * (_most_targets(replay) - 1)},
    }
    trails: dict[str, Any] = {
        "none": None,
        "to break-even": TrailingTakeProfit(from_target=1, stop_to="break_even"),
        "to the target before": TrailingTakeProfit(from_target=1, stop_to="previous_target"),
    }
    for number in range(1, count + 1):
        exit_, trail = _one_of(rng, exits), _one_of(rng, trails)
        stop = _one_of(rng, ("at once", "at once", "at once", "on close", "none"))
        fee = float(np.round(10.0 ** rng.uniform(-3.7, -2.7), 5))
        slip = float(np.round(rng.uniform(0.5, 2.0), 2))
        lateness = int(rng.choice(late))
        balance = base.balance if least is None else float(np.round(least * 10.0 ** rng.uniform(0.0, 3.0), 2))
        changes = {"target_shares": None, "take_profit_at": None, **exits[exit_]}
        profile = _slipping(
            _changed(
                base,
                **changes,
                trailing_take_profit=trails[trail],
                stop_trigger="close" if stop == "on close" else "order",
                maker_fee=fee,
                taker_fee=fee,
                latency_ms=lateness,
                balance=balance,
                basis="equity" if rng.random() < 0.2 else "initial",
            ),
            slip,
        )
        made = {
            "exit": exit_,
            "trailing": trail,
            "stop": stop,
            "fee": "0.1 % and more" if fee >= 0.001 else "under 0.1 %",
            "slippage": "higher" if slip > 1.0 else "not higher",
            "late": "at once" if lateness == base.latency_ms else f"{text.duration(lateness)} late",
            "basis": profile.basis,
        }
        if least is not None:
            made["balance"] = "near the minimum" if balance < 5.0 * least else "ample"
        found.append(Subscriber(f"drawn {number}", profile, takes_stops=stop != "none", choices=made))
    return found


def _one_of(rng: np.random.Generator, names: Any) -> str:
    known = list(names)
    return str(known[int(rng.integers(len(known)))])


def _most_targets(replay: Replay) -> int:
    counts = [len(call.targets) for _, call in replay.placed if isinstance(call, CreateSignal)]
    return max(counts, default=1)


def _changed(base: SubscriberProfile, **changes: Any) -> SubscriberProfile:
    return type(base)(**{**base.to_dict(), **changes})


def _slipping(base: SubscriberProfile, times: float) -> Slipping:
    return Slipping(**{**base.to_dict(), "slippage_times": times})


def _row(replay: Replay, bare: Placed, one: Subscriber) -> dict[str, Any]:
    if one.profile is None:
        return {"subscriber": one.name, "reason": one.reason}
    venue = replay.walk(one.profile, None if one.takes_stops else bare)
    return {"subscriber": one.name, "reason": "", **account_of(venue, one.profile.balance)}


def _marketplace(replay: Replay) -> dict[str, list[Statistic]]:
    """Return the venue's own figures, aggregated and backtested, as called and with all sold at target 1.

    Aggregated counts every signal sent: nothing is refused by a limit or for want of balance, as the allocations are taken
    from a balance so much larger that all signals fit, and stay the same in money. Backtested drops what the limits and
    the balance of the profile refuse.
    """
    base = replay.profile
    creates = sum(isinstance(call, CreateSignal) for _, call in replay.placed)
    times = 10.0 ** math.ceil(math.log10(10.0 * max(creates, 1)))
    wide = {**_FREE, "balance": base.balance * times, "basis": "initial"}
    first = {"take_profit_at": 1, "trailing_take_profit": None}
    asked: dict[str, tuple[dict[str, Any], float]] = {
        "aggregated": (wide, times),
        "backtested": ({}, 1.0),
        "aggregated, target 1": ({**wide, **first}, times),
        "backtested, target 1": (first, 1.0),
    }
    candles = [history.candles for history in replay.histories]
    days = (max(int(one.close_time[-1]) for one in candles) - min(int(one.time[0]) for one in candles)) / DAY
    found = {}
    for name, (changes, scale) in asked.items():
        placed = replay.placed if scale == 1.0 else replay.smaller(scale)
        trades = trades_frame(replay.walk(_changed(base, **changes), placed))
        found[name] = marketplace_rows(_scaled(trades, scale), days) + _first_targets(trades)
    return found


def _scaled(trades: pd.DataFrame, scale: float) -> pd.DataFrame:
    return trades.assign(invest=trades["invest"] * scale)


def _first_targets(trades: pd.DataFrame) -> list[Statistic]:
    from backtest.report.statistic import Statistic

    closed = trades[~trades["open"].to_numpy(bool)]
    n, why = len(closed), "" if len(closed) else "no signal was closed"
    reached = closed["targets_hit"].to_numpy(np.int64) > 0
    lost = ~reached & (closed["pnl"].to_numpy(np.float64) < 0.0)
    rows: list[tuple[str, str, Any, str]] = [
        ("reached", "Reached a target", reached, "closed signals that sold at a target over closed signals"),
        ("direct_losses", "Direct losses", lost, "closed signals with a loss and no target over closed signals"),
    ]
    return [
        Statistic(key, label, float(some.mean()) if n else None, "fraction", what, "Marketplace", reason=why)
        for key, label, some, what in rows
    ]
