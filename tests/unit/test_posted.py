"""Posted: what stands beside a call log that was imported from a channel."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from backtest.errors import InvalidSettingError
from backtest.model.posted import Posted, digest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "calls.json"
    path.write_bytes(b'{"at": 1}\n')
    return path


def beside(log: Path, **changes: object) -> None:
    """Write the file as version 1 has it, number for number: what was imported last year is read next year."""
    file = {
        "format": 1,
        "sentences": ["3 messages were deleted"],
        "plan": None,
        "calls": digest(log),
        "counts": {"signal": 2},
    }
    log.with_name("channel.json").write_text(json.dumps(file | changes))


def test_the_file_of_an_import_is_read(log: Path) -> None:
    beside(log)
    posted = Posted.beside(log)
    assert posted == Posted(("3 messages were deleted",), None, digest(log), {"signal": 2})
    assert json.loads(posted.text())["format"] == 1


def test_a_log_without_one_has_none(log: Path) -> None:
    assert Posted.beside(log) is None


def test_a_log_that_was_changed_since_says_so(log: Path) -> None:
    beside(log)
    log.write_bytes(b'{"at": 1}\r\n')  # line ends aside
    assert Posted.beside(log) == Posted(("3 messages were deleted",), None, digest(log), {"signal": 2})
    log.write_bytes(b'{"at": 2}\n')
    posted = Posted.beside(log)
    assert posted is not None
    assert posted.sentences[-1] == "calls.json was changed after it was imported: these sentences are about what it was"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"format": 2}, "was not written by `backtest channel import`"),
        ({"sentences": "none"}, "lacks a part: import again"),
        ({"plan": []}, "lacks a part: import again"),
        ({"calls": None}, "lacks a part: import again"),
    ],
)
def test_another_file_is_refused(log: Path, changes: dict[str, object], sentence: str) -> None:
    beside(log, **changes)
    with pytest.raises(InvalidSettingError, match=sentence):
        Posted.beside(log)
