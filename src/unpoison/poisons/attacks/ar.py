"""AR: autoregressive perturbations."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor

from unpoison.core.chunks import class_chunks
from unpoison.core.errors import DataError, SettingsError
from unpoison.core.hashing import hash_json
from unpoison.core.images import ImageSet
from unpoison.core.settings import FileName, Length, Settings, bound_value
from unpoison.poisons.attacks.ar_coefficients import SearchNorm, ar_noise, read_tables, search_tables
from unpoison.poisons.protocol import Attack, PoisonedSet, Quantise, Resources, add_and_quantise, require_labels


class ArSettings(Settings):
    """Settings of AR.

    Args:
        norm: `l2` bounds the length of an image's perturbation, `linf` its largest value.
        epsilon: the bound, which every perturbation reaches; the paper uses 1 (CIFAR, SVHN) and 3 (STL-10) with `l2`,
            8/255 with `linf`.
        coefficients: file of published tables, one for each class or more; empty to search for new ones.
        search_norm: which size of a new table's noise is bounded: `l2`, its length over the whole picture, as the
            authors' finder does it; or `linf`, each value, which lets more through: noise that grows across the picture
            and that harmed a small network far more (results/poisons).
        quantise: how the sum becomes 8 bits.
    """

    norm: Literal["l2", "linf"] = "l2"
    epsilon: Length = Field(default="1", validate_default=True)
    coefficients: FileName = ""
    search_norm: SearchNorm = "l2"
    quantise: Quantise = "round"

    @field_validator("epsilon")
    @classmethod
    def _fits_the_norm(cls, epsilon: str, info: ValidationInfo) -> str:
        if info.data.get("norm") == "linf" and bound_value(epsilon) >= 1:
            raise ValueError("with linf this is the whole range of a pixel; set epsilon too, e.g. 8/255")
        return epsilon


class ArPoison(Attack):
    """Every class gets a linear recurrence; each of its images gets fresh noise in which every pixel follows from the
    eight before it, above and to the left.

    A filter of one convolution sees the class, and a network learns that filter first.

    References:
        Sandoval-Segura, Singla, Geiping, Goldblum, Goldstein, Jacobs: Autoregressive Perturbations for Data
        Poisoning, NeurIPS 2022, https://arxiv.org/abs/2206.03693
    """

    Settings = ArSettings

    def craft(
        self, image_set: ImageSet, settings: ArSettings, *, generator: torch.Generator, resources: Resources
    ) -> PoisonedSet:
        require_labels(image_set, "ar")
        images, classes = image_set.array(), len(image_set.class_names)
        height, width = images.shape[1:3]
        if settings.coefficients:
            tables = _published(Path(settings.coefficients), classes)
        else:
            tables = search_tables(classes, height, width, norm=settings.search_norm, generator=generator)
        order, epsilon = (2 if settings.norm == "l2" else torch.inf), bound_value(settings.epsilon)
        poisoned = np.empty_like(images)
        for label, rows in class_chunks(images, image_set.labels):
            noise = ar_noise(tables[label], len(rows), height, width, generator=generator)
            length = torch.linalg.vector_norm(noise, ord=order, dim=(1, 2, 3), keepdim=True)
            if not length.isfinite().all():
                raise DataError(
                    settings.coefficients,
                    f"at {width}x{height} pixels its noise grows beyond all bounds",
                    "Take the authors' corrected file, smaller pictures, or leave coefficients empty",
                    record=f"class {label}",
                )
            delta = (noise * (epsilon / length)).permute(0, 2, 3, 1).numpy()
            poisoned[rows] = add_and_quantise(images[rows], delta, settings.quantise)
        return PoisonedSet(poisoned, image_set.ids, "availability", facts=_facts(tables))


def _published(path: Path, classes: int) -> Tensor:
    tables = read_tables(path)
    if len(tables) < classes:
        raise SettingsError(f"{path.name} has tables for {len(tables)} classes, and the set has {classes}")
    return tables[:classes]


def _facts(tables: Tensor) -> dict[str, object]:
    """What the noise can be recognised by; many tables are named by their hash."""
    values = tables.tolist()
    return {"coefficients": values} if len(values) < 100 else {"coefficients_sha256": hash_json(values)}
