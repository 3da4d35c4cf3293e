"""Purifiers by name. Chains are written with `+`."""

METHODS = {
    "fast": "unpoison.purifiers.fast:FastPurifier",
    "eclipse": "unpoison.purifiers.eclipse:EclipsePurifier",
    "puregen-ebm": "unpoison.purifiers.puregen.ebm:PuregenEbmPurifier",
    "puregen-ddpm": "unpoison.purifiers.puregen.ddpm:PuregenDdpmPurifier",
    "puregen-naive": "unpoison.purifiers.puregen.naive:PuregenNaivePurifier",
    "puregen-reps": "unpoison.purifiers.puregen.reps:PuregenRepsPurifier",
    "puregen-filt": "unpoison.purifiers.puregen.filt:PuregenFiltPurifier",
    "jpeg": "unpoison.purifiers.jpeg:JpegPurifier",
    "grayscale": "unpoison.purifiers.grayscale:GrayscalePurifier",
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
    "jpeg": "unpoison.purifiers.settings:JpegSettings",
    "grayscale": "unpoison.purifiers.settings:GrayscaleSettings",
}
