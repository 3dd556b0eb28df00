"""Intake: how prices come onto the tick, and which rules they and the numbers beside them keep (L3.6, L3.8, L4.2).

Everything here takes one call or a table of them: a value is a number or a (k,) column, a side is +1 or -1 or a column
of them. A single create is one row, so that no rule stands twice. What one call keeps need not be said, so that only
what is broken, or a column, is yielded. Prices go by the API's names in version 2.

What fails a :class:`Condition` is one of two things. An *error* is a fault of the code that made the call: NaN, shares that do
not sum, leverage below 1. Anything else is a *relation between prices*: the market or the tick brought it about, no
venue could take the call, and the desk refuses this one call (L3.8).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from backtest.model.grid import Grid

__all__ = [
    "Column",
    "Condition",
    "bounds_of",
    "broken_rows",
    "buy_relations",
    "create_on_tick",
    "create_relations",
    "create_ways",
    "first_broken",
    "leverage_condition",
    "named",
    "on_tick",
    "pair_on_tick",
    "pair_relations",
    "price_conditions",
    "price_relations",
    "size_conditions",
    "update_relations",
]

Column: TypeAlias = Any
"""A number for one call or for all rows of a table, a (k,) column of them, or None where the field is absent."""

_NEAR = "the near entry bound"
_SHARE_SLACK = 1e-7
_SHARES = {f"invest_entry_{part}": part for part in ("min", "mid", "max")}


class Condition(NamedTuple):
    """One thing that a call must keep, and where it does not.

    Attributes
    ----------
    field
        The API's name of the field at fault.
    broken
        A bool, or (k,) of them.
    words
        The rule; ``{0}`` and following stand for ``against``, ``{side}`` for long or short.
    value, against
        What the field was, and what it was held against.
    is_error
        Whether the call is a fault of the code; else the desk refuses it (L3.8).
    """

    field: str
    broken: Column
    words: str
    value: Column
    against: tuple[Column, ...] = ()
    side: Column = 1
    is_error: bool = False

    def at(self, row: int) -> Condition:
        """Return the rule for one row of a table."""
        return self._replace(
            broken=_item(self.broken, row),
            value=_item(self.value, row),
            against=tuple(_item(value, row) for value in self.against),
            side=_item(self.side, row),
        )

    @property
    def sentence(self) -> str:
        """What the rule says and what the value was; of one call."""
        is_long = self.side > 0
        words = self.words.format(
            *self.against,
            side="long" if is_long else "short",
            above="above" if is_long else "below",
            below="below" if is_long else "above",
            exceed="exceed" if is_long else "be below",
        )
        return f"{self.field} {words}, was {self.value!r}"


def first_broken(conditions: Iterable[Condition]) -> Condition | None:
    """Return the first condition that one call fails."""
    for condition in conditions:
        if condition.broken:
            return condition
    return None


# ------------------------------------------------------------ the tick (L3.6)


def create_ways(side: Column, *, split: bool, lone: bool) -> dict[str, Column]:
    """Return which way each price of a create rounds, +1 up and -1 down; targets round towards ``side``.

    Parameters
    ----------
    side
        +1 or -1, or (k,) of them.
    split
        Whether the entry prices are limits of their own (L4.2), which round away from the market.
    lone
        Whether there is no minimum: then the maximum is the near bound on both sides (L4.1).
    """
    return {
        "entry_price_min": -side if split else 1,
        "entry_price_mid": -side,
        "entry_price_max": -side if split or lone else -1,
        "stop_loss": -side,
    }


def on_tick(grid: Grid, price: Column, way: Column) -> Column:
    """Round a price up (+1) or down (-1), each row its own way where ``way`` is a column; None stays None."""
    if price is None:
        return None
    if isinstance(way, np.ndarray):
        column = np.asarray(price, np.float64)
        return np.where(way > 0, grid.up(column), grid.down(column))
    return grid.up(price) if way > 0 else grid.down(price)


def create_on_tick(grid: Grid, prices: Mapping[str, Column], side: Column, *, split: bool) -> dict[str, Column]:
    """Return the prices of a create on the tick, never in the provider's own favour.

    Parameters
    ----------
    prices
        By the API's names, ``exit_price_1`` and following among them; absent ones are None or left out.
    side, split
        As in :func:`create_ways`.
    """
    ways, placed = create_ways(side, split=split, lone=prices.get("entry_price_min") is None), {}
    for name, price in prices.items():
        if price is not None:
            placed[name] = on_tick(grid, price, ways.get(name, side))
    return placed


def pair_on_tick(grid: Grid, side: Column, trigger: Column, limit: Column) -> tuple[Column, Column]:
    """Round a trigger away from the market and its limit towards the trigger, not past it.

    A limit that is better than its trigger stays so, for :func:`pair_relations` to find.
    """
    if trigger is None or limit is None:
        return trigger, limit
    placed, leg = on_tick(grid, trigger, -side), on_tick(grid, limit, side)
    if isinstance(placed, np.ndarray) or isinstance(leg, np.ndarray):
        past = (side * leg > side * placed) & (side * limit <= side * trigger)
        return placed, np.where(past, placed, leg)
    past = side * leg > side * placed and side * limit <= side * trigger
    return placed, placed if past else leg


# ------------------------------------------------------------ faults of the code


def price_conditions(prices: Mapping[str, Column]) -> Iterator[Condition]:
    """Yield that each price is finite."""
    for name, price in prices.items():
        if price is not None:
            broken = price - price != 0.0  # neither NaN nor infinite, of a number and of a column
            if broken is not False:
                yield Condition(name, broken, "is a finite number above 0", price, is_error=True)


def size_conditions(sizes: Mapping[str, Column], prices: Mapping[str, Column]) -> Iterator[Condition]:
    """Yield the rules about the numbers of a create that are no prices.

    Parameters
    ----------
    sizes
        ``invest``, ``leverage``, ``ttl_buy_order`` and the shares ``invest_entry_*``; percent, times, ms.
    prices
        The entry prices that the shares need.
    """
    invest, leverage, ttl = sizes.get("invest"), sizes.get("leverage"), sizes.get("ttl_buy_order")
    if invest is not None and (broken := _outside(invest)) is not False:
        yield Condition("invest", broken, "is a finite number above 0", invest, is_error=True)
    if leverage is not None:
        broken = _not(leverage >= 1.0) | (leverage == math.inf)
        yield Condition("leverage", broken, "is at least 1", leverage, is_error=True)
    if ttl is not None:
        broken = _not(ttl >= 1) | (ttl == math.inf)
        yield Condition("ttl_buy_order", broken, "is a whole number of ms above 0", ttl, is_error=True)
    yield from _share_conditions(sizes, prices)


def _share_conditions(sizes: Mapping[str, Column], prices: Mapping[str, Column]) -> Iterator[Condition]:
    """Yield that shares lie between 0 and 100, each with its price, and sum to 100 (L4.2)."""
    given = {part: sizes[name] for name, part in _SHARES.items() if sizes.get(name) is not None}
    for part, share in given.items():
        name = f"invest_entry_{part}"
        broken = _not(share >= 0.0) | (share > 100.0)
        yield Condition(name, broken, "is a percent from 0 to 100", share, is_error=True)
        if prices.get(f"entry_price_{part}") is None:
            yield Condition(name, share > 0.0, f"needs entry_price_{part} where it is above 0", share, is_error=True)
    if given:
        total = sum(given.values())
        words = "is what invest_entry_min and invest_entry_mid leave: the three sum to 100"
        if not isinstance(total, np.ndarray):
            words = f"{words}, the sum was {total:g}"
        broken = _not(abs(total - 100.0) <= _SHARE_SLACK)
        yield Condition("invest_entry_max", broken, words, sizes.get("invest_entry_max"), is_error=True)


def leverage_condition(leverage: Column, account: str | None) -> Condition:
    """Return that leverage above 1 needs an account that has it (L5.2): on SPOT it would be sent and never applied."""
    broken = False if account in {"FUTURES", "MARGIN"} or leverage is None else leverage > 1.0
    words = 'needs account="FUTURES" or account="MARGIN"; on SPOT every signal is 1x, so leave it out'
    return Condition("leverage", broken, words, leverage, is_error=True)


# ------------------------------------------------------------ relations between prices (L3.8)


def price_relations(prices: Mapping[str, Column]) -> Iterator[Condition]:
    """Yield that each price lies above 0, where a coarse tick or a wide stop may have brought it."""
    for name, price in prices.items():
        if price is not None and (broken := price <= 0.0) is not False:
            yield Condition(name, broken, "lies above 0", price)


def create_relations(prices: Mapping[str, Column], side: Column, *, version: int = 2) -> Iterator[Condition]:
    """Yield the order in which the prices of a create stand: bounds, targets, stop.

    Parameters
    ----------
    prices
        By the API's names of version 2; absent ones are None or left out.
    side
        +1 or -1, or (k,) of them.
    version
        Of create signal, for the names in a sentence.
    """
    high, low, mid = prices["entry_price_max"], prices.get("entry_price_min"), prices.get("entry_price_mid")
    names = _NAMES[version]
    yield from price_relations(prices if version == 2 else {names[name]: price for name, price in prices.items()})
    if low is not None and (broken := low > high) is not False:
        yield Condition(
            names["entry_price_min"], broken, f"may not exceed {names['entry_price_max']} {{0}}", low, (high,)
        )
    if mid is not None:
        broken = (mid > high) if low is None else (mid > high) | (low > mid)
        yield Condition("entry_price_mid", broken, "lies between the bounds {0} and {1}", mid, (low, high))
    near, far = bounds_of(low, high, side)
    yield from _target_relations(prices, side, near, names)
    stop = prices.get("stop_loss")
    if stop is not None and (broken := side * stop >= side * far) is not False:
        words = "of a {side} lies {below} its far entry bound {0}"
        yield Condition("stop_loss", broken, words, stop, (far,), side)


def _target_relations(
    prices: Mapping[str, Column], side: Column, before: Column, names: Mapping[str, str]
) -> Iterator[Condition]:
    """Yield that each target lies beyond ``before``, the near bound (None: unknown), and beyond its predecessor."""
    what = _NEAR
    for target in _TARGETS:
        price = prices.get(target)
        if price is None:
            continue
        name = names[target]
        if before is not None and (broken := side * price <= side * before) is not False:
            words = f"of a {{side}} lies {{above}} {what} {{0}}"
            yield Condition(name, broken, words, price, (before,), side)
        before, what = price, name


def bounds_of(low: Column, high: Column, side: Column) -> tuple[Column, Column]:
    """Return the bound that the market reaches first and the one nearest to the stop; equal for a lone maximum."""
    if low is None:
        return high, high
    if isinstance(side, np.ndarray):
        return np.where(side > 0, high, low), np.where(side > 0, low, high)
    return (high, low) if side > 0 else (low, high)


def pair_relations(trigger: Column, limit: Column, side: Column) -> Iterator[Condition]:
    """Yield that the limit of a trailing stop is not better than its trigger; nothing where the two are absent."""
    if trigger is None or limit is None:
        return
    yield from price_relations({"trailing_stop_price": trigger, "trailing_stop_limit_price": limit})
    words = "of a {side} may not {exceed} its trigger {0}"
    yield Condition("trailing_stop_limit_price", side * limit > side * trigger, words, limit, (trigger,), side)


def buy_relations(field: str, price: Column, stop: Column, side: Column) -> Iterator[Condition]:
    """Yield that a later buy lies above 0 and can be reached before the stop; ``stop`` None is not known."""
    yield from price_relations({field: price})
    if stop is not None:
        words = "lies {above} the stop {0} of its {side}, before which it could not be reached"
        yield Condition(field, side * price <= side * stop, words, price, (stop,), side)


def update_relations(prices: Mapping[str, Column], side: Column) -> Iterator[Condition]:
    """Yield the order in which the prices of one update stand among themselves; the rest is the venue's to judge (L11)."""
    yield from price_relations(prices)
    low, high = prices.get("entry_price_min"), prices.get("entry_price_max")
    if low is not None and high is not None:
        yield Condition("entry_price_min", low > high, "may not exceed entry_price_max {0}", low, (high,))
    yield from _target_relations(prices, side, None, _NAMES[2])
    stop = prices.get("stop_loss")
    first = next((price for name, price in prices.items() if name.startswith("exit_") and price is not None), None)
    if stop is not None and first is not None:
        words = "of a {side} lies {below} the nearest target {0} of the same update"
        yield Condition("stop_loss", side * stop >= side * first, words, stop, (first,), side)


