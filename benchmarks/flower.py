"""Flower's FedAvg in a process of its own, as a sum of updates beside ours.

Flower's pins clash with this project's, so it may live in an environment of its own:

    python -m venv FLOWER && FLOWER/bin/pip install flwr==1.41.0
    python -m benchmarks.learning --peer flower --flower-python FLOWER/bin/python

The child holds Flower's strategy and gives the models of a round to its ``aggregate_fit``, as Flower's server does with
what its clients return; training, data, seeds and scores are ours on both sides. Start-up, scheduling and transport of
Flower are not measured here. Between the two go arrays in numpy's npy form, each after its length.
"""

from __future__ import annotations

import io
import struct
import subprocess
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from benchmarks.errors import NotMeasured

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

    from numpy.typing import NDArray

CHILD: Final = """
import io, logging, struct, sys
import numpy as np
logging.disable(logging.CRITICAL)
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server.strategy import FedAvg
into, out = sys.stdin.buffer, sys.stdout.buffer
def read():
    size = struct.unpack("<Q", into.read(8))[0]
    return np.load(io.BytesIO(into.read(size)), allow_pickle=False)
strategy = FedAvg(min_fit_clients=1, min_evaluate_clients=1, min_available_clients=1)
while head := into.read(8):
    number, count = struct.unpack("<II", head)
    results = []
    for _ in range(count):
        samples, vector = int(read()), read()
        parameters = ndarrays_to_parameters([vector])
        results.append((None, FitRes(Status(Code.OK, ""), parameters, samples, {})))
    aggregated, _ = strategy.aggregate_fit(number, results, [])
    data = io.BytesIO()
    np.save(data, parameters_to_ndarrays(aggregated)[0])
    out.write(struct.pack("<Q", data.tell()) + data.getvalue())
    out.flush()
"""


class Flower:
    """A `federation.Sum` by Flower's FedAvg.

    Args:
        python: Interpreter of an environment that has flwr and numpy.

    Raises:
        NotMeasured: On the first sum, where it has not.
    """

    clipped = 0

    def __init__(self, python: str) -> None:
        self._python = python
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._child = subprocess.Popen(
            [self._python, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        return self

    def __exit__(self, *_error: object) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()

    def __call__(
        self,
        base: NDArray[np.float32],
        updates: Sequence[NDArray[np.float32]],
        samples: Sequence[int],
        number: int,
    ) -> NDArray[np.float32]:
        """As `Sum`: Flower is sent models, not updates."""
        into, out = self._pipes()
        try:
            into.write(struct.pack("<II", number + 1, len(updates)))
            for update, count in zip(updates, samples, strict=True):
                _write(into, np.array(count))
                _write(into, base + update)
            into.flush()
            found: NDArray[np.float32] = _read(out).astype(np.float32)
        except (OSError, struct.error):
            raise NotMeasured(
                f"{self._python} has no working flwr: python -m venv FLOWER && FLOWER/bin/pip install flwr==1.41.0, "
                "then --flower-python FLOWER/bin/python"
            ) from None
        return found

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._child is None or self._child.stdin is None or self._child.stdout is None:
            raise NotMeasured("Flower's process was not started")
        return self._child.stdin, self._child.stdout


def _write(pipe: IO[bytes], array: NDArray[Any]) -> None:
    data = io.BytesIO()
    np.save(data, array)
    pipe.write(struct.pack("<Q", data.tell()) + data.getvalue())


def _read(pipe: IO[bytes]) -> NDArray[Any]:
    size = struct.unpack("<Q", pipe.read(8))[0]
    found: NDArray[Any] = np.load(io.BytesIO(pipe.read(size)), allow_pickle=False)
    return found
