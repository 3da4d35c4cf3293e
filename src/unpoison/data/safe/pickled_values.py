"""Stand-ins for the few things a stranger's pickle may build. None runs foreign code or takes unbounded memory.

A pickle can call whatever it can name, with any arguments, and set attributes on the result. So it is never handed
a real constructor, only these: they check their arguments, draw on a budget, and are sealed against being altered.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import numpy as np
from PIL import Image

from unpoison.core.picture import Picture
from unpoison.data.pictures.codec import check_pixels, to_picture
from unpoison.data.safe.npy import check_text

_BANDS = {"1": 0, "L": 1, "LA": 2, "P": 1, "RGB": 3, "RGBA": 4, "CMYK": 4}  # bytes a pixel; "1" packs 8 in a byte


class Budget:
    """How many bytes a pickle may still make us take, beyond those it holds."""

    def __init__(self, limit: int):
        self._left = limit

    def spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ValueError("it builds far more than the file holds")


class Call:
    """One callable that a pickle may name; sealed, as a pickle could otherwise set attributes on it."""

    __slots__ = ("_budget", "_function")
    _budget: Budget
    _function: Any

    def __init__(self, function: Any, budget: Budget):
        object.__setattr__(self, "_function", function)
        object.__setattr__(self, "_budget", budget)

    def __call__(self, *args: Any) -> Any:
        return self._function(self._budget, *args)

    def __setattr__(self, name: str, value: Any) -> None:
        raise ValueError("it alters a function")


class _Sealed(type):
    def __setattr__(cls, name: str, value: Any) -> None:
        raise ValueError("it alters a class")


class ArrayType(metaclass=_Sealed):
    """Stands for the class `numpy.ndarray`, which pickles only name as an argument."""

    def __new__(cls, *args: Any) -> ArrayType:
        raise ValueError("it calls numpy.ndarray")


class PickledDtype(metaclass=_Sealed):
    """Stands for a dtype of plain numbers or text while it is being built."""

    __slots__ = ("dtype",)

    def __init__(self, code: str):
        self.dtype = np.dtype(code)
        if self.dtype.kind not in "biufcSU" or not 0 < self.dtype.itemsize <= 2**16:
            raise ValueError(f"an array of dtype {self.dtype}, which is not plain numbers")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order, *structure = state[1:5]
        if any(part is not None for part in structure) or order not in ("|", "<", ">", "="):
            raise ValueError("a structured dtype")
        self.dtype = self.dtype.newbyteorder(order)


class PickledArray(np.ndarray, metaclass=_Sealed):
    """An array whose contents arrive after it is made; nothing is taken for its shape that the file does not hold."""

    budget: Budget

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, raw = state
        checked = _checked_array(self.budget, raw, dtype, shape, "F" if fortran else "C")
        whole = (1, checked.shape, checked.dtype, bool(fortran), checked.tobytes("A"))
        super().__setstate__(whole)  # type: ignore[arg-type]  # the stub wants NumPy's bool, the code Python's


class PickledDict(OrderedDict[Any, Any], metaclass=_Sealed):
    """An ordered dict; what else is said of it, as torch notes versions of layers, is passed over."""

    def __setstate__(self, state: Any) -> None:
        """Takes nothing: attributes could hide the methods of the dict."""

    def __reduce__(self) -> tuple[Any, ...]:
        return OrderedDict, (list(self.items()),)  # what is read may be stored again


class PickledPicture(Picture, metaclass=_Sealed):
    """A picture that was pickled as a Pillow image."""

    budget: Budget

    def __init__(self) -> None:
        """Takes nothing: the contents come with the state, and some protocols do not call this at all."""

    def __new__(cls) -> PickledPicture:
        picture = super().__new__(cls)
        Picture.__init__(picture, np.zeros((0, 0, 3), np.uint8))
        return picture

    def __setstate__(self, state: list[Any]) -> None:
        _, mode, (width, height), palette, data = state[:5]
        raw = _as_bytes(data)
        check_pixels(width, height, "Pillow image")
        expected = (width + 7) // 8 * height if mode == "1" else width * height * _BANDS[mode]
        if min(width, height) < 1 or len(raw) != expected:
            raise ValueError(f"a picture of {width}x{height} ({mode}) with {len(raw)} bytes")
        self.budget.spend(3 * width * height)
        image = Image.frombytes(mode, (width, height), raw)
        if mode == "P":
            image.putpalette(palette)
        picture = to_picture(image)
        for name in ("rgb", "mode", "alpha"):
            object.__setattr__(self, name, getattr(picture, name))


def picture_class(budget: Budget) -> type[PickledPicture]:
    """What stands for Pillow's classes in one pickle; a pickle may make its objects without calling anything."""

    class OfThisPickle(PickledPicture):
        pass

    type.__setattr__(OfThisPickle, "budget", budget)
    return OfThisPickle


