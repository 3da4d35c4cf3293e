import math
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from unpoison.core.errors import ModelError, SettingsError
from unpoison.core.noise import Noise
from unpoison.dynamics.samplers import ancestral, ancestral_sigma, ddim, heun, karras_sigmas
from unpoison.dynamics.steps import Stopped
from unpoison.nets.denoiser import CallableDenoiser, as_denoiser
from unpoison.nets.epsilon import EpsilonModel
from unpoison.nets.schedules import Schedule, cosine_abar

IDS = ("a", "b", "c")
MEAN, SPREAD, SIGMA = 0.4, 0.2, 0.1  # data of the closed forms: N(MEAN, SPREAD^2) in [0, 1] units


class Net(nn.Module):
    """A random network that depends on its time input."""

    def __init__(self, outputs=6):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, outputs, 3, padding=1)

    def forward(self, z, time):
        return self.last(torch.tanh(self.first(z) + torch.sin(time).view(-1, 1, 1, 1)))


def build(outputs=6, **options):
    torch.manual_seed(0)
    options = {"schedule": Schedule("cosine", 4000), "time_scale": 0.25, "max_index": 499} | options
    return EpsilonModel(Net(outputs), learned_variance=outputs == 6, **options).eval().requires_grad_(False)


def noise_for(ids=IDS, seed=0):
    return Noise(seed, "test", ids)


@pytest.fixture
def x():
    return torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def gaussian_denoiser():
    def function(x, sigma):
        variance = sigma.view(-1, 1, 1, 1) ** 2
        return (SPREAD**2 * x + variance * MEAN) / (SPREAD**2 + variance)

    return CallableDenoiser(function, 0.0, 1.0)


class GaussianModel:
    """The best possible model of N(MEAN, SPREAD^2) data, with the exact posterior variance as v."""

    def __init__(self, kept):
        self.abar, self.time_scale, self.max_index = cosine_abar(), 0.25, 3999
        self.kept = sorted(kept)

    def posterior(self, z, index):
        """Mean and variance of the clean data, in [-1, 1] units."""
        abar, mean, variance = self.abar[index].item(), 2 * MEAN - 1, (2 * SPREAD) ** 2
        gain = math.sqrt(abar) * variance / (abar * variance + 1 - abar)
        return mean + gain * (z - math.sqrt(abar) * mean), variance * (1 - gain * math.sqrt(abar))

    def predict(self, z, index):
        index = int(index[0])
        x0, spread = self.posterior(z, index)
        place = self.kept.index(index)
        if place == 0:
            return x0, torch.zeros_like(z)
        abar, previous = self.abar[index].item(), self.abar[self.kept[place - 1]].item()
        beta = 1 - abar / previous
        smallest = beta * (1 - previous) / (1 - abar)
        exact = smallest + (beta * math.sqrt(previous) / (1 - abar)) ** 2 * spread
        r = (math.log(exact) - math.log(smallest)) / (math.log(beta) - math.log(smallest))
        return x0, torch.full_like(z, 2 * r - 1)


def slow_ancestral(image, model, image_id, *, kept, clip=True):
    """Module A for one image, pixel by pixel, from the equations; the network alone works on the whole image."""

    def left(u):
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

    noise, abar, product = noise_for([image_id]), [], 1.0
    for i in range(4000):
        product *= 1 - min(1 - left((i + 1) / 4000) / left(i / 4000), 0.999)
        abar.append(product)

    def draw(step):
        return noise.normal(image[None], step).flatten().tolist()

    last = abar[kept[-1]]
    z = [
        math.sqrt(last) * (2 * pixel - 1) + math.sqrt(1 - last) * normal
        for pixel, normal in zip(image.flatten().tolist(), draw("forward"), strict=True)
    ]
    for place in range(len(kept) - 1, -1, -1):
        index = kept[place]
        a, before = abar[index], abar[kept[place - 1]] if place else 1.0
        beta = 1 - a / before
        bt = beta * (1 - before) / (1 - a)
        out = model.net(torch.tensor(z).view(1, *image.shape), torch.tensor([index * 0.25])).flatten().tolist()
        normals = draw(index) if place else [0.0] * len(z)
        following = []
        for k, pixel in enumerate(z):
            x0 = (pixel - math.sqrt(1 - a) * out[k]) / math.sqrt(a)
            if clip:
                x0 = min(max(x0, -1), 1)
            mean = beta * math.sqrt(before) / (1 - a) * x0 + (1 - before) * math.sqrt(1 - beta) / (1 - a) * pixel
            if place:
                if model.learned_variance:
                    r = (out[len(z) + k] + 1) / 2
                    variance = math.exp(r * math.log(beta) + (1 - r) * math.log(bt))
                else:
                    variance = bt
                mean += math.sqrt(variance) * normals[k]
            following.append(mean)
        z = following
    return (torch.tensor(z).view_as(image) + 1) / 2


