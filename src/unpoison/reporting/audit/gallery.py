"""The most suspicious pictures as the page's script takes them: what they show, what is removed, and their nearest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from unpoison.auditing.audit import Audit
from unpoison.auditing.views import View
from unpoison.core.images import ImageSet
from unpoison.core.showing import data_uri
from unpoison.reporting.audit.drawings import amplified, evenly

SHOWN = 200
_OF_ALL = 60  # of them, at most, are the most suspicious of every class, whatever they are in the whole set
NEAREST = 2
_SIDES = (96, 64, 48, 32)  # pixels that the longer side of a picture may have; the first that fits is taken
_ROOM = 6_500_000  # characters of all pictures
_STEP = 16  # levels between those of an amplified difference: half the size, and nothing is seen of it
_COMPARED = 2000  # pictures of a class among which the nearest are sought, beside those that are shown


def gallery_data(audit: Audit, image_set: ImageSet) -> dict[str, Any]:
    """What the script shows.

    Args:
        audit: of the set; at least one of its views was measured.
        image_set: the set, for its pictures.

    Returns:
        `pictures`, the most suspicious first: `id`, `class` (a number), `score`, and places in `images` of what it
        shows (`original`), of what is removed (`removed`) and of the same of its nearest (`near`); `images`: addresses.
    """
    name = audit.verdict.findings[0].view
    view = audit.views[name]
    rows = _most_suspicious(audit)
    nearest = _nearest(view, rows)
    images: list[str] = []
    places: dict[int, int] = {}

    def place(row: int) -> int:
        """Of two pictures: the view of a row, and what is removed from it."""
        if row not in places:
            places[row] = len(images)
            images.extend((data_uri(view.images[row]), data_uri(_removed(view, row))))
        return places[row]

    pictures = [
        {
            "id": audit.ids[row],
            "class": int(audit.labels[row]),
            "score": round(float(audit.suspicion[row]), 2),
            "view": place(row),
            "near": [{"id": audit.ids[other], "view": place(other)} for other in nearest[row]],
        }
        for row in rows.tolist()
    ]
    if max(image_set.sizes.max(axis=0)) > view.images.shape[1]:
        originals = _originals(image_set, [audit.ids[row] for row in rows], _ROOM - sum(map(len, images)))
        for picture, address in zip(pictures, originals, strict=True):
            picture["original"] = len(images)
            images.append(address)
    return {"classes": list(audit.class_names), "cut": name, "pictures": pictures, "images": images}


def as_script(data: Mapping[str, Any]) -> str:
    """Data for a script inside a page: whatever names it holds, they end no element."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _most_suspicious(audit: Audit) -> np.ndarray:
    """[n] rows, the most suspicious first; of every class a few, so that each can be looked at."""
    order = np.argsort(-audit.suspicion, kind="stable")
    few = _OF_ALL // len(audit.class_names)
    place = np.empty(len(order), np.int64)  # within the class
    for label in range(len(audit.class_names)):
        own = order[audit.labels[order] == label]
        place[own] = np.arange(len(own))
    first = np.argsort(place[order] >= few, kind="stable")[:SHOWN]
    return order[np.sort(first)]


def _originals(image_set: ImageSet, ids: list[str], room: int) -> list[str]:
    """Addresses of whole pictures, as large as there is room for."""
    known = {image_id: row for row, image_id in enumerate(image_set.ids)}
    pictures = [_shrunk(image_set.pixels(known[image_id]), _SIDES[0]) for image_id in ids]
    for side in _SIDES:
        addresses = [data_uri(_shrunk(picture, side)) for picture in pictures]
        if sum(map(len, addresses)) <= room:
            break
    return addresses


def _shrunk(picture: np.ndarray, side: int) -> np.ndarray:
    image = Image.fromarray(picture)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _removed(view: View, row: int) -> np.ndarray:
    """[32, 32, 3] uint8."""
    shown = amplified(view.residuals[row].astype(np.float32)).astype(np.int16)
    return ((shown + _STEP // 2) // _STEP * _STEP).clip(0, 255).astype(np.uint8)


def _nearest(view: View, rows: np.ndarray) -> dict[int, list[int]]:
    """For each row those of its class that are most like it in the noise."""
    found: dict[int, list[int]] = {}
    for label in np.unique(view.labels[rows]):
        own = rows[view.labels[rows] == label]
        members = np.union1d(own, evenly(np.flatnonzero(view.labels == label), _COMPARED))
        alike = _directions(view, own) @ _directions(view, members).T
        alike[torch.from_numpy(own[:, None] == members)] = -torch.inf
        best = alike.topk(min(NEAREST, len(members) - 1), dim=1).indices.numpy()
        found.update({int(row): members[places].tolist() for row, places in zip(own, best, strict=True)})
    return found


def _directions(view: View, rows: np.ndarray) -> torch.Tensor:
    return F.normalize(view.white[rows].flatten(1))
