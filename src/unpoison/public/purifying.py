"""`unpoison.purify`: anything that holds pictures, purified and given back in the form it came in."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from unpoison.core.device import choose_device
from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.notes import DataWarning
from unpoison.core.progress import OnStep, shows_bar
from unpoison.data import read, read_history, set_bad_aside
from unpoison.data.objects import is_huggingface, is_picture
from unpoison.public import AUTO
from unpoison.public.choosing import Choice, choose
from unpoison.public.files import check_source, purify_into
from unpoison.purifiers.methods import DEFAULT
from unpoison.purifiers.own import named_purifier
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.arguments import is_path, method_settings
from unpoison.runs.forms import Apply, purify_array, purify_list, purify_tensor
from unpoison.runs.in_memory import Application
from unpoison.runs.own_models import own_denoiser, own_device
from unpoison.runs.run import PurifyRun

_REMEDY = "Remove or replace what is broken, or set it aside with skip_bad=True"
log = logging.getLogger(__name__)


@shows_bar("purify", unit="img")
def purify(
    x: Any,
    method: Any = DEFAULT,
    *,
    seed: int | None = None,
    device: str = "auto",
    model: Any = None,
    profile: str = "",
    reference: Any = None,
    copies: int = 1,
    out: str | PathLike[str] | None = None,
    overwrite: bool = False,
    skip_bad: bool = False,
    on_step: OnStep | None = None,
    **settings: Any,
) -> Any:
    """Purify pictures, in whatever form they are, and give them back in that form.

    Rows of one call have the noise of their row, or of their id where they have one: the same set gives the same bytes
    as an array, as a file or as a Dataset.

    >>> import numpy as np
    >>> pictures = np.full((2, 16, 16, 3), 200, np.uint8)
    >>> purify(pictures, "jpeg", quality=50).shape
    (2, 16, 16, 3)

    Args:
        x: a tensor [N, 3, H, W] or [3, H, W], float in [0, 1] or uint8; an array [N, H, W, 3] or [H, W, 3] alike; a
            Pillow image; a list of such pictures, of any sizes; a `datasets.Dataset` with a column of pictures, or a
            DatasetDict of them; an ImageSet; or what `read` reads: a path, or a torch Dataset of (picture, label).
            None is changed.
        method: a purifier, or several joined by `+`; one of yours as `package.module:Class`, or as a class or object
            with `Settings` and `purify`. `auto`, for a set with labels, audits it first and tries a few of them on a
            sample where it looks poisoned; log lines say what was found and chosen.
        seed: of all noise. If left out, a secret one from the system, which the manifest of `out` keeps, and a log line
            tells otherwise: whoever knows it beforehand can make a poison that outlives the noise.
        device: where to compute; `auto` is where a tensor or a model in memory lies, else the fastest device.
        model: path of a file of weights; or, where `fast` is in the chain, a model in memory: a function or nn.Module
            of noisy images [N, 3, H, W] in [0, 1] and sigma [N] that gives clean ones, a `CallableDenoiser` around one
            that says which sigma it is good for, or a pipeline of diffusers over RGB pixels.
        profile: names of profiles, or TOML files, joined by commas.
        reference: for `auto`, trusted pictures of the same classes, 20 of each or more, or what `read` reads: what a
            classifier learns them best by is taken.
        copies: draws of every picture of a set that the new one holds: the first under its id, others under `ID~2`, ...
        out: file or folder to write a set to, with its manifest and the page of changes, as the command does; called
            again after it was stopped, it goes on.
        overwrite: put the new set in place of another one of unpoison's at `out`.
        skip_bad: set unreadable pictures of a set aside, with a warning for each, and list them in the manifest.
        on_step: called as pictures are done, with their number. In a notebook a bar shows if it is left out.
        **settings: fields of the method, e.g. `quality=10`; `**{"jpeg.quality": 10}` where several of a chain have it.

    Returns:
        The same kind, shape, type and device. Float results are clamped, not rounded to 8 bits, and cut off from the
        graph of gradients. Paths and torch Datasets give an ImageSet, with `out` that of the file.

    Raises:
        SettingsError: an unknown method or setting, or values that are no pictures.
        ModelError: a model is missing or does not fit.
        DataError: a file or row is bad.
    """
    if isinstance(method, str) and method == AUTO:
        if model is not None or profile or settings:
            raise SettingsError("auto chooses the settings itself; name a method to set them")
        place = None if out is None else Path(out)
        stand_in = PurifyRun.seeded(purifier_settings("fast"), seed, copies=copies)  # audits use its network
        return _purify_as_advised(x, place, reference, stand_in, device, skip_bad, overwrite, on_step)
    if reference is not None:
        raise SettingsError("reference= is for method 'auto'")
    with named_purifier(method) as name:
        chosen = method_settings(name, profile=profile, model=model, fields=settings)
        run = PurifyRun.seeded(chosen, seed, copies=copies)
        if out is not None:
            return _purify_into(x, Path(out), run, device, model, skip_bad, overwrite, on_step)
        _check_overwrite(overwrite)
        return _purify_here(x, run, device, model, skip_bad, on_step)


def _purify_here(x: Any, run: PurifyRun, device: str, model: Any, skip_bad: bool, on_step: OnStep | None) -> Any:
    if run.is_secret:
        log.info("seed of the noise: %d", run.seed)

    def apply(data_device: torch.device | None = None) -> Application:
        chosen = choose_device(device)
        own = None if is_path(model) else own_denoiser(model)
        where = own_device(model, device) if own else data_device
        place = where if where is not None and device == "auto" else chosen
        return Application(run, device=place, denoiser=own, on_step=on_step)

    in_memory = is_picture(x) or is_huggingface(x) or isinstance(x, (list, tuple, dict))
    if skip_bad and in_memory:
        raise SettingsError(f"skip_bad= leaves pictures out of a set; a {type(x).__name__} comes back whole: omit it")
    if run.copies > 1 and in_memory:
        raise SettingsError(f"copies= is for sets, where ids tell them apart; a {type(x).__name__} has none: omit it")
    if isinstance(x, Tensor):
        return purify_tensor(x, apply)
    if isinstance(x, np.ndarray):
        return purify_array(x, apply)
    if isinstance(x, Image.Image):
        return purify_list([x], apply)[0]
    if isinstance(x, (list, tuple)) and all(map(is_picture, x)):
        return purify_list(x, apply)
    if isinstance(x, dict) and x and all(map(is_huggingface, x.values())):  # a DatasetDict is one
        return type(x)({name: _purify_huggingface(split, apply) for name, split in x.items()})
    if is_huggingface(x):
        return _purify_huggingface(x, apply)
    return apply().purify_set(_read_good(x, skip_bad))


def _read_good(x: Any, skip_bad: bool) -> ImageSet:
    """A set, without its bad pictures if they are to be set aside."""
    image_set = read(x)
    if skip_bad:
        image_set, bad = set_bad_aside(image_set)
        for error in bad:
            _warn(DataWarning(f"set aside: {error}"))
    return image_set


def _check_overwrite(overwrite: bool) -> None:
    """Where nothing is written."""
    if overwrite:
        raise SettingsError("overwrite= is about what lies at out=: give both or neither")


def _purify_huggingface(dataset: Any, apply: Apply) -> Any:
    from unpoison.data.formats.huggingface import replace_pictures

    image_set = read(dataset)
    return replace_pictures(dataset, apply().purify_to_png(image_set), image_set.ids)


def _purify_as_advised(
    x: Any,
    out: Path | None,
    reference: Any,
    run: PurifyRun,
    device: str,
    skip_bad: bool,
    overwrite: bool,
    on_step: OnStep | None,
) -> Any:
    if is_picture(x) or (isinstance(x, (list, tuple)) and all(map(is_picture, x))):
        raise SettingsError(f"auto audits a set with labels, and a {type(x).__name__} has none; name a method")
    advised = partial(
        choose,
        reference=None if reference is None else read(reference),
        device=device,
        remedy=_REMEDY,
        say=log.info,
        on_step=on_step,
    )
    if out is not None:
        return _purify_into(x, out, run, device, None, skip_bad, overwrite, on_step, advised)
    _check_overwrite(overwrite)
    image_set = read(x) if is_huggingface(x) else _read_good(x, skip_bad)
    run = replace(run, settings=advised(image_set).settings)
    return _purify_here(x if is_huggingface(x) else image_set, run, device, None, skip_bad, on_step)


def _purify_into(
    x: Any,
    out: Path,
    run: PurifyRun,
    device: str,
    model: Any,
    skip_bad: bool,
    overwrite: bool,
    on_step: OnStep | None,
    advised: Callable[..., Choice] | None = None,
) -> ImageSet:
    if is_picture(x):
        raise SettingsError(f"out= is for sets with labels; a {type(x).__name__} has none: omit out=")
    if not is_path(model):
        raise SettingsError("out= needs the model as a file, whose hash the manifest keeps; write what purify returns")
    image_set, skipped = check_source(read(x), run, skip_bad=skip_bad, warn=_warn)
    facts: dict[str, Any] = {}
    if advised is not None:
        choice = advised(image_set, target=out, overwrite=overwrite)
        run, facts = replace(run, settings=choice.settings), choice.facts
    purify_into(
        image_set,
        out,
        run,
        device=device,
        remedy=_REMEDY,
        on_step=on_step or (lambda _: None),
        say=log.info,
        history=read_history(x) if isinstance(x, (str, PathLike)) else (),
        skipped=skipped,
        facts=facts,
        overwrite=overwrite,
    )
    return read(out)


def _warn(warning: Warning) -> None:
    warnings.warn(warning, stacklevel=6)  # the caller of `purify`, or near
