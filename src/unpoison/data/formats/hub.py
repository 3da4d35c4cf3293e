"""The Hugging Face Hub: image sets, read as parquet, and weights, downloaded into its cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unpoison.core.errors import DataError, require
from unpoison.core.images import ImageSet
from unpoison.data.format import Format
from unpoison.data.formats.parquet import read_parquet

_NAMES = {"cifar10": "uoft-cs/cifar10", "cifar100": "uoft-cs/cifar100"}
_PARQUET_BRANCH = "refs/convert/parquet"  # where the Hub keeps its own conversion of sets stored otherwise


def read_hub(path: Path, split: str | None) -> ImageSet:
    """Read `hf://owner/name`, or one configuration as `hf://owner/name/config`, or `cifar10`; needs a network once.

    Raises:
        DataError: the set cannot be downloaded, or holds no parquet in the image layout.
    """
    repository, config = _repository(path)
    folder = download(repository)
    image_set = read_parquet(folder / config if config else folder, split)
    image_set.name = path.name
    return image_set


def download(repository: str) -> Path:
    """Download the parquet files of a set.

    Args:
        repository: `owner/name`.

    Returns:
        The folder in the Hub's cache that holds them.

    Raises:
        DataError: they cannot be downloaded, or there are none.
    """
    for revision in (None, _PARQUET_BRANCH):
        folder = fetch_files(repository, "*.parquet", revision=revision)
        if any(folder.rglob("*.parquet")):
            return folder
    raise DataError(f"hf://{repository}", "it holds no parquet files", "Download it by hand and name the folder")


def fetch_files(repository: str, patterns: str | list[str], *, revision: str | None = None) -> Path:
    """Download the files of a data set whose paths match.

    Args:
        repository: `owner/name`.
        patterns: globs such as `GradientMatching/cifar10/7/*`.
        revision: branch of the repository; its main one if left out.

    Returns:
        The folder in the Hub's cache that holds them.

    Raises:
        DataError: they cannot be downloaded.
    """
    with _asking(f"hf://{repository}") as hub:
        return Path(hub.snapshot_download(repository, repo_type="dataset", revision=revision, allow_patterns=patterns))


def fetch_file(address: str) -> Path:
    """Download one file of a model, such as published weights.

    Args:
        address: `hf://owner/name/file`.

    Returns:
        Its path in the Hub's cache.

    Raises:
        DataError: the address is incomplete, or the file cannot be downloaded.
    """
    parts = address.removeprefix("hf://").split("/")
    if len(parts) < 3:
        raise DataError(address, "it names no file of the Hub", "Write hf://owner/name/file")
    with _asking(address) as hub:
        return Path(hub.hf_hub_download("/".join(parts[:2]), "/".join(parts[2:])))


def fetch_model(address: str) -> Path:
    """Download a published model: its descriptions, and its weights as safetensors, or else as torch wrote them.

    Args:
        address: `hf://owner/name`.

    Returns:
        The folder in the Hub's cache that holds them.

    Raises:
        DataError: it cannot be downloaded.
    """
    repository = address.removeprefix("hf://").strip("/")
    with _asking(address) as hub:
        folder = Path(hub.snapshot_download(repository, allow_patterns=["*.json", "*.safetensors"]))
        if any(folder.rglob("*.safetensors")):
            return folder
        return Path(hub.snapshot_download(repository, allow_patterns=["*.json", "*.bin"]))


@contextmanager
def _asking(address: str) -> Iterator[Any]:
    """The Hub's library; within, what it cannot download is one error."""
    hub = require("huggingface_hub", extra="hub", purpose="reading from the Hub")
    try:
        yield hub
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(address, f"it cannot be downloaded ({reason})", "Check the name and the network") from error


def _repository(path: Path) -> tuple[str, str]:
    """`owner/name` and the configuration, which may be empty."""
    if str(path) in _NAMES:
        return _NAMES[str(path)], ""
    parts = path.parts[1:]  # a Path turns hf://owner/name into hf:/owner/name
    if len(parts) < 2:
        raise DataError("/".join(path.parts), "it names no set of the Hub", "Write hf://owner/name")
    return "/".join(parts[:2]), "/".join(parts[2:])


FORMAT = Format(claims=lambda path: str(path) in _NAMES or path.parts[:1] == ("hf:",), read=read_hub)
