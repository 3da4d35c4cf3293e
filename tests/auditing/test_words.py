"""Every kind of evidence, and every number that may speak, has words."""

from __future__ import annotations

from unpoison.auditing.evidence.methods import METHODS
from unpoison.auditing.evidence.words import WORDS, missed
from unpoison.auditing.expectations import SIGNS


def test_every_kind_and_every_sign_has_words():
    assert set(WORDS) == set(METHODS)
    for sign in SIGNS:
        kind, _, value = sign.partition(".")
        assert WORDS[kind].values[value]


def test_sentences_are_sentences():
    for words in WORDS.values():
        assert words.about.endswith(".")
        assert words.points_to.endswith(".")
        assert not words.title.endswith(".")


def test_what_may_be_missed_names_the_size():
    assert "250 on average" in missed(2500, 10)[0]
    assert "0 on average" in missed(0, 0)[0]
