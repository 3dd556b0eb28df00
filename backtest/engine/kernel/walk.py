"""Walk: from candle to candle, one market or several on one account (L1.3, L14.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.engine.codes import AT_CLOSE, C_CREATE, DONE, GROW, LEG_CALL, YES
from backtest.engine.kernel.band import calm_band, quiet_candle, quiet_row, touches
from backtest.engine.kernel.calls import arrive
from backtest.engine.kernel.compiled import entry, rule
from backtest.engine.kernel.ending import expire
from backtest.engine.kernel.journeys import candle
from backtest.engine.kernel.ledger import equity_of
from backtest.engine.kernel.liquidation import pay_funding
from backtest.engine.records import NEVER

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from backtest.engine.records import Floats, Ints, Row, Rows

# A call that passes the whole state stays on its line.
# fmt: off

__all__ = ["advance_many", "advance_one", "examine", "number_table", "push"]

BLOCK = 64  # candles looked at together
NEAR = 8  # candles looked at one by one before


@rule
def open_instant(a: Row, S: Rows, O: Rows, b: Row, E: Rows, times: Ints, rates: Floats, now: int, o: float) -> None:
    """Begin an instant: funding on what is held, then expiries (L13.3, L1.3)."""
    b.time = now
    b.leg = LEG_CALL
    b.acted = 0
    if not b.started:
        b.started = 1
        b.last = o
    pay_funding(a, S, b, now, times, rates)
    if b.next_expiry <= now:
        b.acted = 1
        expire(a, S, O, b, E, now + 1)


@entry
def push(calls: Rows, queue: Ints, B: Rows, k: int) -> None:
    """Append call ``k`` to the queue of its market; ``queue``: (n, 3) int64, as in :func:`examine`."""
    b = B[calls[k].market]
    queue[k, 0] = -1
    if b.last_call >= 0:
        queue[b.last_call, 0] = k
    else:
        b.call = k
    b.last_call = k
    if calls[k].kind == C_CREATE:
        b.pending += 1


@entry
def examine(calls: Rows, queue: Ints, B: Rows, q: int, ends: Ints, until: int) -> None:
    """Decide on the conditional creates of a table up to an instant: made only where nothing of the market lives.

    ``queue[k]``: the next call, whether it was made (it becomes 1 for a create), and when it is sent; what follows it in its row is made with it. This is
    ``while_open="skip"``; it happens after the calls of ``on_event`` and before the next candle opens.
    """
    b = B[q]
    while b.candidate < ends[q] and queue[b.candidate, 2] <= until:
        if b.n_signals == 0 and b.pending == 0:
            queue[b.candidate, 1] = 1
            for k in range(b.candidate, b.candidate + b.width):
                push(calls, queue, B, k)
        b.candidate += b.width


@entry
def number_table(calls: Rows, queue: Ints, width: int, base: int, q: int, latency: int) -> None:
    """Give the calls of a table their market, their arrival and the numbers of their signals, ``width`` calls each.

    When they are sent is written beside them, close together: most rows of a table are only looked at.
    """
    for k in range(len(calls)):
        r = calls[k]
        queue[k, 2] = r.at
        r.signal = base + k // width
        r.market = q
        r.arrival = r.at + latency


@rule
def is_even(time: Ints, n: int, span: int) -> bool:
    """Whether no candle is missing among the first ``n``: then an open time need not be read, far off in memory."""
    return n > 0 and time[n - 1] - time[0] == (n - 1) * span


@rule
def first_at_or_after(time: Ints, low: int, high: int, instant: int, span: int, even: bool) -> int:
    """Return the first row in ``[low, high)`` that opens at or after an instant, or ``high``.

    Without gaps the row is known; gaps can only bring it nearer.
    """
    if low >= high:
        return high
    guess = low + max(0, (instant - (time[0] + low * span if even else time[low]) + span - 1) // span)
    if even or (guess < high and (guess == low or time[guess - 1] < instant)):
        return min(guess, high)
    high = min(guess, high)
    while low < high:
        middle = (low + high) // 2
        if time[middle] < instant:
            low = middle + 1
        else:
            high = middle
    return low


@rule
def fits(acct: Rows, B: Rows, q: int, S2: Rows, O2: Rows, E: Rows, E2: Rows, T: Rows, T2: Rows, calls: Rows, queue: Ints, now: int) -> bool:
    """Whether every buffer has room for one more candle with all its consequences."""
    a, b = acct[0], B[q]
    due, k = 0, b.call
    while k >= 0 and calls[k].arrival <= now:
        due += 1
        k = queue[k, 0]
    signals, orders = b.n_signals + due + 1, b.n_orders + 3 * due + 3
    events = 24 * signals + 6 * orders + 3 * a.living + 64
    trades = 4 * signals + 2 * orders + a.living + 16
    a.lacks = (
        (0 if signals < S2.shape[1] else 1)
        + (0 if orders < O2.shape[1] else 2)
        + (0 if a.n_events + events < len(E) else 4)
        + (0 if events < E2.shape[1] else 8)
        + (0 if a.n_trades + trades < len(T) else 16)
        + (0 if trades < T2.shape[1] else 32)
    )
    return a.lacks == 0


@entry
def advance_one(acct: Rows, S2: Rows, O2: Rows, B: Rows, M: Rows, c: Row, E: Rows, E2: Rows, T: Rows, T2: Rows, calls: Rows, queue: Ints, ends: Ints, accepted: Ints, out: Rows, time: Ints, o: Floats, h: Floats, l: Floats, close: Floats, times: Ints, rates: Floats, equity: Floats, until: int, peek: bool) -> int:
    """Walk one market without detail candles up to row ``until``; write one equity point a candle.

    Returns at a close with new events if the run wants them, when a buffer must grow, or at ``until``. With ``peek`` no
    candle is walked on which something could happen: the run stops before it.
    """
    a, b, m = acct[0], B[0], M[0]
    span, even = m.span, is_even(time, until, m.span)
    while b.row < until:
        i = b.row
        now = time[0] + i * span if even else time[i]
        opened, high, low, last = o[i], h[i], l[i], close[i]  # far from where memory was read last: waited for at once
        before = a.n_events
        examine(calls, queue, B, 0, ends, now)
        stop = until
        if b.call >= 0:
            stop = first_at_or_after(time, i, stop, calls[b.call].arrival, span, even)
        if b.n_signals == 0:
            if b.candidate < ends[0]:
                stop = first_at_or_after(time, i, stop, queue[b.candidate, 2], span, even)
            if stop > i:
                value = a.cash + a.margin
                for k in range(i, stop):
                    equity[k] = value
                b.started, b.last, b.row = 1, close[stop - 1], stop
                continue
        else:
            if b.funding < len(times):
                stop = first_at_or_after(time, i, stop, times[b.funding], span, even)
            if b.next_expiry < NEVER:
                stop = first_at_or_after(time, i, stop, b.next_expiry - span + 1, span, even)
            if stop > i and not b.slow:
                reached = scan(acct, S2[0], O2[0], b, m, c, E, time, o, h, l, close, equity, i, stop)
                if reached > i:
                    b.row = reached
                    if c.want_events and a.n_events > before:
                        return AT_CLOSE
                    continue
        if peek:
            return DONE
        if not fits(acct, B, 0, S2, O2, E, E2, T, T2, calls, queue, now):
            return GROW
        open_instant(a, S2[0], O2[0], b, E, times, rates, now, opened)
        while b.call >= 0 and calls[b.call].arrival <= now:
            arrive(acct, S2, O2, B, M, 0, c, E, calls, queue, accepted, out)
        candle(acct, S2, O2, B, M, 0, 1, c, E, E2, T, T2, out, now + span, YES, opened, high, low, last)
        equity[i] = a.cash + a.margin + (b.units * b.last - b.cost)
        b.row = i + 1
        if c.want_events and a.n_events > before:
            return AT_CLOSE
    return DONE


@rule
def quiet_rows(lows: Floats, highs: Floats, low: float, high: float) -> int:
    """Return how many candles, from the first, stay strictly inside a band of prices."""
    n, k = len(lows), 0
    while k < NEAR and k < n:  # where a stop ratchets, the next better price is often near
        if not (lows[k] > low and highs[k] < high):
            return k
        k += 1
    while k + BLOCK <= n:  # counting, without a way out in between, is compiled to vector instructions
        some_lows, some_highs, inside = lows[k : k + BLOCK], highs[k : k + BLOCK], 0
        for j in range(BLOCK):
            inside += (some_lows[j] > low) & (some_highs[j] < high)
        if inside < BLOCK:
            break
        k += BLOCK
    while k < n and lows[k] > low and highs[k] < high:
        k += 1
    return k


@rule
def scan(acct: Rows, S: Rows, O: Rows, b: Row, m: Row, c: Row, E: Rows, time: Ints, o: Floats, h: Floats, l: Floats, close: Floats, equity: Floats, i: int, stop: int) -> int:
    """Pass quiet candles and mark the positions at their closes; return the first row that is not quiet."""
    a = acct[0]
    units, base, before = b.units, a.cash + a.margin - b.cost, a.n_events
    while True:
        low, high = calm_band(S, b)
        quiet = quiet_rows(l[i:stop], h[i:stop], low, high)
        points, closes = equity[i : i + quiet], close[i : i + quiet]
        for k in range(quiet):
            points[k] = base + units * closes[k]
        if quiet:
            b.last = closes[quiet - 1]
        i += quiet
        full = a.n_events + b.ratcheting + 8 >= len(E)
        if i == stop or b.ratcheting == 0 or full or touches(S, b, m, c, h[i], l[i]):
            return i
        b.time = time[i]
        quiet_candle(a, S, O, b, m, c, E, h[i], l[i], close[i], YES)
        equity[i] = base + units * close[i]
        i += 1
        if b.slow or (c.want_events and a.n_events > before):
            return i


@entry
def advance_many(acct: Rows, S2: Rows, O2: Rows, B: Rows, M: Rows, c: Row, E: Rows, E2: Rows, T: Rows, T2: Rows, calls: Rows, queue: Ints, ends: Ints, accepted: Ints, out: Rows, time: Ints, o: Floats, h: Floats, l: Floats, close: Floats, kind: NDArray[np.uint8], first: Ints, books: int, times: Ints, rates: Floats, funding_first: Ints, order_market: Ints, order_row: Ints, equity_time: Ints, equity: Floats, cursor: Ints, stop_time: int) -> int:
    """Walk several markets, or one with detail candles, in time order (L14.1); write one equity point a close.

    ``cursor``: (4,) int64 - position in the order, position in the equity points, events already told, and the end of the
    instant that has begun. ``kind``: 0 a
    candle of its own, 1 a fine candle, 2 the last fine candle of a coarse one. Returns at a close with new events if the
    run wants them, at the close ``stop_time``, when a buffer must grow, or at the end.
    """
    a = acct[0]
    rows = len(order_row)
    while True:
        upcoming = NEVER
        if cursor[0] < rows:
            upcoming = time[first[order_market[cursor[0]]] + order_row[cursor[0]]]
        while cursor[1] < len(equity_time) and equity_time[cursor[1]] <= upcoming:
            now = equity_time[cursor[1]]
            equity[cursor[1]] = equity_of(acct, B)
            cursor[1] += 1
            told = cursor[2]
            cursor[2] = a.n_events
            if (c.want_events and a.n_events > told) or now >= stop_time:
                return AT_CLOSE
        if cursor[0] >= rows:
            return DONE
        if cursor[3] <= cursor[0]:
            group = open_group(acct, S2, O2, B, M, c, E, calls, queue, ends, accepted, out, time, o, first, times, rates, funding_first, order_market, order_row, cursor[0], upcoming)
            if group < 0:
                return GROW
            cursor[3] = group
        q = order_market[cursor[0]]
        b, m = B[q], M[q]
        i = first[q] + order_row[cursor[0]]
        if b.n_signals == 0:
            b.last = close[i]
        elif not b.acted and quiet_row(b, m, S2[q], c, upcoming, kind[i], h[i], l[i]) and a.n_events + b.ratcheting + 8 < len(E):
            quiet_candle(a, S2[q], O2[q], b, m, c, E, h[i], l[i], close[i], kind[i] != 1)
        else:
            if not fits(acct, B, q, S2, O2, E, E2, T, T2, calls, queue, upcoming):
                return GROW
            end = upcoming + (m.span if kind[i] == 0 else m.fine_span)
            candle(acct, S2, O2, B, M, q, books, c, E, E2, T, T2, out, end, kind[i] != 1, o[i], h[i], l[i], close[i])
        b.row = order_row[cursor[0]] + 1
        cursor[0] += 1


@rule
def open_group(acct: Rows, S2: Rows, O2: Rows, B: Rows, M: Rows, c: Row, E: Rows, calls: Rows, queue: Ints, ends: Ints, accepted: Ints, out: Rows, time: Ints, o: Floats, first: Ints, times: Ints, rates: Floats, funding_first: Ints, order_market: Ints, order_row: Ints, start: int, now: int) -> int:
    """Begin one instant for every market that has a candle at it: expiries, then calls in order of arrival (L1.3, L14.1).

    Returns the place in the order behind the instant, or -1 where a buffer must grow first; nothing has happened then.
    """
    a = acct[0]
    stop, events, due = start, 64, 0
    while stop < len(order_row) and time[first[order_market[stop]] + order_row[stop]] == now:
        q = order_market[stop]
        examine(calls, queue, B, q, ends, now)
        mine, k = 0, B[q].call
        while k >= 0 and calls[k].arrival <= now:
            mine += 1
            k = queue[k, 0]
        if B[q].n_signals + mine + 1 >= S2.shape[1]:
            a.lacks = 1
            return -1
        if B[q].n_orders + 3 * mine + 3 >= O2.shape[1]:
            a.lacks = 2
            return -1
        events += 4 * (B[q].n_signals + mine)
        due += mine
        stop += 1
    if a.n_events + events >= len(E):
        a.lacks = 4
        return -1
    for place in range(start, stop):
        q = order_market[place]
        low, high = funding_first[q], funding_first[q + 1]
        open_instant(a, S2[q], O2[q], B[q], E, times[low:high], rates[low:high], now, o[first[q] + order_row[place]])
    for _ in range(due):
        chosen = -1
        for place in range(start, stop):
            q = order_market[place]
            k = B[q].call
            if k < 0 or calls[k].arrival > now:
                continue
            if chosen < 0 or calls[k].arrival < calls[B[chosen].call].arrival or (calls[k].arrival == calls[B[chosen].call].arrival and k < B[chosen].call):
                chosen = q
        arrive(acct, S2, O2, B, M, chosen, c, E, calls, queue, accepted, out)
    return stop
