"""The capsule networks: their layers' arithmetic, their sizes, what they depend on."""

import pytest
import torch

from node.learning.capsnet import ClassCaps, PrimaryCaps, inception_capsnet, light_capsnet
from node.learning.inception import WIDTH, extractor
from node.learning.routing import lengths
from tests.learning import slow_capsules as slow

NETWORKS = (light_capsnet, inception_capsnet)


def test_primary_capsules_are_not_negative_and_pool_to_their_mean():
    torch.manual_seed(0)
    layer = PrimaryCaps(6, types=3, dimensions=4)
    capsules = layer(torch.randn(2, 6, 3, 5))
    assert capsules.shape == (2, 12, 3, 5)
    assert capsules.min() == 0
    pooled = layer.pooled(capsules)
    for kind in range(3):
        for dimension in range(4):
            own = capsules[1, 4 * kind + dimension]
            assert pooled[1, kind, dimension].item() == pytest.approx(own.sum().item() / 15, abs=1e-6)


def test_class_capsules_are_the_votes_routed():
    torch.manual_seed(1)
    layer = ClassCaps(3, types=4, dimensions=2, out_dimensions=5)
    children = torch.rand(2, 4, 2)
    found = layer(children)
    for image in range(2):
        votes = [[(3 * children[image, i] @ layer.transform[i, j]).tolist() for j in range(3)] for i in range(4)]
        for j, expected in enumerate(slow.route(votes, 3)):
            assert found[image, j].tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("build", NETWORKS)
@pytest.mark.parametrize(("classes", "size"), [(2, 64), (3, 32), (5, 128)])
def test_shapes_probabilities_and_size(build, classes, size):
    torch.manual_seed(0)
    model = build(classes)
    output = model(torch.rand(4, 1, size, size))
    assert output.shape == (4, classes, 16)
    assert (lengths(output) < 1).all()
    probabilities = model.probabilities(output)
    assert (probabilities >= 0).all()
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(4))
    assert sum(tensor.numel() for tensor in model.parameters()) <= 500_000


def test_the_extractor_s_width_is_what_it_says():
    assert extractor()(torch.rand(2, 1, 32, 32)).shape == (2, WIDTH, 4, 4)


@pytest.mark.parametrize("build", NETWORKS)
def test_an_answer_does_not_depend_on_the_window_or_the_rest_of_the_batch(build):
    torch.manual_seed(0)
    model = build(2).eval()
    images = torch.rand(4, 1, 32, 32) * 0.5
    with torch.inference_mode():
        whole, alone, brighter = model(images), model(images[:1]), model(images * 1.5 + 0.2)
    torch.testing.assert_close(whole[:1], alone, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(whole, brighter, atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("build", NETWORKS)
def test_every_parameter_gets_a_gradient(build):
    torch.manual_seed(0)
    model = build(3)
    model.losses(model(torch.rand(6, 1, 32, 32)), torch.tensor([0, 1, 2, 0, 1, 2])).mean().backward()
    for name, tensor in model.named_parameters():
        assert tensor.grad is not None, name
        assert tensor.grad.abs().sum() > 0, name


@pytest.mark.parametrize("build", NETWORKS)
def test_absent_classes_can_be_short_while_the_present_is_long(build):
    """Eight images by heart: the margins must be reachable, or the loss would push for ever."""
    torch.manual_seed(0)
    model, images = build(2), torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(3))
    labels = torch.tensor([0, 1] * 4)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(80):
        loss = model.losses(model(images), labels).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    found = lengths(model.eval()(images)).gather(1, torch.stack([labels, 1 - labels], dim=1))
    assert found[:, 0].min() > 0.7
    assert found[:, 1].max() < 0.3
