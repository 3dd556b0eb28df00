"""Luck: what chance alone would have given in place of a run."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from backtest.engine.history import MarketHistory
from backtest.errors import BacktestError, InvalidSettingError
from backtest.model.calls import CreateSignal
from backtest.model.candles import Candles
from backtest.report import text
from backtest.report.daily import daily_returns
from backtest.report.metrics import YEAR
from backtest.report.selection import (
    SharpeSample,
    block_length,
    bootstrap_rows,
    deflated_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
    sharpe_of,
)
from backtest.runner.execute import execute, prepare
from backtest.runner.trials import Tried, family_of, span_of, tried
from backtest.strategy import SignalTable, Strategy
from backtest.strategy.plan import plan_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from backtest.engine.simulator import SimulatedVenue
    from backtest.runner.finished import Finished

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

__all__ = ["KINDS", "Given", "Luck", "luck_of", "permuted_candles", "random_table", "shifted_table", "table_of"]

DRAWS = 200
"""Draws of each kind, where nothing else is asked for."""

KINDS = ("random entries", "shifted times", "permuted candles")
"""What can be drawn."""

FEW, ENOUGH = 10, 30
"""Trades below which nothing can be said, and below which little can."""

_PRICES = ("entry_price_max", "entry_price_min", "entry_price_mid", "stop_loss", "trailing_stop_price", "trailing_stop_limit_price")  # fmt: skip
_PLAIN = ("invest", "invest_entry_min", "invest_entry_mid", "invest_entry_max", "leverage", "ttl_buy_order")


class Given(Strategy):
    """Sends a table that was made elsewhere: the entries of a draw."""

    table: Any = None

    def signals(self, candles: Candles, ind: Any) -> SignalTable:
        """Return the table as it was given."""
        found: SignalTable = self.table
        return found


@dataclass(frozen=True, eq=False)
class Luck:
    """What chance alone would have given, beside what the run gave.

    Attributes
    ----------
    total_return
        Of the run, in its intrabar mode, a fraction.
    daily
        (days,) float64, its returns of UTC days.
    trades
        How many it closed.
    draws
        Total returns of the draws, by kind: ``"random entries"`` (the same number and geometry of signals at random
        closes), ``"shifted times"`` (all signals moved round by one distance), ``"permuted candles"`` (the whole strategy
        over the same candles in another order). Empty where none were drawn.
    reasons
        Why a kind was not drawn, by kind.
    trials
        How many variants of the strategy were tried over these candles, by the ledger; 1 where it knows of no other.
    trial_variance
        Variance of the daily Sharpe ratios across them; NaN where it is not known, and 1 / days is taken.
    seed
        Of the draws and of the bootstrap.
    """

    total_return: float
    daily: Floats
    trades: int
    draws: dict[str, Floats] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    trials: float = 1.0
    trial_variance: float = math.nan
    seed: int = 0

    def p_value(self, kind: str = "random entries") -> float:
        """Return how often a draw does at least as well as the run: ``(1 + as good) / (1 + draws)``; NaN without draws.

        Parameters
        ----------
        kind
            One of :attr:`draws`.
        """
        drawn = self.draws.get(kind)
        if drawn is None or len(drawn) == 0:
            return math.nan
        return float((1 + (drawn >= self.total_return).sum()) / (1 + len(drawn)))

    @cached_property
    def sample(self) -> SharpeSample | None:
        """The daily Sharpe ratio with the shape of its returns; None where nothing moved."""
        return SharpeSample.of(self.daily)

    @property
    def sharpe(self) -> float:
        """Sharpe ratio a year of 365 days."""
        return math.nan if self.sample is None else self.sample.sharpe * math.sqrt(YEAR)

    @property
    def psr(self) -> float:
        """Probability that the true Sharpe ratio lies above 0."""
        return math.nan if self.sample is None else probabilistic_sharpe(self.sample)

    @property
    def dsr(self) -> float:
        """Probability that it beats what the best of :attr:`trials` variants shows by luck alone."""
        if self.sample is None:
            return math.nan
        variance = self.trial_variance if math.isfinite(self.trial_variance) else 1.0 / max(1, len(self.daily) - 1)
        return deflated_sharpe(self.sample, self.trials, variance)

    @property
    def years(self) -> float:
        """Length of the record in years."""
        return len(self.daily) / YEAR

    @property
    def years_needed(self) -> float:
        """Length at which the Sharpe ratio would be believed to lie above 0 with 95 % (MinTRL)."""
        return math.inf if self.sample is None else minimum_track_record(self.sample) / YEAR

    @cached_property
    def interval(self) -> dict[str, tuple[float, float]]:
        """5th and 95th percentile of total return and Sharpe ratio under the stationary bootstrap of daily returns."""
        if self.sample is None:
            return {}
        rows = bootstrap_rows(len(self.daily), block_length(self.daily), 1_000, self.seed)
        drawn = self.daily[rows]
        total = np.prod(1.0 + drawn, axis=1) - 1.0
        sharpe = sharpe_of(drawn.T) * math.sqrt(YEAR)
        return {
            name: (float(np.quantile(values, 0.05)), float(np.quantile(values, 0.95)))
            for name, values in (("total_return", total), ("sharpe", sharpe))
        }

    @property
    def flag(self) -> str:
        """What the number of trades allows to say, or ""."""
        if self.trades < FEW:
            return f"{text.plural(self.trades, 'trade')}: nothing can be said"
        if self.trades < ENOUGH:
            return f"{self.trades} trades: too few to say much"
        return ""

    @property
    def lines(self) -> tuple[str, ...]:
        """One sentence a figure."""
        found = [self.flag] if self.flag else []
        for kind, drawn in self.draws.items():
            if len(drawn):
                good = int((drawn >= self.total_return).sum())
                found.append(
                    f"{kind}: {good} of {len(drawn)} did at least as well (p = {self.p_value(kind):.3f}; median "
                    f"{text.percent(float(np.median(drawn)), signed=True)}, run {text.percent(self.total_return, signed=True)})"
                )
        found += [f"{kind}: {why}" for kind, why in self.reasons.items()]
        if self.sample is None:
            return (*found, "the daily returns never moved: no Sharpe ratio")
        needed = f"{self.years_needed:.1f} years" if math.isfinite(self.years_needed) else "no length"
        found.append(
            f"Sharpe {self.sharpe:.2f} a year, above 0 with probability {self.psr:.3f} (PSR); {needed} would be needed to "
            f"believe it at 95 %, {self.years:.1f} are there"
        )
        found.append(
            f"as the best of {self.trials:.0f} tried: above luck with probability {self.dsr:.3f} (DSR)"
            if self.trials > 1
            else "no other variant is in the ledger of trials: it counts what was run here, not what was tried elsewhere"
        )
        low, high = self.interval["sharpe"]
        worst, best = self.interval["total_return"]
        found.append(
            f"90 % of bootstrapped records: Sharpe {low:.1f} to {high:.1f}, total return {text.percent(worst, signed=True)} "
            f"to {text.percent(best, signed=True)}"
        )
        return tuple(found)

    def __repr__(self) -> str:
        return "\n".join(self.lines)

    def _repr_html_(self) -> str:
        from html import escape

        return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in self.lines) + "</ul>"


def random_table(
    table: SignalTable, made: Integers, close: Floats, count: int, rng: np.random.Generator
) -> SignalTable:
    """Return the rows of a table that were made, moved to random closes, their prices scaled by the close there.

    Parameters
    ----------
    table
        Of the run.
    made
        (k,) int64, its rows that became signals.
    close
        (n,) float64, closes of the candles.
    count
        How many rows to draw, with replacement where there are more than ``made``.
    rng
        Of the draw.
    """
    rows = made[rng.permutation(len(made))] if count <= len(made) else made[rng.integers(0, len(made), count)]
    places = np.sort(rng.choice(len(close) - 1, min(count, len(close) - 1), replace=False))
    return _moved(table, rows[: len(places)], places, close)


def shifted_table(table: SignalTable, close: Floats, distance: int) -> SignalTable:
    """Return a table whose signals come ``distance`` candles later, those at the end round to the beginning.

    Parameters
    ----------
    table
        Of the run.
    close
        (n,) float64, closes of the candles.
    distance
        In candles.
    """
    places = (table.rows + distance) % len(close)
    order = np.argsort(places, kind="stable")
    return _moved(table, order, places[order], close)


def _moved(table: SignalTable, rows: Integers, places: Integers, close: Floats) -> SignalTable:
    ratio = close[places] / close[table.rows[rows]]

    def taken(value: Any, *, scaled: bool) -> Any:
        if value is None:
            return None
        column = value[rows] if isinstance(value, np.ndarray) else np.full(len(rows), float(value))
        return column * ratio if scaled else column

    sides = table.sides()
    columns = {name: taken(getattr(table, name) if name.startswith("trailing") else table.column(name), scaled=True) for name in _PRICES}  # fmt: skip
    columns |= {name: taken(table.column(name), scaled=False) for name in _PLAIN}
    return SignalTable(
        at=places,
        targets=tuple(taken(table.target(k), scaled=True) for k in range(len(table.targets))),
        dca=tuple(
            (taken(table.level(k, 0), scaled=True), taken(table.level(k, 1), scaled=False))
            for k in range(len(table.dca))
        ),
        side="long" if isinstance(sides, int) and sides > 0 else "short" if isinstance(sides, int) else sides[rows],
        while_open=table.while_open,
        account=table.account,
        margin_type=table.margin_type,
        version=table.version,
        allow_no_stop=table.allow_no_stop,
        **columns,
    )


def permuted_candles(candles: Candles, rng: np.random.Generator) -> Candles:
    """Return candles whose moves are the same in another order: what a strategy could have found in them is gone.

    The moves inside a candle (high, low and close over its open, with the volume) and the gaps between candles are
    permuted apart; times stay, and so do first open and last close.

    Parameters
    ----------
    candles
        Of the run.
    rng
        Of the draw.
    """
    n = len(candles)
    inside, gaps = rng.permutation(n), rng.permutation(n - 1)
    opened = np.log(candles.open)
    high, low, close = (np.log(getattr(candles, name)) - opened for name in ("high", "low", "close"))
    gap = (opened[1:] - np.log(candles.close[:-1]))[gaps]
    high, low, close = high[inside], low[inside], close[inside]
    start = opened[0] + np.r_[0.0, np.cumsum(close[:-1] + gap)]
    first = np.exp(start)
    columns = {name: np.exp(start + move) for name, move in (("high", high), ("low", low), ("close", close))}
    return Candles(
        candles.symbol,
        candles.timeframe,
        candles.time,
        first,
        np.maximum(columns["high"], np.maximum(first, columns["close"])),
        np.minimum(columns["low"], np.minimum(first, columns["close"])),
        columns["close"],
        candles.volume[inside],
        candles.exchange,
    )


def table_of(creates: Sequence[tuple[int, CreateSignal]], close_time: Integers) -> SignalTable:
    """Return creates of one market as a table, so that they can be moved.

    Parameters
    ----------
    creates
        Close time (UTC ms) and create.
    close_time
        (n,) int64, closes of the candles.

    Raises
    ------
    InvalidSettingError
        Where they do not have the same fields.
    """
    first = creates[0][1]
    same = ("account", "margin_type", "version", "allow_no_stop")
    columns: dict[str, Any] = {}
    for name in (*_PRICES[:4], *_PLAIN):
        values = [getattr(create, name) for _, create in creates]
        if any((value is None) != (values[0] is None) for value in values):
            raise InvalidSettingError(f"some creates have {name} and others not")
        columns[name] = None if values[0] is None else np.array(values, np.float64)
    count = len(first.targets)
    if any(len(create.targets) != count or None in create.targets for _, create in creates) or any(
        getattr(create, name) != getattr(first, name) for _, create in creates for name in same
    ):
        raise InvalidSettingError("its creates differ in account or in the number of targets")
    return SignalTable(
        at=np.searchsorted(close_time, [at for at, _ in creates]),
        targets=tuple(np.array([create.targets[k] for _, create in creates], np.float64) for k in range(count)),
        side=np.array([create.side for _, create in creates], np.int64),
        while_open="skip",
        **{name: getattr(first, name) for name in same},
        **columns,
    )


def luck_of(run: Finished, kinds: Sequence[str] = KINDS, draws: int | None = None, seed: int = 0) -> Luck:
    """Return what chance would have given in place of a finished run.

    Parameters
    ----------
    run
        Of a strategy.
    kinds
        Of :data:`KINDS`.
    draws
        Of each kind; None: 200 for strategies that only create signals, 0 for those whose later calls answer what
        happened, which cannot be moved.
    seed
        Of all draws.

    Raises
    ------
    InvalidSettingError
        For a kind that is not known, or a negative number of draws.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise InvalidSettingError(f"there are {', '.join(KINDS)}, was {unknown[0]!r}")
    if draws is not None and draws < 0:
        raise InvalidSettingError(f"draws is a number from 0, was {draws}")
    venue = run.venue
    total = venue.curve.final / run.profile.balance - 1.0
    daily = daily_returns(run.profile.balance, venue.equity_time, venue.equity)
    found: dict[str, Floats] = {}
    reasons: dict[str, str] = {}
    for kind in kinds:
        once = _draw_of(run, kind, answers=draws is not None)
        if isinstance(once, str):
            reasons[kind] = once
        elif draws != 0:
            found[kind] = _drawn(draws or DRAWS, seed, kind, once)
    count = Tried()
    if isinstance(run.strategy, Strategy):
        count = tried(family_of(run.strategy), span_of([history.candles for history in run.histories]))
    if count.problem:
        reasons["ledger"] = count.problem
    return Luck(total, daily, len(venue.trade_records), found, reasons, max(1.0, count.effective), count.variance, seed)


