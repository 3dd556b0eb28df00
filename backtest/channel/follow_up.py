"""FollowUp: the grammar of what is said about a signal later: reached, stop to entry, close, cancel, new stop, new target."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backtest.channel import words
from backtest.channel.clean import clean
from backtest.channel.number import NUMBER, read_number
from backtest.channel.tokens import pairs_of, stripped
from backtest.errors import InvalidSignalError

if TYPE_CHECKING:
    from backtest.channel.conventions import ChannelRules
    from backtest.channel.order import Order

__all__ = ["FollowUp", "follow_up_of"]

_STOP = r"(?:stop[ -]?loss|stoploss|stop|s/l|sl|стоп[ -]?лосс|стоплосс|стоп|сл|stop de p[ée]rdidas)"
_TARGET = r"(?:take[ -]?profit|targets?|tp|tgt|goal|цель|цели|тейк(?:[ -]?профит)?|тп|objetivo|meta|salida|t)"
_DONE = r"(?:was |is |has been |been )?(?:reached|hit|done|achieved|filled|smashed|completed?|достигнут[аы]?|взят[аы]?|закрыт[аы]?|выполнен[аы]?|сработал[аи]?|alcanzad[oa]s?|cumplid[oa]s?|lograd[oa]s?|tocad[oa]s?|✅|✔|☑)"
_MOVE = r"(?:(?:please |we |i |you can |now )*(?:move|moved|moving|set|bring|raise|put|shift|mover|movemos|mueve|subir|двигаем|передвигаем|переносим|перенести|перенос|ставим|поставить) )?(?:the |your |our |my |el |tu )?"
_TO = r"(?:to|at|now at|now|на|в|a|en|=|:|-|>|→|➡)"
_PRICE = rf"\$?({NUMBER}\s?k?)(?![\w%])"
_CLOSE = r"(?:close|exit|closing|закрываем|закрываю|закрыть|закрываемся|выходим|cerrar|cerramos|cierro|cerrad)"
_CANCEL = r"(?:cancel|cancelled|canceled|cancelling|remove|delete|отмена|отменяем|отменить|отменён|отменен|удаляем|cancelar|cancelada|cancelado|cancelamos|anulad[oa]|anular)"

_REPORTS = (
    rf"(?<!\w)\d{{1,2}}\s?/\s?\d{{1,2}}\s+{_TARGET}\w*\s*(?:{_DONE}[\s!]*)+",
    rf"(?:all|все|всех|todos los)\s+(?:the\s+)?{_TARGET}\w*\s*(?:{_DONE}[\s!]*)+",
    rf"(?:first|second|third|fourth|final|last|1st|2nd|3rd|4th|перв\w+|втор\w+|трет\w+|primer\w*|segund\w+|tercer\w*)\s+{_TARGET}\s*(?:{_DONE}[\s!]*)+",
    rf"(?<!\w){_TARGET}\s?#?\d{{1,2}}\s*(?::|-|at)?\s*(?:\$?{NUMBER}\s+)?(?:{_DONE}[\s!]*)+",
    rf"(?<!\w){_STOP}\s*(?:was |is |has been )?(?:{_DONE}|triggered|по стопу|tocado|ejecutado|❌)[\s!]*",
    r"(?<!\w)(?:stopped out|stop out|закрылись по стопу|выбило по стопу)(?!\w)",
    r"(?<!\w)(?:entry|order|entries|buy order|вход|ордер|entrada|orden)\s?\d?\s*(?:was |is |has been )?(?:filled|reached|hit|activated|triggered|исполнен|сработал|ejecutada|activada|✅)[\s!]*",
)
_ENTRY = r"(?:the |your |my |la |tu )?(?:entry(?: price| point)?|be|b/e|break[ -]?even|breakeven|бу|б/у|безубыток|точку входа|вход|entrada|cost|break even)"
_BE = rf"(?<!\w){_MOVE}{_STOP}\s*(?:переносим|двигаем|ставим|moved|moves|movido)?\s*{_TO}?\s*{_ENTRY}(?!\w)|(?<!\w)(?:{_STOP})\s*=\s*(?:be|entry)(?!\w)"
_TO_TARGET = rf"(?<!\w){_MOVE}{_STOP}\s*{_TO}\s*{_TARGET}\s?#?(\d)(?![\w.,])"
_NEW_STOP = rf"(?<!\w)(?:(?:new|updated?|новый|nuevo)\s+)?{_MOVE}(?:(?:new|новый|nuevo)\s+)?{_STOP}\s*(?:(?:changed|updated|moved|raised|lowered)\s+)?{_TO}?\s*{_PRICE}"
_NEW_TARGET = rf"(?<!\w)(?:(?:new|updated?|move|set|change|новая|новый|новые|nuevo|nuevos)\s+)?{_TARGET}\s?#?(\d{{1,2}})(?![\d.,])\s*(?:(?:changed|updated|moved)\s+)?{_TO}?\s*{_PRICE}"
_TARGETS = rf"(?<!\w)(?:(?:new|updated?|новая|новый|новые|nuevo|nuevos)\s+)?(?:{_TARGET}|targets|objetivos|тейки)\s*{_TO}?\s*((?:\$?{NUMBER}(?![\w%])[\s,/|;-]*)+)$"
_PART = r"(?<!\w)(?:half|partial(?:s|ly)?|part|some|rest|\d{1,2}\s?%\s+(?:of|here|now|off|closed?)|(?:close|take|book|sell|exit)\s+\d{1,2}\s?%|половин\w+|часть|частично|mitad|parcial\w*)(?!\w)"

_FILL = words.words_of(
    "now all it this here please position positions trade trades at market price manually full fully the we are our your my and a to for us "
    "signal order orders everything everyone guys team is in profit loss with i will immediately also or setup invalid limit pending "
    "one сигнала сделку сделки сделка по рынку позицию позиция всё все сейчас ордер ордера сигнал и вручную руками "
    "operación operacion posición posicion orden a mercado ahora todo la el señal ya manualmente nuevo new update updated"
)
_ACTS = words.words_of(
    "close exit cancel cancelled canceled remove delete stop sl tp target targets move half partial entry buy sell add dca rebuy reenter "
    "re-enter average breakeven hold closed exited sold took закрыли закрыта продали cerrado cerrada vendido закрываем закрыть стоп цель перенос отмена докупаем добавляем усредняем cerrar "
    "stop objetivo cancelar mover recomprar closing open reopen hedge reduce increase trail trailing invalid invalidated"
)
_UNSIGNED = re.compile(
    r"(?<![\w.,+−-])(?<![+−-]\s)(\d+(?:[.,]\d+)?)\s?(?:%|percent|процент\w*|por ciento)(?!\s*(?:in |of |de |в )?(?:profit|gain|loss|прибыл|профит|убыт|ganancia|p[ée]rdida))",
    re.IGNORECASE,
)
_PERCENT = re.compile(r"[+\-−]?\s?\d+(?:[.,]\d+)?\s?(?:%|percent|процент\w*|por ciento)|\bx?\d{1,3}x\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FollowUp:
    """What a later message says.

    Attributes
    ----------
    kind
        ``update``, ``cancel``, ``report`` (nothing to do) or ``chatter``.
    stop
        The new stop, or None.
    targets
        The new target of each number, None where it stays.
    words
        What it says, for a person.
    """

    kind: str
    stop: float | None = None
    targets: tuple[float | None, ...] = ()
    words: str = ""


@dataclass
class _Text:
    """What is left of a text as its parts are understood."""

    left: str

    def take(self, pattern: str) -> re.Match[str] | None:
        """Take the first match out."""
        found = re.search(pattern, self.left, re.IGNORECASE)
        if found is not None:
            self.left = f"{self.left[: found.start()]} ~ {self.left[found.end() :]}"
        return found

    def take_all(self, patterns: tuple[str, ...]) -> list[str]:
        """Take every match of several patterns out."""
        taken = []
        for pattern in patterns:
            while (found := self.take(pattern)) is not None:
                taken.append(" ".join(found[0].split()))
        return taken


def follow_up_of(text: str, order: Order | None, rules: ChannelRules) -> FollowUp:
    """Return what a message says about a signal.

    Parameters
    ----------
    text
        As it was posted.
    order
        The signal that it is about; None where none is known: then only whether it says anything is of use.
    rules
        Of the channel.

    Raises
    ------
    InvalidSignalError
        With the reason, where it says something that cannot be read for certain.
    """
    plain, _ = stripped(clean(text))
    _, _, plain = pairs_of(plain)
    plain = " ".join(plain.replace("\x01", " ").replace("\x02", " ").split())
    whole = _Text(plain)
    _refuse_cases(plain)
    told = whole.take_all(_REPORTS)
    if re.search(_PART, whole.left, re.IGNORECASE):
        raise InvalidSignalError(
            "it closes a part: the API's take profit of a part brings a stop that trails, so a person must decide"
        )
    beyond = re.search(rf"(?<!\w){_ENTRY}\s*[+−-]", plain, re.IGNORECASE)
    if beyond is not None:
        raise InvalidSignalError(f"it says {beyond[0]!r}: how far beyond the entry is not understood")
    found = _moves(whole, order, rules)
    over = whole.take(rf"(?<!\w){_CLOSE}(?!\w)") or whole.take(rf"(?<!\w){_CANCEL}(?!\w)")
    if over is not None and found:
        raise InvalidSignalError("it both moves prices and ends the signal")
    if over is not None:
        _check_end(plain)
    if (over is not None or found) and re.search(r"[?¿]", plain):
        raise InvalidSignalError("it asks, and does not say")
    if over is not None or found:
        _all_known(whole.left, over[0].strip() if over is not None else "what moves")
    if over is not None:
        return FollowUp("cancel", words=f"ends it ({over[0].strip()})")
    if found:
        stop, targets, said = found
        return FollowUp("update", stop, targets, f"moves {said}")
    return _told(whole.left, told)


def _check_end(text: str) -> None:
    """Refuse what only sounds like an end, and the end of a part."""
    if re.search(r"(?:\b(?:are|is|am|so)|'re|'s)\s+close\b", text, re.IGNORECASE):
        raise InvalidSignalError("its word 'close' may mean near")
    for share in _UNSIGNED.finditer(text):
        if float(share[1].replace(",", ".")) != 100.0:
            raise InvalidSignalError(
                f"it ends the signal and says {share[0].strip()}: whether that is a part is not said"
            )


def _told(left: str, told: list[str]) -> FollowUp:
    """Return a report, or chatter; refuse what acts in words that are not understood."""
    rest = _PERCENT.sub(" ", left)
    acts = [word for word in re.findall(r"[^\W_][\w'/.-]*", rest.lower()) if word in _ACTS or word[0].isdigit()]
    if any(word in _ACTS for word in acts):
        raise InvalidSignalError(f"it says {' '.join(acts)!r} and cannot be understood")
    return FollowUp("report", words=", ".join(told)) if told else FollowUp("chatter")


def _refuse_cases(text: str) -> None:
    """Refuse what is said for a case, or taken back, wherever it also says what to do."""
    found = [word.lower() for word in re.findall(r"[^\W\d_][\w']*", text)]
    acts = any(word in _ACTS for word in found) or re.search(
        rf"(?<!\w)(?:{_CLOSE}|{_CANCEL}|{_STOP})(?!\w)", text, re.IGNORECASE
    )
    if not acts:
        return
    for kind, what in (
        (words.CONDITION, "a condition"),
        (words.NEGATION, "not"),
        (words.UNSURE, "not yet, or not any more"),
    ):
        word = next((one for one in found if one in kind), None)
        if word is not None:
            raise InvalidSignalError(f"the word {word!r} makes it {what}")


def _moves(
    text: _Text, order: Order | None, rules: ChannelRules
) -> tuple[float | None, tuple[float | None, ...], str] | None:
    """Return the new stop and the new targets; None where neither moves."""
    stop, said = _new_stop(text, order, rules)
    targets: dict[int, float] = {}
    while (found := text.take(_NEW_TARGET)) is not None:
        number, price = int(found[1]), _price(found[2], rules)
        if targets.setdefault(number, price) != price:
            raise InvalidSignalError(f"it gives target {number} twice")
    listed = text.take(_TARGETS)
    if listed is not None:
        targets |= _listed(listed[1], order, rules, taken=bool(targets))
    if not targets and stop is None:
        return None
    if order is not None:
        _check(order, stop, targets)
    said += [f"target {number} to {price:.12g}" for number, price in sorted(targets.items())]
    most = max(targets, default=0)
    return stop, tuple(targets.get(number) for number in range(1, most + 1)), ", ".join(said)


def _new_stop(text: _Text, order: Order | None, rules: ChannelRules) -> tuple[float | None, list[str]]:
    """Return the new stop and what was said of it."""
    stops: dict[str, float] = {}
    if text.take(_BE) is not None:
        stops["stop to entry"] = 0.0 if order is None else _entry(order, rules)
    found = text.take(_TO_TARGET)
    if found is not None:
        number = int(found[1])
        if order is not None and number > len(order.targets):
            raise InvalidSignalError(f"it moves the stop to target {number}, and the signal has {len(order.targets)}")
        stops[f"stop to target {number}"] = 0.0 if order is None else order.targets[number - 1]
    found = text.take(_NEW_STOP)
    if found is not None:
        price = _price(found[1], rules)
        stops[f"stop to {price:.12g}"] = price
    if len(stops) > 1:
        raise InvalidSignalError(f"it moves the stop twice: {' and '.join(stops)}")
    return next(iter(stops.values()), None), list(stops)


def _listed(text: str, order: Order | None, rules: ChannelRules, *, taken: bool) -> dict[int, float]:
    """Return the targets that a list gives, which must be as many as the signal has."""
    prices = [_price(one, rules) for one in re.findall(NUMBER, text)]
    count = len(order.targets) if order is not None else len(prices)
    if taken or len(prices) != count:
        raise InvalidSignalError(
            f"it gives {len(prices)} targets, and the signal has {count}: which target is which is not said"
        )
    return dict(enumerate(prices, 1))


def _price(text: str, rules: ChannelRules) -> float:
    scale = 1000.0 if text[-1] in "kK" else 1.0
    return scale * read_number(text.rstrip("kK "), rules.decimal)


def _entry(order: Order, rules: ChannelRules) -> float:
    """Return the price that "entry" means."""
    if order.at_market:
        raise InvalidSignalError(
            "it moves the stop to the entry of a signal that bought at market, whose price is each subscriber's own"
        )
    if len(order.entries) == 1:
        return order.entries[0]
    meaning = rules.need("stop_to_entry", f"it moves the stop to one of {len(order.entries)} entries")
    if meaning == "middle":
        return sum(order.entries) / len(order.entries)
    best, worst = (max, min) if order.side > 0 else (min, max)
    return best(order.entries) if meaning == "near" else worst(order.entries)


def _check(order: Order, stop: float | None, targets: dict[int, float]) -> None:
    """Refuse prices that cannot belong to the signal."""
    base = order.entries[0] if order.entries else order.targets[0]
    for price in (*([] if stop is None else [stop]), *targets.values()):
        if not base / 3.0 <= price <= base * 3.0:
            raise InvalidSignalError(
                f"{price:.12g} is {price / base:.3g} times the signal's {base:.12g}: a decimal point may be lost"
            )
    if targets and max(targets) > len(order.targets):
        raise InvalidSignalError(f"it changes target {max(targets)}, and the signal has {len(order.targets)}")
    now = [order.side * targets.get(number, price) for number, price in enumerate(order.targets, 1)]
    near = order.side * (max(order.side * price for price in order.entries) * order.side if order.entries else now[0])
    if now != sorted(set(now)) or (order.entries and now[0] <= near):
        raise InvalidSignalError("its targets would stand in no order with those that stay")
    if stop is not None and order.side * stop >= now[-1]:
        raise InvalidSignalError(f"its stop {stop:.12g} lies beyond the last target")


def _all_known(left: str, said: str) -> None:
    """Refuse what stands beside a command and is not understood."""
    rest = _PERCENT.sub(" ", left)
    strange = [word for word in re.findall(r"[^\W_][\w'.,/-]*", rest) if word.lower().rstrip(".,") not in _FILL]
    if strange:
        raise InvalidSignalError(f"it says {said!r}, and beside it {' '.join(strange)!r}, which is not understood")
