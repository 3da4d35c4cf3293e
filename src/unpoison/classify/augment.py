"""Random crop and mirror, compensation and cutout, one draw per image, for a whole batch at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from unpoison.classify.defences.compensation import compensate
from unpoison.classify.defences.cutout import cut_out
from unpoison.classify.settings import LoopSettings
from unpoison.core.noise import generator as seeded
from unpoison.core.pixels import as_unit


class Augmentation:
    """What a net is shown of stored pictures: cropped, mirrored, compensated and covered, as the settings say.

    Args:
        settings: which of it.
        fill: colour of what is covered, broadcast to [N, C, 1, 1], on the device of the pictures.
        seed: of all draws. Crops and mirrors, compensation and cutout each have a stream of their own: with and without
            a defence, trainings crop and mirror in the same way.
    """

    def __init__(self, settings: LoopSettings, *, fill: Tensor, seed: int):
        self._settings, self._fill = settings, fill
        self._places = seeded(seed, "classify.augment", device=fill.device)
        self._mirrored: Tensor | None = None  # [N, 1, 1, 1], which pictures begin as their mirror image
        self._compensation, self._covers = (
            seeded(seed, f"classify.defence.{name}", device=fill.device) for name in ("compensation", "cutout")
        )

    @property
    def changes(self) -> bool:
        """Whether a picture looks different in every epoch."""
        chosen = self._settings
        moves = chosen.crop_padding or chosen.flip or chosen.alternating_flip
        return bool(moves or chosen.grayscale_probability or chosen.noise_sigma or chosen.cutout)

    def begin(self, images: Tensor) -> Tensor:
        """All pictures [N, C, H, W] as they go into an epoch: the same half mirrored, where epochs take turns."""
        if not self._settings.alternating_flip:
            return images
        if self._mirrored is None:
            self._mirrored = torch.rand(len(images), 1, 1, 1, generator=self._places, device=images.device) < 0.5
        return torch.where(self._mirrored, images.flip(3), images)

    def __call__(self, images: Tensor, epoch: int) -> Tensor:
        """Augment a batch.

        Args:
            images: [N, C, H, W] uint8, or float32 in [0, 1]; not changed.
            epoch: counted from 1.

        Returns:
            [N, C, H, W] float32 in [0, 1].
        """
        chosen = self._settings
        cropped = crop_and_flip(
            images.flip(3) if chosen.alternating_flip and epoch % 2 == 0 else images,
            padding=chosen.crop_padding,
            flip=chosen.flip and not chosen.alternating_flip,
            generator=self._places,
            reflect=chosen.reflect,
        )
        batch = as_unit(cropped)
        if chosen.grayscale_probability or chosen.noise_sigma:
            grey, sigma = chosen.grayscale_probability, chosen.noise_sigma
            batch = compensate(batch, grayscale_probability=grey, noise_sigma=sigma, generator=self._compensation)
        if chosen.cutout:
            batch = cut_out(batch, side=chosen.cutout, fill=self._fill, generator=self._covers)
        return batch


def crop_and_flip(
    images: Tensor, *, padding: int, flip: bool, generator: torch.Generator, reflect: bool = False
) -> Tensor:
    """Cut each image out of a frame at a place of its own, and mirror half of them.

    Args:
        images: [N, C, H, W], uint8 or float; not changed.
        padding: width of the frame in pixels; 0 leaves the place as it is.
        flip: mirror an image left to right with probability one half.
        generator: source of places and mirrors, on the device of `images`.
        reflect: the frame mirrors the image without repeating its edge; black if not. Needs a padding below the sides.

    Returns:
        [N, C, H, W], same dtype and device.
    """
    count, _, height, width = images.shape
    device = images.device
    tops, lefts = torch.randint(0, 2 * padding + 1, (2, count, 1), generator=generator, device=device)
    rows = tops + torch.arange(height, device=device)
    columns = lefts + torch.arange(width, device=device)
    if flip:
        mirrored = torch.rand(count, 1, generator=generator, device=device) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    framed = _mirror_frame(images, padding) if reflect else F.pad(images, (padding,) * 4)
    each = torch.arange(count, device=device)[:, None, None]
    # Indexing by image, row and column at once moves the channels to the end.
    return framed[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


def _mirror_frame(images: Tensor, padding: int) -> Tensor:
    # PyTorch's own reflection refuses bytes.
    rows, columns = (_fold(length, padding).to(images.device) for length in images.shape[2:])
    return images[:, :, rows][:, :, :, columns]


def _fold(length: int, padding: int) -> Tensor:
    """The places of a framed line [length + 2 padding] in the line itself, 0 to length - 1."""
    last = length - 1
    return last - (last - torch.arange(-padding, length + padding).abs()).abs()
