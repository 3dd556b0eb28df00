"""Decimals: numbers as people and spreadsheets write them, read where it is plain what they mean and refused where not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.errors import InvalidCandlesError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["numbers_of"]

_POINT = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d*)?(?:[eE][+-]?\d+)?")
_COMMA = re.compile(r"[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+)?(?:,\d*)?(?:[eE][+-]?\d+)?")
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:[ '\u2019\u00a0\u202f]\d{3})+(?:[.,]\d*)?")
_MONEY = re.compile(r"^(?:[$€£₿]|USDT?|EUR)\s*|\s*(?:[$€£₿]|USDT?|EUR)$")
_MULTIPLES = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


def numbers_of(
    columns: Mapping[str, pd.Series], where: Callable[[int], str], decimal: str = ""
) -> dict[str, NDArray[np.float64]]:
    """Return columns as numbers; NaN where a cell is empty.

    Text is read as plain numbers (``1234.5``, ``1e-7``) and, where all columns together leave no other reading, with a
    decimal comma or thousands separated by commas, points, blanks or apostrophes, a currency sign, and K, M or B behind.

    Parameters
    ----------
    columns
        By name, of any kind; those of text are judged together.
    where
        Names a row in a message: ``"x.csv line 7"``.
    decimal
        ``"."`` or ``","``; empty finds it out.

    Raises
    ------
    InvalidCandlesError
        For a cell that is no number, or that could be two.
    """
    found: dict[str, NDArray[np.float64]] = {}
    texts: dict[str, Any] = {}
    for name, column in columns.items():
        values = _plain(column)
        if values is None:
            texts[name] = column
        else:
            found[name] = values
    if texts:
        written = {name: _texts(column) for name, column in texts.items()}
        cast = {name: None if decimal == "," else _cast(column) for name, column in written.items()}
        if any(values is None for values in cast.values()):
            cast = dict(_written(written, where, decimal))
        elif not decimal:
            _refuse_doubtful(written, where)
        found |= {name: values for name, values in cast.items() if values is not None}
    return {name: found[name] for name in columns}


def _plain(column: pd.Series) -> NDArray[np.float64] | None:
    """Return numbers of a column of numbers; None for another one."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return None
    if pd.api.types.is_numeric_dtype(column):
        return np.array(column.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)
    return None


