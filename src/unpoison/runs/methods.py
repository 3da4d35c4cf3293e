"""How the blocks of a run come to be made, by name."""

ENGINES = {
    "local": "unpoison.runs.engines:make_locally",
    "ray": "unpoison.runs.ray_engine:make_with_ray",
}
