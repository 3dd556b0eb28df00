"""What a notebook shows of the things that people hold in their hands; names are escaped, nothing asks the network."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from backtest import Candles, Result, Strategy, run
from backtest.report.listed import Calls, Events
from strategies.breakout import Breakout

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from backtest import Call, Moment

HOSTILE = "</script><img src=x onerror=alert(1)>/USDT"


def hours(symbol: str = "BTC/USD", count: int = 1500) -> Candles:
    part = Candles.sample("BTC/USD", "1h").slice(0, count)
    return Candles(
        symbol, "1h", part.time, part.open, part.high, part.low, part.close, part.volume, exchange="coinbase"
    )


@pytest.fixture(scope="module", params=["BTC/USD", HOSTILE, "币安人生/USDT"])
def result(request: pytest.FixtureRequest) -> Result:
    return run(Breakout(lookback=24), hours(request.param), checks="off")


def test_everything_shows_itself_and_escapes_names(result: Result) -> None:
    shown: dict[str, Any] = {
        "candles": hours(result.tables.symbols[0]),
        "result": result,
        "stats": result.stats,
        "events": result.events,
        "calls": result.calls,
        "signal": result.signal(1),
        "breakdown": result.breakdowns.table("by_symbol"),
        "chart": result.chart(),
    }
    for name, thing in shown.items():
        text = thing._repr_html_()
        assert text.lstrip().startswith("<"), name
        assert "<img src=x" not in text, name
        assert not re.search(r"\bnan\b", re.sub(r"base64,[^\"]*|srcdoc=\"[^\"]*\"", "", text), re.IGNORECASE), name


def test_events_and_calls_are_still_lists(result: Result, tmp_path: Path) -> None:
    assert isinstance(result.events, Events)
    assert isinstance(result.calls, Calls)
    loaded = Result.load(result.save(tmp_path / "run"))
    assert loaded.events == result.events
    assert loaded.calls == result.calls
    frame = result.events.frame
    assert frame["kind"].tolist() == result.tables.events["kind"].tolist()
    assert len(result.calls.frame) == len(result.calls)
    assert (result.calls.frame["at"].astype("int64") > 0).all()


def test_lists_of_nothing_show_themselves() -> None:
    assert "0 events" in Events([])._repr_html_()
    assert "0 calls" in Calls([])._repr_html_()
    assert len(Events([]).frame) == len(Calls([]).frame) == 0


def test_the_chart_stands_in_a_frame_that_loads_nothing(result: Result) -> None:
    frame = result.chart(height=400)
    assert frame._repr_html_().count("<iframe") == 1
    assert "height:400px" in frame._repr_html_()
    page = frame.page
    assert "default-src 'none'" in page.replace("&#39;", "'")
    assert page.count("<script") >= 3
    assert not re.search(r"<(?:script|link|img)[^>]*(?:src|href)=", page)


def test_a_plot_goes_on_axes_of_ones_own(result: Result) -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    first, second = figure.subplots(2)
    assert result.plot(ax=first, last=5) is figure
    assert result.signal(2).plot(ax=second) is figure
    assert len(first.lines) + len(first.collections) > 0
    assert len(second.lines) + len(second.collections) > 0


def test_a_signal_tells_its_story(result: Result) -> None:
    story = result.signal(3)
    assert repr(story) == result.explain(3)
    assert story.frame["rule"].iloc[-1].startswith("L")
    assert story.outcome in result.explain(3)


def test_candles_show_their_ends() -> None:
    shown = hours()._repr_html_()
    assert "1,500 candles of BTC/USD 1h, coinbase" in shown
    assert shown.count("<tr") == 8  # two of the head, three and three
    assert "0 candles" in hours().slice(0, 0)._repr_html_()
    assert hours().slice(0, 5)._repr_html_().count("<tr") == 7


class Several(Strategy):
    """Long and short, closed and open."""

    def on_candle(self, now: Moment) -> Iterable[Call]:
        if now.position % 50 == 0:
            side = 1 if now.position % 100 else -1
            yield now.create(
                entry=(now.close * 0.9, now.close * 1.1), targets=[now.close * (1 + side * 0.2)], invest=5,
                stop_loss=now.close * (1 - side * 0.2), side="long" if side > 0 else "short", account="FUTURES",
            )  # fmt: skip


def test_records_are_the_trades_as_arrays(tmp_path: Path) -> None:
    series = {name: Candles.sample(name, "1d").between("2018-01-01", "2019-12-01") for name in ("BTC/USD", "LTC/USD")}
    made = run(Several(), series, checks="off")
    loaded = Result.load(made.save(tmp_path / "run"))
    for result in (made, loaded):
        records, trades = result.records, result.trades
        assert len(records.pnl) == len(trades) > 10
        names = ["BTC/USD", "LTC/USD"]
        assert [names[k] for k in records.market] == trades["symbol"].tolist()
        for column, name in (
            ("side", "side"),
            ("entry_price", "average_entry"),
            ("quantity", "quantity"),
            ("pnl", "pnl"),
        ):
            assert np.array_equal(getattr(records, column), trades[name].to_numpy())
        for k, trade in enumerate(trades.to_dict("records")):
            index = series[trade["symbol"]].index
            assert index[records.entry_row[k]] == trade["entry_time"]
            if trade["open"]:
                assert records.exit_row[k] == -1
                assert np.isnan(records.exit_price[k])
            else:
                assert index[records.exit_row[k]] == trade["exit_time"]
                assert records.exit_price[k] == trade["average_exit"]


def test_records_make_no_table() -> None:
    result = run(Breakout(lookback=24), hours(), checks="off")
    assert len(result.records.pnl) > 0
    assert "trades" not in vars(result)
    assert "tables" not in vars(result)


def test_names_are_complete_by_tab(result: Result) -> None:
    for name in (
        "breakdowns",
        "subscribers",
        "compare",
        "records",
        "chart",
        "signal",
        "plot",
        "stats",
        "calls",
        "events",
    ):
        assert name in dir(result), name
    assert "total_return" in result.stats
    assert {"pnl", "entry_row"} <= set(dir(result.records))
