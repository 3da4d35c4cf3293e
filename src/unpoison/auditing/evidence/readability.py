"""Readability: how well a probe names the class from pictures, from what a denoiser takes of them, and from little."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unpoison.auditing.evidence.protocol import Evidence
from unpoison.auditing.evidence.repeats import repeats
from unpoison.auditing.probes import Reading, read_classes
from unpoison.auditing.textures import texture_features
from unpoison.auditing.views import View, planes

_QUANTILES = (0.9, 0.99, 0.999)
_ALL = slice(None)
_DENSE = 10_000  # pictures of which texture is looked at everywhere: half a minute saved in 50,000


def measure_residuals(view: View) -> Evidence:
    """What is removed should say little of the class; where it says much, something was put in to be learned."""
    return _evidence(read_classes(view.white.flatten(1), view.labels, view.fitted))


def measure_residual_textures(view: View) -> Evidence:
    """The same for fine structure wherever in the picture it is."""
    return _residual_textures(view, view.removed)


def measure_images(view: View) -> Evidence:
    """The class read from the pictures themselves: what is natural is hard for a linear probe."""
    return _evidence(read_classes(_half(view.pixels(_ALL)), view.labels, view.fitted))


def measure_textures(view: View) -> Evidence:
    """The class read from the texture of the pictures themselves."""
    labels, rows = view.labels[view.fitted], np.arange(len(view.fitted))
    found = _evidence(read_classes(_textures(view.pixels(view.fitted)), labels, rows))
    return Evidence(found.values)


def measure_colour_residuals(view: View) -> Evidence:
    """What is removed of the colours: grey structure of nature is nearly all gone, colours put in are not."""
    return _residual_textures(view, lambda rows: _colours(view.removed(rows)))


def measure_denoised(view: View) -> Evidence:
    """The class read from what is left, and from what a second call takes of it: how hard it is by nature."""
    labels, rows = view.labels[view.fitted], np.arange(len(view.fitted))
    left = planes(view.images[view.fitted] - view.residuals[view.fitted])
    features = {
        "left": _half(left),
        "left_texture": _textures(left),
        "again": view.white_again().flatten(1),
        "again_texture": _textures(planes(view.again)),
    }
    values = {name: read_classes(shown, labels, rows).advantage for name, shown in features.items()}
    values["again_repeat"] = float(repeats(view.white_again(), labels).surprise.max())
    return Evidence(values)


def measure_coarse(view: View) -> Evidence:
    """The class read from 4x4 pixels, from the mean colour, and from one channel alone."""
    pixels = view.pixels(view.fitted)
    labels, rows = view.labels[view.fitted], np.arange(len(view.fitted))
    features = {f"side_{side}": F.adaptive_avg_pool2d(pixels, side).flatten(1) for side in (1, 2, 4, 8)}
    features.update({f"channel_{name}": _half(pixels[:, [number]]) for number, name in enumerate("rgb")})
    return Evidence({name: read_classes(shown, labels, rows).advantage for name, shown in features.items()})


def _half(planes: Tensor) -> Tensor:
    """[n, D]: at half the size, where as much can be read in a tenth of the time."""
    return F.avg_pool2d(planes, 2).flatten(1)


def _colours(planes: Tensor) -> Tensor:
    return planes - planes.mean(dim=1, keepdim=True)


def _residual_textures(view: View, batch: Callable[[np.ndarray], Tensor]) -> Evidence:
    """Of large sets only some pictures are looked at everywhere; they speak for the set."""
    rest = np.delete(np.arange(len(view)), view.fitted)
    more = rest[np.linspace(0, len(rest) - 1, min(len(rest), _DENSE - len(view.fitted))).astype(np.int64)]
    dense = np.sort(np.concatenate([view.fitted, more]))
    reading = read_classes(texture_features(batch, len(view), dense=dense), view.labels, view.fitted)
    spoken = _evidence(Reading(reading.scores[dense], reading.labels[dense]))
    return Evidence(spoken.values, reading.margins.astype(np.float32), spoken.classes)


def _textures(planes: Tensor) -> Tensor:
    return texture_features(lambda rows: planes[torch.from_numpy(rows)], len(planes))


def _evidence(reading: Reading) -> Evidence:
    margins = reading.margins
    tail = {f"margin_{quantile}": float(np.quantile(margins, quantile)) for quantile in _QUANTILES}
    labels = range(reading.labels.max() + 1)
    by_class = np.array([margins[reading.labels == label].mean() for label in labels], np.float32)
    tails = np.array([np.quantile(margins[reading.labels == label], 0.97) for label in labels])
    values = {"advantage": reading.advantage, **tail, "class": float((by_class - np.median(by_class)).max())}
    values["class_tail"] = float((tails - np.median(tails)).max())
    return Evidence(values, margins.astype(np.float32), by_class)
