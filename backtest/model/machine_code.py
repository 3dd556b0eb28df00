"""Machine code: functions that numba compiled, kept as objects and called without numba.

Numba and what it brings (scipy.linalg, its types, its registries) take longer to import than all the rest of a first result,
and are needed only to compile. What it compiled is therefore kept as an object file too, with a door that Python can go
through. LLVM links both in some milliseconds, and the call is that of any function written in C.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import shutil
import tempfile
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["folder_for", "function_in", "function_of", "is_compiling"]

KEPT = 4  # folders side by side: a few checkouts may share the one of the user
METH_FASTCALL = 0x80
SUM, LENGTH = 32, 8  # bytes at the head of a file
_GIVES = {
    "none": ("ptr", ""),
    "int64": ("i64", "PyLong_FromLongLong"),
    "float64": ("double", "PyFloat_FromDouble"),
}
"""What a function gives: as LLVM sees it, and what makes an object of it."""

_held: list[Any] = []  # what was linked stays: functions lie in it


class _Method(ctypes.Structure):
    """A ``PyMethodDef`` (https://docs.python.org/3/c-api/structures.html#c.PyMethodDef)."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("door", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


def is_compiling() -> bool:
    """Whether functions are compiled at all: ``NUMBA_DISABLE_JIT`` turns it off."""
    return os.environ.get("NUMBA_DISABLE_JIT", "0") in {"", "0"}


def folder_for(beside: Path, family: str, key: str) -> Path | None:
    """Return the folder that keeps what was compiled from some content, made if need be, or None where none can be written.

    As numba does: where ``NUMBA_CACHE_DIR`` says, else beside the source, else in the user's own.

    Parameters
    ----------
    beside
        The folder of the source.
    family, key
        What it is, and which version of it: the oldest versions of a family are removed.
    """
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "numba"
    for root in (os.environ.get("NUMBA_CACHE_DIR"), beside / "__pycache__", user):
        if not root:
            continue
        folder = Path(root) / f"{family}-{key}"
        try:
            known = folder.is_dir()
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        if not known:
            _forget_old(folder, family)
        return folder
    return None


def function_in(source: Path, function: Callable[..., Any], takes: Sequence[str]) -> Callable[..., Any]:
    """Return a function compiled, and kept in a folder named by the content of the file of which alone it is made.

    Parameters
    ----------
    source
        That file.
    function
        As Python knows it.
    takes
        As :func:`function_of` has them.
    """

    def make() -> tuple[Any, Sequence[str]]:
        from numba import njit

        compiled: Any = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False)  # type: ignore[call-overload]
        return compiled(function), takes

    key = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    return function_of(function.__name__, folder_for(source.parent, source.stem, key), make)


def _forget_old(folder: Path, family: str) -> None:
    """Remove what was compiled from earlier contents, but the newest few: other checkouts may use them."""
    made = []
    for other in folder.parent.glob(f"{family}-*"):
        with contextlib.suppress(OSError):  # another process may remove it as well
            made.append((other.stat().st_mtime, other))
    for _, other in sorted(made)[:-KEPT]:
        shutil.rmtree(other, ignore_errors=True)


def function_of(name: str, folder: Path | None, make: Callable[[], tuple[Any, Sequence[str]]]) -> Callable[..., Any]:
    """Return a compiled function as one that Python can call; other threads run meanwhile.

    Parameters
    ----------
    name
        Its name in ``folder``.
    folder
        That keeps it, as :func:`folder_for` gives it, or None for nowhere.
    make
        Imports numba; returns the function as ``njit`` made it, without wrappers, and the numba types of its arguments:
        ``int64``, ``boolean`` or a ``CPointer``, for which an address is given. It raises nothing, and gives a whole
        number, a float or nothing.

    Raises
    ------
    SystemError
        From the function returned, if what was compiled raised all the same.
    """
    file = None if folder is None else folder / f"{name}-{_machine()}.o"
    found = None if file is None else _read(file)
    if found is None:
        found = _compiled(*make())
        if file is not None:
            _write(file, *found)
    return _linked(name, *found)


@cache
def _machine() -> str:
    """Return a name for the processor and the compiler: neither runs the code of another."""
    from llvmlite import binding as llvm

    words = [llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()]
    words += [version("numba"), version("llvmlite")]
    words += sorted(f"{k}={v}" for k, v in os.environ.items() if k.startswith("NUMBA_") and k != "NUMBA_CACHE_DIR")
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


def _read(file: Path) -> tuple[bytes, bytes] | None:
    """Return door and code, or None if they are not there as they were written: LLVM ends the process over half a file."""
    try:
        data = file.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(data[SUM:]).digest() != data[:SUM]:
        return None
    start = SUM + LENGTH
    end = start + int.from_bytes(data[SUM:start], "little")
    return data[start:end], data[end:]


def _write(file: Path, door: bytes, code: bytes) -> None:
    data = len(door).to_bytes(LENGTH, "little") + door + code
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    with contextlib.suppress(OSError):  # a full disk: it is compiled again next time
        part.write_bytes(hashlib.sha256(data).digest() + data)
        part.replace(file)


