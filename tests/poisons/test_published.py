"""Poisons in the forms in which their authors publish them, laid over a clean set."""

from __future__ import annotations

import io
import json
import os
import pickle

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from unpoison.core.errors import DataError, SettingsError, UnpoisonError, UnsafeFileError
from unpoison.core.hashing import hash_file
from unpoison.core.images import ArrayImageSet
from unpoison.core.manifest import read_manifest
from unpoison.core.notes import DataWarning
from unpoison.data import read, write
from unpoison.data.official.stl10 import CLASSES as STL10
from unpoison.data.published.bullseye_pth import MEAN, STD
from unpoison.poisons.crafting import write_poisoned
from unpoison.poisons.protocol import Trigger
from unpoison.poisons.published.alignment import verify_alignment
from unpoison.poisons.published.loading import detect_published, load_published, split_source
from unpoison.poisons.published.methods import METHODS
from unpoison.poisons.published.narcissus_npy import read_narcissus_npy, write_narcissus_npy
from unpoison.poisons.published.puregen_tree import list_poisons

COUNT, CLASSES = 60, 3
BASES = np.array([0, 3, 6, 9, 12])  # of class 0


@pytest.fixture
def clean(make_set):
    return make_set(COUNT, side=32, classes=CLASSES)


@pytest.fixture
def poisoned(clean):
    """The clean pictures with noise of up to 8 levels."""
    noise = np.random.default_rng(1).integers(-8, 9, clean.images.shape)
    return np.clip(clean.images + noise, 0, 255).astype(np.uint8)


def _floats(images):
    return images.transpose(0, 3, 1, 2).astype(np.float32) / 255


def _jpeg(images, quality=75):
    copies = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        copies.append(np.asarray(Image.open(file).convert("RGB")))
    return np.stack(copies)


def _noise(shape, seed=2):
    return (np.random.default_rng(seed).random(shape, np.float32) * 2 - 1) * np.float32(8 / 255)


def _benchmark(root, clean, poisoned, bases=BASES, target=None, labels=None):
    root.mkdir(parents=True, exist_ok=True)
    labels = clean.labels[bases] if labels is None else labels
    pairs = [(Image.fromarray(poisoned[row]), int(label)) for row, label in zip(bases, labels, strict=True)]
    target = target or (Image.fromarray(255 - clean.images[1]), 1)
    for name, value in (("poisons", pairs), ("base_indices", bases), ("target", target)):
        (root / f"{name}.pickle").write_bytes(pickle.dumps(value))
    return root


# Noise without pictures


@pytest.mark.parametrize(("quantise", "make_levels"), [("truncate", np.floor), ("round", np.rint)])
def test_em_adds_signed_noise(tmp_path, clean, quantise, make_levels):
    noise = _noise((COUNT, 3, 32, 32))
    torch.save(torch.from_numpy(noise), tmp_path / "perturbation.pt")
    result = load_published(tmp_path / "perturbation.pt", clean, overrides={"quantise": quantise})
    expected = make_levels(clean.images + 255 * noise.transpose(0, 2, 3, 1)).astype(np.uint8)
    np.testing.assert_array_equal(result.image_set.array(), expected)
    assert (result.image_set.array() < clean.images).mean() > 0.4  # the release's own loader lost these
    assert result.image_set.labels.tolist() == clean.labels.tolist()
    assert result.image_set.ids == clean.ids
    step = result.step
    assert (step.method, step.settings, step.facts["poisoned"]) == ("published:em-pt", {"quantise": quantise}, "all")
    assert step.facts["files"] == {"perturbation.pt": hash_file(tmp_path / "perturbation.pt")}
    assert 7 <= step.facts["linf_255"] <= 8
    assert step.facts["kind"] == "availability"