def _texts(column: pd.Series) -> Any:
    """Return an Arrow array of trimmed text, null where a cell is empty."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    if pd.api.types.is_object_dtype(column):
        cells = [None if pd.isna(cell) else str(cell) for cell in column]
        texts = pa.array(cells, pa.string())
    else:
        texts = pa.array(
            column.astype(str) if not isinstance(column.dtype, pd.StringDtype) else column, from_pandas=True
        )
        texts = (
            texts.cast(pa.string())
            if not isinstance(texts, pa.ChunkedArray)
            else texts.combine_chunks().cast(pa.string())
        )
    trimmed = pc.utf8_trim_whitespace(texts)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


def _cast(texts: Any) -> NDArray[np.float64] | None:
    """Return text without any separators as numbers; None where a cell is not plain."""
    import pyarrow as pa

    try:
        cast = texts.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    return np.array(cast.to_numpy(zero_copy_only=False), dtype=np.float64)


def _refuse_doubtful(texts: Mapping[str, Any], where: Callable[[int], str]) -> None:
    """Refuse numbers whose points may all stand between thousands: ``43.150`` and ``7``, but no ``42000`` or ``43.15``."""
    import pyarrow.compute as pc

    plain = r"^[+-]?(0\.|\d*\.(\d{0,2}|\d{4,})$|\d{4,}|\.)|[eE]"
    doubt = None
    for name, column in texts.items():
        for part in (column.slice(0, 1000), column):  # nearly always the first rows tell
            if pc.any(pc.match_substring_regex(part, plain)).as_py():
                return
        pointed = pc.index(pc.match_substring(column, "."), value=True).as_py()
        if pointed >= 0 and doubt is None:
            doubt = (name, pointed)
    if doubt is not None:
        name, row = doubt
        text = texts[name][row].as_py()
        raise InvalidCandlesError(
            f"{where(row)}: column {name} holds {text!r}, which may be {text} or {text.replace('.', '')}, and nothing in the "
            "file decides: say --decimal . or --decimal , (decimal=)"
        )


def _written(texts: Mapping[str, Any], where: Callable[[int], str], decimal: str) -> dict[str, NDArray[np.float64]]:
    cells = {name: [_bare(cell, name) for cell in column.to_pylist()] for name, column in texts.items()}
    sign = decimal or _decimal_sign(cells, texts, where)
    fits, found = (_POINT if sign == "." else _COMMA), {}
    for name, column in cells.items():
        numbers = np.full(len(column), np.nan)
        for row, cell in enumerate(column):
            if cell is None:
                continue
            bare, multiple = cell
            if not fits.fullmatch(bare) or not re.search(r"\d", bare):
                raise InvalidCandlesError(
                    f"{where(row)}: column {name} holds {texts[name][row].as_py()!r}, which is no number with a decimal "
                    f"{'point' if sign == '.' else 'comma'}: repair or drop that row"
                )
            plain = bare.replace(",", "") if sign == "." else bare.replace(".", "").replace(",", ".")
            numbers[row] = float(plain) * multiple if multiple != 1.0 else float(plain)
        found[name] = numbers
    return found


def _bare(cell: str | None, name: str) -> tuple[str, float] | None:
    """Return a cell without currency, blanks between thousands and a multiple behind, and that multiple."""
    if cell is None:
        return None
    text = _MONEY.sub("", cell)
    multiple = 1.0
    if name == "volume" and text[-1:].upper() in _MULTIPLES and text[:-1][-1:].isdigit():
        text, multiple = text[:-1], _MULTIPLES[text[-1].upper()]
    if _GROUPED.fullmatch(text):
        text = re.sub(r"[ '\u2019\u00a0\u202f]", "", text)
    return text, multiple


def _decimal_sign(
    cells: Mapping[str, Sequence[tuple[str, float] | None]], texts: Mapping[str, Any], where: Callable[[int], str]
) -> str:
    """Return the decimal sign that the cells of all columns together allow.

    Raises
    ------
    InvalidCandlesError
        For a cell that is a number under neither, for two that need different ones, and where both are possible.
    """
    needs: dict[str, tuple[str, int]] = {}
    either: tuple[str, int] | None = None
    for name, column in cells.items():
        for row, cell in enumerate(column):
            if cell is None:
                continue
            point, comma = (
                bool(form.fullmatch(cell[0])) and any(map(str.isdigit, cell[0])) for form in (_POINT, _COMMA)
            )
            if not point and not comma:
                raise InvalidCandlesError(
                    f"{where(row)}: column {name} holds {texts[name][row].as_py()!r}, which is no number: repair or drop that row"
                )
            if point != comma:
                needs.setdefault("." if point else ",", (name, row))
            elif "," in cell[0] and either is None:
                either = (name, row)
    if len(needs) == 2:
        (a, first), (b, second) = needs["."], needs[","]
        raise InvalidCandlesError(
            f"{where(first)}: column {a} holds {texts[a][first].as_py()!r}, with a decimal point, but {where(second)}: column {b} holds "
            f"{texts[b][second].as_py()!r}, with a decimal comma: write all numbers in one way"
        )
    if needs:
        return next(iter(needs))
    if either is not None:
        name, row = either
        text = texts[name][row].as_py()
        raise InvalidCandlesError(
            f"{where(row)}: column {name} holds {text!r}, which may be {text.replace(',', '.')} or {text.replace(',', '')}, and "
            "nothing in the file decides: say --decimal , or --decimal . (decimal=)"
        )
    return "."
