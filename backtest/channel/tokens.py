"""Tokens: a cleaned text as numbers, labels, pairs and words; what is certainly no price is taken out before."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from backtest.channel import words
from backtest.channel.number import NUMBER, Decimal, read_number
from backtest.errors import InvalidSignalError

__all__ = ["Token", "pairs_of", "stripped", "tokens_of"]

_NOISE = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"https?://\S+|www\.\S+|\bt\.me/\S+",
        r"(?<![\w@])@[^\W\d]\w*",
        r"\b\d{4}-\d{2}-\d{2}(?:[T ]\d{1,2}:\d{2}(?::\d{2})?)?(?:\s?(?:utc|gmt|msk))?\b",
        r"\b\d{1,2}:\d{2}(?::\d{2})?\s?(?:am|pm|utc|gmt|msk|мск)\b",
        r"(?:#|№\s?|\bid:?\s?|\bno\.\s?)\d{1,6}(?![\w.,])",
        r"(?<![\d.,])\d{1,3}(?:m|h|d|w|ч)\b|(?<![\d.,])\d{1,3}\s?(?:min|mins|minutes?|hrs?|hours?|days?|weeks?|мин|час\w*|дн\w*)\b",
        r"\b(?:r\s?[:/]\s?r|rr|risk\s?[/:-]?\s?reward(?:\sratio)?)\s*[:=-]?\s*\d+(?:\.\d+)?(?:\s*[:/]\s*\d+(?:\.\d+)?)?",
        r"[(\[]\s*[+\-−≈~]?\s*\d+(?:[.,]\d+)?\s*%[^()\[\]\d]*[)\]]",
        r"\b(?:risk|риск|riesgo)\b[^\d\n%]{0,12}\d+(?:[.,]\d+)?\s*%",
    )
)
_AMOUNT = re.compile(
    r"\b(?:amount(?: per trade)?|invest(?:ment)?|position size|size|сумма|объём|объем|capital|inversión|allocation|use)\b"
    r"[^\d\n%]{0,20}(\d+(?:[.,]\d+)?)\s*%(?:\s*(?:of|от|de)?\s*(?:your|the|del|tu)?\s*(?:portfolio|deposit|balance|wallet|депозита))?",
    re.IGNORECASE,
)
_QUOTE = "|".join(words.QUOTES)
_PAIR = re.compile(
    rf"[#$]?\b(?P<base>(?=\w*[^\W\d_])[A-Z0-9]{{1,15}})\s?[/_-]\s?(?P<quote>{_QUOTE})\b(?::(?:USDT|USDC|USD|BTC))?"
    rf"|[#$]?\b(?P<joined>(?=\w*[^\W\d_])[A-Z0-9]{{1,15}}?)(?P<end>USDT|USDC|BUSD|FDUSD|BTC)(?:\.P|PERP)?\b",
    re.IGNORECASE,
)
_HEADLESS = re.compile(r"(?<![\w.,])[.,]\d+")
_TAG = re.compile(r"[#$](?P<tag>[^\W\d_][A-Za-z0-9]{1,14}|\d{1,7}[A-Z]{2,12})\b")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a line.

    Attributes
    ----------
    kind
        ``number``, ``percent``, ``times`` (a leverage), ``label``, ``pair``, ``word`` or ``sign``.
    text
        As it stands there.
    value
        Of a number or the lower leverage; the higher one is ``other``.
    meaning
        Of a label.
    index
        Of a label with a number of its own (``TP2``, ``Target 2:``).
    """

    kind: str
    text: str
    value: float = 0.0
    other: float = 0.0
    meaning: str = ""
    index: int = 0


def stripped(text: str) -> tuple[str, float | None]:
    """Return a text without what is certainly no price (links, dates, ratios), and the percent that it invests.

    Raises
    ------
    InvalidSignalError
        Where it states two amounts.
    """
    amounts = {float(one.replace(",", ".")) for one in _AMOUNT.findall(text)}
    if len(amounts) > 1:
        raise InvalidSignalError(f"it states two amounts, {' and '.join(f'{one:g} %' for one in sorted(amounts))}")
    text = _AMOUNT.sub(" ", text)
    for pattern in _NOISE:
        text = pattern.sub(" ", text)
    return text, next(iter(amounts), None)