def test_poisoned_pictures_in_place_of_noise_are_pictures(tmp_path, clean):
    poisoned = np.clip(clean.images + 255 * _noise(clean.images.shape), 0, 255).astype(np.uint8)
    torch.save(torch.from_numpy(poisoned.transpose(0, 3, 1, 2) / np.float32(255)), tmp_path / "poisoned.pt")
    with pytest.warns(DataWarning, match="poisoned.pt: poisoned pictures where noise was expected"):
        result = load_published(tmp_path / "poisoned.pt", clean)
    np.testing.assert_array_equal(result.image_set.array(), poisoned)
    assert result.step.facts["alignment"]["nearer_to_own"] == 1
    torch.save(torch.from_numpy(poisoned[::-1].transpose(0, 3, 1, 2) / np.float32(255)), tmp_path / "turned.pt")
    _refused(tmp_path / "turned.pt", clean, "turned.pt", "these are pictures and no noise", "in its order")


def test_noise_that_is_never_negative_is_noise(tmp_path, clean):
    noise = np.full((COUNT, 3, 32, 32), 4 / 255)
    torch.save(torch.from_numpy(noise).to(torch.bfloat16), tmp_path / "perturbation.pt")
    result = load_published(tmp_path / "perturbation.pt", clean, overrides={"quantise": "round"})
    np.testing.assert_array_equal(result.image_set.array(), np.clip(clean.images.astype(int) + 4, 0, 255))


def test_em_class_wise_noise_goes_by_label(tmp_path, clean):
    noise = _noise((CLASSES, 3, 32, 32))
    noise[1] = 0
    torch.save(torch.from_numpy(noise), tmp_path / "perturbation.pt")
    result = load_published(tmp_path / "perturbation.pt", clean)
    expected = np.floor(clean.images + 255 * noise[clean.labels].transpose(0, 2, 3, 1)).astype(np.uint8)
    np.testing.assert_array_equal(result.image_set.array(), expected)
    assert result.ids == tuple(clean.ids[row] for row in range(COUNT) if clean.labels[row] != 1)
    assert (result.step.facts["per"], result.step.facts["poisoned"]) == ("class", "poisoned_ids.txt")


