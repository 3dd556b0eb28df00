"""The cycle collector beside closes: it looks while nothing waits, or where memory would grow, and is given back after."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from backtest.live.collector import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator


class Knot:
    """Refers to itself, so that only the collector can let it go."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def knot() -> weakref.ref[Knot]:
    return weakref.ref(Knot())


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as found:
        assert not gc.isenabled()
        yield found
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_it_looks_while_nothing_waits(collector: Collector, knot: weakref.ref[Knot]) -> None:
    collector.rest()
    assert knot() is not None, "for a few objects it does not begin"
    more = [[k] for k in range(2_000)]
    collector.passed()
    assert knot() is not None
    collector.rest()
    assert knot() is None
    assert len(more) == 2_000


def test_it_looks_where_so_much_is_new_that_it_must(collector: Collector, knot: weakref.ref[Knot]) -> None:
    more = [[k] for k in range(100_000)]
    collector.passed()
    assert knot() is None
    assert len(more) == 100_000


def test_an_error_gives_it_back() -> None:
    with pytest.raises(RuntimeError, match="over"), Collector():
        raise RuntimeError("over")
    assert gc.isenabled()
