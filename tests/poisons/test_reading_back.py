"""Trigger and target, written beside a manifest and read again."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from unpoison.core.errors import DataError, SettingsError
from unpoison.poisons.crafting import poison, write_poisoned
from unpoison.poisons.protocol import Target, Trigger
from unpoison.poisons.reading_back import read_attack

DELTA = np.random.default_rng(0).uniform(-0.06, 0.06, (16, 16, 3)).astype(np.float32)
NAMES = ("c0", "c1", "c2")
FACTS = {"target_class": 2, "mode": "add", "top": 0, "left": 0}


@pytest.fixture
def written(make_set, tmp_path):
    """The manifest of a set that says it carries a trigger and a target, with both beside it."""

    def write(target: str = "bad.npz", *, mixture: bool = False):
        image_set = make_set(12)
        result = poison(image_set, "urp")
        ((name, part),) = result.parts.items()
        picture = Target(image_set.images[3], true_class=0, intended_class=1, index=7)
        part = replace(part, trigger=Trigger(DELTA, 2), target=picture)
        told = {"trigger": FACTS, "target": {"index": 7, "true_class": 0, "intended_class": 1}}
        facts = result.step.facts | ({"target": None, "narcissus": told} if mixture else told)
        step = result.step.model_copy(update={"facts": facts})
        write_poisoned(replace(result, parts={name: part}, step=step), image_set, tmp_path / target)
        folder = tmp_path / target
        return folder / "manifest.json" if folder.is_dir() else tmp_path / f"{target}.manifest.json"

    return write


@pytest.mark.parametrize(("target", "mixture"), [("bad.npz", False), ("bad", False), ("bad.npz", True)])
def test_what_was_written_comes_back(written, make_set, target, mixture):
    trigger, picture = read_attack(written(target, mixture=mixture), NAMES)
    assert np.array_equal(trigger.delta, DELTA)
    assert (trigger.delta.dtype, trigger.target_class, trigger.mode) == (np.float32, 2, "add")
    assert np.array_equal(picture.image, make_set(12).images[3])
    assert (picture.true_class, picture.intended_class, picture.index) == (0, 1, 7)


def test_an_attack_without_either_has_none(make_set, tmp_path):
    write_poisoned(poison(make_set(12), "urp"), make_set(12), tmp_path / "bad.npz")
    assert read_attack(tmp_path / "bad.npz.manifest.json", NAMES) == (None, None)


class Spy:
    """Leaves a trace if a pickle of it is ever loaded."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


@pytest.mark.parametrize(
    ("delta", "message"),
    [
        (np.array([Spy()], dtype=object), "Python objects"),
        (DELTA[..., :1], r"float32 \[16, 16, 1\]"),
        ((255 * DELTA).astype(np.int16), r"int16 \[16, 16, 3\]"),
        (np.where(DELTA > 0.05, np.nan, DELTA), "not finite"),
    ],
)
def test_bad_triggers_are_refused(written, delta, message):
    path = written()
    np.save(path.with_name("bad.npz.trigger.npy"), delta, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        read_attack(path, NAMES)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', ", None])
def test_broken_triggers_are_refused(written, content):
    path = written()
    trigger = path.with_name("bad.npz.trigger.npy")
    trigger.write_bytes(trigger.read_bytes()[:-4] if content is None else content)
    with pytest.raises(DataError, match=r"trigger.npy: the array is broken \(.+\)"):
        read_attack(path, NAMES)


def test_a_header_cannot_take_memory_that_the_file_does_not_hold(written):
    path = written()
    with open(path.with_name("bad.npz.trigger.npy"), "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6, 3)}
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(DataError, match="the array is broken"):
        read_attack(path, NAMES)


def test_missing_and_broken_files_are_named(written):
    path = written()
    path.with_name("bad.npz.target.npy").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"bad.npz.target.npy: the array is broken"):
        read_attack(path, NAMES)
    path.with_name("bad.npz.target.npy").unlink()
    with pytest.raises(DataError, match=r"target.npy: the manifest tells of it, and it is not there"):
        read_attack(path, NAMES)
    with pytest.raises(DataError, match="there is no such manifest"):
        read_attack(path.with_name("other.manifest.json"), NAMES)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("trigger", {**FACTS, "target_class": -1}, "target_class"),
        ("trigger", {**FACTS, "mode": "multiply"}, "mode"),
        ("trigger", "yes", "what it says of the attack is wrong"),
        ("target", {"index": 1}, "true_class"),
    ],
)
def test_a_manifest_that_was_tampered_with(written, name, value, message):
    path = written()
    manifest = json.loads(path.read_text())
    manifest["steps"][0]["facts"][name] = value
    path.write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=message):
        read_attack(path, NAMES)


def test_a_set_that_was_not_poisoned(written):
    path = written()
    manifest = json.loads(path.read_text())
    manifest["steps"][0]["action"] = "purify"
    path.write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="tells of no poison"):
        read_attack(path, NAMES)


def test_classes_are_numbered_like_those_of_the_classifier(written):
    trigger, target = read_attack(written(), ("c2", "c1", "other", "c0"))
    assert (trigger.target_class, target.true_class, target.intended_class) == (0, 3, 1)
    with pytest.raises(SettingsError, match="pictures of c2, but the classes of the classifier are c0, c1"):
        read_attack(written("other.npz"), ("c0", "c1"))


def test_beside_class_folders_lies_no_picture(written):
    """`load_dataset("imagefolder")` would take it for one more row, and drop the labels."""
    beside = [path.suffix for path in written("bad").parent.iterdir() if path.is_file()]
    assert sorted(beside) == [".json", ".npy", ".npy"]
