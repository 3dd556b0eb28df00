"""Costed: the calls of a result at other costs and with late entries, and the cost at which nothing would be left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.report.statistic import Statistic
from backtest.report.titled import frame_of
from backtest.runner.replaying import Slipping, account_of

if TYPE_CHECKING:
    import pandas as pd

    from backtest.model.profile import SubscriberProfile
    from backtest.runner.replaying import Replay

__all__ = ["TIMES", "at_costs", "break_even_rows", "costs_table", "late_table"]

TIMES = (0.0, 1.0, 2.0, 3.0)
"""Multiples of fees and slippage."""

_OPTIONAL = ("win_rate", "average_return", "profit_factor")


def at_costs(profile: SubscriberProfile, times: float) -> Slipping:
    """Return a subscriber who pays a multiple of the fees and of the slippage of another.

    Parameters
    ----------
    profile
        The other one.
    times
        The multiple; no rate exceeds 99 %.
    """
    fees = {name: min(getattr(profile, name) * times, 0.99) for name in ("maker_fee", "taker_fee")}
    before = getattr(profile, "slippage_times", 1.0)
    return Slipping(**{**profile.to_dict(), **fees, "slippage_times": before * times})


def costs_table(replay: Replay) -> pd.DataFrame:
    """Return the same calls at 0, 1, 2 and 3 times the fees and the slippage of the profile.

    Each row is a walk of its own through the engine: dearer entries and exits also change what is bought, and what the
    balance carries. ``total_return`` and ``max_drawdown`` are fractions of the equity, in the intrabar mode of the result;
    ``trades`` (closed), ``win_rate``, ``average_return`` (PnL over margin), ``profit_factor``; ``pnl`` of closed trades,
    ``fees`` and ``turnover`` (price x quantity) of all fills in quote currency; ``refused`` creates.

    Parameters
    ----------
    replay
        The calls and the candles.
    """
    rows = [account_of(replay.walk(at_costs(replay.profile, times)), replay.profile.balance) for times in TIMES]
    return frame_of(
        {"times": list(TIMES)} | {name: [row[name] for row in rows] for name in rows[0]}, optional=_OPTIONAL
    )


def late_table(replay: Replay) -> pd.DataFrame:
    """Return the same calls with entries one candle late, and with all calls one candle late.

    A late entry moves the create alone: targets, stop and later calls stay, and a later call waits for its create at most.
    All calls late is a subscriber whose latency is longer by one candle (L1.2). Columns as in :func:`costs_table`.

    Parameters
    ----------
    replay
        The calls and the candles.
    """
    later = {"latency_ms": replay.profile.latency_ms + replay.candle}
    walks = {
        "as sent": replay.walk(),
        "entries one candle late": replay.walk(placed=replay.late_entries(replay.candle)),
        "all calls one candle late": replay.walk(replay.profile.model_copy(update=later)),
    }
    rows = [account_of(venue, replay.profile.balance) for venue in walks.values()]
    return frame_of(
        {"calls": list(walks)} | {name: [row[name] for row in rows] for name in rows[0]}, optional=_OPTIONAL
    )


def break_even_rows(costs: pd.DataFrame, balance: float) -> list[Statistic]:
    """Return the costs at which nothing would be left.

    Parameters
    ----------
    costs
        Of :func:`costs_table`.
    balance
        The initial one, quote currency.
    """
    free, gained = costs.iloc[0], costs["total_return"].to_numpy(float)
    gain, traded, trades = float(free["total_return"]) * balance, float(free["turnover"]), int(free["trades"])
    loses = "it loses even without costs"
    times: float | None = None
    for k in range(len(gained) - 1):
        if gained[k] >= 0.0 > gained[k + 1]:
            times = TIMES[k] + (TIMES[k + 1] - TIMES[k]) * gained[k] / (gained[k] - gained[k + 1])
            break
    kept = loses if gained[0] < 0.0 else "it still gains at 3 times the costs"
    made = {
        "break_even_times": (times, "" if times is not None else (kept if trades else "no trade was closed")),
        "break_even_side": (gain / traded, "")
        if traded > 0.0 and gain >= 0.0
        else (None, loses if traded else "no fill"),
        "break_even_trade": (
            (float(free["pnl"]) / trades, "")
            if trades and float(free["pnl"]) >= 0.0
            else (None, loses if trades else "no trade was closed")
        ),
    }
    about = {
        "break_even_times": (
            "Break-even, times the costs",
            "ratio",
            "multiple of fees and slippage at which the total return is 0, between the rows of the table linearly",
        ),
        "break_even_side": (
            "Break-even a fill",
            "fraction",
            "gain without costs over price x quantity of all fills: what a fill may cost, as a share of what it trades",
        ),
        "break_even_trade": (
            "Break-even a trade",
            "money",
            "mean PnL of closed trades without costs: what a trade may cost at most",
        ),
    }
    return [
        Statistic(key, label, made[key][0], unit, what, "Costs", reason=made[key][1])
        for key, (label, unit, what) in about.items()
    ]
