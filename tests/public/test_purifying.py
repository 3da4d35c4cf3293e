"""`unpoison.purify` gives back what it was given, and the bytes of a run into a file."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
import torch
from nets.test_pipelines import make_pipeline
from PIL import Image

import unpoison
from unpoison.core.errors import ModelError, SettingsError, UnpoisonError
from unpoison.core.images import ArrayImageSet
from unpoison.core.manifest import manifest_path, read_manifest
from unpoison.core.notes import DataWarning
from unpoison.core.pixels import to_uint8
from unpoison.core.precision import choose_precision, network_dtype
from unpoison.data import read, write
from unpoison.nets.denoiser import CallableDenoiser
from unpoison.nets.int8 import Int8Pocket
from unpoison.nets.weights import load_any
from unpoison.purifiers.methods import DEFAULT
from unpoison.runs.photographs import StrangePicturesWarning


@pytest.fixture
def fast(tiny_model) -> dict:
    """Settings of a run that draws noise."""
    return {"model": tiny_model, "sigma": "10/255", "seed": 3}


@pytest.fixture
def images(make_set) -> np.ndarray:
    return make_set(7).images


@pytest.fixture
def expected(images, fast, tmp_path) -> np.ndarray:
    """What a run from file to file makes of the images."""
    write(ArrayImageSet(images, np.zeros(len(images), int)), tmp_path / "in.npz")
    purified = unpoison.purify(tmp_path / "in.npz", out=tmp_path / "out.npz", **fast).array()
    assert not np.array_equal(purified, images)
    return purified


def test_arrays_and_8_bit_tensors_are_as_files(images, expected, fast):
    before = images.copy()
    assert np.array_equal(unpoison.purify(images, **fast), expected)
    assert np.array_equal(unpoison.purify(images[0], **fast), expected[0])
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2)
    purified = unpoison.purify(tensor, **fast)
    assert (purified.dtype, purified.shape) == (torch.uint8, tensor.shape)
    assert np.array_equal(purified.permute(0, 2, 3, 1).numpy(), expected)
    assert np.array_equal(images, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_float_tensors(images, expected, fast, dtype):
    tensor = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255).to(dtype).requires_grad_()
    purified = unpoison.purify(tensor, **fast)
    assert (purified.dtype, purified.shape, purified.requires_grad) == (dtype, tensor.shape, False)
    assert purified.min() >= 0
    assert purified.max() <= 1
    assert len(purified.unique()) > 256  # not rounded to 8 bits
    assert np.abs(to_uint8(purified).astype(int) - expected).max() <= 1
    assert torch.allclose(unpoison.purify(tensor[0], **fast), purified[0], atol=1e-3)
    (purified * torch.ones((), dtype=dtype, requires_grad=True)).sum().backward()  # can be trained on


def test_large_float_tensors_go_tile_by_tile():
    tensor = torch.rand(1, 3, 520, 40, generator=torch.Generator().manual_seed(0))
    purified = unpoison.purify(tensor, "jpeg", quality=60)
    levels = unpoison.purify(to_uint8(tensor), "jpeg", quality=60)
    assert np.array_equal(to_uint8(purified), levels)


def test_float_arrays(images, fast):
    floats = images / 255
    purified = unpoison.purify(floats, **fast)
    assert (purified.dtype, purified.shape) == (floats.dtype, floats.shape)
    tensor = unpoison.purify(torch.from_numpy(floats).permute(0, 3, 1, 2), **fast)
    assert np.array_equal(purified, tensor.permute(0, 2, 3, 1).numpy())


def test_pillow_pictures(images, expected, fast):
    assert np.array_equal(np.asarray(unpoison.purify(Image.fromarray(images[0]), **fast)), expected[0])
    purified = unpoison.purify([Image.fromarray(image) for image in images], **fast)
    assert [np.asarray(image).tolist() for image in purified] == expected.tolist()


def test_what_is_left_of_a_picture_is_said_in_memory_too(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    (tmp_path / "cat").mkdir()
    frames[0].save(tmp_path / "cat" / "moving.gif", save_all=True, append_images=frames[1:])
    with pytest.warns(DataWarning, match="pictures of several frames, of which the first was taken: 1"):
        unpoison.purify(tmp_path, "jpeg")


def test_pillow_pictures_of_several_sizes_and_modes():
    colours = np.random.default_rng(0).integers(0, 256, (10, 12, 3), np.uint8)
    modes = {"RGB": "RGB", "L": "L", "1": "L", "P": "RGB", "CMYK": "RGB", "RGBA": "RGBA", "LA": "LA"}
    before = [Image.fromarray(colours[: 4 + row]).convert(mode) for row, mode in enumerate(modes)]
    after = unpoison.purify(tuple(before), "jpeg", quality=10)
    assert [image.mode for image in after] == list(modes.values())
    assert [image.size for image in after] == [image.size for image in before]
    turned = Image.fromarray(colours)
    turned.getexif()[0x0112] = 6
    assert unpoison.purify(turned, "jpeg").size == (10, 12)  # as readers of files do


def test_lists_of_arrays_and_tensors_are_lists_of_pictures(images, expected, fast):
    arrays = unpoison.purify(list(images), **fast)
    assert np.array_equal(np.stack(arrays), expected)
    tensors = [torch.from_numpy(image).permute(2, 0, 1) for image in images]
    purified = unpoison.purify(tuple(tensors), **fast)
    assert np.array_equal(torch.stack(purified).permute(0, 2, 3, 1).numpy(), expected)
    floats = [tensor / 255 for tensor in tensors]
    batch = unpoison.purify(torch.stack(floats), **fast)
    assert torch.equal(torch.stack(unpoison.purify(floats, **fast)), batch)


def test_lists_of_several_kinds_and_sizes():
    rng = np.random.default_rng(0)
    items = [
        rng.integers(0, 256, (9, 7, 3), np.uint8),
        rng.integers(0, 256, (9, 7), np.uint8),
        torch.rand(3, 6, 5, dtype=torch.float64),
        rng.random((4, 8, 3), np.float32),
        Image.effect_noise((5, 6), 90),
    ]
    for given, got in zip(items, unpoison.purify(items, "jpeg"), strict=True):
        assert type(got) is type(given) or isinstance(got, Image.Image)
        if not isinstance(given, Image.Image):
            assert (got.shape, got.dtype) == (given.shape, given.dtype)
    with pytest.raises(SettingsError, match="picture 1: an array of int64"):
        unpoison.purify([items[0], np.zeros((4, 4, 3), np.int64)], "jpeg")
    assert read(items[:2]).sizes.tolist() == [[9, 7], [9, 7]]


def test_image_sets(images, expected, fast, tmp_path):
    image_set = ArrayImageSet(images, np.arange(7) % 2, class_names=["a", "b"], name="mine")
    purified = unpoison.purify(image_set, **fast)
    assert np.array_equal(purified.array(), expected)
    assert (purified.ids, purified.class_names, purified.name) == (image_set.ids, ("a", "b"), "mine")
    assert purified.labels.tolist() == image_set.labels.tolist()
    written = unpoison.purify(image_set, out=tmp_path / "set", **fast)
    assert written.content_hash == purified.content_hash


def test_folders_of_mixed_sizes_in_memory(tmp_path):
    for number, (mode, size) in enumerate([("RGB", (9, 8)), ("L", (7, 8)), ("RGBA", (4, 6))]):
        (tmp_path / "in/a").mkdir(parents=True, exist_ok=True)
        Image.effect_noise(size, 90).convert(mode).save(tmp_path / f"in/a/{number}.png")
    kept = unpoison.purify(str(tmp_path / "in"), "jpeg")
    filed = unpoison.purify(str(tmp_path / "in"), "jpeg", out=tmp_path / "out")
    assert kept.content_hash == filed.content_hash
    assert [kept.picture(row).mode for row in range(3)] == [filed.picture(row).mode for row in range(3)]
    write(kept, tmp_path / "again")
    files = [sorted(folder.rglob("*.png")) for folder in (tmp_path / "out", tmp_path / "again")]
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]


def test_files_have_a_manifest_and_a_history(images, fast, tmp_path):
    write(ArrayImageSet(images, np.zeros(7, int)), tmp_path / "in.npz")
    unpoison.purify(tmp_path / "in.npz", "jpeg", out=tmp_path / "jpeg.npz", quality=40)
    image_set = unpoison.purify(str(tmp_path / "jpeg.npz"), out=tmp_path / "out.npz", **fast)
    manifest = read_manifest(manifest_path(tmp_path / "out.npz"))
    assert [step.method for step in manifest.steps] == ["jpeg", DEFAULT]
    assert (manifest.steps[0].settings["jpeg"]["quality"], manifest.steps[1].seed) == (40, 3)
    assert image_set.content_hash == manifest.steps[1].result


def test_hugging_face_datasets(make_set, fast, tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    write(make_set(5), tmp_path / "in.parquet")
    dataset = datasets.Dataset.from_parquet(str(tmp_path / "in.parquet"), cache_dir=str(tmp_path / "cache"))
    dataset = dataset.add_column("note", list("abcde"))
    purified = unpoison.purify(dataset, **fast)
    assert purified.features == dataset.features
    assert (purified["note"][:], purified["label"][:]) == (dataset["note"][:], dataset["label"][:])
    filed = unpoison.purify(tmp_path / "in.parquet", out=tmp_path / "out.parquet", **fast)
    assert [np.asarray(image).tolist() for image in purified["image"][:]] == filed.array().tolist()
    assert read(purified).ids == filed.ids


def test_dicts_of_datasets_go_split_by_split(make_set, tmp_path):
    datasets = pytest.importorskip("datasets")
    splits = datasets.DatasetDict()
    for name in ("train", "test"):
        write(make_set(4, seed=len(name)), tmp_path / f"{name}.parquet")
        splits[name] = datasets.Dataset.from_parquet(str(tmp_path / f"{name}.parquet"), cache_dir=str(tmp_path / "c"))
    purified = unpoison.purify(splits, "jpeg")
    assert isinstance(purified, datasets.DatasetDict)
    for name, split in splits.items():
        assert read(purified[name]).content_hash == read(unpoison.purify(split, "jpeg")).content_hash


def test_pictures_unlike_photographs_are_warned_of(fast):
    grey = np.tile(np.arange(120, 136, dtype=np.uint8)[:, None, None], (2, 1, 16, 3))
    with pytest.warns(StrangePicturesWarning, match="most pictures of .* are grey"):
        unpoison.purify(grey)
    with warnings.catch_warnings(action="error"):
        unpoison.purify(grey, **fast)  # the user's own model


def test_progress(images):
    seen = []
    unpoison.purify(images, "jpeg", on_step=seen.append)
    assert (seen[-1].step, seen[-1].total) == (len(images), len(images))


def test_torch_datasets(images, expected, fast):
    rows = [(torch.from_numpy(image).permute(2, 0, 1) / 255, row) for row, image in enumerate(images)]
    purified = unpoison.purify(rows, **fast)
    assert np.array_equal(purified.array(), expected)
    assert purified.labels.tolist() == list(range(7))


def test_chains_and_profiles(images, tiny_model, tmp_path):
    (tmp_path / "mine.toml").write_text("quality = 20\n")
    by_profile = unpoison.purify(images, "jpeg", profile=str(tmp_path / "mine.toml"))
    assert np.array_equal(by_profile, unpoison.purify(images, "jpeg", quality=20))
    settings = {"jpeg.quality": 20, "eclipse.t": 3, "seed": 3}
    chained = unpoison.purify(images, "jpeg+eclipse", model=tiny_model, **settings)
    spelled = unpoison.purify(images, "jpeg+eclipse", **settings, **{"eclipse.model": str(tiny_model)})
    assert np.array_equal(chained, spelled)


@pytest.mark.parametrize(
    ("x", "problem"),
    [
        (torch.full((1, 3, 4, 4), 1.5), "values from 1.5 to 1.5; they must lie in [0, 1]"),
        (torch.full((1, 3, 4, 4), -0.1), "values from -0.1 to -0.1"),
        (torch.full((1, 3, 4, 4), float("nan")), "values from nan to nan"),
        (torch.tensor([0.5, float("inf")] * 24).view(1, 3, 4, 4), "values from 0.5 to inf"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.int64), "pictures of torch.int64"),
        (torch.zeros(1, 1, 4, 4), "a Tensor of shape [1, 1, 4, 4]"),
        (torch.zeros(0, 3, 4, 4), "shape [0, 3, 4, 4] is not understood; give a non-empty tensor"),
        (torch.zeros(4, 4), "shape [4, 4]"),
        (np.zeros((2, 3, 4, 4), np.uint8), "a ndarray of shape [2, 3, 4, 4]"),
        (np.zeros((2, 4, 0, 3), np.uint8), "non-empty array [N, H, W, 3]"),
        (np.full((2, 4, 4, 3), 200.0), "divide 8-bit levels by 255"),
        (np.zeros((2, 4, 4, 3), np.int64), "pictures of int64"),
        (Image.new("I;16", (4, 4)), "picture 0: the picture has more than 8 bits"),
        ([], "the list holds no pictures"),
        (None, "a NoneType is no image set"),
    ],
)
def test_what_is_no_picture_is_named(x, problem):
    with pytest.raises(SettingsError) as caught:
        unpoison.purify(x, "jpeg")
    assert problem in str(caught.value)


def test_wrong_settings(images, tiny_model, tmp_path):
    for arguments, problem in (
        ({"method": "jpg"}, "did you mean 'jpeg'"),
        ({"method": "jpeg", "sigma": 3}, "no setting 'sigma'"),
        ({"method": "jpeg", "model": tiny_model}, "uses no model"),
        ({"method": "jpeg", "out": tmp_path / "x.npz"}, "out= is for sets with labels"),
        ({"method": "eclipse", "model": lambda x, sigma: x}, "takes its model as a file"),
        ({"method": "fast", "model": 3}, "a int is no model"),
        ({"method": "jpeg", "device": "abacus"}, "device 'abacus' is not available"),
    ):
        with pytest.raises(UnpoisonError, match=problem):
            unpoison.purify(images, **arguments)
    with pytest.raises(SettingsError, match="needs the model as a file"):
        unpoison.purify(ArrayImageSet(images, [0] * 7), model=lambda x, sigma: x, out=tmp_path / "x.npz")
    assert list(tmp_path.iterdir()) == []


class Halver(torch.nn.Module):
    """A user's own network."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, x, sigma):
        assert x.shape == (64, 3, 16, 16)
        assert torch.allclose(sigma, torch.full((64,), 10 / 255))
        return self.scale * x


