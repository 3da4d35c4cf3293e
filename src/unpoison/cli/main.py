"""Entry point: the group of commands, and errors as one line."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from unpoison import __version__
from unpoison.cli import interrupts, options
from unpoison.cli.debugging import logs_as_lines, trace
from unpoison.core.errors import UnpoisonError, show_control
from unpoison.core.memory import collect_rarely, keep_memory
from unpoison.core.methods import load_method, trusting
from unpoison.core.notes import DataWarning
from unpoison.core.suggestions import suggest

_COMMANDS = {
    "demo": "unpoison.cli.demo:demo",
    "audit": "unpoison.cli.audit:audit",
    "purify": "unpoison.cli.purify:purify",
    "poison": "unpoison.cli.poison:poison",
    "fit": "unpoison.cli.fit:fit",
    "train": "unpoison.cli.train:train",
    "score": "unpoison.cli.train:score",
    "bench": "unpoison.cli.bench:bench",
    "report": "unpoison.cli.report:report",
    "energies": "unpoison.cli.energies:energies",
    "distances": "unpoison.cli.distances:distances",
    "convert": "unpoison.cli.sets:convert",
    "rerun": "unpoison.cli.rerun:rerun",
    "models": "unpoison.cli.models:models",
    "doctor": "unpoison.cli.doctor:doctor",
}
# After Ctrl-C these go on with what they have finished; the others begin again.
_GO_ON = frozenset({"demo", "purify", "fit", "bench", "rerun"})

_PYTHONS_OWN = warnings.showwarning


class _Commands(options.Group):
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort):
            goes_on = ctx.invoked_subcommand in _GO_ON
            interrupts.stop(
                "what is finished is kept, give the same command again to go on"
                if goes_on
                else "nothing was kept, the same command begins again"
            )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Names the nearest command where there is none of this name."""
        if args[0] not in _COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"there is no command '{args[0]}'{suggest(args[0], _COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return load_method(_COMMANDS, cmd_name, kind="command") if cmd_name in _COMMANDS else None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="unpoison")
@click.option("--debug", is_flag=True, help="Show the traceback behind an error; stands before the command.")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    """Make a labelled image set from an untrusted source safe to train on.

    SRC and DST are image folders (class/name.png; SRC also packed as .zip or .tar.gz), flat numbered PNG folders,
    .npz, parquet in the Hub's image layout, CIFAR-10/100, and the published formats of poisoned and purified sets. A
    part of a set is named SRC#test, SRC[:1000] or SRC#test[1000:].
    """
    context.ensure_object(dict)["debug"] = debug


def main() -> None:
    """Run the command line; errors a user can mend are one line and exit code 2."""
    keep_memory()
    collect_rarely()
    asked = {"debug": False}
    try:
        with warnings.catch_warnings(), interrupts.answering(), logs_as_lines():
            warnings.simplefilter("always", DataWarning)
            warnings.showwarning = _show_warning
            with _debugging(asked), trusting(_typed(sys.argv)):
                cli(standalone_mode=False, obj=asked)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.message = _sentence(error.message)  # type: ignore[misc]  # final only to type checkers
        error.show()
        sys.exit(2)
    except UnpoisonError as error:
        click.echo(f"unpoison: {_sentence(str(error))}", err=True)
        sys.exit(2)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        click.echo(show_control(_sentence(f"unpoison: {where}{error.strerror or type(error).__name__}")), err=True)
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        interrupts.stop("give the same command again")


def _typed(arguments: Sequence[str]) -> set[str]:
    """Words of a command line, methods of chains and values of settings among them."""
    return {word for argument in arguments for word in re.split(r"[+=]", argument)}


def _sentence(text: str) -> str:
    """A message with its full stop, which errors leave to who shows them; none after a line to copy, set off by two
    spaces.
    """
    return text if not text or text[-1] in ".!?" or "  " in text else f"{text}."


@contextmanager
def _debugging(asked: Mapping[str, bool]) -> Iterator[None]:
    """Within, an error that becomes a line shows its traceback before, if --debug asks for it."""
    try:
        yield
    except (UnpoisonError, click.ClickException, OSError) as error:
        if asked["debug"]:
            click.echo("\n".join(map(show_control, trace(error))), err=True)
        raise


def _show_warning(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """Show what happened to a set as a line; other warnings as Python does."""
    if issubclass(category, DataWarning):
        click.echo(show_control(f"unpoison: {message}"), err=True)
    else:
        _PYTHONS_OWN(message, category, *where, **more)
