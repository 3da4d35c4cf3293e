"""D-VAE: learn from the poisoned set itself what its classes have laid over their pictures, and take it off."""

from __future__ import annotations

import base64
import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from unpoison.core.device import same_bits
from unpoison.core.documents import MAX_BYTES
from unpoison.core.errors import RunError, SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.noise import Noise
from unpoison.core.progress import OnStep, StepInfo
from unpoison.dynamics.steps import OnImageStep, ShouldStop, check_stop
from unpoison.nets.disentangling import DisentanglingVae, Split
from unpoison.nets.rebuilding import build_unfilled
from unpoison.purifiers.d_vae.learning import learn
from unpoison.purifiers.protocol import NeedsWholeSet
from unpoison.purifiers.settings import DVaeSettings

_CALL = 64  # pictures at once, between the stages


class DVaePurifier(NeedsWholeSet):
    """Two networks in a row, each trained on the set as it comes to it.

    The first subtracts the perturbation that it sees. The second, which is trained on the result of the first and may
    describe pictures at greater length, subtracts once more, and gives back the picture that it then describes. No
    clean picture is needed, but every picture must have its label.

    The reference's scripts give the perturbation's decoder the description, and a map for each class; without their
    switches its code would give it the features of the picture. Values are rounded where it truncates them.

    References:
        Yu, Wang, Xia, Yang, Lu, Tan, Kot: Purify Unlearnable Examples via Rate-Constrained Variational Autoencoders,
        ICML 2024, https://arxiv.org/abs/2405.01460
    """

    Settings = DVaeSettings
    prepared: dict[str, Any] | None = None  # labels by id, and both networks
    _networks: Sequence[DisentanglingVae] = ()

    def __init__(self, settings: DVaeSettings, *, device: torch.device):
        self.settings, self.device = settings, device

    def prepare(
        self, image_set: ImageSet, *, generator: torch.Generator, on_step: OnStep | None = None
    ) -> DVaePurifier:
        """Train both networks.

        Args:
            image_set: labelled pictures of one size.
            generator: of weights, order and noise.
            on_step: called after each batch.

        Raises:
            SettingsError: labels are missing, sizes differ, or the networks are too large to be kept.
            RunError: the training left the finite numbers.
        """
        self._check(image_set)
        classes, total = len(image_set.class_names), 2 * self.settings.epochs * len(image_set)
        images = torch.from_numpy(np.ascontiguousarray(image_set.array().transpose(0, 3, 1, 2))).to(self.device)
        labels = torch.from_numpy(image_set.labels).to(self.device)

        def learn_stage(stage: int, free_rate: float) -> DisentanglingVae:
            def on_batch(share: float, loss: float) -> None:
                if on_step:
                    done = round(total * (stage - 1 + share) / 2)
                    on_step(StepInfo(done, total, {"loss": loss}, doing=f"learning, stage {stage} of 2"))

            about: dict[str, Any] = {"classes": classes, "generator": generator, "on_batch": on_batch}
            return learn(images, labels, self.settings, free_rate=free_rate, **about)

        with same_bits(self.device):
            first = learn_stage(1, self.settings.first_rate)
            images = _without_perturbations(first, images, labels, generator)
            second = learn_stage(2, self.settings.second_rate)
        return self.restore(
            {
                "labels": dict(zip(image_set.ids, image_set.labels.tolist(), strict=True)),
                "size": image_set.sizes[0].tolist(),
                "classes": classes,
                "networks": [_pack(network) for network in (first, second)],
            }
        )

    def restore(self, prepared: Any) -> DVaePurifier:
        """The purifier of the set on which the networks in `prepared` were trained."""
        height, width = prepared["size"]
        purifier = copy.copy(self)
        purifier.prepared = prepared
        purifier._networks = [
            _unpack(text, self._empty(prepared["classes"], height, width)).to(self.device)
            for text in prepared["networks"]
        ]
        return purifier

    @torch.no_grad()
    def purify(
        self,
        images: Tensor,
        *,
        noise: Noise,
        on_step: OnImageStep | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Tensor:
        known = self.found()["labels"]
        if strange := next((image_id for image_id in noise.ids if image_id not in known), None):
            raise RunError(f"d-vae has not learned from picture '{strange}'; give it the set that it was prepared for")
        labels = torch.tensor([known[image_id] for image_id in noise.ids], device=images.device)
        first, second = self._networks

        def split(network: DisentanglingVae, x: Tensor, call: str) -> Split:
            check_stop(should_stop)
            drawn = noise.normal(x.new_empty(len(x), *network.grid), call)
            found: Split = network(x.contiguous(memory_format=torch.channels_last), labels, drawn)
            return found

        for network, call in ((first, "first"), (second, "second")):
            images = (images - split(network, images, call).perturbation).clamp(0, 1)
        return split(second, images, "picture").picture.contiguous()

    def _check(self, image_set: ImageSet) -> None:
        """Refuse what cannot be learned from."""
        unlabelled = int((image_set.labels < 0).sum())
        if unlabelled:
            raise SettingsError(
                f"d-vae learns what the pictures of a class share, and {unlabelled:,} pictures of {image_set.name} "
                "have no label; leave them out, or take another method"
            )
        sizes = np.unique(image_set.sizes, axis=0)
        if len(sizes) != 1:
            raise SettingsError(
                f"d-vae learns from pictures of one size, and {image_set.name} has {len(sizes)}; bring them to one size"
            )
        network = self._empty(len(image_set.class_names), *sizes[0].tolist())
        kept = 2 * 4 / 3 * 4 * sum(tensor.numel() for tensor in network.state_dict().values())
        if kept > 0.9 * MAX_BYTES:
            raise SettingsError(
                f"d-vae needs {kept / 2**20:,.0f} MiB for its networks at this size and number of classes, and keeps "
                f"no more than {0.9 * MAX_BYTES / 2**20:.0f}; set width below {self.settings.width}"
            )

    def _empty(self, classes: int, height: int, width: int) -> DisentanglingVae:
        """A network that waits for its weights, in evaluation mode, and takes no memory until then."""
        with torch.device("meta"):
            network = build_unfilled(
                DisentanglingVae, classes=classes, height=height, width_pixels=width, width=self.settings.width
            )
        return network.eval().requires_grad_(False)


def _without_perturbations(
    network: DisentanglingVae, images: Tensor, labels: Tensor, generator: torch.Generator
) -> Tensor:
    """The set as the second stage meets it, [N, 3, H, W] uint8."""
    cleaned = torch.empty_like(images)
    for rows in torch.arange(len(images)).split(_CALL):
        x = images[rows].float().div(255)
        drawn = torch.randn(len(x), *network.grid, generator=generator).to(x.device)
        with torch.no_grad():
            x = x - network(x, labels[rows], drawn).perturbation
        cleaned[rows] = x.clamp(0, 1).mul(255).round().to(torch.uint8)
    return cleaned


def _pack(network: DisentanglingVae) -> str:
    """The weights as text."""
    weights = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    return base64.b64encode(safetensors.torch.save(weights)).decode("ascii")


def _unpack(text: str, network: DisentanglingVae) -> DisentanglingVae:
    """A network with these weights.

    Raises:
        ValueError: they are not its.
    """
    try:
        weights = safetensors.torch.load(base64.b64decode(text, validate=True))
        network.load_state_dict(weights, assign=True)
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise ValueError(str(error)) from None
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch lists no such form
    return network
