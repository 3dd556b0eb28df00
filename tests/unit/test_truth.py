"""Every figure of a result once more, from its fills and candles alone, in plain loops that share no code with it."""

from __future__ import annotations

import math
import statistics as plain
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest

from backtest import Candles, Market, Result, Strategy, SubscriberProfile, run
from strategies.breakout import Breakout
from strategies.rsi_dip import RsiDip

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from backtest import Call, Moment

DAY = 86_400_000
ENTRIES = {"entered", "rebought", "dca_filled"}


class Ladder(Strategy):
    """Long and short on futures with two targets and a DCA: positions that grow, shrink and turn."""

    def on_candle(self, now: Moment) -> Iterable[Call]:
        from backtest import Dca

        if now.signals or now.position % 30:
            return
        side = 1 if now.position % 60 else -1
        create = now.create(
            entry=now.close * (1 + side * 0.001), targets=[now.close * (1 + side * x) for x in (0.03, 0.08)],
            stop_loss=now.close * (1 - side * 0.12), invest=25, side="long" if side > 0 else "short",
            account="FUTURES", leverage=2,
        )  # fmt: skip
        yield create
        yield Dca(create.ref, now.close * (1 - side * 0.04), 1.5)


@dataclass
class Position:
    side: int
    held: float = 0.0
    average: float = 0.0
    before: float = 0.0
    least: float = 0.0
    margin: float = 0.0


@dataclass
class Ledger:
    """One account, candle by candle."""

    balance: float
    closes: list[int] = field(default_factory=list)
    equity: list[float] = field(default_factory=list)
    worst: list[float] = field(default_factory=list)
    invested: list[float] = field(default_factory=list)
    held: list[bool] = field(default_factory=list)


def walk(result: Result) -> Ledger:
    """Walk the fills through the candles of all symbols at once (they have the same times)."""
    frames = result.tables.candles
    step = result.tables.step(next(iter(frames)))
    book: dict[str, Position] = {}
    symbols: dict[str, str] = {}
    fills = result.tables.fills.to_dict("records")
    ledger, realised, fees = Ledger(result.profile.balance), 0.0, 0.0
    times = sorted({int(time) for frame in frames.values() for time in frame["time"]})
    rows = {symbol: {int(row["time"]): row for row in frame.to_dict("records")} for symbol, frame in frames.items()}
    for time in times:
        for position in book.values():
            position.before = position.least = position.held
        touched = False
        while fills and fills[0]["time"] < time + step:
            fill = fills.pop(0)
            enters = fill["kind"] in ENTRIES
            side = 1 if fill["buy"] == enters else -1
            position = book.setdefault(fill["signal"], Position(side))
            symbols[fill["signal"]] = fill["symbol"]
            price, quantity, touched = fill["price"], fill["quantity"], True
            if enters:
                whole = position.held + quantity
                position.average = (position.average * position.held + price * quantity) / whole
                position.held = whole
            else:
                realised += position.side * (price - position.average) * quantity
                position.held -= quantity
                if position.held < 1e-9 * quantity:
                    position.held = 0.0
            position.least = min(position.least, position.held)
            fees += fill["fee"]
        open_, dip, notional = 0.0, 0.0, 0.0
        for name, position in book.items():
            row = rows[symbols[name]][time]
            open_ += position.side * (row["close"] - position.average) * position.held
            notional += position.held * row["close"]
            extreme = row["low"] if position.side > 0 else row["high"]
            dip += position.least * position.side * (row["close"] - extreme)
        ledger.closes.append(time + step)
        ledger.equity.append(ledger.balance + realised - fees + open_)
        ledger.worst.append(ledger.equity[-1] - dip)
        ledger.invested.append(notional / ledger.equity[-1])
        ledger.held.append(touched or any(position.held for position in book.values()))
    return ledger


def drawdown(ledger: Ledger) -> tuple[float, int]:
    """Return the deepest fall and the longest time under water, in ms."""
    high, deepest = ledger.balance, 0.0
    since, longest, under = 2 * ledger.closes[0] - ledger.closes[1], 0, False
    for time, close, worst in zip(ledger.closes, ledger.equity, ledger.worst, strict=True):
        deepest = min(deepest, worst / high - 1.0, close / high - 1.0)
        if under or close < high:
            longest = max(longest, time - since)
        under = close < high
        if not under:
            high, since = close, time
    return deepest, longest