def test_own_networks_and_functions(images):
    network = Halver().eval()
    fields = {"method": "fast", "sigma": "10/255", "field": "0", "seed": 3}
    by_network = unpoison.purify(images, model=network, **fields)
    by_function = unpoison.purify(images, model=lambda x, sigma: 0.5 * x, **fields)
    assert np.array_equal(by_network, by_function)
    assert abs(by_network.astype(int) - images / 2).max() < 255 * 5 * 10 / 255 / 2
    with pytest.raises(ModelError, match="training mode"):
        unpoison.purify(images, model=Halver())
    with pytest.raises(ModelError, match="the model lies on meta; omit device="):
        unpoison.purify(images, model=Halver().eval().to("meta"), device="cpu")
    narrow = CallableDenoiser(network, 20 / 255, 30 / 255)
    with pytest.raises(UnpoisonError, match="outside what"):
        unpoison.purify(images, model=narrow, sigma="10/255")


def test_own_models_are_as_their_files(images, expected, tiny_model):
    loaded = load_any(tiny_model)
    purified = unpoison.purify(images, model=loaded, sigma="10/255", seed=3)
    device = torch.device("cpu")
    loaded.autocast_dtype = network_dtype(choose_precision(device).precision, device)  # as `auto` has it for a file
    assert np.array_equal(unpoison.purify(images, model=loaded, sigma="10/255", seed=3), expected)
    assert np.abs(purified.astype(int) - expected).max() <= 3


