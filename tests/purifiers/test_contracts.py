"""What every purifier in the table must keep to."""

from __future__ import annotations

import pytest
import torch

from unpoison.core.device import same_bits
from unpoison.core.errors import ModelError, SettingsError
from unpoison.core.images import ArrayImageSet
from unpoison.core.methods import load_method
from unpoison.core.noise import Noise
from unpoison.core.pixels import to_uint8
from unpoison.dynamics.steps import Stopped
from unpoison.purifiers.chain import Chain, build_purifier
from unpoison.purifiers.methods import METHODS, SETTINGS, load_purifier
from unpoison.purifiers.protocol import NeedsWholeSet, Purifier
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.contract import check_halo
from unpoison.runs.preparing import prepare

# The smallest settings with which a method works.
SMALL = {
    "fast": {"sigma": "10/255", "steps": 1},
    "eclipse": {"t": 3},
    "puregen-ebm": {"steps": 2},
    "puregen-ddpm": {"t": 3},
    "puregen-naive": {"langevin_steps": 2, "t": 3},
    "puregen-reps": {"langevin_steps": 1, "t": 2, "reps": 2},
    "puregen-filt": {"langevin_steps": 1, "t": 2, "fraction": 0.6},
    "d-vae": {"epochs": 1, "width": 4},
    "avatar": {"t": 0.05, "steps": 3},
    "orthogonal-projection": {"updates": 10},
}
NETS = [name for name in SMALL if name not in ("d-vae", "orthogonal-projection")]  # with a model that can be named
ENERGY_FIELDS = {"puregen-ebm": "model", "puregen-naive": "energy", "puregen-reps": "energy", "puregen-filt": "energy"}
METHODS_AND_CHAIN = [*METHODS, "jpeg+eclipse", "jpeg+puregen-filt", "jpeg+d-vae"]


@pytest.fixture(autouse=True)
def one_core():
    """As in a run: small networks on two cores wait for each other, and forever where others compute too."""
    with same_bits(torch.device("cpu")):
        yield


@pytest.fixture(params=METHODS_AND_CHAIN)
def purifier(request, tiny_model, tiny_energy, device, images):
    overrides = {}
    for link in request.param.split("+"):
        fields = dict(SMALL.get(link, {}))
        if link in NETS:
            fields["model"] = str(tiny_model)
        if link in ENERGY_FIELDS:
            fields[ENERGY_FIELDS[link]] = str(tiny_energy)
        prefix = f"{link}." if "+" in request.param else ""
        overrides.update({f"{prefix}{name}": value for name, value in fields.items()})
    built = build_purifier(purifier_settings(request.param, overrides=overrides), device=device)
    ids = [str(row) for row in range(len(images))]
    return prepare(built, ArrayImageSet(to_uint8(images), [0, 1, 0, 1, 0], ids=ids), seed=0)


def test_the_table_of_settings_is_that_of_the_purifiers():
    assert list(SETTINGS) == list(METHODS)
    for name in METHODS:
        assert load_method(SETTINGS, name, kind="purifier") is load_method(METHODS, name, kind="purifier").Settings


@pytest.fixture
def images(device):
    return torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0)).to(device)


def _noise(count: int, seed: int = 0) -> Noise:
    return Noise(seed, "test", [str(row) for row in range(count)])


@torch.inference_mode()
def test_shape_range_and_input_are_kept(purifier, images):
    before = images.clone()
    purified = purifier.purify(images, noise=_noise(5))
    assert purified.shape == images.shape
    assert purified.dtype == torch.float32
    assert purified.device == images.device
    assert purified.min() >= 0
    assert purified.max() <= 1
    assert torch.equal(images, before)
    assert not torch.equal(purified, images)


