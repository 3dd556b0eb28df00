"""Replaying: the calls of a result once more, as they reach another subscriber, through the same engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.engine.history import MarketHistory
from backtest.engine.simulator import SimulatedVenue
from backtest.errors import InvalidSettingError
from backtest.model.calls import CreateSignal, Rebuy, TrailingStop, UpdatePrices
from backtest.model.candles import Candles
from backtest.model.market import Market
from backtest.model.profile import SubscriberProfile
from backtest.model.timeframe import nearest_multiple
from backtest.report import text
from backtest.report.equity import dips, drawdowns
from backtest.runner.frames import traded_of, trades_columns
from backtest.runner.manifest import calls_of
from backtest.runner.scenario import LoggedCall, placed_creates, placed_logged

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backtest.model.assumptions import VenueAssumptions
    from backtest.model.calls import Call
    from backtest.report.tables import ResultTables
    from backtest.runner.decision import Decision
    from backtest.runner.finished import Finished

    Placed = list[tuple[int, Call]]

__all__ = ["Replay", "Slipping", "account_of", "replay_of", "replay_of_tables", "require_visible"]

_MOVED = 0.1
"""Share of a latency by which rounding may move it (L1.2)."""


class Slipping(SubscriberProfile):
    """A subscriber whose slippage is a multiple of what the profile says, coin by coin."""

    slippage_times: float = 1.0

    def slippage_for(self, coin: str) -> float:
        """Return the slippage fraction for a base asset."""
        return min(super().slippage_for(coin) * self.slippage_times, 0.99)


@dataclass(frozen=True, eq=False)
class Replay:
    """What was sent, and the candles over which anybody's account can be walked with it.

    Every subscriber gets the same calls: what the strategy would have called had it watched another account is no part
    of it, since a provider sends one signal to all.

    Attributes
    ----------
    histories
        The markets with their candles, detail and funding.
    calls
        The calls that were sent, in order of time.
    profile, assumptions
        Of the result.
    missing
        What the result had and this does not, in a sentence; empty mostly.
    """

    histories: Sequence[MarketHistory]
    calls: tuple[LoggedCall, ...]
    profile: SubscriberProfile
    assumptions: VenueAssumptions
    missing: str = ""

    @cached_property
    def placed(self) -> Placed:
        """The calls with their prices on the tick."""
        markets = {(history.market.coin, history.market.trade_market): history.market for history in self.histories}
        creates = placed_creates(self.calls, markets)
        in_order = sorted(self.calls, key=lambda logged: logged.at)
        return [(logged.at, placed_logged(logged.call, creates, markets)) for logged in in_order]

    @property
    def candle(self) -> int:
        """Length of a candle, ms."""
        return self.histories[0].candles.milliseconds

    def walk(self, profile: SubscriberProfile | None = None, placed: Placed | None = None) -> SimulatedVenue:
        """Return the account of a subscriber at the end of the candles.

        Parameters
        ----------
        profile
            The subscriber; None is that of the result.
        placed
            Other calls in place of those that were sent.
        """
        calls = self.placed if placed is None else placed
        venue = SimulatedVenue(self.histories, profile or self.profile, self.assumptions)
        for _, call in calls:
            if isinstance(call, CreateSignal):
                venue.announce(call)
        for at, call in calls:
            venue.send(call, at)
        venue.advance()
        return venue

    def without_stops(self) -> Placed:
        """Return the calls as one sees them who takes no stop.

        Stops of creates and updates and trailing stops are left out; the pair of a take profit or a rebuy stays, which
        the API wants there.
        """
        found: Placed = []
        for at, call in self.placed:
            if isinstance(call, CreateSignal):
                found.append((at, replace(call, stop_loss=None, allow_no_stop=True)))
            elif isinstance(call, UpdatePrices):
                left = replace(call, stop_loss=None)
                if _says_something(left):
                    found.append((at, left))
            elif not isinstance(call, TrailingStop):
                found.append((at, call))
        return found

    def late_entries(self, by: int) -> Placed:
        """Return the calls with every create later; a later call about a signal waits for its create at most.

        Parameters
        ----------
        by
            Milliseconds.
        """
        made: dict[str, int] = {}
        found: Placed = []
        for at, call in self.placed:
            if isinstance(call, CreateSignal):
                made[call.ref] = at + by
                found.append((at + by, call))
            else:
                found.append((max(at, made.get(call.signal, at)), call))
        return sorted(found, key=lambda one: one[0])

    def smaller(self, times: float) -> Placed:
        """Return the calls with every ``invest`` divided by ``times``."""
        found: Placed = []
        for at, call in self.placed:
            if isinstance(call, CreateSignal | Rebuy) and call.invest is not None:
                found.append((at, replace(call, invest=call.invest / times)))
            else:
                found.append((at, call))
        return found


def _says_something(update: UpdatePrices) -> bool:
    bare = UpdatePrices(update.signal, allow_marketable=update.allow_marketable)
    return update != bare


def replay_of(run: Finished) -> Replay:
    """Return what a run sent, ready to be walked again."""
    return Replay(run.histories, _logged(run.execution.decisions), run.profile, run.assumptions)


def replay_of_tables(
    tables: ResultTables,
    profile: SubscriberProfile,
    assumptions: VenueAssumptions,
    *,
    detail: Mapping[str, Candles] | None = None,
    funding: Mapping[str, Any] | None = None,
) -> Replay:
    """Return what a saved result sent, over the candles that were saved with it.

    Parameters
    ----------
    tables
        The result.
    profile, assumptions
        Of the result.
    detail, funding
        By symbol: finer candles, and (k, 2) funding rates, neither of which are saved.
    """
    detail, funding = detail or {}, funding or {}
    histories, lacks = [], []
    for symbol in tables.symbols:
        about = dict((tables.manifest.get("candles") or {}).get(symbol) or {})
        frame = tables.candles[symbol]
        columns: dict[str, Any] = {
            name: frame[name].to_numpy() for name in ("time", "open", "high", "low", "close", "volume")
        }
        candles = Candles(
            symbol,
            str(about["timeframe"]),
            **columns,
            exchange=str(about.get("exchange", "")),
            volume_known=bool(about.get("volume_known", True)),
        )
        market = Market.from_dict(dict(tables.manifest["market"][symbol]))
        rates = np.asarray(funding.get(symbol, np.empty((0, 2))), np.float64)
        histories.append(MarketHistory(market, candles, detail.get(symbol), rates))
        if about.get("detail") and symbol not in detail:
            lacks.append(f"the {about['detail']['timeframe']} detail candles of {symbol}")
    paid = tables.trades["funding"].to_numpy(np.float64) != 0.0
    owed = sorted(set(tables.trades["symbol"][paid]) - set(funding))
    lacks += [f"the funding rates of {symbol}" for symbol in owed]
    missing = (
        f"A saved result does not keep {' and '.join(lacks)}: the figures here are without, unless they are given."
        if lacks
        else ""
    )
    return Replay(histories, _logged(calls_of(tables.calls)), profile, assumptions, missing)


def _logged(decisions: Sequence[Decision]) -> tuple[LoggedCall, ...]:
    return tuple(LoggedCall(decision.at, decision.call) for decision in decisions)


def account_of(venue: SimulatedVenue, balance: float) -> dict[str, float | None]:
    """Return the figures of one account at the end of the candles.

    Parameters
    ----------
    venue
        At the end of a walk.
    balance
        The initial one, quote currency.

    Returns
    -------
    By name: ``total_return`` and ``max_drawdown`` (fractions), ``trades`` (closed), ``win_rate``, ``average_return`` (PnL
    over margin) and ``profit_factor`` of closed trades (None without), ``pnl`` (closed trades), ``fees`` (all fills),
    ``turnover`` (price x quantity of all fills) and ``refused`` (creates).
    """
    trades = trades_columns(venue)
    closed = ~trades["open"]
    pnl, gained = trades["pnl"][closed], trades["return"][closed]
    lost = -float(pnl[pnl < 0.0].sum())
    equity, time = np.asarray(venue.equity), np.asarray(venue.equity_time)
    worst = equity.copy()
    for history in venue.histories:
        candles = history.candles
        dip, _ = dips(candles.time, candles.high, candles.low, candles.close, traded_of(venue, candles.symbol))
        np.subtract.at(worst, np.searchsorted(time, candles.close_time), dip)
    fills = venue.event_records
    made = int(closed.sum())
    return {
        "total_return": float(equity[-1]) / balance - 1.0,
        "max_drawdown": float(drawdowns(balance, equity, worst).min()),
        "trades": made,
        "win_rate": float((pnl > 0.0).mean()) if made else None,
        "average_return": float(gained.mean()) if made else None,
        "profit_factor": float(pnl[pnl > 0.0].sum()) / lost if lost > 0.0 else None,
        "pnl": float(pnl.sum()),
        "fees": float(trades["fees"].sum()),
        "turnover": float(np.nansum(fills["price"] * fills["quantity"])),
        "refused": _refused(venue),
    }


def _refused(venue: SimulatedVenue) -> int:
    from backtest.engine.codes import REFUSED

    return int((venue.outcomes()["status"] == REFUSED).sum())


def require_visible(latencies: Sequence[int], histories: Sequence[MarketHistory]) -> None:
    """Refuse latencies that the candles walked cannot tell apart (L1.2).

    Parameters
    ----------
    latencies
        Milliseconds, each compared with the others.
    histories
        The markets with their candles.

    Raises
    ------
    InvalidSettingError
        Naming the first latency that rounding to the candles walked would move by more than a tenth of itself.
    """
    for history in histories:
        fine = history.detail is not None and bool(history.complete().any())
        span = history.fine_span if fine else history.candles.milliseconds
        for latency in latencies:
            if abs(nearest_multiple(latency, span) - latency) > _MOVED * latency:
                timeframe = (
                    history.detail.timeframe if fine and history.detail is not None else history.candles.timeframe
                )
                raise InvalidSettingError(
                    f"a latency of {text.duration(latency)} cannot be told from another in {timeframe} candles of "
                    f"{history.candles.symbol}: give detail candles of at most that length, or whole candles as latency"
                )