def pairs_of(text: str) -> tuple[list[tuple[str, str]], list[str], str]:
    """Return the pairs and the marked coins that a text names, each once, and the text without them."""
    pairs: dict[tuple[str, str], None] = {}

    def taken(found: re.Match[str]) -> str:
        base, quote = (found["base"] or found["joined"]).upper(), (found["quote"] or found["end"]).upper()
        if base.isdigit():
            return f" {base} {quote} "  # an amount, and what it is in
        pairs[base, quote] = None
        return " \x01 "

    text = _PAIR.sub(taken, text)
    tags: dict[str, None] = {}

    def tagged(found: re.Match[str]) -> str:
        name = found["tag"].upper()
        if name in words.TAGS or name in words.QUOTES[:6]:
            return f" {found['tag']} "
        tags[name] = None
        return " \x02 "

    text = _TAG.sub(tagged, text)
    return list(pairs), list(tags), text


def tokens_of(line: str, decimal: Decimal | None) -> list[Token]:
    r"""Return the tokens of one line, left to right.

    Parameters
    ----------
    line
        Cleaned and stripped, its pairs as ``\x01`` and its coins as ``\x02``.
    decimal
        As in :func:`backtest.channel.number.read_number`.

    Raises
    ------
    InvalidSignalError
        For a number that has no reading, or two.
    """
    bare = _HEADLESS.search(line)
    if bare is not None:
        raise InvalidSignalError(f"{bare[0]} has no digit before its decimal sign")
    return [_token(found, decimal) for found in _pattern().finditer(line)]


def _token(found: re.Match[str], decimal: Decimal | None) -> Token:
    kind, text = found.lastgroup or "", found[0]
    if kind == "label":
        return _label(text)
    if kind == "times":
        low, high = (re.findall(r"\d+(?:\.\d+)?", text) * 2)[:2]
        return Token("times", text, float(low), float(high))
    if kind == "number":
        scale = 1000.0 if text[-1] in "kK" else 1.0
        value = read_number(text.rstrip("kK "), decimal)
        return Token("number", text, round(value * scale, 12) if scale > 1.0 else value)
    if kind == "market":
        return Token("label", text, meaning="market")
    return Token("pair" if kind == "coin" else kind, text)


def _label(text: str) -> Token:
    """Return a label with its own number: ``TP2``, ``Target 2:``."""
    plain = " ".join(text.lower().split())
    index = re.search(r"\d+$", plain)
    name = plain[: index.start()].rstrip(" #") if index else plain
    return Token("label", text, meaning=_meanings()[name], index=int(index[0]) if index else 0)


@cache
def _meanings() -> dict[str, str]:
    return {word: meaning for meaning, listed in words.LABELS for word in listed.split("|")}


@cache
def _pattern() -> re.Pattern[str]:
    labels = "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in sorted(_meanings(), key=len, reverse=True))
    market = "|".join(
        re.escape(word).replace(r"\ ", r"\s+") for word in sorted(words.MARKET.split("|"), key=len, reverse=True)
    )
    once = r"\d{1,3}(?:\.\d+)?"
    return re.compile(
        rf"(?P<pair>\x01)|(?P<coin>\x02)"
        rf"|(?P<times>(?<![\w.,])(?:{once}\s?x?\s?(?:[-–—]|to|до|a)\s?{once}\s?x|x\s?{once}|{once}\s?x)(?![\w]))"
        rf"|(?P<percent>(?<!\w)(?:{NUMBER})\s?%)"
        rf"|(?P<number>(?<![\w])(?:{NUMBER})(?:\s?[kK])?(?![^\W_]))"
        rf"|(?P<label>(?<!\w)(?:(?:{labels})(?:\s#?\d{{1,2}}(?=\s?[):\]=>→➡👉⇒])|\d{{1,2}}(?![.,]\d))?|t\d{{1,2}})(?!\w))"
        rf"|(?P<market>(?<!\w)(?:{market})(?!\w))"
        rf"|(?P<word>[\w][\w'\-]*)"
        rf"|(?P<sign>\S)",
        re.IGNORECASE,
    )
