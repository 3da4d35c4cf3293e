import pytest
import torch
from torch import nn

from unpoison.core.errors import ModelError
from unpoison.nets.denoiser import CallableDenoiser, as_denoiser
from unpoison.nets.epsilon import EpsilonModel
from unpoison.nets.protocols import Denoiser
from unpoison.nets.schedules import Schedule, abar_to_sigma


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)

    def forward(self, z, time):
        return self.conv(z) * (1 + time.view(-1, 1, 1, 1) / 1000)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return EpsilonModel(Net(), schedule=Schedule("cosine", 4000), time_scale=0.25, max_index=499).eval()


@pytest.fixture
def x():
    return torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_both_are_denoisers(model):
    assert isinstance(as_denoiser(model), Denoiser)
    assert isinstance(CallableDenoiser(lambda x, sigma: x, 0.0, 1.0), Denoiser)


def test_agrees_with_predict_at_whole_indices(model, x):
    index = torch.tensor([0, 99, 499])
    abar = model.abar[index]
    before = x.clone()
    got = as_denoiser(model).denoise(x, abar_to_sigma(abar).float())
    x0, _ = model.predict(abar.sqrt().float().view(-1, 1, 1, 1) * (2 * x - 1), index)
    assert torch.allclose(got, (x0 + 1) / 2, atol=1e-5)
    assert torch.equal(x, before)


def test_range_is_that_of_the_model(model, x):
    denoiser = as_denoiser(model)
    assert 255 * denoiser.sigma_min == pytest.approx(0.4005, abs=1e-3)
    assert denoiser.sigma_max == pytest.approx(abar_to_sigma(model.abar[499].item()))
    denoiser.denoise(x, torch.tensor([denoiser.sigma_min, 0.05, denoiser.sigma_max]))


@pytest.mark.parametrize("sigma", [0.0, 0.001, 0.5, float("nan")])
def test_outside_is_refused(model, x, sigma):
    for denoiser in (as_denoiser(model), CallableDenoiser(lambda x, sigma: x, 0.0015, 0.1)):
        with pytest.raises(ModelError, match=r"sigma\*255 = .* outside") as caught:
            denoiser.denoise(x, torch.tensor([0.05, sigma, 0.05]))
        assert "\n" not in str(caught.value)


def test_a_users_function_is_called_as_it_is(x):
    denoiser = CallableDenoiser(lambda x, sigma: x * (1 - sigma.view(-1, 1, 1, 1)), 0.0, 1.0)
    assert torch.equal(denoiser.denoise(x, torch.full((3,), 0.25)), x * 0.75)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x, sigma: x[:, :1], r"makes torch.float32 \[4, 1, "),
        (lambda x, sigma: x[..., :-1], "of the same shape"),
        (lambda x, sigma: x.long(), "torch.int64"),
        (lambda x, sigma: None, "gives a NoneType"),
        (lambda x, sigma: (x,), "gives a tuple"),
        (lambda x, sigma: x.numpy(), "gives a ndarray"),
    ],
)
def test_a_users_function_that_gives_something_else_is_refused(function, message):
    x = torch.rand(4, 3, 8, 8)
    with pytest.raises(ModelError, match=message):
        CallableDenoiser(function, 0.01, 1.0).denoise(x, torch.full((4,), 0.1))


def test_a_users_function_may_change_its_input_and_compute_in_fp64():
    x = torch.rand(4, 3, 8, 8)
    kept = x.clone()
    clean = CallableDenoiser(lambda x, sigma: x.mul_(0.5).double(), 0.01, 1.0).denoise(x, torch.full((4,), 0.1))
    assert torch.equal(x, kept)
    assert torch.equal(clean, 0.5 * kept)
