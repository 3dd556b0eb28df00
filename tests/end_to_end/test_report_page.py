"""The report page in a real browser: nothing is requested, nothing complains, everything can be read and reached."""

from __future__ import annotations

import csv
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from backtest.report.page import PageTable, Section, write_page
from tests.browser import Tab, browser, needs_browser, opened
from tests.unit.test_report_page import HOSTILE, hostile
from tests.unit.test_report_tables import changed, sample_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from playwright.sync_api import Browser

    from backtest.report.tables import ResultTables

__all__ = ["browser"]  # a fixture

pytestmark = needs_browser


@contextmanager
def page_of(
    browser: Browser, tables: ResultTables, folder: Path, sections: Sequence[Section] = (), **how: Any
) -> Iterator[Tab]:
    """Write the page of a result, open it, and wait until its scripts have done."""
    write_page(tables, folder / "report.html", sections=sections)
    with opened(browser, folder / "report.html", **how) as tab:
        tab.page.wait_for_selector("html.ready" if how.get("java_script_enabled", True) else "body")
        yield tab


def cells(tab: Tab, column: int) -> list[str]:
    return tab.page.locator(f'[data-table="trades"] tbody td:nth-child({column})').all_inner_texts()


def overflow(tab: Tab) -> Any:
    """Return what is wider than the window; the chart's own canvases are clipped by their stage."""
    return tab.run(
        "[...document.querySelectorAll('main *')].filter(one => !one.closest('.sc-stage') && one.offsetParent &&"
        " one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML.slice(0, 80))"
    )


def test_what_a_reader_must_know_and_the_chart_stand_on_the_first_screen(browser: Browser, tmp_path: Path) -> None:
    with page_of(browser, sample_tables(1500), tmp_path) as tab:
        text = tab.page.inner_text("body")
        for sentence in ("Breakout", "pessimistic", "all figures below", "Sharpe ratio", "Look-ahead and state"):
            assert sentence in text
        top = tab.run("document.querySelector('.sc-plot').getBoundingClientRect().top")
        assert 0 < top < 420
        painted = tab.run(
            "[...document.querySelectorAll('.sc-plot canvas')].some(one => one.getContext('2d')"
            ".getImageData(0, 0, one.width, one.height).data.some(Boolean))"
        )
        assert painted is True
        assert tab.run("document.querySelectorAll('*').length") < 2500


def test_it_is_moved_by_wheel_by_dragging_and_by_keys(browser: Browser, tmp_path: Path) -> None:
    with page_of(browser, sample_tables(1500), tmp_path) as tab:
        plot, mouse = tab.page.locator(".sc-plot"), tab.page.mouse
        box = plot.bounding_box()
        assert box is not None
        whole = tab.run("signalChart.view()")
        mouse.move(box["x"] + 500, box["y"] + 100)
        for _ in range(6):
            mouse.wheel(0, -300)
        tab.page.wait_for_timeout(80)
        near = tab.run("signalChart.view()")
        assert near[1] - near[0] < 0.5 * (whole[1] - whole[0])
        mouse.down()
        mouse.move(box["x"] + 300, box["y"] + 100, steps=4)
        mouse.up()
        tab.page.wait_for_timeout(80)
        dragged = tab.run("signalChart.view()")
        assert dragged[0] > near[0]
        plot.focus()
        tab.page.keyboard.press("ArrowLeft")
        tab.page.wait_for_timeout(80)
        assert tab.run("signalChart.view()")[0] < dragged[0]
        tab.page.keyboard.press("0")
        tab.page.wait_for_timeout(80)
        assert tab.run("signalChart.view()") == whole
        tab.page.keyboard.press("l")
        assert tab.page.get_by_role("button", name="Log").get_attribute("aria-pressed") == "true"


def test_two_fingers_zoom_and_one_moves(browser: Browser, tmp_path: Path) -> None:
    how: dict[str, Any] = {"has_touch": True, "viewport": {"width": 390, "height": 844}}
    with page_of(browser, sample_tables(1500), tmp_path, **how) as tab:
        tab.run("document.querySelector('.sc-plot').scrollIntoView()")
        box = tab.page.locator(".sc-plot").bounding_box()
        assert box is not None
        touch = tab.page.context.new_cdp_session(tab.page)

        def put(kind: str, *across: int) -> None:
            points = [{"x": box["x"] + x, "y": box["y"] + 80, "id": k} for k, x in enumerate(across)]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        whole = tab.run("signalChart.view()")
        put("touchStart", 120, 160)
        for far in (180, 200, 220, 240):
            put("touchMove", 120, far)
        put("touchEnd")
        tab.page.wait_for_timeout(80)
        near = tab.run("signalChart.view()")
        assert near[1] - near[0] < 0.7 * (whole[1] - whole[0])
        put("touchStart", 200)
        for far in (180, 160, 140):
            put("touchMove", far)
        put("touchEnd")
        tab.page.wait_for_timeout(80)
        assert tab.run("signalChart.view()")[0] > near[0]


def test_a_row_flies_to_its_signal_and_shows_its_steps(browser: Browser, tmp_path: Path) -> None:
    tables = sample_tables(1500)
    with page_of(browser, tables, tmp_path) as tab:
        tab.page.locator('[data-table="trades"] tbody tr').nth(2).click()
        number = tab.run("signalChart.selected()")
        assert number == len(tables.trades) - 2
        assert tab.page.url.endswith(f"#signal-{number}")
        assert tab.page.locator("tr.chosen").count() == 1
        steps = tab.page.inner_text("#signal")
        assert f"Signal {number}, " in steps
        assert "A range entry buys the whole allocation" in steps
        tab.page.keyboard.press("p")
        assert f"Signal {number - 1}, " in tab.page.inner_text("#signal")


