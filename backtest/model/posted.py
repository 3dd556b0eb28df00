"""Posted: what is known of how a call log came about, kept beside it in ``channel.json``."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from backtest.errors import InvalidSettingError
from backtest.model.json_file import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["POSTED", "Posted", "digest"]

POSTED = "channel.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Posted:
    """What a channel's history says besides its calls.

    Attributes
    ----------
    sentences
        What a subscriber must know before any figure: deleted and edited messages, signals after the fact.
    plan
        What the channel says once for all its signals, the fields of a ``Plan``; None without one.
    calls
        SHA-256 of the call log that was written with it.
    counts
        How many messages were read as what.
    """

    sentences: tuple[str, ...] = ()
    plan: Mapping[str, Any] | None = None
    calls: str = ""
    counts: Mapping[str, int] | None = None

    def text(self) -> str:
        """Return the file's content."""
        return json.dumps({"format": _FORMAT, **asdict(self)}, ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def beside(cls, log: Path) -> Posted | None:
        """Return what stands beside a call log; None where there is nothing.

        A log that was changed since is still told of, with a sentence that says so.

        Raises
        ------
        InvalidSettingError
            Where the file beside it is no such file.
        """
        path = log.with_name(POSTED)
        if not path.is_file():
            return None
        values = read_json(path, "history")
        if not isinstance(values, dict) or values.get("format") != _FORMAT:
            raise InvalidSettingError(
                f"{path} was not written by `backtest channel import`: move it away, or import again"
            )
        sentences, plan, calls = values.get("sentences"), values.get("plan"), values.get("calls")
        if not (isinstance(sentences, list) and isinstance(plan, dict | None) and isinstance(calls, str)):
            raise InvalidSettingError(f"{path} lacks a part: import again")
        found = [str(sentence) for sentence in sentences]
        if digest(log) != calls:
            found.append(f"{log.name} was changed after it was imported: these sentences are about what it was")
        return cls(tuple(found), plan, calls, values.get("counts"))


def digest(log: Path) -> str:
    """Return the SHA-256 of a call log, its line ends aside."""
    return hashlib.sha256(log.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
