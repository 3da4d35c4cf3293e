"""What a classifier sees just before it decides."""

from __future__ import annotations

from torch import Tensor, nn

from unpoison.classify.classifier import Classifier


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
