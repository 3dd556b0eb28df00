"""Candles as text in any form: what is read equals the truth, or the file is refused; never something else."""

from __future__ import annotations

import gzip
import io
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.errors import BacktestError, InvalidCandlesError, InvalidSettingError
from backtest.model.candles import Candles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

HOUR = 3_600_000
DATES: dict[str, Callable[[int], str]] = {
    "ISO": lambda ms: at(ms).strftime("%Y-%m-%dT%H:%M:%SZ"),
    "blank": lambda ms: at(ms).strftime("%Y-%m-%d %H:%M:%S"),
    "minutes": lambda ms: at(ms).strftime("%Y-%m-%d %H:%M"),
    "zone": lambda ms: at(ms + 2 * HOUR).strftime("%Y-%m-%d %H:%M:%S+02:00"),
    "slashes": lambda ms: at(ms).strftime("%Y/%m/%d %H:%M:%S"),
    "compact": lambda ms: at(ms).strftime("%Y%m%d %H%M%S"),
    "digits": lambda ms: at(ms).strftime("%Y%m%d%H%M%S"),
    "day first": lambda ms: at(ms).strftime("%d/%m/%Y %H:%M"),
    "month first": lambda ms: at(ms).strftime("%m/%d/%Y %H:%M"),
    "points": lambda ms: at(ms).strftime("%d.%m.%Y %H:%M:%S.000"),
    "names": lambda ms: at(ms).strftime("%b %d, %Y %H:%M"),
    "clock of 12": lambda ms: at(ms).strftime("%Y-%m-%d %I:%M %p"),
    "hours": lambda ms: at(ms).strftime("%Y-%m-%d %I-%p"),
    "s": lambda ms: str(ms // 1000),
    "ms": str,
    "us": lambda ms: str(ms * 1000),
    "ns": lambda ms: str(ms * 10**6),
    "s as float": lambda ms: f"{ms / 1000:.1f}",
    "spreadsheet": lambda ms: f"{ms / 86_400_000 + 25_569:.6f}",
    "units mixed": lambda ms: str(ms if ms // HOUR % 2 else ms * 1000),
    "year of two digits": lambda ms: at(ms).strftime("%d/%m/%y %H:%M"),
}


def at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


@dataclass(frozen=True)
class Form:
    """How a table is written."""

    date: str
    apart: bool
    delimiter: str
    decimal: str
    thousands: str
    encoding: str
    ending: str
    header: bool
    packing: str
    newest_first: bool


FORMS = st.builds(
    Form,
    date=st.sampled_from(list(DATES)),
    apart=st.booleans(),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    decimal=st.sampled_from([".", ","]),
    thousands=st.sampled_from(["", "", ",", ".", " ", "'"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"]),
    ending=st.sampled_from(["\n", "\r\n", "\r"]),
    header=st.booleans(),
    packing=st.sampled_from(["", "", ".gz", ".zip"]),
    newest_first=st.booleans(),
).filter(lambda form: form.decimal != form.thousands)


@st.composite
def truths(draw: st.DrawFn) -> Candles:
    """A few hours of any day, at prices and volumes of any size and number of decimals."""
    n = draw(st.integers(1, 40))
    start = draw(st.integers(1_262_304_000_000 // HOUR, 1_893_456_000_000 // HOUR)) * HOUR
    size, places = draw(
        st.sampled_from([(1e-6, 9), (1.0, 4), (42.0, 3), (42_000.0, 2), (42_000.0, 0), (1_234_567.0, 1)])
    )
    dice = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps = dice.uniform(0.9, 1.1, (n, 4)) * size
    open_, close = (np.round(column, places) for column in steps.T[:2])
    high = np.maximum(np.round(steps[:, 2], places), np.maximum(open_, close))
    low = np.minimum(np.round(steps[:, 3], places), np.minimum(open_, close))
    volume = np.round(
        dice.uniform(0.0, draw(st.sampled_from([9.0, 9_000.0, 9e6])), n), draw(st.sampled_from([0, 3, 8]))
    )
    low, open_, close, high = (np.maximum(column, 10.0**-places) for column in (low, open_, close, high))
    return Candles("BTC/USDT", "1h", start + HOUR * np.arange(n), open_, high, low, close, volume)


def number(value: float, form: Form) -> str:
    text = f"{value:,.9f}".rstrip("0").rstrip(".") if value else "0"
    whole, point, rest = text.partition(".")
    return whole.replace(",", form.thousands) + (form.decimal if point else "") + rest


def written(candles: Candles, form: Form) -> bytes:
    rows = [["Date", "Time"] if form.apart else ["Date"]] if form.header else []
    rows = [[*rows[0], "Open", "High", "Low", "Close", "Volume"]] if rows else []
    columns = (candles.time, candles.open, candles.high, candles.low, candles.close, candles.volume)
    body = []
    for time, *values in zip(*(column.tolist() for column in columns), strict=True):
        moment = DATES[form.date](time)
        cells = moment.split(" ", 1) if form.apart and " " in moment else [moment] + [""] * form.apart
        body.append([*cells, *(number(value, form) for value in values)])
    rows += body[::-1] if form.newest_first else body
    out = io.StringIO()
    for row in rows:
        out.write(form.delimiter.join(f'"{cell}"' if form.delimiter in cell else cell for cell in row) + form.ending)
    return out.getvalue().encode(form.encoding)


def packed(data: bytes, form: Form) -> bytes:
    if form.packing == ".gz":
        return gzip.compress(data)
    if form.packing == ".zip":
        whole = io.BytesIO()
        with zipfile.ZipFile(whole, "w") as archive:
            archive.writestr("BTC_USDT-1h.csv", data)
        return whole.getvalue()
    return data


@settings(deadline=None, max_examples=200)
@given(candles=truths(), form=FORMS)
def test_what_is_read_is_the_truth_or_refused(
    candles: Candles, form: Form, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file: Path = tmp_path_factory.mktemp("text") / f"BTC_USDT-1h.csv{form.packing.replace('.zip', '')}"
    file = file.with_name("BTC_USDT-1h.zip") if form.packing == ".zip" else file
    file.write_bytes(packed(written(candles, form), form))
    try:
        read = Candles.from_csv(file)
    except (InvalidCandlesError, InvalidSettingError) as refusal:
        sentence = str(refusal)
    else:
        same(read, candles)
        return
    assert "\n" not in sentence
    assert file.name in sentence


def same(read: Candles, truth: Candles) -> None:
    assert read.time.tolist() == truth.time.tolist()
    for name in ("open", "high", "low", "close", "volume"):
        got, wanted = getattr(read, name), [float(f"{value:.9f}") for value in getattr(truth, name).tolist()]
        assert got.tolist() == wanted, name


PLAIN: dict[str, Any] = {
    "date": "blank", "apart": False, "delimiter": ",", "decimal": ".", "thousands": "", "encoding": "utf-8", "ending": "\n",
    "header": True, "packing": "", "newest_first": False,
}  # fmt: skip


def test_the_usual_forms_are_read_and_not_refused(tmp_path: Path) -> None:
    n = np.arange(400)
    price = np.round(42_000 + 100 * np.sin(n), 2)
    made = Candles(
        "BTC/USDT", "1h", 1_704_067_200_000 + HOUR * n, price, price + 1, price - 1, price, np.round(6 + n / 7, 3)
    )
    unusual = {"spreadsheet", "year of two digits"}
    forms: list[dict[str, Any]] = [{"date": name} for name in DATES if name not in unusual]
    forms += [{"date": name, "apart": True} for name in ("blank", "compact", "day first", "points", "clock of 12")]
    forms += [{"header": False, "date": name} for name in ("s", "ms", "us", "ns", "blank", "compact")]
    forms += [{"delimiter": each} for each in ";\t|"] + [{"delimiter": ";", "decimal": ","}, {"decimal": ","}]
    forms += [{"thousands": each} for each in (",", " ", "'")] + [{"delimiter": ";", "decimal": ",", "thousands": "."}]
    forms += [{"encoding": each} for each in ("utf-8-sig", "utf-16", "utf-16-le", "cp1252")]
    forms += [{"ending": each} for each in ("\r\n", "\r")] + [{"packing": each} for each in (".gz", ".zip")]
    for changes in forms:
        form = Form(**{**PLAIN, **changes})
        file = tmp_path / ("BTC_USDT-1h.zip" if form.packing == ".zip" else f"BTC_USDT-1h.csv{form.packing}")
        file.write_bytes(packed(written(made, form), form))
        try:
            same(Candles.from_csv(file), made)
        except BacktestError as refusal:
            raise AssertionError(changes) from refusal
