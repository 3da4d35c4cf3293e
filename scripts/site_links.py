"""Links of the documentation to files beside it, such as records: checked, and shown as paths of the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

_LINK = re.compile(r"\[([^\]]*)\]\(\.\./([^)#\s]+)(#[^)\s]*)?\)")
_ROOT = Path(__file__).resolve().parent.parent


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Called by mkdocs for every page.

    Raises:
        PluginError: a link names a file that is not there.
    """

    def show(link: re.Match[str]) -> str:
        text, path, _ = link.groups()
        if not (_ROOT / path).exists():
            raise PluginError(f"{page.file.src_path}: there is no {path}")
        return text if text == path else f"{text} (`{path}`)"

    return _LINK.sub(show, markdown)
