"""Make the digits that the package ships, from scikit-learn's copy. Needs scikit-learn; run once.

    python scripts/make_digits.py src/unpoison/data/formats/digits.npz

Stores images [1797, 8, 8] uint8, labels, and `order`, a permutation: its first 200 rows hold 20 of each class
(split `sparse`), the next 1000 are `train`, the other 597 `test`.
"""

import sys

import numpy as np
from sklearn.datasets import load_digits


def main(target: str) -> None:
    """Write the npz."""
    digits = load_digits()
    images = np.round(digits.images * 255 / 16).astype(np.uint8)
    labels = digits.target.astype(np.uint8)
    shuffled = np.random.Generator(np.random.PCG64(0)).permutation(len(labels))
    sparse = np.concatenate([shuffled[labels[shuffled] == digit][:20] for digit in range(10)])
    order = np.concatenate([sparse, shuffled[~np.isin(shuffled, sparse)]]).astype(np.int16)
    np.savez_compressed(target, images=images, labels=labels, order=order)


if __name__ == "__main__":
    main(sys.argv[1])