def by_day(ledger: Ledger, values: list[float]) -> list[float]:
    """Return the last value of each UTC day; a close at midnight belongs to the day before."""
    days: dict[int, float] = {}
    for time, value in zip(ledger.closes, values, strict=True):
        days[(time - 1) // DAY] = value
    return [days[day] for day in range(min(days), max(days) + 1)]


def level(frame: pd.DataFrame, name: str, time: int) -> float:
    """Return a price of the candle of a time, over the first open; 1 before the first candle."""
    rows = frame[frame["time"] == time]
    return float(rows[name].iloc[0] / frame["open"].iloc[0]) if len(rows) else 1.0


def changes(initial: float, values: list[float]) -> list[float]:
    return [value / before - 1.0 for before, value in zip([initial, *values], values, strict=False)]


def pair() -> dict[str, Candles]:
    return {name: Candles.sample(name, "1d").between("2017-01-01", "2018-06-01") for name in ("BTC/USD", "ETH/USD")}


@pytest.fixture(scope="module", params=["spot", "dip", "two symbols", "futures"])
def result(request: pytest.FixtureRequest) -> Result:
    hourly = Candles.sample("BTC/USD", "1h").slice(0, 4000)
    if request.param == "spot":
        return run(Breakout(lookback=24, invest=40), hourly)
    if request.param == "dip":
        return run(RsiDip(), hourly)
    if request.param == "two symbols":
        return run(Breakout(lookback=5, invest=30), pair())
    futures = Market("BTC/USD", exchange="BINANCE", tick="0.01", max_leverage=10)
    return run(Ladder(), Candles.sample("BTC/USD", "1d").between("2014-06-01", "2017-06-01"), market=futures)


@pytest.fixture(scope="module")
def ledger(result: Result) -> Ledger:
    return walk(result)


def test_equity_is_what_the_fills_make_of_it(result: Result, ledger: Ledger) -> None:
    assert len(result.trades) > 10
    assert result.equity.tolist() == pytest.approx(ledger.equity, rel=1e-9)


def test_the_largest_drawdown_counts_closes_and_lows(result: Result, ledger: Ledger) -> None:
    deepest, longest = drawdown(ledger)
    assert result.stats["max_drawdown"] == pytest.approx(deepest, rel=1e-9)
    assert result.stats["longest_drawdown"] == longest
    assert (
        deepest
        <= min(close / max(ledger.balance, *ledger.equity[: k + 1]) for k, close in enumerate(ledger.equity)) - 1
    )


def test_the_chart_shows_the_drawdown_of_the_figures(result: Result) -> None:
    drawn = np.asarray(result.plot().axes[2].lines[0].get_ydata(), np.float64)
    assert drawn.min() == pytest.approx(100.0 * (result.stats["max_drawdown"] or 0.0))


def test_yearly_figures_come_from_days(result: Result, ledger: Ledger) -> None:
    days = by_day(ledger, ledger.equity)
    returns = changes(ledger.balance, days)
    year = math.sqrt(365.0)
    cagr = (days[-1] / ledger.balance) ** (365.0 / len(days)) - 1.0
    down = math.sqrt(sum(min(one, 0.0) ** 2 for one in returns) / len(returns))
    expected = {
        "final_equity": days[-1],
        "total_return": days[-1] / ledger.balance - 1.0,
        "cagr": cagr,
        "volatility": plain.stdev(returns) * year,
        "sharpe": plain.mean(returns) / plain.stdev(returns) * year,
        "sortino": plain.mean(returns) * 365.0 / (down * year),
        "calmar": cagr / -drawdown(ledger)[0],
    }
    assert {key: result.stats[key] for key in expected} == pytest.approx(expected, rel=1e-9)


def test_exposure_is_counted_candle_by_candle(result: Result, ledger: Ledger) -> None:
    assert result.stats["exposure"] == pytest.approx(sum(ledger.held) / len(ledger.held))
    assert result.stats["invested"] == pytest.approx(plain.mean(ledger.invested), rel=1e-9)


def test_buy_and_hold_is_made_comparable(result: Result, ledger: Ledger) -> None:
    frames, step = result.tables.candles.values(), result.tables.step(result.tables.symbols[0])
    worth, low = (
        [plain.mean(level(frame, name, time - step) for frame in frames) for time in ledger.closes]
        for name in ("close", "low")
    )
    held = Ledger(1.0, ledger.closes, worth, low)
    stats = result.stats
    assert stats.row("total_return").hold == pytest.approx(worth[-1] - 1.0)
    assert stats.row("max_drawdown").hold == pytest.approx(drawdown(held)[0])
    theirs, ours = changes(1.0, by_day(held, worth)), changes(ledger.balance, by_day(ledger, ledger.equity))
    shares = {
        "hold_at_exposure": plain.mean(ledger.invested),
        "hold_at_volatility": plain.stdev(ours) / plain.stdev(theirs),
    }
    for key, share in shares.items():
        grown = math.prod(1.0 + share * one for one in theirs)
        assert stats[key] == pytest.approx(grown - 1.0, rel=1e-9)
        assert stats.row(key).note == f"{100.0 * share:.1f} % invested"
        mixed = [share * one for one in theirs]
        if key == "hold_at_volatility":
            assert plain.stdev(mixed) == pytest.approx(plain.stdev(ours))


def test_trades_are_the_fills_summed_up(result: Result) -> None:
    rows = [row for row in result.tables.trades.to_dict("records") if not row["open"]]
    gains: dict[tuple[str, int], float] = {}
    for row in rows:
        cash = -float(row["funding"])
        for fill in result.tables.fills.to_dict("records"):
            if fill["signal"] == row["signal"] and row["entry_time"] <= fill["time"] <= row["exit_time"]:
                cash += (-1 if fill["buy"] else 1) * fill["price"] * fill["quantity"] - fill["fee"]
        gains[str(row["signal"]), int(row["entry_time"])] = cash
    assert [row["pnl"] for row in rows] == pytest.approx(list(gains.values()), rel=1e-6, abs=1e-6)
    pnl = list(gains.values())
    margins = [float(row["margin"]) for row in rows]
    lost = -sum(one for one in pnl if one < 0.0)
    expected = {
        "trades": len(rows),
        "win_rate": sum(one > 0.0 for one in pnl) / len(pnl),
        "average_return": plain.mean(one / margin for one, margin in zip(pnl, margins, strict=True)),
        "weighted_return": sum(pnl) / sum(margins),
        "median_return": plain.median(one / margin for one, margin in zip(pnl, margins, strict=True)),
        "profit_factor": sum(one for one in pnl if one > 0.0) / lost,
        "expectancy": plain.mean(pnl),
        "average_holding": plain.mean(row["exit_time"] - row["entry_time"] for row in rows),
        "fees": float(result.tables.fills["fee"].sum()),
    }
    assert {key: result.stats[key] for key in expected} == pytest.approx(expected, rel=1e-6)


def test_signals_are_counted_from_the_events(result: Result) -> None:
    told: dict[str, list[tuple[int, str]]] = {}
    for event in result.events:
        told.setdefault(event.signal, []).append((event.time, str(event.kind)))
    creates = [row for row in result.tables.calls if row["kind"].startswith("create")]
    waits = []
    for steps in told.values():
        if steps[0][1] == "refused":
            continue
        ends = [time for time, kind in steps if kind in ENTRIES | {"expired", "invalidated", "canceled", "closed"}]
        waits.append((ends[0] if ends else result.tables.span[1]) - steps[0][0])
    expected = {
        "signals_sent": len(creates),
        "signals_refused": sum(steps[0][1] == "refused" for steps in told.values()),
        "signals_filled": sum(any(kind in ENTRIES for _, kind in steps) for steps in told.values()),
        "signals_expired": sum(any(kind == "expired" for _, kind in steps) for steps in told.values()),
        "signals_pending": len(creates) - len(told),
        "signals_waiting": sum(
            not {kind for _, kind in steps} & (ENTRIES | {"expired", "invalidated", "canceled", "closed", "refused"})
            for steps in told.values()
        ),
        "longest_wait": max(waits),
    }
    assert {key: result.stats[key] for key in expected} == expected


def test_a_loss_that_grew_by_dca_weighs_more_than_the_mean_says() -> None:
    futures = Market("BTC/USD", exchange="BINANCE", tick="0.01", max_leverage=10)
    candles = Candles.sample("BTC/USD", "1d").between("2014-06-01", "2017-06-01")
    stats = run(Ladder(), candles, market=futures, profile=SubscriberProfile.anny(intrabar="candle")).stats
    assert (stats["weighted_return"] or 0.0) < (stats["average_return"] or 0.0)
