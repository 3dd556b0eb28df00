"""Stitched: one strategy whose parameters change from test part to test part, as they were chosen beforehand."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, PrivateAttr

from backtest.errors import InvalidSettingError
from backtest.model.candles import Candles
from backtest.strategy import Indicators, Plan, SignalTable, Strategy
from backtest.strategy.moment import Moment
from backtest.strategy.plan import plan_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from backtest.model.calls import Call
    from backtest.model.events import Event

__all__ = ["Part", "stitched"]

_COLUMNS = (
    "entry_price_max", "entry_price_min", "entry_price_mid", "stop_loss", "invest", "invest_entry_min",
    "invest_entry_mid", "invest_entry_max", "leverage", "ttl_buy_order",
)  # fmt: skip
_ALIKE = ("while_open", "account", "margin_type", "version", "allow_no_stop")


class Part(BaseModel):
    """The parameters that hold for signals decided in ``[start, end)``, close times in UTC ms."""

    model_config = ConfigDict(frozen=True)

    start: int
    end: int
    parameters: dict[str, Any]


def stitched(kind: type[Strategy], parts: Sequence[Part], history: Mapping[str, Candles]) -> Strategy:
    """Return a strategy that decides with the parameters of each part in its time, and is silent outside of all.

    A position that is open when a part ends is managed with the parameters of the next one.

    Parameters
    ----------
    kind
        The class whose parameters the parts hold.
    parts
        In order of time, not overlapping.
    history
        By symbol, the candles over which indicators are computed, those before the first part included: it is warm from
        its first candle.

    Raises
    ------
    InvalidSettingError
        Where the parts have different plans, which cannot be changed under a living signal.
    """
    variants = [kind(**part.parameters) for part in parts]
    plans = [plan_of(one) for one in variants]
    if any(plan != plans[0] for plan in plans):
        raise InvalidSettingError("the plan of a strategy cannot change from part to part: leave it out of the grid")
    fields: dict[str, Any] = {"base": kind.__name__, "parts": tuple(parts)}
    if plans[0] is None:
        return _Stitched(variants, history, **fields)
    return _ManagedStitched(variants, history, **fields, plan=plans[0])  # type: ignore[call-arg]  # as its base


class _PartMoment(Moment):
    """A moment that shows the indicators of one part under their own names."""

    __slots__ = ("_prefix",)

    def __init__(self, now: Moment, prefix: str) -> None:
        super().__init__(now._view, now.position)  # noqa: SLF001 - the same moment, seen by one part
        self._prefix = prefix

    def __getitem__(self, name: str) -> float:
        return super().__getitem__(self._prefix + name)

    def previous(self, name: str, k: int = 1) -> float:
        """Return an indicator's value of this part, or a candle's column, ``k`` candles before."""
        own = self._prefix + name
        return super().previous(own if own in self._view.ind else name, k)


class _Stitched(Strategy):
    base: str
    parts: tuple[Part, ...]
    _variants: list[Strategy] = PrivateAttr(default_factory=list)
    _history: dict[str, Candles] = PrivateAttr(default_factory=dict)

    def __init__(self, variants: Sequence[Strategy], history: Mapping[str, Candles], **fields: Any) -> None:
        super().__init__(**fields)
        self._variants, self._history = [*variants], dict(history)

    def has(self, lane: str) -> bool:  # type: ignore[override]  # what the stitched strategy writes, it has
        return self._variants[0].has(lane) or (lane == "triggers" and self._variants[0].has("on_candle"))

    @cached_property
    def starts(self) -> list[int]:
        return [part.start for part in self.parts]

    def indicators(self, candles: Candles) -> Indicators:
        whole, before = self._whole(candles)
        return {
            f"{k}|{name}": np.asarray(values)[before:]
            for k, variant in enumerate(self._variants)
            for name, values in variant.indicators(whole).items()
        }

    def _whole(self, candles: Candles) -> tuple[Candles, int]:
        """Return the candles with those before them, and how many these are."""
        known = self._history.get(candles.symbol)
        if known is None or len(candles) == 0:
            return candles, 0
        whole = known.between(None, int(candles.time[-1]) + 1)
        return whole, len(whole) - len(candles)

    def _inside(self, candles: Candles, part: Part) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = (candles.close_time >= part.start) & (candles.close_time < part.end)
        return inside

    def triggers(self, candles: Candles, ind: Indicators) -> NDArray[np.bool_]:
        whole, before = self._whole(candles)
        found = np.zeros(len(candles), bool)
        for part, variant in zip(self.parts, self._variants, strict=True):
            inside = self._inside(candles, part)
            mine = variant.triggers(whole, variant.indicators(whole)) if variant.has("triggers") else None
            found |= inside if mine is None else inside & mine[before:]
        return found

    def _part_of(self, now: Moment) -> int:
        return max(0, int(np.searchsorted(self.starts, now.close_time, "right")) - 1)

    def on_candle(self, now: Moment) -> Iterable[Call] | None:
        k = self._part_of(now)
        if not self.parts[k].start <= now.close_time < self.parts[k].end:
            return ()
        return self._variants[k].on_candle(_PartMoment(now, f"{k}|"))

    def on_event(self, now: Moment, event: Event) -> Iterable[Call] | None:
        k = self._part_of(now)
        return self._variants[k].on_event(_PartMoment(now, f"{k}|"), event)

    def signals(self, candles: Candles, ind: Indicators) -> SignalTable:
        whole, before = self._whole(candles)
        tables, kept = [], []
        for part, variant in zip(self.parts, self._variants, strict=True):
            table = variant.signals(whole, variant.indicators(whole))
            tables.append(table)
            kept.append(np.flatnonzero(self._inside(whole, part)[table.rows] & (table.rows >= before)))
        return _joined(tables, kept, before)


class _ManagedStitched(_Stitched):
    plan: Plan


def _joined(tables: Sequence[SignalTable], kept: Sequence[NDArray[np.int64]], before: int) -> SignalTable:
    """Return the kept rows of tables, which follow each other in time, as one table that begins ``before`` later."""
    first = tables[0]

    def column(values: Sequence[Any], name: str) -> Any:
        missing = [value is None for value in values]
        if all(missing):
            return None
        if any(missing):
            raise InvalidSettingError(f"SignalTable.{name} is there with some parameters and missing with others")
        parts = [
            value[rows] if isinstance(value, np.ndarray) else np.full(len(rows), value)
            for value, rows in zip(values, kept, strict=True)
        ]
        return np.concatenate(parts)

    for name in _ALIKE:
        if any(getattr(table, name) != getattr(first, name) for table in tables):
            raise InvalidSettingError(f"SignalTable.{name} changes with the parameters; it is one for all rows")
    counts = {(len(table.targets), len(table.dca)) for table in tables}
    if len(counts) > 1:
        raise InvalidSettingError("the number of targets or DCA levels changes with the parameters")
    columns = {name: column([table.column(name) for table in tables], name) for name in _COLUMNS}
    for name in ("trailing_stop_price", "trailing_stop_limit_price"):
        columns[name] = column([table.trail(name) for table in tables], name)
    return SignalTable(
        at=np.concatenate([table.rows[rows] - before for table, rows in zip(tables, kept, strict=True)]),
        targets=tuple(
            column([table.target(k) for table in tables], f"targets[{k}]") for k in range(len(first.targets))
        ),
        dca=tuple(
            (column([t.level(k, 0) for t in tables], "dca"), column([t.level(k, 1) for t in tables], "dca"))
            for k in range(len(first.dca))
        ),
        side=column([table.sides() for table in tables], "side").astype(np.int64),
        **{name: getattr(first, name) for name in _ALIKE},
        **columns,
    )