def _compiled(function: Any, takes: Sequence[str]) -> tuple[bytes, bytes]:
    """Return the object of a door, and of what numba compiled now or keeps."""
    from llvmlite import binding as llvm
    from numba import types

    signature = tuple(eval(word, vars(types)) for word in takes)  # noqa: S307 - CPointer(float64), from this package
    found = _kept_by_numba(function, signature)
    if found is None:
        function.compile(signature)
        found = function.overloads[signature]._reduce()  # noqa: SLF001 - as it would be kept
    (_, _, (code, _)), description = found[:2]
    module = llvm.parse_assembly(_door(description.llvm_func_name, takes, str(description.restype)))
    machine = _target()
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    return machine.emit_object(module), code


def _kept_by_numba(function: Any, signature: tuple[Any, ...]) -> Any:
    """Return what numba keeps: machine code, description and more; taking it up as numba does would lose the code."""
    kept = function._cache  # noqa: SLF001
    if not hasattr(kept, "_cache_file"):  # it keeps nothing
        return None
    return kept._cache_file.load(kept._index_key(signature, function.targetctx.codegen()))  # noqa: SLF001


def _door(inside: str, takes: Sequence[str], gives: str) -> str:
    """Return, for LLVM, a function that takes objects of Python and goes through to what was compiled.

    It is called as ``METH_FASTCALL`` says, and calls as numba does: a place for the value, one for what was raised, then
    the arguments; what comes back says whether it went well (0, or -2 for None).
    """
    kind, made = _GIVES[gives]
    given = [{"int64": "i64", "boolean": "i8"}.get(one, "ptr") for one in takes]
    read = []
    for k, one in enumerate(given):
        read += [f"%p{k} = getelementptr ptr, ptr %given, i64 {k}", f"%o{k} = load ptr, ptr %p{k}"]
        if one == "i8":
            read += [f"%n{k} = call i32 @PyObject_IsTrue(ptr %o{k})", f"%a{k} = trunc i32 %n{k} to i8"]
        elif one == "i64":
            read += [f"%a{k} = call i64 @PyLong_AsLongLong(ptr %o{k})"]
        else:
            read += [f"%n{k} = call i64 @PyLong_AsLongLong(ptr %o{k})", f"%a{k} = inttoptr i64 %n{k} to ptr"]
    between = "\n          "
    types = "".join(f", {one}" for one in given)
    values = "".join(f", {one} %a{k}" for k, one in enumerate(given))
    give = ["call void @Py_IncRef(ptr @_Py_NoneStruct)", "ret ptr @_Py_NoneStruct"]
    if made:
        give = [f"%r = load {kind}, ptr %value", f"%o = call ptr @{made}({kind} %r)", "ret ptr %o"]
    return f"""
        @_Py_NoneStruct = external global i8
        declare void @Py_IncRef(ptr)
        declare void @PyErr_BadArgument()
        declare void @PyErr_BadInternalCall()
        declare ptr @PyErr_Occurred()
        declare i32 @PyObject_IsTrue(ptr)
        declare i64 @PyLong_AsLongLong(ptr)
        declare ptr @PyLong_FromLongLong(i64)
        declare ptr @PyFloat_FromDouble(double)
        declare ptr @PyEval_SaveThread()
        declare void @PyEval_RestoreThread(ptr)
        declare i32 @"{inside}"(ptr, ptr{types})

        define ptr @door(ptr %self, ptr %given, i64 %count) {{
        start:
          %value = alloca {kind}
          %failure = alloca ptr
          %right = icmp eq i64 %count, {len(given)}
          br i1 %right, label %read, label %wrong
        wrong:
          call void @PyErr_BadArgument()
          ret ptr null
        read:
          {between.join(read)}
          %raised = call ptr @PyErr_Occurred()
          %sound = icmp eq ptr %raised, null
          br i1 %sound, label %inside, label %refused
        refused:
          ret ptr null
        inside:
          %thread = call ptr @PyEval_SaveThread()
          %status = call i32 @"{inside}"(ptr %value, ptr %failure{values})
          call void @PyEval_RestoreThread(ptr %thread)
          switch i32 %status, label %failed [ i32 0, label %done i32 -2, label %done ]
        failed:
          call void @PyErr_BadInternalCall()
          ret ptr null
        done:
          {between.join(give)}
        }}
    """


@cache
def _target() -> Any:
    """Return this machine, for LLVM."""
    from llvmlite import binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(opt=2, codemodel="jitdefault", jit=True)


def _linked(name: str, door: bytes, code: bytes) -> Callable[..., Any]:
    """Return the function behind a door."""
    from llvmlite import binding as llvm

    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target())
    for one in (code, door):
        engine.add_object_file(llvm.ObjectFileRef.from_data(one))
    engine.finalize_object()
    method = _Method(name.encode(), engine.get_function_address("door"), METH_FASTCALL, None)
    _held.extend((engine, method))
    made = ctypes.pythonapi.PyCFunction_NewEx
    made.restype, made.argtypes = ctypes.py_object, (ctypes.POINTER(_Method), ctypes.c_void_p, ctypes.c_void_p)
    function: Callable[..., Any] = made(ctypes.byref(method), None, None)
    return function
