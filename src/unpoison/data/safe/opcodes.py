"""Opcodes of a pickle, which tell what it holds. Nothing is built, so this is safe and quick for detection."""

from __future__ import annotations

import pickletools
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

HEAD = 65_536  # bytes that detection looks at
_PICTURE = "PIL.Image.Image"
_ARRAYS = ("_reconstruct", "_frombuffer", "_rebuild_tensor_v2")
_LEAD = ("PROTO", "FRAME", "MARK", "BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE")


@dataclass
class Outline:
    """The start of a pickle.

    Args:
        top: its first object: `list`, `dict`, `array` (also a tensor), or empty. A tuple counts as its first item.
        storages: how many times it refers to data outside itself, as files of torch do for every tensor.
        texts: the texts and names in it.
    """

    top: str = ""
    storages: int = 0
    texts: set[str] = field(default_factory=set)

    @property
    def has_pictures(self) -> bool:
        """Whether Pillow images are among its contents."""
        return _PICTURE in self.texts or {"PIL.Image", "Image"} <= self.texts


def outline_pickle(path: Path) -> Outline:
    """The outline of a pickle; empty if it is none."""
    try:
        with open(path, "rb") as file:
            return outline_bytes(file.read(HEAD))
    except OSError:
        return Outline()


def outline_torch(path: Path) -> Outline:
    """The outline of what `torch.save` wrote; empty if it is none, or one from before torch 1.6."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            if archive.getinfo(names[0]).compress_type != zipfile.ZIP_STORED:  # torch never packs
                return Outline()
            with archive.open(names[0]) as file:
                return outline_bytes(file.read(HEAD))
    # NotImplementedError: a compression that zipfile does not know. What is wrong, the reader itself says.
    except (OSError, IndexError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError):
        return Outline()


def outline_bytes(head: bytes) -> Outline:
    """The outline of a pickle of which this is the beginning; empty if it is none."""
    found = Outline()
    try:
        for opcode, argument, _ in pickletools.genops(head):
            text = argument.replace(" ", ".") if isinstance(argument, str) and opcode.name == "GLOBAL" else argument
            if isinstance(text, str):
                found.texts.add(text)
            found.storages += opcode.name in ("BINPERSID", "PERSID")
            if not found.top and opcode.name not in _LEAD:
                found.top = _top(opcode.name, text)
    except (ValueError, IndexError, KeyError, UnicodeDecodeError, OverflowError, RecursionError, MemoryError):
        pass  # the head ends within an opcode, or this is no pickle
    return found


def _top(opcode: str, text: object) -> str:
    if opcode in ("EMPTY_LIST", "LIST"):
        return "list"
    if opcode in ("EMPTY_DICT", "DICT"):
        return "dict"
    named = isinstance(text, str) and (text.endswith(_ARRAYS) or text.startswith("numpy."))
    return "array" if named else "other"
