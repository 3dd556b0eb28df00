"""Where a result comes from: strategy, profile, assumptions, data and versions, as tables."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from backtest.report import headline, text
from backtest.report.page.section import PageTable, Section

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from backtest.report.tables import ResultTables

__all__ = ["origin_section"]

_UNSET = {
    "slippage": "not set: 0.001 on the venue's majors, 0.003 on the rest",
    "stop_order": "not set: limit on SPOT, market on MARGIN and FUTURES",
    "target_shares": "not set: equal parts",
}


def origin_section(tables: ResultTables) -> Section:
    """Return all that another person needs to judge the result, or to make it again."""
    return Section("origin", "Where this comes from", tables=list(_parts(tables)), folded=True)


def _parts(tables: ResultTables) -> Iterator[PageTable]:
    manifest = tables.manifest
    strategy = dict(manifest.get("strategy") or {})
    parameters = strategy.pop("parameters", None) or {}
    known = {key: value for key, value in strategy.items() if key not in {"doc", "name"} and value}
    yield _pairs("strategy", f"Strategy {tables.name}", "", {**parameters, **known})
    about = "Fees, slippage and margins are fractions, shares and limits percent"
    about += f", the balance is in {tables.quote}." if tables.quote else "."
    profile = {key: _unset(key, value) for key, value in (manifest.get("profile") or {}).items()}
    yield _pairs("profile", "Subscriber profile", about, profile)
    yield _assumptions(tables)
    yield _data(tables)
    for symbol, market in _markets(manifest):
        yield _pairs(f"market-{symbol}", f"Market {symbol}", "", market)
    yield _pairs("versions", "Versions", "", manifest.get("versions") or {})


def _assumptions(tables: ResultTables) -> PageTable:
    order = {"assumed": 0, "documented": 1, "confirmed": 2}
    listed = sorted(tables.assumptions, key=lambda one: order.get(str(one.get("status")), 3))
    rows = [
        [str(one.get("status", "")), str(one.get("rule", "")), str(one.get("text", "")), _plain(one.get("value"))]
        for one in listed
    ]
    return _texts(
        "assumptions", "Readings of the venue", headline.assumed(tables), ["status", "rule", "reading", "value"], rows
    )


def _data(tables: ResultTables) -> PageTable:
    named = tables.manifest.get("candles") or {}
    rows = []
    for symbol in tables.symbols:
        about = named.get(symbol, {})
        span = " to ".join(text.when(int(about[key])) for key in ("first", "last") if about.get(key) is not None)
        rows.append([symbol, headline.data_line(tables, symbol), span, str(about.get("hash", ""))])
    return _texts("candles", "Candles", "", ["symbol", "what", "opens, UTC", "SHA-256"], rows)


def _markets(manifest: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    markets = manifest.get("market") or {}
    if isinstance(markets.get("symbol"), str):  # a single market, not filed by its symbol
        return [(str(markets["symbol"]), markets)]
    return [(str(symbol), market) for symbol, market in sorted(markets.items())]


def _unset(key: str, value: Any) -> Any:
    """Return a field of the profile, or what holds where it was left open."""
    return _UNSET.get(key) if value is None else value


def _pairs(key: str, title: str, about: str, values: Mapping[str, Any]) -> PageTable:
    rows = [[str(name), _plain(value)] for name, value in values.items()]
    return _texts(key, title, about, ["name", "value"], rows)


def _texts(key: str, title: str, about: str, head: list[str], rows: list[list[str]]) -> PageTable:
    return PageTable(key, title, about, head, [], rows, [list(row) for row in rows], empty="nothing was recorded")


def _plain(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
