"""Message: what a channel posted, as an export has it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["History", "Message"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes
    ----------
    id
        In the export.
    time
        When it was posted, UTC ms.
    text
        As it stands in the export, which is after its last edit.
    edited
        When it was last edited, UTC ms; None: never.
    reply_to
        The id of the message that it answers, or None.
    fault
        Why its text cannot be taken at all; empty where it can.
    """

    id: str
    time: int
    text: str
    edited: int | None = None
    reply_to: str | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """The messages of a channel in the order of their times.

    Attributes
    ----------
    messages
        With text or not, all that have an id.
    numbers
        The ids where they are given one after another, so that a gap is a message that was deleted; service messages
        (pins, photos of the channel) among them. Empty where ids do not count messages.
    source
        ``"Telegram"``, ``"Discord"`` or ``"CSV"``.
    """

    messages: tuple[Message, ...]
    numbers: tuple[int, ...]
    source: str
