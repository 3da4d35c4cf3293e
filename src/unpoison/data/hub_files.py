"""Some files of a data set on the Hub, in its cache."""

from __future__ import annotations

from pathlib import Path

from unpoison.core.errors import DataError, require


def fetch_files(repository: str, patterns: list[str]) -> Path:
    """Download the files of a data set whose paths match; needs a network once.

    Args:
        repository: `owner/name`.
        patterns: globs such as `GradientMatching/cifar10/7/*`.

    Returns:
        The folder in the Hub's cache that holds them.

    Raises:
        DataError: they cannot be downloaded.
    """
    hub = require("huggingface_hub", extra="hub", purpose="reading from the Hub")
    try:
        return Path(hub.snapshot_download(repository, repo_type="dataset", allow_patterns=patterns))
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"hf://{repository}", f"it cannot be downloaded ({reason})", "Check the name and the network"
        ) from None
