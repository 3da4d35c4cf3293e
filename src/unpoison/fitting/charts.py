"""Figures of matplotlib for a fit, if it is there."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from unpoison.core.errors import MissingExtraError, require
from unpoison.core.files import atomic_path

log = logging.getLogger(__name__)


def can_plot() -> bool:
    """Whether matplotlib is there; logs how to get it if not."""
    try:
        require("matplotlib", extra="plots", purpose="drawing plots")
    except MissingExtraError:
        log.info("no plots are drawn: matplotlib is missing; run  pip install 'unpoison[plots]'")
        return False
    return True


def new_figure(width: float, height: float) -> Any:
    """An empty figure of matplotlib, sides in inches."""
    # It is made without pyplot: no window system, no state shared with the user's own plots.
    module = require("matplotlib.figure", extra="plots", purpose="drawing plots")
    return module.Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure as PNG, in one piece or not at all."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
