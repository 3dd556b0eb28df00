"""State: what a run knows (:class:`World`), and what the rules see of one book of it (:class:`View`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from backtest.engine.kernel.compiled import folded, inlined
from backtest.engine.records import SCRATCH

if TYPE_CHECKING:
    from backtest.engine.records import Floats, Ints, Row, Rows

__all__ = ["Candle", "View", "World", "markets_in", "scratch_of", "view_of"]


class World(NamedTuple):
    """The arrays of a run, shared with the wrapper; behind the real accounts and books stand those of the journeys.

    Attributes
    ----------
    accounts : (1 + SCRATCH,)
        The subscriber's account, and its copies.
    books, markets : (n + SCRATCH,)
        One a market, in order of symbol; ``signals`` and ``orders``: a row of each for each book.
    config : (1,)
        Profile and assumptions.
    events, trades
        What happened, in order; ``scratch_events``, ``scratch_trades``: (SCRATCH, k), of the journeys.
    calls, queue
        What was sent; ``queue``: (k, 3) int64, the next call of the market, whether the call was made (it becomes 1 for a
        create), and when a conditional one is sent.
    ends : (n,) int64
        Behind the last call of each market's conditional table.
    accepted : (k,) int64
        When signals were accepted, for the frequency limit.
    outcomes
        Where each signal stands.
    funding_times, funding_rates
        Of all markets, one after the other; those of market ``q`` begin at ``funding_first[q]``.
    still
        The rows in which nothing trades (L2.6), likewise; those of market ``q`` begin at ``still_first[q]``.
    """

    accounts: Rows
    books: Rows
    markets: Rows
    config: Rows
    signals: Rows
    orders: Rows
    events: Rows
    scratch_events: Rows
    trades: Rows
    scratch_trades: Rows
    calls: Rows
    queue: Ints
    ends: Ints
    accepted: Ints
    outcomes: Rows
    funding_times: Ints
    funding_rates: Floats
    funding_first: Ints
    still: Ints
    still_first: Ints


class View(NamedTuple):
    """One book as the rules see it: its records, the account and the buffers they write to."""

    account: Row
    book: Row
    market: Row
    config: Row
    signals: Rows
    orders: Rows
    events: Rows
    trades: Rows


class Candle(NamedTuple):
    """One candle that is walked: prices, when it ends (UTC ms), and whether it ends one of the strategy's candles."""

    open: float
    high: float
    low: float
    close: float
    end: int
    whole: bool


@folded
def markets_in(world: World) -> int:
    """Return the number of markets."""
    return len(world.books) - SCRATCH


@inlined
def view_of(world: World, index: int) -> View:
    """Return the book of a market."""
    return View(
        world.accounts[0],
        world.books[index],
        world.markets[index],
        world.config[0],
        world.signals[index],
        world.orders[index],
        world.events,
        world.trades,
    )


@inlined
def scratch_of(world: World, index: int, journey: int) -> View:
    """Return the scratch book of a journey, and the account that goes with it."""
    place = len(world.books) - SCRATCH + journey
    return View(
        world.accounts[1 + journey],
        world.books[place],
        world.markets[index],
        world.config[0],
        world.signals[place],
        world.orders[place],
        world.scratch_events[journey],
        world.scratch_trades[journey],
    )
