"""Strategy: frozen parameters and the pure functions that turn closed candles into calls."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, PydanticUserError, ValidationError

from backtest.errors import InvalidSettingError, did_you_mean
from backtest.model.validation import first_fault

if TYPE_CHECKING:
    from backtest.model.calls import Call
    from backtest.model.candles import Candles
    from backtest.model.events import Event
    from backtest.strategy.moment import Moment
    from backtest.strategy.table import SignalTable

__all__ = ["Indicators", "Strategy"]

Indicators = Mapping[str, NDArray[np.float64]]
"""Columns by name, each (n,) float64, one value a candle."""


if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass as _ModelClass
else:
    _ModelClass = type(BaseModel)


class _StrategyClass(_ModelClass):
    """Says in one sentence what is wrong with a field, when the class is made."""

    def __new__(cls, name: str, *args: Any, **more: Any) -> Any:
        try:
            return super().__new__(cls, name, *args, **more)
        except PydanticUserError as error:
            words = str(error.message).partition(chr(10))[0]
            field = re.search(r"attribute was detected: `(\w+)", words)
            told = f"{field[1]} has no type: write it as {field[1]}: float = ..." if field else words
            raise InvalidSettingError(f"strategy {name} has a field that is none: {told}") from None


class Strategy(BaseModel, metaclass=_StrategyClass):
    """A pure function of closed candles, indicators and living signals (the parity rule).

    Subclass it, declare parameters as fields, and write one lane or both:

    - :meth:`on_candle`, one decision at a time, at the closes that :meth:`triggers` names;
    - :meth:`signals`, all creates at once as columns, for speed.

    :meth:`on_event` serves both. A strategy returns calls; it calls nothing, and nothing tells it where it runs.

    Raises
    ------
    InvalidSettingError
        For an unknown parameter (with "did you mean") or one out of range, in one sentence.

    Examples
    --------
    >>> from backtest import Candles, Field, Strategy, indicators, run
    >>> class Trend(Strategy):
    ...     slow: int = Field(50, ge=2, description="days of the average")
    ...
    ...     def indicators(self, candles):
    ...         return {"slow": indicators.sma(candles.close, self.slow)}
    ...
    ...     def on_candle(self, now):
    ...         if not now.signals and now.close > now["slow"]:
    ...             stop = 0.9 * now.close
    ...             yield now.market(targets=[1.2 * now.close], stop_loss=stop, invest=10)
    >>> Trend(slow=20).parameters
    {'slow': 20}
    >>> result = run(Trend(slow=20), Candles.sample("ETH/USD", "1d"))
    >>> len(result.trades) > 10
    True
    >>> Trend(fast=5)
    Traceback (most recent call last):
    backtest.errors.InvalidSettingError: Trend has no parameter 'fast'; it has slow. Did you mean "slow"?
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ignored_types=(cached_property,))

    def __init__(self, **parameters: Any) -> None:
        known = type(self).model_fields
        for name in parameters:
            if name not in known:
                what = f"it has {', '.join(known)}" if known else "it has none"
                raise InvalidSettingError(
                    f"{type(self).__name__} has no parameter {name!r}; {what}.{did_you_mean(name, known)}"
                )
        try:
            super().__init__(**parameters)
        except ValidationError as error:
            path, fault = first_fault(error)
            raise InvalidSettingError(f"parameter {path} of {type(self).__name__} {fault}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name in type(self).__private_attributes__:
            super().__setattr__(name, value)
            return
        raise InvalidSettingError(
            f"{type(self).__name__} sets its own {name!r} while it runs; a strategy keeps no state, its parameters are "
            "frozen: what it knows comes from closed candles, indicators and now.signals"
        )

    def indicators(self, candles: Candles) -> Indicators:
        """Return columns computed once over all candles; each value may use its own and earlier rows only."""
        return {}

    def triggers(self, candles: Candles, ind: Indicators) -> NDArray[np.bool_] | None:
        """Return (n,) bool, the closes at which :meth:`on_candle` is asked; None asks at every close."""
        return None

    def on_candle(self, now: Moment) -> Iterable[Call] | None:
        """Return the calls of one close."""
        raise NotImplementedError

    def signals(self, candles: Candles, ind: Indicators) -> SignalTable:
        """Return the creates of all closes as columns."""
        raise NotImplementedError

    def on_event(self, now: Moment, event: Event) -> Iterable[Call] | None:
        """Return the calls that answer an event, at the close of the candle in which it happened (L1.4)."""
        raise NotImplementedError

    @classmethod
    def has(cls, lane: str) -> bool:
        """Whether the subclass writes ``on_candle``, ``signals``, ``on_event`` or ``triggers`` itself."""
        return getattr(cls, lane) is not getattr(Strategy, lane)

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The parameters as plain JSON values.

        Raises
        ------
        InvalidSettingError
            Where one is something else, an array for example: then the strategy has no identity.
        """
        try:
            return self.model_dump(mode="json")
        except ValueError as error:
            raise InvalidSettingError(
                f"a parameter of {type(self).__name__} is no plain value, so that it cannot be recorded: {error}"
            ) from None

    @cached_property
    def identity(self) -> str:
        """SHA-256 of class name and canonical JSON of the parameters: part of every signal's tag."""
        text = type(self).__name__ + json.dumps(self.parameters, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def source_hash(self) -> str:
        """SHA-256 of the class's source text, recorded apart from the identity; empty where it cannot be read."""
        try:
            return hashlib.sha256(inspect.getsource(type(self)).encode()).hexdigest()
        except (OSError, TypeError):
            return ""
