"""Blocks made by Ray actors, on this machine or on a cluster with shared storage."""

from __future__ import annotations

import logging
import os
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from unpoison.core.errors import RunError, UnpoisonError, require
from unpoison.core.images import ImageSet
from unpoison.core.threads import available_cores
from unpoison.runs.pipeline import OnPictures, OnSaved, make_blocks
from unpoison.runs.run import PurifyRun
from unpoison.runs.store import Saved, Store, write_block
from unpoison.runs.work import Work

_MAX_DEATHS = 3  # a block that has ended so many workers is given up
_BLOCKS_AT_ONCE = 4  # on an accelerator, so that one block is decoded while another is computed


def make_with_ray(
    work: Work,
    numbers: Sequence[int],
    store: Store,
    *,
    png: bool,
    workers: int | None,
    on_saved: OnSaved,
    on_pictures: OnPictures,
) -> None:
    """Make blocks in actors. They read the source and write block files themselves; only this process journals.

    A cluster is used if `RAY_ADDRESS` names one or Ray is connected already, else workers are started here.

    Args:
        work: the run on its set.
        numbers: which blocks.
        store: lies on storage that all workers see.
        png: store blocks as PNG.
        workers: how many actors; one per core, or per accelerator, if left out.
        on_saved: called after each block, once it is in the journal.
        on_pictures: not called: what the workers have half done is not known here.

    Raises:
        MissingExtraError: Ray is not installed.
        RunError: there is no device for a worker, or a block ends every worker that tries it.
    """
    ray = require("ray", extra="ray", purpose="--engine ray")
    if not numbers:
        return
    on_cpu = work.device.type == "cpu"
    with _connected(ray, workers or available_cores()):
        kind = "CPU" if on_cpu else "GPU"
        offered = int(ray.cluster_resources().get(kind, 0))
        if not offered:
            raise RunError(f"the Ray cluster has no {kind}; choose another --device")
        options = {"num_cpus": 1, "num_gpus": 0 if on_cpu else 1, "max_restarts": 0}
        actor_class = ray.remote(**options)(_Worker)
        about = _share(ray, work.source)
        place = (str(store.folder.resolve()), os.getcwd())
        start = partial(actor_class.remote, about, work.run, work.device.type, work.batch_size, work.header(), place)
        size = 1 if on_cpu else _BLOCKS_AT_ONCE
        batches = [list(numbers[first : first + size]) for first in range(0, len(numbers), size)]
        _drive(ray, start, batches, workers or offered, png, store, on_saved)


def _drive(
    ray: Any,
    start: Callable[[], Any],
    batches: Sequence[list[int]],
    workers: int,
    png: bool,
    store: Store,
    on_saved: OnSaved,
) -> None:
    """Hand out the blocks, journal what comes back, and hand out again what a lost worker held."""
    waiting = deque(batches)
    deaths: Counter[int] = Counter()
    idle: list[Any] = []
    busy: dict[Any, tuple[Any, list[int]]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                actor, batch = idle.pop() if idle else start(), waiting.popleft()
                busy[actor.make.remote(batch, png)] = actor, batch
            ready, _ = ray.wait(list(busy), num_returns=1)
            actor, batch = busy.pop(ready[0])
            try:
                saved, error = ray.get(ready[0])
            except ray.exceptions.RayActorError as death:
                deaths.update(batch)
                _give_up(deaths, batch, death)
                waiting.extendleft([number] for number in reversed(batch))  # one by one: which of them was it?
                continue
            for entry in saved:
                store.record_written(entry)
                on_saved(entry)
            if error:
                raise error
            idle.append(actor)
    finally:
        for actor in [*idle, *(actor for actor, _ in busy.values())]:
            ray.kill(actor)


def _give_up(deaths: Counter[int], batch: list[int], death: Any) -> None:
    """End the run if it is not worth trying these blocks again."""
    lines = [line.strip() for line in str(death).splitlines() if line.strip()]
    if death.actor_init_failed:
        raise RunError(f"a worker cannot begin ({lines[-1]}); is the same unpoison installed on all machines?")
    for number in batch:
        if deaths[number] >= _MAX_DEATHS:
            raise RunError(
                f"block {number} has ended {_MAX_DEATHS} workers ({lines[0]}); is there memory enough for it? "
                "What is finished is kept: give the same command again, with fewer --workers or another engine"
            )


def _share(ray: Any, image_set: ImageSet) -> Any:
    """Send the set to all workers: what lies in files goes as their names, what lies in memory as shared memory."""
    try:
        return ray.put(image_set)
    except (TypeError, AttributeError) as error:
        raise RunError(
            f"{image_set.name} cannot be sent to workers ({error}); write it to files, or use --engine local"
        ) from None


@contextmanager
def _connected(ray: Any, workers: int) -> Iterator[None]:
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if os.environ.get("RAY_ADDRESS"):
        with ray.init(address="auto", **quiet):
            yield
        return
    # Ray makes sockets below it, whose names are limited; the folder itself is new and the user's own.
    short = "/tmp" if os.path.isdir("/tmp") else None  # noqa: S108 - TemporaryDirectory makes it
    with (
        _on_loopback(ray),
        tempfile.TemporaryDirectory(prefix="unpoison-", dir=short, ignore_cleanup_errors=True) as folder,
        ray.init(address="local", num_cpus=workers, include_dashboard=False, _temp_dir=folder, **quiet),
    ):
        yield


@contextmanager
def _on_loopback(ray: Any) -> Iterator[None]:
    """Keep the ports of what is started here from other machines.

    Ray knows one switch for that, which it sets itself on Windows and macOS; its address of the node is not obeyed.
    """
    name, constants = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", ray._private.ray_constants
    given, before = os.environ.get(name), constants.ENABLE_RAY_CLUSTER
    os.environ[name] = "0"  # for the processes that it starts
    constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before
        if given is None:
            del os.environ[name]
        else:
            os.environ[name] = given


class _Worker:
    """An actor: loads the model once, then makes blocks.

    Args:
        image_set: the source.
        run: what is to be done.
        device: kind of device.
        batch_size: images on it at once.
        header: what the driver's machine must have in common with this one.
        place: folder of the block files, and the driver's current folder, to which paths are relative.
    """

    def __init__(
        self,
        image_set: ImageSet,
        run: PurifyRun,
        device: str,
        batch_size: int,
        header: dict[str, Any],
        place: tuple[str, str],
    ):
        self._arguments = (image_set, run, device, batch_size, header)
        self._folder, self._home = place
        self._work: Work | None = None

    def make(self, numbers: list[int], png: bool) -> tuple[list[Saved], UnpoisonError | None]:
        """Make some blocks.

        Returns:
            What was written, and the error that ended it, if one did.
        """
        saved: list[Saved] = []
        try:
            if self._work is None:
                self._work = self._prepare()
            save = partial(write_block, Path(self._folder))
            with closing(make_blocks(self._work, numbers, save, png=png)) as blocks:
                saved.extend(blocks)
        except UnpoisonError as error:
            return saved, error
        return saved, None

    def _prepare(self) -> Work:
        image_set, run, device, batch_size, header = self._arguments
        try:
            os.chdir(self._home)
        except OSError as error:
            raise RunError(f"a worker cannot enter {self._home} ({error.strerror}): is it on shared storage?") from None
        work = Work(image_set, run, device=device, batch_size=batch_size)
        work.prepare(Path(self._folder))
        different = sorted(key for key, value in work.header().items() if header[key] != value)
        if different:
            raise RunError(f"a worker has other {', '.join(different)} than this machine, so its bytes would differ")
        return work
