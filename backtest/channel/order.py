"""Order: the grammar of a signal. Every number must have a role and every word beside one be known, or it is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from backtest.channel import words
from backtest.channel.clean import clean
from backtest.channel.tokens import Token, pairs_of, stripped, tokens_of
from backtest.errors import InvalidSignalError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backtest.channel.conventions import ChannelRules

__all__ = ["Order", "is_order", "order_of"]

_SATOSHI = 1e-8
_FAR, _WIDE = 5.0, 1.5
"""Times the entry beyond which a target or a stop is taken for a lost decimal point; and one entry of another."""

_UNITS = words.words_of("usd usdt usdc sat sats satoshi satoshis сат сатоши and y и")
_MARKS = frozenset(")]:→➡👉⇒")
"""What stands between the number of a price and the price, and can join no two prices."""

_TARGET_SIGNS, _STOP_SIGNS = "🎯🥅", "⛔🛑❌🚫"
"""Pictures that give a price a role where they stand right before it."""

_DONE = "✅✔☑"
_EXITS = re.compile(r"(?i)\b(?<!entry )(?:tps?\d?|targets?|take|sl|stop|цел[иь]|тейк\w*|стоп|objetivos?)\b")
_SHARES = re.compile(r"[(\[]\s*(\d+(?:[.,]\d+)?)\s*%\s*[)\]]")
_BESIDE = (
    (r"\b(?:close[sd]?|closing)\s+(?:above|below|over|under)\b", "it waits for a close beyond a price"),
    (r"(?:^|[\s:])[<>≥≤]=?\$?\d[\d.,]*", "it gives what lies beyond a price"),
    (r"\d[\d.,]*\s?\+(?!\s?[\d$])", "it gives a price and more"),
)
"""What makes of a price what no create can say."""

_BUYS = ("entry", "zone", "buy", "sell", "sellzone")
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True, slots=True)
class Order:
    """What a signal says, in the channel's sense.

    Attributes
    ----------
    coin, quote
        Of the pair.
    side
        +1 or -1.
    entries
        Prices in the order of the text; empty for an entry at market.
    is_range
        Whether the two entries are bounds.
    targets, stop, dca
        Prices; no stop is None.
    leverage, margin
        None where the text does not say.
    amount
        Percent that the text invests, or None.
    """

    coin: str
    quote: str
    side: int
    entries: tuple[float, ...]
    is_range: bool
    targets: tuple[float, ...]
    stop: float | None = None
    dca: tuple[float, ...] = ()
    leverage: float | None = None
    margin: str | None = None
    amount: float | None = None

    @property
    def at_market(self) -> bool:
        """Whether it buys at once."""
        return not self.entries


@dataclass
class _Section:
    """The numbers under one meaning, and how each is joined to the one before: ``dash``, ``zone`` or ``list``."""

    values: list[float] = field(default_factory=list)
    joins: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)


@dataclass
class _Reader:
    """What has been read so far."""

    rules: ChannelRules
    found: dict[str, _Section] = field(default_factory=dict)
    section: str = ""
    sides: set[int] = field(default_factory=set)
    leverage: set[tuple[float, float]] = field(default_factory=set)
    margins: set[str] = field(default_factory=set)
    market: bool = False
    satoshi: bool = False
    join: str = ""
    named: bool = False
    """Whether this line named a pair or a side."""

    expected: int = 0
    row: int = 0
    due: int = 0
    """The number of a target whose price has to come."""

    counted: frozenset[str] = frozenset()
    """Labels that are followed by a 1 and elsewhere by a 2, each before a price."""

    def lines(self, text: str) -> None:
        """Read every line."""
        numbered = [set(re.findall(rf"([^\W\d_][^\W\d_ -]*)\s{k}\s?[-–—]?\s?\$?\d", text.lower())) for k in (1, 2)]
        self.counted = frozenset(numbered[0] & numbered[1])
        for line in text.split("\n"):
            tokens = tokens_of(line, self.rules.decimal)
            if not tokens:
                continue
            self._begin(tokens)
            if any(token.kind in {"number", "percent"} for token in tokens):
                self._known(tokens)
                if re.search(r"\.\.\.|…", line):
                    raise InvalidSignalError("it leaves something out with ... beside a number")
            k = 0
            while k < len(tokens):
                k = self._take(tokens, k)
        self.unpriced()

    def _begin(self, tokens: Sequence[Token]) -> None:
        """Start a line: it goes on with the section before it only where it holds nothing but numbers and signs."""
        self.join, self.named, self.expected, self.row = "list", False, 0, self.row + 1
        numbers = any(token.kind in {"number", "percent"} for token in tokens)
        if numbers and any(token.kind not in {"number", "sign"} and not _is_unit(token) for token in tokens):
            self.section = ""

    def _known(self, tokens: Sequence[Token]) -> None:
        """Refuse a line with numbers of which a word is not known."""
        strange = [
            token.text
            for token in tokens
            if token.kind == "word"
            and token.text.lower() not in words.FILLER | words.LONG | words.SHORT | words.BREAKOUT | words.NEGATION
            and token.text.upper() not in words.COINS | words.TAGS
        ]
        if strange:
            raise InvalidSignalError(f"it does not know the words {' '.join(strange)!r} beside a number")

    def _take(self, tokens: Sequence[Token], k: int) -> int:
        """Take one token; return the position of the next."""
        token = tokens[k]
        if token.kind == "label":
            self._label(token)
        elif token.kind == "number":
            return self._number(tokens, k)
        elif token.kind == "times":
            self.leverage.add((token.value, token.other))
        elif token.kind == "percent":
            raise InvalidSignalError(f"it gives {token.text}: a create has prices and no percent of them")
        elif token.kind == "pair":
            self.named = True
        elif token.kind == "word":
            self._word(tokens, k)
        else:
            self._sign(token.text)
        return k + 1

    def _label(self, token: Token) -> None:
        meaning = token.meaning
        self.unpriced(token)
        if meaning == "market":
            self.market = True
            return
        if meaning in {"buy", "sell", "sellzone"} or (meaning == "zone" and token.text.lower()[0] in "bп"):
            self.named = True
        if meaning == "coin":
            self.section = ""
            return
        self.section, self.join = meaning, "list"
        self.expected = 0
        section = self._of(meaning)
        if token.index:
            self.expected = token.index
            if token.index != len(section.values) + 1:
                raise InvalidSignalError(f"{token.text!r} comes after {len(section.values)} of its kind")

    def _word(self, tokens: Sequence[Token], k: int) -> None:
        word = tokens[k].text.lower()
        if word in words.LONG or word in words.SHORT:
            self.sides.add(1 if word in words.LONG else -1)
            self.named = True
        elif word in {"isolated", "изолированная", "изолированное", "aislado"}:
            self.margins.add("ISOLATED")
        elif word in {"cross", "кросс", "cruzado"}:
            self.margins.add("CROSS")
        elif word.startswith(("sat", "сат")) and word in words.FILLER:
            self.satoshi = True
        elif word in words.BREAKOUT and _next_is_number(tokens, k):
            enters = self.section in {"", *_BUYS}
            what = "it waits for a breakout" if enters else "it says no price but what lies beyond one"
            price = next(one.text for one in tokens[k + 1 :] if one.kind == "number")
            raise InvalidSignalError(f"{what} ({tokens[k].text} {price}), which no create can say")
        elif word in {"to", "до", "a", "hasta", "between", "from", "между", "от", "entre", "desde"}:
            self.join = "zone"
        elif word in {"y", "и", "and"} and self.join != "zone":
            self.join = "list"

    def _sign(self, text: str) -> None:
        if text in "-–—":
            self.join = "dash"
        elif text in "~〜":
            self.join = "zone"
        elif text in ",/|;&+" and self.join != "zone":
            self.join = "list"

    def _number(self, tokens: Sequence[Token], k: int) -> int:
        token = tokens[k]
        self._pictured(tokens, k)
        if k and tokens[k - 1].kind == "number" and re.fullmatch(r"\d{3}", token.text) and tokens[k - 1].text.isdigit():
            raise InvalidSignalError(f"{tokens[k - 1].text} {token.text} may be one number or two")
        section = self.section or self._by_side()
        if section == "lev":
            self.leverage.add((token.value, token.value))
            return k + 1
        held = self._of(section)
        if self._is_bullet(tokens, k, len(held.values)):
            self.join, self.expected = "list", len(held.values) + 1
            return k + 1 + (tokens[k + 1].kind != "number")
        if held.values and k and tokens[k - 1].text in "([":
            raise InvalidSignalError(f"{token.text} stands in brackets beside {held.texts[-1]} and has no role")
        if section == "target" and held.values and self.join == "zone":
            raise InvalidSignalError(f"its target is anywhere from {held.texts[-1]} to {token.text}")
        if self.expected and self.expected <= len(held.values):
            raise InvalidSignalError(f"{token.text} stands beside a numbered price and has no role")
        if section == "stop" and held.values and held.values != [token.value]:
            raise InvalidSignalError(f"it has two stops, {held.texts[0]} and {token.text}")
        if section == "stop" and held.values:
            return k + 1
        held.values.append(token.value)
        held.joins.append(self.join or "list")
        held.texts.append(token.text)
        held.rows.append(self.row)
        if self.join != "zone" or len(held.values) % 2 == 0:
            self.join = "list"
        return k + 1

    def _pictured(self, tokens: Sequence[Token], k: int) -> None:
        """Refuse a price that a picture gives another role than its section."""
        sign = next((one.text for one in reversed(tokens[:k]) if one.text not in {"$", ":", "-"}), "")
        for signs, role in ((_TARGET_SIGNS, "target"), (_STOP_SIGNS, "stop")):
            if sign and sign in signs and self.section != role:
                raise InvalidSignalError(f"{sign} before {tokens[k].text} says that it is a {role}, and no word does")

    def unpriced(self, token: Token | None = None) -> None:
        """Refuse a numbered target whose price is missing, at the next label and at the end."""
        held = self.found.get("target")
        due = self.due
        self.due = token.index if token is not None and token.meaning == "target" else 0
        if due and held is not None and len(held.values) < due:
            raise InvalidSignalError(f"target {due} has no price")

    def _by_side(self) -> str:
        if not self.named:
            raise InvalidSignalError("a number stands in it without a word that says what it is")
        return "entry"

    def _is_bullet(self, tokens: Sequence[Token], k: int, count: int) -> bool:
        """Whether a number counts the next one: ``1) 45000``."""
        token = tokens[k]
        if not re.fullmatch(r"\d{1,2}", token.text) or k + 1 >= len(tokens):
            return False
        mark = tokens[k + 1].text
        inside = k and tokens[k - 1].text in "(["
        later = next((one for one in tokens[k + 1 :] if one.kind == "number"), None)
        if later is None or inside:
            return False
        if mark in _MARKS:
            if token.value != count + 1:
                raise InvalidSignalError(f"the bullet {token.text}{mark} comes after {count} prices")
            return True
        labelled = k > 0 and tokens[k - 1].kind == "label"
        alone = labelled or all(one.kind == "sign" for one in tokens[:k])
        bare = tokens[k + 1].kind == "number"
        if not alone or not (bare or mark in {"-", "–", "—", ".", ">"}) or token.value != count + 1:
            return False
        sure = labelled and tokens[k - 1].text.lower().split()[-1] in self.counted
        if mark != "." and not sure and _alike(token.value, later.value):
            raise InvalidSignalError(f"{token.text} before {later.text} may be a bullet or a price")
        return True

    def _of(self, section: str) -> _Section:
        return self.found.setdefault(section, _Section())


def _alike(index: float, price: float) -> bool:
    """Whether a small number before a price may be a price too."""
    return 0.3 <= price / index <= 3.0


def _next_is_number(tokens: Sequence[Token], k: int) -> bool:
    """Whether a number follows, with nothing but signs and words that change nothing before it."""
    later = (one for one in tokens[k + 1 :] if one.kind != "sign" and one.text.lower() not in words.FILLER)
    return next((one.kind == "number" for one in later), False)


def _is_unit(token: Token) -> bool:
    return token.kind == "word" and token.text.lower() in _UNITS


def is_order(text: str) -> bool:
    """Whether a cleaned text may be meant as a signal: a pair or side with a price and a target or stop."""
    plain, _ = stripped(text)
    pairs, tags, plain = pairs_of(plain)
    lower = plain.lower()
    tokens = _loose(plain)
    meanings = {token.meaning for token in tokens if token.kind == "label"}
    found = set(re.findall(r"\w+", lower))
    sided = bool(found & (words.LONG | words.SHORT)) or bool(meanings & {"buy", "sell"})
    named = bool(pairs or tags or {word.upper() for word in found} & words.COINS)
    digits = bool(re.search(r"\d", plain))
    prices = sum(token.kind == "number" for token in tokens)
    exits = bool(meanings & {"target", "stop"})
    enters = bool(meanings & {"entry", "zone", "buy", "sell", "sellzone", "market"}) or sided
    return digits and (
        (exits and enters)
        or (exits and named and len(meanings) > 1)
        or (named and sided)
        or ((named or sided) and prices > 2)
    )


def _loose(text: str) -> list[Token]:
    """Return tokens of a text in which numbers may have no reading."""
    found = []
    for line in text.split("\n"):
        try:
            found += tokens_of(line, None)
        except InvalidSignalError:
            try:
                found += tokens_of(re.sub(r"(?<=\d)[.,'](?=\d)", "", line), None)
            except InvalidSignalError:
                found.append(Token("number", line))
    return found


def order_of(text: str, rules: ChannelRules) -> Order:
    """Return what the text of a signal says.

    Parameters
    ----------
    text
        Of the message, as it was posted.
    rules
        Of the channel.

    Raises
    ------
    InvalidSignalError
        With the reason, where it cannot be read for certain.
    """
    plain = clean(text)
    marked = plain
    plain, amount = stripped(plain)
    plain = _without_plan(plain, rules)
    plain, stopless = re.subn(
        r"\b(?:no|without|без|sin)\s+(?:stop(?:[ -]?loss)?|sl|стопа?)\b", " ", plain, flags=re.IGNORECASE
    )
    pairs, tags, plain = pairs_of(plain)
    _check_words(plain)
    reader = _Reader(rules)
    coin, quote = _pair(pairs, tags, plain, rules)
    reader.lines(plain)
    _check_marks(marked)
    order = _resolved(reader, coin, quote, amount)
    if stopless and order.stop is not None:
        _refuse("it says that it has no stop, and gives one")
    if not stopless and order.stop is None and "stop" in reader.found:
        _refuse("it speaks of a stop, and gives no price of it")
    _check_prices(order)
    return order


def _refuse(reason: str) -> NoReturn:
    raise InvalidSignalError(reason)


def _without_plan(text: str, rules: ChannelRules) -> str:
    """Take out "move the stop to entry after target n", which only the channel's plan can carry out."""
    when = r"(?:after|when|once|at|on|после|на|tras|en|al)\s+(?:hitting\s+|reaching\s+)?(?:tp|target|t|цел\w+|тейк\w*|objetivo)\s?#?(\d)(?:\s+(?:is\s+)?(?:hit|reached|done))?"
    move = r"(?:(?:move|set|bring|mover|mueve|двигаем|переносим|перенести)\s+)?(?:the\s+|your\s+|el\s+)?(?:sl|stop(?:[ -]?loss)?|стоп)\s+(?:to|в|на|a)\s+(?:the\s+)?(?:entry|be|break[ -]?even|б/у|бу|безубыток|entrada)"
    pattern = re.compile(rf"\b{move}\s+{when}|\b{when}\s*,?\s*{move}", re.IGNORECASE)
    for found in pattern.finditer(text):
        target = int(found[1] or found[2])
        planned = [
            getattr(part, "target", None)
            for part in (rules.plan.parts if rules.plan else ())
            if part.kind == "break_even_at"
        ]
        if planned != [target]:
            was = f"the rule plan has it at target {planned[0]}" if planned else "the rule plan is not set"
            raise InvalidSignalError(f"it moves the stop to entry at target {target}, and {was}", "plan")
    return pattern.sub(" ", text)


