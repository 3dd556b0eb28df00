"""Tables of a made-up run, from a seed, for every test of the report; and what ResultTables says of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from backtest.errors import InvalidSettingError
from backtest.model.assumptions import VenueAssumptions
from backtest.model.profile import SubscriberProfile
from backtest.report.interval import Interval
from backtest.report.tables import ResultTables

if TYPE_CHECKING:
    from numpy.typing import NDArray

HOUR = 3_600_000
START = 1_704_067_200_000  # 2024-01-01
FEE = 0.001
EVENT_COLUMNS = [
    "time",
    "signal",
    "symbol",
    "kind",
    "price",
    "quantity",
    "fee",
    "target",
    "average_entry",
    "open_quantity",
    "leg",
    "rule",
    "reason",
]
FILL_COLUMNS = ["time", "signal", "symbol", "kind", "buy", "price", "quantity", "fee", "target", "rule", "leg"]
TRADE_COLUMNS = [
    "signal",
    "symbol",
    "side",
    "entry_time",
    "exit_time",
    "quantity",
    "average_entry",
    "average_exit",
    "realised",
    "fees",
    "funding",
    "pnl",
    "margin",
    "return",
    "invest",
    "exit",
    "targets_hit",
    "ambiguous",
    "open",
]


def random_candles(n: int, seed: int, step: int = HOUR) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    close = 42_000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.006, n)))
    opened = np.r_[42_000.0, close[:-1]][:n]
    high = np.maximum(opened, close) * (1.0 + rng.exponential(0.002, n))
    low = np.minimum(opened, close) * (1.0 - rng.exponential(0.002, n))
    columns = {"open": opened, "high": high, "low": low, "close": close}
    time = START + np.arange(n, dtype=np.int64) * step
    return pd.DataFrame({"time": time, **{k: v.round(2) for k, v in columns.items()}, "volume": rng.uniform(1, 9, n)})


@dataclass
class Maker:
    """A toy venue: market entry, two targets, half at each, break-even after the first, stop before target."""

    symbol: str
    candles: pd.DataFrame
    step: int
    trades: list[dict[str, Any]] = field(default_factory=list)
    fills: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)

    def run(self, every: int) -> None:
        busy = 0
        for number, i in enumerate(range(every // 2, len(self.candles), every)):
            if busy <= i < len(self.candles) - 40:
                busy = self.trade(i, 1 if number % 3 else -1)
        if len(self.candles) > busy + 2:
            self.trade(len(self.candles) - 2, 1)  # so late that it stays open

    def event(self, i: int, ref: str, kind: str, rule: str, price: float | None, quantity: float, **more: Any) -> None:
        row = {"time": int(self.candles["time"][i]), "signal": ref, "symbol": self.symbol, "kind": kind, "rule": rule}
        row |= {"price": np.nan if price is None else price, "quantity": quantity, "fee": more.get("fee", 0.0)}
        row |= {"target": more.get("target", 0), "average_entry": more.get("average", np.nan)}
        self.events.append(row | {"open_quantity": more.get("left", 0.0), "leg": more.get("leg", "open"), "reason": ""})
        if price is not None and quantity:
            self.fills.append({k: row.get(k) for k in FILL_COLUMNS} | {"buy": more["buy"], "leg": more.get("leg", "")})

    def trade(self, i: int, side: int) -> int:
        entry = float(self.candles["open"][i])
        ref = f"{self.symbol}-{int(self.candles['time'][i])}-0"
        targets = [round(entry * (1 + side * x), 2) for x in (0.015, 0.03)]
        stop = round(entry * (1 - side * 0.02), 2)
        quantity = 1000.0 / entry
        self.create(i, ref, side, entry, targets, stop)
        self.event(i, ref, "created", "L5.4", None, 0.0)
        self.event(
            i, ref, "entered", "L4.1", entry, quantity, fee=1000 * FEE, buy=side > 0, average=entry, left=quantity
        )
        left, sold, hit, j, kind = quantity, [], 0, i, ""
        while j < len(self.candles) and left > 0:
            high, low = float(self.candles["high"][j]), float(self.candles["low"][j])
            worst, best = (low, high) if side > 0 else (high, low)
            if side * worst <= side * stop:
                sold.append((stop, left))
                left, kind = 0.0, "stop_hit"
                self.event(
                    j, ref, kind, "L3.4", stop, sold[-1][1], fee=stop * sold[-1][1] * FEE, buy=side < 0, leg="leg 1"
                )
            elif side * best >= side * targets[hit]:
                part = quantity / 2 if hit == 0 else left
                left, hit, kind = left - part, hit + 1, "target_hit"
                sold.append((targets[hit - 1], part))
                fee = targets[hit - 1] * part * FEE
                self.event(
                    j, ref, kind, "L6.1", targets[hit - 1], part,
                    fee=fee, target=hit, buy=side < 0, average=entry if left else np.nan, left=left, leg="leg 2",
                )  # fmt: skip
                if left:
                    stop = entry
                    self.event(j, ref, "stop_moved", "L6.5", stop, 0.0, average=entry, left=left, leg="leg 2")
            j += 1
        if not left:
            self.event(j - 1, ref, "closed", "L12.2", None, 0.0)
        self.record(ref, side, (i, j - 1), entry, sold, left, (hit, kind))
        return j

    def create(self, i: int, ref: str, side: int, entry: float, targets: list[float], stop: float) -> None:
        coin, _, market = self.symbol.partition("/")
        body = {"coin": coin, "trade_market": market, "exchange": "BINANCE", "invest": 10}
        body |= {"entry_price_min": f"{entry * 0.999:.2f}", "entry_price_max": f"{entry * 1.001:.2f}"}
        body |= {f"exit_price_{k}": f"{x:.2f}" for k, x in enumerate(targets, 1)} | {"stop_loss": f"{stop:.2f}"}
        body |= {"type": "long" if side > 0 else "short"}
        at = int(self.candles["time"][i])
        self.calls.append({"method": "POST", "path": "/v2/signal", "body": body, "at": at, "ref": ref})

    def record(
        self,
        ref: str,
        side: int,
        rows: tuple[int, int],
        entry: float,
        sold: list[tuple[float, float]],
        left: float,
        end: tuple[int, str],
    ) -> None:
        (hit, kind), quantity, done = end, 1000.0 / entry, sum(q for _, q in sold)
        realised = sum(side * (p - entry) * q for p, q in sold)
        fees = 1000.0 * FEE + sum(p * q * FEE for p, q in sold)
        time = self.candles["time"]
        self.trades.append(
            {
                "signal": ref, "symbol": self.symbol, "side": side, "entry_time": int(time[rows[0]]),
                "exit_time": -1 if left else int(time[rows[1]]), "quantity": quantity, "average_entry": entry,
                "average_exit": np.nan if left else sum(p * q for p, q in sold) / done, "realised": realised,
                "fees": fees, "funding": 0.0, "pnl": realised - fees, "margin": 1000.0,
                "return": (realised - fees) / 1000.0, "invest": 0.1, "exit": "" if left else kind,
                "targets_hit": hit, "ambiguous": len(self.trades) % 7 == 3, "open": bool(left),
            }
        )  # fmt: skip

    def pnl_curve(self) -> NDArray[np.float64]:
        """PnL at each close: what was realised, less fees, plus what is open at that close."""
        time, close = self.candles["time"].to_numpy(), self.candles["close"].to_numpy()
        curve = np.zeros(len(time))
        for fill in self.fills:
            row, sign = int(np.searchsorted(time, fill["time"])), 1.0 if fill["buy"] else -1.0
            curve[row:] += sign * fill["quantity"] * (close[row:] - fill["price"]) - fill["fee"]
        return curve


def sample_tables(
    n: int = 1500, *, every: int = 40, symbols: tuple[str, ...] = ("BTC/USDT",), seed: int = 5
) -> ResultTables:
    makers = [Maker(symbol, random_candles(n, seed + k), HOUR) for k, symbol in enumerate(symbols)]
    for maker in makers:
        maker.run(every)
    time = START + (np.arange(n, dtype=np.int64) + 1) * HOUR
    equity = 10_000.0 + sum((maker.pnl_curve() for maker in makers), start=np.zeros(n))
    final = float(equity[-1] / 10_000.0 - 1.0) if n else 0.0
    rows = {key: [row for maker in makers for row in getattr(maker, key)] for key in ("trades", "fills", "events")}
    calls = sorted((call for maker in makers for call in maker.calls), key=lambda call: int(call["at"]))
    return ResultTables(
        manifest(symbols, makers, final),
        {maker.symbol: maker.candles for maker in makers},
        pd.DataFrame(rows["trades"], columns=TRADE_COLUMNS),
        pd.DataFrame(rows["fills"], columns=FILL_COLUMNS),
        pd.DataFrame({"time": time, "equity": equity}),
        pd.DataFrame(rows["events"], columns=EVENT_COLUMNS),
        calls,
    )


def manifest(symbols: tuple[str, ...], makers: list[Maker], final: float) -> dict[str, Any]:
    return {
        "format": 2,
        "strategy": {
            "name": "Breakout",
            "identity": "8c1f" * 16,
            "source_hash": "77ab" * 16,
            "parameters": {"lookback": 48, "risk": 2.0},
            "doc": "Buy a new high, half out at twice the risk, the rest behind a break-even stop.",
        },
        "profile": SubscriberProfile.anny().to_dict(),
        "assumptions": [one._asdict() for one in VenueAssumptions().listed()],
        "market": {symbol: {"symbol": symbol, "tick": "0.01", "step": "0.00000001"} for symbol in symbols},
        "candles": {
            maker.symbol: {
                "hash": "5e" * 32,
                "rows": len(maker.candles),
                "first": START,
                "last": START + HOUR * (len(maker.candles) - 1),
                "gaps": 3,
                "timeframe": "1h",
            }
            for maker in makers
        },
        "versions": {"backtest": "0.1.0", "numpy": "2.4.6", "python": "3.11"},
        "total_return": {"pessimistic": final, "candle": final + 0.004, "optimistic": final + 0.011},
        "ambiguous": {"candles": 12, "trades": 5, "pnl_share": 0.18},
        "warnings": ["no funding rates were given: funding counts as 0 (L13.3)"],
        "emitted": {symbol: f"BINANCE {symbol}" for symbol in symbols},
    }


def changed(tables: ResultTables, **keys: Any) -> ResultTables:
    """The same tables with other entries in the manifest."""
    return replace(tables, manifest={**tables.manifest, **keys})


def test_the_sample_conserves_money() -> None:
    tables = sample_tables()
    last = tables.trades.iloc[-1]
    assert bool(last["open"])
    marked = last["side"] * (tables.candles["BTC/USDT"]["close"].iloc[-1] - last["average_entry"])
    left = tables.events[tables.events["signal"] == last["signal"]]["open_quantity"].iloc[-1]
    assert tables.equity["equity"].iloc[-1] == pytest.approx(10_000.0 + tables.trades["pnl"].sum() + left * marked)


def test_names_what_a_report_needs() -> None:
    tables = sample_tables(100, symbols=("ETH/USDT", "BTC/USDT"))
    assert tables.symbols == ["BTC/USDT", "ETH/USDT"]
    assert (tables.name, tables.mode, tables.balance, tables.quote) == ("Breakout", "pessimistic", 10_000.0, "USDT")
    assert tables.span == (START, START + 100 * HOUR)
    assert isinstance(tables.interval, Interval)
    assert tables.warnings[0].startswith("no funding rates")


@pytest.mark.parametrize(
    "returns", [None, {}, {"pessimistic": 0.1}, {"pessimistic": 0.1, "candle": None, "optimistic": 0.2}]
)
def test_has_no_interval_unless_all_three_modes_were_run(returns: dict[str, float] | None) -> None:
    assert changed(sample_tables(50), total_return=returns).interval is None


def test_bears_a_bare_manifest() -> None:
    tables = replace(sample_tables(50), manifest={})
    assert (tables.name, tables.mode, tables.balance, tables.warnings, tables.assumptions) == (
        "replay",
        "pessimistic",
        10_000.0,
        [],
        [],
    )
    assert tables.step("BTC/USDT") == HOUR


def test_mixed_quotes_have_no_common_currency() -> None:
    assert sample_tables(50, symbols=("BTC/USDT", "BTC/EUR")).quote == ""


def test_a_signal_is_found_by_name_number_or_ending() -> None:
    tables = sample_tables(300)
    refs = list(tables.trades["signal"])
    assert tables.signal(refs[1]) == refs[1]
    assert tables.signal("2") == refs[1]
    assert tables.signal(refs[1].removeprefix("BTC/USDT-")) == refs[1]


@pytest.mark.parametrize(
    ("name", "message"), [("0", "was '0'"), ("-0", "signals end like this"), ("", "was ''"), ("nope", "have none")]
)
def test_refuses_a_signal_that_is_not_there(name: str, message: str) -> None:
    with pytest.raises(InvalidSettingError, match=message):
        sample_tables(300).signal(name)
