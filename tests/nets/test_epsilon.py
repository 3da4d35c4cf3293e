import pytest
import torch
from torch import nn

from unpoison.core.errors import ModelError
from unpoison.nets.epsilon import EpsilonModel
from unpoison.nets.protocols import DiscreteModel
from unpoison.nets.schedules import Schedule


class TimeNet(nn.Module):
    """Answers with the time it was fed, so that tests see it."""

    def __init__(self, outputs: int):
        super().__init__()
        self.conv = nn.Conv2d(3, outputs, 3, padding=1)

    def forward(self, z, time):
        self.time = time
        return self.conv(z) + time.view(-1, 1, 1, 1) / 1000


def build(outputs=6, **options):
    torch.manual_seed(0)
    options = {"schedule": Schedule("cosine", 4000), "time_scale": 0.25} | options
    return EpsilonModel(TimeNet(outputs), **options)


@pytest.fixture
def z():
    return torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_is_a_discrete_model():
    assert isinstance(build(), DiscreteModel)


def test_predict_is_the_written_formula(z):
    model, index = build(), torch.tensor([0, 99, 3000])
    with torch.inference_mode():
        x0, v = model.predict(z, index)
        out = model.net(z, index * 0.25)
    abar = model.abar[index].view(-1, 1, 1, 1)
    expected = (z.double() - (1 - abar).sqrt() * out[:, :3].double()) / abar.sqrt()
    assert torch.allclose(x0.double(), expected, atol=1e-5)
    assert torch.equal(v, out[:, 3:])


def test_network_is_fed_fractional_times(z):
    model = build()
    model.predict(z, torch.tensor([0, 1.5, 99]))
    assert model.net.time.tolist() == [0, 0.375, 24.75]
    assert model.net.time.dtype == torch.float32


def test_without_learned_variance_there_is_no_v(z):
    x0, v = build(outputs=3, learned_variance=False).predict(z, torch.tensor([1, 2, 3]))
    assert v is None
    assert x0.shape == z.shape


@pytest.mark.parametrize("index", [250.0, 249.5, -1.0, float("nan")])
def test_index_outside_is_refused(z, index):
    model = build(schedule=Schedule("linear", 1000), max_index=249)
    with pytest.raises(ModelError, match=rf"index {index:g} .* 0 to 249"):
        model.predict(z, torch.tensor([0, index, 249]))


def test_wrong_channels_are_refused(z):
    with pytest.raises(ModelError, match="3 channels for 3, 6 were expected"):
        build(outputs=3).predict(z, torch.zeros(3))


def test_max_index_beyond_the_schedule_is_refused():
    with pytest.raises(ModelError, match="max_index 4000"):
        build(max_index=4000)


@torch.inference_mode()
def test_autocast_touches_the_network_only(z):
    exact, _ = build().predict(z, torch.full((3,), 99))
    model = build(autocast_dtype=torch.bfloat16)
    x0, v = model.predict(z, torch.full((3,), 99))
    assert x0.dtype == v.dtype == torch.float32
    assert 0 < float((x0 - exact).abs().max()) < 0.01


def test_casting_leaves_the_schedule_alone():
    assert build().to(torch.bfloat16).abar.dtype == torch.float64


def test_splitting_the_batch_changes_nothing(z):
    model, before, index = build(), z.clone(), torch.tensor([5, 50, 500])
    whole, _ = model.predict(z, index)
    parts = torch.cat([model.predict(z[row : row + 1], index[row : row + 1])[0] for row in range(3)])
    assert torch.allclose(whole, parts, atol=1e-5)
    assert torch.equal(z, before)


def test_predict_on_device(device, z):
    model = build().to(device)
    x0, _ = model.predict(z.to(device), torch.full((3,), 99, device=device))
    assert x0.device.type == device.type
