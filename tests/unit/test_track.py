"""Track: one series told by hand, step by step at the very instants where something begins or ends."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from backtest.live.feed_settings import FeedSettings
from backtest.live.track import Closed, Fault, Follow, Item, Revision, Track
from backtest.market_data.klines import Kline
from backtest.market_data.series import Series
from tests.shown import is_as_kept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backtest.market_data.klines import Row

HOUR = 3600.0  # all times of a story are seconds since the first close


def candle(hour: float, close: float = 10.0, volume: float = 1.0) -> Row:
    """Return the candle that opened at an hour."""
    return (round(hour * HOUR) * 1000, 10.0, 11.0, 9.0, close, volume)


class Story:
    """A track and what was told of it, a line for each step."""

    def __init__(self, title: str, *, since: float = 0.0, resumes: bool = False, **kinds: bool) -> None:
        self.lines, self._items = [f"# {title}"], list[Item]()
        follow = Follow(Series("binance", "BTC/USDT", "1h"), round(since * HOUR) * 1000)
        follow = replace(follow, resumes=True) if resumes else follow
        kinds = {"flagged": True, "pushes": True, "audits": True, **kinds}
        self.track = Track(follow, FeedSettings(), self._items.append, **kinds)

    def step(self, what: str, answer: Any = None) -> None:
        """Write down what came of a step."""
        track, found = self.track, [_told(item) for item in self._items]
        self._items.clear()
        said = [] if answer is None else [f"answers {answer}"]
        state = f"{track.phase}, next {_time(track.expected)}, asks {_time(track.ask_at)}, due {_time(track.due)}"
        self.lines.append(f"{what}: {'; '.join([*said, *found]) or 'nothing'} [{state}]")

    def open(self, at: float) -> None:
        self.track.opened(at * 1000.0)
        self.step(f"{at:.10g} connected")

    def broken(self, at: float) -> None:
        self.track.broken(at * 1000.0)
        self.step(f"{at:.10g} broken")

    def hear(self, at: float, *rows: Row, closed: bool | None = True) -> None:
        for row in rows:
            self.track.hear(Kline("BTCUSDT", "1h", row, closed), at * 1000.0)
            self.step(f"{at:.10g} hears {_row(row)}{'' if closed else ' forming' if closed is None else ' open'}")

    def answered(self, asked: float, at: float, end: float, *rows: Row, last: bool = True) -> None:
        self.track.answered(rows, round(end * HOUR) * 1000, asked * 1000.0, at * 1000.0, last=last)
        shown = " ".join(map(_row, rows))
        self.step(f"{at:.10g} REST, asked {asked:.10g} up to {end:g} h{'' if last else ' and on'}: {shown or 'none'}")

    def failed(self, at: float) -> None:
        self.track.failed("timeout", at * 1000.0)
        self.step(f"{at:.10g} REST fails")

    def asks(self, name: str, *at: float) -> None:
        for each in at:
            answer = getattr(self.track, name)(each * 1000.0)
            shown = answer if isinstance(answer, bool) or answer is None else _times(answer)
            self.step(f"{each:.10g} {name}?", shown)

    def audited(self, at: float, start: float, end: float, *rows: Row) -> None:
        self.track.audited(rows, round(start * HOUR) * 1000, round(end * HOUR) * 1000, at * 1000.0)
        self.step(f"{at:.10g} audit of {start:g} h to {end:g} h: {' '.join(map(_row, rows)) or 'none'}")


def _time(moment: float) -> str:
    return "never" if moment == math.inf else "at once" if moment == -math.inf else f"{moment / 1000.0:.10g}"


def _times(answer: float | Sequence[float]) -> str:
    return (
        f"{answer / 1000.0:.10g}"
        if isinstance(answer, int | float)
        else " to ".join(f"{one / 1000.0:.10g}" for one in answer)
    )


def _row(row: Row | None) -> str:
    return (
        "none" if row is None else f"{row[0] / 3_600_000:g}h/{row[4]:g}" + ("" if row[5] == 1.0 else f"/{row[5]:.12g}")
    )


def _told(item: Item) -> str:
    if isinstance(item, Closed):
        return f"CLOSED {_row(item.row)} by {item.source}, lag {item.lag}"
    if isinstance(item, Fault):
        return f"{item.kind.upper()} at {item.at / 1000:.10g}{' over' if item.over else ''} {item.text}".rstrip()
    assert isinstance(item, Revision)
    return f"REVISED {item.at / 1000:.10g} from {_row(item.old)} to {_row(item.new)}, lag {item.lag}"


def calm() -> Story:
    story = Story("a new series that the exchange pushes, with its flags")
    story.asks("reach", 0.0, 7199.999, 7200.0, 9000.0)
    story.open(9000.0)
    story.hear(9000.5, candle(2), closed=False)
    story.answered(9000.0, 9001.0, 2, candle(0), candle(1))
    story.asks("quiet", 7210.0, 7210.001, 10789.999, 10790.0)
    story.hear(10800.4, candle(2, 10.5))
    story.hear(10800.5, candle(2, 10.5), candle(2, 10.5, 1.0 + 1e-10), candle(2, 10.5, 1.1), candle(2, 10.5, 1.1))
    story.hear(14400.0, candle(3))
    story.hear(18000.2, candle(4.5), (14_400_000, 10.0, 9.5, 9.0, 9.2, 1.0), candle(4.0, 12.0), candle(4.0, 8.0))
    story.hear(18000.3, (14_400_000, 10.0, 11.0, 0.0, 10.0, 1.0), (14_400_000, 10.0, math.inf, 9.0, 10.0, 1.0))
    story.hear(18000.4, candle(4, 10.0, -1.0), candle(4, 10.0, math.inf), candle(4, 10.0, 0.0))
    story.hear(19801.0, candle(4.5))
    story.hear(21598.999, candle(5))
    story.hear(21599.0, candle(5))
    story.hear(25200.1, (21_600_000, 0.5, 0.5, 0.5, 0.5, 1.0))
    story.asks("reach", 32400.0)
    return story


def early() -> Story:
    story = Story("what is heard before REST answered waits for it; a market younger than asked for")
    story.hear(3599.0, candle(0), candle(0.5))
    story.open(7199.0)
    story.hear(10800.1, candle(2))
    story.answered(7199.0, 10800.2, 1, last=False)
    story.answered(10800.2, 10801.999, 3, candle(1), candle(2, 10.2))
    story.asks("tick", 18003.999, 18007.999, 18008.0)
    story.hear(18008.1, candle(4))
    story.answered(18008.2, 18008.3, 4, candle(3), candle(3.5))
    return story


def holes() -> Story:
    story = Story("a series that goes on, with a hole, a gap and no REST for a while", resumes=True)
    story.open(7300.0)
    story.answered(7300.0, 7301.0, 2, candle(1))
    story.hear(14400.5, candle(3))
    story.failed(14401.0)
    for at in (14402.0, 14404.0, 14408.0, 14416.0, 14432.0, 14464.0, 14496.0):
        story.failed(at)
    story.answered(14497.0, 14498.0, 3, last=False)
    story.answered(14498.0, 14499.0, 4, candle(2), candle(3, 10.7))
    story.answered(18004.0, 18004.1, 5)
    story.answered(18004.999, 18005.1, 5)
    story.answered(18005.0, 18005.1, 4)
    story.answered(18005.0, 18005.2, 5)
    story.answered(21601.0, 21601.999, 6, candle(5))
    story.answered(21601.5, 21602.0, 6, candle(5), candle(5.5), candle(2))
    story.broken(21700.0)
    story.hear(25200.1, candle(6))
    story.open(25201.0)
    story.track.asking = True
    story.broken(25201.5)
    story.open(25202.0)
    story.track.asking = False
    story.answered(25201.0, 25203.0, 7)
    story.answered(25203.0, 25203.5, 7)
    story.hear(28800.1, candle(8))
    story.hear(32400.1, candle(8), candle(7))
    story.track.halt("gone")
    story.step("32500 halted")
    story.open(32501.0)
    story.hear(36000.1, candle(9))
    story.answered(36002.0, 36003.0, 10, candle(9))
    story.failed(36004.0)
    story.broken(36005.0)
    story.asks("tick", 90000.0)
    return story


def unflagged() -> Story:
    story = Story("a series whose messages do not say what is closed", flagged=False)
    story.open(3600.0)
    story.answered(3600.0, 3602.0, 1, candle(0))
    story.hear(3610.0, candle(1, 10.1), candle(1, 10.2), closed=None)
    story.hear(7199.0, candle(2), closed=None)
    story.hear(7200.1, candle(2, 10.3), candle(1, 10.9), closed=None)
    story.hear(10800.1, candle(4), closed=None)
    story.hear(10800.2, candle(3), closed=None)
    story.hear(10801.0, candle(3.001), closed=None)
    story.answered(10804.0, 10804.5, 3, candle(2, 10.3))
    story.hear(14400.2, candle(4), closed=None)
    story.hear(18000.2, candle(5), closed=None)
    story.broken(18100.0)
    story.open(18200.0)
    story.answered(18202.0, 18202.5, 5)
    story.hear(18203.0, candle(5), closed=None)
    story.broken(18300.0)
    story.open(18400.0)
    story.answered(18402.0, 18402.5, 5)
    story.hear(21600.1, candle(6), closed=None)
    return story


def silence() -> Story:
    story = Story("a series that falls silent, over a connection that brings nothing")
    story.asks("tick", 3600.0)
    story.open(3600.0)
    story.answered(3602.0, 3602.5, 1, candle(0))
    story.answered(7204.0, 7204.5, 2, candle(1))
    story.asks("deaf", 10804.0)
    story.answered(10804.0, 10804.5, 3, candle(2))
    story.asks("deaf", 10803.999, 10804.0, 10804.1)
    story.answered(14404.0, 14404.5, 4, candle(3))
    story.asks("deaf", 18004.0)
    story.answered(18004.0, 18004.5, 5, candle(4))
    story.broken(18005.0)
    story.asks("deaf", 18008.0)
    story.asks("tick", 25203.999, 25204.0, 25205.0)
    story.asks("quiet", 19000.0)
    story.answered(25206.0, 25206.5, 7, candle(6))
    story.open(25210.0)
    story.answered(25210.0, 25210.5, 7)
    story.hear(28800.1, candle(7))
    story.answered(32404.0, 32404.5, 9, candle(8))
    story.asks("deaf", 36004.1)
    return story


def audits() -> Story:
    story = Story("what was acted on is compared later", resumes=True)
    story.open(3600.0)
    story.answered(3602.0, 3602.0, 1, candle(0))
    story.hear(7200.5, candle(1))
    story.asks("to_audit", 7259.999, 7260.0)
    story.audited(7261.0, 0, 1, candle(0, 10.4))
    story.hear(10800.2, candle(2))
    story.hear(14400.2, candle(3))
    story.answered(18005.0, 18005.5, 5)
    story.asks("to_audit", 7859.999, 7860.0, 14460.0, 14461.0)
    story.asks("to_audit", 18060.0)
    story.audited(18061.0, 1, 5, candle(2), candle(3, 10.0, 2.0), candle(4))
    for hour in range(5, 8):
        story.hear((hour + 1) * HOUR + 0.2, candle(hour))
    story.asks("to_audit", 28790.0, 28861.0)
    story.audited(28862.0, 5, 8, candle(5), candle(6), candle(7))
    story.asks("to_audit", 40000.0)
    story.answered(32460.0, 32460.0, 9, candle(8))
    story.asks("to_audit", 50000.0)
    story.answered(36059.0, 36059.999, 10, candle(9))
    story.asks("to_audit", 50000.0)
    return story


def just_beside_a_close() -> Story:
    return beside_a_close(50.0)


def beside_a_close(after: float = 58.0) -> Story:
    story = Story(f"no comparison begins beside a close: minutes, {after:g} s after it", resumes=True)
    settings = FeedSettings(audit_after=after, audit_every=115.0, grace=0.0, late_after=0.0)
    items: list[Item] = []
    story._items = items
    follow = Follow(Series("binance", "BTC/USDT", "1m"), 0, resumes=True)
    story.track = Track(follow, settings, items.append, flagged=True, pushes=False, audits=True)
    story.track.phase = story.track.phase.LIVE
    for minute in range(6):
        story.hear(minute * 60.0 + 60.1, candle(minute / 60.0))
        story.asks("to_audit", minute * 60.0 + 74.0, minute * 60.0 + 104.0)
        story.audited(minute * 60.0 + 106.0, 0, minute / 60.0, *(candle(k / 60.0) for k in range(minute)))
        story.asks(
            "quiet", minute * 60.0 + 70.0, minute * 60.0 + 70.001, minute * 60.0 + 109.999, minute * 60.0 + 110.0
        )
    return story


def late_start() -> Story:
    story = Story("a new series of which nothing is there yet misses what comes too late", since=1)
    story.answered(7300.0, 7300.1, 1)
    story.answered(10900.0, 10900.1, 3, candle(2))
    return story


def unaudited() -> Story:
    story = Story("without comparisons the newest 64 candles are kept for messages", audits=False, since=1)
    story.answered(3600.0, 3601.0, 1)
    story.open(3601.0)
    story.answered(3601.0, 3601.5, 1)
    for hour in range(1, 66):
        story.track.hear(Kline("BTCUSDT", "1h", candle(hour), closed=True), (hour + 1) * HOUR * 1000.0)
    story._items.clear()
    story.hear(66 * HOUR + 1.0, candle(1, 10.3), candle(2, 10.3), candle(65, 10.3), candle(0, 10.3))
    return story


@pytest.mark.parametrize(
    "tell", [calm, early, holes, unflagged, silence, audits, beside_a_close, just_beside_a_close, late_start, unaudited]
)
def test_a_track_goes_step_by_step_as_it_was_read(tell: Any) -> None:
    story: Story = tell()
    is_as_kept(f"track_{tell.__name__}.txt", "\n".join(story.lines) + "\n")
