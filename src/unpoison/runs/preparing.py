"""Purifiers that look at the whole set once, before any of it is purified."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from unpoison.core.documents import read_json
from unpoison.core.errors import RunError
from unpoison.core.files import write_json, writing
from unpoison.core.images import ImageSet
from unpoison.core.locks import wait_for_lock
from unpoison.core.noise import generator
from unpoison.core.progress import OnStep, StepInfo
from unpoison.purifiers.chain import Chain
from unpoison.purifiers.protocol import NeedsWholeSet, Purifier


def looks_at_set(purifier: Purifier | Chain) -> bool:
    """Whether a purifier, or a link of a chain, has to see the whole set first."""
    return any(isinstance(link, NeedsWholeSet) for link in _links(purifier))


def prepare(
    purifier: Purifier | Chain, image_set: ImageSet, *, seed: int, on_step: OnStep | None = None
) -> Purifier | Chain:
    """Let a purifier, or the links of a chain, look at the set; one that need not is given back as it is.

    Args:
        purifier: any.
        image_set: the whole set as it came; links of a chain see it so too.
        seed: the run's seed.
        on_step: called as they go on; each step says what is being done, unlike those of a run's blocks.
    """

    def tell(info: StepInfo) -> None:
        assert on_step is not None
        on_step(replace(info, doing=info.doing or "looking at the whole set"))

    return _join(
        purifier,
        [
            link.prepare(image_set, generator=generator(seed, f"prepare/{number}"), on_step=tell if on_step else None)
            if isinstance(link, NeedsWholeSet)
            else link
            for number, link in enumerate(_links(purifier))
        ],
    )


def prepare_in(
    folder: Path,
    key: str,
    purifier: Purifier | Chain,
    image_set: ImageSet,
    *,
    seed: int,
    on_step: OnStep | None = None,
) -> Any:
    """Like `prepare`, for all processes that share a folder: the first looks, the others read what it has found.

    Args:
        folder: lies beside the journal.
        key: hash of all that decides the result.
        purifier: as for `prepare`.
        image_set: as for `prepare`.
        seed: as for `prepare`.
        on_step: as for `prepare`.
    """
    path = folder / f"prepared-{key[:16]}.json"
    with writing(folder, kept=True):
        lock = wait_for_lock(folder / "preparation")
    with lock:
        if not path.exists():
            found = findings(prepare(purifier, image_set, seed=seed, on_step=on_step))
            with writing(folder, kept=True):
                write_json(path, found)
    links = _links(purifier)
    try:
        found = read_json(path)
        links = [
            link.restore(found[str(number)]) if isinstance(link, NeedsWholeSet) else link
            for number, link in enumerate(links)
        ]
    except (OSError, ValueError, TypeError, KeyError):
        raise RunError(f"{path} is damaged; remove it and give the same command again") from None
    return _join(purifier, links)


def findings(purifier: Purifier | Chain) -> dict[str, Any]:
    """What a purifier has found, by the number of the link; empty if nothing."""
    links = enumerate(_links(purifier))
    return {
        str(number): link.prepared
        for number, link in links
        if isinstance(link, NeedsWholeSet) and link.prepared is not None
    }


def _links(purifier: Purifier | Chain) -> list[Purifier]:
    return list(purifier.links) if isinstance(purifier, Chain) else [purifier]


def _join(purifier: Purifier | Chain, links: list[Purifier]) -> Purifier | Chain:
    return Chain(links) if isinstance(purifier, Chain) else links[0]
