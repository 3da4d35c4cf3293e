"""Strangers' pickles read without running code: an allow-list, and checks before memory is taken."""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from unpoison.core.errors import DataError, UnsafeFileError
from unpoison.core.limits import PICKLE_BYTES, UNPACKED_ROOM
from unpoison.data.safe import pickled_values as values
from unpoison.data.safe.pickled_values import Budget, Call
from unpoison.data.safe.plain_files import read_plain

_MAX_DEPTH = 1000
_REMEDY = "Ask its publisher for .npz, PNG or safetensors; do not open it with other tools"
_BROKEN = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, LookupError, OverflowError, MemoryError,
    RecursionError, ImportError, struct.error, SyntaxError,
)  # fmt: skip

_CALLS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): values.make_dtype,
    ("_codecs", "encode"): values.encode_text,
    ("builtins", "bytes"): values.make_bytes,
    ("builtins", "bytearray"): values.make_bytes,
    ("builtins", "set"): values.make_set,
    ("builtins", "frozenset"): values.make_frozenset,
    ("collections", "OrderedDict"): values.make_ordered_dict,
    ("copyreg", "_reconstructor"): values.make_instance,
    **{
        (f"numpy.{core}.{module}", name): call  # numpy 1 says core, numpy 2 _core
        for core in ("core", "_core")
        for module, name, call in (
            ("multiarray", "_reconstruct", values.reconstruct),
            ("multiarray", "scalar", values.scalar),
            ("numeric", "_frombuffer", values.from_buffer),
        )
    },
}
_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}


def read_pickle(path: Path) -> Any:
    """Read a stranger's pickle.

    Args:
        path: the file.

    Returns:
        Containers, numbers, text, bytes and numpy arrays as they are; Pillow images as `Picture`.

    Raises:
        DataError: the file is missing or broken.
        UnsafeFileError: it names anything else, or claims more memory than it holds. Nothing has been executed.
    """
    return unpickle(read_plain(path, PICKLE_BYTES), path)


def unpickle(
    data: bytes,
    file: Path,
    *,
    record: str | None = None,
    calls: Mapping[tuple[str, str], Callable[..., Any]] | None = None,
    constants: Mapping[tuple[str, str], Any] | None = None,
    persistent: Callable[[Any], Any] | None = None,
    size_outside: int = 0,
) -> Any:
    """Read a stranger's pickle from memory; see `read_pickle`.

    Args:
        data: the pickle.
        file: name for errors.
        record: member of the file that holds it, for errors.
        calls: further functions that it may call, by module and name; they take a `Budget` first.
        constants: further values that it may name.
        persistent: turns persistent ids into values, for formats that have them.
        size_outside: bytes that those values hold; they vouch for what it builds, like the bytes of the pickle itself.
    """
    try:
        _scan(data)
        budget = Budget(4 * (len(data) + size_outside) + UNPACKED_ROOM)
        loader = _Unpickler(data, file, record, calls or {}, constants or {}, persistent, budget)
        return loader.load()
    except DataError as error:
        if error.file == str(file):
            raise
        raise UnsafeFileError(file, error.problem, error.remedy, record=record) from None
    except _BROKEN as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnsafeFileError(file, f"the pickle is broken or hostile: {reason}", _REMEDY, record=record) from None


class _Unpickler(pickle.Unpickler):
    """Admits what is listed above and below, by exact name."""

    def __init__(
        self,
        data: bytes,
        file: Path,
        record: str | None,
        calls: Mapping[tuple[str, str], Callable[..., Any]],
        constants: Mapping[tuple[str, str], Any],
        persistent: Callable[[Any], Any] | None,
        budget: Budget,
    ):
        # Python 2 text may be bytes in truth; latin1 keeps every byte.
        super().__init__(io.BytesIO(data), encoding="latin1")
        self._file, self._record, self._persistent = file, record, persistent
        self._budget = budget
        self._calls, self._constants = {**_CALLS, **calls}, constants
        self._picture = values.picture_class(budget)

    def find_class(self, module: str, name: str) -> Any:
        key = (_PYTHON_2.get(module, module), name)
        if key in self._calls:
            return Call(self._calls[key], self._budget)
        if key in self._constants:
            return self._constants[key]
        if key == ("numpy", "ndarray"):
            return values.ArrayType
        if key == ("builtins", "object"):
            return None  # an argument of `_reconstructor`, unused
        if key == ("PIL.Image", "Image") or (module.startswith("PIL.") and name.endswith("ImageFile")):
            return self._picture
        raise UnsafeFileError(
            self._file,
            f"the pickle asks for '{module[:80]}.{name[:80]}', which could run code",
            _REMEDY,
            record=self._record,
        )

    def persistent_load(self, pid: Any) -> Any:
        if self._persistent is None:
            raise ValueError("it refers to objects outside itself")
        return self._persistent(pid)


def _scan(data: bytes) -> None:
    """Follow the opcodes once, without building anything, and refuse what the unpickler itself does not survive.

    It allocates for a length or a memo index before it finds that the data is missing, and hashing a key of tuples
    in tuples, however many, ends in a crash of the interpreter.
    """
    depths: list[int] = []  # per object on the stack, how many tuples lie in each other
    marks: list[int] = []
    memo: dict[int, int] = {}
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        match opcode.name:
            case "EXT1" | "EXT2" | "EXT4":
                raise ValueError("it uses the extension registry")
            case "MARK":
                marks.append(len(depths))
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                if argument is None or argument > count + 1:
                    raise ValueError(f"memo index {argument} after {count} steps")
                memo[argument] = depths[-1]
            case "MEMOIZE":
                memo[len(memo)] = depths[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                depths.append(memo[argument])  # type: ignore[index]  # these opcodes have one
            case "DUP":
                depths.append(depths[-1])
            case "POP" if marks and marks[-1] == len(depths):
                marks.pop()
            case _:
                inside = _take(opcode.stack_before, depths, marks)
                depth = 1 + max(inside, default=0) if opcode.name.startswith("TUPLE") else 0
                if depth > _MAX_DEPTH:
                    raise ValueError(f"over {_MAX_DEPTH} tuples in each other")
                depths += [depth] * len(opcode.stack_after)


def _take(wanted: list[pickletools.StackObject], depths: list[int], marks: list[int]) -> list[int]:
    """Take what an opcode takes off the stack; returns what lay above the mark, or all of it if it needs no mark."""
    below = len(wanted)
    inside: list[int] = []
    if pickletools.markobject in wanted:
        start, below = marks.pop(), wanted.index(pickletools.markobject)
        inside = depths[start:]
        del depths[start:]
    if below:
        inside += depths[-below:]
        del depths[-below:]
    return inside
