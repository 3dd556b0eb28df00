"""Shipping: the source text of a strategy, so that another process runs the same class without importing it by name."""

from __future__ import annotations

import ast
import hashlib
import inspect
import linecache
import math
import symtable
import sys
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from backtest.errors import BacktestError, InvalidSettingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from backtest.strategy import Strategy

__all__ = ["Shipped"]

_WAY_OUT = "put the strategy in a file of its own, or run the sweep in one process"
_MAIN = "__main__"
_PLAIN = (bool, int, float, str, bytes, tuple, list, set, dict)


@dataclass(frozen=True, slots=True)
class Shipped:
    """A strategy class as text.

    Attributes
    ----------
    name
        Of the class, qualified within its module.
    text
        Of its whole module; of a notebook or script: of the class and of what it uses.
    package
        From which the text imports relatively; empty for none.
    """

    name: str
    text: str
    package: str = ""

    @classmethod
    def of(cls, kind: type[Strategy]) -> Shipped:
        """Return the text of a class, once it was seen to make the same class again.

        Raises
        ------
        InvalidSettingError
            In one sentence, for a class that lives inside a function, whose text cannot be read or has changed, or that
            uses what text cannot say.
        """
        module = sys.modules.get(kind.__module__)
        if "<locals>" in kind.__qualname__ or module is None:
            raise _refused(kind, "it is defined inside a function")
        try:
            text = _of_main(kind) if module.__name__ == _MAIN else _of_module(module)
        except (OSError, TypeError, SyntaxError) as error:
            raise _refused(kind, f"its source text cannot be read ({error})") from None
        shipped = cls(kind.__qualname__, text, module.__package__ or "")
        again = shipped.unpacked()
        if module.__name__ != _MAIN and not _alike(kind, again):
            raise InvalidSettingError(
                f"{kind.__name__} is not what the source text of {module.__name__} says now: the text changed since it "
                "was loaded, so load it again"
            )
        return shipped

    @property
    def digest(self) -> str:
        """SHA-256 of name and text."""
        return hashlib.sha256(f"{self.name}\n{self.package}\n{self.text}".encode()).hexdigest()

    def unpacked(self) -> type[Strategy]:
        """Execute the text and return the class; once a process.

        Raises
        ------
        InvalidSettingError
            Where it does not run here, as where it imports what is not installed.
        """
        made = f"strategy_{self.digest[:16]}"
        module = sys.modules.get(made) or _executed(made, self.text, self.package)
        found: Any = module
        for name in self.name.split("."):
            found = getattr(found, name)
        kind: type[Strategy] = found
        return kind


def _executed(name: str, text: str, package: str) -> ModuleType:
    module = ModuleType(name)
    module.__file__, module.__package__ = f"<{name}>", package
    linecache.cache[module.__file__] = (len(text), None, text.splitlines(keepends=True), module.__file__)
    sys.modules[name] = module  # pydantic resolves annotations through it
    try:
        exec(compile(text, module.__file__, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - the user's strategy
    except BacktestError:
        del sys.modules[name]
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the user's code raises
        del sys.modules[name]
        raise InvalidSettingError(
            f"the strategy's source text does not run in another process ({type(error).__name__}: {error}): what it imports "
            "must be installed there, or stand in the same file"
        ) from None
    return module


def _refused(kind: type[Strategy], why: str) -> InvalidSettingError:
    return InvalidSettingError(f"{kind.__name__} cannot be sent to another process: {why}; {_WAY_OUT}")


def _of_module(module: ModuleType) -> str:
    kept = getattr(module, "__strategy_text__", None)  # as it was when it was loaded
    return kept if isinstance(kept, str) else Path(inspect.getfile(module)).read_text("utf-8")


def _alike(one: type[Strategy], two: type[Strategy]) -> bool:
    """Whether two classes have the same fields and the same code."""
    return _code_of(one) == _code_of(two) and {**one.model_fields}.keys() == {**two.model_fields}.keys()


def _code_of(kind: type) -> dict[str, Any]:
    return {
        name: (value.__code__.co_code, value.__code__.co_names, _constants(value.__code__))
        for name, value in vars(kind).items()
        if isinstance(value, FunctionType) and not name.startswith("__")
    }


def _constants(code: Any) -> list[Any]:
    return [one.co_code if hasattr(one, "co_code") else repr(one) for one in code.co_consts]


def _of_main(kind: type[Strategy]) -> str:
    """Return a class of a notebook or script, behind the imports, values, functions and classes that it uses."""
    known = vars(sys.modules[_MAIN])
    lines: list[str] = []
    seen: set[str] = set()

    def need(name: str) -> None:
        if name in seen or name not in known:
            return
        seen.add(name)
        value = known[name]
        if getattr(value, "__module__", None) == _MAIN and hasattr(value, "__qualname__"):
            text = _definition(value)
            for used in sorted(_globals(symtable.symtable(text, name, "exec"))):
                need(used)
            lines.append(text)
            return
        line = _said(name, value)
        if line is None:
            raise _refused(kind, f"it uses {name}, a {type(value).__name__} that its source text does not make")
        lines.append(line)

    if kind.__name__ not in known or known[kind.__name__] is not kind:
        raise _refused(kind, f"{kind.__name__} now names something else")
    need(kind.__name__)
    return "from __future__ import annotations\n\n" + "\n".join(lines) + "\n"


def _said(name: str, value: Any) -> str | None:
    """Return the line that makes a name, or None."""
    if isinstance(value, ModuleType):
        return f"import {value.__name__} as {name}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{name} = float('{value!r}')"
    if value is None or (type(value) in _PLAIN and _is_plain(value)):
        return f"{name} = {value!r}"
    place, inner = getattr(value, "__module__", None), getattr(value, "__qualname__", getattr(value, "_name", None))
    if isinstance(inner, str) and getattr(sys.modules.get(str(place)), inner, None) is value:
        return f"from {place} import {inner} as {name}"
    return None


def _is_plain(value: Any) -> bool:
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError):
        return False


def _globals(table: symtable.SymbolTable) -> set[str]:
    """Return the names of the module that some text uses, annotations and what is inside included."""
    top = table.get_type() == "module"
    found = {
        one.get_name()
        for one in table.get_symbols()
        if one.is_referenced() and (not one.is_assigned() if top else one.is_global())
    }
    return found.union(*map(_globals, table.get_children()))


def _definition(value: Any) -> str:
    """Return the text of a class or function at the top of a cell or script."""
    inner: Callable[..., Any] | type = getattr(value, "py_func", value)  # what numba compiled
    methods = [one for one in vars(inner).values() if isinstance(one, FunctionType)] if isinstance(inner, type) else []
    code = getattr(inner, "__code__", None) or next((one.__code__ for one in methods), None)
    if code is None:
        raise OSError(f"{value.__name__} has no method that leads to it")
    lines = linecache.getlines(code.co_filename)
    if not lines:
        raise OSError(f"there is no text of {code.co_filename}")
    for node in ast.parse("".join(lines)).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == value.__name__:
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            if first <= code.co_firstlineno <= (node.end_lineno or node.lineno):
                return "".join(lines[first - 1 : node.end_lineno])
    raise OSError(f"{value.__name__} does not stand at the top of {code.co_filename}")
