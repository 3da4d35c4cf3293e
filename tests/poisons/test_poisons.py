"""Contracts over every attack, and the property that makes each one work."""

from __future__ import annotations

import numpy as np
import pytest

from unpoison.core.errors import SettingsError
from unpoison.core.hashing import hash_file
from unpoison.core.images import ArrayImageSet
from unpoison.core.manifest import read_manifest
from unpoison.core.noise import generator
from unpoison.core.settings import bound_value
from unpoison.data import read, write
from unpoison.data.pictures.loose import PictureListSet, from_channels
from unpoison.poisons.attacks.lsp import LspPoison, LspSettings
from unpoison.poisons.crafting import poison, poison_mixture, write_poisoned
from unpoison.poisons.methods import METHODS, load_attack
from unpoison.poisons.mixture import Ingredient, attack_settings, read_mixture
from unpoison.poisons.protocol import Resources
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.run import PurifyRun


@pytest.fixture
def grey():
    """Mid-grey pictures: no perturbation is clipped, so that norms can be measured."""
    return ArrayImageSet(np.full((60, 32, 32, 3), 128, np.uint8), np.arange(60) % 5)


# The smallest settings with which an attack works on pictures of 16 pixels.
NARROW = {"width": 4, "steps": 1}
SMALL: dict[str, dict] = {
    "adp": {**NARROW, "rounds": 1},
    "bullseye": {"width": 4, "epochs": 1, "iterations": 2, "poisons": 3},
    "dune": {**NARROW, "epochs": 2, "checkpoints": 2, "label_shift": 1, "particles": 2, "iterations": 1},
    "em": {**NARROW, "rounds": 1},
    "entf": {**NARROW, "epochs": 1, "reference_steps": 1},
    "gradient-matching": {"width": 4, "epochs": 1, "iterations": 2, "restarts": 1, "poisons": 3},
    "hypo": {**NARROW, "epochs": 1, "restarts": 2},
    "lsp": {"patch": 4},
    "narcissus": {
        "width": 4,
        "epochs": 1,
        "warmup_epochs": 1,
        "rounds": 12,
        "images": 3,
        "batch_size": 8,
        "step_size": "0.05",
    },
    "pil": {"steps": 2, "epochs": 1, "training_batch": 16},
    "rem": {**NARROW, "training_steps": 1, "transforms": 1, "adversary_steps": 1},
    "sep": {**NARROW, "epochs": 2, "checkpoints": 2, "inner_steps": 1},
    "tap": {**NARROW, "epochs": 1, "restarts": 1, "step_size": "4/255"},
}


def _resources(make_set) -> Resources:
    return Resources(auxiliary=make_set(12, seed=5), target_set=make_set(9, seed=6), device="cpu")


def _delta(result, image_set) -> np.ndarray:
    return (result.image_set.array().astype(np.float64) - image_set.images) / 255


@pytest.mark.parametrize("attack", METHODS)
def test_contract(attack, make_set):
    image_set = make_set(30)
    before = image_set.images.copy()
    settings = attack_settings(attack, overrides=SMALL.get(attack, {}))
    everything, declared = _resources(make_set), load_attack(attack).uses
    alone = Resources(**{name: getattr(everything, name) for name in (*declared, "device")})
    assert set(declared) <= {"surrogates", "auxiliary", "target_set"}
    first, again, other = (
        poison(image_set, attack, settings=settings, seed=seed, resources=given)
        for seed, given in ((0, everything), (0, alone), (1, alone))
    )
    assert np.array_equal(image_set.images, before)
    assert first.image_set.ids == image_set.ids
    assert first.image_set.labels.tolist() == image_set.labels.tolist()
    assert np.array_equal(first.image_set.images, again.image_set.images)
    assert attack == "ops" or not np.array_equal(first.image_set.images, other.image_set.images)
    changed = {int(row) for row in np.flatnonzero((first.image_set.images != before).any(axis=(1, 2, 3)))}
    assert changed
    assert changed <= {image_set.ids.index(image_id) for image_id in first.ids}
    facts = first.step.facts
    assert facts["images"] == len(first.ids)
    assert facts["kind"] == load_attack(attack).kind
    if hasattr(settings, "epsilon") and attack not in ("lsp", "ar", "dune"):
        assert facts["linf_255"] <= round(255 * bound_value(settings.epsilon))
    assert facts["profile"] in ("paper", "small", "class-wise", "small,class-wise")
    assert set(facts["changed"]) <= set(type(settings).model_fields)
    assert type(settings).model_validate_json(settings.model_dump_json()) == settings


