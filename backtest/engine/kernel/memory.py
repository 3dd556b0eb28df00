"""Memory: arrays where they lie, found by their address; nothing is copied, joined or counted.

A run's state is one record of addresses (``WORLD``), so that a rule takes one word of it, and an entry point one number. The
wrapper keeps the arrays alive and their addresses true (:mod:`backtest.engine.memory`).
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import config as numba_config
from numba import types
from numba.extending import intrinsic
from numba.np import arrayobj
from numba.np.numpy_support import from_dtype

from backtest.engine import records

if TYPE_CHECKING:
    from backtest.engine.records import Row

__all__ = [
    "accepted_of",
    "accounts_at",
    "books_at",
    "bytes_at",
    "calls_of",
    "config_at",
    "events_in",
    "floats_at",
    "heap_of",
    "ints_at",
    "keys_of",
    "markets_at",
    "members_of",
    "orders_in",
    "outcomes_of",
    "segments_of",
    "signals_in",
    "stretches_at",
    "stretches_of",
    "tracks_at",
    "trades_in",
    "turns_of",
    "worlds_at",
]

config: Any = numba_config  # its settings are made at run time
WORD, BYTE = ir.IntType(64), ir.IntType(8)


# ---------------------------------------------------------------- an array by its address


def array_value(context: Any, builder: Any, dtype: np.dtype[Any], address: Any, length: Any) -> Any:
    """Return an array as the compiler sees it."""
    column: Any = types.Array(from_dtype(dtype), 1, "C")
    made: Any = arrayobj.make_array(column)(context, builder)  # type: ignore[no-untyped-call]
    size = WORD(dtype.itemsize)
    data = builder.inttoptr(address, made.data.type)
    arrayobj.populate_array(made, data=data, shape=[length], strides=[size], itemsize=size, meminfo=None)  # type: ignore[no-untyped-call]
    return made._getvalue()  # noqa: SLF001


def array_of(kind: Any) -> Any:
    """Return the function of the kernel that takes address and length for an array of a type."""
    dtype = np.dtype(kind)

    def plain(address: int, length: int) -> Any:
        size = int(length) * dtype.itemsize
        return np.ndarray(int(length), dtype, (ctypes.c_char * size).from_address(int(address)))

    def array_at(_typing: Any, _address: Any, _length: Any) -> Any:
        def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return array_value(context, builder, dtype, args[0], args[1])

        return types.Array(from_dtype(dtype), 1, "C")(types.int64, types.int64), build

    return plain if config.DISABLE_JIT else intrinsic(array_at)


floats_at, ints_at, bytes_at = array_of(np.float64), array_of(np.int64), array_of(np.uint8)
worlds_at, accounts_at, books_at = array_of(records.WORLD), array_of(records.ACCOUNT), array_of(records.BOOK)
markets_at, config_at, tracks_at = array_of(records.MARKET), array_of(records.CONFIG), array_of(records.TRACK)
stretches_at = array_of(records.STRETCH)


# ---------------------------------------------------------------- an array that a record knows


def field_value(builder: Any, owner: np.dtype[Any], record: Any, name: str) -> Any:
    """Return a whole number in a record as the compiler sees it."""
    offset = owner.fields[name][1]  # type: ignore[index]
    place = builder.gep(builder.bitcast(record, BYTE.as_pointer()), [WORD(offset)])
    return builder.load(builder.bitcast(place, WORD.as_pointer()))


def buffer_of(kind: Any, owner: Any, address: str, room: str) -> Any:
    """Return the function of the kernel that takes a record for an array of which it knows where it lies.

    Parameters
    ----------
    kind
        The type of what the array holds.
    owner
        The type of the record.
    address, room
        Its fields: where the array begins, and how long it is.
    """
    dtype, record, array_at = np.dtype(kind), np.dtype(owner), array_of(kind)

    def plain(known: Row) -> Any:
        return array_at(known[address], known[room])

    def buffer(_typing: Any, _known: Any) -> Any:
        def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            first, length = (field_value(builder, record, args[0], name) for name in (address, room))
            return array_value(context, builder, dtype, first, length)

        return types.Array(from_dtype(dtype), 1, "C")(from_dtype(record)), build

    return plain if config.DISABLE_JIT else intrinsic(buffer)


signals_in = buffer_of(records.SIGNAL, records.BOOK, "signals", "signal_room")
orders_in = buffer_of(records.ORDER, records.BOOK, "orders", "order_room")
events_in = buffer_of(records.EVENT, records.ACCOUNT, "events", "event_room")
trades_in = buffer_of(records.TRADE, records.ACCOUNT, "trades", "trade_room")
calls_of = buffer_of(records.CALL, records.WORLD, "calls", "call_room")
turns_of = buffer_of(records.TURN, records.WORLD, "turns", "call_room")
outcomes_of = buffer_of(records.OUTCOME, records.WORLD, "outcomes", "outcome_room")
accepted_of = buffer_of(np.int64, records.WORLD, "accepted", "outcome_room")
segments_of = buffer_of(records.SEGMENT, records.WORLD, "segments", "segment_room")
stretches_of = buffer_of(records.STRETCH, records.WORLD, "stretches", "stretch_room")
keys_of, heap_of, members_of = (
    buffer_of(np.int64, records.WORLD, name, "n_markets") for name in ("keys", "heap", "members")
)
