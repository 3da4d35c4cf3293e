"""What a shell completes."""

from __future__ import annotations

import pytest
from click.shell_completion import ShellComplete

from unpoison.cli.main import cli


def _complete(*words: str) -> list[str]:
    found = ShellComplete(cli, {}, "unpoison", "_UNPOISON_COMPLETE").get_completions(list(words[:-1]), words[-1])
    return ["(a file)" if item.type == "file" else item.value for item in found]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("pu",), ["purify"]),
        (("purify", "--method", "jp"), ["jpeg"]),
        (("purify", "--method", "jpeg+fa"), ["jpeg+fast"]),
        (("purify", "--method", "puregen-ebm", "--profile", "l"), ["linear", "(a file)"]),
        (("purify", "--profile", "light,st"), ["light,strong", "(a file)"]),
        (("purify", "--model", "po"), ["pocket", "pocket-free", "(a file)"]),
        (("purify", "--format", "cifar100"), ["cifar100", "cifar100-bin"]),
        (("purify", "so"), ["(a file)"]),
        (("poison", "a", "b", "--attack", "ls"), ["lsp"]),
        (("poison", "--attack", "em", "--profile", "c"), ["class-wise", "(a file)"]),
        (("train", "--model", "vgg1"), ["vgg11", "vgg16", "vgg19"]),
        (("train", "--profile", "comp"), ["compensation", "(a file)"]),
        (("fit", "ebm", "--profile", "ebm"), ["ebm", "ebm-small", "(a file)"]),
        (("bench", "fast-t"), ["fast-test", "fast-tuning", "(a file)"]),
    ],
)
def test_names_and_files(words, expected):
    assert _complete(*words) == expected
