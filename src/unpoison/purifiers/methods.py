"""Purifiers by name. Chains are written with `+`."""

METHODS = {
    "fast": "unpoison.purifiers.fast:FastPurifier",
    "eclipse": "unpoison.purifiers.eclipse:EclipsePurifier",
    "jpeg": "unpoison.purifiers.jpeg:JpegPurifier",
    "grayscale": "unpoison.purifiers.grayscale:GrayscalePurifier",
}
