"""The demos, by the purifier that they show."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Demo:
    """A demo: everything about it but the words stands in its suite.

    Args:
        suite: file of this folder. Suites differ in the model they fit, in what purifies, and in nothing else.
        how: how its purification works, in a sentence.
    """

    suite: str
    how: str


METHODS = {
    "fast": Demo(
        "digits.toml",
        "Purification adds noise that drowns the perturbation and removes it with a small diffusion model fitted on "
        "200 clean digits.",
    ),
    "puregen-ebm": Demo(
        "digits-puregen-ebm.toml",
        "Purification moves every picture, in many small and noisy steps, towards what an energy model fitted on 200 "
        "clean digits finds natural.",
    ),
    "puregen-ddpm": Demo(
        "digits-puregen-ddpm.toml",
        "Purification adds the noise of the first 150 of 1,000 steps of a diffusion process, and walks back with a "
        "small model fitted on 200 clean digits, which knows the first 250 of these steps alone.",
    ),
}