def test_a_file_that_is_called_like_a_number_is_none_of_the_attacks(make_set, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "0.005").write_bytes(b"no weights")
    tables = tmp_path / "tables.pt"
    tables.write_bytes(b"weights")
    step = Ingredient("narcissus", attack_settings("narcissus", overrides={"step_size": "0.005"}))
    assert step.files() == {}
    assert step.describe()["step_size"] == "0.005"
    with_file = Ingredient("ar", attack_settings("ar", overrides={"coefficients": str(tables)}))
    assert with_file.files() == {"tables.pt": hash_file(tables)}
    assert with_file.describe()["coefficients"] == "tables.pt"
    for key in ("eclipse.model", "model"):
        through = {"through": "jpeg+eclipse", "through_settings": {key: str(tables)}}
        nested = Ingredient("adp", attack_settings("adp", overrides=through))
        assert nested.files() == {"tables.pt": hash_file(tables)}
        assert nested.describe()["through_settings"] == {key: "tables.pt"}


@pytest.mark.parametrize("attack", METHODS)
def test_a_fraction_leaves_the_others_alone(attack, make_set):
    image_set, settings = make_set(60, classes=5), attack_settings(attack, overrides=SMALL.get(attack, {}))
    resources = _resources(lambda *args, **kwargs: make_set(*args, classes=5, **kwargs))
    if load_attack(attack).chooses:
        with pytest.raises(SettingsError, match="chooses its pictures itself"):
            poison(image_set, attack, settings=settings, fraction=0.25, resources=resources)
        return
    result = poison(image_set, attack, settings=settings, fraction=0.25, seed=1, resources=resources)
    chosen = {image_set.ids.index(image_id) for image_id in result.ids}
    assert np.bincount(image_set.labels[sorted(chosen)], minlength=5).tolist() == [3] * 5
    changed = {int(row) for row in np.flatnonzero((result.image_set.images != image_set.images).any(axis=(1, 2, 3)))}
    assert changed <= chosen
    assert len(changed) >= len(chosen) - 3  # a picture may show the pixel of `ops` already


def test_a_mixture_poisons_no_picture_twice_and_says_who_is_who(make_set, tmp_path):
    image_set = make_set(60)
    parts = read_mixture(
        "urp+narcissus+ops",
        overrides={
            "urp.fraction": 0.5,
            "ops.fraction": 0.2,
            "ops.classes": "c1,c2",
            **{f"narcissus.{name}": value for name, value in SMALL["narcissus"].items()},
        },
    )
    result = poison_mixture(image_set, parts, seed=3, resources=_resources(make_set))
    sizes = {name: len(part.ids) for name, part in result.parts.items()}
    assert sizes == {"urp": 30, "narcissus": 3, "ops": 8}
    assert len(result.ids) == len(set(result.ids)) == 41
    ops = [image_set.labels[image_set.ids.index(image_id)] for image_id in result.parts["ops"].ids]
    assert sorted(set(ops)) == [1, 2]
    write_poisoned(result, image_set, tmp_path / "mixed.npz")
    lines = (tmp_path / "mixed.npz.poisoned_ids.txt").read_text().splitlines()
    assert {tuple(line.split("\t")) for line in lines} == {
        (image_id, name) for name, part in result.parts.items() for image_id in part.ids
    }
    step = read_manifest(tmp_path / "mixed.npz.manifest.json").steps[0]
    assert (step.method, step.settings["ops"]["classes"]) == ("urp+narcissus+ops", ["c1", "c2"])
    assert step.facts["narcissus"]["kind"] == "triggered"
    assert (tmp_path / "mixed.npz.trigger.npy").is_file()


