from __future__ import annotations

import os
import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data.conftest import assert_one_line
from unpoison.core.errors import DataError, UnpoisonError, UnsafeFileError
from unpoison.core.picture import Picture
from unpoison.data.safe.unpickle import read_pickle


def _read(tmp_path, data: bytes):
    path = tmp_path / "stranger.pkl"
    path.write_bytes(data)
    return read_pickle(path)


class _Reduce:
    """Pickles as a call of anything."""

    def __init__(self, *parts):
        self._parts = parts

    def __reduce__(self):
        return self._parts


def _same(left, right) -> bool:
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(_same(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, np.ndarray):
        # numpy may bring arrays of foreign byte order back in our own.
        return left.dtype.newbyteorder("=") == right.dtype.newbyteorder("=") and np.array_equal(left, right)
    return left == right


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_and_arrays(tmp_path, protocol):
    value = [
        {"a": 1, 2: None, "c": (1.5, True)},
        b"\x00\xff",
        b"",
        bytearray(b"xy"),
        OrderedDict([("k", 1)]),
        {1, 2},
        frozenset({3}),
        np.arange(12, dtype=np.uint8).reshape(3, 4),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(3, dtype=">i4"),
        np.array(["ab", "c"]),
        np.zeros((0, 3), np.int64),
        np.array(7),
        np.int64(5),
        np.float32(0.5),
    ]
    read = _read(tmp_path, pickle.dumps(value, protocol))
    assert _same(read, value)
    assert isinstance(read[4], OrderedDict)


def test_python_2_text_and_numpy_1_names(tmp_path):
    data = pickle.dumps(np.arange(200, dtype=np.uint8), 2).replace(b"numpy._core", b"numpy.core")
    assert np.array_equal(_read(tmp_path, data), np.arange(200))
    # {'data': 'a\xff'} as Python 2 wrote it
    assert _read(tmp_path, b"\x80\x02}U\x04dataU\x02a\xffs.") == {"data": "a\xff"}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_pillow_pictures(tmp_path, mode, protocol):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (3, 9, 3), np.uint8)).convert(mode)
    ((picture, label),) = _read(tmp_path, pickle.dumps([(image, 4)], protocol))
    assert isinstance(picture, Picture)
    assert label == 4
    assert picture.mode == mode
    assert np.array_equal(picture.rgb, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (os.system, ("touch {marker}",)),
        (eval, ("open({marker!r}, 'w')",)),
        (exec, ("open({marker!r}, 'w')",)),
        (getattr, (str, "format")),
        (open, ("{marker}", "w")),
        (print, ("hello",)),
        (np.load, ("x.npy",)),
        (np.save, ("{marker}", 1)),
        (pickle.loads, (b"N.",)),
        (type, ("x",)),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_hostile_calls_are_refused_and_not_run(tmp_path, function, arguments, protocol):
    marker = tmp_path / "executed"
    arguments = tuple(text.format(marker=str(marker)) if isinstance(text, str) else text for text in arguments)
    data = pickle.dumps({"x": [_Reduce(function, arguments)]}, protocol)
    with pytest.raises(UnsafeFileError) as caught:
        _read(tmp_path, data)
    assert_one_line(caught.value, "stranger.pkl", function.__name__, "could run code", "npz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stranger.pkl"]


HOSTILE = {
    "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0dndarray.tofile\x93.",
    "attribute of an allowed module": b"\x80\x02cnumpy\nfromfile\n.",
    "import of a module": b"\x80\x02cantigravity\nx\n.",
    "array of objects": pickle.dumps(np.array([{}, []], object)),
    "structured array": pickle.dumps(np.zeros(2, [("a", "u1")])),
    "array class called": b"\x80\x02cnumpy\nndarray\n(J\xff\xff\xff\x7ft\x85R.",
    "bytearray of a length": b"\x80\x02c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
    "set of a text": b"\x80\x02c__builtin__\nset\nX\x02\x00\x00\x00ab\x85R.",
    "other codec": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00zip\x86R.",
    "attributes set on a class": b"\x80\x02cPIL.Image\nImage\nN}X\x01\x00\x00\x00xK\x01s\x86b.",
    "attributes set on a function": b"\x80\x02cnumpy\ndtype\nN}X\x09\x00\x00\x00_functionK\x01s\x86b.",
    "dict of a class": b"\x80\x02cPIL.Image\nImage\n}X\x01\x00\x00\x00xK\x01sb.",
    "picture class called": b"\x80\x02cPIL.Image\nImage\nK\x01\x85R.",
    "huge bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"abc.",
    "huge bytearray": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"abc.",
    "huge memo": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "huge memo as text": b"Np2147483647\n.",
    "extension registry": b"\x80\x02\x82\x01.",
    "outside object": b"\x80\x02X\x01\x00\x00\x00aQ.",
    "tuples in tuples as a key": b"\x80\x02})" + b"\x85" * 1_000_000 + b"Ns.",
    "tuples in tuples by memo": b"\x80\x02})" + b"q\x00h\x00K\x010\x86" * 100_000 + b"Ns.",
    "name of several lines": b"\x80\x04\x8c\x03a\nb\x8c\x03c\nd\x93.",
    "no data": b"",
    "cut": pickle.dumps(list(range(100)))[:-20],
    "not a pickle": b"PNG and so on",
    "endless number": b"I" + b"9" * 10_000 + b"\n.",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_pickles_are_refused(tmp_path, data):
    with pytest.raises(UnsafeFileError) as caught:
        _read(tmp_path, data)
    assert_one_line(caught.value, "stranger.pkl", "npz")


def test_nested_state_is_checked(tmp_path):
    raw = pickle.dumps(np.zeros(4, np.uint8), 2)
    hostile = raw.replace(b"K\x04\x85", b"J\xff\xff\xff\x7f\x85", 1)
    assert hostile != raw
    with pytest.raises(UnsafeFileError, match="claims 2147483647 bytes and has 4"):
        _read(tmp_path, hostile)


def test_picture_that_claims_more_than_it_holds(tmp_path):
    state = ({}, "RGB", (3, 3), None, bytes(26))
    with pytest.raises(UnsafeFileError, match="3x3"):
        _read(tmp_path, pickle.dumps(_Reduce(_stand_in, (), state), 2).replace(_NAME, b"cPIL.Image\nImage\n"))
    state = ({}, "RGB", (200_000, 200_000), None, b"")
    with pytest.raises(UnsafeFileError, match="50 megapixels"):
        _read(tmp_path, pickle.dumps(_Reduce(_stand_in, (), state), 2).replace(_NAME, b"cPIL.Image\nImage\n"))


def _stand_in():
    """Named in a pickle and then replaced by a class of Pillow."""


_NAME = f"c{__name__}\n_stand_in\n".encode()


def test_memory_is_not_multiplied(tmp_path):
    # One text of a megabyte, encoded over and over: each turn costs the file a few bytes.
    text = b"X" + struct.pack("<I", 2**20) + b"a" * 2**20 + b"q\x00"
    turn = b"c_codecs\nencode\nh\x00\x85R"
    data = b"\x80\x02]" + text + b"0(" + turn * 200 + b"e."
    with pytest.raises(UnsafeFileError, match="far more than the file holds"):
        _read(tmp_path, data)


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_pickle(tmp_path / "none.pkl")


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_changed_pickles_only_raise_our_errors(tmp_path_factory, data):
    value = [(np.arange(6, dtype=np.uint8), 1), Image.new("L", (2, 2)), OrderedDict(a=b"x"), {1}]
    raw = bytearray(pickle.dumps(value, data.draw(st.sampled_from([0, 2, 4, 5]))))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.integers(0, len(raw)))]
    try:
        _read(tmp_path_factory.getbasetemp(), bytes(raw))
    except UnpoisonError as error:
        assert_one_line(error, "stranger.pkl")


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_random_bytes_only_raise_our_errors(tmp_path_factory, data):
    try:
        _read(tmp_path_factory.getbasetemp(), b"\x80\x04" + data + b".")
    except UnpoisonError as error:
        assert_one_line(error, "stranger.pkl")


