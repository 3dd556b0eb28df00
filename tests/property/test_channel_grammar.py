"""A text made from a signal reads back as that signal or is refused, never as another; hostile texts get a sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from backtest.channel.clean import clean
from backtest.channel.conventions import ChannelRules
from backtest.channel.follow_up import follow_up_of
from backtest.channel.order import Order, is_order, order_of
from backtest.errors import InvalidSignalError
from tests.command_line import backtest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BASE: dict[str, Any] = {
    "exchange": "BINANCE", "quote": "USDT", "invest": 5, "account": "by leverage", "margin_type": "ISOLATED", "leverage": 1,
    "dash": "range", "entries": "equal", "leverage_of_range": "lowest", "more_targets": "first", "without_stop": "send",
    "stop_to_entry": "near", "bare_btc_prices": "satoshi", "dca_multiplier": 1.0, "market": "first minute",
}  # fmt: skip

LABELS = [
    ("long", "short", "Entry", "Entry zone", "TP", "Targets", "SL", "Leverage"),
    ("LONG", "SHORT", "Buy", "Buy zone", "Target", "Take-Profit Targets", "Stop loss", "Lev"),
    ("лонг", "шорт", "Вход", "Зона входа", "Цель", "Цели", "Стоп", "Плечо"),
    ("largo", "corto", "Entrada", "Zona de entrada", "Objetivo", "Objetivos", "Stop", "Apalancamiento"),
]


@st.composite
def orders(draw: st.DrawFn) -> Order:
    """Return a signal whose prices have few digits and stand in order."""
    side, digits = draw(st.sampled_from([1, -1])), draw(st.integers(0, 8))
    base = draw(st.integers(200, 99_999))
    steps = sorted(draw(st.sets(st.integers(1, base // 3), min_size=3, max_size=9)))
    entries = draw(st.integers(1, 2))
    if len(steps) < entries + 2:
        entries = 1
    cut = draw(st.integers(1, len(steps) - entries - 1)) if len(steps) > entries + 1 else 1
    prices = [float(f"{(base + side * step) / 10**digits:.{digits}f}") for step in steps]
    stop, inside, targets = prices[0], prices[1 : 1 + entries], prices[1 + entries :]
    del cut
    coin = draw(st.sampled_from(["BTC", "SOL", "1INCH", "NEAR", "1000PEPE", "TO", "T", "NOT"]))
    leverage = draw(st.sampled_from([None, 2.0, 10.0, 75.0]))
    return Order(coin, "USDT", side, tuple(inside), entries == 2, tuple(targets), stop, (), leverage, None, None)


def written(price: float, sign: str, *, grouped: bool) -> str:
    """Return a price as people write it."""
    text = f"{price:.10f}".rstrip("0").rstrip(".")
    whole, _, part = text.partition(".")
    if grouped:
        whole = f"{int(whole):,}".replace(",", "." if sign == "," else ",")
    return f"{whole}{sign}{part}" if part else whole


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, Order, dict[str, Any]]:
    """Return a text, the signal that it was made from, and the rules of its channel."""
    order = draw(orders())
    sign, grouped = draw(st.sampled_from([".", ","])), draw(st.booleans())
    long, short, entry, zone, target, targets, stop, lev = draw(st.sampled_from(LABELS))

    def price(one: float) -> str:
        return written(one, sign, grouped=grouped)

    colon, bar = draw(st.sampled_from([":", "", " -", " ="])), draw(st.sampled_from(["\n", " | ", "; ", "\n\n"]))
    pair = draw(st.sampled_from(["{0}/{1}", "#{0}/{1}", "{0}{1}", "#{0}{1}", "{0}-{1}"])).format(
        order.coin, order.quote
    )
    head = f"{pair} {long if order.side > 0 else short}"
    label = zone if order.is_range else entry
    inside = draw(st.sampled_from([" - ", "-", " – "])).join(price(one) for one in order.entries)
    parts = [f"{label}{colon} {inside}"]
    style = draw(st.sampled_from(["numbered", "bullets", "line", "repeated"]))
    if style == "numbered":
        parts += [f"{target}{k}{colon} {price(one)}" for k, one in enumerate(order.targets, 1)]
    elif style == "bullets":
        mark = draw(st.sampled_from([") ", ". ", ": ", "\ufe0f\u20e3 ", " - "]))
        parts.append("\n".join([f"{targets}:", *(f"{k}{mark}{price(one)}" for k, one in enumerate(order.targets, 1))]))
        bar = "\n"
    elif style == "line":
        between = draw(st.sampled_from([", ", " / ", " - ", " ", "/", " | "]))
        parts.append(f"{targets}: {between.join(price(one) for one in order.targets)}")
    else:
        parts += [f"{target} {price(one)}" for one in order.targets]
    parts.append(f"{stop}{colon} {price(order.stop or 0.0)}")
    if order.leverage is not None:
        parts.append(
            draw(st.sampled_from([f"{lev}: {order.leverage:g}x", f"{lev} {order.leverage:g}", f"{order.leverage:g}X"]))
        )
    rules = {**BASE, "decimal": draw(st.sampled_from([sign, None]))}
    return bar.join([head, *parts]), order, rules


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(made=texts())
def test_a_text_reads_back_as_its_signal_or_is_refused(made: tuple[str, Order, dict[str, Any]]) -> None:
    text, order, rules = made
    assert is_order(clean(text)), text
    try:
        found = order_of(text, ChannelRules(**rules))
    except InvalidSignalError:
        return
    assert found == order or (found == replace(order, is_range=found.is_range) and len(set(order.entries)) == 1), text


def test_most_made_texts_are_read() -> None:
    tried = read = 0

    @settings(
        max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
    )
    @given(made=texts())
    def count(made: tuple[str, Order, dict[str, Any]]) -> None:
        nonlocal tried, read
        tried += 1
        try:
            order_of(made[0], ChannelRules(**made[2]))
        except InvalidSignalError:
            return
        read += 1

    count()
    assert read > 0.5 * tried


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=300))
@example("=cmd|' /C calc'!A0")
@example("\u202eLONG BTC/USDT 1 TP 2 SL 0.5")
@example("LONG\x00BTC 1")
@example("1" * 5000)
@example("TP1" * 900)
@example("1,1" * 2000)
@example("- " * 4000)
@example("Long BTC/USDT " + "1 - " * 1500)
def test_any_text_gets_a_reading_or_a_sentence(text: str) -> None:
    rules = ChannelRules(**BASE)
    for read in (lambda: order_of(text, rules), lambda: follow_up_of(text, None, rules), lambda: is_order(clean(text))):
        assert "\n" not in sentence_of(read)


def sentence_of(read: Callable[[], Any]) -> str:
    """Return the sentence with which a text is refused; empty where it is read."""
    try:
        read()
    except InvalidSignalError as error:
        return str(error)
    return ""


TOML = """
exchange = "BINANCE"
quote = "USDT"
invest = 5
account = "SPOT"
without_stop = "send"
unchecked = "accept"
decimal = "."
timezone = "UTC"
"""
GOOD = "Long BTC/USDT entry 100 TP 110 SL 90"


def imported(folder: Path, name: str, content: str) -> Any:
    (folder / name).write_text(content, "utf-8")
    (folder / "channel.toml").write_text(TOML, "utf-8")
    return backtest(
        "channel",
        "import",
        folder / name,
        "--rules",
        folder / "channel.toml",
        "--out",
        folder / "out",
        "--store",
        folder / "store",
    )


def telegram(*texts: Any) -> str:
    messages = [
        {"id": k, "type": "message", "date_unixtime": str(1_700_000_000 + k), "text": text}
        for k, text in enumerate(texts, 1)
    ]
    return json.dumps({"type": "public_channel", "messages": messages})


def test_hostile_messages_are_refused_alone(tmp_path: Path) -> None:
    texts = [
        GOOD,
        "x1 " * 3_500_000,
        "\u202e" + GOOD,
        GOOD + "\x00",
        {"deep": 1},
        [{"type": "bold"}],
        ["a", 3],
        "=1+1",
        "+" + GOOD,
    ]
    done = imported(tmp_path, "result.json", telegram(*texts))
    assert done.status == 0, done.err
    review = (tmp_path / "out" / "review.csv").read_text("utf-8")
    assert len(review) < 100_000
    assert "where no message has more than 8,000" in review
    assert "turn the direction of text" in review
    assert "control character" in review
    assert "\x00" not in review
    assert "\u202e" not in review
    assert ",'=1+1," in review
    assert ",'+Long" in review


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("result.json", "[" * 100_000, "is no JSON"),
        ("result.json", "{", "is no JSON"),
        ("result.json", "[]", "is no export that is known"),
        ("result.json", '{"chats": {"list": []}}', "holds the whole account"),
        ("result.json", '{"messages": [{"id": 1, "date_unixtime": 5, "type": "message"}]}', "a text of seconds"),
        ("result.json", '{"messages": [{"id": "x"}]}', "has no id"),
        ("result.json", '{"messages": [{"id": 1, "type": "message"}]}', "has no date_unixtime"),
        ("result.json", '{"messages": [{"id": 1, "date_unixtime": "99999999999"}]}', "outside 2009 to 2100"),
        ("log.csv", "a,b\n1,2\n", "needs the columns time and text"),
        ("log.csv", "time,text\n2024-01-01,a,b\n", "has more cells than columns"),
        ("log.csv", "time,text\nsoon,a\n", "a time is written"),
        ("log.csv", f"id,time,text\n=1,2024-01-01,{GOOD}\n", "an id has letters"),
        ("log.csv", f"id,time,text\n1,2024-01-01,{GOOD}\n1,2024-01-02,{GOOD}\n", "has two messages 1"),
        ("log.csv", "time,text\n2024-01-01,Good morning\n", "no signal was read"),
    ],
)
def test_a_broken_export_gets_one_sentence(tmp_path: Path, name: str, content: str, words: str) -> None:
    done = imported(tmp_path, name, content)
    assert done.status == 2
    assert words in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ('exchnge = "X"', 'Did you mean "exchange"?'),
        ("invest = -1", "invest"),
        ('dash = "both"', "dash"),
        ('ttl = "soon"', "a duration is written"),
        ("plan = [{ kind = 'break_even_at', target = 9 }]", "plan"),
        ('timezone = "Mars"', "is a name such as UTC"),
        ("x = [", "are no TOML"),
    ],
)
def test_wrong_rules_get_one_sentence(tmp_path: Path, toml: str, words: str) -> None:
    (tmp_path / "log.csv").write_text(f"time,text\n2024-01-01,{GOOD}\n", "utf-8")
    (tmp_path / "channel.toml").write_text(toml, "utf-8")
    done = backtest(
        "channel", "import", tmp_path / "log.csv", "--rules", tmp_path / "channel.toml", "--out", tmp_path / "out"
    )
    assert done.status == 2
    assert words in done.err
    assert done.err.count("\n") == 1


def test_the_printed_rules_are_rules(tmp_path: Path) -> None:
    from backtest.channel.conventions import read_rules

    printed = backtest("channel", "rules").out
    whole = printed.replace("# ", "", 1)
    lines = [line.removeprefix("# ") if " = " in line else "" for line in whole.splitlines()]
    (tmp_path / "channel.toml").write_text("\n".join(lines), "utf-8")
    rules = read_rules(tmp_path / "channel.toml")
    assert all(getattr(rules, name) is not None for name in ChannelRules.model_fields)


def test_discord_and_csv_read_as_telegram_does(tmp_path: Path) -> None:
    for name in ("telegram", "discord", "csv"):
        (tmp_path / name).mkdir()
    imported(tmp_path / "telegram", "result.json", telegram(GOOD, "Close now"))
    cards = {
        "embeds": [
            {
                "title": "Long BTC/USDT",
                "fields": [
                    {"name": "Entry", "value": "100"},
                    {"name": "TP", "value": "110"},
                    {"name": "SL", "value": "90"},
                ],
            }
        ]
    }
    discord = [
        {
            "id": "1",
            "type": "Default",
            "timestamp": "2023-11-14T22:13:21+00:00",
            "timestampEdited": None,
            "content": "",
            **cards,
        },
        {
            "id": "2",
            "type": "Reply",
            "timestamp": "2023-11-15T00:13:22+02:00",
            "content": "Close now",
            "reference": {"messageId": "1"},
        },
    ]
    done = imported(tmp_path / "discord", "log.json", json.dumps({"guild": {}, "channel": {}, "messages": discord}))
    assert done.status == 0
    assert "cannot be seen" in done.out
    rows = f'id;time;text;reply_to\n1;2023-11-14T22:13:21;"{GOOD}";\n2;1700000002;Close now;1\n'
    assert imported(tmp_path / "csv", "log.csv", rows).status == 0
    logs = [(tmp_path / name / "out" / "calls.csv").read_text("utf-8") for name in ("discord", "csv")]
    assert logs[0] == logs[1]
    assert logs[0].splitlines()[2].startswith("2023-11-14T22:13:22Z,1,cancel")
    create = (tmp_path / "telegram" / "out" / "calls.csv").read_text("utf-8").splitlines()[1]
    assert logs[0].splitlines()[1] == create