def _check_words(text: str) -> None:
    """Refuse texts that report, plan for a case or only consider."""
    found = [word.lower() for word in re.findall(r"[^\W\d_][\w']*", text)]
    for kind, what in (
        (words.UNSURE, "no signal yet, or none any more"),
        (words.CONDITION, "a condition"),
        (words.NEGATION, "not"),
        (words.TOLD, "what came of it"),
        (words.TAKEN_BACK, "that it is taken back, an old one, or of another size"),
    ):
        word = next((one for one in found if one in kind), None)
        if word is not None:
            _refuse(
                f"the word {word!r} says {what}"
                if what != "not"
                else f"the word {word!r} takes something back, and is not understood"
            )


def _check_marks(text: str) -> None:
    """Refuse prices that are ticked off, wait for more than their touch, or have unequal shares."""
    for line in text.split("\n"):
        ticked = re.search(rf"\d[^\w]*([{_DONE}])[ !🔥]*$", line)
        if ticked is not None:
            raise InvalidSignalError(f"{ticked[1]} behind a price says that it was reached", "ticked")
    for pattern, what in _BESIDE:
        found = re.search(pattern, text, re.IGNORECASE | re.MULTILINE)
        if found is not None:
            _refuse(f"{what} ({found[0].strip(' :')}), which no create can say")
    shares = [float(one.replace(",", ".")) for one in _SHARES.findall(_EXITS.split(text)[0])]
    for first in range(len(shares)):
        for last in range(first + 2, len(shares) + 1):
            part = shares[first:last]
            if abs(sum(part) - 100.0) < 0.5 and max(part) - min(part) > 1.0:
                said = ", ".join(f"{one:g} %" for one in part)
                _refuse(f"its entries are {said}, where a create has equal ones")


