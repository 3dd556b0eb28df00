"""Loading a strategy from a file that the user names."""

from __future__ import annotations

from pathlib import Path

import pytest

from backtest import InvalidSettingError, Strategy
from backtest.runner.loading import load_strategy

ROOT = Path(__file__).parent.parent.parent
ONE = "from backtest import Strategy\n\n\nclass One(Strategy):\n    size: int = 3\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(ONE, "utf-8")
    return path


@pytest.mark.parametrize("path", sorted((ROOT / "strategies").glob("*.py")), ids=lambda path: path.stem)
def test_every_shipped_strategy_loads_by_its_file(path: Path) -> None:
    found = load_strategy(str(path))
    assert issubclass(found, Strategy)
    assert found().parameters
    assert load_strategy(f"{path}:{found.__name__}").__name__ == found.__name__


def test_the_only_class_needs_no_name(file: Path) -> None:
    assert load_strategy(str(file))(size=5).parameters == {"size": 5}


def test_one_of_several_classes_is_named(file: Path) -> None:
    file.write_text(f"{ONE}\n\nclass Two(One):\n    pass\n", "utf-8")
    assert load_strategy(f"{file}:Two").__name__ == "Two"
    with pytest.raises(InvalidSettingError, match=r"defines One, Two: say which, as .*mine\.py:One"):
        load_strategy(str(file))


def test_a_class_that_is_only_imported_does_not_count(file: Path) -> None:
    (file.parent / "other.py").write_text("from strategies.breakout import Breakout\n", "utf-8")
    with pytest.raises(InvalidSettingError, match=r"other\.py defines no subclass of backtest\.Strategy"):
        load_strategy(str(file.parent / "other.py"))


def test_a_changed_file_is_read_again(file: Path) -> None:
    assert load_strategy(str(file))().parameters == {"size": 3}
    file.write_text(ONE.replace("3", "40"), "utf-8")
    assert load_strategy(str(file))().parameters == {"size": 40}


def test_identity_is_class_and_parameters_and_not_the_path(file: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "named_differently.py"
    moved.parent.mkdir()
    moved.write_text(f"# a remark\n{ONE}", "utf-8")
    here, there = load_strategy(str(file)), load_strategy(str(moved))
    assert here().identity == there().identity
    assert here().source_hash == there().source_hash != ""
    assert here(size=4).identity != here().identity


def test_a_windows_style_colon_in_a_folder_is_no_class(tmp_path: Path) -> None:
    folder = tmp_path / "a:b"
    folder.mkdir()
    (folder / "mine.py").write_text(ONE, "utf-8")
    assert load_strategy(str(folder / "mine.py")).__name__ == "One"
    assert load_strategy(f"{folder / 'mine.py'}:One").__name__ == "One"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine.py:Onne", r"no strategy 'Onne'; it defines One\. Did you mean \"One\"\?"),
        ("mein.py", r"no strategy file .*mein\.py\. Did you mean \".*mine\.py\"\?"),
        ("mine.txt", r"a Python file such as strategies/breakout\.py, was '.*mine\.txt'"),
        ("nowhere/mine.py", r"no strategy file .*nowhere/mine\.py"),
        ("", r"a Python file such as strategies/breakout\.py"),
    ],
)
def test_what_is_no_strategy(name: str, message: str, file: Path) -> None:
    with pytest.raises(InvalidSettingError, match=message):
        load_strategy(f"{file.parent}/{name}")


@pytest.mark.parametrize(
    "code", ["raise ValueError('no')", "import sys; sys.exit('no')", "def (:", "import no_such_thing"]
)
def test_a_file_that_fails_is_told_with_its_reason(code: str, file: Path) -> None:
    file.write_text(code, "utf-8")
    with pytest.raises(InvalidSettingError, match=r"mine\.py fails when it is loaded: \w+(Error|Exit): "):
        load_strategy(str(file))


def test_an_error_of_ours_stays_what_it_is(file: Path) -> None:
    file.write_text(f"{ONE}\n\nOne(sise=3)\n", "utf-8")
    with pytest.raises(
        InvalidSettingError, match=r"^One has no parameter 'sise'; it has size\. Did you mean \"size\"\?$"
    ):
        load_strategy(str(file))