def _draw_of(run: Finished, kind: str, *, answers: bool) -> Callable[[np.random.Generator], float] | str:
    """Return what makes one draw of a kind, or why there is none."""
    reason = _not_drawn(run, answers=answers)
    if reason:
        return reason
    history, part = run.histories[0], run.prepared[0]
    if kind == "permuted candles":
        strategy, lane = cast("Strategy", run.strategy), "candle" if part.table is None else "table"

        def permuted(rng: np.random.Generator) -> float:
            again = MarketHistory(history.market, permuted_candles(history.candles, rng))
            return _total(run, copy.deepcopy(strategy), again, lane)

        return permuted
    try:
        table = table_of(_creates(run), history.candles.close_time)
    except InvalidSettingError as error:
        return str(error)
    rows, close, plain = np.arange(len(table)), history.candles.close, MarketHistory(history.market, history.candles)
    if kind == "shifted times":
        return lambda rng: _total(
            run, Given(table=shifted_table(table, close, int(rng.integers(1, len(close))))), plain, "table"
        )
    count = _as_many(run, table, plain)
    return lambda rng: _total(run, Given(table=random_table(table, rows, close, count, rng)), plain, "table")


def _not_drawn(run: Finished, *, answers: bool) -> str:
    strategy = run.strategy
    if not isinstance(strategy, Strategy):
        return "a call log has no strategy to run again"
    if len(run.histories) > 1:
        return "several markets on one account are not drawn"
    if not answers and (strategy.has("on_event") or plan_of(strategy) is not None):
        return "not drawn by default: its later calls answer what happened"
    return "" if _creates(run) else "there was no signal"


