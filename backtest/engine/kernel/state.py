"""State: what a run knows (a ``WORLD`` record), and what the rules see of one book of it (:class:`View`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from backtest.engine.kernel.compiled import folded, inlined, rule
from backtest.engine.kernel.memory import (
    accounts_at,
    books_at,
    config_at,
    markets_at,
    orders_in,
    signals_in,
    tracks_at,
    worlds_at,
)
from backtest.engine.records import SCRATCH

if TYPE_CHECKING:
    from backtest.engine.records import Row

__all__ = [
    "Candle",
    "View",
    "account_of",
    "book_of",
    "config_of",
    "copy_account",
    "copy_book",
    "market_of",
    "scratch_account",
    "scratch_of",
    "track_of",
    "view_of",
    "world_at",
]


class View(NamedTuple):
    """One book as the rules see it; book and account know where their signals, orders, events and trades lie."""

    account: Row
    book: Row
    market: Row
    config: Row


class Candle(NamedTuple):
    """One candle that is walked: prices, when it ends (UTC ms), and whether it ends one of the strategy's candles."""

    open: float
    high: float
    low: float
    close: float
    end: int
    whole: bool


# ---------------------------------------------------------------- the arrays of a run


@folded
def world_at(address: int) -> Row:
    """Return what a run knows, by the address that an entry point was given."""
    return worlds_at(address, 1)[0]


@folded
def account_of(world: Row) -> Row:
    """Return the subscriber's account."""
    return accounts_at(world.accounts, 1 + SCRATCH)[0]


@folded
def scratch_account(world: Row, journey: int) -> Row:
    """Return the copy of the account that goes with a journey."""
    return accounts_at(world.accounts, 1 + SCRATCH)[1 + journey]


@folded
def config_of(world: Row) -> Row:
    """Return profile and assumptions."""
    return config_at(world.config, 1)[0]


@folded
def book_of(world: Row, index: int) -> Row:
    """Return the book of a market, in order of symbol; behind them stand those of the journeys."""
    return books_at(world.books, world.n_markets + SCRATCH)[index]


@folded
def market_of(world: Row, index: int) -> Row:
    """Return a market, in order of symbol."""
    return markets_at(world.markets, world.n_markets)[index]


@folded
def track_of(world: Row, index: int) -> Row:
    """Return where the candles of a market lie."""
    return tracks_at(world.tracks, world.n_markets)[index]


@rule
def copy_account(world: Row, to: int, origin: int) -> None:
    """Copy an account, which keeps events and trades of its own; 0 is the subscriber's, behind it those of the journeys."""
    accounts = accounts_at(world.accounts, 1 + SCRATCH)
    events, event_room = accounts[to].events, accounts[to].event_room
    trades, trade_room = accounts[to].trades, accounts[to].trade_room
    accounts[to] = accounts[origin]
    accounts[to].events, accounts[to].event_room = events, event_room
    accounts[to].trades, accounts[to].trade_room = trades, trade_room


@rule
def copy_book(world: Row, to: int, origin: int) -> None:
    """Copy a book with its signals and orders."""
    books = books_at(world.books, world.n_markets + SCRATCH)
    signals, orders = books[to].signals, books[to].orders
    books[to] = books[origin]
    books[to].signals, books[to].orders = signals, orders
    ours, theirs = signals_in(books[to]), signals_in(books[origin])
    for i in range(books[origin].n_signals):
        ours[i] = theirs[i]
    mine, others = orders_in(books[to]), orders_in(books[origin])
    for k in range(books[origin].n_orders):
        mine[k] = others[k]


# ---------------------------------------------------------------- books


@inlined
def view_of(world: Row, index: int) -> View:
    """Return the book of a market."""
    return View(account_of(world), book_of(world, index), market_of(world, index), config_of(world))


@inlined
def scratch_of(world: Row, index: int, journey: int) -> View:
    """Return the scratch book of a journey, and the account that goes with it."""
    return View(
        scratch_account(world, journey),
        book_of(world, world.n_markets + journey),
        market_of(world, index),
        config_of(world),
    )