def _pair(pairs: Sequence[tuple[str, str]], tags: Sequence[str], text: str, rules: ChannelRules) -> tuple[str, str]:
    """Return coin and quote asset."""
    if len(pairs) > 1:
        _refuse(f"it names two pairs, {' and '.join('/'.join(pair) for pair in pairs[:2])}")
    if pairs:
        other = next((tag for tag in tags if tag in words.COINS and tag != pairs[0][0]), None)
        if other is not None:
            _refuse(f"it names two pairs, {'/'.join(pairs[0])} and {other}")
        return pairs[0]
    coins = list(tags) or _bare_coins(text)
    if len(coins) > 1:
        _refuse(f"it names two pairs, {' and '.join(coins[:2])}")
    if not coins:
        _refuse("it names no pair")
    return coins[0], str(rules.need("quote", f"it names {coins[0]} without what it is paid in"))


def _bare_coins(text: str) -> list[str]:
    sides = "|".join(
        sorted(words.LONG | words.SHORT | {"buy", "sell", "купить", "покупка", "продажа", "compra", "venta"})
    )
    labels = "coin|pair|symbol|ticker|asset|монета|пара|тикер|moneda|par|activo"
    coins = "|".join(sorted(words.COINS))
    beside = re.findall(rf"\b(?:(?i:{sides}))\s+({coins})\b|\b({coins})\s+(?:(?i:{sides}))\b", text)
    named = re.findall(rf"\b(?:(?i:{labels}))\s*[:=-]\s*([A-Z][A-Z0-9]{{1,9}})\b", text)
    return list(dict.fromkeys([*(one or two for one, two in beside), *named]))