def test_a_mixture_shares_evenly_and_refuses_more_than_there_is(grey):
    result = poison_mixture(grey, read_mixture("urp+lsp"))
    assert {name: len(part.ids) for name, part in result.parts.items()} == {"urp": 30, "lsp": 30}
    with pytest.raises(SettingsError, match="the others leave"):
        poison_mixture(grey, read_mixture("urp+lsp", overrides={"urp.fraction": 0.7, "lsp.fraction": 0.5}))
    with pytest.raises(SettingsError, match=r"write one of urp.field, lsp.field"):
        read_mixture("urp+lsp", overrides={"fraction": 0.2})
    with pytest.raises(SettingsError, match="names an attack twice"):
        read_mixture("urp+urp")
    with pytest.raises(SettingsError, match="no class 'cow'"):
        poison_mixture(grey, read_mixture("urp", overrides={"classes": "cow"}))


def test_profiles_are_the_attack_s_own():
    assert attack_settings("tap", profiles=["small"]).restarts == 1
    with pytest.raises(SettingsError, match="lsp has no profile 'small'"):
        attack_settings("lsp", profiles=["small"])


def test_no_path_of_this_machine_in_a_manifest(make_set, tmp_path):
    """A file that the settings name is in the manifest by its name and its hash."""
    part = read_mixture("ar", overrides={"coefficients": str(tmp_path / "tables.npy")})[0]
    np.save(tmp_path / "tables.npy", np.zeros(3))
    assert part.describe()["coefficients"] == "tables.npy"
    assert list(part.files()) == ["tables.npy"]


def test_lsp_has_the_published_norm_and_separates_linearly(grey):
    exact = LspPoison().craft(grey, LspSettings(), generator=generator(0, "lsp"), resources=Resources())
    delta = (exact.images.astype(np.float64) - 128) / 255
    norms = np.sqrt((delta**2).sum(axis=(1, 2, 3)))
    assert norms.mean() == pytest.approx(np.sqrt((6 / 255) ** 2 * 3072), abs=5e-3)
    assert np.abs(delta).reshape(60, 4, 8, 4, 8, 3).std(axis=(2, 4)).max() == pytest.approx(0, abs=1e-12)
    # One least-squares map of half of the perturbations to classes names all of the other half.
    flat, labels = delta.reshape(60, -1), grey.labels
    weights, *_ = np.linalg.lstsq(flat[:30], np.eye(5)[labels[:30]], rcond=None)
    assert ((flat[30:] @ weights).argmax(axis=1) == labels[30:]).mean() == 1.0


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", "8/255"), ("l2", "0.5")])
def test_urp_is_one_noise_per_class_within_its_bound(grey, norm, epsilon):
    settings = attack_settings("urp", overrides={"norm": norm, "epsilon": epsilon})
    result = poison(grey, "urp", settings=settings)
    delta = _delta(result, grey)
    for label in range(5):
        assert (delta[grey.labels == label] == delta[grey.labels == label][0]).all()
    size = np.abs(delta).max() if norm == "linf" else np.sqrt((delta**2).sum(axis=(1, 2, 3))).max()
    assert size <= bound_value(epsilon) * (1 + 1e-9) if norm == "linf" else size == pytest.approx(0.5, rel=0.02)
    assert result.step.facts["linf_255"] == round(255 * np.abs(delta).max())
    assert result.step.facts["l2_mean"] == pytest.approx(np.sqrt((delta**2).sum(axis=(1, 2, 3))).mean())


