"""The page's text: escaped, complete, the same every time; its parser is Python's own."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from backtest.errors import StorageError
from backtest.report.html import Html, details, join, table, tag
from backtest.report.notebook import repr_html
from backtest.report.page import page_html, write_page
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


@pytest.mark.parametrize("write", [page_html, repr_html])
def test_no_name_becomes_markup(write: Any) -> None:
    page = Reader(write(hostile()))
    assert "script" not in page.tags
    assert not [one for one in page.attributes if one[1].startswith("on")]
    sources = [value for _, key, value in page.attributes if key in {"src", "href"}]
    assert all(value.startswith(("data:", "#")) for value in sources)
    assert HOSTILE in page.text


def test_the_page_is_complete() -> None:
    tables = sample_tables(1500, symbols=("BTC/USDT", "ETH/USDT"))
    status = [one["status"] for one in tables.assumptions]
    page = Reader(page_html(tables))
    for sentence in (
        "Total return, pessimistic",
        "Total return, optimistic",
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
    assert page.tags.count("img") == 5  # the account, and price and close-up of two symbols
    assert page.tags.count("details") == 2 + len(tables.trades)
    assert all(value for name, key, value in page.attributes if name == "img" and key == "alt")


def test_every_link_leads_somewhere() -> None:
    page = Reader(page_html(sample_tables(1500)))
    ids = [value for _, key, value in page.attributes if key == "id"]
    assert len(ids) == len(set(ids))
    links = {value for name, key, value in page.attributes if name == "a" and key == "href"}
    assert links <= {f"#{one}" for one in ids}


def test_the_same_tables_give_the_same_bytes() -> None:
    assert page_html(sample_tables(400)) == page_html(sample_tables(400))
    assert repr_html(sample_tables(400)) == repr_html(sample_tables(400))


def test_very_many_trades_and_signals_are_cut_and_it_is_said() -> None:
    tables = sample_tables(1500)
    many = pd.concat([tables.trades] * 60, ignore_index=True)
    events = tables.events.iloc[:1].assign(kind="created")
    names = [f"s{i}" for i in range(250)]
    events = pd.concat([events.assign(signal=name) for name in names], ignore_index=True)
    page = Reader(page_html(replace(tables, trades=many, events=events)))
    assert f"The newest 2,000 of {len(many):,} trades; all are in trades.parquet" in page.text
    assert "The newest 200 of 250 signals" in page.text
    assert "The newest 12 of" in page.text
    assert "250. s249: never bought anything (created)" in page.text


def test_many_symbols_are_not_all_drawn() -> None:
    symbols = tuple(f"C{i}/USDT" for i in range(8))
    page = Reader(page_html(sample_tables(60, every=30, symbols=symbols)))
    assert "2 more symbols are not drawn." in page.text
    assert "C0/USDT, C1/USDT, C2/USDT, C3/USDT and 4 more 1h" in page.text


def test_one_reading_only_is_said() -> None:
    page = Reader(page_html(changed(sample_tables(100), total_return=None)))
    assert "Total return: one reading of the candles only (pessimistic)" in page.text


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


def test_elements_escape_text_and_attributes() -> None:
    assert tag("p", "<b>", tag("i", "x"), title='"&') == '<p title="&quot;&amp;">&lt;b&gt;<i>x</i></p>'
    assert tag("meta", http_equiv="a", class_=None) == '<meta http-equiv="a">'
    assert join(["<", Html("<br>")]) == "&lt;<br>"
    assert details("a<b", "c") == "<details><summary>a&lt;b</summary>c</details>"
    assert '<td class="n">1</td>' in table(["a", "b"], [["x", "1"]], right=[1])