@torch.inference_mode()
def test_same_seed_same_bytes(purifier, images):
    first, again, other = (purifier.purify(images, noise=_noise(5, seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    links = purifier.links if isinstance(purifier, Chain) else [purifier]
    assert torch.equal(first, other) == (not any(link.is_random for link in links))


@torch.inference_mode()
def test_an_image_does_not_depend_on_its_neighbours(purifier, images):
    whole = purifier.purify(images, noise=_noise(5))
    alone = purifier.purify(images[2:3], noise=Noise(0, "test", ["2"]))
    assert torch.allclose(whole[2:3], alone, atol=2 / 255)


@torch.inference_mode()
def test_its_steps_can_be_watched_and_stopped(purifier, images):
    seen = []
    watched = purifier.purify(images, noise=_noise(5), on_step=seen.append)
    assert torch.equal(watched, purifier.purify(images, noise=_noise(5))), "who watches changes nothing"
    assert bool(seen) == bool(purifier.weights), "the steps are calls of a network"
    if seen:
        assert (seen[0].step, seen[-1].step) == (0, seen[-1].total)
        assert all(info.images.shape[1:] == images.shape[1:] for info in seen)
        with pytest.raises(Stopped):
            purifier.purify(images, noise=_noise(5), should_stop=lambda: True)


def test_what_each_purifier_declares():
    declared = {name: load_purifier(name) for name in METHODS}
    filters = [name for name, address in METHODS.items() if ".filters." in address]
    assert [name for name, made in declared.items() if not made.is_random] == [
        "orthogonal-projection",
        "equalise",
        *(name for name in filters if name not in ("gaussian-noise", "jitter", "cepstral-noise")),
    ]
    assert [name for name, made in declared.items() if made.takes_denoiser] == ["fast"]
    assert [name for name, made in declared.items() if made.needs_whole_set] == [
        "puregen-filt",
        "d-vae",
        "orthogonal-projection",
        "equalise",
    ]
    assert {name: made.strength_field for name, made in declared.items() if made.strength_field} == {
        "eclipse": "t",
        "puregen-ebm": "steps",
        "puregen-ddpm": "t",
    }
    for name, made in declared.items():
        assert issubclass(made, NeedsWholeSet if made.needs_whole_set else Purifier), name


# The reach of a walk is that of all its calls, so that settings which change it are tried too.
HALOS = [
    ("fast", {"steps": 1}),
    ("fast", {"steps": 2, "sampler": "heun"}),
    ("jpeg", {}),
    ("grayscale", {}),
    ("bit-depth", {}),
    ("quantise", {}),
    ("gaussian-blur", {"sigma": 0.1}),
    ("gaussian-blur", {"sigma": 3}),
    ("mean-filter", {"size": 7}),
    ("median-filter", {"size": 5}),
    ("despeckle", {}),
    ("trim", {"width": 2}),
    ("chroma-blur", {"radius": 1}),
    ("jitter", {"reach": 1.5}),
    ("cepstral-noise", {"std": 0.3}),
    ("gaussian-noise", {}),
    ("total-variation", {"iterations": 20}),
]


@pytest.mark.parametrize(("method", "fields"), HALOS)
def test_tiles_are_like_the_whole_where_a_halo_is_declared(method, fields):
    precision = {"precision": "fp32"} if method == "fast" else {}
    built = build_purifier(purifier_settings(method, overrides=fields | precision), device=torch.device("cpu"))
    assert built.halo is not None
    check_halo(built, method)


def test_every_halo_is_tried(purifier, request):
    tried = {method for method, _ in HALOS}
    links = purifier.links if isinstance(purifier, Chain) else [purifier]
    for name, link in zip(request.node.callspec.params["purifier"].split("+"), links, strict=True):
        assert link.halo is None or name in tried


def test_a_file_is_what_a_field_says_and_not_what_lies_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("0.005", "16/255", "10"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no weights")
    (found,) = purifier_settings("eclipse", overrides={"model": "nets/mine.safetensors"}).values()
    assert found.named_files() == {("model",): "nets/mine.safetensors"}
    assert found.described()["model"] == "mine.safetensors"
    assert purifier_settings("jpeg", overrides={"quality": 10})["jpeg"].named_files() == {}


@pytest.mark.parametrize("method", METHODS)
def test_settings_survive_json(method):
    settings = purifier_settings(method)[method]
    assert type(settings).model_validate_json(settings.model_dump_json()) == settings


def test_floor_darkens_and_keeps_whole_levels(tiny_model, images):
    if images.is_cuda:
        pytest.skip("compares bytes on the CPU")
    with torch.inference_mode():
        purified = {
            rule: build_purifier(
                purifier_settings("eclipse", overrides={"model": str(tiny_model), "t": 2, "quantise": rule}),
                device=torch.device("cpu"),
            ).purify(images, noise=_noise(5))
            for rule in ("round", "floor")
        }
    floor, rounded = to_uint8(purified["floor"]).astype(int), to_uint8(purified["round"]).astype(int)
    assert set((rounded - floor).ravel().tolist()) == {0, 1}
    assert torch.equal(purified["floor"], (purified["round"] * 255).floor() / 255)


def test_errors_name_what_is_wrong(tiny_model):
    with pytest.raises(SettingsError, match=r"no purifier 'jpg'; did you mean 'jpeg'"):
        purifier_settings("jpg")
    with pytest.raises(SettingsError, match=r"no setting 'sigma'"):
        purifier_settings("jpeg", overrides={"sigma": "8/255"})
    with pytest.raises(SettingsError, match=r"'jpeg\+grayscale' has no setting 'sigma'; choose from jpeg.quality"):
        purifier_settings("jpeg+grayscale", overrides={"sigma": 3})
    with pytest.raises(SettingsError, match=r"write one of jpeg.field, grayscale.field"):
        purifier_settings("jpeg+grayscale", overrides={"fast.sigma": 3})
    with pytest.raises(SettingsError, match="twice"):
        purifier_settings("jpeg+jpeg")
    with pytest.raises(ModelError, match="--model FILE"):
        build_purifier(purifier_settings("eclipse"), device=torch.device("cpu"))
    overrides = {"model": str(tiny_model), "sigma": "1/100000"}
    with pytest.raises(SettingsError, match="outside what"):
        build_purifier(purifier_settings("fast", overrides=overrides), device=torch.device("cpu"))


def test_jpeg_is_pillows(make_set):
    import io

    import numpy as np
    from PIL import Image

    from unpoison import purify

    image_set = make_set(3)
    purified = purify(image_set, "jpeg", quality=25).array()
    buffer = io.BytesIO()
    Image.fromarray(image_set.images[1]).save(buffer, "JPEG", quality=25)
    assert np.array_equal(purified[1], np.asarray(Image.open(buffer).convert("RGB")))


def test_grayscale_is_pillows(make_set):
    import numpy as np
    from PIL import Image

    from unpoison import purify

    image_set = make_set(3)
    purified = purify(image_set, "grayscale").array()
    assert np.array_equal(purified[2][..., 1], np.asarray(Image.fromarray(image_set.images[2]).convert("L")))
