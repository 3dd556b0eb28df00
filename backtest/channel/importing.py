"""Importing: a channel's export becomes a call log, a review for a person, and what must be known of both."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from backtest.channel.conventions import read_rules
from backtest.channel.export import read_history
from backtest.channel.honesty import sentences
from backtest.channel.prices import Prices
from backtest.channel.reading import counts, read
from backtest.channel.review import read_decisions, rows_of, seen
from backtest.errors import InvalidSettingError, StorageError
from backtest.model.calls import CreateSignal
from backtest.model.posted import POSTED, Posted
from backtest.wire import body_of, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from backtest.channel.reading import Read
    from backtest.channel.review import Decision
    from backtest.model.calls import Call

__all__ = ["Imported", "import_channel"]


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import made.

    Attributes
    ----------
    read
        What became of each message.
    posted
        What must be known of it.
    calls, review
        The files.
    """

    read: tuple[Read, ...]
    posted: Posted
    calls: Path
    review: Path


def import_channel(export: Path, rules: Path, out: Path, *, prices: Prices | None = None) -> Imported:
    """Read a channel's export and write ``calls.csv``, ``review.csv`` and ``channel.json`` into a folder.

    Decisions that a person wrote into the folder's ``review.csv`` are followed and kept.

    Parameters
    ----------
    export
        See :func:`backtest.channel.export.read_history`.
    rules
        ``channel.toml``, see :class:`backtest.channel.conventions.ChannelRules`.
    out
        The folder; it is made.
    prices
        Candles to hold entries against, and to price entries at market by; None: none.

    Raises
    ------
    InvalidSettingError
        For a file that cannot be used, and for decisions about messages that the export has not.
    StorageError
        Where the disk refuses; the files are those of before then.
    """
    channel = read_rules(rules)
    history = read_history(export, channel)
    decisions = read_decisions(out / "review.csv")
    _check_decisions(decisions, {one.id for one in history.messages}, out)
    found = read(history, channel, prices or Prices(), decisions)
    calls = _csv(_call_rows(found))
    posted = Posted(
        tuple(sentences(history, found)),
        None if channel.plan is None else channel.plan.model_dump(mode="json"),
        hashlib.sha256(calls.encode()).hexdigest(),
        counts(found),
    )
    review = _csv(rows_of(_review_rows(found, decisions)))
    # the log last: whoever finds it finds what belongs to it
    _write(out, {"review.csv": review, POSTED: posted.text(), "calls.csv": calls})
    return Imported(tuple(found), posted, out / "calls.csv", out / "review.csv")


def _check_decisions(decisions: Mapping[str, Decision], ids: set[str], out: Path) -> None:
    lost = [one for one in decisions if one not in ids]
    if lost:
        raise InvalidSettingError(
            f"{out / 'review.csv'} has {'a decision' if len(lost) == 1 else f'{len(lost)} decisions'} about messages that this "
            f"export has not, {lost[0]} the first: import into another folder, or give the whole export"
        )


def _review_rows(found: Sequence[Read], decisions: Mapping[str, Decision]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for one in found:
        if not one.message.text.strip() and not one.message.fault:
            continue  # pictures and service messages
        decided = decisions[one.message.id].cell if one.message.id in decisions else ""
        rows.append((one.message.id, _when(one.message.time), seen(one.message.text), one.reading, one.reason, decided))
    return rows


def _call_rows(found: Sequence[Read]) -> list[list[str]]:
    """Return the rows of the call log, in the order in which the calls were sent."""
    entries = [(one.at, call) for one in found for call in one.calls]
    entries.sort(key=lambda entry: entry[0])
    bodies = []
    for at, call in entries:
        creates = isinstance(call, CreateSignal)
        body = body_of(call, None if creates else _ref(call))
        body.pop("parent_signal_id", None)
        bodies.append({"at": _when(at), "ref": _ref(call), "call": kind_of(call), **body})
    columns = list(dict.fromkeys(["at", "ref", "call", *(name for body in bodies for name in body)]))
    return [columns, *([str(body.get(name, "")) for name in columns] for body in bodies)]


def _ref(call: Call) -> str:
    return str(call.ref if isinstance(call, CreateSignal) else call.signal)


def _when(time: int) -> str:
    moment = datetime.fromtimestamp(time / 1000, UTC)
    return moment.isoformat(timespec="milliseconds" if time % 1000 else "seconds").replace("+00:00", "Z")


def _csv(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _write(out: Path, files: Mapping[str, str]) -> None:
    """Write files, each whole or not at all."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            part = out / f".{name}.part"
            with part.open("w", encoding="utf-8", newline="") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
        for name in files:
            (out / f".{name}.part").replace(out / name)
    except OSError as error:
        raise StorageError(f"{out} cannot be written: {error.strerror}") from None
