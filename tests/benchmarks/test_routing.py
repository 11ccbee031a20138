"""The routing benchmark compares two layers that compute the same."""

import pytest
import torch

from benchmarks import routing
from benchmarks.errors import NotMeasured
from benchmarks.routing import SHAPES, Shape

SMALL = Shape("small", 3, 4, 2, 5)


@pytest.mark.parametrize("shape", [SMALL, SHAPES[0]])
def test_the_loops_give_the_same_parents_and_gradients(shape):
    routing.verify_same(*routing.tensors(shape, 4))


def test_layers_that_disagree_are_not_compared(monkeypatch):
    right = routing.looped
    monkeypatch.setattr(routing, "looped", lambda children, matrices: right(children, matrices) * 1.01)
    with pytest.raises(NotMeasured, match="disagree"):
        routing.verify_same(*routing.tensors(SMALL, 2))


def test_ratios_are_medians_over_neighbours():
    found = routing.result([("a", [1.0, 2.0, 1.0], [4.0, 8.0, 2.0]), ("b", [1.0], [2.0])], 16)
    assert [target.value for target in found.targets] == [4.0, 2.0]
    assert [target.holds for target in found.targets] == [True, False]
    assert found.rows[0].figures["ours images/s"] == 16


def test_a_pass_is_timed_with_its_gradient():
    children, matrices = routing.tensors(SMALL, 2)
    assert routing.seconds(routing.whole, children, matrices) > 0
    assert isinstance(matrices.grad, torch.Tensor)
