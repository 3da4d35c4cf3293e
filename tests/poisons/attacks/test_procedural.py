"""AR, OPS and CUDA, and what the procedural attacks share: they need no network and little memory."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from unpoison.core import chunks
from unpoison.core.errors import DataError, SettingsError, UnsafeFileError
from unpoison.core.images import ArrayImageSet
from unpoison.core.methods import load_method
from unpoison.core.noise import generator
from unpoison.poisons.attacks import ar, ar_coefficients
from unpoison.poisons.attacks.ar import ArSettings
from unpoison.poisons.attacks.ar_coefficients import ar_filters, ar_noise, autoregress, read_tables, search_tables
from unpoison.poisons.attacks.cuda import CudaSettings, draw_kernels
from unpoison.poisons.attacks.ops import COLORS, OpsSettings, ops_scores
from unpoison.poisons.methods import METHODS
from unpoison.poisons.protocol import PoisonedSet, Resources


@pytest.fixture
def grey():
    """Mid-grey pictures: no perturbation is clipped, so that norms can be measured."""
    return ArrayImageSet(np.full((60, 32, 32, 3), 128, np.uint8), np.arange(60) % 5)


@pytest.fixture
def colourful():
    """Pictures in which every value is drawn for itself."""
    images = np.random.default_rng(3).integers(0, 256, (40, 7, 6, 3), dtype=np.uint8)
    return ArrayImageSet(images, np.arange(40) % 4)


def craft(image_set, attack: str, *, seed: int = 0, **settings) -> PoisonedSet:
    method = load_method(METHODS, attack, kind="attack")
    return method().craft(
        image_set, method.Settings(**settings), generator=generator(seed, attack), resources=Resources()
    )


def delta_of(poisoned: PoisonedSet, image_set) -> np.ndarray:
    return (poisoned.images.astype(np.float64) - image_set.images) / 255


def lengths(delta: np.ndarray) -> np.ndarray:
    return np.sqrt((delta**2).sum(axis=(1, 2, 3)))


@pytest.mark.parametrize("attack", ["ar", "cuda", "lsp", "urp"])
def test_a_seed_gives_the_same_bytes_and_another_gives_others(attack, colourful, grey):
    image_set = grey if attack == "lsp" else colourful
    first, again, other = (craft(image_set, attack, seed=seed).images for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(("attack", "settings"), [("cuda", {}), ("lsp", {}), ("urp", {}), ("urp", {"per": "sample"})])
def test_a_large_set_is_perturbed_as_if_it_were_done_at_once(attack, settings, grey, monkeypatch):
    whole = craft(grey, attack, **settings).images
    monkeypatch.setattr(chunks, "_VALUES", 5 * 32 * 32 * 3)
    assert np.array_equal(craft(grey, attack, **settings).images, whole)


def test_chunks_cover_every_picture_once(monkeypatch):
    monkeypatch.setattr(chunks, "_VALUES", 25)
    images, labels = np.zeros((11, 2, 2, 3), np.uint8), np.array([2, 0, 2, 2, 0, 2, 2, 0, 2, 2, 2])
    found = [(label, rows.tolist()) for label, rows in chunks.class_chunks(images, labels)]
    assert found == [(0, [1, 4]), (0, [7]), (2, [0, 2]), (2, [3, 5]), (2, [6, 8]), (2, [9, 10])]


# AR


def test_the_recurrence_against_a_slow_one():
    drawn = generator(0, "test")
    tables = search_tables(2, 8, 8, generator=drawn)
    start = torch.randn(6, 7, 3, 2, generator=drawn)
    signal = autoregress(start, tables.permute(2, 3, 1, 0))
    slow = start.double().numpy().copy()
    for process, channel, row, column in product(range(2), range(3), range(2, 6), range(2, 7)):
        b = tables[process, channel].double().numpy()
        slow[row, column, channel, process] = sum(
            b[a, e] * slow[row - 2 + a, column - 2 + e, channel, process]
            for a, e in product(range(3), range(3))
            if (a, e) != (2, 2)
        )
    np.testing.assert_allclose(signal.numpy(), slow, rtol=1e-4, atol=1e-4)
    assert torch.equal(signal[:2], start[:2])


def test_ar_has_length_one_before_rounding_and_nearly_after(grey, monkeypatch):
    exact = []
    store = ar.add_and_quantise
    monkeypatch.setattr(ar, "add_and_quantise", lambda i, delta, q: exact.append(delta) or store(i, delta, q))
    stored = craft(grey, "ar")
    np.testing.assert_allclose(lengths(np.concatenate(exact)), 1, atol=1e-5)
    assert lengths(delta_of(stored, grey)).mean() == pytest.approx(1, abs=0.02)
    assert len(np.unique(stored.images, axis=0)) == 60  # fresh noise for each picture


def test_ar_in_linf_reaches_its_bound_and_stays_within(grey):
    delta = np.abs(delta_of(craft(grey, "ar", norm="linf", epsilon="8/255"), grey))
    np.testing.assert_allclose(delta.max(axis=(1, 2, 3)) * 255, 8)
    with pytest.raises(ValueError, match="the whole range of a pixel; set epsilon too"):
        ArSettings(norm="linf")


@pytest.mark.parametrize("size", [(8, 8), (40, 52)])
def test_ar_of_any_size(size):
    clean = ArrayImageSet(np.full((9, *size, 3), 128, np.uint8), np.arange(9) % 3)
    assert lengths(delta_of(craft(clean, "ar"), clean)).mean() == pytest.approx(1, abs=0.05)


def test_tables_keep_the_rules_of_the_search():
    tables = search_tables(10, 32, 32, generator=generator(1, "ar"))
    np.testing.assert_allclose(tables.sum(dim=(2, 3)).numpy(), 1, atol=1e-4)
    assert not tables[:, :, 2, 2].any()
    filters = ar_filters(tables)
    drawn = generator(2, "trials")
    for label, table in enumerate(tables):
        noise = ar_noise(table, 8, 32, 32, generator=drawn)
        assert noise.flatten(1).norm(dim=1).median() < 75  # 50 in the three trials of the search
        noise /= torch.linalg.vector_norm(noise, dim=(1, 2, 3), keepdim=True)
        response = torch.conv2d(noise, filters).relu().sum(dim=(2, 3)).median(dim=0).values
        assert response[label] < 1e-4
        assert (response[:label] > 5).all()


def slow_patterns(coefficients, starts):
    """The noise [trials, 32, 32] of one channel, from starts [trials, 36, 36], a pixel at a time."""
    signal = starts.copy()
    for row, column in product(range(2, 36), range(2, 36)):
        signal[:, row, column] = (signal[:, row - 2 : row + 1, column - 2 : column + 1] * coefficients).sum(axis=(1, 2))
    return signal[:, 4:, 4:]


def test_tables_are_kept_as_the_authors_finder_keeps_them(monkeypatch):
    """Of its three trials none may be longer than 50, over all rows, columns and channels."""
    monkeypatch.setattr(ar_coefficients, "_POOL", 1)  # the least: 100 candidates
    found, _ = ar_coefficients._stable_tables(32, 32, "l2", generator(6, "finder"))
    drawn = generator(6, "finder")
    single = torch.randn(3, 3, 100, generator=drawn).double().numpy()
    single[2, 2] = 0
    single /= single.sum(axis=(0, 1))
    starts = torch.randn(36, 36, 3, 100, generator=drawn).double().numpy()
    with np.errstate(all="ignore"):  # most of them diverge
        squares = [
            (slow_patterns(single[..., k], starts[..., k].transpose(2, 0, 1)) ** 2).sum((1, 2)) for k in range(100)
        ]
    alone = [k for k in range(100) if (np.sqrt(squares[k]) <= 50).all()]
    threes = [alone[first : first + 3] for first in range(0, len(alone) - 2, 3)]
    kept = [three for three in threes if (np.sqrt(sum(squares[k] for k in three)) <= 50).all()]
    assert 0 < len(kept) < len(threes)
    wanted = np.stack([np.stack([single[..., k] for k in three]) for three in kept])
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("norm", "longest", "energy"), [("l2", (20, 75), (0.25, 0.45)), ("linf", (80, 600), (0.45, 0.7))]
)
def test_noise_grows_no_more_than_the_published_unless_each_value_is_bounded(norm, longest, energy, monkeypatch):
    """The authors' ten tables have 0.36 of their energy in the lower right quarter; white noise would have 0.25."""
    monkeypatch.setattr(ar_coefficients, "_POOL", 1_500_000)
    lengths_found, shares = [], []
    for table in search_tables(10, 32, 32, norm=norm, generator=generator(3, "ar")):
        noise = ar_noise(table, 16, 32, 32, generator=generator(4, "ar"))
        whole = noise.square().sum(dim=(1, 2, 3))
        lengths_found.append(whole.sqrt().median().item())
        shares.append((noise[:, :, 16:, 16:].square().sum(dim=(1, 2, 3)) / whole).mean().item())
    assert longest[0] < max(lengths_found) < longest[1]
    assert energy[0] < np.mean(shares) < energy[1]


