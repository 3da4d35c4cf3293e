"""Options that several commands share, and how a command answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from unpoison.cli import completing
from unpoison.core.errors import show_control
from unpoison.core.threads import computing_threads

if TYPE_CHECKING:
    from unpoison.core.settings import PrecisionOrInt8, Settings

S = TypeVar("S", bound="Settings")

PATH = click.Path(path_type=Path)


class Group(click.Group):
    """Commands, each shown with the first sentence of its help in full."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            assert command is not None
            rows.append((name, command.get_short_help_str(limit=1000)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def examples(*lines: str) -> str:
    """An epilog for the help of a command: lines that can be copied, for which no width is too small."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


seed = click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Seed of all randomness."
)
secret_seed = click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    help="Seed of all randomness.  [default: a secret one from the system for the noise of purification, which the "
    "output keeps; 0 for all else]",
)
device = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
precision = click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "int8"]),
    help="Arithmetic of the networks; auto is bf16 where the processor has it, else fp32. int8 is for fast with the "
    "network in the package: on a CPU, and the same bytes on every kind.  [default: the profile's, or auto]",
)


def _use_threads(context: click.Context, parameter: click.Parameter, text: str) -> None:
    if context.resilient_parsing:  # only completing a line
        return
    if text != "auto" and not re.fullmatch("[1-9][0-9]{0,2}", text):
        raise click.BadParameter(f"'{text}' is neither auto nor a number from 1 to 999", context, parameter)
    context.with_resource(computing_threads(None if text == "auto" else int(text)))


threads = click.option(
    "--threads",
    default="auto",
    show_default=True,
    metavar="N|auto",
    callback=_use_threads,
    expose_value=False,
    help="Threads to compute on; auto is OMP_NUM_THREADS, or as many as there are free cores.",
)
profile = click.option(
    "--profile",
    default="",
    metavar="NAME[,NAME...]",
    shell_complete=completing.profiles,
    help="Settings to start from: shipped names or .toml files.",
)
assignments = click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Set one field.")
dry_run = click.option("--dry-run", is_flag=True, help="Print the settings that result, and stop.")
trust = click.option(
    "--trust",
    multiple=True,
    metavar="MODULE:CLASS",
    help="A method from elsewhere that the file names, and whose code may be imported.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line.")
input_format = click.option(
    "--format",
    "input_format",
    default=None,
    shell_complete=completing.formats,
    help="Format of SRC, if it is not detected.",
)


def together(*options: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Several options as one decorator, in the order given."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


# What every command that computes with settings takes.
but_seed = (device, precision, threads, profile, assignments, input_format, dry_run, as_json)
computing = together(seed, *but_seed)
# The same of a command that draws noise with which it purifies.
purifying = together(secret_seed, *but_seed)


def in_precision(settings: Mapping[str, S], precision: PrecisionOrInt8 | None) -> dict[str, S]:
    """The settings of methods by name, in the precision that --precision asks for.

    Raises:
        SettingsError: it asks, and none of the methods computes with a network.
    """
    from unpoison.core.errors import SettingsError
    from unpoison.core.settings import with_precision

    if precision and not any("precision" in type(own).model_fields for own in settings.values()):
        raise SettingsError(f"{' + '.join(settings)} computes without a network; omit --precision")
    return {name: with_precision(own, precision, of=name) for name, own in settings.items()}


def split_profiles(profile: str) -> list[str]:
    """`a,b` to `["a", "b"]`."""
    return [name for name in profile.split(",") if name]


def answer(as_json: bool, text: str, facts: dict[str, Any]) -> None:
    """Say what came out: `text` for a person, `facts` as one line of JSON for a program.

    Names in it may be a stranger's: what could steer a terminal is shown as escapes.
    """
    if as_json:
        text = re.sub("[\x7f-\x9f]", lambda match: f"\\u{ord(match[0]):04x}", json.dumps(facts, ensure_ascii=False))
    click.echo("\n".join(map(show_control, text.split("\n"))))
