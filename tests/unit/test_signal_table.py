"""SignalTable: columns that fit, and a refusal that names candle, field and value for the first row that does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtest import (
    Candles,
    EventKind,
    InvalidSettingError,
    InvalidSignalError,
    Market,
    SignalTable,
    Strategy,
    SubscriberProfile,
    run,
)

HOUR = 3_600_000
TICK = Market("BTC/USDT", tick="0.01")
N = 6
GOOD: dict[str, Any] = {"at": [0, 2, 4], "entry_price_max": 100.0, "targets": (110.0,), "stop_loss": 90.0, "invest": 10}
BAD_COLUMNS: dict[str, tuple[dict[str, Any], str]] = {
    "times going back": ({"at": [2, 0]}, "ascending positions"),
    "no positions": ({"at": [0.5, 1.5]}, "candle positions"),
    "too short": ({"invest": [10, 10]}, r"SignalTable.invest has \(2,\) values for 3 rows"),
    "an unknown word": ({"while_open": "never"}, "while_open"),
    "a side of its own": ({"side": [1, 0, -1]}, "sides"),
    "half a trailing pair": ({"trailing_stop_price": 95.0}, "trailing_stop_limit_price is missing"),
    "the other half": ({"trailing_stop_limit_price": 95.0}, "trailing_stop_price is missing"),
    "a lone DCA price": ({"dca": (95.0,)}, r"dca\[0\] is a pair of buy_price and multiplier, was 95.0"),
    "a DCA without multiplier": ({"dca": ((95.0, None),)}, r"dca\[0\] is a pair"),
    "DCA prices too short": ({"dca": ((95.0, 1.0), ([95.0], 1.0))}, r"dca\[1\] has \(1,\) values"),
}
TRAILED = {"trailing_stop_price": 95.0, "trailing_stop_limit_price": 94.0}
SPLIT = {"entry_price_min": 95.0, "invest_entry_min": 50.0, "invest_entry_max": 50.0}
BAD_ROWS: dict[str, tuple[dict[str, Any], str, Any]] = {
    "a stop above": ({"stop_loss": [90.0, 101.0, 90.0]}, "stop_loss", 101.0),
    "no stop at all": ({"stop_loss": [90.0, np.nan, 90.0]}, "stop_loss", "nan"),
    "a target below": ({"targets": ([110.0, 99.0, 110.0],)}, "exit_price_1", 99.0),
    "targets in the wrong order": ({"targets": (110.0, [120.0, 105.0, 120.0])}, "exit_price_2", 105.0),
    "no entry": ({"entry_price_max": [100.0, 0.0, 100.0]}, "entry_price_max", 0.0),
    "bounds crossed": ({"entry_price_min": [95.0, 101.0, 95.0]}, "entry_price_min", 101.0),
    "a middle outside": ({"entry_price_min": 95.0, "entry_price_mid": [96.0, 94.0, 96.0]}, "entry_price_mid", 94.0),
    "nothing invested": ({"invest": [10.0, 0.0, 10.0]}, "invest", 0.0),
    "leverage below one": ({"leverage": [1.0, 0.5, 1.0], "account": "FUTURES"}, "leverage", 0.5),
    "no time to live": ({"ttl_buy_order": [1.0, 0.0, 1.0]}, "ttl_buy_order", 0),
    "shares that do not sum": ({**SPLIT, "invest_entry_min": [50.0, 40.0, 50.0]}, "invest_entry_max", "sum to 100"),
    "a share above 100": (
        {**SPLIT, "invest_entry_min": [50.0, -50.0, 50.0], "invest_entry_max": [50.0, 150.0, 50.0]},
        "invest_entry_min",
        -50.0,
    ),
    "a share without its price": (
        {**SPLIT, "invest_entry_mid": [0.0, 10.0, 0.0], "invest_entry_max": [50.0, 40.0, 50.0]},
        "invest_entry_mid",
        10.0,
    ),
    "a trailing limit above its trigger": (
        {**TRAILED, "trailing_stop_limit_price": [94.0, 96.0, 94.0]},
        "trailing_stop_limit_price",
        96.0,
    ),
    "no trailing trigger": ({**TRAILED, "trailing_stop_price": [95.0, np.nan, 95.0]}, "trailing_stop_price", "nan"),
    "a DCA at nothing": ({"dca": (([95.0, 0.0, 95.0], 1.0),)}, "buy_price", 0.0),
    "a DCA of nothing": ({"dca": ((95.0, [1.0, -1.0, 1.0]),)}, "multiplier", -1.0),
}


def candles(n: int = N) -> Candles:
    flat = np.full(n, 100.0)
    return Candles("BTC/USDT", "1h", HOUR * np.arange(n, dtype=np.int64), flat, flat + 1, flat - 1, flat, np.ones(n))


class Fixed(Strategy):
    """Whatever table it is given."""

    fields: dict[str, Any]

    def signals(self, candles: Candles, ind: Any) -> SignalTable:
        return SignalTable(**self.fields)


class Hearing(Fixed):
    """The same, asked at events too."""

    def on_event(self, now: Any, event: Any) -> None:
        return None


@pytest.mark.parametrize("more", BAD_COLUMNS)
def test_columns_that_do_not_fit_are_refused_when_they_are_made(more: str) -> None:
    fields, words = BAD_COLUMNS[more]
    with pytest.raises(InvalidSettingError, match=words):
        SignalTable(**{**GOOD, **fields})


FAULTS = (
    "no stop at all",
    "nothing invested",
    "leverage below one",
    "no time to live",
    "shares that do not sum",
    "a share above 100",
    "a share without its price",
    "no trailing trigger",
    "a DCA of nothing",
)
"""What is a fault of the code that made the table; the rest are prices out of order, refused alone (L3.8)."""


def rows_of(more: str, *, first: bool) -> dict[str, Any]:
    """Return a table whose second or first row breaks a rule."""
    rows = {**GOOD, **BAD_ROWS[more][0], "at": [4, 4, 4] if first else [1, 3, 4]}
    if first:
        turn = {name: _turned(column) for name, column in rows.items() if name not in {"at", "targets", "dca"}}
        rows |= turn | {name: tuple(_turned_level(x) for x in rows.get(name, ())) for name in ("targets", "dca")}
    return rows


@pytest.mark.parametrize("first", [False, True], ids=["a later row", "the first row"])
@pytest.mark.parametrize("more", BAD_ROWS)
def test_the_first_bad_row_is_named_with_its_candle_field_and_value(more: str, first: bool) -> None:
    _, field, value = BAD_ROWS[more]
    with pytest.raises(InvalidSignalError) as caught:
        run(Fixed(fields={**rows_of(more, first=first), "while_open": "stack"}), candles(), market=TICK, strict=True)
    assert caught.value.field == field
    assert "Fixed on BTC/USDT at the close of 1970-01-01T0" + ("5" if first else "4") in str(caught.value)
    assert str(value) in str(caught.value)


@pytest.mark.parametrize("more", FAULTS)
def test_a_fault_of_the_code_ends_every_run(more: str) -> None:
    with pytest.raises(InvalidSignalError):
        run(Fixed(fields=rows_of(more, first=False)), candles(), market=TICK)


@pytest.mark.parametrize("more", [name for name in BAD_ROWS if name not in FAULTS])
def test_a_row_whose_prices_are_out_of_order_is_refused_alone(more: str) -> None:
    _, field, _ = BAD_ROWS[more]
    result = run(Fixed(fields={**rows_of(more, first=False), "while_open": "stack"}), candles(), market=TICK)
    refusals = result.refused
    assert [(one.at, one.field, one.rule) for one in refusals] == [(4 * HOUR, field, "L3.8")]
    width = SignalTable(**rows_of(more, first=False)).width
    follower = field in {"buy_price", "trailing_stop_limit_price"}
    assert len(result.calls) == 3 * width - (1 if follower else width)
    (event,) = [event for event in result.events if event.kind is EventKind.REFUSED]
    assert (event.time, event.signal, event.rule) == (4 * HOUR, "BTC/USDT-14400000-0", "L3.8")
    assert event.reason == refusals[0].reason


# What no column of the tests above tells apart: each stands for a fault that was planted and that no test noticed.
ON_TICK = {"entry_price_min": 95.004, "entry_price_mid": 97.006, "entry_price_max": 99.004, "stop_loss": 90.006}


def test_a_split_long_rounds_each_entry_away_from_the_market() -> None:
    shares = {"invest_entry_min": 30, "invest_entry_mid": 30, "invest_entry_max": 40}
    assert entered({**ON_TICK, **shares}, low=94.0) == [99.0, 97.0, 95.0]


def test_a_split_short_rounds_each_entry_away_from_the_market() -> None:
    shares = {"invest_entry_min": 30, "invest_entry_mid": 30, "invest_entry_max": 40}
    prices = {"entry_price_min": 101.001, "entry_price_mid": 103.001, "entry_price_max": 105.001, "stop_loss": 110.0}
    assert entered({**prices, **shares, "targets": (80.0,), "side": "short"}, high=106.0) == [101.01, 103.01, 105.01]


def test_a_range_rounds_inwards() -> None:
    assert entered({"entry_price_min": 95.001, "entry_price_max": 95.019}, low=94.0) == [95.01]
    refused = run(Fixed(fields={**GOOD, "entry_price_min": 95.001, "entry_price_max": 95.009}), candles(), market=TICK)
    assert [one.field for one in refused.refused] == ["entry_price_min"] * 3
    assert refused.refused[0].reason.endswith("was 95.01, after rounding to the tick 0.01")


@pytest.mark.parametrize(
    ("fields", "is_refused"),
    [
        ({"entry_price_min": 95.0, "stop_loss": 97.0}, True),  # inside the range
        ({"entry_price_min": 95.0, "stop_loss": 95.0}, True),
        ({"entry_price_min": 95.0, "stop_loss": 94.99}, False),
        ({"entry_price_min": 100.0}, False),  # a range of one price
        ({"entry_price_min": 100.0, "entry_price_mid": 100.0}, False),
        ({**TRAILED, "trailing_stop_price": 94.019, "trailing_stop_limit_price": 94.011}, False),  # one tick for both
        ({"dca": ((90.009, 1.0),)}, True),  # meets the stop on the tick
        ({"dca": ((90.01, 1.0),)}, False),
        ({"dca": ((89.0, 1.0),), **TRAILED}, False),  # a trailing stop may stand anywhere
        ({"dca": ((89.0, 1.0),), **TRAILED, "trailing_stop_limit_price": 96.0}, True),  # one that is refused does not
    ],
)
def test_both_lanes_refuse_the_same(fields: dict[str, Any], is_refused: bool) -> None:
    found = {}
    for events in (False, True):  # a strategy that hears events is asked row by row
        kind = Hearing if events else Fixed
        result = run(kind(fields={**GOOD, **fields}), candles(), market=TICK)
        found[events] = (
            [(one.at, one.signal, one.field, one.value, one.reason) for one in result.refused],
            [(one.at, type(one.call)) for one in result.calls],
            result.events,
        )
    assert found[False] == found[True]
    assert bool(found[False][0]) == is_refused


@pytest.mark.parametrize("shares", [(-10.0, 110.0), (49.9995, 50.0), (50.0, 50.0005)])
def test_shares_are_percents_that_sum_to_100(shares: tuple[float, float]) -> None:
    split = {"entry_price_min": 95.0, "invest_entry_min": shares[0], "invest_entry_max": shares[1]}
    with pytest.raises(InvalidSignalError):
        run(Fixed(fields={**GOOD, **split}), candles(), market=TICK)


def test_leverage_on_spot_is_refused_where_the_table_is_made() -> None:
    for leverage in (5.0, [1.0, 5.0, 1.0]):
        with pytest.raises(InvalidSignalError, match='account="FUTURES"') as caught:
            run(Fixed(fields={**GOOD, "leverage": leverage}), candles(), market=TICK)
        assert caught.value.field == "leverage"
    assert run(Fixed(fields={**GOOD, "leverage": 1.0}), candles(), market=TICK).calls


def test_a_refused_row_is_numbered_and_blocks_nothing() -> None:
    fields = {**GOOD, "at": [1, 1, 1], "stop_loss": [101.0, 90.0, 91.0]}
    result = run(Fixed(fields=fields), candles(), market=TICK)
    assert [one.signal for one in result.refused] == ["BTC/USDT-7200000-0"]
    assert [one.call.ref for one in result.calls] == ["BTC/USDT-7200000-1"]  # type: ignore[union-attr]
    last = run(Fixed(fields={**fields, "at": [5, 5, 5]}), candles(), market=TICK)
    assert [one.signal for one in last.refused] == ["BTC/USDT-21600000-0"]
    assert last.events == []


class AtMarket(Strategy):
    """Buy or sell at the next open, in either lane."""

    side: str = "long"
    within: float = 0.5

    def triggers(self, candles: Candles, ind: Any) -> Any:
        return np.arange(len(candles)) == 1

    def on_candle(self, now: Any) -> Any:
        s = 1 if self.side == "long" else -1
        targets, stop = (now.close * (1 + 0.05 * s),), now.close * (1 - 0.05 * s)
        yield now.market(within=self.within, targets=targets, stop_loss=stop, invest=10, side=self.side)

    def signals(self, candles: Candles, ind: Any) -> SignalTable:
        at = self.triggers(candles, ind)
        close, s = candles.close[at], 1 if self.side == "long" else -1
        return SignalTable.market(
            candles,
            at,
            within=self.within,
            side=self.side,
            targets=(close * (1 + 0.05 * s),),
            stop_loss=close * (1 - 0.05 * s),
            invest=10,
        )


def opening_at(price: float) -> Candles:
    """Return five candles of 100 of which the third opens, and stays, at another price."""
    level = np.array([100.0, 100.0, price, price, price])
    return Candles("BTC/USDT", "1h", HOUR * np.arange(5), level, level, level, level, np.ones(5))


@pytest.mark.parametrize(
    ("side", "opened", "bought"),
    [
        ("long", 100.0, 100.0),
        ("long", 100.4, 100.4),
        ("long", 98.0, 98.0),
        ("long", 100.6, None),  # beyond the bound, and the price does not come back within the candle
        ("short", 100.0, 100.0),
        ("short", 99.6, 99.6),
        ("short", 102.0, 102.0),
        ("short", 99.4, None),
    ],
)
def test_a_market_entry_is_filled_at_the_next_open_or_not_at_all(
    side: str, opened: float, bought: float | None
) -> None:
    profile = SubscriberProfile.exchange(maker_fee=0.0, taker_fee=0.0)
    table, candle = (
        run(AtMarket(side=side), opening_at(opened), market=TICK, profile=profile, lane=lane)
        for lane in ("table", "candle")
    )
    assert (table.calls, table.events) == (candle.calls, candle.events)
    prices = [(event.time, event.price) for event in table.events if event.kind is EventKind.ENTERED]
    assert prices == ([] if bought is None else [(2 * HOUR, bought)])
    assert bought is not None or table.events[-1].kind is EventKind.EXPIRED


def test_slippage_of_a_market_entry_ends_at_its_bound() -> None:
    profile = SubscriberProfile.anny(slippage=0.01)
    result = run(AtMarket(within=0.25), opening_at(100.0), market=TICK, profile=profile)
    assert [event.price for event in result.events if event.kind is EventKind.ENTERED] == [100.25]
    with pytest.raises(InvalidSettingError, match="within is a percent between 0 and 100, was 0"):
        run(AtMarket(within=0.0), opening_at(100.0), market=TICK)


def entered(fields: dict[str, Any], *, low: float = 99.0, high: float = 101.0) -> list[float]:
    """Return the prices at which the entries of one signal filled, in a candle that reaches far enough."""
    flat = np.full(N, 100.0)
    reach = Candles("BTC/USDT", "1h", HOUR * np.arange(N), flat, np.full(N, high), np.full(N, low), flat, np.ones(N))
    profile = SubscriberProfile.exchange(maker_fee=0.0, taker_fee=0.0)
    result = run(Fixed(fields={**GOOD, **fields, "at": [0]}), reach, market=TICK, profile=profile)
    return [float(event.price or 0.0) for event in result.events if event.kind is EventKind.ENTERED]


def _turned(column: Any) -> Any:
    return [column[1], column[0], column[2]] if isinstance(column, list) else column


def _turned_level(level: Any) -> Any:
    return tuple(_turned(part) for part in level) if isinstance(level, tuple) else _turned(level)


def test_rows_outside_the_candles_are_refused() -> None:
    with pytest.raises(InvalidSettingError, match="within the 6 candles, was 0 to 6"):
        run(Fixed(fields={**GOOD, "at": [0, 6]}), candles())


def test_flags_choose_rows_as_positions_do() -> None:
    flags = SignalTable(**{**GOOD, "at": [True, False, True, False, True, False]})
    assert flags.rows.tolist() == SignalTable(**GOOD).rows.tolist() == [0, 2, 4]
    assert len(flags) == 3
    assert flags.width == 1


def test_an_empty_table_is_no_signal() -> None:
    result = run(Fixed(fields={**GOOD, "at": [False] * N, **TRAILED, "dca": ((95.0, 1.0),)}), candles())
    assert result.calls == []
    assert len(result.trades) == 0


def test_what_follows_a_create_is_rounded_like_any_call() -> None:
    fields = {**GOOD, "trailing_stop_price": 95.019, "trailing_stop_limit_price": 95.011, "dca": ((97.019, 0.5),)}
    calls = [d.call for d in run(Fixed(fields=fields), candles(), market=Market("BTC/USDT", tick="0.01")).calls]
    assert [type(call).__name__ for call in calls[:3]] == ["CreateSignal", "TrailingStop", "Dca"]
    assert calls[1].trailing_stop_price == calls[1].trailing_stop_limit_price == 95.01  # type: ignore[union-attr]
    assert calls[2].buy_price == 97.01  # type: ignore[union-attr]
