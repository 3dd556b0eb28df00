"""Run: one strategy over candles, on one subscriber's account."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from backtest.engine.history import MarketHistory
from backtest.errors import InvalidSettingError
from backtest.market_data.symbol import refuse_inverse
from backtest.model.assumptions import VenueAssumptions
from backtest.model.candles import Candles
from backtest.model.doors import door
from backtest.model.market import Market
from backtest.model.profile import SubscriberProfile
from backtest.report.daily import daily_returns
from backtest.report.selection import sharpe_of
from backtest.runner.by_symbol import by_symbol, rates_of
from backtest.runner.checks.checked import Checked, Level
from backtest.runner.checks.surroundings import Surroundings
from backtest.runner.execute import Execution, Prepared, prepare
from backtest.runner.finished import Finished
from backtest.runner.lived import Lived
from backtest.runner.lived_walk import walk_lived
from backtest.runner.passes import fresh, walk_pass
from backtest.runner.result import Result
from backtest.runner.trials import family_of, ledger_path, record, span_of
from backtest.strategy import Strategy

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["histories_of", "lane_of", "market_of", "run"]


def run(
    strategy: Strategy,
    candles: Candles | Mapping[str, Candles] | None = None,
    *,
    market: Market | Mapping[str, Market] | None = None,
    profile: SubscriberProfile | None = None,
    assumptions: VenueAssumptions | None = None,
    detail: Candles | Mapping[str, Candles] | None = None,
    funding: ArrayLike | Mapping[str, ArrayLike] | None = None,
    lane: str | None = None,
    strict: bool = False,
    checks: Level | None = None,
    outcomes: Lived | os.PathLike[str] | str | None = None,
) -> Result:
    """Run a strategy over candles and return what a subscriber would have got.

    Parameters
    ----------
    strategy
        The object that is switched to live emission unchanged. A run asks deep copies of it, one for each reading of the
        candles, and changes nothing of it.
    candles
        Of one symbol, or by symbol, all in one timeframe: several share one account (L14.1). With ``outcomes`` None: those
        that the emission saw.
    market
        Tick, step, minimums and address of the signals, or those by symbol. None: of the sample for sample candles, else
        nothing is rounded but quantities (1e-8), and the result says so.
    profile, assumptions
        On which signals are executed; None: :meth:`SubscriberProfile.anny` and the defaults.
    detail
        Finer candles, walked in place of coarse ones where complete (L2.4).
    funding
        (k, 2): time in UTC ms and rate as a fraction (L13.3).
    lane
        ``"table"`` or ``"candle"`` where the strategy has both; None takes the table.
    strict
        Whether the first call that the desk refuses ends the run as an error. Else it is refused alone, never sent, counted
        and listed, and the run goes on: prices out of order, because the tick is coarse or the market stood still (L3.8).
    checks
        ``"auto"`` or ``"full"``: whether the strategy looks ahead, keeps state, or needs more history than it gives is
        checked when statistics, display or save first ask, and stands in every verdict. ``"off"``: not, and that is said.
        None: what ``BACKTEST_CHECKS`` says in the environment, else ``"auto"``.
    outcomes
        An emission's journal (its path, or what was read of it): the run sees what the emission saw, from the same anchors
        on, under the same market rules and profile where those are not given, and is told the same outcomes. So it makes the
        same calls, byte for byte, as long as the code is the same. Such a run is not checked, and counted as no trial.
        None: each call reaches the venue at its close.

    Returns
    -------
    Result
        The run in the profile's intrabar mode; the other two modes are run when statistics, display or save first ask.

    Raises
    ------
    InvalidSignalError
        A fault of the strategy's code, naming candle, field and value: a field that is missing, a price that is NaN, shares
        that do not sum, leverage on SPOT.
    InvalidSettingError
        Arguments that do not fit each other.

    Examples
    --------
    >>> from backtest import Candles, Strategy, SubscriberProfile, run
    >>> class Dip(Strategy):
    ...     def on_candle(self, now):
    ...         if not now.signals and now.close < 0.95 * now.open:
    ...             yield now.market(targets=[1.05 * now.close], stop_loss=0.9 * now.close, invest=10)
    >>> result = run(Dip(), Candles.sample("ETH/USD", "1d"), profile=SubscriberProfile.anny(balance=1_000))
    >>> result.equity.iloc[0].item()
    1000.0
    >>> result.refused
    []
    """
    if outcomes is not None:
        if detail is not None or funding is not None:
            raise InvalidSettingError("a run with outcomes sees what the emission saw: leave out detail and funding")
        return _run_lived(strategy, candles, outcomes, market, profile, assumptions, lane, strict=strict)
    profile = SubscriberProfile.anny() if profile is None else profile
    assumptions = VenueAssumptions() if assumptions is None else assumptions
    _check_kind("strategy", strategy, Strategy)
    _check_kind("profile", profile, SubscriberProfile)
    _check_kind("assumptions", assumptions, VenueAssumptions)
    histories = histories_of(candles, market, detail, funding)  # type: ignore[arg-type]  # which refuses None in its own words
    chosen = lane_of(strategy, lane)
    level: Any = checks or os.environ.get("BACKTEST_CHECKS") or "auto"
    if level not in get_args(Level):
        raise InvalidSettingError(f"checks is auto, full or off, was {level!r}")
    asked, around = fresh(strategy), Surroundings(strategy)
    prepared: list[Prepared] = [prepare(asked, history, lane=chosen) for history in histories]
    execution = walk_pass(asked, prepared, profile, assumptions, strict=strict)
    changed = tuple(around.changed(execution.desks[0].strategy))
    checked = Checked(fresh(strategy), histories, chosen, profile, assumptions, execution, around, changed)
    problem = _remember(strategy, histories, profile, execution)
    return Result(Finished(asked, prepared, profile, assumptions, execution, walk_pass, checked, level, problem))


def _run_lived(
    strategy: Strategy,
    candles: Any,
    outcomes: Lived | os.PathLike[str] | str,
    market: Any,
    profile: SubscriberProfile | None,
    assumptions: VenueAssumptions | None,
    lane: str | None,
    *,
    strict: bool,
) -> Result:
    """Run over what an emission lived through."""
    _check_kind("strategy", strategy, Strategy)
    one = candles if candles is None or isinstance(candles, Candles) else next(iter(candles.values()), None)
    place = ("", "") if one is None else (one.exchange, one.timeframe)
    lived: Lived = outcomes if isinstance(outcomes, Lived) else door("lived")(outcomes, strategy.identity, place)
    if candles is not None or market is not None:
        series = {symbol: one.candles for symbol, one in lived.markets.items()}
        given = {candles.symbol: candles} if isinstance(candles, Candles) else dict(candles or series)
        if given.keys() != series.keys():
            raise InvalidSettingError(f"the emission was on {', '.join(series)}; candles were of {', '.join(given)}")
        histories_of(given)
        lived = lived.on(given, by_symbol(market, Market, series, "market"))
    profile = profile or lived.profile or SubscriberProfile.anny()
    assumptions = VenueAssumptions() if assumptions is None else assumptions
    _check_kind("profile", profile, SubscriberProfile)
    _check_kind("assumptions", assumptions, VenueAssumptions)
    if not len(lived.closes):
        raise InvalidSettingError("the emission has not seen a close yet")
    chosen = lane_of(strategy, lane)

    def walk(
        asked: Strategy, _: Any, terms: SubscriberProfile, assumed: VenueAssumptions, *, strict: bool = False
    ) -> Execution:
        return walk_lived(asked, lived, terms, assumed, lane=chosen, strict=strict)

    asked = fresh(strategy)
    execution = walk(asked, (), profile, assumptions, strict=strict)
    return Result(Finished(asked, execution.prepared, profile, assumptions, execution, walk))


def _remember(
    strategy: Strategy, histories: list[MarketHistory], profile: SubscriberProfile, execution: Execution
) -> str:
    """Add the run to the ledger of trials, where there is one; return why it could not be written, or ""."""
    if ledger_path() is None or type(strategy).__name__.startswith("_"):
        return ""
    daily = daily_returns(profile.balance, execution.venue.equity_time, execution.venue.equity)
    sharpe = float(sharpe_of(daily)) if len(daily) > 1 else float("nan")
    return record(
        family_of(strategy), span_of([history.candles for history in histories]), strategy.identity, sharpes=[sharpe]
    )


def _check_kind(name: str, value: object, kind: type) -> None:
    if isinstance(value, kind):
        return
    if isinstance(value, type) and issubclass(value, kind):
        raise InvalidSettingError(f"{name} was the class {value.__name__}; make one of it: {value.__name__}(...)")
    raise InvalidSettingError(f"{name} is a {kind.__name__}, was {value!r:.60}")


def lane_of(strategy: Strategy, lane: str | None = None) -> str:
    """Return which lane runs: ``"table"`` or ``"candle"``.

    Parameters
    ----------
    strategy
        What shall run.
    lane
        ``"table"`` or ``"candle"``; None takes the table where there is one.

    Raises
    ------
    InvalidSettingError
        If the strategy has not written it, or none at all.
    """
    lanes = [name for name, method in (("table", "signals"), ("candle", "on_candle")) if strategy.has(method)]
    if not lanes and strategy.has("on_event"):
        lanes = ["candle"]
    if not lanes:
        raise InvalidSettingError(f"{type(strategy).__name__} has neither on_candle nor signals; write one of them")
    if lane is not None and lane not in lanes:
        raise InvalidSettingError(f"lane was {lane!r}; {type(strategy).__name__} has {' and '.join(lanes)}")
    return lane or lanes[0]


def histories_of(
    candles: Candles | Mapping[str, Candles],
    market: Market | Mapping[str, Market] | None = None,
    detail: Candles | Mapping[str, Candles] | None = None,
    funding: ArrayLike | Mapping[str, ArrayLike] | None = None,
) -> list[MarketHistory]:
    """Return one history a symbol, by name of the symbol.

    Parameters
    ----------
    candles, market, detail, funding
        As for :func:`run`.
    """
    if not isinstance(candles, Candles | Mapping):
        raise InvalidSettingError(f"candles are Candles or those by symbol, was {type(candles).__name__}")
    series = {candles.symbol: candles} if isinstance(candles, Candles) else dict(candles)
    if not series:
        raise InvalidSettingError("there are no candles to run over")
    for symbol, one in series.items():
        if symbol != one.symbol:
            raise InvalidSettingError(f"candles of {one.symbol} were given under the name {symbol}")
        if len(one) == 0:
            raise InvalidSettingError(f"there is no candle of {symbol} to run over")
        refuse_inverse(symbol)
    if len({one.timeframe for one in series.values()}) > 1:
        raise InvalidSettingError(
            f"all symbols need one timeframe, had {', '.join(sorted({one.timeframe for one in series.values()}))}: resample them"
        )
    markets, fine, rates = (
        by_symbol(market, Market, series, "market"),
        by_symbol(detail, Candles, series, "detail"),
        rates_of(funding, series),
    )
    return [
        MarketHistory(markets.get(symbol) or market_of(one), one, fine.get(symbol), rates.get(symbol, np.empty((0, 2))))
        for symbol, one in sorted(series.items())
    ]


def market_of(candles: Candles) -> Market:
    """Return the market of the sample for sample candles, else one that rounds quantities only."""
    from backtest.market_data.sample import is_sample, sample_market

    if is_sample(candles):
        return sample_market(candles.symbol)
    return Market(candles.symbol, exchange=(candles.exchange or "binance").upper())
