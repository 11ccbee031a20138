"""What a client runs inside NVFlare, in its job's process (`nvflare.client`); encryption is a filter around it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import nvflare.client as flare
import torch

from benchmarks.peers.local import Local
from benchmarks.peers.running import note


def main(directory: str, events: str, hospitals: str) -> None:
    """Score each model that arrives, train from it, send the model back."""
    flare.init()
    name = flare.get_site_name()
    index = int(name.rpartition("-")[2])
    local, file = Local(Path(directory), index, int(hospitals)), Path(events)
    while flare.is_running():
        arrived = flare.receive()
        number = arrived.current_round + 1
        base = {key: np.asarray(value) for key, value in arrived.params.items()}
        accuracy = local.score(base)
        note(file, event="scored", number=number, client=index, accuracy=accuracy)
        model, result = local.train(base, number)
        note(file, event="trained", number=number, client=index, seconds=result.seconds)
        tensors = {key: torch.from_numpy(value) for key, value in model.items()}
        steps = {"NUM_STEPS_CURRENT_ROUND": result.samples}
        flare.send(flare.FLModel(params=tensors, metrics={"accuracy": accuracy}, meta=steps))


if __name__ == "__main__":
    main(*sys.argv[1:])
