"""Readers and writers of image sets, and safe loading of strangers' files."""

from unpoison.data.bad_pictures import bad_pictures_together, set_bad_aside
from unpoison.data.delivery import refuse_existing
from unpoison.data.listed import only_listed, without_listed
from unpoison.data.pictures.resizing import resize
from unpoison.data.reading import detect_format, read
from unpoison.data.sources import read_history
from unpoison.data.writing import check_writable, default_format, open_writer, stores_png, write

__all__ = [
    "bad_pictures_together",
    "check_writable",
    "default_format",
    "detect_format",
    "only_listed",
    "open_writer",
    "read",
    "read_history",
    "refuse_existing",
    "resize",
    "set_bad_aside",
    "stores_png",
    "without_listed",
    "write",
]
