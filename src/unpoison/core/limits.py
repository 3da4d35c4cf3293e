"""Limits on what a stranger's file may make us take: one for each kind, here and nowhere else.

Together they keep what a small file can do below 2 GB of memory and a few seconds a picture.
"""

from __future__ import annotations

PICTURES = 10_000_000
"""Pictures of a set, because each takes a name and a size in memory before anything is computed."""

CLASSES = 1_000_000
"""Classes of a set, because a single label that claims more would name them all."""

PICTURE_PIXELS = 50_000_000
"""Pixels of a picture, because decoding and purifying one takes up to 40 bytes for each of them."""

PICTURE_SIDE = 65_535
"""Pixels of a picture's side, because decoders keep something for each row; JPEG can hold no more either."""

PICTURE_BYTES = 256 * 2**20
"""Bytes of an encoded picture, because the largest takes no more without any packing."""

PICTURE_PASSES = 500_000_000
"""Pixels of a JPEG times its scans, because each scan goes over all of them."""

PICTURE_HEADER = 64 * 2**10
"""Bytes before the pixels of a PPM, because Pillow reads its comments byte by byte."""

UNPACKED_ROOM = 64 * 2**20
"""Bytes that any file may unpack to, because black pictures pack a thousandfold."""

UNPACKED_RATIO = 100
"""How many times its own size a file may unpack to beyond that, because pictures pack at most a few times."""

ARCHIVE_BYTES = 2**30
"""Bytes of the pictures in a .tar.gz, because it is read from end to end and they are held in memory."""

PICKLE_BYTES = 8 * 2**30
"""Bytes of a pickle, because it is held in memory whole."""

NAME_BYTES = 250
"""Bytes of a folder's or a file's name without extension, because file systems hold 255."""

PATH_BYTES = 2000
"""Bytes of a path below a set's folder, because systems hold 4096 with all that lies above."""

TEXT_LENGTH = 4096
"""Characters of an id or of a class's name, because arrays of text give each as much room as the longest takes."""

TEXT_BYTES = 16 * 2**20
"""Bytes of a text file beside a set, because it holds names, one a line."""

LABEL_BYTES = 2**20
"""Bytes of a label in a file of its own, because it holds one number or name."""
