"""Image folders: `class/name.png`, with any folders below the class."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from unpoison.core.errors import DataError, SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.limits import TEXT_BYTES
from unpoison.data.format import Format, choose_split, note_unread
from unpoison.data.pictures.codec import SUFFIXES
from unpoison.data.pictures.files import OWN_FILES, PictureFiles, list_others
from unpoison.data.safe.plain_files import check_link, read_plain
from unpoison.data.writer import Writer, check_name

# One class a line. Written where sorting the folders would not give back the classes and their order.
CLASS_FILE = "class_names.txt"
_SPLITS = frozenset({"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"})


def read_folder(path: Path, split: str | None) -> ImageSet:
    """Read a folder of class folders; `#name` reads the folder `name` in it.

    The class is the first folder, the id the path without extension, and the order that of torchvision's ImageFolder:
    classes, then folders, then file names with their extension, so that what others keep by row fits. Files that are
    no pictures, lie outside a class folder, or start with a dot as they are or by their folder, are left alone. Where
    all folders are called like splits, they are splits: `train` is read if none is named.

    Raises:
        DataError: a class has no pictures, or two differ in extension only.
        UnsafeFileError: a link leads out of the folder.
        SettingsError: there are splits without `train`, and none was named.
    """
    root = path if split is None else path / split
    folders = _list_folders(root)
    chosen, unread = choose_folder(path, folders) if split is None else (None, [])
    if chosen is not None:
        root = path / chosen
        folders = _list_folders(root)
    class_names = order_classes(root / CLASS_FILE, _read_class_file(root), folders)
    files: list[str] = []
    others = list_others(root)
    for folder in folders:
        found, left = _list_pictures(root, root / folder)
        if not found:
            raise DataError(root / folder, "the class folder holds no pictures", "Remove it or fill it")
        files += sorted(found, key=os.path.split)
        others += left
    index = {class_name: label for label, class_name in enumerate(class_names)}
    image_set = PictureFiles(root, files, [index[file.split("/")[0]] for file in files], class_names, others=others)
    image_set.notes += note_unread(root.name, unread)
    image_set.format = "folder"
    return image_set


def _list_folders(root: Path) -> list[str]:
    if not root.is_dir():
        raise DataError(root, "there is no such folder", "Name a folder that holds one folder per class")
    folders = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not folders:
        loose = sum(Path(name).suffix.lower() in SUFFIXES for name in list_others(root))
        what = f"it holds {loose} pictures, but" if loose else "it holds"
        raise DataError(
            root,
            f"{what} no class folders",
            "Sort the pictures into one folder per class; if they have none, all into one folder in it",
        )
    return folders


def choose_folder(path: Path, folders: list[str]) -> tuple[str | None, list[str]]:
    """Where all folders of a set are called like splits: the one to read if none is named, and the others.

    Raises:
        SettingsError: `train` is not among them.
    """
    if not folders or any(folder.lower() not in _SPLITS for folder in folders):
        return None, []
    train = next((folder for folder in folders if folder.lower() == "train"), None)
    chosen = choose_split(path, train, (*folders,))
    return chosen, [folder for folder in folders if folder != chosen]


def order_classes(path: Path, text: bytes | None, folders: list[str]) -> list[str]:
    """Names of the classes in their order.

    Args:
        path: of the file that gives it, for messages.
        text: its contents, a name a line; None if there is none, and the folders are taken as they are.
        folders: that hold pictures.

    Raises:
        DataError: it does not name all folders, or one twice, or is not UTF-8.
    """
    if text is None:
        return folders
    try:
        class_names = text.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(path, f"the file cannot be read ({error})", "Remove it to sort the classes by name") from None
    missing = sorted(set(folders) - set(class_names))
    if missing or len(set(class_names)) != len(class_names):
        problem = f"it does not name the folder '{missing[0]}'" if missing else "it names a class twice"
        raise DataError(path, problem, "Correct it, or remove it to sort the classes by name")
    return class_names


def _read_class_file(root: Path) -> bytes | None:
    path = root / CLASS_FILE
    if not path.is_file():
        return None
    check_link(root, path)
    return read_plain(path, TEXT_BYTES)


def _list_pictures(root: Path, folder: Path) -> tuple[list[str], list[str]]:
    """Paths of the pictures and of the other files below one class folder, relative to the root."""
    found: list[str] = []
    others: list[str] = []
    check_link(root, folder)
    for parent, folders, names in os.walk(folder, onerror=_raise):
        for name in folders:
            check_link(root, Path(parent, name))
        inside = Path(parent).relative_to(root)
        hidden = any(part.startswith(".") for part in inside.parts)
        for name in names:
            is_picture = os.path.splitext(name)[1].lower() in SUFFIXES and not hidden and not name.startswith(".")
            (found if is_picture else others).append((inside / name).as_posix())
    return found, others


def _raise(error: OSError) -> None:
    raise error  # else pictures in a folder that cannot be listed would be missing without a word


class FolderWriter(Writer):
    """Writes PNG files. An id that starts with its class is the path; any other goes below its class."""

    stores_png = True

    @classmethod
    def check(cls, target: Path, source: ImageSet) -> None:
        super().check(target, source)
        if (source.labels < 0).any():
            raise SettingsError(
                f"{source.name} has pictures without label, which have no class folder; write .npz or numbered"
            )
        for class_name in source.class_names:
            unfit = "/" in check_name(source, class_name, "class name") or class_name != class_name.strip()
            if unfit or class_name.startswith(".") or class_name in OWN_FILES:
                raise SettingsError(f"the class '{class_name}' cannot be one folder; write .npz or .parquet")
        if source.class_names != source.distinct_names:
            twin = next(name for name in source.class_names if source.class_names.count(name) > 1)
            raise SettingsError(
                f"{source.name} has several classes '{twin}', which cannot be one folder; rename them, or write .npz "
                "or .parquet"
            )
        if all(name.lower() in _SPLITS for name in source.class_names):
            raise SettingsError(f"{source.name} has classes that would be read as splits; write .npz")
        taken: set[str] = set()
        for row, image_id in enumerate(source.ids):
            check_name(source, image_id, "id")
            inside = _path_inside(source, row)
            if inside in taken or any(part.startswith(".") for part in inside.split("/")):
                raise SettingsError(
                    f"{source.name}: the picture '{image_id[:80]}' would be hidden, or lie where another does, "
                    f"as {inside[:80]}; write .npz or .parquet"
                )
            taken.add(inside)
        if folder := next((path for path in taken if not taken.isdisjoint(_above(path))), None):
            raise SettingsError(f"{source.name}: '{folder[:80]}' would lie in a folder that is a picture; write .npz")

    def _begin(self) -> None:
        names = self.source.class_names
        self.temporary.mkdir()
        if sorted(names[label] for label in np.unique(self.source.labels)) != list(names):
            (self.temporary / CLASS_FILE).write_text("".join(f"{name}\n" for name in names), encoding="utf-8")

    def _store(self, row: int, picture: bytes) -> None:
        path = self.temporary / _path_inside(self.source, row)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as file:  # two ids that make one path must not overwrite each other
            file.write(picture)


def _path_inside(source: ImageSet, row: int) -> str:
    """Where a picture lies in the folder."""
    image_id, class_name = source.ids[row], source.class_names[source.labels[row]]
    inside = image_id if image_id.startswith(f"{class_name}/") else f"{class_name}/{image_id}"
    return f"{inside}.png"


def _above(path: str) -> list[str]:
    """The folders that a path goes through, the nearest last."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


FORMAT = Format(claims=lambda path: path.is_dir(), read=read_folder, writer=FolderWriter)
