"""What a terminal shows of a result."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from backtest.model.assumptions import VenueAssumptions
from backtest.report import text
from backtest.report.console import render_result
from tests.shown import is_as_kept
from tests.unit.test_report_tables import changed, sample_tables


def shown(width: int = 120, **options: object) -> str:
    tables = options.pop("tables", None) or sample_tables(1500)
    console = Console(file=io.StringIO(), width=width)
    console.print(render_result(tables, **options))  # type: ignore[arg-type]
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("width", [80, 120])
def test_a_result_is_shown_to_the_word(width: int) -> None:
    is_as_kept(f"result_{width}.txt", shown(width, trades=12))


def test_the_total_return_stands_in_its_interval() -> None:
    tables = changed(sample_tables(1500), total_return={"pessimistic": -0.05, "candle": 0.0, "optimistic": 0.05})
    assert "Total return  -5.00 % to +5.00 % (optimistic)" in shown(tables=tables)


def test_a_missing_interval_is_said() -> None:
    assert "one reading of the candles only (pessimistic)" in shown(
        tables=changed(sample_tables(1500), total_return={})
    )


def test_says_what_is_ambiguous_assumed_and_to_be_warned_of() -> None:
    page = shown()
    assert "12 candles were ambiguous, touching 5 trades and 18 % of the PnL" in page
    status = [one.status for one in VenueAssumptions().listed()]
    assert f"{status.count('documented')} documented, {status.count('assumed')} assumed" in page
    assert "Warning: no funding rates were given" in page
    assert "3 candles missing inside, signals name BINANCE BTC/USDT." in page


def test_no_ambiguity_is_good_news() -> None:
    tables = changed(sample_tables(1500), ambiguous={"candles": 0, "trades": 0, "pnl_share": 0.0})
    assert "No candle was ambiguous" in shown(tables=tables)


def test_prices_of_another_market_are_pointed_out() -> None:
    tables = changed(sample_tables(1500), emitted={"BTC/USDT": "BINANCE BTC/USDC"})
    assert "signals name BINANCE BTC/USDC, whose prices may differ" in shown(tables=tables)


def test_lists_the_last_trades_and_marks_open_and_ambiguous_ones() -> None:
    tables = sample_tables(1500)
    page = shown(tables=tables, trades=20)
    assert f"Last 20 of {len(tables.trades)} trades" in page
    assert "open" in page
    assert "? another reading of a candle changes this trade" in page


def test_two_statistics_tables_stand_side_by_side_where_they_fit() -> None:
    pages = (shown(width, tables=sample_tables(3000)) for width in (120, 80))
    wide, narrow = (next(line for line in page.splitlines() if "Initial equity" in line) for page in pages)
    assert "Trades closed" in wide
    assert "Trades closed" not in narrow


@pytest.mark.parametrize(("width", "symbols"), [(72, ["BTC/USDT"]), (80, ["BTC/USDT", "SOMETHINGVERYLONG/USDT"])])
def test_numbers_are_never_cut(width: int, symbols: list[str]) -> None:
    assert "…" not in shown(width, tables=sample_tables(1500, symbols=tuple(symbols)))


def test_names_are_shown_as_they_are() -> None:
    assert "E[red]TH/USDT" in shown(tables=sample_tables(1500, symbols=("E[red]TH/USDT",)))


def test_a_run_without_trades_or_candles_is_shown_with_reasons() -> None:
    quiet = sample_tables(30, every=1000)
    quiet = replace(quiet, trades=quiet.trades.iloc[:0])
    assert "no trade was closed" in shown(tables=quiet)
    empty = sample_tables(0)
    assert "no candles" in shown(tables=empty)


TEXTS = {
    "a loss": (text.percent(-0.01234), "-1.23 %"),
    "a gain": (text.percent(0.5, signed=True), "+50.00 %"),
    "no minus before zero": (text.percent(-1e-9, signed=True), "0.00 %"),
    "no plus before zero": (text.percent(0.0, signed=True), "0.00 %"),
    "nothing": (text.percent(None), "n/a"),
    "money": (text.money(-1234.5), "-1,234.50"),
    "small money": (text.money(0.00001234567), "0.00001235"),
    "a price without an exponent": (text.price(1.23e-6), "0.00000123"),
    "a price without float noise": (text.price(0.1 + 0.2), "0.3"),
    "a day": (text.day(1_704_067_200_000), "2024-01-01"),
    "seconds where there are any": (text.when(1_704_067_201_000), "2024-01-01 00:00:01"),
    "a duration in two units": (text.duration(93_784_000), "1 d 2 h"),
    "a unit in between may be zero": (text.duration(86_400_000 + 120_000), "1 d"),
    "no time": (text.duration(0), "0 min"),
    "one day": (text.value(1, "days"), "1 day"),
    "a rate": (text.value(0.25, "per day"), "0.25 a day"),
}


@pytest.mark.parametrize(("written", "expected"), TEXTS.values(), ids=TEXTS)
def test_numbers_are_written_for_people(written: str, expected: str) -> None:
    assert written == expected


def test_amounts_name_their_currency_and_times_their_year() -> None:
    page = shown(80)
    for row in ("Final equity (USDT)", "Expectancy (USDT)", "Fees (USDT)"):
        assert row in page
    assert "prices and PnL in USDT" in page
    assert re.search(r"^ 20\d\d-\d\d-\d\d \d\d:\d\d ", page, re.MULTILINE)


def test_nothing_is_wider_than_the_terminal_and_notes_keep_their_indent() -> None:
    lines = shown(80).splitlines()
    assert max(map(len, lines)) <= 80
    notes = lines[next(at for at, line in enumerate(lines) if "candles were ambiguous" in line) :]
    assert [line for line in notes if line.strip() and not line.startswith("  ")] == []
