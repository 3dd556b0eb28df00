"""Causal indicators: (n,) float64 in, (n,) out, NaN until warm.

``from backtest import indicators as ta``. TA-Lib does the arithmetic (https://ta-lib.org), so the values are those of
charts and other libraries. Every function is causal: the value at row *t* depends on rows 0 to *t* alone, so a longer
history never changes a value that was already known, not even in its last bit. Leading NaN, such as the warm-up of
another indicator, count as "not there yet"; a NaN after the first value spreads to the rows that need it, and with a
moving sum to all that follow. Arrays shorter than the warm-up give NaN in every row, empty ones an empty array.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from backtest.errors import InvalidSettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import ArrayLike, NDArray

    from backtest.model.candles import Candles

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]

__all__ = [
    "adx",
    "atr",
    "bbands",
    "crossed_above",
    "crossed_below",
    "ema",
    "highest",
    "lowest",
    "macd",
    "on",
    "previous",
    "roc",
    "rsi",
    "sma",
    "stddev",
    "stoch",
    "true_range",
    "wma",
]

_MOST = 100_000
"""TA-Lib's own limit for a period."""

_WHOLE = (int, np.integer)

_P = ParamSpec("_P")
_R = TypeVar("_R")


class _Kept:
    """Indicators by function, arguments and candles; what was not asked for longest goes first.

    Only what comes from the candles through functions of this module is kept: anything else is a new array in each run,
    and would never be found again.
    """

    def __init__(self, candles: Iterable[Candles], limit: int) -> None:
        self._limit, self._held = limit, 0
        self._origin: dict[int, tuple[object, object]] = {}  # by id; the object is held, so that no other takes its id
        self._results: OrderedDict[object, tuple[Any, ...]] = OrderedDict()
        for number, one in enumerate(candles):
            self._origin[id(one)] = one, number
            for name in ("open", "high", "low", "close", "volume"):
                column = getattr(one, name)
                self._origin[id(column)] = column, (number, name)

    def ask(self, function: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Return what a function gives, kept or new."""
        parts = [self._key(value) for value in (*args, *named.values())]
        if None in parts:
            return function(*args, **named)
        key = (function.__name__, len(args), *named, *parts)
        found = self._results.get(key)
        if found is None:
            result = function(*args, **named)
            found = result if isinstance(result, tuple) else (result,)
            self._keep(key, found)
        else:
            self._results.move_to_end(key)
        return found if len(found) > 1 else found[0]

    def _key(self, value: Any) -> object:
        if isinstance(value, bool | int | float):
            return type(value), value
        known = self._origin.get(id(value))
        return None if known is None else known[1]

    def _keep(self, key: object, columns: tuple[Any, ...]) -> None:
        self._held += sum(column.nbytes for column in columns)
        self._results[key] = columns
        for number, column in enumerate(columns):
            column.flags.writeable = False
            self._origin[id(column)] = column, (key, number)
        while self._held > self._limit:
            _, dropped = self._results.popitem(last=False)
            for column in dropped:
                self._held -= column.nbytes
                del self._origin[id(column)]


_KEPT: ContextVar[_Kept | None] = ContextVar("kept", default=None)


@contextmanager
def keeping(candles: Iterable[Candles], limit: int) -> Iterator[None]:
    """Keep the indicators of these candles, up to ``limit`` bytes, for as long as the block runs.

    A call that was made before with the same arguments gives the array made then, read-only.
    """
    token = _KEPT.set(_Kept(candles, limit))
    try:
        yield
    finally:
        _KEPT.reset(token)


def _kept(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let an indicator be found again inside :func:`keeping`."""

    @wraps(function)
    def asked(*args: _P.args, **named: _P.kwargs) -> _R:
        kept = _KEPT.get()
        return function(*args, **named) if kept is None else kept.ask(function, args, named)

    return asked


@_kept
def sma(x: ArrayLike, n: int) -> FloatArray:
    """Return the simple moving average; warm from row ``n - 1``.

    Formula: the sum of the last ``n`` values over ``n``.

    Parameters
    ----------
    x
        (m,) of any unit, oldest first.
    n
        Rows in the mean, at least 2.

    References
    ----------
    Murphy, Technical Analysis of the Financial Markets (1999), chapter 9.

    Examples
    --------
    >>> sma([1.0, 2.0, 3.0, 4.0], 2).tolist()
    [nan, 1.5, 2.5, 3.5]
    """
    import talib

    return talib.SMA(_column("sma", x), _whole("sma", "n", n, 2))


@_kept
def ema(x: ArrayLike, n: int) -> FloatArray:
    """Return the exponential moving average; warm from row ``n - 1``, where it begins with the mean of the first ``n`` rows.

    Formula: ``y[t] = y[t - 1] + 2 / (n + 1) * (x[t] - y[t - 1])``.

    Parameters
    ----------
    x
        (m,) of any unit, oldest first.
    n
        Rows, at least 2; the newest weighs ``2 / (n + 1)``.

    References
    ----------
    Murphy (1999), chapter 9; TA-Lib ``EMA``.

    Examples
    --------
    >>> ema([1.0, 2.0, 3.0, 7.0], 3).tolist()
    [nan, nan, 2.0, 4.5]
    """
    import talib

    return talib.EMA(_column("ema", x), _whole("ema", "n", n, 2))


@_kept
def wma(x: ArrayLike, n: int) -> FloatArray:
    """Return the linearly weighted moving average; warm from row ``n - 1``.

    Formula: the sum of ``k * x`` over the last ``n`` rows, ``k`` from 1 for the oldest to ``n``, over ``n (n + 1) / 2``.

    Parameters
    ----------
    x
        (m,) of any unit, oldest first.
    n
        Rows, at least 2.

    References
    ----------
    Murphy (1999), chapter 9; TA-Lib ``WMA``.

    Examples
    --------
    >>> wma([1.0, 2.0, 4.0], 2).round(4).tolist()
    [nan, 1.6667, 3.3333]
    """
    import talib

    return talib.WMA(_column("wma", x), _whole("wma", "n", n, 2))


@_kept
def rsi(x: ArrayLike, n: int = 14) -> FloatArray:
    """Return Wilder's relative strength index, 0 to 100; warm from row ``n``.

    Formula: ``100 * up / (up + down)``, with ``up`` and ``down`` the averages of gains and losses, smoothed by ``1 / n``.
    Where nothing moved TA-Lib says 0, not 50: on an illiquid market ask for a moved price before calling 0 oversold.

    Parameters
    ----------
    x
        (m,) of any unit, oldest first.
    n
        Rows of the smoothing, at least 2.

    References
    ----------
    J. Welles Wilder, New Concepts in Technical Trading Systems (1978), section VI.

    Examples
    --------
    >>> rsi([1.0, 2.0, 3.0, 2.0], 2).round(2).tolist()
    [nan, nan, 100.0, 50.0]
    """
    import talib

    return talib.RSI(_column("rsi", x), _whole("rsi", "n", n, 2))


@_kept
def roc(x: ArrayLike, n: int = 10) -> FloatArray:
    """Return the rate of change, in percent; warm from row ``n``.

    Formula: ``100 * (x[t] / x[t - n] - 1)``.

    Parameters
    ----------
    x
        (m,) of any unit, oldest first.
    n
        Rows to look back, at least 1.

    References
    ----------
    Murphy (1999), chapter 10.

    Examples
    --------
    >>> roc([10.0, 11.0, 12.1], 1).round(6).tolist()
    [nan, 10.0, 10.0]
    """
    import talib

    return talib.ROC(_column("roc", x), _whole("roc", "n", n, 1))


@_kept
def stddev(x: ArrayLike, n: int = 20) -> FloatArray:
    """Return the standard deviation, in units of ``x``; warm from row ``n - 1``.

    Formula: the root of the mean squared distance to the mean of the last ``n`` rows (of the population: divided by ``n``).

    Parameters
    ----------
    x
        (m,) of any unit, oldest first.
    n
        Rows, at least 2.

    References
    ----------
    TA-Lib ``STDDEV``.

    Examples
    --------
    >>> stddev([1.0, 3.0, 3.0], 2).tolist()
    [nan, 1.0, 0.0]
    """
    import talib

    return talib.STDDEV(_column("stddev", x), _whole("stddev", "n", n, 2))


@_kept
def highest(x: ArrayLike, n: int) -> FloatArray:
    """Return the highest of the last ``n`` rows, this one included; warm from row ``n - 1``.

    Formula: ``max(x[t - n + 1], ..., x[t])``.

    Parameters
    ----------
    x
        (m,) of any unit, oldest first.
    n
        Rows, at least 2. For a level to break, take :func:`previous` of it.

    References
    ----------
    Donchian channel; Murphy (1999), chapter 9.

    Examples
    --------
    >>> highest([1.0, 3.0, 2.0], 2).tolist()
    [nan, 3.0, 3.0]
    """
    import talib

    return talib.MAX(_column("highest", x), _whole("highest", "n", n, 2))


@_kept
def lowest(x: ArrayLike, n: int) -> FloatArray:
    """Return the lowest of the last ``n`` rows, this one included; warm from row ``n - 1``.

    Formula: ``min(x[t - n + 1], ..., x[t])``.

    Parameters
    ----------
    x
        (m,) of any unit, oldest first.
    n
        Rows, at least 2.

    References
    ----------
    Donchian channel; Murphy (1999), chapter 9.

    Examples
    --------
    >>> lowest([1.0, 3.0, 2.0], 2).tolist()
    [nan, 1.0, 2.0]
    """
    import talib

    return talib.MIN(_column("lowest", x), _whole("lowest", "n", n, 2))


@_kept
def macd(x: ArrayLike, fast: int = 12, slow: int = 26, signal: int = 9) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return MACD line, signal line and histogram (line minus signal), all warm from row ``slow + signal - 2``.

    Formula: line ``ema(x, fast) - ema(x, slow)``, signal ``ema(line, signal)``.

    Parameters
    ----------
    x
        (m,) of any unit, oldest first.
    fast, slow, signal
        Rows of the three averages.

    Raises
    ------
    InvalidSettingError
        Unless ``2 <= fast < slow``.

    References
    ----------
    Appel, Technical Analysis: Power Tools for Active Investors (2005), chapter 8.
    """
    import talib

    if _whole("macd", "fast", fast, 2) >= _whole("macd", "slow", slow, 2):
        raise InvalidSettingError(f"macd needs fast below slow, was fast={fast}, slow={slow}")
    return talib.MACD(_column("macd", x), fast, slow, _whole("macd", "signal", signal, 1))


@_kept
def bbands(x: ArrayLike, n: int = 20, width: float = 2.0) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return upper, middle and lower Bollinger band.

    Formula: ``sma(x, n)``, and ``width * stddev(x, n)`` above and below it.

    Parameters
    ----------
    x
        (m,) of any unit, oldest first.
    n
        Rows, at least 2.
    width
        Standard deviations, above 0.

    References
    ----------
    Bollinger, Bollinger on Bollinger Bands (2001), chapter 7.

    Examples
    --------
    >>> [band.tolist() for band in bbands([1.0, 3.0], 2, 2.0)]
    [[nan, 4.0], [nan, 2.0], [nan, 0.0]]
    """
    import talib

    if isinstance(width, bool) or not 0.0 < width < np.inf:
        raise InvalidSettingError(f"bbands needs a width above 0, was {width!r}")
    return talib.BBANDS(_column("bbands", x), _whole("bbands", "n", n, 2), float(width), float(width))


def on(
    candles: Candles, timeframe: str, fn: Callable[[Candles], FloatArray | tuple[FloatArray, ...]]
) -> FloatArray | tuple[FloatArray, ...]:
    """Return an indicator of a higher timeframe, carried to each candle from the last *completed* higher candle.

    Parameters
    ----------
    timeframe
        A multiple of the candles' own, ``"4h"``.
    fn
        Takes the higher candles, returns one column or a tuple of them: ``lambda four: ta.ema(four.close, 50)``.

    Returns
    -------
    (n,) float64 or a tuple of them
        At row *t* the value of the newest higher candle that has closed when candle *t* closes; NaN before the first.
        An unfinished higher candle is never seen, so the value is causal like every other.
    """
    higher = candles.resample(timeframe)
    columns = fn(higher)
    place = np.searchsorted(higher.close_time, candles.close_time, "right") - 1
    known = place >= 0

    def carried(column: ArrayLike) -> FloatArray:
        values = np.asarray(column, np.float64)
        if values.shape != (len(higher),):
            raise InvalidSettingError(
                f"an indicator on {timeframe} gives one value for each of its {len(higher)} candles, had {values.shape}"
            )
        lower = np.full(len(candles), np.nan)
        lower[known] = values[place[known]]
        return lower

    return tuple(carried(column) for column in columns) if isinstance(columns, tuple) else carried(columns)


@_kept
def true_range(candles: Candles) -> FloatArray:
    """Return the true range, in quote currency; NaN in row 0.

    Formula: ``max(high, close before) - min(low, close before)``.

    Parameters
    ----------
    candles
        (m,), in quote currency.

    References
    ----------
    J. Welles Wilder, New Concepts in Technical Trading Systems (1978), section III.
    """
    import talib

    return talib.TRANGE(candles.high, candles.low, candles.close)


@_kept
def atr(candles: Candles, n: int = 14) -> FloatArray:
    """Return Wilder's average true range, in quote currency; warm from row ``n``.

    Formula: ``y[t] = y[t - 1] + (true_range[t] - y[t - 1]) / n``, begun with the mean of the first ``n`` true ranges.

    Parameters
    ----------
    candles
        (m,), in quote currency.
    n
        Rows of the smoothing, at least 1.

    References
    ----------
    J. Welles Wilder, New Concepts in Technical Trading Systems (1978), section III.

    Examples
    --------
    >>> from backtest import Candles
    >>> atr(Candles.sample("BTC/USD", "1d"), 14)[-1].round(2).item()
    325.45
    """
    import talib

    return talib.ATR(candles.high, candles.low, candles.close, _whole("atr", "n", n, 1))


@_kept
def adx(candles: Candles, n: int = 14) -> FloatArray:
    """Return Wilder's average directional index, 0 to 100; warm from row ``2 n - 1``.

    Formula: the average, smoothed by ``1 / n``, of ``100 * |plus - minus| / (plus + minus)`` of the two directional indicators.

    Parameters
    ----------
    candles
        (m,), in quote currency.
    n
        Rows of the smoothing, at least 2.

    References
    ----------
    J. Welles Wilder, New Concepts in Technical Trading Systems (1978), section IV.
    """
    import talib

    return talib.ADX(candles.high, candles.low, candles.close, _whole("adx", "n", n, 2))


@_kept
def stoch(candles: Candles, n: int = 14, smooth: int = 3, signal: int = 3) -> tuple[FloatArray, FloatArray]:
    """Return the slow stochastic, %K and %D, each 0 to 100.

    Formula: ``100 * (close - lowest) / (highest - lowest)`` over ``n`` rows; %K is its SMA of ``smooth``, %D the SMA of %K.

    Parameters
    ----------
    candles
        (m,), in quote currency.
    n
        Rows of the range.
    smooth, signal
        Rows of the two averages.

    References
    ----------
    Murphy (1999), chapter 10; TA-Lib ``STOCH``.
    """
    import talib

    return talib.STOCH(
        candles.high,
        candles.low,
        candles.close,
        fastk_period=_whole("stoch", "n", n, 1),
        slowk_period=_whole("stoch", "smooth", smooth, 1),
        slowd_period=_whole("stoch", "signal", signal, 1),
    )


@_kept
def previous(x: ArrayLike, k: int = 1) -> FloatArray:
    """Return ``x`` as it was ``k`` rows ago; NaN in the first ``k`` rows.

    Formula: ``y[t] = x[t - k]``.

    Parameters
    ----------
    x
        (m,) of any unit, oldest first.
    k
        Rows to look back, at least 1.

    References
    ----------
    none; it is the lag operator.

    Examples
    --------
    >>> previous([1.0, 2.0, 3.0]).tolist()
    [nan, 1.0, 2.0]
    """
    column = _column("previous", x)
    k = _whole("previous", "k", k, 1)
    shifted = np.empty_like(column)
    shifted[:k] = np.nan
    shifted[k:] = column[:-k]
    return shifted


@_kept
def crossed_above(a: ArrayLike, b: ArrayLike) -> BoolArray:
    """Return where ``a`` is above ``b`` and was not in the row before; False where any of the four values is NaN.

    Formula: ``a[t] > b[t] and a[t - 1] <= b[t - 1]``.

    Parameters
    ----------
    a, b
        (m,) of one unit; either may be a single number: ``crossed_above(rsi, 30)``.

    References
    ----------
    none; it is the definition.

    Examples
    --------
    >>> crossed_above([1.0, 3.0, 4.0], 2.0).tolist()
    [False, True, False]
    """
    return _crossed("crossed_above", a, b, np.greater, np.less_equal)


@_kept
def crossed_below(a: ArrayLike, b: ArrayLike) -> BoolArray:
    """Return where ``a`` is below ``b`` and was not in the row before; False where any of the four values is NaN.

    Formula: ``a[t] < b[t] and a[t - 1] >= b[t - 1]``.

    Parameters
    ----------
    a, b
        (m,) of one unit; either may be a single number.

    References
    ----------
    none; it is the definition.

    Examples
    --------
    >>> crossed_below([3.0, 1.0, 0.0], 2.0).tolist()
    [False, True, False]
    """
    return _crossed("crossed_below", a, b, np.less, np.greater_equal)


def _crossed(function: str, a: ArrayLike, b: ArrayLike, beyond: np.ufunc, before: np.ufunc) -> BoolArray:
    # two comparisons, each False for NaN, and one pass over bytes: no isnan, no float temporaries
    left, right = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if max(left.ndim, right.ndim) != 1 or (left.ndim == right.ndim and len(left) != len(right)):
        shapes = f"{left.shape} and {right.shape}"
        raise InvalidSettingError(f"{function} needs two columns of one length, or a column and a number, had {shapes}")
    crossed: BoolArray = beyond(left, right)
    crossed[1:] &= before(left, right)[:-1]
    crossed[:1] = False
    return crossed


def _column(function: str, x: ArrayLike) -> FloatArray:
    column: FloatArray = np.asarray(x, np.float64)
    if column.ndim != 1:
        raise InvalidSettingError(f"{function} needs one column, (n,), had shape {np.shape(x)}")
    return np.ascontiguousarray(column)


def _whole(function: str, name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, _WHOLE) or not least <= value <= _MOST:
        raise InvalidSettingError(f"{function} needs a whole number {name} from {least} to {_MOST}, was {value!r}")
    return int(value)
