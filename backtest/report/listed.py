"""Listed: events and calls of a result as lists that a notebook shows as tables, and the story of one signal."""

from __future__ import annotations

import base64
import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from backtest.report import text
from backtest.report.explain import explain_text, signal_outcomes, timeline
from backtest.report.fragments import fragment

if TYPE_CHECKING:
    import pandas as pd

    from backtest.model.events import Event
    from backtest.report.tables import ResultTables

__all__ = ["Calls", "Events", "SignalStory"]

_SHOWN = 20
"""Rows that a notebook shows: the last ones."""


class Events(list["Event"]):
    """Everything that happened, in order: a list of :class:`backtest.Event` that a notebook shows as a table."""

    @property
    def frame(self) -> pd.DataFrame:
        """The events as a table, one a row; times are UTC."""
        import pandas as pd

        frame = pd.DataFrame([asdict(one) for one in self], columns=list(self[0].__slots__) if self else None)
        if len(frame):
            frame["time"] = pd.to_datetime(frame["time"], unit="ms", utc=True)
            for name in ("kind", "leg", "rule"):
                frame[name] = [str(getattr(one, "value", one)) for one in frame[name]]
        return frame

    def _repr_html_(self) -> str:
        rows = [
            [
                text.when(one.time),
                str(one.signal),
                one.kind.value.replace("_", " "),
                _price(one.price),
                text.price(one.quantity) if one.quantity else "",
                text.money(one.fee) if one.fee else "",
                _rule(one.rule),
                one.reason,
            ]
            for one in self[-_SHOWN:]
        ]
        head = ["time, UTC", "signal", "what", "price", "quantity", "fee", "rule", "reason"]
        return _table(f"{text.plural(len(self), 'event')}", len(self), head, rows)


class Calls(list[Any]):
    """The calls in order: a list of :class:`backtest.Decision` that a notebook shows as a table."""

    @property
    def frame(self) -> pd.DataFrame:
        """The calls as a table: ``at`` (UTC), ``signal``, ``call`` and the fields that are set, as text."""
        import pandas as pd

        rows = [[one.at, str(one.signal), type(one.call).__name__, _fields(one.call)] for one in self]
        frame = pd.DataFrame(rows, columns=["at", "signal", "call", "fields"])
        frame["at"] = pd.to_datetime(frame["at"], unit="ms", utc=True)
        return frame

    def _repr_html_(self) -> str:
        rows = [
            [text.when(one.at), str(one.signal), type(one.call).__name__, _fields(one.call)] for one in self[-_SHOWN:]
        ]
        return _table(text.plural(len(self), "call"), len(self), ["decided, UTC", "signal", "call", "fields"], rows)


@dataclass(frozen=True, eq=False)
class SignalStory:
    """The life of one signal: each step with the rule that made it, and its picture.

    Attributes
    ----------
    tables
        Of the result.
    name
        Full name of the signal.
    """

    tables: ResultTables
    name: str

    @property
    def outcome(self) -> str:
        """What became of it, in a few words."""
        return signal_outcomes(self.tables, [self.name])[self.name]

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The steps as a table: ``time`` (UTC), ``leg``, ``kind``, ``what``, ``rule``, ``reason``."""
        import pandas as pd

        steps = timeline(self.tables, self.name)
        rows = [[one.time, one.leg, one.kind, one.what, one.rule, one.reason] for one in steps]
        frame = pd.DataFrame(rows, columns=["time", "leg", "kind", "what", "rule", "reason"])
        frame["time"] = pd.to_datetime(frame["time"], unit="ms", utc=True)
        return frame

    def plot(self, *, ax: Any = None) -> Any:
        """Return a figure of the signal on its candles, with its entry zone, targets and stop.

        Parameters
        ----------
        ax
            Matplotlib axes to draw on; None makes a figure.
        """
        from backtest.report.charts import signal_chart

        return signal_chart(self.tables, self.name, ax=ax)

    def __repr__(self) -> str:
        return explain_text(self.tables, self.name)

    def _repr_html_(self) -> str:
        from backtest.report.canvas import png

        picture = base64.b64encode(png(self.plot(), dpi=80)).decode()
        rows = [
            [text.when(step.time), step.leg, step.what, step.rule, step.reason]
            for step in timeline(self.tables, self.name)
        ]
        head = ["time, UTC", "where", "what", "rule", "why"]
        return fragment(
            "lines", title=f"{self.name}: {self.outcome}", head=head, rows=rows, picture=picture, says=self.name
        )


def _table(what: str, total: int, head: list[str], rows: list[list[str]]) -> str:
    lines = [f"The last {_SHOWN} of them; all are in the list."] if total > _SHOWN else []
    return fragment("lines", title=what, lines=lines, head=head, rows=rows)


def _price(price: float | None) -> str:
    return "" if price is None or math.isnan(price) else text.price(price)


def _rule(rule: Any) -> str:
    return str(getattr(rule, "value", rule))


def _fields(call: Any) -> str:
    """Return the fields of a call that are set, but for its names of market and signal."""
    left_out = {"ref", "signal", "version", "exchange", "coin", "trade_market"}
    fields = {name: value for name, value in asdict(call).items() if name not in left_out}
    return ", ".join(f"{name} {_shown(value)}" for name, value in fields.items() if value not in (None, False, ()))


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return " / ".join(_shown(one) for one in value)
    return text.price(value) if isinstance(value, float) else str(value)
