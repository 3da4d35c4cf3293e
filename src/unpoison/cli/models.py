"""`unpoison models`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from unpoison.cli import options
from unpoison.cli.checks import check_paths


@click.group(cls=options.Group)
def models() -> None:
    """Diffusion and energy models: what lies in a folder, and importing published checkpoints."""


@models.command("list", epilog=options.examples("unpoison models list checkpoints/"))
@click.argument("folder", type=options.PATH, default=Path())
@options.as_json
def list_models(folder: Path, as_json: bool) -> None:
    """List the weights that come with unpoison, those in FOLDER, and checkpoints laid out as ECLIPSE's."""
    from unpoison.core.errors import ModelError
    from unpoison.data.published.eclipse_tree import list_tree
    from unpoison.nets.shipped import SHIPPED, weights_path
    from unpoison.nets.weights import read_header

    found: dict[str, dict[str, Any]] = {}
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


@models.command(
    "import",
    epilog=options.examples(
        "unpoison models import ema_0.9999_250000.pt --out eclipse.safetensors",
        "unpoison models import hf://SunayBhat1/puregen-ebm-cinic10-imagenet --out published.safetensors",
    ),
)
@click.argument("file")
@click.option("--out", type=options.PATH, required=True, help="Weights to write, .safetensors.")
@click.option(
    "--max-index",
    type=click.IntRange(0),
    help="Largest index that a diffusion model of PureGen was trained for.  [default: N - 1 after DDPM[N] in its name]",
)
@options.as_json
def import_model(file: str, out: Path, max_index: int | None, as_json: bool) -> None:
    """Convert published weights to safetensors of ours; their names and shapes must fit exactly.

    These are checkpoints of improved-diffusion (ECLIPSE's ema_*.pt), whose number of attention heads, 4, is not in the
    weights and is taken as given; PureGen's energy and diffusion models, as .pt or .safetensors; and folders of
    unconditional pipelines of diffusers over RGB pixels, with the schedule that they bring. FILE may be
    hf://owner/name/file, or hf://owner/name for the model there.
    """
    from unpoison.core.errors import ModelError
    from unpoison.core.targets import check_new

    check_paths(None if file.startswith("hf://") else Path(file))
    check_new(out)
    from unpoison.core.hashing import hash_file
    from unpoison.data.safe.checkpoints import read_state
    from unpoison.nets.pipeline_folders import import_pipeline, is_pipeline, published_weights
    from unpoison.nets.published import import_published
    from unpoison.nets.weights import Model, save_model

    path = _locate(file)
    weights = published_weights(path) if path.is_dir() else path
    arguments: dict[str, Any] = {"name": Path(file).name, "max_index": max_index}
    try:
        if path.is_dir() and is_pipeline(path):
            imported: tuple[Model, str, dict[str, Any]] = import_pipeline(path, **arguments)
        else:
            imported = import_published(read_state(weights), **arguments)
    except ModelError as error:
        raise ModelError(f"{weights}: {str(error).removeprefix(f'{weights}: ')}") from None
    model, architecture, arguments = imported
    source = {"imported": Path(file).name, "sha256": hash_file(weights)}
    kind: Literal["raw", "ema"] = "ema" if path.name.startswith("ema") else "raw"
    save_model(out, model, architecture=architecture, arguments=arguments, kind=kind, settings=source)
    options.answer(as_json, f"{source['imported']} -> {out}, {architecture}", {"weights": str(out), **source})


def _locate(file: str) -> Path:
    """The file or folder itself, or its copy in the cache of the Hub."""
    if not file.startswith("hf://"):
        return Path(file)
    from unpoison.data.formats.hub import fetch_file, fetch_model

    whole_repository = file.count("/") == 3  # hf://owner/name
    return fetch_model(file) if whole_repository else fetch_file(file)
