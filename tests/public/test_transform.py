"""`unpoison.Purify`, a transform of pictures and batches, in the pipelines of other libraries."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import unpoison
from unpoison import Purify
from unpoison.core.errors import SettingsError
from unpoison.nets.int8 import Int8Pocket


@pytest.fixture
def images(make_set) -> np.ndarray:
    return make_set(5).images


def planes(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(*range(images.ndim - 3), -1, -3, -2).contiguous()


class Compose:
    """Calls its transforms as torchvision's v2 does: with all of a sample, and unpacks what comes back."""

    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self, *inputs):
        several = len(inputs) > 1
        for transform in self.transforms:
            outputs = transform(*inputs)
            inputs = outputs if several else (outputs,)
        return outputs


class Image8(torch.Tensor):
    """A tensor of a kind of its own, as torchvision's v2 has them."""


class Pictures(Dataset):
    def __init__(self, images, transform):
        self.images, self.transform = images, transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, row):
        return self.transform(planes(self.images[row])), row


def test_a_picture_comes_back_as_what_it_was(images):
    transform = Purify()
    expected = transform(images[0])
    assert expected.dtype == np.uint8
    assert not np.array_equal(expected, images[0])
    pillow = transform(Image.fromarray(images[0]))
    assert isinstance(pillow, Image.Image)
    assert np.array_equal(np.asarray(pillow), expected)
    levels = transform(planes(images[0]))
    assert torch.equal(levels, planes(expected))
    floats = transform((planes(images[0]) / 255).double().requires_grad_())
    assert (floats.dtype, floats.requires_grad) == (torch.float64, False)
    assert torch.equal((255 * floats).round().byte(), levels)
    own = transform(planes(images[0]).as_subclass(Image8))
    assert type(own) is Image8
    assert torch.equal(own.as_subclass(torch.Tensor), levels)


def test_grey_and_transparent_pictures_stay_so(images):
    for mode in ("L", "RGBA"):
        picture = Image.fromarray(images[0]).convert(mode)
        assert Purify("jpeg")(picture).mode == mode


def test_batches_are_as_single_pictures(images):
    transform = Purify()
    singly = np.stack([transform(image) for image in images])
    assert np.array_equal(transform(images), singly)
    assert torch.equal(transform(planes(images)), planes(singly))
    assert np.array_equal(np.stack(transform(list(images))), singly)
    sizes = transform([images[0], Image.fromarray(images[1][:8])])
    assert np.array_equal(sizes[0], singly[0])
    assert sizes[1].size == (16, 8)


def test_with_ids_the_bytes_are_those_of_a_run(make_set):
    image_set = make_set(5)
    expected = unpoison.purify(image_set, seed=3).array()
    transform = Purify(seed=3)
    assert np.array_equal(transform(image_set.images, id=list(image_set.ids)), expected)
    for row in (4, 2):
        assert np.array_equal(transform(image_set.images[row], id=image_set.ids[row]), expected[row])


def test_noise_is_drawn_by_pixels_or_by_id_or_anew(images):
    grey = np.full((2, 16, 16, 3), 128, np.uint8)
    one, two = Purify(seed=0)(grey)
    assert np.array_equal(one, two)
    assert not np.array_equal(one, Purify(seed=1)(grey[0]))
    assert not np.array_equal(one, Purify(seed=0)(grey[0], id="a"))
    grey[1, 0, 0, 0] += 1
    assert np.abs(np.diff(Purify(seed=0)(grey).astype(int), axis=0)).max() > 1

    def calls() -> list[np.ndarray]:
        transform = Purify(fresh=True, seed=0)
        return [transform(grey[0], id="a"), transform(grey[0], id="a"), *transform(grey[[0, 0]])]

    first = calls()
    assert len({picture.tobytes() for picture in first}) == 4
    assert all(map(np.array_equal, first, calls()))
    assert not np.array_equal(Purify()(grey[0]), Purify()(grey[0]))  # without a seed it is secret