def test_the_bound_grows_with_the_picture():
    """Noise of the same strength everywhere is as good on a large picture as on a small one."""
    noise = torch.full((32, 64, 1), 50 / np.sqrt(32 * 32))
    for length, kept in ((0.99, True), (1.01, False)):
        assert bool(ar_coefficients._bounded(length * noise, (0, 1), "l2")[0]) is kept
        assert bool(ar_coefficients._bounded(length * noise[:, :32], (0, 1), "l2")[0]) is kept


def test_the_facts_hold_the_tables_unless_they_are_many(grey, tmp_path):
    tables = np.array(craft(grey, "ar").facts["coefficients"])
    assert tables.shape == (5, 3, 3, 3)
    np.save(tmp_path / "many.npy", tables.repeat(20, axis=0))
    many = ArrayImageSet(grey.images, grey.labels, class_names=[str(label) for label in range(100)])
    assert list(craft(many, "ar", coefficients=str(tmp_path / "many.npy")).facts) == ["coefficients_sha256"]


def save(path, tables, *, form):
    if form == "npy":
        np.save(path, np.asarray(tables))
    else:
        torch.save(list(tables) if form == "list" else tables, path)
    return str(path)


@pytest.mark.parametrize(("form", "name"), [("list", "ten.pt"), ("array", "hundred.pt"), ("npy", "own.npy")])
def test_published_tables_are_used(form, name, tmp_path, grey):
    tables = search_tables(6, 32, 32, generator=generator(5, "file"))
    file = save(tmp_path / name, tables, form=form)
    assert torch.equal(read_tables(tmp_path / name), tables)
    assert craft(grey, "ar", coefficients=file).facts["coefficients"] == tables[:5].tolist()