def _resolved(reader: _Reader, coin: str, quote: str, amount: float | None) -> Order:
    """Return the order that the sections make."""
    found = {name: section for name, section in reader.found.items() if section.values}
    if (
        "sell" in found
        and "target" not in found
        and any(name in found for name in ("buy", "entry", "zone"))
        and -1 not in reader.sides
    ):
        if (
            "buy" in found
            and list(reader.found).index("sell") < list(reader.found).index("buy")
            and "stop" not in found
        ):
            _refuse("it sells first and buys then: whether it is a short, or a long told backwards, is not said")
        found["target"] = found.pop("sell")
    entries = [name for name in _BUYS if name in found]
    if len(entries) > 1:
        _refuse(f"it has prices under {' and under '.join(entries)}")
    sides = set(reader.sides)
    sides |= {1} if "buy" in reader.found and "buy" in (entries or ["buy"]) else set()
    sides |= {-1} if {"sell", "sellzone"} & set(reader.found) and "sell" not in _moved(reader, found) else set()
    if len(sides) > 1:
        _refuse("it says both long and short")
    if reader.market and entries:
        _refuse("it is at market and gives an entry price: one of the two is meant")
    if not entries and not reader.market:
        _refuse("it has no entry price")
    if reader.market:
        reader.rules.need("market", "it buys at market")
    scale = _scale(reader, found, quote)
    section = found[entries[0]] if entries else _Section()
    values, is_range = _entries(section, entries[0] if entries else "", reader.rules)
    targets = tuple(scale(one) for one in found["target"].values) if "target" in found else ()
    if not targets:
        _refuse("it has no target, which a create needs")
    _check_glued(found["target"], values or ([found["stop"].values[0]] if "stop" in found else []))
    stop = scale(found["stop"].values[0]) if "stop" in found else None
    dca = tuple(scale(one) for one in found["dca"].values) if "dca" in found else ()
    prices = tuple(scale(one) for one in values)
    side = _side(sides, prices, targets, stop)
    leverage = _leverage(reader)
    if len(reader.margins) > 1:
        _refuse("it says both cross and isolated margin")
    return Order(
        coin, quote, side, prices, is_range, targets, stop, dca, leverage, next(iter(reader.margins), None), amount
    )


