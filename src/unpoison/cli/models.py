"""`unpoison models`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from unpoison.cli import options


@click.group()
def models() -> None:
    """Diffusion models: what lies in a folder, and importing published checkpoints."""


@models.command("list")
@click.argument("folder", type=options.PATH, default=Path())
@options.as_json
def list_models(folder: Path, as_json: bool) -> None:
    """List the weights that come with unpoison, those in FOLDER, and checkpoints laid out as ECLIPSE's."""
    from unpoison.core.errors import ModelError
    from unpoison.data.eclipse_tree import list_tree
    from unpoison.nets.weights import read_header
    from unpoison.purifiers.networks import SHIPPED, weights_path

    found: dict[str, dict] = {}
    lines = []
    named = {name: weights_path(name) for name in SHIPPED}
    for name, path in {**named, **{path.name: path for path in sorted(folder.glob("*.safetensors"))}}.items():
        try:
            header = read_header(path)
        except ModelError as error:
            lines.append(str(error))
            continue
        found[name] = header.model_dump(mode="json", exclude={"settings"})
        shipped = ", comes with unpoison" if name in SHIPPED else ""
        lines.append(f"{name}: {header.architecture}, {header.kind}, {header.model.describe()}{shipped}")
    for checkpoint in list_tree(folder).checkpoints:
        name = checkpoint.path.relative_to(folder).as_posix()
        found[name] = {"sparse_set": checkpoint.sparse_set, "rate": checkpoint.rate, "step": checkpoint.step}
        lines.append(f"{name}: ECLIPSE checkpoint, step {checkpoint.step}; bring it in with `unpoison models import`")
    options.answer(as_json, "\n".join(lines), {"models": found})


@models.command("import")
@click.argument("file")
@click.option("--out", type=options.PATH, required=True, help="Weights to write, .safetensors.")
@options.as_json
def import_model(file: str, out: Path, as_json: bool) -> None:
    """Convert a published improved-diffusion checkpoint (ECLIPSE's ema_*.pt) to safetensors; keys must fit exactly.

    FILE may be hf://owner/name/file. The number of attention heads, 4, is not in the weights and is taken as given.
    """
    from unpoison.core.errors import RunError
    from unpoison.core.hashing import hash_file
    from unpoison.data.hub import fetch_file
    from unpoison.nets.improved_diffusion import import_improved_diffusion
    from unpoison.nets.weights import read_torch_state, save_model

    if out.exists():
        raise RunError(f"{out} is already there; remove it or choose another name")
    path = fetch_file(file) if file.startswith("hf://") else Path(file)
    model = import_improved_diffusion(read_torch_state(path))
    source = {"imported": path.name, "sha256": hash_file(path)}
    kind: Literal["raw", "ema"] = "ema" if path.name.startswith("ema") else "raw"
    save_model(out, model, architecture="eclipse-unet", arguments={}, kind=kind, settings=source)
    options.answer(as_json, f"{path.name} -> {out}", {"weights": str(out), **source})
