"""The capsule network against a reference written with loops, and against numbers worked out by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from node.learning.capsnet import CapsNet, lengths, margin_loss, route, squash


def slow_squash(vector):
    norm = np.sqrt(sum(x * x for x in vector))
    return vector * 0 if norm == 0 else norm**2 / (1 + norm**2) * vector / norm


def slow_route(votes, iterations):
    """Sabour, Frosst & Hinton 2017, procedure 1, one capsule at a time. votes [I, J, D]."""
    I, J, _ = votes.shape  # noqa: E741
    logits = np.zeros((I, J))
    for step in range(iterations):
        coupling = np.array([[np.exp(logits[i, j]) / np.exp(logits[i]).sum() for j in range(J)] for i in range(I)])
        parents = [slow_squash(sum(coupling[i, j] * votes[i, j] for i in range(I))) for j in range(J)]
        if step < iterations - 1:
            for i in range(I):
                for j in range(J):
                    logits[i, j] += votes[i, j] @ parents[j]
    return np.array(parents)


@given(
    seed=st.integers(0, 2**32),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(2, 4), st.integers(1, 5)),
    iterations=st.integers(1, 4),
)
@settings(max_examples=40, deadline=None)
def test_routing_equals_the_reference(seed, shape, iterations):
    votes = np.random.default_rng(seed).normal(size=shape)
    found = route(torch.from_numpy(votes), iterations).numpy()
    expected = np.stack([slow_route(each, iterations) for each in votes])
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("length", "squashed"), [(0, 0), (0.5, 0.2), (1, 0.5), (2, 0.8), (3, 0.9)])
def test_squash_by_hand(length, squashed):
    """l^2 / (1 + l^2)."""
    vector = torch.tensor([0.6, 0.8], dtype=torch.float64) * length
    assert torch.linalg.norm(squash(vector)).item() == pytest.approx(squashed, abs=1e-7)


def test_squash_and_lengths_have_a_finite_gradient_at_zero():
    vector = torch.zeros(3, 4, requires_grad=True)
    (squash(vector).sum() + lengths(vector).sum()).backward()
    assert torch.isfinite(vector.grad).all()


def test_routing_moves_children_to_the_parent_on_which_they_agree():
    generator = torch.Generator().manual_seed(0)
    votes = torch.randn(1, 16, 2, 4, generator=generator) * 0.3
    votes[:, :, 0] = torch.tensor([0.25, 0.15, 0.0, 0.0])
    evenly, routed = (lengths(route(votes, iterations))[0] for iterations in (1, 3))
    assert routed[0] > evenly[0]
    assert routed[0] > routed[1]


def test_margin_loss_by_hand():
    """Sabour eq. 4: class 0 present at 0.7 (0.2 short), class 1 absent at 0.3 (0.2 over, halved)."""
    found = margin_loss(torch.tensor([[0.7, 0.3]]), torch.tensor([0]))
    assert found.item() == pytest.approx(0.2**2 + 0.5 * 0.2**2)
    assert margin_loss(torch.tensor([[0.95, 0.05]]), torch.tensor([0])).item() == 0


def test_margin_loss_is_told_for_each_image():
    answers, labels = torch.tensor([[0.5, 0.1], [0.1, 0.9]]), torch.tensor([0, 1])
    assert margin_loss(answers, labels).tolist() == pytest.approx([0.4**2, 0.0])


@pytest.mark.parametrize(("classes", "size"), [(2, 64), (3, 32), (5, 128)])
def test_shapes_probabilities_and_size(classes, size):
    torch.manual_seed(0)
    model = CapsNet(classes)
    output = model(torch.rand(4, 1, size, size))
    assert output.shape == (4, classes, 16)
    assert (lengths(output) < 1).all()
    probabilities = model.probabilities(output)
    assert (probabilities >= 0).all()
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(4))
    assert sum(tensor.numel() for tensor in model.parameters()) <= 1_000_000


def test_an_answer_does_not_depend_on_the_window_or_the_rest_of_the_batch():
    torch.manual_seed(0)
    model = CapsNet(2)
    images = torch.rand(4, 1, 32, 32) * 0.5
    with torch.inference_mode():
        whole, alone, brighter = model(images), model(images[:1]), model(images * 1.5 + 0.2)
    torch.testing.assert_close(whole[:1], alone, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(whole, brighter, atol=1e-3, rtol=1e-2)


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    model = CapsNet(3)
    model.losses(model(torch.rand(6, 1, 32, 32)), torch.tensor([0, 1, 2, 0, 1, 2])).mean().backward()
    for name, tensor in model.named_parameters():
        assert tensor.grad is not None, name
        assert tensor.grad.abs().sum() > 0, name
