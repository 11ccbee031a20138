"""The large baselines: what MONAI computes, with statistics that are averaged."""

import sys

import pytest
import torch
from torch import nn

from node.learning import parameters
from node.learning.errors import MissingLibrary
from node.learning.monai_nets import densenet121, resnet50
from node.learning.normalisation import SCALE, BatchNorm
from node.learning.saliency import grad_cam


def theirs(name, classes):
    nets = pytest.importorskip("monai.networks.nets")
    if name == "densenet121":
        return nets.DenseNet121(spatial_dims=2, in_channels=1, out_channels=classes)
    return nets.resnet50(spatial_dims=2, n_input_channels=1, num_classes=classes)


@pytest.mark.parametrize(("build", "name"), [(densenet121, "densenet121"), (resnet50, "resnet50")])
def test_the_network_is_monai_s(build, name):
    """Same weights, same statistics, same answers; only where the statistics live differs."""
    torch.manual_seed(0)
    reference = theirs(name, 3)
    images = torch.rand(4, 1, 64, 64)
    with torch.no_grad():
        for tensor in reference.parameters():
            tensor.add_(0.02 * torch.randn_like(tensor))
        ours = build(3)
        sources = dict(reference.named_modules())
        for path, module in ours.body.named_modules():
            if isinstance(module, BatchNorm):
                source = sources[path]
                source.running_mean.uniform_(-0.1, 0.1)
                source.running_var.uniform_(0.8, 1.2)
                module.gain.copy_(source.weight)
                module.bias.copy_(source.bias)
                module.mean.copy_(source.running_mean / SCALE)
                module.spread.copy_(source.running_var.log() / SCALE)
            elif isinstance(module, nn.Conv2d | nn.Linear):
                module.load_state_dict(sources[path].state_dict())
        standard = (images - images.mean((1, 2, 3), True)) / images.std((1, 2, 3), keepdim=True, correction=0)
        expected, found = reference.eval()(standard), ours.eval()(images)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
    assert not list(ours.buffers())


@pytest.mark.parametrize(("build", "name", "size"), [(densenet121, "densenet121", 7), (resnet50, "resnet50", 24)])
def test_every_tensor_starts_as_its_kind_should(build, name, size):
    pytest.importorskip("monai")
    vector = parameters.initial(name, 2, 0)
    assert round(vector.size / 1e6) == size
    at = 0
    for tensor, shape in parameters.layout_of(name, 2):
        count = torch.Size(shape).numel()
        if len(shape) == 1:
            assert (vector[at : at + count] == float(tensor.endswith("gain"))).all(), tensor
        at += count


def test_saliency_finds_its_map():
    pytest.importorskip("monai")
    torch.manual_seed(0)
    maps, probabilities = grad_cam(densenet121(2).eval(), torch.rand(2, 1, 64, 64), torch.tensor([0, 1]))
    assert maps.shape == (2, 1, 2, 2)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(2))


@pytest.mark.parametrize("build", [densenet121, resnet50])
def test_without_monai_it_is_said_what_to_install(build, monkeypatch):
    monkeypatch.setitem(sys.modules, "monai.networks.nets", None)
    with pytest.raises(MissingLibrary, match=r"medweave\[baselines\]"):
        build(2)
