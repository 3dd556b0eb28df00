"""Where a result comes from: strategy, profile, assumptions, data and versions, as parts of the page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from backtest.report import headline, text
from backtest.report.html import Html, join, table, tag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backtest.report.tables import ResultTables

__all__ = ["origin_part"]

_UNSET = {
    "slippage": "not set: 0.001 on the venue's majors, 0.003 on the rest",
    "stop_order": "not set: limit on SPOT, market on MARGIN and FUTURES",
    "target_shares": "not set: equal parts",
}


def origin_part(tables: ResultTables) -> Html:
    """Return all that another person needs to judge the result, or to make it again."""
    manifest = tables.manifest
    strategy = dict(manifest.get("strategy") or {})
    parameters = strategy.pop("parameters", None) or {}
    known = {key: value for key, value in strategy.items() if key not in {"doc", "name"} and value}
    return join(
        [
            tag("h2", "Where this comes from", id="origin"),
            tag("h3", f"Strategy {tables.name}"),
            _pairs({**parameters, **known}),
            tag("h3", "Subscriber profile"),
            tag(
                "p", f"Fees, slippage and margins are fractions, shares and limits percent{_in(tables)}.", class_="soft"
            ),
            _pairs({key: _unset(key, value) for key, value in (manifest.get("profile") or {}).items()}),
            tag("h3", "Readings of the venue"),
            tag("p", headline.assumed(tables), class_="soft"),
            _assumptions(tables),
            tag("h3", "Candles"),
            _data(tables),
            *(
                part
                for symbol, market in _markets(manifest)
                for part in (tag("h3", f"Market {symbol}"), _pairs(market))
            ),
            tag("h3", "Versions"),
            _pairs(manifest.get("versions") or {}),
        ]
    )


def _assumptions(tables: ResultTables) -> Html:
    order = {"assumed": 0, "documented": 1, "confirmed": 2}
    listed = sorted(tables.assumptions, key=lambda one: order.get(str(one.get("status")), 3))
    rows = [
        [str(one.get("status", "")), str(one.get("rule", "")), str(one.get("text", "")), _plain(one.get("value"))]
        for one in listed
    ]
    return table(["status", "rule", "reading", "value"], rows)


def _data(tables: ResultTables) -> Html:
    named = tables.manifest.get("candles") or {}
    rows = []
    for symbol in tables.symbols:
        about = named.get(symbol, {})
        span = " to ".join(text.when(int(about[key])) for key in ("first", "last") if about.get(key) is not None)
        rows.append([symbol, headline.data_line(tables, symbol), span, str(about.get("hash", ""))])
    return table(["symbol", "what", "opens, UTC", "SHA-256"], rows)


def _markets(manifest: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    markets = manifest.get("market") or {}
    if isinstance(markets.get("symbol"), str):  # a single market, not filed by its symbol
        return [(str(markets["symbol"]), markets)]
    return [(str(symbol), market) for symbol, market in sorted(markets.items())]


def _in(tables: ResultTables) -> str:
    return f", the balance is in {tables.quote}" if tables.quote else ""


def _unset(key: str, value: Any) -> Any:
    """Return a field of the profile, or what holds where it was left open."""
    return _UNSET.get(key) if value is None else value


def _pairs(values: Mapping[str, Any]) -> Html:
    if not values:
        return tag("p", "Nothing was recorded.", class_="soft")
    return table([], [[str(key), _plain(value)] for key, value in values.items()])


def _plain(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
