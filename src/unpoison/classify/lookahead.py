"""Lookahead: slow weights that follow the fast ones, and to which the fast ones return.

References:
    Zhang et al., Lookahead optimizer: k steps forward, 1 step back, NeurIPS 2019, https://arxiv.org/abs/1907.08610
"""

from __future__ import annotations

import torch
from torch import nn


class Lookahead:
    """The slow weights of a net, running statistics included.

    Args:
        net: its weights of now are the first slow ones.
    """

    def __init__(self, net: nn.Module):
        self._net = net
        self._slow = {name: value.clone() for name, value in _floats(net).items()}

    @torch.no_grad()
    def update(self, *, keep: float) -> None:
        """Move the slow weights towards those of the net, and the net to where they are then.

        Args:
            keep: share of the slow weights that stays, in [0, 1]; 1 puts the net back on the slow weights.
        """
        for name, fast in _floats(self._net).items():
            fast.copy_(self._slow[name].lerp_(fast, 1 - keep))


def _floats(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value for name, value in net.state_dict().items() if value.is_floating_point()}