def test_pipelines_of_diffusers(images):
    pytest.importorskip("diffusers")
    pipeline = make_pipeline()
    purified = unpoison.purify(images, model=pipeline, sigma="12/255")
    assert purified.shape == images.shape
    assert not np.array_equal(purified, images)
    pipeline.unet.train()
    with pytest.raises(ModelError, match="training mode"):
        unpoison.purify(images, model=pipeline)


@pytest.mark.gpu
def test_tensors_stay_where_they_are(images, fast):
    tensor = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255).cuda()
    purified = unpoison.purify(tensor, **fast)
    assert purified.device == tensor.device
    other = unpoison.purify(tensor.cpu(), device="cpu", **fast)
    assert other.device.type == "cpu"
    assert (purified.cpu() - other).abs().max() < 0.02


def test_the_package_is_not_asked_for(images):
    """Nothing but a Dataset needs the package `datasets`."""
    loaded = "datasets" in sys.modules
    unpoison.purify(images, "grayscale")
    assert ("datasets" in sys.modules) == loaded


def test_a_set_is_written_as_the_command_writes_it(make_set, tmp_path):
    from click.testing import CliRunner

    from unpoison.cli.main import cli

    write(make_set(6), tmp_path / "in")
    command = ["purify", str(tmp_path / "in"), str(tmp_path / "command"), "--method", "jpeg", "--seed", "3"]
    answer = CliRunner().invoke(cli, command)
    assert answer.exit_code == 0, answer.output
    unpoison.purify(tmp_path / "in", "jpeg", seed=3, out=tmp_path / "python")

    def files(folder):
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert files(tmp_path / "python") == files(tmp_path / "command")
    assert (tmp_path / "python" / "changes.html").exists()


