"""Importer of improved-diffusion checkpoints: the published ECLIPSE weights (`ema_*.pt`, `model*.pt`)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Size, Tensor

from unpoison.core.errors import ModelError
from unpoison.nets.eclipse_unet import build_eclipse_unet
from unpoison.nets.epsilon import EpsilonModel
from unpoison.nets.rebuilding import build_unfilled
from unpoison.nets.schedules import Schedule

_HEADS = 4  # a default of improved-diffusion that weights cannot tell: 4 heads of 64 and 1 of 256 have the same shapes
_LEVELS, _BLOCKS, _ATTENTION_LEVELS = 4, 3, (1, 2)
_NAMES_SHOWN = 3

_RESIDUAL = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_ATTENTION = {"norm": "group_norm", "qkv.0": "to_q", "qkv.1": "to_k", "qkv.2": "to_v", "proj_out": "to_out.0"}


def import_improved_diffusion(state: Mapping[str, Tensor]) -> EpsilonModel:
    """Build ECLIPSE's model from a checkpoint of improved-diffusion.

    Args:
        state: 446 tensors by their improved-diffusion names, as `read_state` gives them.

    Returns:
        The model with its cosine schedule over 4000 steps, time input index / 4, in evaluation mode.

    Raises:
        ModelError: names or shapes differ from the published network's.
    """
    net = build_unfilled(build_eclipse_unet)
    target = net.unet.state_dict()
    sources = {name: _source_of(name) for name in target}
    check_state(state, {sources[name][0]: _source_shape(name, tensor) for name, tensor in target.items()})
    net.unet.load_state_dict({name: _convert(state[key], part) for name, (key, part) in sources.items()})
    return EpsilonModel(net, schedule=Schedule("cosine", 4000), time_scale=1000 / 4000).eval()


def check_state(state: Mapping[str, Tensor], expected: Mapping[str, Size]) -> None:
    """Refuse weights that are not exactly those of a network.

    Args:
        state: tensors by name.
        expected: shapes by name.

    Raises:
        ModelError: one line that names the first missing, unexpected or wrongly shaped tensors.
    """
    problems = {
        "missing": [name for name in expected if name not in state],
        "unexpected": [name for name in state if name not in expected],
        "of another shape": [
            f"{name} {list(state[name].shape)} instead of {list(shape)}"
            for name, shape in expected.items()
            if name in state and state[name].shape != shape
        ],
    }
    if any(problems.values()):
        parts = [f"{len(names)} {problem} ({_shorten(names)})" for problem, names in problems.items() if names]
        raise ModelError(f"the weights do not fit this network: {'; '.join(parts)}")


def _source_of(name: str) -> tuple[str, int | None]:
    """The checkpoint's tensor behind one of ours, and which third of it if it is a qkv."""
    module, _, kind = name.rpartition(".")
    source = _MODULES[module]
    if ".qkv." in source:
        source, _, part = source.rpartition(".")
        return f"{source}.{kind}", int(part)
    return f"{source}.{kind}", None


def _source_shape(name: str, tensor: Tensor) -> Size:
    source, part = _source_of(name)
    rows = len(tensor) * (1 if part is None else 3)
    convolved = source.endswith((".qkv.weight", ".proj_out.weight"))  # 1x1 conv1d there, linear here
    return Size([rows, *tensor.shape[1:], *([1] if convolved else [])])


def _convert(tensor: Tensor, part: int | None) -> Tensor:
    tensor = tensor.detach().float()
    if tensor.ndim == 3:
        tensor = tensor.squeeze(2)
    if part is None:
        return tensor
    # Legacy head layout: the rows of each head are q, k, v.
    heads: Tensor = tensor.unflatten(0, (_HEADS, 3, -1))
    return heads[:, part].flatten(0, 1)


def _shorten(names: list[str]) -> str:
    return ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")


def _name_modules() -> dict[str, str]:
    """Our module names -> those of improved-diffusion, as UNetModel numbers its blocks."""
    names = {
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "conv_in": "input_blocks.0.0",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
    }

    def add(target: str, source: str, parts: Mapping[str, str]) -> None:
        names.update({f"{target}.{ours}": f"{source}.{theirs}" for theirs, ours in parts.items()})

    for level in range(_LEVELS):
        first = 1 + (_BLOCKS + 1) * level
        for block in range(_BLOCKS):
            add(f"down_blocks.{level}.resnets.{block}", f"input_blocks.{first + block}.0", _RESIDUAL)
            if level in _ATTENTION_LEVELS:
                add(f"down_blocks.{level}.attentions.{block}", f"input_blocks.{first + block}.1", _ATTENTION)
        names[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{first + _BLOCKS}.0.op"
    add("mid_block.resnets.0", "middle_block.0", _RESIDUAL)
    add("mid_block.attentions.0", "middle_block.1", _ATTENTION)
    add("mid_block.resnets.1", "middle_block.2", _RESIDUAL)
    for up in range(_LEVELS):
        attended = _LEVELS - 1 - up in _ATTENTION_LEVELS
        first = (_BLOCKS + 1) * up
        for block in range(_BLOCKS + 1):
            add(f"up_blocks.{up}.resnets.{block}", f"output_blocks.{first + block}.0", _RESIDUAL)
            if attended:
                add(f"up_blocks.{up}.attentions.{block}", f"output_blocks.{first + block}.1", _ATTENTION)
        names[f"up_blocks.{up}.upsamplers.0.conv"] = f"output_blocks.{first + _BLOCKS}.{2 if attended else 1}.conv"
    return names


_MODULES = _name_modules()
