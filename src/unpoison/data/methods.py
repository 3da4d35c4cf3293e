"""The formats: one file each. Detection asks them in this order, so the particular stand before the general."""

from __future__ import annotations

METHODS: dict[str, str] = {
    "digits": "unpoison.data.formats.digits:FORMAT",
    "hub": "unpoison.data.formats.hub:FORMAT",
    "npz": "unpoison.data.formats.npz:FORMAT",
    "archive": "unpoison.data.formats.archived_folder:FORMAT",
    "cifar10": "unpoison.data.official.cifar_python:CIFAR10",
    "cifar100": "unpoison.data.official.cifar_python:CIFAR100",
    "cifar10-bin": "unpoison.data.official.cifar_binary:CIFAR10",
    "cifar100-bin": "unpoison.data.official.cifar_binary:CIFAR100",
    "eclipse-pkl": "unpoison.data.published.eclipse_pickle:FORMAT",
    "eclipse-tree": "unpoison.data.published.eclipse_tree:FORMAT",
    "delusive-pt": "unpoison.data.published.delusive_pt:FORMAT",
    "stl10": "unpoison.data.official.stl10:FORMAT",
    "tiny-imagenet": "unpoison.data.official.tiny_imagenet:FORMAT",
    "cinic10": "unpoison.data.official.cinic10:FORMAT",
    "bullseye-pth": "unpoison.data.published.bullseye_pth:FORMAT",
    "bullseye-split": "unpoison.data.published.bullseye_split:FORMAT",
    "puregen-pth": "unpoison.data.published.puregen_pth:FORMAT",
    "puregen-sets": "unpoison.data.published.puregen_sets:FORMAT",
    "benchmark-dir": "unpoison.data.published.benchmark_dir:FORMAT",
    "tap-npy": "unpoison.data.published.tap_npy:FORMAT",
    "sep-npy": "unpoison.data.published.sep_npy:FORMAT",
    "ntga-npy": "unpoison.data.published.ntga_npy:FORMAT",
    "arrow": "unpoison.data.formats.arrow_folder:FORMAT",
    "parquet": "unpoison.data.formats.parquet:FORMAT",
    "tar": "unpoison.data.formats.tar_shards:FORMAT",
    "numbered": "unpoison.data.formats.numbered:FORMAT",
    "folder": "unpoison.data.formats.folder:FORMAT",
}
