"""Clean: a message's text in plain characters, without changing what a reader saw."""

from __future__ import annotations

import re
import unicodedata

from backtest.errors import InvalidSignalError

__all__ = ["LONGEST", "clean"]

LONGEST = 8_000
"""Characters of a message; Telegram allows 4,096 and Discord 4,000."""

_TURNED = re.compile("[\u202a-\u202e\u2066-\u2069]")
_KEYCAP = re.compile("([0-9])\ufe0f?\u20e3")
_PLAIN = ("<font>", "<wide>", "<narrow>", "<noBreak>", "<small>")
_X = re.compile(r"(?<=\d)[ ]?[хХ×](?!\w)|(?<!\w)[хХ×](?=[ ]?\d)")


def clean(text: str) -> str:
    """Return the text in plain characters: bold letters as letters, keycaps as bullets, invisible marks left out.

    Raises
    ------
    InvalidSignalError
        For what could be read in another way than it was seen: marks that turn the direction of text, control
        characters, raised digits, digits of other scripts; and for a text longer than any message.
    """
    if len(text) > LONGEST:
        raise InvalidSignalError(f"it has {len(text):,} characters, where no message has more than {LONGEST:,}")
    if _TURNED.search(text):
        raise InvalidSignalError("it has marks that turn the direction of text, so that it was seen in another order")
    text = _KEYCAP.sub(r" \1) ", text.replace("\r\n", "\n").replace("\r", "\n").replace("\U0001f51f", " 10) "))
    found = "".join(_plain(letter) for letter in text)
    return _X.sub("x", unicodedata.normalize("NFC", found))


def _plain(letter: str) -> str:
    """Return one character as it is read."""
    if letter in "\n\t" or " " <= letter <= "~":
        return letter
    kind, form = unicodedata.category(letter), unicodedata.decomposition(letter)
    if kind == "Cc":
        raise InvalidSignalError(f"it has a control character (U+{ord(letter):04X})")
    if kind in {"Cf", "Mn"} and (kind == "Cf" or "\ufe00" <= letter <= "\ufe0f"):
        return ""
    if form.startswith("<circle>") and unicodedata.numeric(letter, None) is not None:
        return f" {int(unicodedata.numeric(letter))}) "
    if form.startswith(_PLAIN):
        letter = unicodedata.normalize("NFKC", letter)
        kind = unicodedata.category(letter[0])
    if (kind in {"Nd", "No", "Nl"}) and not letter.isascii():
        raise InvalidSignalError(f"it has {letter}, which is no plain digit")
    return letter
