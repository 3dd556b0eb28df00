"""Rules: what an exchange allows for a symbol, read from its market data and kept in the store."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from backtest.errors import BacktestError, DataUnavailableError, InvalidSettingError
from backtest.market_data.series import exchange_name
from backtest.market_data.symbol import to_file_name
from backtest.model.grid import decimal_text
from backtest.model.market import Market

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backtest.market_data.exchange import Exchange
    from backtest.market_data.store import Store

__all__ = ["market_from_ccxt", "read_market", "read_rules", "write_market"]

_SIGNAL_NAMES = {"gate": "GATEIO"}


async def read_rules(exchange: Exchange, symbol: str) -> Market:
    """Return the rules of a market as the exchange publishes them now."""
    market = exchange.market(symbol)
    tiers: list[dict[str, Any]] = []
    if market.get("contract"):
        try:
            tiers = await exchange.leverage_tiers(symbol)
        except BacktestError:  # the rest of the rules is worth having without them
            tiers = []
    return market_from_ccxt(exchange.name, market, tiers)


def market_from_ccxt(exchange: str, market: dict[str, Any], tiers: Sequence[dict[str, Any]] = ()) -> Market:
    """Return a market of ccxt's description: contracts are counted in base currency, as candles' volume is.

    Parameters
    ----------
    tiers
        Leverage tiers, the lowest first; the maintenance margin rate is the first one's (L13.1).

    Raises
    ------
    InvalidSettingError
        For an inverse contract, whose size is in quote currency.
    """
    symbol = str(market["symbol"])
    if market.get("inverse"):
        raise InvalidSettingError(f"{symbol} is an inverse contract; markets settled in the quote currency are known")
    size = float(market.get("contractSize") or 1.0) if market.get("contract") else 1.0
    limits = market.get("limits") or {}
    # htx tells the least amount of a contract in base currency already, and 1 for a leverage that it does not tell
    told = 1.0 if exchange == "htx" else size
    values: dict[str, Any] = {
        "symbol": symbol,
        "tick": _text(market["precision"].get("price"), 1.0),
        "step": _text(market["precision"].get("amount"), size),
        "min_amount": (_least(limits, "amount") or 0.0) * told,
        "min_cost": _least(limits, "cost") or 0.0,
        "exchange": _SIGNAL_NAMES.get(exchange, exchange.upper()),
    }
    highest = (limits.get("leverage") or {}).get("max") or (tiers[0].get("maxLeverage") if tiers else None)
    if highest and math.isfinite(highest) and highest >= 1 and not (exchange == "htx" and highest == 1):
        values["max_leverage"] = float(highest)
    if tiers and tiers[0].get("maintenanceMarginRate"):
        values["maintenance_margin_rate"] = float(tiers[0]["maintenanceMarginRate"])
    return Market(**values)


def write_market(store: Store, exchange: str, market: Market, seen: str) -> None:
    """Keep the rules of a market; earlier ones that differ stay beside them."""
    path = _path(exchange, market.symbol)
    with store.disk.lock(path.rpartition("/")[0]):
        versions = _versions(store, path)
        if versions and versions[-1]["market"] == market.to_dict():
            return
        body = json.dumps([*versions, {"seen": seen, "market": market.to_dict()}], indent=1) + "\n"
        store.disk.write(path, body.encode())


def read_market(store: Store, exchange: str, symbol: str) -> Market | None:
    """Return the rules that the store has for a symbol; None where it has none."""
    versions = _versions(store, _path(exchange_name(exchange), symbol))
    return Market.from_dict(versions[-1]["market"]) if versions else None


def _path(exchange: str, symbol: str) -> str:
    return f"{exchange}/{to_file_name(symbol)}/market.json"


def _versions(store: Store, path: str) -> list[dict[str, Any]]:
    data = store.disk.read(path)
    try:
        versions: list[dict[str, Any]] = json.loads(data) if data is not None else []
    except ValueError as error:
        raise DataUnavailableError(f"{store.disk}/{path} is damaged ({error}): delete it and fetch again") from error
    return versions


def _text(size: float | None, contract: float) -> str:
    """Return a tick or step as decimal text; the product of two decimals without float noise."""
    return "0" if not size else decimal_text(float(f"{size * contract:.12g}"))


def _least(limits: dict[str, Any], name: str) -> float | None:
    least = (limits.get(name) or {}).get("min")
    return float(least) if least and math.isfinite(least) else None
