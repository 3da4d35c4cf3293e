"""Setups: read from the benchmark's files, drawn, or counted out as Bullseye Polytope does."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from unpoison.core.errors import DataError, SettingsError, UnsafeFileError
from unpoison.core.images import ArrayImageSet
from unpoison.core.noise import generator
from unpoison.poisons.engine.setups import (
    Setup,
    draw_setup,
    read_setups,
    split_classes,
)
from unpoison.poisons.engine.targets import TargetSettings, find_setup
from unpoison.poisons.protocol import Resources


def published(**changes) -> dict:
    """A record as the benchmark's files hold it; pictures 4, 7 and 10 of `make_set` are of class 1."""
    record = {"target class": 2, "target index": np.int64(5), "base class": 1, "base indices": np.array([10, 4, 7, 4])}
    return {**record, **{key.replace("_", " "): value for key, value in changes.items()}}


def write(path, value):
    path.write_bytes(pickle.dumps(value))
    return path


def find(image_set, target_set, **settings):
    resources = Resources(target_set=target_set, clean_set=image_set)
    return find_setup(
        "bullseye", image_set, TargetSettings(**settings), generator=generator(0, "s"), resources=resources
    )


def test_reads_the_published_form_and_keeps_a_repeated_picture_once(tmp_path):
    path = write(tmp_path / "setups.pickle", [published(), published(target_index=np.int64(8))])
    assert read_setups(path) == [Setup(2, 5, 1, (10, 4, 7)), Setup(2, 8, 1, (10, 4, 7))]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": 1}, "no list of poison setups"),
        ([], "no list of poison setups"),
        ([published(), {"target class": 1}], "record 1: a setup has the keys target class, target index"),
        ([published(target_class=1.5)], "record 0: classes and indices must be whole numbers"),
        ([published(base_indices=3)], "must be whole numbers"),
        ([published(base_indices=np.array([0.5]))], "must be whole numbers"),
        ([published(base_indices=np.array([], dtype=np.int64))], "names no picture"),
        ([published(base_indices=np.array([3, -1]))], "or a negative number"),
    ],
)
def test_other_files_are_refused(value, message, tmp_path):
    with pytest.raises(DataError, match=message):
        read_setups(write(tmp_path / "setups.pickle", value))


def test_reading_runs_no_code(tmp_path):
    with pytest.raises(UnsafeFileError, match="could run code"):
        read_setups(write(tmp_path / "setups.pickle", [torch.nn.Linear]))


def test_a_published_setup_is_found_and_checked(tmp_path, make_set):
    path = str(write(tmp_path / "setups.pickle", [published(), published(target_index=7), published(target_index=90)]))
    train_set, target_set = make_set(20), make_set(12, seed=1)
    setup, target = find(train_set, target_set, setups=path)
    assert setup.base_indices == (10, 4, 7)
    assert (target.true_class, target.intended_class, target.index) == (2, 1, 5)
    assert np.array_equal(target.image, target_set.images[5])
    with pytest.raises(SettingsError, match="is of class 1, not 2 as the setup says"):
        find(train_set, target_set, setups=path, setup=1)
    with pytest.raises(SettingsError, match="the target is picture 90, but array has 12"):
        find(train_set, target_set, setups=path, setup=2)
    with pytest.raises(SettingsError, match="holds 3, counted from 0"):
        find(train_set, target_set, setups=path, setup=3)
    with pytest.raises(SettingsError, match="perturbs picture 10, but array has 9"):
        find(make_set(9), target_set, setups=path)
    with pytest.raises(SettingsError, match=r"picture 10 .* is of class 2, not 1"):
        find(make_set(20, classes=4), make_set(12, classes=4), setups=path)


def test_rows_of_a_file_are_not_counted_in_what_another_attack_left(tmp_path, make_set):
    path, whole = str(write(tmp_path / "setups.pickle", [published()])), make_set(20)
    resources = Resources(target_set=make_set(12), clean_set=whole)
    with pytest.raises(SettingsError, match="run this attack alone"):
        find_setup(
            "bullseye",
            whole.subset(range(15)),
            TargetSettings(setups=path),
            generator=generator(0, "s"),
            resources=resources,
        )


def test_targets_must_fit_the_set(make_set):
    with pytest.raises(SettingsError, match="pictures of c3, but the classes"):
        find(make_set(20), make_set(12, classes=4), poisons=2)
    with pytest.raises(SettingsError, match="differ in size"):
        find(make_set(20), make_set(12, side=8), poisons=2)
    with pytest.raises(SettingsError, match="--target-set"):
        find(make_set(20), None, poisons=2)
    with pytest.raises(SettingsError, match="of class 2 already"):
        find(make_set(20), make_set(12), poisons=2, target_index=5, intended_class="c2")


def test_drawn_setups_follow_the_seed_and_keep_the_rules(make_set):
    train_set, target_set = make_set(60), make_set(30, seed=1)
    drawn = [draw_setup(train_set, target_set, poisons=4, generator=generator(seed, "s")) for seed in range(20)]
    assert drawn[0] == draw_setup(train_set, target_set, poisons=4, generator=generator(0, "s"))
    assert len({setup.target_index for setup in drawn}) > 10
    assert {setup.base_class for setup in drawn} == {0, 1, 2}
    for setup in drawn:
        setup.check(train_set, target_set)
        assert len(set(setup.base_indices)) == 4
        assert setup.base_class != setup.target_class


def test_what_is_asked_for_is_not_drawn(make_set):
    train_set, target_set = make_set(60), make_set(30, seed=1)
    for seed in range(5):
        setup, target = find(train_set, target_set, target_index=4, intended_class="c2", poisons=3 + seed)
        assert (setup.target_index, setup.base_class, len(setup.base_indices)) == (4, 2, 3 + seed)
        assert target.true_class == 1
    with pytest.raises(SettingsError, match="poisons=21, but array has 20 pictures of c2"):
        find(train_set, target_set, target_index=4, intended_class="c2", poisons=21)
    with pytest.raises(SettingsError, match="no labelled picture of that number"):
        find(train_set, target_set, target_index=30)
    unlabelled = ArrayImageSet(target_set.images, np.full(30, -1), class_names=target_set.class_names)
    with pytest.raises(SettingsError, match="no labelled picture to take"):
        find(train_set, unlabelled)


def test_classes_are_split_at_a_row(make_set):
    labels = make_set(60).labels
    bodies, others = split_classes(labels, 12)
    assert bodies.tolist() == list(range(36))
    assert others.tolist() == list(range(36, 60))