def _moved(reader: _Reader, found: dict[str, _Section]) -> set[str]:
    """Return the names of sections that turned out to be the targets."""
    return {"sell"} if "sell" in reader.found and reader.found["sell"] is found.get("target") else set()


def _side(sides: set[int], entries: Sequence[float], targets: Sequence[float], stop: float | None) -> int:
    """Return the side that words and prices agree on."""
    near = entries or ((stop,) if stop is not None else ())
    by_price = {1} if near and targets[0] > max(near) else {-1} if near and targets[0] < min(near) else set()
    if len(targets) > 1 and not by_price:
        by_price = set()
    if sides and by_price and sides != by_price:
        _refuse(f"it says {'long' if sides == {1} else 'short'}, and its prices are in the order of the other side")
    side = next(iter(sides or by_price), None)
    if side is None:
        _refuse("neither its words nor the order of its prices say long or short")
    return side


def _entries(section: _Section, name: str, rules: ChannelRules) -> tuple[list[float], bool]:
    """Return the entry prices, and whether the two are bounds of a range."""
    values = section.values
    if len(values) < 2:
        return values, False
    if len(values) == 2:
        join = section.joins[1]
        if "zone" in name or "zone" in section.joins:
            return values, True
        if join == "dash":
            return values, rules.need("dash", f"its entry is {section.texts[0]}-{section.texts[1]}") == "range"
    elif "zone" in name or "dash" in section.joins:
        _refuse(f"its entry has {len(values)} prices, {', '.join(section.texts)}, joined in more than one way")
    meaning = rules.need("entries", f"it has {len(values)} entries")
    if meaning == "first":
        return values[:1], False
    if meaning == "equal" and len(values) > 3:
        many = _NUMBERS[len(values) - 1] if len(values) <= len(_NUMBERS) else str(len(values))
        _refuse(f"it has {many} entries, and a create takes three")
    return (values, False) if meaning == "equal" else ([min(values), max(values)], True)