def test_a_table_that_diverges_is_refused_by_class(tmp_path, grey):
    tables = search_tables(5, 32, 32, generator=generator(5, "file"))
    tables[3, 1] = torch.tensor([[9.0, -8, 7], [8, 6, -9], [-7, -5, 0]])
    file = save(tmp_path / "old.pt", tables, form="array")
    with pytest.raises(DataError, match=r"old.pt, record class 3: at 32x32 pixels its noise grows beyond all bounds"):
        craft(grey, "ar", coefficients=file)


def test_files_that_hold_no_tables_are_refused(tmp_path, grey):
    tables = search_tables(4, 32, 32, generator=generator(5, "file"))
    with pytest.raises(SettingsError, match="tables for 4 classes, and the set has 5"):
        craft(grey, "ar", coefficients=save(tmp_path / "few.pt", tables, form="list"))
    save(tmp_path / "flat.pt", tables.flatten(1), form="array")
    with pytest.raises(DataError, match=r"shape \[4, 27\]"):
        read_tables(tmp_path / "flat.pt")
    tables[2, 1, 0, 0] = torch.nan
    save(tmp_path / "early.pt", tables, form="array")
    with pytest.raises(DataError, match="class 2: a table does not have sum 1"):
        read_tables(tmp_path / "early.pt")
    for wrong in (2 * tables, tables.flip(3)):
        save(tmp_path / "wrong.pt", wrong, form="list")
        with pytest.raises(DataError, match=r"class 0: a table does not have sum 1 and 0 at its end"):
            read_tables(tmp_path / "wrong.pt")
    save(tmp_path / "ragged.pt", [torch.zeros(3), torch.zeros(2)], form="list")
    with pytest.raises(DataError, match="no tables of coefficients"):
        read_tables(tmp_path / "ragged.pt")
    (tmp_path / "broken.npy").write_bytes(b"nothing")
    with pytest.raises(DataError, match="not a NumPy array, or it is broken"):
        read_tables(tmp_path / "broken.npy")
    torch.save({"run": print}, tmp_path / "code.pt")
    with pytest.raises(UnsafeFileError):
        read_tables(tmp_path / "code.pt")
    with pytest.raises(DataError, match="no such file"):
        read_tables(tmp_path / "none.pt")


# OPS


