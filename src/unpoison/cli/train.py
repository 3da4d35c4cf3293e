"""`unpoison train` and `unpoison score`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from unpoison.classify.defences.methods import METHODS as DEFENCES
from unpoison.classify.methods import METHODS
from unpoison.cli import completing, options
from unpoison.cli.checks import check_methods, check_paths, check_sources
from unpoison.public import AUTO
from unpoison.purifiers.methods import DEFAULT
from unpoison.purifiers.methods import METHODS as PURIFIERS

if TYPE_CHECKING:
    from unpoison.core.settings import PrecisionOrInt8, Settings


@click.command(
    epilog=options.examples(
        "unpoison train purified/ --test held_out/ --out classifier",
        "unpoison train untrusted/ --test held_out/ --out classifier --purify",
        "unpoison train purified/ --test held_out/ --out moved --init classifier --mode linear",
        "unpoison train untrusted/ --test held_out/ --out classifier --defence ueraser-max+cutout",
    )
)
@click.argument("src", metavar="SRC", required=False, shell_complete=completing.files)
@click.option(
    "--test", "test_src", required=True, shell_complete=completing.files, help="Clean labelled set to test on."
)
@click.option("--out", type=options.PATH, required=True, help="New folder for the weights.")
@click.option(
    "--model",
    shell_complete=completing.names(METHODS),
    default="resnet18",
    show_default=True,
    help=f"One of {', '.join(METHODS)}.",
)
@click.option(
    "--init",
    type=options.PATH,
    help="Trained classifier whose body gets a new head: a folder made by `train`, or a published file of weights "
    "(.t7, .pth, .safetensors) of the architecture --model, normalised as for CIFAR.",
)
@click.option(
    "--mode",
    type=click.Choice(["scratch", "linear", "fine-tune"]),
    help="Train everything from scratch; or, with --init, the new head alone, or the body with it.  "
    "[default: scratch, or linear with --init]",
)
@click.option(
    "--defence",
    default="",
    metavar="NAME[+NAME...]",
    shell_complete=completing.names(DEFENCES, separator="+"),
    help=f"What the training does against poison: {', '.join(DEFENCES)}; settings of one with --set NAME.field=value.",
)
@click.option("--compensation", is_flag=True, help="The same as --defence compensation, ECLIPSE's grayscale and noise.")
@click.option(
    "--purify",
    default="",
    is_flag=False,
    flag_value=DEFAULT,
    metavar="[NAME[+NAME...]]",
    shell_complete=completing.names(PURIFIERS, separator="+"),
    help=f"Purify every picture anew in every epoch, before it is cropped and mirrored: without a name by {DEFAULT}; "
    "any purifier that need not see the whole set and has time to.",
)
@click.option("--purify-profile", default="", metavar="NAME[,NAME...]", help="The same as --profile of `purify`.")
@click.option("--purify-set", multiple=True, metavar="KEY=VALUE", help="The same as --set of `purify`.")
@click.option(
    "--draws",
    type=click.IntRange(1),
    metavar="K",
    help="Draws of --purify that are taken in turn, and kept in memory.  [default: another one in every epoch]",
)
@options.purifying
def train(
    src: str | None,
    test_src: str,
    out: Path,
    model: str,
    init: Path | None,
    mode: str | None,
    defence: str,
    compensation: bool,
    purify: str,
    purify_profile: str,
    purify_set: tuple[str, ...],
    draws: int | None,
    seed: int | None,
    device: str,
    precision: PrecisionOrInt8 | None,
    profile: str,
    assignments: tuple[str, ...],
    input_format: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train a classifier on SRC and test it.

    From scratch, the default profile is `fast`, with --model airbench94 `airbench`; `eclipse` is the paper's 80 epochs;
    `puregen`, `puregen-80-epoch`, `puregen-r18-hlb`, ... are PureGen's. With --init the defaults are the poisoning
    benchmark's; `puregen-linear`, `puregen-fine-tune` and `puregen-lt-bench` are PureGen's.
    """
    if src is None:
        taken = f": --purify took '{purify}' for the name of a purifier; put it last" if purify else ""
        raise click.UsageError(f"SRC, the set to train on, is missing{taken}")
    mode = mode or ("linear" if init else "scratch")
    if (mode == "scratch") != (init is None):
        raise click.UsageError(
            "--mode linear and fine-tune start from a classifier, named with --init; scratch has none"
        )
    check_methods(METHODS, model, kind="classifier")
    defence = "+".join(filter(None, ["compensation" if compensation else "", defence]))
    if defence:
        check_methods(DEFENCES, defence, kind="defence")
    if not purify and (draws or purify_profile or purify_set):
        raise click.UsageError("--draws, --purify-profile and --purify-set are about --purify, which is not given")
    if AUTO in purify.split("+"):
        raise click.UsageError("auto audits a whole set: `unpoison audit SRC` says what to name with --purify")
    from unpoison.classify.settings import LoopSettings, default_profile, scratch_settings, transfer_settings
    from unpoison.core.progress import progress_bar, telling, write_line
    from unpoison.core.settings import parse_assignments, with_precision
    from unpoison.core.targets import check_new

    if not dry_run:
        check_sources(src, test_src, input_format=input_format)
        check_paths(init)
        check_new(out)
    profiles = options.split_profiles(profile) or ([default_profile(model)] if mode == "scratch" else [])
    overrides = parse_assignments(assignments) | ({"defence": defence} if defence else {})
    settings: LoopSettings
    if mode == "scratch":
        settings = scratch_settings(profiles=profiles, overrides=overrides)
    else:
        settings = transfer_settings(mode, profiles=profiles, overrides=overrides)
    settings = with_precision(settings, precision)
    purifier = _purifier_settings(purify, purify_profile, purify_set)
    if dry_run:
        from unpoison.core.device import choose_device
        from unpoison.core.precision import resolve

        described = resolve(settings, choose_device(device)).model_dump(mode="json")
        planned = {"purify": {name: own.described() for name, own in purifier.items()}} if purify else {}
        options.answer(True, "", {"model": model, "seed": seed or 0, "settings": described, **planned})
        return

    with telling(f"reading {src} and {test_src}"):
        import unpoison.classify.training as training
        from unpoison.classify.classifier import CIFAR
        from unpoison.classify.saving import import_classifier, load_classifier, save_classifier
        from unpoison.classify.transfer import Mode, transfer
        from unpoison.data import read
        from unpoison.runs.fresh import FreshDraws
        from unpoison.runs.photographs import strangeness_warning
        from unpoison.runs.run import PurifyRun
        from unpoison.scoring.accuracy import score as score_accuracy

        train_set, test_set = read(src, format=input_format), read(test_src)
        fresh = None
        if purify:
            run = PurifyRun.seeded(purifier, seed)
            if warning := strangeness_warning(train_set, purifier):
                write_line(f"unpoison: {warning}")
            fresh = FreshDraws(
                train_set,
                run,
                epochs=settings.epochs,
                draws=draws or 0,
                device=device,
                say=lambda text: write_line(f"unpoison: {text}"),
            )
    with progress_bar(f"train {model}", unit="step") as on_step:
        common: dict[str, Any] = {
            "test_set": test_set,
            "settings": settings,
            "seed": seed or 0,
            "device": device,
            "redraw": fresh,
            "on_step": on_step,
        }
        if init:
            mean, std = CIFAR
            is_published = init.is_file()
            body = import_classifier(init, model=model, mean=mean, std=std) if is_published else load_classifier(init)
            _check_architecture(init, body.architecture, model)
            trained = transfer(body, train_set, mode=cast(Mode, mode), **common)
        else:
            trained = training.train(train_set, model=model, **common)
    if fresh:
        trained = replace(trained, purified=fresh.describe())
    save_classifier(out, trained)
    scored = score_accuracy(trained, test_set)
    spent = f"{trained.seconds:.0f} s" + (f" of training and {fresh.seconds:.0f} s of purifying" if fresh else "")
    facts: dict[str, Any] = {**scored.accuracy.model_dump(), "peak": scored.peak, "seconds": round(trained.seconds, 1)}
    if fresh:
        facts |= {"purify_seconds": round(fresh.seconds, 1), "purified": fresh.describe()}
    options.answer(as_json, f"{scored.describe()}\n{spent} -> {out}", facts)


