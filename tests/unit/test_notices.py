"""Notices reach everyone who subscribed, and nobody who listens can hold up or stop what he listens to."""

from __future__ import annotations

import json
import threading

from backtest.live.notices import Notice, NoticeKind, Notices
from backtest.market_data.series import Series


def tell(notices: Notices, count: int) -> None:
    for number in range(count):
        notices.tell(NoticeKind.SILENT, number, f"number {number}")


def test_each_subscriber_hears_all_in_order() -> None:
    heard: tuple[list[Notice], list[Notice]] = ([], [])
    with Notices() as notices:
        for one in heard:
            notices.subscribe(one.append)
        tell(notices, 100)
    assert [notice.time for notice in heard[0]] == list(range(100))
    assert heard[0] == heard[1]


def test_a_subscriber_that_raises_goes_on_and_harms_nobody() -> None:
    heard: list[int] = []

    def take(notice: Notice) -> None:
        heard.append(notice.time)
        raise RuntimeError("out of order")

    with Notices() as notices:
        notices.subscribe(take)
        tell(notices, 3)
    assert heard == [0, 1, 2]


def test_one_that_hangs_holds_nobody_up_and_is_told_what_it_lost() -> None:
    gate, began = threading.Event(), threading.Event()
    slow: list[Notice] = []
    quick: list[Notice] = []

    def hang(notice: Notice) -> None:
        slow.append(notice)
        began.set()
        gate.wait()

    with Notices() as notices:
        notices.subscribe(hang, most=5)
        notices.subscribe(quick.append)
        tell(notices, 1)
        assert began.wait(20.0)
        tell(notices, 20)
        gate.set()
    assert [notice.time for notice in quick] == [0, *range(20)]
    assert [notice.kind for notice in slow][:2] == [NoticeKind.SILENT, NoticeKind.DROPPED]
    assert slow[1].sentence == "15 older notices were left out: whoever takes them is too slow"
    assert [notice.time for notice in slow[2:]] == list(range(15, 20))


def test_the_end_does_not_wait_for_one_that_hangs_for_ever() -> None:
    never = threading.Event()
    with Notices(patience=0.01) as notices:
        notices.subscribe(lambda _: never.wait())
        tell(notices, 1)
    never.set()


def test_the_last_ones_are_kept_for_whoever_asks_later() -> None:
    notices = Notices()
    series = (Series("binance", "BTC/USDT", "1h"),)
    notices.tell(NoticeKind.CLOCK, 5, "two\nlines", series, over=True)
    tell(notices, 600)
    found = notices.since()
    assert [number for number, _ in found] == list(range(102, 602))
    assert notices.since(601) == []
    notices.tell(NoticeKind.CLOCK, 5, "two\nlines", series, over=True)
    ((number, last),) = notices.since(601)
    assert number == 602
    assert json.loads(json.dumps(last.to_dict())) == {
        "kind": "clock",
        "time": 5,
        "sentence": "two lines",
        "series": [{"exchange": "binance", "symbol": "BTC/USDT", "timeframe": "1h"}],
        "over": True,
    }