def _scale(reader: _Reader, found: dict[str, _Section], quote: str) -> _Scale:
    """Return what makes a number a price: satoshis are 1e-8 of a bitcoin."""
    bare = [
        text
        for section in found.values()
        for text, value in zip(section.texts, section.values, strict=True)
        if value >= 1.0
    ]
    if reader.satoshi and quote != "BTC":
        _refuse(f"its prices are in satoshi, and the pair is paid in {quote}")
    if quote != "BTC" or not bare:
        if reader.satoshi:
            _refuse("it has satoshi and prices below one")
        return _Scale(1.0)
    if not reader.satoshi and reader.rules.need("bare_btc_prices", f"a price of a BTC pair is {bare[0]}") == "coin":
        return _Scale(1.0)
    if len(bare) < sum(len(section.values) for section in found.values()):
        _refuse("some of its prices are in satoshi and some are not")
    return _Scale(_SATOSHI)


@dataclass(frozen=True)
class _Scale:
    times: float

    def __call__(self, value: float) -> float:
        return value if self.times == 1.0 else float(f"{value * self.times:.12g}")


def _leverage(reader: _Reader) -> float | None:
    if len(reader.leverage) > 1:
        _refuse(f"it has two leverages, {' and '.join(f'{low:g}x' for low, _ in sorted(reader.leverage)[:2])}")
    if not reader.leverage:
        return None
    low, high = sorted(next(iter(reader.leverage)))
    if low == high:
        return low
    meaning = reader.rules.need("leverage_of_range", f"its leverage is {low:g} to {high:g}")
    return low if meaning == "lowest" else high


