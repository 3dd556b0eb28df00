"""Long work says how far it is where somebody sees it, and writes nothing anywhere else."""

from __future__ import annotations

import sys
from io import StringIO
from typing import Any

import pytest

from backtest.model import progress as module
from backtest.model.progress import progress, tracked


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AFTER", 0.0)
    monkeypatch.setattr(module, "_EVERY", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("BACKTEST_PROGRESS", raising=False)


def work(total: int = 5) -> int:
    with progress("candles", total) as bar:
        for _ in range(total):
            bar.advance()
    return bar.done


def test_a_terminal_sees_a_bar_that_is_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    assert work() == 5
    written = screen.getvalue()
    assert "candles" in written
    assert "5 of 5" in written
    assert "a second" in written
    assert "\x1b[2K" in written  # the line is wiped


def test_what_is_no_terminal_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    assert work() == 5
    assert screen.getvalue() == ""


@pytest.mark.parametrize("total", [0, 1])
def test_one_step_needs_no_bar(total: int, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    assert work(total) == total
    assert screen.getvalue() == ""


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("BACKTEST_PROGRESS", "off")
    work()
    assert screen.getvalue() == ""


def test_without_a_standard_error_nothing_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert work() == 5


def test_a_bar_within_a_bar_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with progress("outer", 3) as bar:
        for _ in range(3):
            bar.advance()
            work()
    assert "outer" in screen.getvalue()
    assert "candles" not in screen.getvalue()
    work()
    assert "candles" in screen.getvalue()


def test_what_fails_takes_its_bar_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())

    def broken() -> None:
        for k in tracked("rows", [1, 0], 2):
            assert 1 / k

    with pytest.raises(ZeroDivisionError):
        broken()
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    work()
    assert "candles" in screen.getvalue()


def test_a_notebook_gets_its_own_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("IPython")
    import IPython
    from IPython import display

    class Shell:
        kernel = object()

    shown: list[str] = []

    class Handle:
        def update(self, what: Any) -> None:
            shown.append(str(what.data))

    monkeypatch.setattr(IPython, "get_ipython", Shell)
    monkeypatch.setattr(display, "display", lambda *_, **__: Handle())
    with progress("<b>rows</b>", 4) as bar:
        for _ in range(4):
            bar.advance()
    assert '<progress value="4" max="4"' in shown[-2]
    assert "&lt;b&gt;rows" in shown[-2]
    assert shown[-1] == ""
