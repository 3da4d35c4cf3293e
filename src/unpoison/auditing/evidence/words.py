"""Words: each kind of evidence as somebody reads it who has seen no paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_LEARNED = "A faint pattern put into all or many pictures of a class, for a model to learn in place of what they show."
_SHARE = "the class is named right (0 %: no better than guessing)"
_CLEAREST_100 = "lead of the own class over the next, exceeded by 1 picture of 100"
_CLEAREST_1000 = "lead of the own class over the next, exceeded by 1 picture of 1,000"
_REPEATED = "strength of what is repeated"


@dataclass(frozen=True)
class Words:
    """One kind of evidence.

    Args:
        title: a few words.
        about: what is measured, and why clean sets show little of it.
        points_to: the manipulation that it speaks for.
        values: what its numbers say, by the name that `Evidence.values` has; only those that may speak.
    """

    title: str
    about: str
    points_to: str
    values: Mapping[str, str] = field(default_factory=dict)


WORDS = {
    "residuals": Words(
        "The class can be read from the noise",
        "A denoiser splits each picture into what it shows and the fine noise on it. In natural pictures that noise "
        "says little of what is shown.",
        f"{_LEARNED} If only the clearest few stand out, a few pictures carry it.",
        {"advantage": _SHARE, "margin_0.99": _CLEAREST_100, "margin_0.999": _CLEAREST_1000},
    ),
    "residual-textures": Words(
        "The class can be read from the texture of the noise",
        "The same noise, wherever in the picture it is: small patterns of 5x5 pixels that one class has more often "
        "than another.",
        "A faint texture put into all or many pictures of a class, at no fixed place.",
        {"advantage": _SHARE},
    ),
    "colour-residuals": Words(
        "The class can be read from the colour of the noise",
        "The same noise without its brightness. What nature leaves there has hardly any colour.",
        "Faint coloured noise put into all or many pictures of a class, for a model to learn.",
        {"advantage": _SHARE},
    ),
    "denoised": Words(
        "The class can be read once the noise is gone",
        "What the denoiser leaves of the pictures, and of their noise once more: how hard the set is by nature.",
        "Nothing by itself: the other measurements are compared with it.",
    ),
    "early": Words(
        "A small network learns the classes at once",
        "A small network sees every picture once or twice. What was made to be learned is learned before what is "
        "natural.",
        _LEARNED,
        {
            "pass_1": "the class is named right after one look (0 %: no better than guessing)",
            "pass_2": "the class is named right after two looks (0 %: no better than guessing)",
        },
    ),
    "images": Words(
        "The class can be read from the pixels",
        "The simplest model there is, on the pictures as they are: natural classes are too varied for it.",
        _LEARNED,
        {"advantage": _SHARE, "margin_0.99": _CLEAREST_100, "margin_0.999": _CLEAREST_1000},
    ),
    "textures": Words(
        "The class can be read from texture alone",
        "Small patterns of 5x5 pixels, wherever in the picture they are, without shapes or places.",
        "A texture, blur or filter of its own put on every picture of a class.",
        {"advantage": _SHARE},
    ),
    "coarse": Words(
        "The class can be read from a few large blocks",
        "Each picture shrunk to 4x4 pixels, in which nobody recognises anything.",
        "Large patches of faint colour, alike in all or many pictures of a class.",
        {"side_4": _SHARE},
    ),
    "class-means": Words(
        "The noise of a class does not average out",
        "The noise of many pictures of a class is averaged, once for each half of them. Natural noise cancels, and the "
        "two means have nothing in common.",
        "One and the same pattern put into all pictures of a class.",
        {
            "coherence": "how alike the two means are, over all classes (1: the same)",
            "coherence_max": "how alike the two means are, in the class where they are most alike (1: the same)",
        },
    ),
    "pixels": Words(
        "One pixel has one colour in a whole class",
        "At every place: in how many pictures of a class a pixel is pure black, white, red, ..., and in how many of "
        "the other classes.",
        "A single pixel or a small mark, set at the same place in every picture of a class.",
        {
            "pixel": "how far the oddest pixel of the oddest class stands out",
            "pixel_mean": "the same, over all classes",
        },
    ),
    "repeats": Words(
        "Some pictures of a class carry the same pattern",
        "A pattern is sought that a few pictures in one half of a class share, and then looked for in the other half. "
        "It may be hidden anywhere in the noise.",
        "One pattern put into some or all pictures of a class. In a single class it is a trigger: a model that learns "
        "it names that class wherever it sees the pattern.",
        {"repeat": f"{_REPEATED}, in the middle one of all classes", "repeat_max": f"{_REPEATED}, in the oddest class"},
    ),
    "autoregression": Words(
        "Each class has a rule from pixel to pixel",
        "In the noise of each class, every pixel is predicted from its eight neighbours. Natural noise follows the "
        "same rule in every class.",
        "Noise that a short formula made, another one for each class.",
        {"advantage": "the class is named right by its rule (0 %: no better than guessing)"},
    ),
    "history": Words(
        "The classes were stored in different ways",
        "Traces of JPEG, resizing and noise from before the set was put together.",
        "A class or a part of it that comes from elsewhere, or that was changed and stored again.",
    ),
    "duplicates": Words(
        "Some pictures are nearly the same",
        "Pictures that are alike in 8x8 pixels but for brightness and contrast: all that is faint is gone there.",
        "Copies, with or without something faint put into them. Copies in two classes contradict each other. Many "
        "clean sets have copies too.",
        {
            "share": "pictures that are nearly the same as another",
            "across": "pictures that are nearly the same as one of another class",
        },
    ),
    "energies": Words(
        "The noise makes pictures less natural",
        "A network that knows natural pictures gives each a number, higher for less natural ones. It is asked twice: "
        "for the picture, and for what a denoiser leaves of it.",
        "Noise that is not a camera's, or pictures that were not compressed among ones that were. Most of the number "
        "is texture, and the class says some of it by nature.",
        {
            "by_class": "variation of the number that the class says",
            "added_by_class": "variation that the class says of what the noise adds",
            "texture": "variation of the number that texture explains",
        },
    ),
}


def missed(images: int, classes: int) -> tuple[str, ...]:
    """What a set of this size may hide, though nothing was found: a sentence each.

    Args:
        images: how many pictures it has.
        classes: how many classes have pictures.
    """
    share = images // max(classes, 1)
    return (
        f"Fewer than about ten changed pictures of one class, of which this set has {share:,} on average.",
        "Pictures made so that a model misreads one chosen picture: each of them is changed in its own way.",
        "Changes so weak that clean sets of this size vary as much: the fewer pictures, the more they vary.",
        "What somebody made who knew what is measured here.",
        "Wrong labels and missing pictures, which are not what is measured.",
    )