def test_urp_per_sample_says_nothing_of_the_class(grey):
    result = poison(grey, "urp", settings=attack_settings("urp", overrides={"per": "sample"}))
    means = [_delta(result, grey)[grey.labels == label].mean(axis=0) for label in range(5)]
    assert max(np.abs(mean).max() for mean in means) < 8 / 255
    assert len(np.unique(result.image_set.images, axis=0)) == 60


def test_manifest_and_lists_lie_with_the_set(grey, tmp_path):
    result = poison(grey, "urp", fraction=0.2)
    write_poisoned(result, grey, tmp_path / "bad")
    manifest = read_manifest(tmp_path / "bad" / "manifest.json")
    assert manifest.steps[0].facts["poisoned"] == "poisoned_ids.txt"
    assert (tmp_path / "bad" / "poisoned_ids.txt").read_text().split() == list(result.ids)
    assert read(str(tmp_path / "bad")).content_hash == manifest.steps[0].result

    write_poisoned(result, grey, tmp_path / "bad.npz")
    assert (tmp_path / "bad.npz.poisoned_ids.txt").is_file()
    assert read_manifest(tmp_path / "bad.npz.manifest.json").steps == manifest.steps


@pytest.mark.parametrize("format", ["numbered", "folder"])
def test_what_lies_beside_the_pictures_is_not_taken_for_one(make_set, tmp_path, format):
    image_set = make_set(12)
    settings = attack_settings("bullseye", overrides=SMALL["bullseye"])
    result = poison(image_set, "bullseye", settings=settings, resources=_resources(make_set))
    write_poisoned(result, image_set, tmp_path / "bad", format=format)
    assert (tmp_path / "bad" / "target.npy").is_file()
    found = read(tmp_path / "bad", labels_from=image_set if format == "numbered" else None)
    assert found.content_hash == result.step.result
    assert not found.notes


def test_errors_name_what_is_wrong(grey):
    with pytest.raises(SettingsError, match="no attack 'lspp'; did you mean 'lsp'"):
        poison(grey, "lspp")
    with pytest.raises(SettingsError, match="cannot be cut into cells of 7"):
        poison(grey, "lsp", settings=LspSettings(patch=7))
    with pytest.raises(SettingsError, match="fraction is 0"):
        poison(grey, "urp", fraction=0)
    with pytest.raises(SettingsError, match="8/255"):
        attack_settings("urp", overrides={"epsilon": "eight"})
    unlabelled = ArrayImageSet(grey.images, np.full(60, -1), class_names=["a"])
    with pytest.raises(SettingsError, match="without a label"):
        poison(unlabelled, "urp")


def test_pictures_keep_their_transparency_and_those_left_clean_all_channels(make_set, tmp_path):
    image_set = make_set(12)
    stored = [from_channels(np.dstack([image, image[..., 0]])) for image in image_set.images]
    stored[0] = from_channels(image_set.images[0][..., :1])
    about = {"class_names": image_set.class_names, "ids": image_set.ids, "name": "mixed"}
    source = PictureListSet(stored, image_set.labels, **about)
    poisoned = poison(source, "urp", fraction=0.5)
    write(poisoned.image_set, tmp_path / "out.parquet")
    found = read(tmp_path / "out.parquet")
    assert found.content_hash == poisoned.step.result
    for row, image_id in enumerate(image_set.ids):
        picture = found.picture(row)
        before = stored[row]
        assert (picture.alpha is None) == (before.alpha is None)
        assert picture.mode == (before.mode if image_id not in poisoned.ids else "RGB" if row == 0 else "RGBA")
        assert np.array_equal(picture.rgb, before.rgb) == (image_id not in poisoned.ids)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, "0", True])
def test_a_seed_that_is_none(make_set, seed):
    with pytest.raises(SettingsError, match="is no whole number from 0 to"):
        poison(make_set(8), "urp", seed=seed)
    with pytest.raises(SettingsError, match="is no whole number from 0 to"):
        PurifyRun(purifier_settings("jpeg"), seed=seed)
