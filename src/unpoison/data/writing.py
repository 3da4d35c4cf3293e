"""Writing an image set in any format we write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path

from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.methods import load_method
from unpoison.core.notes import Note, tell
from unpoison.core.picture import note_modes
from unpoison.core.progress import OnStep, StepInfo
from unpoison.core.suggestions import suggest
from unpoison.data.delivery import hold_place, prepare_place, publish
from unpoison.data.methods import METHODS
from unpoison.data.writer import Writer

_BY_SUFFIX = {".npz": "npz", ".parquet": "parquet"}
_NOT_WRITTEN = {".pkl", ".pickle", ".pt", ".pth", ".bin", ".gz", ".tgz", ".tar", ".zip"}


def write(
    image_set: ImageSet,
    target: str | PathLike[str],
    *,
    format: str | None = None,
    files: Callable[[Sequence[Note]], Mapping[str, bytes]] | None = None,
    on_step: OnStep | None = None,
) -> Sequence[Note]:
    """Write a set; grey and transparency are kept where the format can hold them.

    Args:
        image_set: the set.
        target: file or folder to make; must not exist.
        format: `folder`, `numbered`, `npz` or `parquet`; see `default_format` if left out.
        files: makes what belongs to the set and appears together with it, such as its manifest, from what was left out;
            name to content. A file lies inside a folder under its name, beside a file X as `X.name`.
        on_step: called as the work goes on, with the number of pictures written.

    Returns:
        What the format could not hold and was left out, or was converted, which is warned of too.

    Raises:
        RunError: the target exists, or another process is writing it, or the disk is full; nothing is left behind.
        SettingsError: the format cannot be written.
        DataError: a picture is broken; nothing is left behind.
    """
    target = Path(target)
    modes: Counter[str] = Counter()
    check_writable(target, format, source=image_set)
    with hold_place(target) as folder:
        with open_writer(prepare_place(folder, target), format, source=image_set) as writer:
            for block in image_set.blocks():
                pictures = [image_set.picture(row) for row in block]
                modes.update(picture.mode for picture in pictures)
                writer.add(block, [picture.restore(picture.rgb) for picture in pictures])
                if on_step:
                    on_step(StepInfo(block.stop, len(image_set)))
        conversions = note_modes(modes)
        tell(image_set.name, conversions)
        notes = (*conversions, *writer.notes)
        publish(folder, target, files(notes) if files else {})
    return notes


def open_writer(
    target: str | PathLike[str],
    format: str | None,
    *,
    source: ImageSet,
) -> Writer:
    """A writer to which the pictures of a set are added in order.

    Args:
        target: file or folder to make; must not exist.
        format: name of the format; see `default_format` if None.
        source: set whose ids, labels and class names are written.

    Raises:
        RunError: the target exists.
        SettingsError: the format cannot be written.
        DataError: the set cannot be stored in this format.
    """
    target = Path(target)
    return _writer(target, format, source)(target, source)


def check_writable(target: Path, format: str | None, *, source: ImageSet) -> None:
    """Refuse what `open_writer` would refuse, before anything is computed; nothing is made.

    Args:
        target: file or folder to make.
        format: name of the format; see `default_format` if None.
        source: set whose ids, labels and class names would be written.

    Raises:
        SettingsError: the format cannot be written.
        DataError: the set cannot be stored in this format.
    """
    _writer(target, format, source).check(target, source)


def _writer(target: Path, format: str | None, source: ImageSet) -> type[Writer]:
    name = format or default_format(source.format, target)
    _check_suffix(target, name)
    if name not in METHODS:
        raise SettingsError(f"there is no format '{name}'{suggest(name, _written())}")
    writer: type[Writer] | None = load_method(METHODS, name, kind="format").writer
    if writer is None:
        raise SettingsError(f"format '{name}' is read but not written; choose from {', '.join(_written())}")
    return writer


def default_format(source_format: str, target: Path) -> str:
    """The format in which a set is written: the target's suffix decides, else folders stay folders.

    Args:
        source_format: format that the set was read from; a flat numbered folder stays one.
        target: file or folder to make.

    Raises:
        SettingsError: the suffix names a format that we do not write.
    """
    suffix = target.suffix.lower()
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    if suffix in _NOT_WRITTEN:
        raise SettingsError(f"{suffix} files are read but not written; name the target {target.stem}.npz")
    return "numbered" if source_format == "numbered" else "folder"


def _check_suffix(target: Path, name: str) -> None:
    """Refuse a target whose suffix says another format: nobody could read it under its name."""
    suffix = target.suffix.lower()
    wanted = next((ending for ending, format in _BY_SUFFIX.items() if format == name), "")
    if suffix != wanted and (suffix in _BY_SUFFIX or suffix in _NOT_WRITTEN):
        better = f"{target.stem}{wanted}" if wanted else target.stem
        raise SettingsError(f"'{target.name}' is no name for the format {name}; call it {better}")


def stores_png(format: str) -> bool:
    """Whether a format that we write stores pictures as PNG."""
    writer = load_method(METHODS, format, kind="format").writer
    return writer is not None and writer.stores_png


def _written() -> list[str]:
    return [name for name in METHODS if load_method(METHODS, name, kind="format").writer is not None]
