"""Delimited: text tables as programs and spreadsheets write them, every cell as text, every row with its line."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from backtest.errors import InvalidCandlesError, InvalidSettingError
from backtest.market_data.frame import plain_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

__all__ = ["Sheet", "read_delimited"]

_HEAD_LINES = 60
_NAMED_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_ORDER = ("time", "open", "high", "low", "close", "volume")


class Sheet(NamedTuple):
    """A table of text, the line of each row as an editor counts, and what stands above the rows."""

    frame: pd.DataFrame
    line: Callable[[int], int]
    symbol: str


class _Form(NamedTuple):
    """How a text is laid out: delimiter, names of the columns, and the number of lines above the rows."""

    delimiter: str
    names: list[str]
    above: int
    symbol: str


def read_delimited(data: bytes, name: str, columns: Mapping[str, str]) -> Sheet:
    """Return a text table: UTF-8 or UTF-16, separated by comma, semicolon, tab or bar, with a header or without.

    Without a header the columns are time (or date and time), open, high, low, close, volume.

    Parameters
    ----------
    data
        The file's bytes, unpacked.
    name
        What messages call it.
    columns
        Names by which a header is recognised too.

    Raises
    ------
    InvalidSettingError
        For something that is no such table.
    InvalidCandlesError
        For a line with more or fewer cells than the others.
    """
    text = _decoded(data, name)
    lines = text[: 1 << 18].split("\n")[:_HEAD_LINES]
    form = _form(lines, name, columns)
    body = "\n".join(text.split("\n", form.above)[form.above :]) if form.above else text
    return _parsed(body, form, name)


def _decoded(data: bytes, name: str) -> str:
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        coding = "utf-16"
    elif b"\0" in data[:4000]:
        coding = "utf-16-le" if data[1:2] == b"\0" else "utf-16-be"
    else:
        coding = "utf-8-sig"
    try:
        text = data.decode(coding)
    except UnicodeDecodeError:
        if coding != "utf-8-sig":
            raise InvalidSettingError(f"candles file {name} cannot be read: it is no text") from None
        text = data.decode("cp1252", errors="replace")
    if "\0" in text[:4000]:
        raise InvalidSettingError(f"candles file {name} cannot be read: it is no text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _form(lines: Sequence[str], name: str, columns: Mapping[str, str]) -> _Form:
    filled = [(number, line) for number, line in enumerate(lines) if line.strip()]
    if not filled:
        raise InvalidSettingError(f"candles file {name} cannot be read: it is empty")
    told = re.fullmatch(r"(?i)sep=(.)\s*", filled[0][1])
    delimiters = [told[1]] if told else list("\t;|,")
    filled = filled[1:] if told else filled
    for delimiter in delimiters:
        for number, line in filled[:20]:
            cells = _cells(line, delimiter)
            if _is_header(cells, columns):
                return _with_more(lines, number, cells, delimiter, name)
    for delimiter in delimiters:
        number, line = filled[0] if filled else (0, "")
        cells = _cells(line, delimiter)
        if len(cells) >= 5 and re.match(r"\d", cells[0]):
            apart = len(cells) >= 6 and re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?|\d{6}", cells[1]) is not None
            names = ["date", *_ORDER] if apart and not re.search(r":", cells[0]) else list(_ORDER)
            return _Form(
                delimiter, [*names[: len(cells)], *(f"column {k}" for k in range(len(names), len(cells)))], number, ""
            )
    number, line = filled[0] if filled else (0, "")
    raise InvalidSettingError(
        f"candles file {name} cannot be read: line {number + 1} was {line.strip()[:80]!r}; it needs a line with the names of "
        "the columns (time, open, high, low, close, volume), separated by comma, semicolon or tab, or --columns says them"
    )


def _cells(line: str, delimiter: str) -> list[str]:
    row: list[str] = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    return [cell.strip() for cell in row]


def _is_header(cells: Sequence[str], columns: Mapping[str, str]) -> bool:
    found = {plain_name(cell) for cell in cells}
    wanted = {plain_name(part) for told in columns.values() for part in told.split("+")}
    if wanted and wanted <= found and len(found) >= 5:
        return True
    prices = {name for name in found if re.search(r"open|high|low|close", name)} | (found & {"o", "h", "l", "c"})
    return len(prices) >= 2 and len(cells) >= 3


def _with_more(lines: Sequence[str], number: int, names: list[str], delimiter: str, name: str) -> _Form:
    """Return the form, with the further lines that yfinance writes under its header."""
    above, symbol = number + 1, ""
    for line in lines[number + 1 : number + 4]:
        cells = _cells(line, delimiter)
        if cells[:1] == ["Ticker"]:
            found = list(dict.fromkeys(cell for cell in cells[1:] if cell))
            if len(found) > 1:
                raise InvalidCandlesError(
                    f"{name} holds {len(found)} symbols ({', '.join(found[:3])}): give one file for each"
                )
            symbol = found[0] if found else ""
        elif cells[:1] in (["Date"], ["Datetime"]) and not any(cells[1:]):
            names = [cells[0], *names[1:]]
        else:
            break
        above += 1
    rows = [_cells(line, delimiter) for line in lines[above : above + 5] if line.strip()]
    if rows and all(len(row) == len(names) + 1 and not row[-1] for row in rows):
        names = [*names, "column behind the last delimiter"]
    return _Form(delimiter, names, above, symbol)


def _parsed(body: str, form: _Form, name: str) -> Sheet:
    import pandas as pd
    import pyarrow as pa
    from pyarrow import csv as arrow

    wrong: list[Any] = []

    def handle(row: Any) -> str:
        if row.text.strip():
            wrong.append(row)
        return "skip"

    ids = [str(position) for position in range(len(form.names))]
    lines = [number for number, line in enumerate(body.split("\n")) if line.strip()]
    frame = pd.DataFrame(columns=ids, dtype="str")
    if lines:
        try:
            table = arrow.read_csv(
                pa.BufferReader(body.encode()),
                arrow.ReadOptions(column_names=ids, block_size=1 << 24, use_threads=False),
                arrow.ParseOptions(delimiter=form.delimiter, invalid_row_handler=handle),
                arrow.ConvertOptions(
                    column_types=dict.fromkeys(ids, pa.string()), strings_can_be_null=True, null_values=[""]
                ),
            )
        except pa.ArrowException as error:
            raise InvalidSettingError(
                f"candles file {name} cannot be read: its rows are no table of {_NAMED_DELIMITERS.get(form.delimiter, form.delimiter)}-"
                f"separated cells ({str(error).splitlines()[0][:100]})"
            ) from None
        frame = table.to_pandas()
    if wrong:
        row = wrong[0]
        number = next((k for k, line in enumerate(body.split("\n")) if line == row.text), 0)
        raise InvalidCandlesError(
            f"{name} line {form.above + number + 1} has {row.actual_columns} cells where there are {row.expected_columns} "
            f"columns, separated by {_NAMED_DELIMITERS.get(form.delimiter, repr(form.delimiter))}: {row.text.strip()[:80]!r}"
        )
    empty = frame.isna().all(axis=1).to_numpy() if len(frame) else np.zeros(0, bool)
    kept = np.flatnonzero(~empty)
    frame = frame.iloc[kept].reset_index(drop=True) if empty.any() else frame
    frame.columns = pd.Index(form.names)

    def line(row: int) -> int:
        return form.above + lines[int(kept[row])] + 1

    _refuse_second_header(frame, form, name, line)
    return Sheet(frame, line, form.symbol)


def _refuse_second_header(frame: pd.DataFrame, form: _Form, name: str, line: Callable[[int], int]) -> None:
    for position, header in enumerate(form.names):
        if plain_name(header) in {"close", "high"}:
            again = (frame.iloc[:, position] == header).fillna(value=False).to_numpy()
            if again.any():
                raise InvalidCandlesError(
                    f"{name} line {line(int(np.argmax(again)))} repeats the names of the columns: remove that line, as where "
                    "files were put one after another"
                )
