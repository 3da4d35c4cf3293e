"""Engines by name: how the blocks of a run come to be made."""

ENGINES = {
    "local": "unpoison.runs.pipeline:make_locally",
    "ray": "unpoison.runs.ray_engine:make_with_ray",
}
