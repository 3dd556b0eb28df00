"""StrategyRecord: what a result keeps of the strategy, or of the call log, that made it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from backtest.errors import InvalidSettingError
from backtest.model.calls import CreateSignal
from backtest.strategy.plan import plan_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from backtest.model.calls import Call
    from backtest.strategy import Strategy

__all__ = ["StrategyRecord", "record_of"]


@dataclass(frozen=True)
class StrategyRecord:
    """A strategy by its class and parameters, without its code.

    Attributes
    ----------
    name
        Of the class, or of the file of a call log.
    identity
        SHA-256 of class name and parameters, or of the calls.
    source_hash
        SHA-256 of the class's source text; empty where it could not be read.
    parameters
        Plain JSON values.
    doc
        First line of the docstring.
    most_calls_of_plan
        How many calls the management plan may send after a create; None without one.
    """

    name: str
    identity: str = ""
    source_hash: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    doc: str = ""
    most_calls_of_plan: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        values = asdict(self)
        if self.most_calls_of_plan is None:
            values.pop("most_calls_of_plan")
        return values

    def check(self, strategy: Strategy) -> None:
        """Refuse a strategy that is not the one of this record.

        Raises
        ------
        InvalidSettingError
            Naming what differs: the class, its parameters or its source.
        """
        other = record_of(strategy, ())
        for what, recorded, found in (
            ("class", self.name, other.name),
            ("identity", self.identity, other.identity),
            ("source", self.source_hash, other.source_hash),
        ):
            if recorded != found:
                raise InvalidSettingError(
                    f"the result was made by {self.name} with {what} {recorded[:12]}, the file has {found[:12]}: "
                    "give the file as it was then, or load the result without it"
                )


def record_of(strategy: Strategy, calls: Iterable[Call]) -> StrategyRecord:
    """Return the record of a strategy.

    Parameters
    ----------
    strategy
        With its parameters.
    calls
        All that it sent; its creates decide how many calls its plan may send.
    """
    doc, plan = (type(strategy).__doc__ or "").strip(), plan_of(strategy)
    creates = [call for call in calls if isinstance(call, CreateSignal)] if plan is not None else []
    return StrategyRecord(
        name=type(strategy).__name__,
        identity=strategy.identity,
        source_hash=strategy.source_hash,
        parameters=strategy.parameters,
        doc=doc.splitlines()[0] if doc else "",
        most_calls_of_plan=None if plan is None else max((plan.most_calls(one) for one in creates), default=0),
    )
