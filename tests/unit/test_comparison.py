"""Results side by side: figures, equity on one chart, the trades that differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from backtest import Candles, InvalidSettingError, Result, Strategy, SubscriberProfile, run
from strategies.breakout import Breakout
from tests.command_line import backtest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from backtest import Call, Moment

HOURS = Candles.sample("BTC/USD", "1h").slice(0, 2000)


@pytest.fixture(scope="module")
def one() -> Result:
    return run(Breakout(lookback=24), HOURS, checks="off")


@pytest.fixture(scope="module")
def other() -> Result:
    return run(Breakout(lookback=24), HOURS, profile=SubscriberProfile.anny(take_profit_at=1), checks="off")


def test_figures_stand_side_by_side(one: Result, other: Result) -> None:
    beside = one.compare(other)
    assert beside.names == ("Breakout 1", "Breakout 2")
    for name, result in zip(beside.names, (one, other), strict=True):
        for key, value in result.stats.items():
            shown: Any = beside.figures.loc[key, name]
            assert pd.isna(shown) if value is None else shown == value


def test_equity_grows_from_one_at_the_same_closes(one: Result, other: Result) -> None:
    growth: Any = one.compare(other).equity
    assert growth.iloc[-1].tolist() == pytest.approx([float(r.equity.iloc[-1]) / 10_000 for r in (one, other)])
    lines: Any = one.compare(other).plot().axes[0].lines
    assert [line.get_ydata()[-1] for line in lines] == pytest.approx(growth.iloc[-1].tolist())


def test_the_axes_stand_within_the_figure(one: Result, other: Result) -> None:
    (axes,) = one.compare(other).plot().axes
    box = axes.get_position()
    assert 0.0 < box.x0 < box.x1 < 1.0
    assert 0.0 < box.y0 < box.y1 < 1.0


def test_the_trades_that_differ_are_listed_with_what_differs(one: Result, other: Result) -> None:
    frame: Any = one.compare(other).trades
    mine, theirs = ({str(row["signal"]): row for row in result.trades.to_dict("records")} for result in (one, other))
    expected = {}
    for signal in [*mine, *(name for name in theirs if name not in mine)]:
        a, b = mine.get(signal), theirs.get(signal)
        if a is None or b is None:
            expected[signal] = (b["pnl"] if b else 0.0) - (a["pnl"] if a else 0.0)
        elif (
            a["pnl"] != pytest.approx(b["pnl"], rel=1e-9)
            or a["exit"] != b["exit"]
            or (a["exit_time"] != b["exit_time"] and not a["open"])
        ):
            expected[signal] = b["pnl"] - a["pnl"]
    assert dict(zip(frame["signal"], frame["difference"], strict=True)) == pytest.approx(expected)
    assert frame["difference"].abs().is_monotonic_decreasing
    assert frame["difference"].sum() == pytest.approx(other.trades["pnl"].sum() - one.trades["pnl"].sum())


def test_equal_results_have_no_difference(one: Result) -> None:
    beside = one.compare(run(Breakout(lookback=24), HOURS, checks="off"))
    assert len(beside.trades) == 0
    assert f"made the same {len(one.trades)} trades" in repr(beside)


class Held(Strategy):
    """One signal that never ends, or none."""

    wanted: bool = True

    def on_candle(self, now: Moment) -> Iterable[Call]:
        if self.wanted and not now.signals:
            yield now.create(entry=now.close, targets=[now.close * 1000.0], stop_loss=now.close * 0.001, invest=10)


def test_a_single_trade_differs() -> None:
    candles = Candles.sample("BTC/USD", "1d").slice(0, 30)
    none, held = (run(Held(wanted=wanted), candles, checks="off") for wanted in (False, True))
    assert any("1 trade differs, of at most 1." in one for one in none.compare(held).sentences)
    with pytest.raises(InvalidSettingError, match="the one signal of this result has none"):
        held.explain("nope")


def test_what_is_unlike_is_said(one: Result, other: Result) -> None:
    said = repr(one.compare(other, run(Breakout(lookback=48), HOURS.slice(0, 1500), checks="off")))
    assert "Breakout 2 has take_profit_at 1, not None." in said
    assert "Breakout 3 was run over other candles." in said
    assert "Breakout 3 has lookback 48, not 24." in said


def test_the_page_asks_for_nothing_and_escapes(one: Result, other: Result, tmp_path: Path) -> None:
    columns = (HOURS.time, HOURS.open, HOURS.high, HOURS.low, HOURS.close, HOURS.volume)
    named: Any = Candles("<img onerror=x>/USDT", "1h", *columns)
    hostile = run(Breakout(lookback=24), named, checks="off")
    page = one.compare(other, hostile).report(tmp_path / "page.html").read_text("utf-8")
    assert "<img onerror" not in page
    assert "http://" not in page.replace("http-equiv", "")
    assert "https://" not in page
    assert page == one.compare(other, hostile).report(tmp_path / "again.html").read_text("utf-8")
    assert "<img onerror" not in one.compare(hostile)._repr_html_()


def test_something_else_is_refused(one: Result) -> None:
    with pytest.raises(InvalidSettingError, match="a result is compared with a Result, was 3"):
        one.compare(3)  # type: ignore[arg-type]


def test_the_command(one: Result, other: Result, tmp_path: Path) -> None:
    folders = [result.save(tmp_path / name) for name, result in (("a", one), ("b", other))]
    done = backtest("compare", *folders, "--out", tmp_path / "compared.html", "--chart", tmp_path / "compared.png")
    assert done.status == 0, done.err
    assert "Figures side by side" in done.out
    assert "Trades that differ" in done.out
    assert (tmp_path / "compared.html").read_text("utf-8").startswith("<!doctype html>")
    assert (tmp_path / "compared.png").read_bytes().startswith(b"\x89PNG")
    assert backtest("compare", folders[0]).status == 2
    refused = backtest("compare", folders[0], tmp_path / "nowhere")
    assert refused.status == 2
    assert "holds no result" in refused.err
