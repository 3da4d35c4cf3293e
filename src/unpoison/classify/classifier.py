"""A classifier: a net, the normalisation it wants, and the names of its classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from unpoison.classify.methods import METHODS
from unpoison.core.methods import load_method
from unpoison.core.noise import generator
from unpoison.core.pixels import to_float

# Mean and deviation that leave the input as it is.
IDENTITY = [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]

# Those that PureGen and most published weights for CIFAR were trained with.
CIFAR = [0.4914, 0.4822, 0.4465], [0.2471, 0.2435, 0.2616]


class Classifier(nn.Module):
    """Maps pictures in [0, 1] to logits; normalises by itself.

    Args:
        net: maps normalised [N, 3, H, W] to [N, classes].
        architecture: name of the net in `METHODS`.
        width: channels of its first stage.
        class_names: name of each class.
        mean: per channel, subtracted first.
        std: per channel, divided by then.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        architecture: str,
        width: int,
        class_names: Sequence[str],
        mean: Sequence[float],
        std: Sequence[float],
    ):
        super().__init__()
        self.net = net
        # Channels together: a tenth to a third faster on the CPU, in either precision, forwards and backwards. Not with
        # four of them: oneDNN for AVX2 then adds up gradients of 1x1 convolutions in an order of the moment.
        if width % 8 == 0:
            net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch lists no such form
        self.architecture, self.width, self.class_names = architecture, width, tuple(class_names)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Map pictures [N, 3, H, W] float32 in [0, 1] to logits [N, classes]."""
        logits: Tensor = self.net((images - self.mean) / self.std)
        return logits


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


def head(classifier: Classifier) -> nn.Linear:
    """The last linear layer, which maps features to logits."""
    return [module for module in classifier.modules() if isinstance(module, nn.Linear)][-1]


def features(classifier: Classifier, images: Tensor) -> Tensor:
    """The penultimate features: what goes into the head. Differentiable.

    Args:
        classifier: on the device of `images`.
        images: [N, 3, H, W] float32 in [0, 1].

    Returns:
        [N, D]; in bf16 under autocast.
    """
    caught: list[Tensor] = []
    hook = head(classifier).register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    try:
        classifier(images)
    finally:
        hook.remove()
    return caught[0]


def build_net(architecture: str, *, classes: int, width: int, seed: int) -> nn.Module:
    """A fresh net on the CPU, its weights given by the seed.

    Raises:
        SettingsError: there is no such architecture.
    """
    builder = load_method(METHODS, architecture, kind="classifier")
    # PyTorch's layers fill their weights from the global generator and take no other: it is lent and given back.
    # torch.manual_seed would reach the generators of the GPUs too.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(generator(seed, "classify.weights").initial_seed())
        net: nn.Module = builder(classes, width)
        return net


def compute_logits(net: nn.Module, images: np.ndarray, *, batch_size: int = 500) -> Tensor:
    """Logits of stored pictures, in fp32 and evaluation mode.

    Args:
        net: maps [N, 3, H, W] float32 in [0, 1] to logits; its mode is put back afterwards.
        images: [N, H, W, 3] uint8.
        batch_size: images per forward pass.

    Returns:
        [N, classes] float32 on the CPU.
    """
    device = next(net.parameters()).device
    training = net.training
    net.eval()
    with torch.inference_mode():
        starts = range(0, len(images), batch_size)
        logits = [net(to_float(images[start : start + batch_size]).to(device)).float().cpu() for start in starts]
    net.train(training)
    return torch.cat(logits)


def predict(net: nn.Module, images: np.ndarray) -> np.ndarray:
    """The class of each stored picture.

    Args:
        net: see `compute_logits`.
        images: [N, H, W, 3] uint8.

    Returns:
        [N] int64.
    """
    return compute_logits(net, images).argmax(dim=1).numpy()