def _check_glued(section: _Section, near: Sequence[float]) -> None:
    """Refuse ``1.15, 2.20, 3.30`` where a dot may join bullets to prices: each on a line, or prices near the entry."""
    values = section.values
    if len(values) < 2 or not all(int(value) == k and value != k for k, value in enumerate(values, 1)):
        return
    behind = [float(re.sub(r"\D", "", re.split(r"[.,]", text)[-1]) or 0.0) for text in section.texts]
    near_entry = not near or all(near[0] / _FAR <= price <= near[0] * _FAR for price in behind)
    if near_entry or len(set(section.rows)) == len(section.rows):
        _refuse(f"{section.texts[0]} may be {values[0]:g}, or bullet 1 and a price")


def _check_prices(order: Order) -> None:
    """Refuse prices that are in no order, or so far apart that a decimal point was lost."""
    side, entries, name = order.side, order.entries, "long" if order.side > 0 else "short"
    if entries and max(entries) > _WIDE * min(entries):
        _refuse(f"its entries {entries[0]:g} and {entries[-1]:g} are too far apart")
    base = entries or (() if order.stop is None else (order.stop,)) or order.targets[:1]
    near, far = (max(base), min(base)) if side > 0 else (min(base), max(base))
    for price in (*order.targets, *order.dca, *([] if order.stop is None else [order.stop])):
        if not near / _FAR <= price <= near * _FAR:
            what = "entry" if entries else "stop" if order.stop is not None else "first target"
            _refuse(f"{price:.12g} is {price / near:.3g} times its {what} {near:.12g}: a decimal point may be lost")
    targets = [side * price for price in order.targets]
    beyond = targets[0] > side * near or not (entries or order.stop is not None)
    if targets != sorted(set(targets)) or not beyond:
        _refuse(f"its targets {', '.join(f'{one:.12g}' for one in order.targets)} are not in the order of a {name}")
    if order.stop is not None and entries and side * order.stop >= side * far:
        _refuse(f"its stop {order.stop:.12g} is not in the order of a {name} from {far:.12g}")
    if order.dca:
        _check_dca(order, side * far)


def _check_dca(order: Order, far: float) -> None:
    for price in order.dca:
        below_stop = order.stop is not None and order.side * price <= order.side * order.stop
        if below_stop or (order.entries and order.side * price >= far):
            _refuse(f"its DCA at {price:.12g} lies not between entry and stop")
