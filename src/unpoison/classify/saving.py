"""Trained classifiers on disk, and published ones from elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from unpoison.classify.classifier import Classifier
from unpoison.classify.loop import TrainedClassifier
from unpoison.classify.methods import METHODS
from unpoison.core.errors import DataError, ModelError
from unpoison.core.files import atomic_path, write_json
from unpoison.core.methods import load_method
from unpoison.data.safe.checkpoints import read_state

WEIGHTS = "model.safetensors"
_KEY = "unpoison.classifier"


class Description(BaseModel):
    """What the weights file says of itself: all that rebuilds the classifier, and how it was trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str
    width: int
    class_names: tuple[str, ...]
    mean: list[float] = Field(min_length=3, max_length=3)
    std: list[float] = Field(min_length=3, max_length=3)
    settings: dict[str, Any]
    seed: int
    purified: dict[str, Any] | None = None


def save_classifier(folder: Path, trained: TrainedClassifier) -> None:
    """Write `history.json`, and then `model.safetensors`, described in its metadata: with it the folder is complete."""
    net = trained.net
    description = Description(
        architecture=net.architecture,
        width=net.width,
        class_names=net.class_names,
        mean=net.mean.flatten().tolist(),
        std=net.std.flatten().tolist(),
        settings=trained.settings.model_dump(mode="json"),
        seed=trained.seed,
        purified=trained.purified,
    )
    weights = {name: value.detach().cpu().contiguous() for name, value in net.net.state_dict().items()}
    write_json(folder / "history.json", [asdict(epoch) for epoch in trained.history])
    with atomic_path(folder / WEIGHTS) as temporary:
        temporary.write_bytes(save(weights, metadata={_KEY: description.model_dump_json(exclude_none=True)}))


def hash_classifier(classifier: Classifier) -> str:
    """sha256 over names and values of the weights, and what the input is normalised with, hexadecimal."""
    digest = hashlib.sha256(classifier.architecture.encode())
    for name, value in classifier.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def load_classifier(folder: Path) -> Classifier:
    """Read back what `save_classifier` wrote: on the CPU, in evaluation mode.

    Raises:
        DataError: there is no classifier in the folder.
        ModelError: the weights do not fit their description.
    """
    path = folder / WEIGHTS
    remedy = "Name a folder made by `unpoison train`"
    if not path.is_file():
        raise DataError(path, "there is no such file", remedy)
    try:
        with safe_open(path, framework="pt") as file:
            description = Description.model_validate_json((file.metadata() or {}).get(_KEY, ""))
        weights = load_file(path)
    except (SafetensorError, ValidationError, OSError):
        raise DataError(path, "this is not a classifier of unpoison", remedy) from None
    return _rebuild(
        path,
        weights,
        architecture=description.architecture,
        width=description.width,
        class_names=description.class_names,
        mean=description.mean,
        std=description.std,
    )


def import_classifier(
    path: Path,
    *,
    model: str = "resnet18",
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    std: Sequence[float] = (1.0, 1.0, 1.0),
) -> Classifier:
    """Read weights published in pytorch-cifar's names, as a plain state dict or under `net` or `state_dict`.

    Width and number of classes follow from the shape of the head; the classes are named `0`, `1`, ...

    Args:
        path: `.pt`, `.pth`, `.t7`, ... written by torch.save, or `.safetensors`.
        model: name of the architecture in `METHODS`.
        mean: per channel, what the weights were trained to have subtracted.
        std: per channel, what they were trained to be divided by.

    Returns:
        The classifier on the CPU, in evaluation mode.

    Raises:
        DataError: the file cannot be read, or holds more than weights.
        ModelError: the weights are not of this architecture.
    """
    weights = read_state(path)
    with torch.device("meta"):
        published = load_method(METHODS, model, kind="classifier")(10, 64).state_dict()
    head = [name for name, value in published.items() if value.ndim == 2][-1]
    absent = [name for name in (next(iter(published)), head) if name not in weights]
    if absent:
        raise ModelError(f"{path} has no tensor '{absent[0]}', so it is no {model}; name the right architecture")
    if weights[head].ndim != 2 or not weights[head].numel():
        raise ModelError(f"{path}: its tensor '{head}' is {list(weights[head].shape)}, not [classes, features]")
    classes, features = weights[head].shape
    return _rebuild(
        path,
        weights,
        architecture=model,
        width=64 * features // published[head].shape[1],
        class_names=[str(label) for label in range(classes)],
        mean=mean,
        std=std,
    )


def _rebuild(
    path: Path,
    weights: dict[str, Tensor],
    *,
    architecture: str,
    width: int,
    class_names: Sequence[str],
    mean: Sequence[float],
    std: Sequence[float],
) -> Classifier:
    builder = load_method(METHODS, architecture, kind="classifier")
    # No weights are drawn on the meta device, so that loading leaves the global generator alone.
    try:
        with torch.device("meta"):
            net = builder(len(class_names), width)
        net.load_state_dict(weights, assign=True)
    except (RuntimeError, TypeError, ValueError, ArithmeticError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        problem = " ".join(lines[min(1, len(lines) - 1)].split())  # torch begins with a heading
        first, *others = problem.split(", ")  # of another architecture there are hundreds
        if len(others) > 2:
            problem = f"{first} and {len(others)} more"
        raise ModelError(f"{path} does not fit {architecture} of width {width}: {problem}") from None
    # Published halves would not fit the fp32 input.
    net = net.float()
    return Classifier(net, architecture=architecture, width=width, class_names=class_names, mean=mean, std=std).eval()
