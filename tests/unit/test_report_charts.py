"""What the charts draw, and that the same tables draw the same bytes."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection, PolyCollection

from backtest.errors import InvalidSettingError
from backtest.report import panels
from backtest.report.canvas import days, png, svg, thin
from backtest.report.charts import account_chart, overview_chart, price_chart, signal_chart
from backtest.report.levels import Step, signal_levels
from backtest.report.notebook import repr_html
from tests.unit.test_report_tables import HOUR, START, changed, sample_tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from backtest.report.tables import ResultTables

TABLES = sample_tables(1500)


def marks(axes: Axes) -> dict[str, int]:
    """How many marks of each kind are on the axes."""
    scatters = [one for one in axes.collections if isinstance(one, PathCollection)]
    return {str(one.get_label()): len(one.get_offsets()) for one in scatters}  # type: ignore[arg-type]


def test_every_fill_is_marked_once() -> None:
    axes = price_chart(TABLES).axes[0]
    counted = marks(axes)
    assert sum(counted.values()) == len(TABLES.fills)
    kinds = TABLES.fills["kind"].value_counts()
    assert (counted["target"], counted["stop"]) == (kinds["target_hit"], kinds["stop_hit"])
    assert counted["short entry"] == (TABLES.trades["side"] < 0).sum()


def test_the_last_trades_show_candles_stops_and_targets() -> None:
    axes = price_chart(TABLES, last=6).axes[0]
    assert any(isinstance(one, PolyCollection) for one in axes.collections)
    dotted = [line for line in axes.lines if line.get_linestyle() == ":"]
    assert len(dotted) >= 2 * 6  # two targets a trade; the margin may show the end of one more
    entries = {key: number for key, number in marks(axes).items() if "entry" in key}
    assert sum(entries.values()) == 6


def test_twenty_thousand_candles_are_one_thin_line_with_small_marks() -> None:
    tables = sample_tables(20_000, every=60)
    axes = overview_chart(tables).axes[0]
    assert len(axes.lines) == 1
    assert len(axes.lines[0].get_xdata()) <= 2_002  # type: ignore[arg-type]
    assert sum(marks(axes).values()) == len(tables.fills)


def test_thinning_keeps_every_spike_and_both_ends() -> None:
    values = np.zeros(100_000)
    values[[12_345, 67_890]] = 9.0, -9.0
    rows = thin(values)
    assert {0, 12_345, 67_890, 99_999} <= set(rows.tolist())
    assert len(rows) <= 2_002
    assert thin(values[:10]).tolist() == list(range(10))


def test_the_overview_is_titled_with_the_interval_never_one_return() -> None:
    title = overview_chart(changed(TABLES, total_return={"pessimistic": -0.1, "candle": 0.0, "optimistic": 0.2}))
    assert title.get_suptitle() == ("Breakout: total return -10.00 % to +20.00 % (optimistic); drawn: pessimistic")
    assert "%" not in overview_chart(changed(TABLES, total_return=None)).get_suptitle()


def test_growth_beyond_threefold_is_logarithmic() -> None:
    assert account_chart(TABLES).axes[1].get_yscale() == "linear"
    far = replace(TABLES, equity=TABLES.equity.assign(equity=np.geomspace(10_000.0, 90_000.0, 1500)))
    assert account_chart(far).axes[1].get_yscale() == "log"
    ruined = replace(TABLES, equity=TABLES.equity.assign(equity=np.linspace(10_000.0, -50.0, 1500)))
    assert account_chart(ruined).axes[1].get_yscale() == "linear"


def test_the_same_tables_draw_the_same_bytes_whatever_matplotlib_is_set_to() -> None:
    first = svg(account_chart(TABLES)), png(price_chart(TABLES, last=5))
    with mpl.rc_context({"font.size": 20, "axes.grid": False, "svg.hashsalt": None, "timezone": "Asia/Tokyo"}):
        second = svg(account_chart(TABLES)), png(price_chart(TABLES, last=5))
    assert first == second
    assert "<dc:date>" not in first[0]
    assert first[0].startswith("<svg")


def test_a_notebook_shows_a_chart_without_pyplot() -> None:
    assert price_chart(TABLES)._repr_png_().startswith(b"\x89PNG")
    code = "import sys, backtest.report.charts; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_names_with_dollars_are_no_mathematics() -> None:
    tables = sample_tables(200, symbols=("$PE$PE/US$D",))
    assert b"PNG" in png(overview_chart(changed(tables, strategy={"name": "a$b$c"})))


@pytest.mark.parametrize("n", [0, 1, 2, 30])
def test_few_candles_draw(n: int) -> None:
    tables = sample_tables(n, every=10)
    for figure in (overview_chart(tables), account_chart(tables)):
        drawn = svg(figure)
        assert drawn.startswith("<svg")
        assert "nan" not in drawn.lower().replace("nano", "")
        titled = {axes.get_title(loc="left").split(" (")[0]: axes for axes in figure.axes}
        for name in ("Equity", "Drawdown"):
            assert len(titled[name].lines[-1].get_xdata()) == n  # type: ignore[arg-type]


def bare(tables: ResultTables) -> ResultTables:
    return replace(tables, calls=[])


def test_a_signal_is_drawn_by_itself() -> None:
    axes = signal_chart(TABLES, "5").axes[0]
    own = TABLES.fills[TABLES.fills["signal"] == TABLES.signal("5")]
    assert sum(marks(axes).values()) == len(own)
    trade = TABLES.trades[TABLES.trades["signal"] == TABLES.signal("5")].iloc[0]
    levels = [line for line in axes.lines if line.get_linestyle() == ":"]
    assert len(levels) == 2  # the two targets of the maker
    unknown = signal_chart(bare(TABLES), "5").axes[0]
    assert sum(marks(unknown).values()) == len(own)  # levels unknown, the fills still drawn
    assert [line for line in unknown.lines if line.get_linestyle() == ":"] == []
    scatters = [one for one in unknown.collections if isinstance(one, PathCollection)]
    heights = np.concatenate([np.asarray(one.get_offsets())[:, 1] for one in scatters])
    assert np.abs(heights - trade["average_entry"]).min() < 1e-9


def test_levels_are_drawn_of_as_many_signals_as_can_be_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {}
    for most in (0, 1):
        monkeypatch.setattr(panels, "_LEVELS_DRAWN", most)
        drawn[most] = sum(line.get_linestyle() == ":" for line in signal_chart(TABLES, "5").axes[0].lines)
    assert drawn == {0: 0, 1: 2}


def test_a_price_panel_names_its_market() -> None:
    axes = price_chart(TABLES).axes[0]
    assert "BTC/USDT price" in {axes.get_title(loc=where) for where in ("left", "center", "right")}


def test_a_signal_that_lives_is_drawn_to_the_end() -> None:
    name, events = TABLES.signal("5"), TABLES.events
    begun = events[(events["signal"] != name) | events["kind"].isin(["created", "entered"])]
    axes = signal_chart(replace(TABLES, events=begun), "5").axes[0]
    ended = signal_chart(TABLES, "5").axes[0]
    end = float(days(np.array([TABLES.span[1]]))[0])
    assert ended.get_xlim()[1] < end <= axes.get_xlim()[1]


def test_without_trades_the_last_ones_are_the_whole_run() -> None:
    quiet = replace(TABLES, trades=TABLES.trades.iloc[:0], fills=TABLES.fills.iloc[:0])
    axes = price_chart(quiet, last=3).axes[0]
    assert axes.get_xlim() == price_chart(quiet).axes[0].get_xlim()
    assert axes.get_legend() is None


def test_refuses_what_is_not_there() -> None:
    with pytest.raises(
        InvalidSettingError, match=r'symbol was .BTC/USD.; this result has BTC/USDT. Did you mean "BTC/'
    ):
        price_chart(TABLES, "BTC/USD")
    with pytest.raises(InvalidSettingError, match="last is a number of trades of at least 1, was 0"):
        price_chart(TABLES, last=0)
    with pytest.raises(InvalidSettingError, match="this result has no candles"):
        price_chart(replace(TABLES, candles={}))


def test_levels_follow_performed_updates_and_moved_stops() -> None:
    create = {
        "entry_price_min": "99",
        "entry_price_max": "100",
        "exit_price_1": "105",
        "stop_loss": "95",
        "type": "long",
    }
    calls = [
        ("/v2/signal", create, 0),
        ("/v1/signal/x/updateprice", {"exit_price_1": "106", "exit_price_2": "110"}, 1),
        ("/v1/signal/x/updateprice", {"stop_loss": "120"}, 2),
        ("/v1/signal/x/call/dca", {"buy_price": "90", "multiplier": 1.5}, 2),
        ("/v1/signal/x/updateprice", {"stop_loss": "97"}, 9),  # no candle saw it
    ]
    events = [(0, "refused", np.nan), (1, "updated", np.nan), (2, "refused", np.nan), (3, "stop_moved", 99.5)]
    rows = [{"time": START + t * HOUR, "signal": "s", "kind": kind, "price": price} for t, kind, price in events]
    tables = replace(
        TABLES,
        calls=[{"method": "POST", "path": p, "body": b, "at": START + t * HOUR, "ref": "s"} for p, b, t in calls],
        events=pd.DataFrame(rows),
    )
    levels = signal_levels(tables)["s"]
    assert levels.entry == (99.0, 100.0)
    assert levels.stop == [Step(START, 95.0), Step(START + 3 * HOUR, 99.5)]
    assert levels.targets == {1: [Step(START, 105.0), Step(START + HOUR, 106.0)], 2: [Step(START + HOUR, 110.0)]}


def test_a_notebook_shows_880_dots_and_the_title_begins_where_the_panels_do() -> None:
    found = re.search(r"data:image/png;base64,([A-Za-z0-9+/=]+)", repr_html(TABLES))
    assert found is not None
    assert int.from_bytes(base64.b64decode(found[1])[16:20], "big") == 880  # 11 inches
    figure = overview_chart(TABLES)
    (title,) = [one for one in figure.texts if one.get_text() == figure.get_suptitle()]
    assert title.get_position()[0] == pytest.approx(min(axes.get_position().x0 for axes in figure.axes), abs=2e-3)
