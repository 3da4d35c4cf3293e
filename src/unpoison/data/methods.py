"""The formats: one file each. Detection asks them in this order, so the particular stand before the general."""

from __future__ import annotations

METHODS: dict[str, str] = {
    "digits": "unpoison.data.digits:FORMAT",
    "hub": "unpoison.data.hub:FORMAT",
    "npz": "unpoison.data.npz:FORMAT",
    "archive": "unpoison.data.archived_folder:FORMAT",
    "cifar10": "unpoison.data.cifar_python:CIFAR10",
    "cifar100": "unpoison.data.cifar_python:CIFAR100",
    "cifar10-bin": "unpoison.data.cifar_binary:CIFAR10",
    "cifar100-bin": "unpoison.data.cifar_binary:CIFAR100",
    "eclipse-pkl": "unpoison.data.eclipse_pickle:FORMAT",
    "eclipse-tree": "unpoison.data.eclipse_tree:FORMAT",
    "delusive-pt": "unpoison.data.delusive_pt:FORMAT",
    "stl10": "unpoison.data.stl10:FORMAT",
    "tiny-imagenet": "unpoison.data.tiny_imagenet:FORMAT",
    "cinic10": "unpoison.data.cinic10:FORMAT",
    "bullseye-pth": "unpoison.data.bullseye_pth:FORMAT",
    "bullseye-split": "unpoison.data.bullseye_split:FORMAT",
    "puregen-pth": "unpoison.data.puregen_pth:FORMAT",
    "puregen-sets": "unpoison.data.puregen_sets:FORMAT",
    "benchmark-dir": "unpoison.data.benchmark_dir:FORMAT",
    "tap-npy": "unpoison.data.tap_npy:FORMAT",
    "sep-npy": "unpoison.data.sep_npy:FORMAT",
    "ntga-npy": "unpoison.data.ntga_npy:FORMAT",
    "arrow": "unpoison.data.arrow_folder:FORMAT",
    "parquet": "unpoison.data.parquet:FORMAT",
    "tar": "unpoison.data.tar_shards:FORMAT",
    "numbered": "unpoison.data.numbered:FORMAT",
    "folder": "unpoison.data.folder:FORMAT",
}
