"""Pages of a purification: the preview, and what a run changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unpoison.core.images import ImageSet
    from unpoison.core.manifest import Manifest
    from unpoison.core.progress import OnStep
    from unpoison.runs.run import PurifyRun


def write_preview(
    image_set: ImageSet, run: PurifyRun, target: Path, *, count: int, device: str, on_step: OnStep | None = None
) -> dict[str, Any]:
    """Purify a few pictures and write the page that shows them.

    Returns:
        How many, their mean change, and the page.
    """
    from unpoison.core.errors import DataError
    from unpoison.core.files import write_text
    from unpoison.reporting.changes import preview_page
    from unpoison.reporting.panels import panel
    from unpoison.runs.preview import preview

    panels = [panel(example) for example in preview(image_set, run, count=count, device=device, on_step=on_step)]
    if not panels:
        raise DataError(image_set.name, "it holds no pictures", "Name another set")
    shown = preview_page(panels, name=image_set.name, total=len(image_set), settings=run.describe(), seed=run.seed)
    write_text(target, shown)
    mean = sum(one.change.all_255 for one in panels) / len(panels)
    return {"previewed": len(panels), "images": len(image_set), "change_255": round(mean, 2), "page": str(target)}


def preview_path(dst: Path | None) -> Path:
    """Where the page of a preview goes: DST itself if it is a page, else beside what would be DST."""
    if dst is None:
        return Path("preview.html")
    return dst if dst.suffix.lower() == ".html" else dst.with_name(f"{dst.name}.preview.html")


def changes_path(dst: Path) -> Path:
    """Where the page of a run lies: in the folder DST, or beside the file."""
    return dst / "changes.html" if dst.is_dir() else dst.with_name(f"{dst.name}.changes.html")


def draw_changes(source: ImageSet, result: ImageSet, manifest: Manifest) -> dict[str, bytes]:
    """The page of what a run changed, which lies with the set; nothing if it cannot be drawn."""
    from unpoison.core.progress import write_line
    from unpoison.reporting.changes import changes_page, read_examples
    from unpoison.reporting.panels import panel

    change = manifest.steps[-1].facts["change_255"]
    try:
        panels = [panel(example) for example in read_examples(change, source, result)]
        return {"changes.html": changes_page(manifest, panels).encode(errors="backslashreplace")}
    except Exception as error:  # whatever goes wrong with a drawing, the set itself is complete
        write_line(f"unpoison: the set is complete, but its page could not be drawn: {error}")
        return {}
