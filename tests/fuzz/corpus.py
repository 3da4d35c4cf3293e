"""A small sound example of everything that is read, and how it is read to the end."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from unpoison.bench.suite import read_suite
from unpoison.classify.classifier import build_net
from unpoison.classify.saving import Description, import_classifier, load_classifier
from unpoison.core.errors import UnpoisonError
from unpoison.core.images import ArrayImageSet
from unpoison.core.manifest import Manifest, Step, pack_manifest, read_manifest
from unpoison.core.records import read_records
from unpoison.data import read, write
from unpoison.data.class_names import CIFAR10
from unpoison.data.published.bullseye_pth import MEAN, STD
from unpoison.data.safe.checkpoints import read_checkpoint
from unpoison.nets.energy import SnganEnergy
from unpoison.nets.pixel_energy import PixelEnergy
from unpoison.nets.weights import load_any, save_model
from unpoison.poisons.published.loading import load_published
from unpoison.purifiers.settings import purifier_settings
from unpoison.reporting.reference.puregen_results import read_results

COUNT = 4
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, 32, 32, 3), np.uint8)
LABELS = np.arange(COUNT) % 3
FLOATS = PIXELS.transpose(0, 3, 1, 2).astype(np.float32) / 255
CLEAN = ArrayImageSet(PIXELS, LABELS, class_names=("cat", "dog", "emu"), name="clean")
_UNPOISONED = ArrayImageSet(PIXELS ^ 1, LABELS, class_names=CIFAR10[:3], name="clean")
_BASES = (0, 3)  # rows of one class
_DECODED = 64  # pictures of a set that are decoded: a mutation may claim many


@dataclass(frozen=True)
class Case:
    """One thing that is read.

    Args:
        build: writes it into an empty folder.
        read: reads what lies in the folder.
    """

    build: Callable[[Path], None]
    read: Callable[[Path], object]


def _read_set(path: Path, format: str | None = None) -> None:
    image_set = read(str(path), format=format)
    rows = range(len(image_set))
    for row in {*rows[:_DECODED], *rows[-2:]}:
        try:
            image_set.picture(row)
        except UnpoisonError:
            continue
    image_set.count_per_class()


def _set(name: str, format: str | None = None) -> Callable[[Path], None]:
    return lambda folder: _read_set(folder / name if name else folder, format)


def _poison(name: str, format: str, **overrides: int) -> Callable[[Path], object]:
    return lambda folder: load_published(folder / name, _UNPOISONED, format=format, overrides=overrides)


def _pairs(rows: Sequence[int] = range(COUNT)) -> list:
    return [(Image.fromarray(PIXELS[row]), int(LABELS[row])) for row in rows]


def _pictures(folder: Path) -> None:
    """One picture of each kind that is decoded."""
    photo = Image.fromarray(PIXELS[0])
    kinds = {
        "rgb.png": (photo, {}),
        "grey.png": (photo.convert("L"), {}),
        "palette.png": (photo.quantize(16), {}),
        "alpha.png": (photo.convert("RGBA"), {}),
        "plain.jpg": (photo, {}),
        "progressive.jpg": (photo, {"progressive": True}),
        "cmyk.jpg": (photo.convert("CMYK"), {}),
        "x.bmp": (photo, {}),
        "x.webp": (photo, {}),
        "lossless.webp": (photo, {"lossless": True}),
        "x.gif": (photo.quantize(16), {}),
        "x.tif": (photo, {}),
        "packed.tif": (photo, {"compression": "tiff_deflate"}),
        "lzw.tif": (photo, {"compression": "tiff_lzw"}),
        "x.ppm": (photo, {}),
        "x.pgm": (photo.convert("L"), {}),
    }
    (folder / "all").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, (image, options) in kinds.items():
        more = {"exif": exif} if name.endswith((".jpg", "rgb.png")) else {}
        image.save(folder / "all" / f"{name.replace('.', '_')}{os.path.splitext(name)[1]}", **options, **more)
    (folder / "class_names.txt").write_text("all\nother\n")


def _folder(folder: Path) -> None:
    write(CLEAN, folder / "set", format="folder")


def _tar_gz(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def _cifar(classes: int) -> dict[str, bytes]:
    planes = PIXELS.transpose(0, 3, 1, 2).reshape(COUNT, -1)
    key = "labels" if classes == 10 else "fine_labels"
    batch = pickle.dumps({"data": planes, key: LABELS.tolist(), "filenames": ["a.png"] * COUNT}, 2)
    if classes == 100:
        return {
            "train": batch,
            "test": batch,
            "meta": pickle.dumps({"fine_label_names": [f"c{k}" for k in range(100)]}),
        }
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    return {**dict.fromkeys(names, batch), "batches.meta": pickle.dumps({"label_names": list(CIFAR10)})}


def _tiny_imagenet(folder: Path) -> None:
    (folder / "wnids.txt").write_text("n02124075\nn01443537\n")
    for wnid in ("n02124075", "n01443537"):
        (folder / "train" / wnid / "images").mkdir(parents=True)
        Image.fromarray(PIXELS[0]).save(folder / "train" / wnid / "images" / f"{wnid}_0.png")
    (folder / "val" / "images").mkdir(parents=True)
    Image.fromarray(PIXELS[1]).save(folder / "val" / "images" / "val_0.png")
    (folder / "val" / "val_annotations.txt").write_text("val_0.png\tn02124075\t0\t0\t9\t9\n")


def _cinic(folder: Path) -> None:
    for number, name in enumerate(CIFAR10):
        (folder / "train" / name).mkdir(parents=True)
        Image.fromarray(PIXELS[0]).save(folder / "train" / name / f"cifar10-train-{number}.png")


def _stl10(folder: Path) -> None:
    np.random.default_rng(0).integers(0, 256, (2, 3, 96, 96), np.uint8).tofile(folder / "train_X.bin")
    np.array([1, 10], np.uint8).tofile(folder / "train_y.bin")
    (folder / "class_names.txt").write_text("\n".join(f"c{number}" for number in range(10)))


def _arrow(folder: Path) -> None:
    import pyarrow as pa

    rows = [{"bytes": _png(one), "path": None} for one in PIXELS]
    table = pa.table({"image": rows, "label": LABELS.tolist()})
    with pa.ipc.new_stream(str(folder / "data-00000-of-00001.arrow"), table.schema) as stream:
        stream.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _parquet(folder: Path) -> None:
    write(CLEAN, folder / "plain.parquet")
    import pyarrow.parquet as pq

    for codec in ("zstd", "snappy", "gzip"):
        pq.write_table(pq.read_table(folder / "plain.parquet"), folder / "x.parquet", compression=codec)
        (folder / codec).mkdir()
        (folder / "x.parquet").rename(folder / codec / "x.parquet")


def _read_parquet(folder: Path) -> None:
    for path in sorted(folder.rglob("*.parquet")):
        try:
            _read_set(path)
        except UnpoisonError as error:
            refused = error
            continue
    if "refused" in locals():
        raise refused


def _webdataset(folder: Path) -> None:
    with tarfile.open(folder / "x.tar", "w") as archive:
        for row, (pixels, label) in enumerate(zip(PIXELS, LABELS, strict=True)):
            for suffix, data in (("png", _png(pixels)), ("json", json.dumps({"label": int(label)}).encode())):
                member = tarfile.TarInfo(f"{row:04d}.{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    (folder / "class_names.txt").write_text("cat\ndog\nemu\n")


def _zip(folder: Path) -> None:
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        for row, (pixels, label) in enumerate(zip(PIXELS, LABELS, strict=True)):
            archive.writestr(f"set/c{label}/{row}.png", _png(pixels))


def _archive(folder: Path) -> None:
    _tar_gz(folder / "x.tar.gz", {f"set/c{label}/{row}.png": _png(PIXELS[row]) for row, label in enumerate(LABELS)})


def _numbered(folder: Path) -> None:
    for row, pixels in enumerate(PIXELS):
        Image.fromarray(pixels).save(folder / f"{row}.png")


def _delusive(folder: Path) -> None:
    torch.save((torch.from_numpy(FLOATS), torch.from_numpy(LABELS)), folder / "Linf.p1")


def _bullseye(folder: Path) -> None:
    tensors = [(torch.from_numpy((FLOATS[row] - MEAN) / STD), int(LABELS[row])) for row in _BASES]
    content = {"poison": tensors, "idx": list(_BASES)}
    torch.save(content, folder / "poison_00799.pth", _use_new_zipfile_serialization=False)


def _bullseye_split(folder: Path) -> None:
    torch.save({"others": _pairs()}, folder / "CIFAR10_TRAIN_Split.pth", _use_new_zipfile_serialization=False)


def _puregen(folder: Path) -> None:
    torch.save(_pairs(), folder / "JPEG[75].pt")


def _puregen_sets(folder: Path) -> None:
    (folder / "cifar10").mkdir()
    torch.save(_pairs(), folder / "cifar10" / "JPEG[75].pt")


def _benchmark(folder: Path) -> None:
    values = {
        "poisons": [(image, torch.tensor(label)) for image, label in _pairs(_BASES)],
        "base_indices": np.array(_BASES),
        "target": (Image.fromarray(255 - PIXELS[0]), 1),
    }
    for name, value in values.items():
        (folder / f"{name}.pickle").write_bytes(pickle.dumps(value))


def _tap(folder: Path) -> None:
    np.save(folder / "poisoned_training_data.npy", PIXELS.astype(np.float32))
    np.save(folder / "poisoned_training_labels.npy", LABELS)


def _sep(folder: Path) -> None:
    np.save(folder / "eps2.0-1.0_iter30_sp00000-00004_ts0.npy", FLOATS)


def _ntga(folder: Path) -> None:
    np.save(folder / "x_train_cifar10_ntga_cnn_best.npy", PIXELS.astype(np.float32) / 255)
    np.save(folder / "y_train_cifar10.npy", np.eye(10)[LABELS])


def _eclipse(folder: Path) -> None:
    records = [(PIXELS[0].tobytes(), 3), (PIXELS[1], np.int64(9)), [PIXELS[2].reshape(-1), 0]]
    (folder / "LSP.pkl").write_bytes(pickle.dumps(records))


def _eclipse_tree(folder: Path) -> None:
    (folder / "poisoned_data" / "cifar10").mkdir(parents=True)
    _eclipse(folder / "poisoned_data" / "cifar10")


def _bin(length: int) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        records = np.random.default_rng(0).integers(0, 10, (COUNT, length), np.uint8)
        records.tofile(folder / "train.bin")

    return build


def _em(folder: Path) -> None:
    torch.save(torch.full((COUNT, 3, 32, 32), 4 / 255, dtype=torch.bfloat16), folder / "perturbation.pt")


def _rem(folder: Path) -> None:
    (folder / "noise.pkl").write_bytes(pickle.dumps(np.full((COUNT, 3, 32, 32), 3, np.int8)))


def _narcissus(folder: Path) -> None:
    np.save(folder / "best_noise_lab2.npy", np.full((1, 3, 32, 32), 4 / 255, np.float32))


def _weights(folder: Path) -> None:
    model = PixelEnergy(SnganEnergy(width=4))
    save_model(
        folder / "x.safetensors", model, architecture="sngan-energy", arguments={"width": 4}, kind="raw", settings={}
    )


def _published_weights(legacy: bool) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        state = {f"module.{name}": value for name, value in SnganEnergy(4).state_dict().items()}
        torch.save({"net": state}, folder / "x.pt", _use_new_zipfile_serialization=not legacy)

    return build


def _classifier(folder: Path) -> None:
    net = build_net("resnet18", classes=3, width=4, seed=0)
    about = {"width": 4, "class_names": ("a", "b", "c"), "mean": [0.5] * 3, "std": [0.2] * 3, "settings": {}, "seed": 0}
    described = Description(architecture="resnet18", **about).model_dump_json()
    save_file(net.state_dict(), folder / "model.safetensors", metadata={"unpoison.classifier": described})


def _checkpoint(folder: Path) -> None:
    net = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    torch.save({"weights": net.state_dict(), "optimizer": optimizer.state_dict()}, folder / "x.checkpoint")


def _manifest(folder: Path) -> None:
    step = Step(
        action="purify", method="jpeg", settings={"jpeg": {"quality": 75}}, seed=0, source="0" * 64, result="1" * 64,
        versions={"unpoison": "0"}, device="cpu", facts={},
    )  # fmt: skip
    packed = pack_manifest(Manifest(name="x", format="npz", count=3, per_class={"a": 3}, steps=[step]))
    for name, content in packed.items():
        (folder / name).write_bytes(content)


def _suite(folder: Path) -> None:
    shipped = files("unpoison.bench") / "suites" / "bullseye.toml"
    (folder / "x.toml").write_bytes(shipped.read_bytes())


def _profile(folder: Path) -> None:
    (folder / "x.toml").write_text('sigma = "26/255"\nsteps = 3\nsampler = "heun"\n')


def _results(folder: Path) -> None:
    row = {
        "Data Key": "JPEG[75]", "Model": "ResNet18_HLB", "Dataset": "cifar10", "End Acc": "0.91",
        "Args": json.dumps({"poison_type": "Narcissus", "epochs": 80}), "Logs": json.dumps({"test_acc": [0.5]}),
    }  # fmt: skip
    with open(folder / "Results.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)


def _record(folder: Path) -> None:
    source = next(path for path in sorted((Path(__file__).parents[2] / "results").rglob("*.json")) if _is_record(path))
    (folder / "x.json").write_bytes(source.read_bytes())


def _is_record(path: Path) -> bool:
    return path.stat().st_size < 20_000 and '"suite"' in path.read_text(encoding="utf-8")


def _write_files(members: dict[str, bytes]) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        for name, data in members.items():
            (folder / name).write_bytes(data)

    return build


CASES: dict[str, Case] = {
    "pictures": Case(_pictures, _set("", "folder")),
    "folder": Case(_folder, _set("set")),
    "numbered": Case(_numbered, _set("", "numbered")),
    "npz": Case(lambda folder: write(CLEAN, folder / "x.npz"), _set("x.npz")),
    "npz-packed": Case(
        lambda folder: np.savez_compressed(folder / "x.npz", data=PIXELS, targets=LABELS), _set("x.npz")
    ),
    "zip": Case(_zip, _set("x.zip")),
    "tar.gz": Case(_archive, _set("x.tar.gz")),
    "tar": Case(_webdataset, _set("x.tar")),
    "parquet": Case(_parquet, _read_parquet),
    "arrow": Case(_arrow, _set("")),
    "cifar10": Case(_write_files(_cifar(10)), _set("")),
    "cifar100": Case(_write_files(_cifar(100)), _set("")),
    "cifar10.tar.gz": Case(
        lambda folder: _tar_gz(folder / "cifar-10-python.tar.gz", _cifar(10)), _set("cifar-10-python.tar.gz", "cifar10")
    ),
    "cifar10-bin": Case(_bin(3073), _set("train.bin", "cifar10-bin")),
    "cifar100-bin": Case(_bin(3074), _set("train.bin", "cifar100-bin")),
    "stl10": Case(_stl10, _set("", "stl10")),
    "tiny-imagenet": Case(_tiny_imagenet, lambda folder: [_read_set(f"{folder}#{part}") for part in ("val", "train")]),
    "cinic10": Case(_cinic, _set("", "cinic10")),
    "eclipse-pkl": Case(_eclipse, _set("LSP.pkl")),
    "eclipse-tree": Case(_eclipse_tree, lambda folder: _read_set(f"{folder}#LSP")),
    "delusive-pt": Case(_delusive, _set("Linf.p1", "delusive-pt")),
    "bullseye-pth": Case(_bullseye, _set("poison_00799.pth", "bullseye-pth")),
    "bullseye-split": Case(_bullseye_split, lambda folder: _read_set(f"{folder}/CIFAR10_TRAIN_Split.pth#others")),
    "puregen-pth": Case(_puregen, _set("JPEG[75].pt", "puregen-pth")),
    "puregen-sets": Case(_puregen_sets, lambda folder: _read_set(f"{folder}#cifar10/JPEG[75]")),
    "benchmark-dir": Case(_benchmark, _set("", "benchmark-dir")),
    "tap-npy": Case(_tap, _set("", "tap-npy")),
    "sep-npy": Case(_sep, _set("", "sep-npy")),
    "ntga-npy": Case(_ntga, _set("", "ntga-npy")),
    "poison em-pt": Case(_em, _poison("perturbation.pt", "em-pt")),
    "poison rem-int8-pkl": Case(_rem, _poison("noise.pkl", "rem-int8-pkl")),
    "poison narcissus-npy": Case(_narcissus, _poison("best_noise_lab2.npy", "narcissus-npy", images=1)),
    "poison benchmark-dir": Case(_benchmark, _poison("", "benchmark-dir")),
    "poison bullseye-pth": Case(_bullseye, _poison("poison_00799.pth", "bullseye-pth")),
    "poison delusive-pt": Case(_delusive, _poison("Linf.p1", "delusive-pt")),
    "poison png-dir": Case(_numbered, _poison("", "png-dir")),
    "weights": Case(_weights, lambda folder: load_any(folder / "x.safetensors")),
    "weights published": Case(_published_weights(False), lambda folder: load_any(folder / "x.pt")),
    "weights legacy": Case(_published_weights(True), lambda folder: load_any(folder / "x.pt")),
    "classifier": Case(_classifier, load_classifier),
    "classifier published": Case(
        lambda folder: torch.save(build_net("resnet18", classes=3, width=4, seed=0).state_dict(), folder / "x.pth"),
        lambda folder: import_classifier(folder / "x.pth"),
    ),
    "checkpoint": Case(_checkpoint, lambda folder: read_checkpoint(folder / "x.checkpoint")),
    "manifest": Case(_manifest, lambda folder: read_manifest(folder / os.listdir(folder)[0])),
    "suite": Case(_suite, lambda folder: read_suite(folder / "x.toml")),
    "profile": Case(_profile, lambda folder: purifier_settings("fast", profiles=[str(folder / "x.toml")])),
    "results": Case(_results, lambda folder: read_results(folder / "Results.csv")),
    "records": Case(_record, read_records),
}
