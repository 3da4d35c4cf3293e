"""`unpoison poison`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unpoison.cli import completing, options
from unpoison.cli.checks import check_methods, check_paths, check_profiles, check_sources
from unpoison.core.methods import method_names
from unpoison.poisons.methods import METHODS
from unpoison.poisons.published.methods import METHODS as PUBLISHED

if TYPE_CHECKING:
    from unpoison.core.settings import PrecisionOrInt8
    from unpoison.poisons.crafting import PoisonResult


_NAMES = method_names(METHODS, kind="attack")


@click.command(
    epilog=options.examples(
        "unpoison poison clean/ poisoned/ --attack lsp",
        "unpoison poison clean/ poisoned/ --attack narcissus --auxiliary other/ --set target_class=bird",
        "unpoison poison clean/ poisoned/ --from perturbation.pt",
    )
)
@click.argument("src", shell_complete=completing.files)
@click.argument("dst", type=options.PATH)
@click.option(
    "--attack",
    shell_complete=completing.names(_NAMES, separator="+"),
    help=f"One of {', '.join(_NAMES)}, or package.module:Class of yours; several are joined by +.",
)
@click.option(
    "--from",
    "published",
    metavar="FILE",
    help=f"In place of --attack: a published poison of SRC, in one of the formats {', '.join(PUBLISHED)}; "
    "FILE#NAME chooses one of several.",
)
@click.option("--published-format", help="Format of that file, if it is not detected.")
@click.option(
    "--epsilon", help="Bound of the perturbation in [0, 1] units, e.g. 8/255; what it bounds is the attack's."
)
@click.option("--fraction", type=float, help="Share of every class that is poisoned.  [default: 1.0]")
@click.option("--classes", help="Names of the classes that are poisoned, with commas.  [default: all]")
@click.option(
    "--surrogate",
    type=options.PATH,
    multiple=True,
    help="Folder of a classifier made by `train` that the attacker has; else the attack trains its own.",
)
@click.option("--auxiliary", help="Labelled set of other classes that the attacker trains on (narcissus).")
@click.option("--target-set", help="Clean set with the picture to be misread (bullseye, gradient-matching).")
@click.option(
    "--to", "output_format", help="Format of DST, if its suffix does not say: folder, numbered, npz, parquet."
)
@options.computing
def poison(
    src: str,
    dst: Path,
    attack: str | None,
    published: str | None,
    published_format: str | None,
    epsilon: str | None,
    fraction: float | None,
    classes: str | None,
    surrogate: tuple[Path, ...],
    auxiliary: str | None,
    target_set: str | None,
    output_format: str | None,
    seed: int,
    device: str,
    precision: PrecisionOrInt8 | None,
    profile: str,
    assignments: tuple[str, ...],
    input_format: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Poison the image set SRC into DST, as a published attack would: to test a defence.

    Several attacks joined by + share the set out between them; --set lsp.fraction=0.3 gives one its share. The
    profiles are `paper`, the default, and `small`, which runs on two cores in minutes. With --from, a published poison
    is applied to the clean set SRC that it was made from, or aligned with it.
    """
    if (attack is None) == (published is None):
        raise click.UsageError("name an attack with --attack, or a published file with --from")
    from unpoison.core.settings import parse_assignments
    from unpoison.data import refuse_existing

    given = {"epsilon": epsilon, "fraction": fraction, "classes": classes}
    shorthands = {name: value for name, value in given.items() if value is not None}
    if published is not None:
        if shorthands or profile or precision or surrogate or auxiliary or target_set:
            raise click.UsageError("a published file is what it is: with --from, only --set goes, for its format")
        check_sources(src, input_format=input_format)
        refuse_existing(dst)
        _apply(
            src,
            dst,
            published,
            published_format,
            parse_assignments(assignments),
            seed,
            output_format,
            input_format,
            as_json,
        )
        return
    assert attack is not None
    check_methods(METHODS, attack, kind="attack")
    check_profiles(options.split_profiles(profile), attack, room="unpoison.poisons")
    if not dry_run:
        check_sources(src, auxiliary, target_set, input_format=input_format)
        check_paths(*surrogate)
        refuse_existing(dst)

    from unpoison.poisons.mixture import read_mixture

    parts = read_mixture(
        attack, profiles=options.split_profiles(profile), overrides={**shorthands, **parse_assignments(assignments)}
    )
    settings = options.in_precision({part.attack: part.settings for part in parts}, precision)
    parts = [replace(part, settings=settings[part.attack]) for part in parts]
    if dry_run:
        from unpoison.core.device import choose_device

        described = {part.attack: part.resolved(choose_device(device)).describe() for part in parts}
        options.answer(True, "", {"attack": attack, "seed": seed, "settings": described})
        return

    import unpoison.poisons.crafting as crafting
    from unpoison.classify.saving import load_classifier
    from unpoison.core.progress import progress_bar, telling
    from unpoison.data import check_writable, read, read_history
    from unpoison.poisons.protocol import Resources

    with telling(f"reading {src}"):
        source = read(src, format=input_format)
    check_writable(dst, output_format, source=source)
    with progress_bar(f"poison {attack}", unit="step") as on_step:
        _check_uses(attack, surrogate=surrogate, auxiliary=auxiliary, target_set=target_set)
        resources = Resources(
            surrogates=[load_classifier(folder) for folder in surrogate],
            auxiliary=read(auxiliary) if auxiliary else None,
            target_set=read(target_set) if target_set else None,
            device=device,
            on_step=on_step,
        )
        result = crafting.poison_mixture(source, parts, seed=seed, resources=resources)
    crafting.write_poisoned(result, source, dst, format=output_format, history=read_history(src))
    _report(result, dst, as_json)