def _creates(run: Finished) -> list[tuple[int, CreateSignal]]:
    return [(one.at, one.call) for one in run.execution.decisions if isinstance(one.call, CreateSignal)]


def _as_many(run: Finished, table: SignalTable, history: MarketHistory) -> int:
    """Return how many random rows it takes until as many become signals as in the run.

    Where only one may live at a time, rows at random closes fall into each other's way more often than the run's own.
    """
    rng = np.random.default_rng(len(table))
    close, rows = history.candles.close, np.arange(len(table))
    made = [
        len(
            _walked(
                run, Given(table=random_table(table, rows, close, len(table), rng)), history, "table"
            ).table_creates(0)
        )
        for _ in range(5)
    ]
    share = max(0.1, sum(made) / (5 * len(table)))
    return min(len(close) - 1, round(len(table) / share))


def _walked(run: Finished, strategy: Strategy, history: MarketHistory, lane: str) -> SimulatedVenue:
    return execute(strategy, [prepare(strategy, history, lane=lane)], run.profile, run.assumptions).venue


def _total(run: Finished, strategy: Strategy, history: MarketHistory, lane: str) -> float:
    return _walked(run, strategy, history, lane).curve.final / run.profile.balance - 1.0


def _drawn(count: int, seed: int, kind: str, once: Callable[[np.random.Generator], float]) -> Floats:
    """Return the total returns of draws, each from a seed of its own, so that more draws begin with the same ones."""
    found = np.empty(count)
    for k in range(count):
        try:
            found[k] = once(np.random.default_rng([seed, KINDS.index(kind), k]))
        except BacktestError:  # a draw that makes no valid signal earns nothing
            found[k] = 0.0
    return found