def _purifier_settings(purify: str, profile: str, assignments: tuple[str, ...]) -> dict[str, Settings]:
    """Settings of every link of --purify, whose models are there; none without it."""
    if not purify:
        return {}
    from unpoison.core.settings import parse_assignments
    from unpoison.nets.shipped import check_models
    from unpoison.purifiers.settings import purifier_settings

    profiles = options.split_profiles(profile)
    settings = purifier_settings(purify, profiles=profiles, overrides=parse_assignments(assignments))
    check_models(settings)
    return settings


def _check_architecture(init: Path, found: str, model: str) -> None:
    """Refuse a --model that the user wrote and that the body is not of."""
    from click.core import ParameterSource

    from unpoison.core.errors import SettingsError

    written = click.get_current_context().get_parameter_source("model") is not ParameterSource.DEFAULT
    if written and found != model:
        raise SettingsError(f"--init {init} is a {found}, not a {model}; omit --model")


@click.command(epilog=options.examples("unpoison score classifier --test held_out/ --manifest poisoned/manifest.json"))
@click.argument("folder", type=options.PATH)
@click.option("--test", "test_src", required=True, shell_complete=completing.files, help="Clean labelled set.")
@click.option(
    "--manifest",
    type=options.PATH,
    help="The poisoned set, or its manifest: scores its trigger or its target too, if it has one.",
)
@options.together(options.device, options.threads, options.as_json)
def score(folder: Path, test_src: str, manifest: Path | None, device: str, as_json: bool) -> None:
    """Score the classifier in FOLDER on a clean test set."""
    from unpoison.core.manifest import find_manifest
    from unpoison.core.progress import telling

    check_sources(test_src)
    check_paths(folder, manifest)
    manifest = find_manifest(manifest) if manifest else None
    with telling(f"scoring {folder} on {test_src}"):
        from unpoison.classify.saving import load_classifier
        from unpoison.core.device import choose_device
        from unpoison.data import read
        from unpoison.poisons.reading_back import read_attack
        from unpoison.scoring.accuracy import score as score_accuracy
        from unpoison.scoring.success import attack_success, targeted_success

        classifier = load_classifier(folder).to(choose_device(device))
        trigger, target = read_attack(manifest, classifier.class_names) if manifest else (None, None)
        test_set = read(test_src)
        scored = score_accuracy(classifier, test_set)
    per_class = {name: round(metric.value, 4) for name, metric in scored.per_class.items()}
    lines = [scored.describe(), *(f"  {name}: {100 * value:.1f} %" for name, value in per_class.items())]
    facts: dict[str, Any] = {**scored.accuracy.model_dump(), "per_class": per_class}
    if trigger is not None:
        reached = attack_success(classifier, test_set, trigger)
        lines.append(reached.describe())
        facts["attack_success"] = {f"x{scale:g}": rate.model_dump() for scale, rate in reached.success.items()}
    if target is not None:
        facts["target_misread"] = targeted_success(classifier, target)
        true, intended = (classifier.class_names[label] for label in (target.true_class, target.intended_class))
        lines.append(
            f"the target, of class '{true}', is {'' if facts['target_misread'] else 'not '}taken for '{intended}'"
        )
    if manifest and trigger is None and target is None:
        lines.append("the poison is of availability: it has no trigger and no target, accuracy tells its effect")
    options.answer(as_json, "\n".join(lines), facts)
