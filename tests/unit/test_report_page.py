"""The page's text: escaped, complete, the same every time; its parser is Python's own."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from backtest.errors import StorageError
from backtest.report.notebook import repr_html
from backtest.report.page import PageTable, Section, page_html, write_page
from backtest.report.page.section import page_table
from backtest.report.page.verdict import facts
from backtest.report.titled import TitledTable
from tests.unit.test_report_tables import START, changed, sample_tables

if TYPE_CHECKING:
    from pathlib import Path

    from backtest.report.tables import ResultTables

HOSTILE = """<script src="http://evil.example/x.js"></script>'"><img src=x onerror="alert(1)">&amp;/USD"""


class Reader(HTMLParser):
    """Collects the elements, their attributes and the text of a page; unbalanced markup fails."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, name: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(name)
        self.attributes += [(name, key, value or "") for key, value in attrs]
        if name not in {"img", "link", "meta", "wbr"}:
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        self.text += data


def hostile() -> ResultTables:
    tables = sample_tables(300, symbols=(HOSTILE, "BTC/USDT"))
    strategy = {"name": HOSTILE, "doc": HOSTILE, "parameters": {HOSTILE: HOSTILE}, "identity": HOSTILE}
    return changed(
        tables,
        strategy=strategy,
        warnings=[HOSTILE],
        versions={HOSTILE: HOSTILE},
        emitted={HOSTILE: HOSTILE},
        assumptions=[dict.fromkeys(("name", "value", "status", "rule", "text"), HOSTILE)],
        market={HOSTILE: {"symbol": HOSTILE}},
        profile={**tables.manifest["profile"], "name": HOSTILE},
    )


def test_no_name_becomes_markup() -> None:
    page, plain = Reader(page_html(hostile())), Reader(page_html(sample_tables(300, symbols=("A/USDT", "BTC/USDT"))))
    for one in (page, Reader(repr_html(hostile()))):
        assert not [attribute for attribute in one.attributes if attribute[1].startswith("on")]
        sources = [value for _, key, value in one.attributes if key in {"src", "href"}]
        assert all(value.startswith(("data:", "#")) for value in sources)
        assert HOSTILE in one.text
    assert "script" not in Reader(repr_html(hostile())).tags
    assert page.tags.count("script") == plain.tags.count("script")
    assert page.tags.count("img") == plain.tags.count("img")


def test_every_script_and_the_sheet_are_allowed_by_their_hash_and_nothing_else_is() -> None:
    page = page_html(sample_tables(100))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    parts = dict(part.strip().split(" ", 1) for part in html.unescape(policy).split(";"))
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)

    def hashed(content: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"

    assert parts["script-src"].split(" ") == [hashed(script) for script in scripts]
    assert parts["style-src"] == hashed(style)
    assert parts["default-src"] == "'none'"
    assert " style=" not in re.sub(r'<(script|style)\b.*?</\1>| src="[^"]*"', "", page, flags=re.DOTALL)


def test_the_page_is_complete() -> None:
    tables = sample_tables(1500, symbols=("BTC/USDT", "ETH/USDT"))
    status = [one["status"] for one in tables.assumptions]
    page = Reader(page_html(tables))
    for sentence in (
        "pessimistic",
        "optimistic",
        "12 candles were ambiguous",
        f"{status.count('documented')} documented, {status.count('assumed')} assumed",
        "no funding rates were given",
        "buy and hold",
        "Sharpe ratio",
        "As the venue's marketplace counts",
        "POST /v2/signal",
        '"exit_price_1":"',
        "the shares of a split entry must sum to 100",
        "3 candles missing inside",
        "5e" * 32,
        "signals name BINANCE BTC/USDT",
        "lookback",
        "allocation_limit",
        "L4.1",
        "A range entry buys the whole allocation",
    ):
        assert sentence in page.text
    assert page.tags.count("img") == 2  # for print: the price of what traded most, and the account
    assert all(value for name, key, value in page.attributes if name == "img" and key == "alt")
    assert page.tags.count("tr") < 250


def test_every_link_leads_somewhere() -> None:
    page = Reader(page_html(sample_tables(1500)))
    ids = [value for _, key, value in page.attributes if key == "id"]
    assert len(ids) == len(set(ids))
    links = {value for name, key, value in page.attributes if name == "a" and key == "href"}
    assert links <= {f"#{one}" for one in ids}


def test_a_section_is_a_title_with_tables() -> None:
    months = PageTable(
        "months", "Months", "By month.", ["year", "Jan"], [1], [["2024", "+1.00 %"]], [[2024, 0.01]], heat=[1]
    )
    nothing = PageTable("none", "None", "", ["a"], [], [], [], empty="no trade was closed")
    page = Reader(page_html(sample_tables(60), sections=[Section("parts", "Taken apart", tables=[months, nothing])]))
    assert "Taken apart" in page.text
    assert "No row: no trade was closed." in page.text
    assert ("td", "class", "n up4") in page.attributes
    assert ("a", "href", "#parts") in page.attributes


def test_the_same_tables_give_the_same_bytes() -> None:
    assert page_html(sample_tables(400)) == page_html(sample_tables(400))
    assert repr_html(sample_tables(400)) == repr_html(sample_tables(400))


def test_very_many_trades_and_signals_are_cut_and_it_is_said() -> None:
    tables = sample_tables(1500)
    many = pd.concat([tables.trades] * 300, ignore_index=True)
    page = Reader(page_html(replace(tables, trades=many)))
    assert f"The newest 10,000 of {len(many):,} trades; all are in trades.parquet" in page.text
    assert "The first 12 of 10,000 rows" in page.text
    assert "The newest 12, as they would be sent" in page.text


def test_one_reading_only_is_said() -> None:
    page = Reader(page_html(changed(sample_tables(100), total_return=None)))
    assert "one reading of the candles only (pessimistic)" in page.text


LITTLE = {
    "no rows": sample_tables(0),
    "a bare manifest": replace(sample_tables(60), manifest={}),
    "no symbols": replace(sample_tables(0), candles={}),
    "no calls": replace(sample_tables(60), calls=[]),
}


@pytest.mark.parametrize("tables", LITTLE.values(), ids=LITTLE)
def test_little_to_show_is_shown(tables: ResultTables) -> None:
    assert Reader(page_html(tables)).text
    assert Reader(repr_html(tables)).text


@pytest.mark.parametrize("body", ['{"invest":10}', b'{"invest":10}', {"invest": 10}], ids=["text", "bytes", "plain"])
def test_a_call_is_shown_as_the_bytes_that_are_sent(body: object) -> None:
    tables = sample_tables(60)
    call = {"method": "POST", "path": "/v2/signal", "body": body, "at": START, "ref": "s"}
    assert 'POST /v2/signal\n{"invest":10}' in Reader(page_html(replace(tables, calls=[call]))).text


def test_a_single_market_needs_no_file_of_markets() -> None:
    page = Reader(page_html(changed(sample_tables(60), market={"symbol": "BTC/USDT", "tick": "0.01"})))
    assert "Market BTC/USDT" in page.text


def test_symbols_in_any_script_are_drawn() -> None:
    tables = sample_tables(100, symbols=("币安人生/USDT", "🐸\x00$/USDT"))
    assert "币安人生/USDT" in Reader(page_html(tables)).text


def test_is_written_in_whole(tmp_path: Path) -> None:
    file = tmp_path / "out" / "report.html"
    write_page(sample_tables(100), file)
    assert file.read_text(encoding="utf-8") == page_html(sample_tables(100))
    assert [one.name for one in file.parent.iterdir()] == ["report.html"]


def test_a_lone_surrogate_does_not_stop_it(tmp_path: Path) -> None:
    write_page(changed(sample_tables(50), warnings=["\ud800"]), tmp_path / "r.html")
    assert "&#55296;" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_refusing_disk_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="cannot write"):
        write_page(sample_tables(50), tmp_path / "file" / "report.html")


@pytest.mark.parametrize(
    ("counts", "value", "tone"),
    [
        ({}, "none", "good"),
        ({"candles": 0, "tight_candles": 0}, "none", "good"),
        ({"candles": 3, "tight_candles": 0}, "3", "good"),
        ({"candles": 0, "tight_candles": 2}, "0, 2 with a trail too tight", "poor"),
    ],
)
def test_candles_inside_which_the_order_is_unknown_are_a_fact(counts: dict[str, int], value: str, tone: str) -> None:
    tables = sample_tables(60)
    found = facts(replace(tables, manifest={**tables.manifest, "ambiguous": counts}))
    assert [(one.value, one.tone) for one in found if one.label == "Ambiguous candles"] == [(value, tone)]


@pytest.mark.parametrize(("closed", "tone"), [(9, "poor"), (10, "fair")])
def test_fewer_than_ten_trades_are_poor(closed: int, tone: str) -> None:
    tables = sample_tables(600)
    trades = tables.trades[~tables.trades["open"].to_numpy(bool)].iloc[:closed]
    assert len(trades) == closed
    found = facts(replace(tables, trades=trades))
    assert [(one.value, one.tone) for one in found if one.label == "Trades"] == [(f"{closed} closed", tone)]


def test_calls_that_nobody_refused_are_a_fact() -> None:
    tables = sample_tables(60)
    found = [one for one in facts(replace(tables, refused=[])) if one.label == "Calls"]
    assert [(one.value, one.tone, one.about) for one in found] == [
        (f"{len(tables.calls)} sent", "good", "none refused")
    ]


def test_a_signal_without_a_number_keeps_its_name() -> None:
    frame = pd.DataFrame({"signal": ["one", "two"], "trades": [3, 4]})
    table = page_table(TitledTable("parts", "Parts", "By signal.", frame), {"two": 7})
    assert [row[0] for row in table.shown] == ["one", "signal 7"]
