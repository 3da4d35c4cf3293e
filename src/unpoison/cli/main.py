"""Entry point: the group of commands, and errors as one line."""

from __future__ import annotations

import sys

import click

from unpoison import __version__
from unpoison.core.errors import UnpoisonError
from unpoison.core.memory import keep_memory
from unpoison.core.methods import load_method

_COMMANDS = {
    "demo": "unpoison.cli.demo:demo",
    "purify": "unpoison.cli.purify:purify",
    "poison": "unpoison.cli.poison:poison",
    "fit": "unpoison.cli.fit:fit",
    "train": "unpoison.cli.train:train",
    "score": "unpoison.cli.train:score",
    "bench": "unpoison.cli.bench:bench",
    "report": "unpoison.cli.bench:report",
    "energies": "unpoison.cli.energies:energies",
    "distances": "unpoison.cli.distances:distances",
    "convert": "unpoison.cli.sets:convert",
    "rerun": "unpoison.cli.rerun:rerun",
    "models": "unpoison.cli.models:models",
    "doctor": "unpoison.cli.doctor:doctor",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return load_method(_COMMANDS, cmd_name, kind="command") if cmd_name in _COMMANDS else None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="unpoison")
def cli() -> None:
    """Make a labelled image set from an untrusted source safe to train on.

    SRC and DST are image folders (class/name.png), flat numbered PNG folders, .npz, parquet in the Hub's image layout,
    CIFAR-10/100, and the published formats of poisoned and purified sets. A part of a set is named SRC#test,
    SRC[:1000] or SRC#test[1000:].
    """


def main() -> None:
    """Run the command line; errors a user can mend are one line and exit code 2."""
    keep_memory()
    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except UnpoisonError as error:
        click.echo(f"unpoison: {error}", err=True)
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        click.echo("unpoison: stopped; give the same command again to go on", err=True)
        sys.exit(130)