def test_ops_against_the_slow_search(colourful):
    poisoned = craft(colourful, "ops")
    expected, taken = colourful.images.copy(), set()
    for label in range(4):
        members = np.flatnonzero(colourful.labels == label)
        best, choice = -1.0, None
        for row, column, color in product(range(7), range(6), product((0.0, 1.0), repeat=3)):
            distance = np.abs(np.array(color) - colourful.images[members, row, column] / 255)
            score = distance.mean() / distance.std()
            if score > best and (row, column, color) not in taken:
                best, choice = score, (row, column, color)
        taken.add(choice)
        expected[members, choice[0], choice[1]] = 255 * np.array(choice[2])
    assert np.array_equal(poisoned.images, expected)


def test_ops_scores_against_the_definition(colourful):
    scores = ops_scores(colourful.images)
    assert scores.shape == (42, 8)
    for position, color in ((0, 0), (17, 5), (41, 7)):
        row, column = divmod(position, 6)
        distance = np.abs(COLORS[color] - colourful.images[:, row, column] / 255)
        assert scores[position, color] == pytest.approx(distance.mean() / distance.std())


@pytest.mark.parametrize("pixels", [1, 3])
def test_ops_paints_the_same_pixels_of_a_class_and_no_other(colourful, pixels):
    changed = (craft(colourful, "ops", pixels=pixels).images != colourful.images).any(axis=3)
    painted = [changed[colourful.labels == label].any(axis=0) for label in range(4)]
    assert [int(mask.sum()) for mask in painted] == [pixels] * 4
    assert changed.sum(axis=(1, 2)).max() == pixels


def test_no_two_classes_share_pixel_and_colour(grey):
    facts = craft(grey, "ops").facts["painted"]  # all classes are alike, so that all want the same
    pairs = {(pixel["row"], pixel["column"], *pixel["color"]) for (pixel,) in facts.values()}
    assert len(pairs) == 5
    assert np.array_equal(craft(grey, "ops", seed=1).images, craft(grey, "ops").images)  # nothing is drawn
    with pytest.raises(SettingsError, match="1024 pixels a picture are too few"):
        craft(grey, "ops", pixels=1025)
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        OpsSettings(pixels=0)


# CUDA


@pytest.mark.parametrize("quantise", ["round", "truncate"])
def test_cuda_against_a_slow_convolution(colourful, quantise):
    poisoned = craft(colourful, "cuda", quantise=quantise)
    kernels = draw_kernels(4, 0.3, generator(0, "cuda")).double().numpy()
    for number in (0, 1, 2, 3, 39):
        kernel, picture = kernels[colourful.labels[number]], colourful.images[number] / 255
        filtered = np.zeros_like(picture)
        for row, column, i, j in product(range(7), range(6), range(3), range(3)):
            above, left = row + i - 1, column + j - 1
            if 0 <= above < 7 and 0 <= left < 6:
                filtered[row, column] += kernel[i, j] * picture[above, left]
        levels = 255 * filtered / filtered.max()
        stored = np.rint(levels) if quantise == "round" else np.floor(levels)
        # float32 and float64 may fall on either side of a step.
        clear = np.abs(levels - np.rint(levels) - (0.5 if quantise == "round" else 0)) > 1e-3
        assert np.array_equal(poisoned.images[number][clear], stored[clear])
        assert clear.mean() > 0.9
        assert poisoned.images[number].max() >= 254


def test_kernels_are_blurs_with_one_full_tap():
    kernels = draw_kernels(200, 0.3, generator(0, "test")).flatten(1)
    assert ((kernels == 1).sum(dim=1) == 1).all()
    others = kernels[kernels < 1]
    assert others.min() >= 0
    assert 0.29 < others.max() <= 0.3
    assert len(np.unique(kernels.argmax(dim=1))) == 9
    with pytest.raises(ValueError, match="greater than 0"):
        CudaSettings(blur=0)


def test_a_black_picture_stays_black():
    black = ArrayImageSet(np.zeros((2, 8, 8, 3), np.uint8), [0, 1])
    assert not craft(black, "cuda").images.any()


@pytest.mark.parametrize("attack", ["ar", "cuda", "ops"])
def test_pictures_without_a_label_are_refused(attack, grey):
    unlabelled = ArrayImageSet(grey.images, np.full(60, -1), class_names=["a"])
    with pytest.raises(SettingsError, match=f"{attack} works class by class"):
        craft(unlabelled, attack)
