"""DenseNet-121 and ResNet-50 from MONAI, the large networks a small one is measured against.

    Huang et al.: "Densely connected convolutional networks", CVPR 2017, arXiv:1608.06993
    He et al.: "Deep residual learning for image recognition", CVPR 2016, arXiv:1512.03385

MONAI is optional (``pip install 'medweave[baselines]'``). Its networks normalise by batches and keep the statistics in
buffers; here every such layer becomes one whose statistics are parameters (`normalisation`), so that they are averaged.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor, nn

from node.learning.classifier import Classifier, standardise
from node.learning.errors import MissingLibrary
from node.learning.normalisation import BatchNorm


class Imported(Classifier):
    """A network of another library, from images ``[B, 1, S, S]`` to logits ``[B, J]``, trained by cross-entropy.

    Args:
        body: the network.
        features: name of the module in it whose output is the last with places.
    """

    def __init__(self, body: nn.Module, features: str) -> None:
        super().__init__()
        self.body = _adapted(body)
        self.features = features

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[B, J]``."""
        return self.body(standardise(images))  # type: ignore[no-any-return]

    def losses(self, output: Tensor, labels: Tensor) -> Tensor:
        """The cross-entropy, ``[B]``."""
        return nn.functional.cross_entropy(output, labels, reduction="none")

    def last_map(self) -> nn.Module:
        """The module named at construction."""
        return self.body.get_submodule(self.features)

    def score(self, output: Tensor) -> Tensor:
        """The logits."""
        return output

    def probabilities(self, output: Tensor) -> Tensor:
        """The softmax."""
        return torch.softmax(output, dim=1)


def densenet121(classes: int) -> Imported:
    """DenseNet-121 for one grey channel, 6.9 million parameters; any S >= 32.

    Raises:
        MissingLibrary: MONAI is not installed.
    """
    body = _monai_networks().DenseNet121(spatial_dims=2, in_channels=1, out_channels=classes)
    return Imported(body, "features")


def resnet50(classes: int) -> Imported:
    """ResNet-50 for one grey channel, 23.5 million parameters; any S >= 32.

    Raises:
        MissingLibrary: MONAI is not installed.
    """
    body = _monai_networks().resnet50(spatial_dims=2, n_input_channels=1, num_classes=classes)
    return Imported(body, "layer4")


def _monai_networks() -> Any:
    try:
        return importlib.import_module("monai.networks.nets")
    except ImportError as missing:
        raise MissingLibrary(
            "architectures densenet121 and resnet50 need MONAI, which is not installed: pip install 'medweave[baselines]'"
        ) from missing


def _adapted(network: nn.Module) -> nn.Module:
    """Statistics become parameters; no layer overwrites its input, which saliency still wants to look at."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, BatchNorm(child.num_features))
            elif isinstance(child, nn.ReLU):
                child.inplace = False
    return network