def reconstruct(budget: Budget, *_: Any) -> np.ndarray:
    """`numpy.core.multiarray._reconstruct`: an empty array, filled by its state."""
    array = np.ndarray.__new__(PickledArray, (0,), np.uint8)
    array.budget = budget
    return array


def from_buffer(budget: Budget, raw: Any, dtype: PickledDtype, shape: tuple[object, ...], order: str) -> np.ndarray:
    """`numpy.core.numeric._frombuffer`: an array of protocol 5."""
    return _checked_array(budget, raw, dtype, shape, order)


def scalar(budget: Budget, dtype: PickledDtype, raw: Any = b"") -> Any:
    """`numpy.core.multiarray.scalar`."""
    return _checked_array(budget, raw, dtype, (), "C")[()]


def make_dtype(budget: Budget, code: Any, *_: Any) -> PickledDtype:
    """`numpy.dtype`."""
    return PickledDtype(_as_text(code))


def encode_text(budget: Budget, text: Any, encoding: Any = "latin1") -> bytes:
    """`_codecs.encode`, by which protocol 2 of Python 3 stores bytes."""
    if _as_text(encoding) not in ("latin1", "latin-1"):
        raise ValueError(f"text in the encoding {encoding!r}")
    budget.spend(len(text))
    return _as_text(text).encode("latin1")


def make_bytes(budget: Budget, *args: Any) -> bytes:
    """`bytes` and `bytearray`, from what is bytes already."""
    raw = encode_text(budget, *args) if len(args) == 2 else _as_bytes(args[0]) if args else b""
    budget.spend(len(raw))
    return bytes(raw)


def make_set(budget: Budget, values: Any = ()) -> set[Any]:
    """`set`."""
    return set(_as_values(budget, values))


def make_frozenset(budget: Budget, values: Any = ()) -> frozenset[Any]:
    """`frozenset`."""
    return frozenset(_as_values(budget, values))


def make_ordered_dict(budget: Budget, pairs: Any = ()) -> OrderedDict[Any, Any]:
    """`collections.OrderedDict`."""
    return PickledDict(_as_values(budget, pairs))


def make_instance(budget: Budget, kind: Any, *_: Any) -> PickledPicture:
    """`copyreg._reconstructor`, by which old protocols make a Pillow image."""
    if not isinstance(kind, type) or not issubclass(kind, PickledPicture):
        raise ValueError("an object of an unknown class")
    return kind()


def _checked_array(budget: Budget, stored: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(dtype, PickledDtype) or not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError("an array of unknown shape or dtype")
    raw = _as_bytes(stored)
    budget.spend(len(raw))  # each array is a copy, of bytes that others may share
    claimed = math.prod(shape) * dtype.dtype.itemsize
    if claimed != len(raw):
        raise ValueError(f"an array that claims {claimed} bytes and has {len(raw)}")
    array = np.frombuffer(raw, dtype.dtype).reshape(shape, order="F" if order == "F" else "C")
    check_text(array)
    return array


def _as_bytes(raw: Any) -> bytes:
    if isinstance(raw, str):
        return raw.encode("latin1")  # Python 2 did not tell text from bytes
    if not isinstance(raw, (bytes, bytearray)):
        raise ValueError(f"{type(raw).__name__} where bytes belong")
    return bytes(raw)


def _as_text(text: Any) -> str:
    if not isinstance(text, str):
        raise ValueError(f"{type(text).__name__} where text belongs")
    return text


def _as_values(budget: Budget, values: Any) -> Any:
    if not isinstance(values, (list, tuple, set, dict)):
        raise ValueError(f"{type(values).__name__} where a list belongs")
    budget.spend(64 * len(values))
    return values