def named(field: str, version: int) -> str:
    """Return the API's name of a version 2 field in a version of create signal."""
    return _NAMES[version].get(field, field)


_TARGETS = tuple(f"exit_price_{number}" for number in range(1, 7))
_PRICES = ("entry_price_min", "entry_price_mid", "entry_price_max", "stop_loss", *_TARGETS, "exit_price_7")
_NAMES = {
    1: {name: name.replace("entry_price", "buy_price").replace("exit_price", "sell_price") for name in _PRICES},
    2: {name: name for name in _PRICES},
}
"""The prices of a create by version, in the API's names of version 2."""


def broken_rows(conditions: Iterable[Condition], rows: int) -> tuple[NDArray[np.bool_], tuple[Condition, int] | None]:
    """Return which rows break a relation, and the first row that is an error.

    Parameters
    ----------
    conditions
        Of a table, errors before relations: what is compared with NaN breaks no relation.
    rows
        How many there are.

    Returns
    -------
    tuple
        (k,) bool; and the condition that the first faulty row fails, for that row, with its position, or None.
    """
    refused = np.zeros(rows, bool)
    first: tuple[Condition, int] | None = None
    for condition in conditions:
        if not np.any(condition.broken):
            continue
        if not condition.is_error:
            refused |= condition.broken
            continue
        row = int(np.argmax(np.broadcast_to(condition.broken, rows)))
        if first is None or row < first[1]:
            first = condition.at(row), row
    return refused, first


def _item(column: Column, row: int) -> Column:
    return column[row].item() if isinstance(column, np.ndarray) else column


def _outside(value: Column) -> Column:
    return _not(value > 0.0) | (value == math.inf)


def _not(value: Column) -> Column:
    return ~value if isinstance(value, np.ndarray) else not value
