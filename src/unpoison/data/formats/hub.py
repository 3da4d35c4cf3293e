"""Image sets of the Hugging Face Hub: downloaded into the Hub's cache, then read as parquet."""

from __future__ import annotations

from pathlib import Path

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
    """
    hub = require("huggingface_hub", extra="hub", purpose="reading from the Hub")
    try:
        for revision in (None, _PARQUET_BRANCH):
            folder = Path(
                hub.snapshot_download(repository, repo_type="dataset", revision=revision, allow_patterns="*.parquet")
            )
            if any(folder.rglob("*.parquet")):
                return folder
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        raise _failed(f"hf://{repository}", error) from None
    raise DataError(f"hf://{repository}", "it holds no parquet files", "Download it by hand and name the folder")


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
    hub = require("huggingface_hub", extra="hub", purpose="reading from the Hub")
    try:
        return Path(hub.hf_hub_download("/".join(parts[:2]), "/".join(parts[2:])))
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        raise _failed(address, error) from None


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
    hub = require("huggingface_hub", extra="hub", purpose="reading from the Hub")
    try:
        folder = Path(hub.snapshot_download(repository, allow_patterns=["*.json", "*.safetensors"]))
        if any(folder.rglob("*.safetensors")):
            return folder
        return Path(hub.snapshot_download(repository, allow_patterns=["*.json", "*.bin"]))
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        raise _failed(address, error) from None


def _failed(address: str, error: Exception) -> DataError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DataError(address, f"it cannot be downloaded ({reason})", "Check the name and the network")


def _repository(path: Path) -> tuple[str, str]:
    """`owner/name` and the configuration, which may be empty."""
    if str(path) in _NAMES:
        return _NAMES[str(path)], ""
    parts = path.parts[1:]  # a Path turns hf://owner/name into hf:/owner/name
    if len(parts) < 2:
        raise DataError("/".join(path.parts), "it names no set of the Hub", "Write hf://owner/name")
    return "/".join(parts[:2]), "/".join(parts[2:])


FORMAT = Format(claims=lambda path: str(path) in _NAMES or path.parts[:1] == ("hf:",), read=read_hub)
