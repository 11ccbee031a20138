"""Attacked networks use the simulated one of the flow tests."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "flow"))
torch.set_num_threads(1)
