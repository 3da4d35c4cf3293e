"""An image set as torch sees it."""

from __future__ import annotations

from torch import Tensor
from torch.utils.data import Dataset

from unpoison.core.images import ImageSet
from unpoison.core.pixels import to_float


class TorchImageSet(Dataset):
    """Map-style dataset over an image set.

    Args:
        image_set: any set.
    """

    def __init__(self, image_set: ImageSet):
        self.image_set = image_set

    def __len__(self) -> int:
        return len(self.image_set)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return to_float(self.image_set.picture(index).rgb[None])[0], int(self.image_set.labels[index])