def test_tables_sort_filter_and_give_csv_and_the_keyboard_does_it_too(browser: Browser, tmp_path: Path) -> None:
    tables = sample_tables(1500)
    with page_of(browser, tables, tmp_path) as tab:
        tab.page.get_by_role("columnheader", name="return").get_by_role("button").focus()
        tab.page.keyboard.press("Enter")
        best = tables.trades["return"].max()
        assert cells(tab, 12)[0] == f"{100 * best:+.2f} %"
        tab.page.keyboard.press("Enter")
        assert cells(tab, 12)[0] == f"{100 * tables.trades['return'].min():+.2f} %"
        tab.page.get_by_label("Filter Trades").fill("short target")
        short = tables.trades[(tables.trades["side"] < 0) & (tables.trades["exit"] == "target_hit")]
        assert len(cells(tab, 4)) == len(short) > 0
        assert set(cells(tab, 4)) == {"short"}
        with tab.page.expect_download() as told:
            tab.page.get_by_role("button", name="Save as CSV: Trades").click()
        saved = tmp_path / "trades.csv"
        told.value.save_as(saved)
        rows = list(csv.DictReader(saved.read_text("utf-8-sig").splitlines()))
        assert [row["side"] for row in rows] == ["short"] * len(short)
        np.testing.assert_allclose([float(row["return"]) for row in rows], np.sort(short["return"]), rtol=0)


def test_hostile_names_stay_text(browser: Browser, tmp_path: Path) -> None:
    with page_of(browser, hostile(), tmp_path) as tab:
        assert HOSTILE in tab.page.inner_text("h1")
        assert HOSTILE in tab.page.locator(".sc-bar option").all_inner_texts()
        assert tab.run("[...document.scripts].filter(one => one.src).length") == 0
        assert tab.page.title().startswith(HOSTILE)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious_and_no_column_is_cut(
    scheme: Any, width: int, browser: Browser, tmp_path: Path
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    how: dict[str, Any] = {"color_scheme": scheme, "viewport": {"width": width, "height": 844}}
    names = ["year", *(f"month {k}" for k in range(1, 13))]
    raw = [[2020 + row, *(0.01 * (k - 6) * row for k in range(12))] for row in range(4)]
    shown = [[f"{value:+.2f}" if k else str(value) for k, value in enumerate(row)] for row in raw]
    months = PageTable("months", "Months", "By month.", names, list(range(1, 13)), shown, raw, heat=list(range(1, 13)))
    part = [Section("parts", "Taken apart", tables=[months])]
    with page_of(browser, changed(sample_tables(700), luck=["nothing"]), tmp_path, part, **how) as tab:
        tab.run("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        assert overflow(tab) == []
        assert tab.run("document.documentElement.scrollWidth <= innerWidth") is True
        found = Axe().run(tab.page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in {"serious", "critical"}] == []


def test_it_is_chosen_dark_and_printed_light_on_three_pages_at_most(browser: Browser, tmp_path: Path) -> None:
    with page_of(browser, sample_tables(1500), tmp_path) as tab:
        tab.page.get_by_role("button", name="Dark").click()
        ground = "getComputedStyle(document.body).backgroundColor"
        assert tab.run(ground) == "rgb(18, 21, 27)"
        assert tab.run("getComputedStyle(document.querySelector('.sc-stage')).backgroundColor") == "rgb(18, 21, 27)"
        printed = tab.page.pdf(format="A4")
        assert 1 <= printed.count(b"/Type /Page\n") <= 3
        tab.page.emulate_media(media="print")
        assert tab.run(ground) == "rgb(255, 255, 255)"
        assert tab.page.locator(".stills img").first.is_visible()


def test_without_scripts_it_can_be_read(browser: Browser, tmp_path: Path) -> None:
    with page_of(browser, sample_tables(700), tmp_path, java_script_enabled=False) as tab:
        assert tab.page.locator(".stills img").count() == 2
        assert tab.page.locator(".stills img").first.is_visible()
        assert "POST /v2/signal" in tab.page.inner_text("#signal")


def poor(tables: ResultTables, balance: float) -> ResultTables:
    return replace(
        changed(tables, profile={**tables.manifest["profile"], "balance": balance}),
        equity=tables.equity.assign(equity=tables.equity["equity"] * balance / 10_000.0),
    )


def without(tables: ResultTables, *, fills: bool) -> ResultTables:
    """Return a result in which no signal was filled, or none made."""
    events = tables.events[tables.events["kind"] == "created"] if fills else tables.events.iloc[:0]
    return replace(
        tables,
        trades=tables.trades.iloc[:0],
        fills=tables.fills.iloc[:0],
        events=events,
        calls=tables.calls if fills else [],
    )


ODD = {
    "no signals": without(sample_tables(60), fills=False),
    "only signals that were never filled": without(sample_tables(60), fills=True),
    "one trade": sample_tables(60, every=60),
    "one open trade": sample_tables(8, every=8),
    "one candle": without(sample_tables(1), fills=False),
    "no candle": sample_tables(0),
    "a balance of 1e-9": poor(sample_tables(60), 1e-9),
    "nothing left": replace(sample_tables(60), equity=sample_tables(60).equity.assign(equity=0.0)),
    "a Chinese symbol": sample_tables(60, symbols=("币安人生/USDT",)),
}


def test_odd_results_are_a_page_without_nan(browser: Browser, tmp_path: Path) -> None:
    for name, tables in ODD.items():
        with page_of(browser, tables, tmp_path) as tab:
            tab.page.keyboard.press("n")
            tab.page.mouse.move(600, 500)
            tab.page.wait_for_timeout(50)
            text = tab.page.inner_text("body")
            assert "NaN" not in text, name
            assert "Infinity" not in text, name
            assert "undefined" not in text.replace("undefined:", ""), name
