"""The arithmetic of the sealing benchmark: what it compares, and what it promises."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import sealing, streams
from benchmarks.errors import NotMeasured
from benchmarks.sealing import Sample

OURS = [Sample(seal=1.0, total=2.0, addition=1.0, open=1.0, wire=290) for _ in range(3)]
PEER = [Sample(seal=factor, total=8.0, addition=0.5, open=4.0, wire=1760) for factor in (4.0, 6.0, 5.0)]


@pytest.mark.parametrize("size", [529_347, 1_000_003, 10_000_000])
def test_tensors_add_up_to_the_size_asked_for(size: int):
    assert sum(sealing.tensors(size)) == size
    assert len(sealing.tensors(size)) == len(sealing.tensors(529_347))


def test_too_few_parameters_are_refused():
    with pytest.raises(NotMeasured):
        sealing.tensors(3)


def test_ratios_are_medians_over_neighbours():
    assert sealing.compared(OURS, PEER, lambda s: s.seal) == 5.0
    assert sealing.compared(OURS, PEER, lambda s: s.path) == (5 + 8 + 4) / 4


def test_promises_compare_what_they_say():
    held = {target.name.partition(": ")[2]: target for target in sealing.promises("here", OURS, PEER, 25)}
    assert held["upload of float32"].value == 2.9
    assert held["upload of float32"].holds
    assert held["seal, faster than the peer"].holds
    assert held["sum of numpy's addition"].value == 2.0
    worse = {t.name.partition(": ")[2]: t for t in sealing.promises("here", PEER, OURS, 25)}
    assert not worse["upload of float32"].holds
    assert not worse["seal, sum, open, faster"].holds


def test_numpys_sum_is_of_the_same_bytes():
    updates = [[np.full(4, k, np.uint64).tobytes(), np.full(4, 10 * k, np.uint64).tobytes()] for k in range(3)]
    assert [words.tolist() for words in sealing.plain_sum(updates)] == [[3] * 4, [30] * 4]


def test_streams_open_to_what_was_sealed_and_say_what_they_took(monkeypatch):
    monkeypatch.setattr(streams, "restrict", lambda cores: None)
    found = streams.measure_memory(30_000, 1)
    assert found["input_bytes"] == 4 * 30_000
    assert found["peak_above_input_bytes"] > 0


def test_a_made_up_update_stays_in_range():
    vector = streams.uniform(1000)
    assert vector.dtype == np.float32
    assert float(np.abs(vector).max()) < float(streams.RANGE)
    assert vector.min() < 0 < vector.max()
