"""The channel statistics that a net normalises its input with."""

from __future__ import annotations

import numpy as np

# Mean and deviation that leave the input as it is.
IDENTITY = [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]

# Those that PureGen and most published weights for CIFAR were trained with.
CIFAR = [0.4914, 0.4822, 0.4465], [0.2471, 0.2435, 0.2616]


def channel_statistics(images: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and deviation of each channel over a whole set.

    Args:
        images: [N, H, W, 3] uint8.

    Returns:
        Three means and three deviations, in [0, 1] units.
    """
    levels = np.arange(256) / 255
    means, deviations = [], []
    for channel in range(3):
        # Through the histogram: no float copy of the set.
        shares = np.bincount(images[..., channel].ravel(), minlength=256) / images[..., channel].size
        mean = float(shares @ levels)
        means.append(mean)
        # A set of one colour has no deviation to divide by.
        deviations.append(max(float(shares @ (levels - mean) ** 2) ** 0.5, 1 / 255))
    return means, deviations
