from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from data.conftest import assert_one_line
from data.formats.test_tar_shards import samples, write_tar
from unpoison.core.errors import DataError, SettingsError
from unpoison.core.notes import DataWarning
from unpoison.data import read, write


class Pairs(Dataset):
    """A user's dataset, which gives its pictures in one of several forms."""

    def __init__(self, source, form, classes=None):
        self.source, self.form = source, form
        if classes:
            self.classes = classes

    def __len__(self):
        return len(self.source)

    def __getitem__(self, row):
        return self.form(self.source.images[row]), torch.tensor(self.source.labels[row])


FORMS = {
    "pillow": Image.fromarray,
    "array": np.asarray,
    "uint8 tensor": lambda image: torch.from_numpy(image).permute(2, 0, 1),
    "float tensor": lambda image: torch.from_numpy(image).permute(2, 0, 1) / 255,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_set(small_set, form):
    image_set = read(Pairs(small_set, FORMS[form], classes=["cat", "dog", "emu"]))
    assert (image_set.name, image_set.format) == ("Pairs", "dataset")
    assert image_set.ids == tuple(f"{row:08d}" for row in range(12))
    assert image_set.class_names == ("cat", "dog", "emu")
    assert image_set.labels.tolist() == small_set.labels.tolist()
    assert image_set.content_hash == small_set.content_hash


def test_lists_of_pairs_of_several_sizes():
    rows = [(Image.new("L", (3, 2)), 1), (Image.new("RGBA", (5, 4)), 0), (Image.new("P", (1, 1)), -1)]
    image_set = read(rows)
    assert image_set.sizes.tolist() == [[2, 3], [4, 5], [1, 1]]
    assert (image_set.class_names, [image_set.picture(row).mode for row in range(3)]) == (
        ("0", "1"),
        ["L", "RGBA", "P"],
    )


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (7, "not a pair"),
        ((Image.new("I;16", (2, 2)), 0), "more than 8 bits"),
        (("a.png", 0), "a str is no picture"),
        ((np.zeros((2, 2, 3)), 0), "an array of float64 [2, 2, 3] is no picture"),
        ((np.zeros((3, 2, 2), np.uint8), 0), "an array of uint8 [3, 2, 2] is no picture"),
        ((torch.full((3, 2, 2), -0.5), 0), "do not normalise"),
        ((torch.full((3, 2, 2), float("nan")), 0), "do not normalise"),
        ((torch.zeros(3, 2, 2, dtype=torch.int64), 0), "torch.int64"),
        ((torch.zeros(1, 3, 2, 2), 0), "a tensor of shape [1, 3, 2, 2]"),
    ],
)
def test_bad_rows_are_named(row, problem):
    with pytest.raises(DataError) as caught:
        read([(Image.new("RGB", (2, 2)), 0), row])
    assert_one_line(caught.value, "list, record 1", problem, "Give rows of (picture, label)")


def test_options_of_files_are_refused(small_set):
    with pytest.raises(SettingsError, match="for files"):
        read(Pairs(small_set, np.asarray), format="npz")


def test_random_transforms_are_noticed(small_set):
    sizes = iter(range(2, 30))
    image_set = read(Pairs(small_set, lambda image: Image.new("RGB", (next(sizes), 2))))
    with pytest.raises(DataError, match="Take random transforms off"):
        image_set.picture(0)


@pytest.mark.parametrize("kind", ["tar", "parquet", "arrow"])
def test_loader_with_workers(tmp_path, small_set, kind):
    if kind == "tar":
        write_tar(tmp_path / "x.tar", samples(range(0, 12, 2)))
    else:
        write(small_set, tmp_path / "x.parquet")
    source = tmp_path / ("x.tar" if kind == "tar" else "x.parquet")
    if kind == "arrow":
        datasets = pytest.importorskip("datasets")
        datasets.disable_progress_bars()
        made = datasets.Dataset.from_parquet(str(source), cache_dir=str(tmp_path / "cache"))
        source = tmp_path / "saved"
        made.save_to_disk(source)
    image_set = read(source)
    loader = DataLoader(image_set.as_torch(), batch_size=4, num_workers=2)
    batches = list(loader)
    assert torch.cat([labels for _, labels in batches]).tolist() == image_set.labels.tolist()
    pictures = torch.cat([images for images, _ in batches])
    assert np.array_equal(pictures.mul(255).round().byte().permute(0, 2, 3, 1).numpy(), image_set.array())
    assert pickle.loads(pickle.dumps(image_set)).content_hash == image_set.content_hash


def test_labels_that_purifying_does_not_need():
    picture = Image.new("RGB", (2, 2))
    texts = read([(picture, "emu"), (picture, "cat"), (picture, None)])
    assert (texts.labels.tolist(), texts.class_names) == ([1, 0, -1], ("cat", "emu"))
    assert texts.picture(2).rgb.shape == (2, 2, 3)
    with pytest.warns(DataWarning, match=r"labels that are no class but list, taken as unknown: 1 \(1\)"):
        several = read([(picture, torch.tensor(1)), (picture, [0, 1]), (picture, float("nan"))])
    assert several.labels.tolist() == [1, -1, -1]
    assert len(several.array()) == 3
    with pytest.raises(DataError, match=r"list, record 0: label 1000000000.* is no number of a class"):
        read([(picture, 10**30)])