@pytest.mark.parametrize(
    "turn",
    [
        b"cnumpy._core.numeric\n_frombuffer\n(h\x00h\x01J\x00\x00\x10\x00\x85X\x01\x00\x00\x00CtR",
        b"cnumpy._core.multiarray\n_reconstruct\n)R(K\x01J\x00\x00\x10\x00\x85h\x01\x89h\x00tb",
    ],
    ids=["from a buffer", "by its state"],
)
def test_one_stored_megabyte_does_not_become_many(tmp_path, turn):
    stored = b"B" + struct.pack("<I", 2**20) + bytes(2**20) + b"q\x00"
    dtype = b"cnumpy\ndtype\nX\x02\x00\x00\x00u1\x85Rq\x01"
    assert len(_read(tmp_path, b"\x80\x03](" + stored + dtype + turn + b"e.")) == 3
    with pytest.raises(UnsafeFileError, match="far more than the file holds"):
        _read(tmp_path, b"\x80\x03](" + stored + dtype + turn * 200 + b"e.")


def test_arrays_of_nothing_have_no_length(tmp_path):
    data = pickle.dumps(np.zeros(1, "S1"), 2).replace(b"X\x02\x00\x00\x00S1", b"X\x02\x00\x00\x00S0")
    with pytest.raises(UnsafeFileError, match="not plain numbers"):
        _read(tmp_path, data)


def test_methods_of_a_dict_are_not_hidden(tmp_path):
    data = b"\x80\x02ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00itemsK\x01sb."
    assert list(_read(tmp_path, data).items()) == []
