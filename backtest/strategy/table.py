"""SignalTable: the creates of many closes as columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from backtest.errors import InvalidSettingError
from backtest.model.calls import Dca, TrailingStop
from backtest.strategy.moment import worse

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from backtest.model.candles import Candles
    from backtest.model.events import SignalRef

__all__ = ["SignalTable"]

_NUMBERS = (
    "entry_price_max",
    "entry_price_min",
    "entry_price_mid",
    "stop_loss",
    "invest",
    "invest_entry_min",
    "invest_entry_mid",
    "invest_entry_max",
    "leverage",
    "ttl_buy_order",
)
_TRAILING = ("trailing_stop_price", "trailing_stop_limit_price")
_FIELDS = (*_NUMBERS, *_TRAILING)
_FLOAT, _INT = np.dtype(np.float64), np.dtype(np.int64)


@dataclass(frozen=True, eq=False, kw_only=True)
class SignalTable:
    """Creates computed at once: one row a create, in order of time.

    Attributes
    ----------
    at
        (k,) int, positions of the deciding candles, ascending; or (n,) bool, one flag a candle. A create decided at the
        close of candle *t* acts from the open of *t + 1*.
    entry_price_max, entry_price_min, entry_price_mid, stop_loss, invest, invest_entry_min, invest_entry_mid, invest_entry_max, leverage, ttl_buy_order
        A number for all rows, or (k,) float64, one a row. None leaves the field out. Units as in
        :class:`backtest.model.calls.CreateSignal`.
    targets
        One number or (k,) column for each target.
    side
        ``"long"`` or ``"short"`` for all rows, or (k,) of +1 and -1.
    while_open
        ``"skip"``: a create is made only where no signal of the symbol lives, pending ones included. ``"stack"``: always.
    account, margin_type, version, allow_no_stop
        For all rows.
    trailing_stop_price, trailing_stop_limit_price
        Both or none: each create is followed, at the same close, by a trailing stop call. It waits for the entry, whose
        fill is its first high (L8.5).
    dca
        ``(buy_price, multiplier)`` for each DCA call that follows each create at the same close (L10.1); numbers or
        columns.

    Examples
    --------
    >>> import numpy as np
    >>> from backtest import SignalTable
    >>> close = np.array([100.0, 102.0, 101.0])
    >>> at = np.flatnonzero(close > 100.5)
    >>> table = SignalTable(at=at, entry_price_max=close[at], targets=(1.1 * close[at],), stop_loss=95.0, invest=10)
    >>> len(table), table.rows.tolist(), table.column("entry_price_max").tolist()
    (2, [1, 2], [102.0, 101.0])
    """

    at: ArrayLike
    entry_price_max: ArrayLike
    targets: tuple[ArrayLike, ...]
    invest: ArrayLike
    stop_loss: ArrayLike | None = None
    entry_price_min: ArrayLike | None = None
    entry_price_mid: ArrayLike | None = None
    invest_entry_min: ArrayLike | None = None
    invest_entry_mid: ArrayLike | None = None
    invest_entry_max: ArrayLike | None = None
    leverage: ArrayLike | None = None
    ttl_buy_order: ArrayLike | None = None
    side: ArrayLike = "long"
    while_open: Literal["skip", "stack"] = "skip"
    account: Literal["SPOT", "MARGIN", "FUTURES"] | None = None
    margin_type: Literal["ISOLATED", "CROSS"] | None = None
    version: Literal[1, 2] = 2
    allow_no_stop: bool = False
    trailing_stop_price: ArrayLike | None = None
    trailing_stop_limit_price: ArrayLike | None = None
    dca: tuple[tuple[ArrayLike, ArrayLike], ...] = ()

    def __post_init__(self) -> None:
        at = np.asarray(self.at)
        if at.dtype == np.bool_:
            at = np.flatnonzero(at)
        if at.ndim != 1 or at.dtype.kind not in "iu":
            raise InvalidSettingError("SignalTable.at is a column of candle positions or of true and false")
        if np.count_nonzero(at[1:] < at[:-1]):
            raise InvalidSettingError("SignalTable.at needs ascending positions")
        object.__setattr__(self, "at", at if at.dtype is _INT else at.astype(np.int64, copy=False))
        if self.while_open not in ("skip", "stack"):
            raise InvalidSettingError(f'while_open is "skip" or "stack", was {self.while_open!r}')
        shape = self.rows.shape
        for name in _FIELDS:
            value = getattr(self, name)
            if value is not None and not _fits(value, shape):  # a session makes a table at every close
                self._sized(name, value)
        for number, value in enumerate(self.targets):
            if not _fits(value, shape):
                self.target(number)
        self.sides()
        if self.trailing_stop_price is not None or self.trailing_stop_limit_price is not None or self.dca:
            self._check_followers()

    def _check_followers(self) -> None:
        if (self.trailing_stop_price is None) != (self.trailing_stop_limit_price is None):
            missing = _TRAILING[self.trailing_stop_price is not None]
            raise InvalidSettingError(f"SignalTable.{missing} is missing; the two trailing prices come together")
        levels: tuple[Any, ...] = self.dca
        for number, level in enumerate(levels):
            if not (isinstance(level, tuple) and len(level) == 2):
                raise InvalidSettingError(
                    f"SignalTable.dca[{number}] is a pair of buy_price and multiplier, was {level!r}"
                )
            for part in range(2):
                self.level(number, part)

    @classmethod
    def market(
        cls,
        candles: Candles,
        at: ArrayLike,
        *,
        within: float = 0.5,
        side: ArrayLike = "long",
        ttl_buy_order: ArrayLike | None = None,
        **columns: Any,
    ) -> SignalTable:
        """Return creates that are filled at the next open, at up to ``within`` percent worse than the deciding close.

        The same as :meth:`backtest.Moment.market`, row by row.

        Parameters
        ----------
        candles
            (n,), on whose closes the rows decide.
        at
            As in the class.
        within
            Percent of the close, above 0.
        side
            ``"long"`` or ``"short"`` for all rows, or (k,) of +1 and -1.
        ttl_buy_order
            In ms; None: one candle.
        columns
            The other fields of the class; entry prices are made here.
        """
        positions = np.asarray(at)
        positions = np.flatnonzero(positions) if positions.dtype == np.bool_ else positions.astype(np.int64)
        long = np.asarray(side) == "long" if isinstance(side, str) else np.asarray(side) > 0
        factor = np.where(long, worse(within, 1), worse(within, -1))
        ttl = candles.milliseconds if ttl_buy_order is None else ttl_buy_order
        return cls(
            at=positions, entry_price_max=candles.close[positions] * factor, side=side, ttl_buy_order=ttl, **columns
        )

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def rows(self) -> NDArray[np.int64]:
        """(k,) int64, positions of the deciding candles."""
        return self.at  # type: ignore[return-value]

    def column(self, name: str) -> NDArray[np.float64] | float | None:
        """Return a field as one number, as (k,) float64, or None where it is left out."""
        return self._sized(name, getattr(self, name))

    def target(self, number: int) -> NDArray[np.float64] | float | None:
        """Return target ``number`` (from 0) likewise."""
        return self._sized(f"targets[{number}]", self.targets[number])

    @property
    def width(self) -> int:
        """How many calls each row sends at its close: the create and what follows it."""
        return 1 + (self.trailing_stop_price is not None) + len(self.dca)

    def trail(self, name: str) -> NDArray[np.float64] | float | None:
        """Return a price of the trailing stop that follows, likewise."""
        return self._sized(name, getattr(self, name))

    def level(self, number: int, part: int) -> NDArray[np.float64] | float:
        """Return the buy price (``part`` 0) or multiplier (1) of a DCA that follows, likewise."""
        found = self._sized(f"dca[{number}]", self.dca[number][part])
        if found is None:
            raise InvalidSettingError(
                f"SignalTable.dca[{number}] is a pair of buy_price and multiplier, was {self.dca[number]!r}"
            )
        return found

    def calls_after(self, k: int, ref: SignalRef) -> list[TrailingStop | Dca]:
        """Return the calls that follow the create of one row, not yet rounded."""
        calls: list[TrailingStop | Dca] = []
        if self.trailing_stop_price is not None:
            stop, limit = (_item(self.trail(name), k) for name in _TRAILING)
            assert stop is not None and limit is not None  # noqa: S101, PT018
            calls.append(TrailingStop(ref, stop, limit))
        for number in range(len(self.dca)):
            price, multiplier = (_item(self.level(number, part), k) for part in range(2))
            assert price is not None and multiplier is not None  # noqa: S101, PT018
            calls.append(Dca(ref, price, multiplier))
        return calls

    def sides(self) -> NDArray[np.int64] | int:
        """Return +1 or -1 for all rows, or (k,) of them."""
        if isinstance(self.side, str):
            if self.side not in ("long", "short"):
                raise InvalidSettingError(f'side is "long" or "short", was {self.side!r}')
            return 1 if self.side == "long" else -1
        sides = np.asarray(self.side, np.int64)
        if sides.shape != self.rows.shape or not np.isin(sides, (1, -1)).all():
            raise InvalidSettingError("a column of sides has one +1 or -1 for each row")
        return sides

    def row(self, k: int) -> dict[str, Any]:
        """Return the numbers of one row, by field, as Python values."""
        values: dict[str, Any] = dict.fromkeys(_NUMBERS)
        for name in _NUMBERS:
            value = getattr(self, name)
            if value is not None:
                values[name] = _item(self._sized(name, value), k)
        values["targets"] = tuple(_item(self.target(number), k) for number in range(len(self.targets)))
        side = self.sides()
        values["side"] = int(side if isinstance(side, int) else side[k])
        return values

    def _sized(self, name: str, value: ArrayLike | None) -> NDArray[np.float64] | float | None:
        if value is None:
            return None
        if isinstance(value, int | float):
            return float(value)
        column = np.asarray(value, np.float64)
        if column.ndim == 0:
            return float(column)
        if column.shape != self.rows.shape:
            raise InvalidSettingError(
                f"SignalTable.{name} has {column.shape} values for {len(self.rows)} rows; select them with [at]"
            )
        return column


def _fits(value: Any, shape: tuple[int, ...]) -> bool:
    """Whether a value is a number or a column just as it is kept."""
    kind = type(value)
    return kind is float or (kind is np.ndarray and value.dtype is _FLOAT and value.shape == shape)


def _item(column: NDArray[np.float64] | float | None, k: int) -> float | None:
    return column if column is None or isinstance(column, float) else float(column[k])