def test_one_picture_is_one_call_of_one_image(monkeypatch, images):
    shapes = []
    forward = Int8Pocket.forward
    monkeypatch.setattr(
        Int8Pocket, "forward", lambda self, x, *others: shapes.append(len(x)) or forward(self, x, *others)
    )
    Purify()(images[0])
    assert shapes == [1]


def test_labels_pass_through_a_pipeline(images):
    pipeline = Compose([Purify(), lambda picture, *rest: (picture.float() / 255, *rest)])
    picture, label = pipeline(planes(images[0]), 7)
    assert (picture.dtype, label) == (torch.float32, 7)
    assert torch.equal(Compose([Purify(seed=3)])(planes(images[0])), Purify(seed=3)(planes(images[0])))
    picture, label = Compose([Purify()])((planes(images[0]), 7))
    assert label == 7


def test_it_pickles_as_its_settings(images):
    transform = Purify(seed=3)
    expected = transform(images[0])
    pickled = pickle.dumps(transform)
    assert len(pickled) < 1000
    assert np.array_equal(pickle.loads(pickled)(images[0]), expected)
    assert pickled == pickle.dumps(Purify(seed=3))  # so that `Dataset.map` finds what it has stored


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_of_a_loader(images, start):
    transform = Purify()
    expected = planes(transform(images))
    loader = DataLoader(Pictures(images, transform), batch_size=2, num_workers=2, multiprocessing_context=start)
    assert torch.equal(torch.cat([pictures for pictures, _ in loader]), expected)


def test_workers_draw_fresh_noise_each_epoch(images):
    loader = DataLoader(Pictures(images, Purify(fresh=True)), batch_size=5, num_workers=1)

    def epochs() -> list[bytes]:
        torch.manual_seed(0)
        return [pictures.numpy().tobytes() for _ in range(2) for pictures, _ in loader]

    first = epochs()
    assert first[0] != first[1]
    assert first == epochs()


def test_datasets_of_hugging_face(images):
    datasets = pytest.importorskip("datasets")
    transform = Purify()
    expected = transform(images)
    rows = {"image": [Image.fromarray(image) for image in images], "label": list(range(5))}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    dataset = datasets.Dataset.from_dict(rows, features=features)
    for purified in (
        dataset.map(transform),
        dataset.map(transform, batched=True, batch_size=3),
        dataset.map(lambda batch: {"image": transform(batch["image"])}, batched=True),
        dataset.with_transform(transform),
    ):
        assert np.array_equal(np.stack([np.asarray(row["image"]) for row in purified]), expected)
        assert list(purified["label"]) == list(range(5))
    renamed = dataset.rename_column("image", "scan").map(transform)
    assert np.array_equal(np.asarray(renamed[4]["scan"]), expected[4])


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((4, 16, 16)), "array of float64"),
        (torch.full((3, 4, 4), 2.0), "do not normalise"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "int64"),
        (torch.zeros(1, 4, 4), r"\[1, 4, 4\]"),
        ("cat.png", "a str is no picture"),
        ({"label": 3}, "0 of the columns label"),
    ],
)
def test_what_is_no_picture_is_refused(picture, message):
    with pytest.raises(SettingsError, match=message):
        Purify("jpeg")(picture)


def test_ids_must_name_each_picture(images):
    with pytest.raises(SettingsError, match="each of 5 pictures"):
        Purify("jpeg")(images, id="a")
    with pytest.raises(SettingsError, match="each of 1 pictures"):
        Purify("jpeg")(images[0], id=["a", "b"])


def test_methods_that_need_the_whole_set_are_refused():
    with pytest.raises(SettingsError, match=r"puregen-filt.*whole set"):
        Purify("puregen-filt")
    with pytest.raises(SettingsError, match="sgima"):
        Purify(sgima="3/255")
