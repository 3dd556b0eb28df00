"""Export: readers of what chat programs export: Telegram Desktop, DiscordChatExporter, a CSV of time and text."""

from __future__ import annotations

import csv
import re
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from backtest.channel.message import History, Message
from backtest.errors import InvalidSettingError
from backtest.model.json_file import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from backtest.channel.conventions import ChannelRules

__all__ = ["LARGEST", "read_history"]

LARGEST = 512 * 2**20
"""Bytes of an export."""

_MOST = 2_000_000
_EARLIEST, _LATEST = 1_230_768_000_000, 4_102_444_800_000  # 2009 and 2100
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_COUNTED = {"public_channel", "private_channel", "public_supergroup", "private_supergroup"}
"""Chats of Telegram that number their own messages; others share one count with all chats of the account."""


def read_history(path: Path, rules: ChannelRules) -> History:
    """Return the messages of an export.

    Parameters
    ----------
    path
        ``result.json`` of Telegram Desktop, a JSON of DiscordChatExporter, or a CSV with the columns ``time`` and ``text``
        and, where there are, ``id``, ``edited`` and ``reply_to``.
    rules
        Of the channel: ``timezone`` for times that name none.

    Raises
    ------
    InvalidSettingError
        Where it is none of these, is too large, or holds several chats.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InvalidSettingError(f"the export {path} cannot be read: {error.strerror}") from None
    if size > LARGEST:
        raise InvalidSettingError(
            f"the export {path} has {size / 2**20:,.0f} MB; the largest that is read has {LARGEST // 2**20}: export fewer months at a time"
        )
    if path.suffix.lower() in {".csv", ".tsv", ".txt"}:
        history = _of_csv(path, rules)
    else:
        history = _of_json(path, read_json(path, "export"), rules)
    ids = [one.id for one in history.messages]
    if len(set(ids)) < len(ids):
        twin = Counter(ids).most_common(1)[0][0]
        raise InvalidSettingError(f"the export {path} has two messages {twin}: export one chat, once")
    return history


def _of_json(path: Path, values: Any, rules: ChannelRules) -> History:
    if isinstance(values, dict) and "chats" in values:
        raise InvalidSettingError(
            f"the export {path} holds the whole account: open the channel in Telegram Desktop and export its chat history alone"
        )
    listed = values.get("messages") if isinstance(values, dict) else None
    if not isinstance(listed, list):
        raise InvalidSettingError(
            f"{path} is no export that is known: result.json of Telegram Desktop and the JSON of DiscordChatExporter have a list of messages"
        )
    if len(listed) > _MOST:
        raise InvalidSettingError(
            f"the export {path} has {len(listed):,} messages; the most that are read are {_MOST:,}"
        )
    if any(isinstance(one, dict) and "timestamp" in one for one in listed[:1]):
        return History(_ordered(_discord(path, listed)), (), "Discord")
    found = list(_telegram(path, listed, rules))
    numbers = tuple(sorted(int(one.id) for one in found)) if values.get("type") in _COUNTED else ()
    return History(_ordered(found), numbers, "Telegram")


def _ordered(messages: Iterator[Message] | Sequence[Message]) -> tuple[Message, ...]:
    return tuple(sorted(messages, key=lambda one: one.time))


def _telegram(path: Path, listed: Sequence[Any], rules: ChannelRules) -> Iterator[Message]:
    """Yield the messages of Telegram Desktop; service messages have no text."""
    for place, one in enumerate(listed, 1):
        where = f"{path} message {place}"
        if not isinstance(one, dict) or not isinstance(one.get("id"), int):
            raise InvalidSettingError(f"{where} has no id")
        if one["id"] < 0 and one.get("type") != "message":
            continue  # of the group that a channel was before
        time = _seconds(where, one, "date", rules)
        if time is None:
            raise InvalidSettingError(f"{where} has no date_unixtime: export again with a newer Telegram Desktop")
        reply = one.get("reply_to_message_id")
        text, fault = _joined(one.get("text", "")) if one.get("type") == "message" else ("", "")
        yield Message(
            str(one["id"]),
            time,
            text,
            _seconds(where, one, "edited", rules),
            None if reply is None else str(reply),
            fault,
        )


def _seconds(where: str, one: dict[str, Any], name: str, rules: ChannelRules) -> int | None:
    """Return a time of Telegram's: a text of seconds, or a local time without a zone."""
    exact = one.get(f"{name}_unixtime")
    if isinstance(exact, str) and re.fullmatch(r"\d{9,11}", exact):
        return _within(where, int(exact) * 1000)
    if exact is not None:
        raise InvalidSettingError(f"{where}: {name}_unixtime is a text of seconds, was {str(exact)[:40]!r}")
    local = one.get(name)
    return None if local is None else _iso(where, str(local), rules)


