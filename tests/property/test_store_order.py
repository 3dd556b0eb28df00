"""Whatever the order in which overlapping ranges arrive, the candle files hold the same bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.market_data.store import Store
from tests.unit.test_store import SERIES, add, candles

ROWS = 1000
ranges = st.lists(
    st.tuples(st.integers(0, ROWS), st.integers(0, ROWS)).map(lambda r: (min(r), max(r) + 1)), min_size=1, max_size=6
)


def files(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / SERIES.folder).glob("*.parquet")}


@given(ranges, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_any_order_of_agreeing_fetches_gives_the_same_bytes(parts: list[tuple[int, int]], dice: object) -> None:
    shuffled = list(parts)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as folder:
        roots = [Path(folder) / "a", Path(folder) / "b"]
        for root, order in zip(roots, (parts, shuffled), strict=True):
            for number, (first, last) in enumerate(order):
                add(Store(root), first, last, source=f"file:{number}")
        assert files(roots[0]) == files(roots[1])
        held = Store(roots[0]).candles(SERIES)
        rows = sorted({row for first, last in parts for row in range(first, last)})
        assert held.time.tolist() == candles(0, ROWS + 1).time[rows].tolist()
        assert Store(roots[0]).manifest(SERIES).asked == Store(roots[1]).manifest(SERIES).asked