def test_rem_adds_whole_levels_without_wrapping(tmp_path, clean):
    noise = np.random.default_rng(0).integers(-8, 9, (COUNT, 3, 32, 32)).astype(np.int8)
    clean = ArrayImageSet(clean.images // 2 * 2 + np.uint8(39), clean.labels, class_names=clean.class_names)
    (tmp_path / "rem-fin-def-noise.pkl").write_bytes(pickle.dumps(noise))
    result = load_published(tmp_path / "rem-fin-def-noise.pkl", clean)
    expected = np.clip(clean.images.astype(int) + noise.transpose(0, 2, 3, 1), 0, 255)
    assert (expected == 255).any()
    np.testing.assert_array_equal(result.image_set.array(), expected)
    assert result.step.method == "published:rem-int8-pkl"
    assert result.step.facts["linf_255"] == 8


@pytest.mark.parametrize(
    ("noise", "problem"),
    [
        (np.zeros((COUNT, 3, 32, 32), np.float32) * np.nan, "record 0: the noise has a value that is not a number"),
        (np.full((COUNT, 3, 32, 32), 8, np.float32), "from -1 to 1"),
        (np.zeros((COUNT - 1, 3, 32, 32), np.float32), "59 perturbations, but array has 60 pictures in 3 classes"),
        (np.zeros((COUNT, 3, 16, 32), np.float32), "the noise is 32x16, the pictures of array are 32x32"),
        (np.zeros((COUNT, 32, 32, 3), np.float32), "noise must be"),
        (np.zeros((COUNT, 3, 32, 32), np.int64), "not one tensor of floats"),
    ],
)
def test_wrong_noise(tmp_path, clean, noise, problem):
    torch.save(torch.from_numpy(noise), tmp_path / "p.pt")
    _refused(tmp_path / "p.pt", clean, "p.pt", problem)


def test_noise_of_zeros_is_no_poison(tmp_path, clean):
    torch.save(torch.zeros(COUNT, 3, 32, 32), tmp_path / "p.pt")
    with pytest.raises(SettingsError, match="changes no picture"):
        load_published(tmp_path / "p.pt", clean)


# Whole pictures


def _refused(path, clean, *parts, error=UnpoisonError, **options):
    with pytest.raises(error) as caught:
        load_published(path, clean, **options)
    text = str(caught.value)
    assert "\n" not in text
    for part in parts:
        assert part in text, text


def test_png_folder_replaces_some_rows(tmp_path, clean, poisoned):
    (tmp_path / "data").mkdir()
    for row in (7, 8, 59):
        Image.fromarray(poisoned[row]).save(tmp_path / "data" / f"{row}.png")
    result = load_published(tmp_path / "data", clean)
    stored = result.image_set.array()
    np.testing.assert_array_equal(stored[[7, 8, 59]], poisoned[[7, 8, 59]])
    others = np.delete(np.arange(COUNT), [7, 8, 59])
    np.testing.assert_array_equal(stored[others], clean.images[others])
    assert result.ids == tuple(clean.ids[row] for row in (7, 8, 59))
    assert result.step.facts["alignment"]["nearer_to_own"] == 1
    assert result.step.facts["alignment"]["labels"] == "not stored"
    os.rename(tmp_path / "data" / "59.png", tmp_path / "data" / "60.png")
    _refused(tmp_path / "data", clean, "60.png", "only 60 pictures")


def _write_whole(name, root, images, labels):
    if name == "delusive-pt":
        torch.save((torch.from_numpy(_floats(images)), torch.from_numpy(labels)), root / "Linf.p1")
        return root / "Linf.p1"
    if name == "avatar-npz":
        np.savez(root / "a.npz", data=images, targets=labels)
        return root / "a.npz"
    if name == "eclipse-pkl":
        records = [(image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)]
        (root / "LSP.pkl").write_bytes(pickle.dumps(records))
        return root / "LSP.pkl"
    if name == "tap-npy":
        np.save(root / "poisoned_training_data.npy", images.astype(np.float64))
        np.save(root / "poisoned_training_labels.npy", labels)
    elif name == "sep-npy":
        for start in range(0, COUNT, 30):
            part = _floats(images[start : start + 30])
            np.save(root / f"eps2.0-1.0_iter30_sp{start:05d}-{start + 30:05d}_ts0.npy", part)
    return root


WHOLE = ("delusive-pt", "avatar-npz", "eclipse-pkl", "tap-npy", "sep-npy")


@pytest.mark.parametrize("name", WHOLE)
def test_whole_sets_are_recognised_and_aligned(name, tmp_path, clean, poisoned):
    poisoned[::2] = clean.images[::2]
    path = _write_whole(name, tmp_path, poisoned, clean.labels)
    assert detect_published(path) == name
    result = load_published(path, clean)
    np.testing.assert_array_equal(result.image_set.array(), poisoned)
    assert result.ids == clean.ids[1::2]  # every other picture is as it was
    assert result.image_set.class_names == clean.class_names
    facts = result.step.facts
    assert facts["alignment"]["labels"] == ("not stored" if name == "sep-npy" else "equal")
    assert facts["alignment"]["median_255"] < 5 < 20 < facts["alignment"]["median_shuffled_255"]
    assert all(len(digest) == 64 for digest in facts["files"].values())
    assert len(facts["files"]) == (2 if name in ("tap-npy", "sep-npy") else 1)


@pytest.mark.parametrize("name", WHOLE)
def test_shuffled_files_are_refused(name, tmp_path, clean, poisoned):
    order = np.random.default_rng(0).permutation(COUNT)
    path = _write_whole(name, tmp_path, poisoned[order], clean.labels[order])
    _refused(path, clean, "pictures of array in another order", "order of the clean set", error=DataError)


def test_what_misalignment_is_said_to_be(tmp_path, clean, poisoned, make_set):
    def write(images, labels=clean.labels):
        return _write_whole("avatar-npz", tmp_path, images, labels)

    _refused(write(poisoned[:-1], clean.labels[:-1]), clean, "it holds 59 pictures, but array has 60")
    _refused(write(poisoned[:, :16]), clean, "its pictures are 32x16, those of array 32x32")
    _refused(write(make_set(COUNT, side=32, seed=5).images), clean, "it was not made from array")
    labels = clean.labels.copy()
    labels[[4, 9]] = 2
    _refused(write(poisoned, labels), clean, "record 4", "2 of 60 labels differ", "the clean set has 1")
    _refused(write(np.roll(poisoned, 1, axis=0)), clean, "another order")
    late = np.concatenate([poisoned[:40], poisoned[41:], poisoned[40:41]])  # one is missing in the middle
    _refused(write(late), clean, "another order")


def test_strength_does_not_hide_or_feign_alignment(tmp_path, clean):
    noise = np.random.default_rng(0).integers(-90, 91, clean.images.shape)
    strong = np.clip(clean.images + noise, 0, 255).astype(np.uint8)
    assert verify_alignment(clean, strong, clean.labels, file=tmp_path).median_255 > 30
    with pytest.raises(DataError, match="another order"):
        verify_alignment(clean, strong[::-1], None, file=tmp_path)


def test_a_jpeg_copy_of_the_clean_set_will_do(tmp_path, clean, poisoned):
    copy = ArrayImageSet(_jpeg(clean.images), clean.labels, class_names=clean.class_names)
    assert (copy.images != clean.images).any(axis=(1, 2, 3)).all()
    result = load_published(_write_whole("avatar-npz", tmp_path, poisoned, clean.labels), copy)
    assert 0 < result.step.facts["alignment"]["median_255"] < 8
    np.testing.assert_array_equal(result.image_set.array(), poisoned)


def test_whole_sets_are_matched_by_the_names_of_their_classes(tmp_path, clean):
    poisoned = np.clip(clean.images + 255 * _noise(clean.images.shape), 0, 255).astype(np.uint8)
    names = clean.class_names[::-1]
    labels = [names.index(clean.class_names[label]) for label in clean.labels]
    np.savez(tmp_path / "a.npz", images=poisoned, labels=labels, class_names=np.array(names))
    result = load_published(tmp_path / "a.npz", clean)
    assert result.image_set.labels.tolist() == clean.labels.tolist()
    np.savez(tmp_path / "a.npz", images=poisoned, labels=clean.labels, class_names=np.array(names))
    _refused(tmp_path / "a.npz", clean, "a.npz", "labels differ")


def test_ntga_fits_its_own_clean_set_only(tmp_path, clean, poisoned):
    np.save(tmp_path / "x_train_cifar10_ntga_cnn_best.npy", poisoned / 255)
    np.save(tmp_path / "x_train_cifar10.npy", clean.images / 255)
    np.save(tmp_path / "y_train_cifar10.npy", np.eye(10)[clean.labels])
    own = read(f"{tmp_path}#clean")
    np.testing.assert_array_equal(load_published(tmp_path, own).image_set.array(), poisoned)
    np.testing.assert_array_equal(load_published(f"{tmp_path}#cnn_best", own).image_set.array(), poisoned)
    order = np.random.default_rng(0).permutation(COUNT)
    _refused(tmp_path, clean.subset(order), "another order")


# A few pictures and one target


def test_benchmark_directory_replaces_the_bases(tmp_path, clean, poisoned):
    path = _benchmark(tmp_path / "0", clean, poisoned)
    result = load_published(path, clean)
    stored = result.image_set.array()
    np.testing.assert_array_equal(stored[BASES], poisoned[BASES])
    others = np.delete(np.arange(COUNT), BASES)
    np.testing.assert_array_equal(stored[others], clean.images[others])
    assert len(result.image_set) == COUNT
    assert result.ids == tuple(clean.ids[row] for row in BASES)
    facts = result.step.facts
    assert (facts["kind"], facts["linf_255"], facts["images"]) == ("triggerless", 8, 5)
    assert facts["target"] == {"index": None, "true_class": 1, "intended_class": 0}
    assert set(facts["files"]) == {"poisons.pickle", "base_indices.pickle", "target.pickle"}
    np.testing.assert_array_equal(result.target.image, 255 - clean.images[1])

    write_poisoned(result, clean, tmp_path / "out.npz")
    assert read(tmp_path / "out.npz").content_hash == result.step.result
    assert (tmp_path / "out.npz.poisoned_ids.txt").read_text().split() == list(result.ids)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npz.target.npy"), result.target.image)
    manifest = read_manifest(tmp_path / "out.npz.manifest.json")
    assert manifest.steps[0].facts == json.loads(json.dumps(facts))
    assert str(tmp_path) not in manifest.model_dump_json()


def test_benchmark_patch_is_the_trigger(tmp_path, clean, poisoned):
    patch = torch.zeros(3, 5, 5)
    patch[0] = 1
    target = (Image.fromarray(clean.images[1]), 1, patch, [27, 20])
    result = load_published(_benchmark(tmp_path / "0", clean, poisoned, target=target), clean)
    assert (result.step.facts["kind"], result.trigger.target_class) == ("triggered", 0)
    stamped = result.trigger.apply(clean.images[1:2])[0]
    assert (stamped[20:25, 27:32] == [255, 0, 0]).all()
    assert (stamped != clean.images[1]).any(axis=2).sum() <= 25
    np.testing.assert_array_equal(result.target.image, clean.images[1])


def test_benchmark_bases_may_repeat_as_in_two_published_setups(tmp_path, clean, poisoned):
    path = _benchmark(tmp_path / "78", clean, poisoned, bases=np.array([9, 3, 9]))
    result = load_published(path, clean)
    assert result.ids == (clean.ids[3], clean.ids[9])
    assert result.step.facts["repeated_bases"] == 1


def test_wrong_benchmark_directories(tmp_path, clean, poisoned):
    wrong = _benchmark(tmp_path / "rows", clean, poisoned, bases=BASES + 1, labels=clean.labels[BASES])
    _refused(wrong, clean, "poisons.pickle, record 0", "5 of 5 labels differ")
    shifted = _benchmark(tmp_path / "shift", clean, poisoned)
    (shifted / "base_indices.pickle").write_bytes(pickle.dumps(BASES + 3))
    _refused(shifted, clean, "another order")
    (shifted / "base_indices.pickle").write_bytes(pickle.dumps(BASES + 55))
    _refused(shifted, clean, "base_indices.pickle, record 2", "row 61, but array has 60")
    strong = np.clip(poisoned.astype(int) + 5, 0, 255).astype(np.uint8)
    path = _benchmark(tmp_path / "strong", clean, strong)
    _refused(path, clean, "changes a value by 13/255, and 9/255 is allowed", "JPEG copy")
    assert load_published(path, clean, overrides={"bound": "13/255"}).step.facts["linf_255"] == 13
    mixed = _benchmark(tmp_path / "mixed", clean, poisoned, bases=np.array([0, 1]))
    _refused(mixed, clean, "several labels")
    (tmp_path / "mixed" / "target.pickle").unlink()
    _refused(mixed, clean, "target.pickle", "no such file")


def _bullseye(path, poisoned, bases, label=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = [(torch.from_numpy((one - MEAN) / STD), label) for one in _floats(poisoned[bases])]
    torch.save({"poison": tensors, "idx": [900, 901, 902, 903, 904][: len(bases)]}, path)
    return path


def test_bullseye_finds_its_bases_by_look(tmp_path, clean, poisoned):
    bases = BASES[::-1].copy()
    path = _bullseye(tmp_path / "poison_00799.pth", poisoned, bases)
    assert detect_published(path) == "bullseye-pth"
    result = load_published(path, clean)
    np.testing.assert_array_equal(result.image_set.array()[bases], poisoned[bases])
    assert result.ids == tuple(clean.ids[row] for row in BASES)
    assert (result.target, result.step.facts["intended_class"]) == (None, 0)
    target = load_published(path, clean, overrides={"target_row": 4}).target
    assert (target.index, target.true_class, target.intended_class) == (4, 1, 0)
    _refused(path, clean, "target_row is 60", overrides={"target_row": 60})


def test_bullseye_says_plainly_when_bases_cannot_be_told(tmp_path, clean, poisoned, make_set):
    path = _bullseye(tmp_path / "poison_00799.pth", make_set(COUNT, side=32, seed=7).images, BASES)
    _refused(path, clean, "record 0", "no clean picture is clearly the one", "file alone does not say")
    _refused(_bullseye(path, poisoned, np.array([3, 3])), clean, "two poisons were made from one picture")
    _refused(_bullseye(path, poisoned, BASES, label=8), clean, "no pictures of that size with label 8")


# Triggers


def test_narcissus_units_and_victims(tmp_path, clean):
    stored = _noise((1, 3, 32, 32)) * 2
    path = tmp_path / "best_noise_lab2.npy"
    np.save(path, stored)
    result = load_published(path, clean, overrides={"images": 4})
    members = np.flatnonzero(clean.labels == 2)
    assert result.ids == tuple(clean.ids[row] for row in members[-4:])
    delta = stored[0].transpose(1, 2, 0) / 2
    expected = np.rint(clean.images[members[-4:]] + 255 * delta)
    np.testing.assert_array_equal(result.image_set.array()[members[-4:]], expected)
    assert (result.step.facts["kind"], result.trigger.target_class) == ("triggered", 2)
    np.testing.assert_allclose(result.trigger.delta, delta)
    assert result.step.facts["linf_255"] <= 8

    drawn = [load_published(path, clean, overrides={"images": 4, "choose": "draw"}, seed=s).ids for s in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert load_published(path, clean, overrides={"images": 4, "target_class": "c1"}).trigger.target_class == 1
    assert load_published(path, clean, overrides={"images": 4, "target_class": 1}).trigger.target_class == 1
    _refused(path, clean, "has 20 pictures of the class c2", "added to 500")
    os.rename(path, tmp_path / "resnet18_trigger.npy")
    _refused(tmp_path / "resnet18_trigger.npy", clean, "give target_class", overrides={"images": 4})


@pytest.mark.parametrize(("file", "target"), [(0, 0), (1, 2), (2, 1), (6, 7), (7, 6), (9, 9)])
def test_stl10_takes_the_triggers_of_cifar10_by_class_and_resized(tmp_path, file, target):
    images = np.full((10, 96, 96, 3), 128, np.uint8)
    stl10 = ArrayImageSet(images, np.arange(10), class_names=STL10, name="stl10")
    stored = np.zeros((1, 3, 32, 32), np.float32)
    stored[:, :, :16] = 16 / 255
    np.save(tmp_path / f"best_noise_lab{file}.npy", stored)
    result = load_published(tmp_path / f"best_noise_lab{file}.npy", stl10, overrides={"images": 1})
    assert result.trigger.target_class == target
    poisoned = result.image_set.array()[target]
    assert (poisoned[:45] == 136).all()
    assert (poisoned[51:] == 128).all()
    assert set(np.unique(poisoned[45:51])) <= set(range(128, 137))


def test_narcissus_is_written_as_it_is_read(tmp_path):
    delta = _noise((32, 32, 3))
    write_narcissus_npy(Trigger(delta, 4), tmp_path / "best_noise_lab4.npy")
    stored = np.load(tmp_path / "best_noise_lab4.npy")
    assert (stored.dtype, stored.shape) == (np.float32, (1, 3, 32, 32))
    np.testing.assert_array_equal(stored[0, 1, 5], 2 * delta[5, :, 1])
    np.testing.assert_array_equal(read_narcissus_npy(tmp_path / "best_noise_lab4.npy"), delta)
    with pytest.raises(SettingsError, match="patch"):
        write_narcissus_npy(Trigger(delta, 4, "patch"), tmp_path / "x.npy")
    for wrong, problem in (
        (stored * np.nan, "not a number"),
        (stored[0], "trigger is float"),
        (stored * 255, "-2 to 2"),
    ):
        np.save(tmp_path / "wrong.npy", wrong)
        with pytest.raises(DataError, match=problem):
            read_narcissus_npy(tmp_path / "wrong.npy")


# PureGen


def test_puregen_files_of_one_target(tmp_path, clean, poisoned):
    pairs = [(Image.fromarray(poisoned[row]), 0) for row in BASES]
    torch.save((pairs, BASES, torch.from_numpy(_noise((1, 3, 32, 32)) * 2)), tmp_path / "0.pth")
    result = load_published(tmp_path / "0.pth", clean)
    np.testing.assert_array_equal(result.image_set.array()[BASES], poisoned[BASES])
    assert (result.step.method, result.trigger.target_class) == ("published:puregen-pth", 0)
    torch.save((pairs, BASES.tolist(), 0), tmp_path / "1.pth")
    assert load_published(tmp_path / "1.pth", clean).step.facts["kind"] == "triggerless"
    torch.save(pairs, tmp_path / "whole.pt")
    _refused(tmp_path / "whole.pt", clean, "whole set without base rows")


def test_the_target_of_a_purified_poison_is_named(tmp_path, clean, poisoned):
    pairs = [(Image.fromarray(poisoned[row]), 0) for row in BASES]
    torch.save((pairs, BASES.tolist(), 0), tmp_path / "1.pth")
    assert load_published(tmp_path / "1.pth", clean).target is None
    at_row = load_published(tmp_path / "1.pth", clean, overrides={"target_row": 3}).target
    np.testing.assert_array_equal(at_row.image, clean.array()[3])
    assert (at_row.true_class, at_row.intended_class) == (clean.labels[3], 0)
    _benchmark(tmp_path / "7", clean, poisoned)
    original = load_published(tmp_path / "7", clean).target
    found = load_published(tmp_path / "1.pth", clean, overrides={"target_from": str(tmp_path / "7")}).target
    np.testing.assert_array_equal(found.image, original.image)
    assert (found.true_class, found.intended_class) == (original.true_class, 0)
    for wrong, problem in (
        ({"target_row": len(clean)}, "pictures"),
        ({"target_row": 1, "target_from": "x"}, "both name a target"),
    ):
        with pytest.raises(SettingsError, match=problem):
            load_published(tmp_path / "1.pth", clean, overrides=wrong)
    torch.save((pairs, BASES, torch.from_numpy(_noise((1, 3, 32, 32)) * 2)), tmp_path / "0.pth")
    with pytest.raises(SettingsError, match="has a trigger"):
        load_published(tmp_path / "0.pth", clean, overrides={"target_row": 1})


def test_puregen_tree(tmp_path, clean, poisoned):
    root = tmp_path / "Poisons"
    for number in (2, 10):
        _benchmark(root / "GradientMatching" / "cifar10" / str(number), clean, poisoned)
    bench = "Transfer_Bench/bp_poisons/num_poisons=25/3"
    _benchmark(root / bench, clean, poisoned)
    bullseye = "Bullseye_Polytope/cifar10/attack-results-50poisons/100-overlap/linear-transfer-learning/mean/800/7"
    _bullseye(root / bullseye / "poison_00799.pth", poisoned, BASES)
    narcissus = root / "Narcissus" / "cifar10" / "size=32_eps=8"
    narcissus.mkdir(parents=True)
    np.save(narcissus / "best_noise_lab1.npy", _noise((1, 3, 32, 32)))

    assert detect_published(root) == "puregen-tree"
    assert list(list_poisons(root)) == [
        bullseye, "GradientMatching/cifar10/2", "GradientMatching/cifar10/10",
        "Narcissus/cifar10/size=32_eps=8/1", bench,
    ]  # fmt: skip
    result = load_published(f"{root}#GradientMatching/cifar10/10", clean)
    assert result.ids == tuple(clean.ids[row] for row in BASES)
    assert result.target.true_class == 1
    assert result.step.facts["part"] == "GradientMatching/cifar10/10"
    assert load_published(f"{root}#{bench}", clean).step.facts["kind"] == "triggerless"
    assert load_published(f"{root}#{bullseye}", clean).ids == result.ids
    triggered = load_published(f"{root}#Narcissus/cifar10/size=32_eps=8/1", clean, overrides={"images": 4})
    assert triggered.trigger.target_class == 1
    _refused(root, clean, "name one of its poisons", "GradientMatching/cifar10/2 to 10", error=SettingsError)
    _refused(f"{root}#GradientMatching/cifar10/3", clean, "no poison 'GradientMatching/cifar10/3'")


def test_puregen_from_the_hub_fetches_one_poison(tmp_path, clean, poisoned, monkeypatch):
    asked = []
    _benchmark(tmp_path / "GradientMatching" / "cifar10" / "7", clean, poisoned)

    def fetch(repository, patterns):
        asked.append((repository, patterns))
        return tmp_path

    monkeypatch.setattr("unpoison.poisons.published.puregen_tree.fetch_files", fetch)
    result = load_published("hf://owner/poisons#GradientMatching/cifar10/7", clean)
    assert result.ids == tuple(clean.ids[row] for row in BASES)
    ((repository, patterns),) = asked
    assert repository == "owner/poisons"
    assert patterns[0] == "GradientMatching/cifar10/7/*"
    _refused("hf://owner/poisons", clean, "name the poison to download")


# Strangers' files


class _Hostile:
    def __reduce__(self):
        return os.system, ("touch executed",)


def test_nothing_is_executed(tmp_path, clean, poisoned, monkeypatch):
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (tmp_path / "noise.pkl").write_bytes(pickle.dumps(_Hostile()))
    torch.save([_Hostile()], tmp_path / "a.pt")
    for name in ("poisons", "base_indices", "target"):
        path = _benchmark(tmp_path / name, clean, poisoned)
        (path / f"{name}.pickle").write_bytes(pickle.dumps(_Hostile()))
        _refused(path, clean, f"{name}.pickle", "could run code", error=UnsafeFileError)
    for name in ("rem-int8-pkl", "eclipse-pkl"):
        _refused(tmp_path / "noise.pkl", clean, "noise.pkl", "could run code", format=name)
    for name in ("em-pt", "delusive-pt", "puregen-pth", "bullseye-pth"):
        _refused(tmp_path / "a.pt", clean, "a.pt", "could run code", format=name)
    assert os.listdir(folder) == []


@pytest.fixture(scope="module")
def wholes(tmp_path_factory):
    """A small clean set and the bytes of poisons of it."""
    images = np.random.default_rng(0).integers(0, 256, (4, 4, 4, 3), np.uint8)
    clean = ArrayImageSet(images, [0, 1, 0, 1], class_names=["a", "b"])
    root = tmp_path_factory.mktemp("published")
    torch.save(torch.full((4, 3, 4, 4), 0.1), root / "a.pt")
    (root / "b.pkl").write_bytes(pickle.dumps(np.ones((4, 3, 4, 4), np.int8)))
    np.save(root / "best_noise_lab1.npy", np.full((1, 3, 4, 4), 0.1, np.float32))
    return root, clean, {path.name: path.read_bytes() for path in root.iterdir()}


@given(st.data())
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_broken_bytes_never_end_in_anything_but_our_errors(wholes, data):
    root, clean, files = wholes
    name = data.draw(st.sampled_from(sorted(files)))
    whole = files[name]
    if data.draw(st.booleans()):
        broken = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        at = data.draw(st.integers(0, min(len(whole), 400) - 1))
        broken = whole[:at] + data.draw(st.binary(min_size=1, max_size=4)) + whole[at + 1 :]
    (root / name).write_bytes(broken)
    kinds = {".pt": "em-pt", ".pkl": "rem-int8-pkl", ".npy": "narcissus-npy"}
    try:
        result = load_published(root / name, clean, format=kinds[(root / name).suffix])
    except UnpoisonError as error:
        text = str(error)
    else:
        text = ""
        assert result.image_set.labels.tolist() == [0, 1, 0, 1]
    assert "\n" not in text


def test_unknown_files_formats_and_settings(tmp_path, clean):
    _refused(tmp_path / "none", clean, "no such file")
    (tmp_path / "x.txt").write_text("")
    _refused(tmp_path / "x.txt", clean, "no published poison that we know", *METHODS)
    _refused(tmp_path / "x.txt", clean, "did you mean 'em-pt'", format="empt")
    torch.save(torch.zeros(COUNT, 3, 32, 32), tmp_path / "p.pt")
    _refused(tmp_path / "p.pt", clean, "no setting 'bound'", overrides={"bound": "1"})


def test_names_after_the_path(tmp_path):
    (tmp_path / "a#b").mkdir()
    assert split_source(tmp_path / "a#b") == (tmp_path / "a#b", None)
    assert split_source(f"{tmp_path}#x/y=3_z") == (tmp_path, "x/y=3_z")


def test_what_we_write_is_read_again(tmp_path, clean, poisoned):
    write(ArrayImageSet(poisoned, clean.labels, class_names=clean.class_names), tmp_path / "png", format="numbered")
    np.testing.assert_array_equal(load_published(tmp_path / "png", clean).image_set.array(), poisoned)
    write(ArrayImageSet(poisoned, clean.labels, class_names=clean.class_names), tmp_path / "set.npz")
    np.testing.assert_array_equal(load_published(tmp_path / "set.npz", clean).image_set.array(), poisoned)
