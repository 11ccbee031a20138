"""Saliency: equal to the formula worked out another way, and about the lesion, not about the network's shape (LRN-1)."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from node.images.phantom import draw
from node.learning.classifier import standardise
from node.learning.errors import BadSettings
from node.learning.metrics import _binary_auc
from node.learning.overlay import overlay
from node.learning.parameters import initial
from node.learning.registry import build, names
from node.learning.routing import lengths
from node.learning.saliency import grad_cam, saliency
from node.learning.settings import TrainingSettings
from node.learning.training import prepared, tensors, train


@pytest.fixture(scope="module")
def trained():
    torch.set_num_threads(1)
    drawn = draw(160, 64, seed=1)
    settings = TrainingSettings(epochs=12, seed=1)
    vector = train(initial("capsnet", 2, 0), drawn.dataset, settings).vector
    return prepared(vector, settings).eval(), settings


def network(name="capsnet", classes=3):
    torch.manual_seed(4)
    return build(name, classes).eval()


def test_grad_cam_is_the_formula():
    model = network()
    images = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    maps, probabilities = grad_cam(model, images, torch.tensor([2, 0]))
    for index, target in enumerate((2, 0)):
        features = model.primary(model.stem(standardise(images[index : index + 1]))).detach().requires_grad_()
        lengths(model.parents(model.primary.pooled(features)))[0, target].backward()
        weights = features.grad[0].mean(dim=(1, 2))
        by_hand = sum(w * channel for w, channel in zip(weights, features[0], strict=True)).clamp_min(0)
        torch.testing.assert_close(maps[index, 0], by_hand.detach(), rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(probabilities, model.probabilities(model(images)).detach())


@pytest.mark.parametrize("name", names())
def test_every_network_of_the_registry_has_a_map(name):
    found = saliency(network(name), torch.rand(64, 64), views=3)
    assert found.map.shape == (64, 64)
    assert 0 <= found.map.min() <= found.map.max() <= 1
    assert found.probability == pytest.approx(found.probability)


def test_one_whole_view_is_plain_grad_cam():
    model, image = network(), torch.rand(64, 64)
    maps, _ = grad_cam(model, image[None, None], torch.tensor([1]))
    plain = torch.nn.functional.interpolate(maps, size=(64, 64), mode="bilinear", align_corners=False)[0, 0]
    found = saliency(model, image, 1, views=1, share=1.0)
    np.testing.assert_allclose(found.map, (plain / plain.max()).numpy(), atol=1e-5)


def test_the_seed_fixes_the_map_and_parameters_get_no_gradient():
    model, image = network(), torch.rand(64, 64)
    one, two = saliency(model, image, seed=3, views=8), saliency(model, image, seed=3, views=8)
    assert (one.map == two.map).all()
    assert (one.map != saliency(model, image, seed=4, views=8).map).any()
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("wrong", [{"views": 0}, {"share": 0.1}, {"target": 3}, {"target": -1}])
def test_arguments_out_of_range(wrong):
    with pytest.raises(BadSettings):
        saliency(network(), torch.rand(64, 64), **wrong)


def test_it_finds_the_lesion_better_than_a_centre_prior_and_loses_it_with_random_weights(trained):
    """Adebayo et al., "Sanity checks for saliency maps", 2018: a map that survives random weights shows no learning."""
    model, settings = trained
    drawn = draw(40, 64, seed=2)
    images, labels = tensors(drawn.dataset, settings)
    rows, columns = np.mgrid[:64, :64]
    centre = np.exp(-((rows - 31.5) ** 2 + (columns - 31.5) ** 2) / (2 * 16**2))
    random = prepared(initial("capsnet", 2, 5), settings).eval()
    areas = []
    for index in np.flatnonzero((labels.numpy() == 1) & (drawn.lesions.sum(axis=(1, 2)) >= 5))[:12]:
        lesion = drawn.lesions[index].ravel()
        maps = [saliency(each, images[index, 0], 1, views=24).map for each in (model, random)]
        areas.append([_binary_auc(found.ravel(), lesion) for found in (*maps, centre)])
    learned, unlearned, prior = np.mean(areas, axis=0)
    assert learned > 0.9
    assert learned > prior + 0.05
    assert learned > unlearned + 0.2


def test_the_overlay_is_a_picture_of_both(tmp_path):
    image = np.full((32, 32), 100, dtype=np.uint8)
    field = np.zeros((64, 64), dtype=np.float32)
    field[:32] = 1
    picture = np.asarray(Image.open(io.BytesIO(overlay(image, field, 128))))
    assert picture.shape == (128, 256, 3)
    assert (picture[:, :128] == 100).all()
    assert (picture[80:, 128:] == 100).all()
    red, _, blue = picture[20, 180]
    assert red > blue + 20
    assert np.asarray(Image.open(io.BytesIO(overlay(image, field, 64, beside=False)))).shape == (64, 64, 3)
    with pytest.raises(ValueError, match="expected 64"):
        overlay(image, field, 8)