def test_another_set_at_out_is_replaced_on_demand_only(make_set, tmp_path):
    unpoison.purify(make_set(4), "jpeg", out=tmp_path / "out")
    with pytest.raises(UnpoisonError, match="out"):
        unpoison.purify(make_set(4), "grayscale", out=tmp_path / "out")
    unpoison.purify(make_set(4), "grayscale", out=tmp_path / "out", overwrite=True)
    assert read_manifest(manifest_path(tmp_path / "out")).steps[-1].method == "grayscale"
    with pytest.raises(SettingsError, match="overwrite= is about"):
        unpoison.purify(make_set(4), "jpeg", overwrite=True)


def test_bad_pictures_are_set_aside_on_demand(make_set, tmp_path):
    write(make_set(6), tmp_path / "in")
    (tmp_path / "in" / "c0" / "bad.png").write_bytes(b"none")
    with pytest.raises(UnpoisonError, match="skip_bad=True"):
        unpoison.purify(tmp_path / "in", "jpeg", out=tmp_path / "out")
    with pytest.warns(DataWarning, match=r"set aside: .*c0/bad"):
        assert len(unpoison.purify(tmp_path / "in", "jpeg", out=tmp_path / "out", skip_bad=True)) == 6
    assert read_manifest(manifest_path(tmp_path / "out")).skipped == ["c0/bad"]
    with pytest.warns(DataWarning, match=r"set aside: .*c0/bad"):
        assert len(unpoison.purify(tmp_path / "in", "jpeg", skip_bad=True)) == 6
    with pytest.raises(SettingsError, match="skip_bad="):
        unpoison.purify(make_set(2).images, "jpeg", skip_bad=True)


