"""Purifiers by name. Chains are written with `+`."""

from __future__ import annotations

from typing import Any

from unpoison.core.methods import load_method

METHODS = {
    "fast": "unpoison.purifiers.fast:FastPurifier",
    "eclipse": "unpoison.purifiers.eclipse:EclipsePurifier",
    "puregen-ebm": "unpoison.purifiers.puregen.ebm:PuregenEbmPurifier",
    "puregen-ddpm": "unpoison.purifiers.puregen.ddpm:PuregenDdpmPurifier",
    "puregen-naive": "unpoison.purifiers.puregen.naive:PuregenNaivePurifier",
    "puregen-reps": "unpoison.purifiers.puregen.reps:PuregenRepsPurifier",
    "puregen-filt": "unpoison.purifiers.puregen.filt:PuregenFiltPurifier",
    "jpeg": "unpoison.purifiers.filters.jpeg:JpegPurifier",
    "grayscale": "unpoison.purifiers.filters.grayscale:GrayscalePurifier",
}

# Their settings, which are read without the code above.
SETTINGS = {
    "fast": "unpoison.purifiers.settings:FastSettings",
    "eclipse": "unpoison.purifiers.settings:EclipseSettings",
    "puregen-ebm": "unpoison.purifiers.settings:PuregenEbmSettings",
    "puregen-ddpm": "unpoison.purifiers.settings:PuregenDdpmSettings",
    "puregen-naive": "unpoison.purifiers.settings:PuregenNaiveSettings",
    "puregen-reps": "unpoison.purifiers.settings:PuregenRepsSettings",
    "puregen-filt": "unpoison.purifiers.settings:PuregenFiltSettings",
    "jpeg": "unpoison.purifiers.filters.settings:JpegSettings",
    "grayscale": "unpoison.purifiers.filters.settings:GrayscaleSettings",
}


def load_purifier(name: str) -> Any:
    """What makes a purifier of its settings: a class of ours, or the like of one from elsewhere (`OwnPurifier`).

    Raises:
        SettingsError: there is no such purifier.
    """
    found = load_method(METHODS, name, kind="purifier")
    from unpoison.core.own import Own

    if name in METHODS or isinstance(found, Own):
        return found
    from unpoison.purifiers.own import OwnPurifier

    return OwnPurifier(name, found)
