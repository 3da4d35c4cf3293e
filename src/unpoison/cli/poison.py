"""`unpoison poison`."""

from __future__ import annotations

from pathlib import Path

import click

from unpoison.cli import options
from unpoison.poisons.methods import METHODS


@click.command()
@click.argument("src")
@click.argument("dst", type=options.PATH)
@click.option("--attack", required=True, help=f"One of {', '.join(METHODS)}.")
@click.option(
    "--epsilon", help="Bound of the perturbation in [0, 1] units, e.g. 8/255; what it bounds is the attack's."
)
@click.option("--fraction", default=1.0, show_default=True, help="Share of every class that is poisoned.")
@options.together(
    options.seed, options.profile, options.assignments, options.input_format, options.dry_run, options.as_json
)
def poison(
    src: str,
    dst: Path,
    attack: str,
    epsilon: str | None,
    fraction: float,
    seed: int,
    profile: str,
    assignments: tuple[str, ...],
    input_format: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Poison the image set SRC into DST, as a published attack would: to test a defence."""
    from unpoison.core.settings import parse_assignments
    from unpoison.poisons.crafting import attack_settings

    overrides = {"epsilon": epsilon} if epsilon else {}
    settings = attack_settings(
        attack, profiles=options.split_profiles(profile), overrides={**overrides, **parse_assignments(assignments)}
    )
    if dry_run:
        options.answer(
            True, "", {"attack": attack, "seed": seed, "fraction": fraction, "settings": settings.model_dump()}
        )
        return

    import unpoison.poisons.crafting as crafting
    from unpoison.core.errors import RunError
    from unpoison.data import read, read_history

    if dst.exists():
        raise RunError(f"{dst} is already there; remove it or choose another name")
    source = read(src, format=input_format)
    result = crafting.poison(source, attack, settings=settings, fraction=fraction, seed=seed)
    crafting.write_poisoned(result, source, dst, history=read_history(src))
    facts = result.step.facts
    options.answer(
        as_json,
        f"{len(result.poisoned.ids)} of {len(source)} images poisoned with {attack}: at most {facts['linf_255']}/255 a "
        f"value, L2 {facts['l2_mean']:.3f} on average -> {dst}",
        {"images": len(source), "poisoned": len(result.poisoned.ids), "result": result.step.result, **facts},
    )
