"""Pages of what a purification changed: its classes, and pictures before and after, with what changed in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from unpoison.core.errors import DataError
from unpoison.core.images import ImageSet
from unpoison.core.manifest import Manifest
from unpoison.reporting import dots, widgets
from unpoison.reporting.pages import page
from unpoison.reporting.panels import LARGEST, Panel, explain_panes, full_scale, gallery, show_unusual
from unpoison.runs.preview import Example

_UNIT = "Change is the root mean square over a picture, in levels of 0 to 255."
_PIXELS = 12 * LARGEST**2  # of the pictures in a gallery, so that a page stays a few megabytes
_TYPICAL_PIXELS = 4 * LARGEST**2
_ORDERS = {"unusual": "most unusual first", "change": "largest change first"}


def preview_page(panels: Sequence[Panel], *, name: str, total: int, settings: Mapping[str, Any], seed: int) -> str:
    """The page of `--preview`.

    Args:
        panels: pictures that were purified on trial, at least one.
        name: name of the set.
        total: how many pictures the whole set has.
        settings: of every purifier, as a manifest keeps them.
        seed: the run's seed.
    """
    changes = [one.change.all_255 for one in panels]
    scale = full_scale(panels)
    return _page(
        f"Preview of {name}",
        f"<h1>{escape(name)}: what purification would do</h1>"
        f'<p class="soft">{_describe(settings, seed)} {len(panels)} of {total:,} pictures, spread evenly over the set; '
        "the whole run gives these the same pixels. Nothing else was written.</p>"
        f'<p><b class="figure">{np.mean(changes):.1f}</b> mean change of these pictures, from {min(changes):.1f} to '
        f'{max(changes):.1f}: an estimate for the whole set. <span class="soft">{_UNIT}</span></p>'
        f"{explain_panes(scale)}{_tools(panels, {})}{gallery(panels, scale=scale)}",
    )


def changes_page(manifest: Manifest, panels: Sequence[Panel]) -> str:
    """The page beside a purified set.

    Args:
        manifest: of the set; its last step has `change_255`.
        panels: the pictures that `read_examples` gives.
    """
    step = manifest.steps[-1]
    change = step.facts["change_255"]
    unusual = change.get("unusual", {"pictures": {}, "typical": {}})  # not in manifests of earlier versions
    typical = [one for one in panels if one.example.image_id in unusual["typical"]]
    ranked = [one for one in panels if one.example.image_id not in unusual["typical"]]
    scale = full_scale(panels)
    kind = "most unusual" if unusual["pictures"] else "largest"
    orders = _ORDERS if unusual["pictures"] else {}
    return _page(
        f"Changes of {manifest.name}",
        f"<h1>{escape(manifest.name)}: what purification changed</h1>"
        f'<p class="soft">{_describe(step.settings, step.seed)} {manifest.count:,} pictures.</p>'
        f'<p><b class="figure">{change["mean"]:.1f}</b> mean change. <span class="soft">{_UNIT}</span></p>'
        f'<p class="soft">{_usual(change, step.settings, step.facts.get("sigma_255"))}</p>{_charts(change)}'
        f"<h2>Pictures with the {kind} change</h2>{_meaning(unusual)}{explain_panes(scale)}"
        f"{_tools(ranked, orders)}{gallery(ranked, scale=scale, unusual=unusual['pictures'])}"
        + ("<h2>For comparison: pictures that changed as is usual</h2>" if typical else "")
        + gallery(typical, scale=scale, unusual=unusual["typical"], filtered=False),
    )


def read_examples(change: Mapping[str, Any], source: ImageSet, result: ImageSet) -> Iterator[Example]:
    """The pictures that a page shows of a run, read again: the most unusual ones, and some that are as usual.

    Args:
        change: the manifest's `change_255`, which names them; of earlier versions, those that changed most.
        source: the set before.
        result: the set after, under the same ids, or those that a folder gave it.

    Raises:
        DataError: a picture has changed its name or size meanwhile.
    """
    before = {image_id: row for row, image_id in enumerate(source.ids)}
    after = {image_id: row for row, image_id in enumerate(result.ids)}
    unusual = change.get("unusual", {"pictures": change["largest"], "typical": {}})

    def first(image_ids: Iterable[str], room: int) -> Iterator[str]:
        """The first pictures that have room, in pixels."""
        for image_id in image_ids:
            room -= int(np.minimum(source.sizes[before[image_id]], LARGEST).prod()) if image_id in before else 0
            if room < 0:
                return
            yield image_id

    for image_id in (*first(unusual["pictures"], _PIXELS), *first(unusual["typical"], _TYPICAL_PIXELS)):
        label = source.labels[before[image_id]] if image_id in before else -1
        class_name = source.class_names[label] if label >= 0 else ""
        row = after.get(image_id, after.get(f"{class_name}/{image_id}"))
        if image_id not in before or row is None:
            raise DataError(result.name, "the picture is no longer in both sets", "Run again", record=image_id)
        example = Example(image_id, class_name, source.picture(before[image_id]).rgb, result.picture(row).rgb)
        if example.before.shape != example.after.shape:
            raise DataError(result.name, "the picture has another size than its source", "Run again", record=image_id)
        yield example


def _page(title: str, body: str) -> str:
    return page(title, body, style=widgets.STYLE + dots.STYLE, script=widgets.SCRIPT)


def _tools(panels: Sequence[Panel], orders: Mapping[str, str]) -> str:
    return widgets.tools([one.example.class_name for one in panels], orders)


def _usual(change: Mapping[str, Any], settings: Mapping[str, Any], sigma_255: float | None) -> str:
    """What is normal, so that nobody takes for poison what the method does to every picture."""
    sentences = []
    if "quantiles" in change:  # not in manifests of earlier versions
        low, middle, high = change["quantiles"].values()
        sentences.append(
            f"Usual in this set is a change of {low:.1f} to {high:.1f}, as nine of ten pictures have; half of them "
            f"have less than {middle:.1f}."
        )
    if sigma_255 is not None:
        spots = any(isinstance(link, Mapping) and link.get("field", "0") != "0" for link in settings.values())
        sentences.append(
            f"Noise of {sigma_255:.1f} was added, which alone would be a change of {sigma_255:.1f}, and taken out "
            "again; what is left is mostly fine texture that went with it"
            + (", and remains of the random spots of colour that were added too." if spots else ".")
        )
    sentences.append(
        "Pictures and classes with much texture change more than plain ones, clean or not: a large change is no sign "
        "of poison, and a small one no sign that there is none."
    )
    return " ".join(sentences)


def _charts(change: Mapping[str, Any]) -> str:
    """The mean of each class, against the spread of the set: of the change, and of what is unusual in it."""
    if not change["per_class"]:
        return ""
    charts = [
        "<div><h2>Mean change of each class</h2>"
        + dots.dot_plot(
            change["per_class"], list(change.get("quantiles", {}).values()), "{:.1f}".format, axis="{:g}".format
        )
        + "</div>"
    ]
    if "unusual" in change:
        unusual = change["unusual"]
        charts.append(
            "<div><h2>Unusual fine change of each class</h2>"
            + dots.dot_plot(
                unusual["per_class"],
                list(unusual["quantiles"].values()),
                lambda ratio: show_unusual(ratio, 1),
                axis=show_unusual,
            )
            + "</div>"
        )
    shaded = (
        '<p class="soft">A dot is the mean of a class. Shaded is where nine of ten single pictures of the set lie, the '
        "line is their middle. Each axis runs no further than what is on it. Unusual is by how much the fine change, "
        "from pixel to pixel, is more than what is usual for the texture.</p>"
    )
    return f'<div class="charts">{"".join(charts)}</div>{shaded if "quantiles" in change else ""}'


def _meaning(unusual: Mapping[str, Any]) -> str:
    """What the order of the pictures says, and what it does not."""
    if not unusual["pictures"]:
        return (
            '<p class="soft">The most changed pictures are those with the most texture, clean or not: their order says '
            "nothing of poison.</p>"
        )
    low, _, high = map(show_unusual, unusual["quantiles"].values())
    first = show_unusual(next(iter(unusual["pictures"].values()))["ratio"])
    explained = f"{100 * unusual['explained']:.0f}\u00a0%"
    return (
        "<p>In front are pictures that lost more fine structure than others of this set with as much texture. Texture "
        f"alone explains {explained} of how pictures differ in that; the order is of the rest. "
        f"Nine of ten pictures lie from {low} to {high}, the first at {first}.</p>"
        '<p class="soft">A place in front may come from a fine perturbation, and comes as well from film grain, JPEG '
        "lines, lettering or JPEG blocks among smooth pictures: look at the fine change. A place behind says nothing: "
        "smooth perturbations, most triggers and wrong labels do not show here, and what most pictures of the set have "
        "counts as usual. The set was not judged by it, and nothing was left out; "
        "whether it looks poisoned is what <code>unpoison audit</code> says.</p>"
    )


def _describe(settings: Mapping[str, Any], seed: int) -> str:
    """The settings of every purifier of a run in a sentence of HTML."""
    links = [
        f"{name} ({', '.join(f'{key} {value}' for key, value in fields.items())})" if fields else name
        for name, fields in settings.items()
        if isinstance(fields, Mapping)
    ]
    return escape(f"Method {' + '.join(links)}, seed {seed}.")