def _check_uses(attack: str, **given: Any) -> None:
    """Refuse what none of the attacks would look at."""
    from unpoison.core.chains import split_chain
    from unpoison.core.errors import SettingsError
    from unpoison.poisons.methods import load_attack

    used = {resource for name in split_chain(attack) for resource in load_attack(name).uses}
    for option, value in given.items():
        if value and not {option, f"{option}s"} & used:
            raise SettingsError(f"{attack} uses no --{option.replace('_', '-')}; omit it")


def _apply(
    src: str,
    dst: Path,
    published: str,
    published_format: str | None,
    overrides: Mapping[str, Any],
    seed: int,
    output_format: str | None,
    input_format: str | None,
    as_json: bool,
) -> None:
    """Bring a published poison onto the clean set."""
    from unpoison.core.progress import telling

    with telling(f"bringing {published} onto {src}"):
        from unpoison.data import check_writable, read, read_history
        from unpoison.poisons.crafting import write_poisoned
        from unpoison.poisons.published.loading import load_published

        source = read(src, format=input_format)
        check_writable(dst, output_format, source=source)
        result = load_published(published, source, format=published_format, overrides=overrides, seed=seed)
        write_poisoned(result, source, dst, format=output_format, history=read_history(src))
    _report(result, dst, as_json)


def _report(result: PoisonResult, dst: Path, as_json: bool) -> None:
    facts, names = result.step.facts, list(result.parts)
    lines = [_describe(name, facts if len(names) == 1 else facts[name]) for name in names]
    total = len(result.image_set)
    options.answer(
        as_json,
        "\n".join([*lines, f"{len(result.ids)} of {total} images are poisoned -> {dst}"]),
        # The counts of the whole set last: an attack's facts count its own pictures under the same name.
        {**facts, "images": total, "poisoned": len(result.ids), "result": result.step.result},
    )


def _describe(attack: str, facts: Mapping[str, Any]) -> str:
    """What an attack did, in a line."""
    return (
        f"{attack} ({facts['kind']}): {facts['images']} images, at most {facts['linf_255']}/255 a value, "
        f"L2 {facts['l2_mean']:.3f} on average"
    )
