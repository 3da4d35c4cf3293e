"""A whitening layer's responses to the training patches are uncorrelated and of variance one."""

from __future__ import annotations

import torch

from unpoison.classify.architectures.whitening import WhiteningConv, whitening_filters


def pictures() -> torch.Tensor:
    """[40, 3, 9, 9]: smooth, with colours that go together, far from white, and off zero."""
    source = torch.Generator().manual_seed(0)
    coarse = torch.randn(40, 3, 12, 12, generator=source)
    mixing = torch.tensor([[1.0, 0.5, 0.3], [0.5, 1.0, 0.4], [0.3, 0.4, 1.0]])
    smooth = torch.nn.functional.avg_pool2d(coarse, 4, stride=1)
    return torch.einsum("cd,ndhw->nchw", mixing, smooth) + 0.7


def covariance(responses: torch.Tensor) -> torch.Tensor:
    return responses.transpose(0, 1).flatten(1).cov()


def test_responses_are_white():
    images = pictures()
    filters = whitening_filters(images, side=2, epsilon=0.0)
    assert filters.shape == (12, 3, 2, 2)
    before = covariance(torch.nn.functional.unfold(images, 2)[..., None])
    assert (before - torch.eye(12)).abs().max() > 0.1
    responses = torch.nn.functional.conv2d(images, filters)
    torch.testing.assert_close(covariance(responses), torch.eye(12), atol=2e-3, rtol=0)


def test_epsilon_keeps_flat_directions_small():
    flat = pictures()
    flat[:, 2] = flat[:, 1]  # a colour that tells nothing new: four directions without variance
    filters = whitening_filters(flat, side=2, epsilon=0.01)
    assert filters.isfinite().all()
    assert filters.flatten(1).norm(dim=1).max() <= 10 + 1e-4  # 1 / sqrt(epsilon)
    variances = covariance(torch.nn.functional.conv2d(flat, filters)).diag()
    assert (variances < 1 + 1e-4).all()
    assert (variances[8:] < 1e-3).all()


def test_the_layer_has_each_filter_and_its_negative_and_stops_learning():
    layer = WhiteningConv(3, 24, 2)
    assert torch.equal(layer.bias, torch.zeros(24))
    layer.whiten(pictures())
    assert torch.equal(layer.weight[:12], -layer.weight[12:])
    assert torch.equal(layer.weight[:12], whitening_filters(pictures(), side=2))
    assert not layer.weight.requires_grad
    assert layer.bias.requires_grad
