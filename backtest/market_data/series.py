"""Series: the name of one run of rows in the store, and the folder it lives in."""

from __future__ import annotations

import re
from dataclasses import dataclass

from backtest.errors import InvalidSettingError
from backtest.market_data.symbol import from_folder_name, to_file_name
from backtest.model.timeframe import milliseconds

__all__ = ["FUNDING", "KINDS", "Series", "exchange_name"]

FUNDING = "funding"
KINDS = ("", "mark", FUNDING)
"""Candles of trades, candles of the mark price, funding rates."""

_OTHER_NAMES = {"gateio": "gate", "gate.io": "gate", "huobi": "htx", "okex": "okx"}


def exchange_name(text: str) -> str:
    """Return an exchange's name as ccxt writes it: ``BINANCE`` is ``binance``, ``gateio`` is ``gate``.

    Raises
    ------
    InvalidSettingError
        For text that cannot be a name.
    """
    name = text.strip().lower()
    name = _OTHER_NAMES.get(name, name)
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise InvalidSettingError(f'an exchange is named by its letters and digits, such as "binance", was {text!r}')
    return name


@dataclass(frozen=True, slots=True, order=True)
class Series:
    """Candles of one symbol and timeframe from one exchange, or the funding rates of one symbol.

    Attributes
    ----------
    exchange, symbol, timeframe
        ``"binance"`` (other spellings are turned into it), ``"BTC/USDT"``, ``"1h"`` (empty for funding rates).
    kind
        Empty for candles of trades, ``"mark"`` for the mark price, ``"funding"``.

    Raises
    ------
    InvalidSettingError
        For a name that cannot be one.
    """

    exchange: str
    symbol: str
    timeframe: str
    kind: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "exchange", exchange_name(self.exchange))
        if not re.fullmatch(r"[^./\\:\s][^/\\:\s]*/[^/\\:\s]+(:[^/\\:\s]+)?", self.symbol):
            raise InvalidSettingError(f'symbol is written BASE/QUOTE, such as "BTC/USDT", was {self.symbol!r}')
        if self.kind not in KINDS:
            raise InvalidSettingError(f'kind is "", "mark" or "funding", was {self.kind!r}')
        if self.kind != FUNDING:
            milliseconds(self.timeframe)

    def __str__(self) -> str:
        return " ".join(part for part in (self.exchange, self.symbol, self.timeframe, self.kind) if part)

    @property
    def length(self) -> int:
        """Distance of two rows in ms; 0 for funding rates, whose distance an exchange may change."""
        return 0 if self.kind == FUNDING else milliseconds(self.timeframe)

    @property
    def folder(self) -> str:
        """Folder inside the store: ``binance/BTC_USDT/1h``."""
        return f"{self.exchange}/{to_file_name(self.symbol)}/{'-'.join(p for p in (self.timeframe, self.kind) if p)}"

    @classmethod
    def of_folder(cls, folder: str) -> Series | None:
        """Return the series that lives in a folder; None where none can."""
        parts = folder.split("/")
        symbol = from_folder_name(parts[1]) if len(parts) == 3 else None
        if symbol is None:
            return None
        timeframe, _, kind = parts[2].partition("-")
        try:
            if timeframe == FUNDING:
                return cls(parts[0], symbol, "", FUNDING)
            return cls(parts[0], symbol, timeframe, kind)
        except InvalidSettingError:
            return None