def _joined(text: Any) -> tuple[str, str]:
    """Return a text that is whole or in parts, and why it cannot be."""
    if isinstance(text, str):
        return text, ""
    if not isinstance(text, list):
        return "", f"its text is a {type(text).__name__} and no text"
    parts = []
    for part in text:
        inner = part.get("text") if isinstance(part, dict) else part
        if not isinstance(inner, str):
            return "", "a part of its text is no text"
        parts.append(inner)
    return "".join(parts), ""


def _discord(path: Path, listed: Sequence[Any]) -> Iterator[Message]:
    """Yield the messages of DiscordChatExporter, the text of their cards included."""
    for place, one in enumerate(listed, 1):
        where = f"{path} message {place}"
        if not isinstance(one, dict) or not isinstance(one.get("id"), str) or not isinstance(one.get("timestamp"), str):
            raise InvalidSettingError(f"{where} has no id and timestamp")
        edited, reference = one.get("timestampEdited"), one.get("reference")
        reply = reference.get("messageId") if isinstance(reference, dict) else None
        parts = [one.get("content") or "", *_cards(one.get("embeds"))]
        fault = "" if all(isinstance(part, str) for part in parts) else "a part of its text is no text"
        text = "" if fault else "\n".join(part for part in parts if part)
        yield Message(
            _id(where, one["id"]),
            _iso(where, one["timestamp"], None),
            text if one.get("type", "Default") in {"Default", "Reply", "0", "19"} else "",
            None if edited is None else _iso(where, str(edited), None),
            None if reply is None else _id(where, str(reply)),
            fault,
        )


def _cards(embeds: Any) -> Iterator[Any]:
    for card in embeds if isinstance(embeds, list) else []:
        if isinstance(card, dict):
            yield card.get("title") or ""
            yield card.get("description") or ""
            for one in card.get("fields") or []:
                if isinstance(one, dict):
                    yield f"{one.get('name') or ''}: {one.get('value') or ''}"


def _of_csv(path: Path, rules: ChannelRules) -> History:
    """Return the messages of a CSV, comma, semicolon or tab."""
    found: list[Message] = []
    limit = csv.field_size_limit(LARGEST)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            first = stream.readline()
            stream.seek(0)
            sign = max(",;\t", key=first.count)
            rows = csv.DictReader(stream, delimiter=sign, restkey="more")
            names = [name.strip().lower() for name in rows.fieldnames or []]
            if not {"time", "text"} <= set(names):
                raise InvalidSettingError(f"{path} needs the columns time and text, has {', '.join(names) or 'none'}")
            rows.fieldnames = names
            for row in rows:
                where = f"{path} line {rows.line_num}"
                if row.get("more"):
                    raise InvalidSettingError(
                        f"{where} has more cells than columns: put texts with a {sign!r} between quotes"
                    )
                edited, reply = (row.get("edited") or "").strip(), (row.get("reply_to") or "").strip()
                found.append(
                    Message(
                        _id(where, (row.get("id") or str(len(found) + 1)).strip()),
                        _iso(where, (row["time"] or "").strip(), rules),
                        row["text"] or "",
                        _iso(where, edited, rules) if edited else None,
                        _id(where, reply) if reply else None,
                    )
                )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidSettingError(f"the export {path} cannot be read: {error}") from None
    finally:
        csv.field_size_limit(limit)
    return History(_ordered(found), (), "CSV")


def _id(where: str, text: str) -> str:
    if not _ID.fullmatch(text):
        raise InvalidSettingError(
            f"{where}: an id has letters, digits and _.:- and at most 64 of them, was {text[:80]!r}"
        )
    return text


def _iso(where: str, text: str, rules: ChannelRules | None) -> int:
    """Return UTC ms of a time in seconds, ms or ISO text; one without a zone is in that of the rules."""
    if re.fullmatch(r"\d{9,11}|\d{12,14}", text):
        return _within(where, int(text) * (1000 if len(text) < 12 else 1))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidSettingError(
            f"{where}: a time is written 2024-01-31T12:00:00, or in Unix seconds, was {text[:40]!r}"
        ) from None
    if moment.tzinfo is None:
        zone = rules.timezone if rules is not None else None
        if zone is None:
            raise InvalidSettingError(f"{where}: {text} names no zone, and the rule timezone is not set")
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    return _within(where, round(moment.timestamp() * 1000))


def _within(where: str, time: int) -> int:
    if not _EARLIEST <= time < _LATEST:
        raise InvalidSettingError(f"{where}: its time lies outside 2009 to 2100")
    return time
