"""The public names: complete, importable, documented."""

from __future__ import annotations

import ast
import importlib
import inspect
from itertools import pairwise
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any, get_args

import pytest

import backtest


def _aliases_with_prose(module: ModuleType) -> set[str]:
    """Return the names of a module that are assigned and followed by a string that describes them."""
    body = ast.parse(Path(str(module.__file__)).read_text("utf-8")).body
    found = set()
    for node, after in pairwise(body):
        prose = (
            isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str)
        )
        if isinstance(node, ast.Assign) and prose:
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def test_the_list_is_sorted_unique_and_complete() -> None:
    assert backtest.__all__ == sorted(set(backtest.__all__))
    assert set(backtest.__all__) == set(backtest._HOME_OF) | {"indicators"}
    assert dir(backtest) == sorted(backtest.__all__)


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(str(backtest.__file__)).read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    typed = {alias.asname or alias.name: node.module for node in imports for alias in node.names}
    assert {name: home for name, home in typed.items() if name != "indicators"} == backtest._HOME_OF


@pytest.mark.parametrize("name", backtest.__all__)
def test_a_name_is_importable_and_documented(name: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"from backtest import {name}", namespace)
    value = namespace[name]
    assert value is getattr(backtest, name)
    if name == "indicators":
        assert value.__doc__
        return
    home = importlib.import_module(backtest._HOME_OF[name])
    assert name in getattr(home, "__all__", [name])
    if isinstance(value, type) or inspect.isfunction(value):
        assert value.__doc__
        assert not value.__doc__.startswith(f"{name}("), "the text that dataclass makes is none"
    elif isinstance(value, UnionType):
        assert all(part.__doc__ for part in get_args(value))
    else:
        written = importlib.import_module(f"{home.__name__}.base") if home.__name__ == "backtest.strategy" else home
        assert name in _aliases_with_prose(written), f"{name} has no sentence under its assignment"


@pytest.mark.parametrize("name", [n for n in backtest.__all__ if n not in {"Field", "indicators"}])
def test_what_a_user_may_call_is_documented_too(name: str) -> None:
    value = getattr(backtest, name)
    if not isinstance(value, type):
        return
    bare = [
        member
        for member, thing in vars(value).items()
        if not member.startswith("_")
        and (inspect.isfunction(thing) or isinstance(thing, classmethod | property))
        and not inspect.getdoc(getattr(value, member, thing))
    ]
    assert bare == []


def test_a_name_that_is_none() -> None:
    with pytest.raises(AttributeError, match=r"'backtest' has no attribute 'rnu'"):
        _ = backtest.rnu


def test_every_error_names_what_to_do_next() -> None:
    errors = [getattr(backtest, name) for name in backtest.__all__ if name.endswith("Error")]
    assert all(issubclass(error, backtest.BacktestError) for error in errors)
    assert {error.exit_status for error in errors} == {2, 3, 4}