@pytest.mark.parametrize("outputs", [6, 3])
@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize(
    ("t", "steps", "kept"),
    [
        (12, None, list(range(12))),
        (100, 7, [0, 16, 33, 50, 66, 82, 99]),
        (100, 2, [0, 99]),
        (100, 1, [99]),
        (1, None, [0]),
    ],
)
def test_ancestral_equals_the_slow_one(x, outputs, clip, t, steps, kept):
    model = build(outputs)
    fast = ancestral(x, model, t=t, steps=steps, noise=noise_for(), clip=clip)
    for row, image_id in enumerate(IDS):
        slow = slow_ancestral(x[row], model, image_id, kept=kept, clip=clip)
        assert float((fast[row] - slow).abs().max()) < 1e-4


@pytest.mark.parametrize("steps", [None, 10])
def test_ancestral_samples_the_true_posterior(steps):
    t = 150
    kept = range(t) if steps is None else [round(k * (t - 1) / (steps - 1)) for k in range(steps)]
    model, noise = GaussianModel(kept), noise_for([str(row) for row in range(8)])
    x = MEAN + SPREAD * torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    out = ancestral(x, model, t=t, steps=steps, noise=noise, clip=False)
    abar = model.abar[t - 1].item()
    noisy = math.sqrt(abar) * (2 * x - 1) + math.sqrt(1 - abar) * noise.normal(x, "forward")
    mean, variance = model.posterior(noisy, t - 1)
    off = (out - (mean + 1) / 2) / (math.sqrt(variance) / 2)
    assert abs(float(off.mean())) < 0.02
    assert float(off.std()) == pytest.approx(1, abs=0.02)
    assert abs(float((off * noisy).mean())) < 0.02
    assert float(out.mean()) == pytest.approx(MEAN, abs=0.005)
    assert float(out.std()) == pytest.approx(SPREAD, abs=0.005)


