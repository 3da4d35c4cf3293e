"""Pages of what a purification changed: before, after and difference, and the change of each class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from unpoison.core.errors import DataError
from unpoison.core.images import ImageSet
from unpoison.core.manifest import Manifest
from unpoison.core.showing import data_uri
from unpoison.reporting.pages import page
from unpoison.reporting.pictures import amplify_difference
from unpoison.runs.preview import Example

_AMPLIFY = 8
_LARGEST = 224  # pictures larger than this are shown in part
_SMALL = 144  # pictures are enlarged, without smoothing, as long as they stay below this
_GAP = 8  # screen pixels between the three; the style sheet says the same
_CLASSES = 20
_UNIT = "Change is the root mean square over a picture, in levels of 0 to 255."


@dataclass(frozen=True)
class Panel:
    """An example as a page shows it.

    Args:
        example: name and class; its pictures are cut to what is shown.
        change_255: change of the whole picture, in 8-bit levels.
        zoom: screen pixels per pixel.
        note: which part of the picture is shown; empty if all.
    """

    example: Example
    change_255: float
    zoom: int
    note: str


def panel(example: Example) -> Panel:
    """What a page shows of an example; holds no more of a large picture than that."""
    height, width = example.before.shape[:2]
    shown_height, shown_width = min(height, _LARGEST), min(width, _LARGEST)
    top, left = (height - shown_height) // 2, (width - shown_width) // 2
    before, after = (
        picture[top : top + shown_height, left : left + shown_width].copy()
        for picture in (example.before, example.after)
    )
    cut = (shown_height, shown_width) != (height, width)
    return Panel(
        Example(example.image_id, example.class_name, before, after),
        example.change_255,
        zoom=max(1, _SMALL // max(shown_height, shown_width)),
        note=f"the middle {shown_width}x{shown_height} of {width}x{height}" if cut else "",
    )


def preview_page(panels: Sequence[Panel], *, name: str, total: int, settings: Mapping[str, Any], seed: int) -> str:
    """The page of `--preview`.

    Args:
        panels: pictures that were purified on trial, at least one.
        name: name of the set.
        total: how many pictures the whole set has.
        settings: of every purifier, as a manifest keeps them.
        seed: the run's seed.
    """
    changes = [one.change_255 for one in panels]
    return page(
        f"Preview of {name}",
        f"<h1>{escape(name)}: what purification would do</h1>"
        f'<p class="soft">{_describe(settings, seed)} {len(panels)} of {total:,} pictures, spread evenly over the set; '
        "the whole run gives these the same pixels. Nothing else was written.</p>"
        f'<p><b class="figure">{np.mean(changes):.1f}</b> mean change of these pictures, from {min(changes):.1f} to '
        f'{max(changes):.1f}: an estimate for the whole set. <span class="soft">{_UNIT}</span></p>' + gallery(panels),
    )


def changes_page(manifest: Manifest, panels: Sequence[Panel]) -> str:
    """The page beside a purified set.

    Args:
        manifest: of the set; its last step has `change_255`.
        panels: the most changed pictures.
    """
    step = manifest.steps[-1]
    change = step.facts["change_255"]
    bars = _class_bars(change["per_class"]) if change["per_class"] else ""
    return page(
        f"Changes of {manifest.name}",
        f"<h1>{escape(manifest.name)}: what purification changed</h1>"
        f'<p class="soft">{_describe(step.settings, step.seed)} {manifest.count:,} pictures.</p>'
        f'<p><b class="figure">{change["mean"]:.1f}</b> mean change. <span class="soft">{_UNIT}</span></p>'
        f'<p class="soft">{_usual(change, step.facts.get("sigma_255"))}</p>'
        f"{bars}<h2>The {len(panels)} most changed pictures</h2>" + gallery(panels),
    )


def most_changed(change: Mapping[str, Any], source: ImageSet, result: ImageSet) -> Iterator[Example]:
    """The most changed pictures of a run, read again.

    Args:
        change: the manifest's `change_255`; `largest` gives the ids.
        source: the set before.
        result: the set after, under the same ids, or those that a folder gave it.

    Raises:
        DataError: a picture has changed its name or size meanwhile.
    """
    before = {image_id: row for row, image_id in enumerate(source.ids)}
    after = {image_id: row for row, image_id in enumerate(result.ids)}
    for image_id in change["largest"]:
        label = source.labels[before[image_id]] if image_id in before else -1
        class_name = source.class_names[label] if label >= 0 else ""
        row = after.get(image_id, after.get(f"{class_name}/{image_id}"))
        if image_id not in before or row is None:
            raise DataError(result.name, "the picture is no longer in both sets", "Run again", record=image_id)
        example = Example(image_id, class_name, source.picture(before[image_id]).rgb, result.picture(row).rgb)
        if example.before.shape != example.after.shape:
            raise DataError(result.name, "the picture has another size than its source", "Run again", record=image_id)
        yield example


def gallery(panels: Iterable[Panel]) -> str:
    """Before, after and difference of every panel, with a line on what is seen."""
    return (
        f'<p class="soft">From left to right: before, after, and the difference amplified {_AMPLIFY} times around '
        "grey; plain grey is unchanged. Small pictures are enlarged without smoothing.</p>"
        f'<div class="gallery">{"".join(map(_figure, panels))}</div>'
    )


def _figure(one: Panel) -> str:
    example = one.example
    difference = amplify_difference(example.after, example.before, factor=_AMPLIFY)
    width = one.zoom * example.before.shape[1]
    images = "".join(
        f'<img src="{data_uri(image)}" width="{width}" alt="{alt}">'
        for alt, image in (("before", example.before), ("after", example.after), ("difference", difference))
    )
    name = example.image_id
    if example.class_name and not name.startswith(f"{example.class_name}/"):
        name = f"{example.class_name} / {name}"
    note = f", {one.note}" if one.note else ""
    return (
        f'<figure style="width:{3 * width + 2 * _GAP}px"><div class="triple">{images}</div>'
        f"<figcaption><b>{one.change_255:.1f}</b> {escape(name)}{note}</figcaption></figure>"
    )


def _usual(change: Mapping[str, Any], sigma_255: float | None) -> str:
    """What is normal, so that nobody takes for poison what the method does to every picture."""
    sentences = []
    if "quantiles" in change:  # not in manifests of earlier versions
        low, middle, high = change["quantiles"].values()
        sentences.append(
            f"Usual in this set is a change of {low:.1f} to {high:.1f}, as nine of ten pictures have; half of them "
            f"have less than {middle:.1f}."
        )
    if sigma_255 is not None:
        sentences.append(
            f"Noise of {sigma_255:.1f} was added, which alone would be a change of {sigma_255:.1f}, and taken out "
            "again; what is left is mostly fine texture that went with it."
        )
    sentences.append(
        "Pictures and classes with much texture change more than plain ones, clean or not: a large change is no sign "
        "of poison, and a small one no sign that there is none."
    )
    return " ".join(sentences)


def _class_bars(per_class: Mapping[str, float]) -> str:
    """Mean change of each class, the largest first."""
    order = sorted(per_class, key=lambda name: (-per_class[name], name))
    shown = order[:_CLASSES]
    longest = max(per_class.values(), default=0) or 1
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td><div class="bar"><b style="width:{100 * per_class[name] / longest:.1f}%"></b>'
        f'</div></td><td class="number">{per_class[name]:.1f}</td></tr>'
        for name in shown
    )
    cut = (
        f'<p class="soft">The {len(shown)} most changed of {len(order)} classes.</p>' if len(order) > len(shown) else ""
    )
    return f'<h2>Mean change of each class</h2>{cut}<table class="plain">{rows}</table>'


def _describe(settings: Mapping[str, Any], seed: int) -> str:
    """The settings of every purifier of a run in a sentence of HTML."""
    links = [
        f"{name} ({', '.join(f'{key} {value}' for key, value in fields.items())})" if fields else name
        for name, fields in settings.items()
        if isinstance(fields, Mapping)
    ]
    return escape(f"Method {' + '.join(links)}, seed {seed}.")
