"""Purifiers by name. Chains are written with `+`."""

METHODS = {
    "fast": "unpoison.purifiers.fast:FastPurifier",
    "eclipse": "unpoison.purifiers.eclipse:EclipsePurifier",
    "jpeg": "unpoison.purifiers.jpeg:JpegPurifier",
    "grayscale": "unpoison.purifiers.grayscale:GrayscalePurifier",
}

# How the blocks of a run come to be made.
ENGINES = {
    "local": "unpoison.purifiers.engines:make_locally",
    "ray": "unpoison.purifiers.ray_engine:make_with_ray",
}