def flow_error(sampler, sigmas):
    """Largest distance from the exact end of the probability flow: MEAN + (x - MEAN) SPREAD / sqrt(SPREAD^2 + s^2)."""
    x = torch.rand(3, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    start = x + sigmas[0] * noise_for().normal(x, "forward")
    exact = MEAN + (start - MEAN) * SPREAD / math.sqrt(SPREAD**2 + sigmas[0] ** 2)
    return float((sampler(x, gaussian_denoiser(), sigmas=sigmas, noise=noise_for()) - exact).abs().max())


@pytest.mark.parametrize(("sampler", "ratio", "error"), [(ddim, 2, 0.005), (heun, 4, 6e-5)])
def test_flow_samplers_converge_at_their_order(sampler, ratio, error):
    coarse, fine = (flow_error(sampler, karras_sigmas(SIGMA, 1e-4, steps)) for steps in (20, 40))
    assert fine < error
    assert coarse / fine == pytest.approx(ratio, rel=0.25)


def test_ddim_is_the_written_update(x):
    denoiser = gaussian_denoiser()
    z = x + 0.1 * noise_for().normal(x, "forward")
    for sigma, following in ((0.1, 0.04), (0.04, 0.0)):
        x0 = denoiser.denoise(z, torch.full((3,), sigma))
        z = x0 + following * (z - x0) / sigma
    assert torch.allclose(ddim(x, denoiser, sigmas=[0.1, 0.04], noise=noise_for()), z, atol=1e-6)


def test_one_ancestral_step_is_a_clamped_one_shot(x):
    model = build()
    sigma = ancestral_sigma(model, t=100)
    shot = ddim(x, as_denoiser(model), sigmas=[sigma], noise=noise_for())
    assert torch.allclose(ancestral(x, model, t=100, steps=1, noise=noise_for()), shot.clamp(0, 1), atol=1e-5)


@pytest.mark.parametrize(("t", "sigma_255"), [(50, 3.75), (100, 6.37), (150, 8.91)])
def test_ancestral_sigma(t, sigma_255):
    assert 255 * ancestral_sigma(build(), t=t) == pytest.approx(sigma_255, abs=0.01)


def test_karras_sigmas():
    sigmas = karras_sigmas(0.1, 0.002, 5)
    assert (sigmas[0], sigmas[-1], len(sigmas)) == (0.1, 0.002, 5)
    gaps = [a ** (1 / 7) - b ** (1 / 7) for a, b in pairwise(sigmas)]
    assert gaps == pytest.approx([gaps[0]] * 4)
    assert karras_sigmas(0.1, 0.002, 1) == [0.1]


SAMPLERS = {
    "ddim": lambda x, **options: ddim(x, as_denoiser(build()), sigmas=[0.05, 0.02, 0.01], **options),
    "heun": lambda x, **options: heun(x, as_denoiser(build()), sigmas=[0.05, 0.02, 0.01], **options),
    "ancestral": lambda x, **options: ancestral(x, build(), t=6, **options),
    "strided": lambda x, **options: ancestral(x, build(), t=100, steps=5, **options),
}


@pytest.mark.parametrize(("name", "calls"), [("ddim", 3), ("heun", 5), ("ancestral", 6), ("strided", 5)])
class TestContract:
    def test_each_call_is_reported(self, x, name, calls):
        seen = []
        SAMPLERS[name](x, noise=noise_for(), on_step=seen.append)
        assert [(info.step, info.total) for info in seen] == [(step, calls) for step in range(calls + 1)]

    def test_each_step_shows_the_images(self, x, name, calls):
        seen = []
        out = SAMPLERS[name](x, noise=noise_for(), on_step=seen.append)
        assert torch.equal(seen[-1].images, out)
        assert torch.equal(seen[-1].denoised, out), "the last step goes all the way to the estimate"
        assert seen[0].denoised is None
        assert (seen[0].images - x).std() > 0.002, "the start has the noise"
        assert all(info.denoised.shape == info.images.shape == x.shape for info in seen[1:])

    def test_it_stops_between_two_calls(self, x, name, calls):
        seen = []
        with pytest.raises(Stopped):
            SAMPLERS[name](x, noise=noise_for(), on_step=seen.append, should_stop=lambda: len(seen) == 3)
        assert [info.step for info in seen] == [0, 1, 2]

    def test_shape_and_input_are_kept(self, x, name, calls):
        before = x.clone()
        out = SAMPLERS[name](x, noise=noise_for())
        assert (out.shape, out.dtype) == (x.shape, torch.float32)
        assert torch.equal(x, before)

    def test_ancestral_stays_in_range(self, x, name, calls):
        if name in ("ancestral", "strided"):
            out = SAMPLERS[name](x, noise=noise_for())
            assert float(out.min()) >= 0
            assert float(out.max()) <= 1

    def test_same_noise_same_bytes(self, x, name, calls):
        first, again, other = (SAMPLERS[name](x, noise=noise_for(seed=seed)) for seed in (0, 0, 1))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)

    def test_splitting_the_batch_changes_nothing(self, x, name, calls):
        whole = SAMPLERS[name](x, noise=noise_for())
        parts = [SAMPLERS[name](x[row : row + 1], noise=noise_for([IDS[row]])) for row in (2, 0, 1)]
        assert torch.allclose(whole[[2, 0, 1]], torch.cat(parts), atol=1e-5)


@pytest.mark.parametrize(("t", "steps"), [(0, None), (501, None), (100, 0), (100, 101)])
def test_ancestral_refuses_what_the_model_cannot(x, t, steps):
    with pytest.raises(SettingsError, match="t="):
        ancestral(x, build(), t=t, steps=steps, noise=noise_for())


@pytest.mark.parametrize("t", [0, 501])
def test_ancestral_sigma_refuses_too(t):
    with pytest.raises(SettingsError, match="1 to 500"):
        ancestral_sigma(build(), t=t)


@pytest.mark.parametrize("sigmas", [[], [0.1, 0.1], [0.05, 0.1], [0.1, 0.0]])
def test_sigmas_that_do_not_fall_are_refused(x, sigmas):
    for sampler in (ddim, heun):
        with pytest.raises(SettingsError, match="falling"):
            sampler(x, gaussian_denoiser(), sigmas=sigmas, noise=noise_for())


def test_noise_beyond_the_model_is_refused(x):
    with pytest.raises(ModelError, match="outside"):
        ddim(x, as_denoiser(build()), sigmas=[0.5], noise=noise_for())


@pytest.mark.parametrize("t", [1, 2, 3, 7, 100, 150, 499])
def test_kept_indices_are_distinct_with_fixed_ends(x, t):
    for steps in range(2, t + 1):
        seen = []

        def predict(z, index, seen=seen):
            seen.append(int(index[0]))
            return z, None

        stub = SimpleNamespace(abar=cosine_abar(), max_index=499, time_scale=0.25, predict=predict)
        ancestral(x[:1, :1, :1, :1], stub, t=t, steps=steps, noise=noise_for(["a"]))
        assert seen == sorted(set(seen), reverse=True)
        assert (seen[0], seen[-1], len(seen)) == (t - 1, 0, steps)
        if steps > 12:
            break
