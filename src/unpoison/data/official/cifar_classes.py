"""Names of the CIFAR-10 classes, for files that do not carry them, and labels in messages."""

from typing import Any

import numpy as np

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def show_label(label: Any) -> str:
    """A stranger's label for a message: the number, or its type, as its text may be of any length."""
    if isinstance(label, (int, np.integer)) and abs(int(label)) < 2**63:  # Python spells no endless numbers out
        return str(label)
    return f"({type(label).__name__})"
