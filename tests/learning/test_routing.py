"""Squash, routing and margin loss against golden vectors, a slow reference, and numbers worked out by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from node.learning.losses import margin_loss
from node.learning.routing import lengths, route, squash
from tests.learning import slow_capsules as slow
from tests.learning import vectors


def exact(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture(scope="module")
def golden():
    return vectors.load()


def test_the_reference_makes_the_golden_vectors(golden):
    assert vectors.make() == golden


def test_squash_gives_the_golden_vectors(golden):
    for case in golden["squash"]:
        torch.testing.assert_close(squash(exact(case["vector"])), exact(case["squashed"]), atol=1e-7, rtol=1e-7)


def test_routing_gives_the_golden_vectors(golden):
    for case in golden["routing"]:
        votes = exact(case["votes"])
        found = route(torch.stack([votes, votes.flip(0)]), case["iterations"])
        for parents in found:  # the order of children does not matter
            torch.testing.assert_close(parents, exact(case["parents"]), atol=1e-6, rtol=1e-6)


def test_the_margin_loss_gives_the_golden_vectors(golden):
    for case in golden["margin_loss"]:
        found = margin_loss(exact([case["lengths"]]), torch.tensor([case["label"]]))
        assert found.item() == pytest.approx(case["loss"], abs=1e-9)


@given(
    seed=st.integers(0, 2**32),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(2, 4), st.integers(1, 5)),
    iterations=st.integers(1, 4),
)
@settings(max_examples=40, deadline=None)
def test_routing_equals_the_reference(seed, shape, iterations):
    votes = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    found = route(votes, iterations)
    expected = exact([slow.route(each.tolist(), iterations) for each in votes])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("length", "squashed"), [(0, 0), (0.5, 0.2), (1, 0.5), (2, 0.8), (3, 0.9)])
def test_squash_by_hand(length, squashed):
    """l^2 / (1 + l^2)."""
    vector = torch.tensor([0.6, 0.8], dtype=torch.float64) * length
    assert torch.linalg.norm(squash(vector)).item() == pytest.approx(squashed, abs=1e-7)


def test_squash_and_lengths_have_a_finite_gradient_at_zero():
    vector = torch.zeros(3, 4, requires_grad=True)
    (squash(vector).sum() + lengths(vector).sum()).backward()
    assert torch.isfinite(vector.grad).all()


def test_children_move_to_the_parent_on_which_they_agree():
    generator = torch.Generator().manual_seed(0)
    votes = torch.randn(1, 16, 2, 4, generator=generator) * 0.3
    votes[:, :, 0] = torch.tensor([0.25, 0.15, 0.0, 0.0])
    evenly, routed = (lengths(route(votes, iterations))[0] for iterations in (1, 3))
    assert routed[0] > evenly[0]
    assert routed[0] > routed[1]


def test_the_gradient_flows_through_the_couplings():
    """Checked against differences: a gradient that took couplings as constants would fail."""
    votes = torch.randn(1, 4, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert torch.autograd.gradcheck(lambda v: route(v, 3), votes.requires_grad_(), atol=1e-6)


def test_margin_loss_by_hand():
    """Sabour eq. 4: class 0 present at 0.7 (0.2 short), class 1 absent at 0.3 (0.2 over, halved)."""
    found = margin_loss(torch.tensor([[0.7, 0.3]]), torch.tensor([0]))
    assert found.item() == pytest.approx(0.2**2 + 0.5 * 0.2**2)
    assert margin_loss(torch.tensor([[0.95, 0.05]]), torch.tensor([0])).item() == 0


def test_margin_loss_is_told_for_each_image():
    answers, labels = torch.tensor([[0.5, 0.1], [0.1, 0.9]]), torch.tensor([0, 1])
    assert margin_loss(answers, labels).tolist() == pytest.approx([0.4**2, 0.0])
