"""Batch normalisation whose statistics are parameters, held against torch's own layer."""

import numpy as np
import pytest
import torch
from torch import nn

from node.learning import parameters
from node.learning.averaging import average
from node.learning.normalisation import MOMENTUM, SCALE, SETTLING, BatchNorm, settle


def both(channels=5):
    return BatchNorm(channels), nn.BatchNorm2d(channels)


def test_it_trains_and_answers_as_torch_s_layer_does():
    ours, theirs = both()
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        batch = 3 * torch.randn(4, 5, 6, 6, generator=generator) + torch.arange(5.0).view(1, 5, 1, 1)
        torch.testing.assert_close(ours(batch), theirs(batch))
    batch = torch.randn(2, 5, 6, 6, generator=generator)
    torch.testing.assert_close(ours.eval()(batch), theirs.eval()(batch), atol=1e-4, rtol=1e-4)


def test_its_statistics_are_in_the_vector_and_nothing_is_in_buffers():
    layer = BatchNorm(3)
    assert [name for name, _ in parameters.layout(layer)] == ["gain", "bias", "mean", "spread"]
    before = parameters.flatten(layer)
    layer(torch.randn(8, 3, 4, 4) * 2 + 1)
    moved = parameters.flatten(layer) - before
    assert (moved[:6] == 0).all()
    assert (moved[6:] != 0).all()
    assert np.abs(moved).max() < 0.0625


def test_the_average_of_two_hospitals_statistics_normalises_both():
    """Means are averaged, variances geometrically; both arrive in the summed model like any weight."""
    layer, sides = BatchNorm(1), []
    base = parameters.flatten(layer)
    for scale, shift in ((1.0, -1.0), (4.0, 3.0)):
        side = BatchNorm(1)
        generator = torch.Generator().manual_seed(1)
        for _ in range(100):
            side(scale * torch.randn(64, 1, 8, 8, generator=generator) + shift)
        sides.append(parameters.flatten(side) - base)
    parameters.load(layer, average(base, sides, [1.0, 1.0]))
    found = layer.eval()(torch.full((1, 1, 1, 1), 1.0 + 2.0)).item()
    assert found == pytest.approx(2.0 / 2.0, abs=0.02)  # mean (3 - 1) / 2, deviation sqrt(1 x 4)


def test_one_value_a_channel_uses_the_running_statistics():
    layer = BatchNorm(2)
    one = torch.tensor([3.0, -2.0]).view(1, 2, 1, 1)
    torch.testing.assert_close(layer(one), one, atol=1e-4, rtol=1e-4)
    assert layer.mean.tolist() == [0.0, 0.0]


def test_a_hostile_variance_stays_finite():
    layer = BatchNorm(2).eval()
    with torch.no_grad():
        layer.spread.copy_(torch.tensor([1e30, -1e30]))
    assert torch.isfinite(layer(torch.randn(1, 2, 3, 3))).all()


def test_the_gradient_is_torch_s_and_statistics_have_none():
    ours, theirs = both(2)
    batch = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(2))
    weights = torch.arange(72.0).view(4, 2, 3, 3)
    ends = []
    for layer in (ours, theirs):
        images = batch.clone().requires_grad_()
        (layer(images) * weights).sum().backward()
        ends.append(images.grad)
    torch.testing.assert_close(*ends)
    torch.testing.assert_close(ours.gain.grad, theirs.weight.grad)
    assert ours.mean.grad is None


def test_settled_statistics_are_those_of_the_images_and_nothing_else_moves():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3), BatchNorm(3), nn.Dropout(0.5), nn.Conv2d(3, 2, 1), BatchNorm(2))
    network(torch.randn(8, 1, 6, 6))
    before = parameters.flatten(network)
    images = 5 + 2 * torch.randn(SETTLING * 2, 1, 6, 6)
    settle(network.eval(), images)
    assert not network.training
    assert network[1].momentum == MOMENTUM
    with torch.no_grad():
        first = network[0](images)
        normal = network[4](network[3](network[1](first)))  # in evaluation dropout keeps everything
    torch.testing.assert_close(network[1].mean * SCALE, first.mean((0, 2, 3)), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(normal.mean((0, 2, 3)), torch.zeros(2), atol=1e-3, rtol=0)
    torch.testing.assert_close(normal.std((0, 2, 3)), torch.ones(2), atol=2e-2, rtol=0)
    moved = parameters.flatten(network) != before
    names = [name for name, shape in parameters.layout(network) for _ in range(torch.Size(shape).numel())]
    assert {name.rpartition(".")[2] for name, each in zip(names, moved, strict=True) if each} == {"mean", "spread"}


def test_a_network_without_statistics_is_left_alone():
    network = nn.Conv2d(1, 1, 1)
    settle(network.train(), torch.rand(2, 1, 4, 4))
    assert network.training
