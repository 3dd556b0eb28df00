"""Verdict: what one check found, in one sentence, and all of them together."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Checks", "Finding", "Verdict"]


class Verdict(Enum):
    """How a check ended; only :attr:`FAIL` makes ``backtest check`` end with status 2."""

    PASS = "pass"  # noqa: S105 - no password
    NOTE = "note"
    FAIL = "fail"
    NOTHING = "nothing to check"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes
    ----------
    check
        ``"look-ahead"``, ``"warm-up"``, ``"state"`` or ``"parity"``.
    verdict
        How it ended.
    sentence
        For a person: what was compared, what differed first, and the usual cause.
    """

    check: str
    verdict: Verdict
    sentence: str

    def __str__(self) -> str:
        return f"{self.check} ({self.verdict.value}): {self.sentence}"


@dataclass(frozen=True, slots=True)
class Checks:
    """The findings of a run, in the order in which they were made.

    Attributes
    ----------
    level
        ``"auto"``, ``"full"`` or ``"off"``, as ``run`` was asked.
    findings
        One a check; empty where they were switched off.
    warmup
        The proposed number of candles of history, None where it was not asked for or none suffices.
    """

    level: str
    findings: tuple[Finding, ...] = ()
    warmup: int | None = None

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The checks that failed: the figures of the run are not to be believed."""
        return tuple(one for one in self.findings if one.verdict is Verdict.FAIL)

    @property
    def lines(self) -> tuple[str, ...]:
        """One sentence a check, failures first."""
        if self.level == "off":
            return ("look-ahead and state were not checked (checks off)",)
        rank = (Verdict.FAIL, Verdict.NOTHING, Verdict.NOTE, Verdict.PASS)
        return tuple(str(one) for one in sorted(self.findings, key=lambda one: rank.index(one.verdict)))

    def to_dict(self) -> dict[str, Any]:
        """Return the findings as plain JSON, as a manifest has them."""
        return {
            "level": self.level,
            "warmup": self.warmup,
            "findings": [
                {"check": one.check, "verdict": one.verdict.value, "sentence": one.sentence} for one in self.findings
            ],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Checks:
        """Return the findings of a manifest; of none, that nothing was checked."""
        found = tuple(
            Finding(str(one["check"]), Verdict(one["verdict"]), str(one["sentence"]))
            for one in values.get("findings", ())
        )
        return cls(str(values.get("level", "off")), found, values.get("warmup"))

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __repr__(self) -> str:
        return "\n".join(self.lines)
