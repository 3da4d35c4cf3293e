"""PureGen's folders of purified sets, under both of their names."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from data.conftest import assert_one_line
from unpoison.core.errors import DataError, SettingsError
from unpoison.data import detect_format, read
from unpoison.data.official.stl10 import CLASSES as STL10
from unpoison.data.published.puregen_sets import list_sets

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), np.uint8)
LABELS = np.arange(12) % 10
EBM = "EBMSNGAN32[cinic10_imagenet_nf[128]]_Steps[150]_T[0.0001]"
NARCISSUS = f"cifar10/Poisons/from_scratch/Narcissus/size=32_eps=8_num=500/{EBM}"


def pairs(rows):
    return [(Image.fromarray(PIXELS[row]), torch.tensor(int(LABELS[row]))) for row in rows]


def save(root, name, value):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, root / name)


@pytest.fixture(params=["PureGen_PoisonDefense", "PureGen_PurifiedData"])
def root(request, tmp_path):
    root = tmp_path / request.param
    save(root, f"cifar10/{EBM}.pt", pairs(range(12)))
    save(root, "cifar10/JPEG[75].pt", pairs(range(6)))
    save(root, "cifar10/NTG/EBM[Steps[150]]_DDPM[T[75]].pt", pairs(range(5)))
    save(root, "cifar10/HF_DDPM[google/ddpm-cifar10-32]_T[50].pt", pairs(range(3)))
    save(root, "stl10/DDPM[T[75]].pt", pairs(range(4)))
    for target in (0, 9, 10):
        poisons = (pairs([3, 5]), np.array([40, 7]), np.zeros((1, 3, 32, 32), np.float32))
        save(root, f"{NARCISSUS}/{target}.pth", poisons)
    save(root, "cifar10/Poisons/linear_transfer/BullseyePolytopeBench/imgs=25/JPEG[75]/3.pth", (pairs([8]), [2], 8))
    save(root, "cifar10/Poisons/from_scratch/GradientMatching/JPEG[75]/0.pth", (pairs([1]), [2], torch.tensor(4)))
    (root / "cifar10" / "PurifyTimes.csv").write_text("Data Key,Dataset,Purify Time,Args\n")
    return root


def test_list(root):
    found = {one.name: one for one in list_sets(root)}
    assert len(found) == 10
    whole = found[f"cifar10/{EBM}"]
    assert (whole.dataset, whole.key, whole.poison, whole.mode, whole.target) == ("cifar10", EBM, "", "", None)
    one = found[f"{NARCISSUS}/9"]
    assert (one.poison, one.mode, one.variant, one.target) == ("Narcissus", "from_scratch", "size=32_eps=8_num=500", 9)
    assert one.key == EBM
    assert found["cifar10/NTG/EBM[Steps[150]]_DDPM[T[75]]"].poison == "NTG"
    assert found["cifar10/HF_DDPM[google/ddpm-cifar10-32]_T[50]"].key == "HF_DDPM[google/ddpm-cifar10-32]_T[50]"
    assert found["cifar10/Poisons/from_scratch/GradientMatching/JPEG[75]/0"].variant == ""
    names = list(found)
    assert names.index(f"{NARCISSUS}/9") < names.index(f"{NARCISSUS}/10")


def test_sets_are_read_by_their_path_in_the_tree(root):
    assert detect_format(root) == "puregen-sets"
    np.testing.assert_array_equal(read(f"{root}#cifar10/{EBM}").array(), PIXELS)
    np.testing.assert_array_equal(read(f"{root}#cifar10/{EBM}[2:4]").array(), PIXELS[2:4])
    np.testing.assert_array_equal(read(f"{root}#{NARCISSUS}/10").array(), PIXELS[[3, 5]])
    np.testing.assert_array_equal(read(root / "cifar10" / "JPEG[75].pt").array(), PIXELS[:6])
    stl10 = read(f"{root}#stl10/DDPM[T[75]]")
    assert stl10.class_names == STL10
    assert stl10.labels.tolist() == [0, 1, 2, 3]


def test_what_is_there_is_said(root):
    for source, problem in ((root, "name one of its sets"), (f"{root}#cifar10/EBM[Steps[1]]", "it has no set")):
        with pytest.raises(SettingsError) as caught:
            read(source)
        assert_one_line(caught.value, problem, f"cifar10/{EBM}, ", f"{NARCISSUS}/0 to 10", "JPEG[75]/3, ")
    with pytest.raises(SettingsError, match="has no set"):
        read(f"{root}#../{root.name}/cifar10/JPEG[75]")


def test_links_out_of_the_tree_are_not_followed(root, tmp_path):
    save(tmp_path, "secret.pt", pairs(range(2)))
    (root / "cifar10" / "JPEG[10].pt").symlink_to(tmp_path / "secret.pt")
    assert "cifar10/JPEG[10]" not in {one.name for one in list_sets(root)}
    (tmp_path / "outside").mkdir()
    save(tmp_path, "outside/JPEG[75].pt", pairs(range(2)))
    (root / "cinic10").symlink_to(tmp_path / "outside")
    with pytest.raises(SettingsError, match="has no set"):
        read(f"{root}#cinic10/JPEG[75]")


def test_other_folders_are_no_trees(tmp_path):
    (tmp_path / "cifar10").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "cifar10" / "a.png")
    assert detect_format(tmp_path) == "folder"
    with pytest.raises(DataError, match="no purified sets of PureGen"):
        read(tmp_path, format="puregen-sets")
