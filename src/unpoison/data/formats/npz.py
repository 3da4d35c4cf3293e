"""NumPy archives: ours (`images`, `labels`, `class_names`, `ids`) and AVATAR's (`data`, `targets`)."""

from __future__ import annotations

import zipfile
from functools import partial
from pathlib import Path

import numpy as np

from unpoison.core.errors import DataError, SettingsError
from unpoison.core.images import ArrayImageSet, ImageSet, check_count
from unpoison.core.notes import Note
from unpoison.data.format import Format, is_file, refuse_split
from unpoison.data.labels import LABEL_NAMES, Labels, read_labels
from unpoison.data.safe.archives import open_zip, read_member
from unpoison.data.safe.npy import Header, check_text, read_header
from unpoison.data.writer import Writer

_PICTURES = ("images", "data")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date a zip can hold: equal sets give equal bytes


def read_npz(path: Path, split: str | None) -> ImageSet:
    """Read a set from an npz; grey arrays [N, H, W] or [N, H, W, 1] become RGB.

    Labels may have any of the names in `LABEL_NAMES`; arrays of other names are left alone.
    """
    refuse_split(path, split)
    arrays = read_arrays(path, (*_PICTURES, *LABEL_NAMES, "class_names", "ids"))
    pictures = next((name for name in _PICTURES if name in arrays), None)
    if pictures is None:
        raise DataError(path, "it has no array 'images' or 'data'", "Store uint8 [N, H, W, 3] under that name")
    images = arrays[pictures]
    if images.ndim == 3 and images.shape[2] in (3, 4):
        raise DataError(
            path,
            f"its '{pictures}' {list(images.shape)} look like one picture, not like a set",
            "Store [1, H, W, 3]; grey pictures of that width as [N, H, W, 1]",
        )
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise DataError(
            path, f"the pictures are {images.dtype} {list(images.shape)}", "Store them as uint8 [N, H, W, 3]"
        )
    check_count(path.name, len(images))
    grey = images.shape[3] == 1
    found = next((name for name in LABEL_NAMES if name in arrays), None)
    labels = _labels(path, None if found is None else arrays[found], len(images), _texts(path, arrays, "class_names"))
    image_set = ArrayImageSet(
        np.repeat(images, 3, axis=3) if grey else images,
        labels.numbers,
        class_names=labels.class_names,
        ids=_texts(path, arrays, "ids"),
        name=path.name,
        mode="L" if grey else "RGB",
    )
    image_set.format = "npz"
    left = sorted(set(_list_arrays(path)) - {pictures, found, "class_names", "ids"})
    image_set.notes = labels.notes + ((Note.of("arrays left alone", left),) if left else ())
    return image_set


def _labels(path: Path, stored: np.ndarray | None, count: int, class_names: list[str] | None) -> Labels:
    if stored is None:
        return Labels(np.full(count, -1), class_names or ())
    if stored.ndim == 2 and stored.shape[1] == 1:
        stored = stored[:, 0]
    if stored.ndim == 0:
        raise DataError(path, "the labels are one value", "Store them as int64 [N]")
    values = stored if stored.dtype.kind in "iu" and stored.ndim == 1 else stored.tolist()
    return read_labels(path, values, class_names=class_names)


def _list_arrays(path: Path) -> list[str]:
    with open_zip(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def read_arrays(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Some arrays of an npz, those that are there. No pickle is read, no more memory taken than the file vouches for.

    Args:
        path: the file.
        names: the arrays wanted.

    Returns:
        Read-only arrays by name.

    Raises:
        DataError: the archive or an array is broken.
        UnsafeFileError: an array holds objects, or the archive looks like a bomb.
    """
    with open_zip(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
        wanted = {name: members[f"{name}.npy"] for name in names if f"{name}.npy" in members}
        headers = {
            name: read_header(partial(archive.open, member), member.file_size, path, record=name)
            for name, member in wanted.items()
        }
        return {name: _read_member(archive, member, headers[name], path) for name, member in wanted.items()}


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, header: Header, path: Path) -> np.ndarray:
    data = read_member(archive, member.filename, path)
    if len(data) != member.file_size:  # the archive itself may lie
        raise DataError(path, "the array is cut short", "Fetch it again", record=member.filename.removesuffix(".npy"))
    if header.size == 0:
        return np.zeros(header.shape, header.dtype)
    array = np.frombuffer(data, header.dtype, offset=header.offset).reshape(header.shape, order=header.order)
    try:
        check_text(array)
    except ValueError as error:
        name = member.filename.removesuffix(".npy")
        raise DataError(path, f"it holds {error}", "Write it again with numpy.savez", record=name) from None
    return array


def _texts(path: Path, arrays: dict[str, np.ndarray], name: str) -> list[str] | None:
    if name not in arrays:
        return None
    if arrays[name].ndim != 1 or arrays[name].dtype.kind != "U":
        raise DataError(path, "it must be a list of text", "Store a NumPy array of strings", record=name)
    texts: list[str] = arrays[name].tolist()
    return texts


class NpzWriter(Writer):
    """Writes our npz, uncompressed and streamed; it holds RGB of one size, so transparency is dropped."""

    @classmethod
    def check(cls, target: Path, source: ImageSet) -> None:
        super().check(target, source)
        source.check_headers()
        if len(np.unique(source.sizes, axis=0)) > 1:
            raise SettingsError(
                f"{source.name} holds pictures of several sizes, which .npz cannot; write .parquet or a folder"
            )

    def _begin(self) -> None:
        sizes = np.unique(self.source.sizes, axis=0)
        height, width = sizes[0].tolist() if len(sizes) else (0, 0)
        self._shape = (height, width, 3)
        self._transparent = 0
        self._archive = zipfile.ZipFile(self.temporary, "w")
        self._images = self._archive.open(_member("images"), "w", force_zip64=True)
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(self.source), *self._shape)}
        np.lib.format.write_array_header_1_0(self._images, header)

    def _store(self, row: int, array: np.ndarray) -> None:
        self._transparent += array.shape[2] % 2 == 0
        rgb = array[..., :3] if array.shape[2] >= 3 else np.repeat(array[..., :1], 3, axis=2)
        if rgb.shape != self._shape:
            raise ValueError(f"row {row} is {list(rgb.shape)}, expected {list(self._shape)}")
        self._images.write(np.ascontiguousarray(rgb).data)

    def _finish(self) -> None:
        self._images.close()
        for name, values in (
            ("labels", self.source.labels),
            ("class_names", np.array(self.source.class_names, np.str_)),
            ("ids", np.array(self.source.ids, np.str_)),
        ):
            with self._archive.open(_member(name), "w") as file:
                np.lib.format.write_array(file, values, allow_pickle=False)
        self._archive.close()
        if self._transparent:
            self.notes += (Note("pictures whose transparency .npz cannot hold, left out", self._transparent),)

    def _release(self) -> None:
        if hasattr(self, "_archive"):  # not so where `_begin` refused the set
            try:
                self._images.close()
            finally:  # else it would try again when it is collected, and complain
                self._archive.close()


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
    member.create_system = 3  # otherwise it says on which system it was written
    return member


FORMAT = Format(claims=lambda path: is_file(path, ".npz"), read=read_npz, writer=NpzWriter)