def test_few_pictures_in_int8_are_computed_without_copies(monkeypatch, images):
    expected = unpoison.purify(images, seed=3)
    shapes = []
    forward = Int8Pocket.forward
    monkeypatch.setattr(Int8Pocket, "forward", lambda net, x, *rest: shapes.append(len(x)) or forward(net, x, *rest))
    assert np.array_equal(unpoison.purify(images[0], seed=3), expected[0])
    floats = torch.from_numpy(images[:2]).permute(0, 3, 1, 2) / 255
    assert np.array_equal(to_uint8(unpoison.purify(floats, seed=3)), expected[:2])
    assert shapes == [1, 2]


def test_the_noise_is_secret_unless_a_seed_is_given(images, make_set, tmp_path, caplog):
    with caplog.at_level("INFO"):
        secret = unpoison.purify(images)
    assert not np.array_equal(secret, unpoison.purify(images))
    told = int(caplog.messages[0].removeprefix("seed of the noise: "))
    assert np.array_equal(unpoison.purify(images, seed=told), secret)
    written = [unpoison.purify(make_set(6), out=tmp_path / name).content_hash for name in ("a.npz", "b.npz", "b.npz")]
    assert written[0] != written[1] == written[2]
    seed = read_manifest(tmp_path / "b.npz.manifest.json").steps[-1].seed
    assert unpoison.purify(make_set(6), seed=seed).content_hash == written[1]
