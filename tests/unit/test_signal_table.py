"""SignalTable: columns that fit, and a refusal that names candle, field and value for the first row that does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtest import Candles, InvalidSettingError, InvalidSignalError, Market, SignalTable, Strategy, run

HOUR = 3_600_000
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


@pytest.mark.parametrize("more", BAD_COLUMNS)
def test_columns_that_do_not_fit_are_refused_when_they_are_made(more: str) -> None:
    fields, words = BAD_COLUMNS[more]
    with pytest.raises(InvalidSettingError, match=words):
        SignalTable(**{**GOOD, **fields})


@pytest.mark.parametrize("first", [False, True], ids=["a later row", "the first row"])
@pytest.mark.parametrize("more", BAD_ROWS)
def test_the_first_bad_row_is_named_with_its_candle_field_and_value(more: str, first: bool) -> None:
    fields, field, value = BAD_ROWS[more]
    at = [4, 4, 4] if first else [1, 3, 4]
    rows = {**GOOD, **fields, "at": at}
    if first:  # the bad row comes first
        turn = {name: _turned(column) for name, column in rows.items() if name not in {"at", "targets", "dca"}}
        rows |= turn | {name: tuple(_turned_level(x) for x in rows.get(name, ())) for name in ("targets", "dca")}
    with pytest.raises(InvalidSignalError) as caught:
        run(Fixed(fields=rows), candles(), market=Market("BTC/USDT", tick="0.01"))
    assert caught.value.field == field
    assert "Fixed on BTC/USDT at the close of 1970-01-01T0" + ("5" if first else "4") in str(caught.value)
    assert str(value) in str(caught.value)


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
    result = run(Fixed(fields={**GOOD, "at": np.empty(0, np.int64), **TRAILED, "dca": ((95.0, 1.0),)}), candles())
    assert result.calls == []
    assert len(result.trades) == 0


def test_what_follows_a_create_is_rounded_like_any_call() -> None:
    fields = {**GOOD, "trailing_stop_price": 95.019, "trailing_stop_limit_price": 95.011, "dca": ((97.019, 0.5),)}
    calls = [d.call for d in run(Fixed(fields=fields), candles(), market=Market("BTC/USDT", tick="0.01")).calls]
    assert [type(call).__name__ for call in calls[:3]] == ["CreateSignal", "TrailingStop", "Dca"]
    assert calls[1].trailing_stop_price == calls[1].trailing_stop_limit_price == 95.01  # type: ignore[union-attr]
    assert calls[2].buy_price == 97.01  # type: ignore[union-attr]
