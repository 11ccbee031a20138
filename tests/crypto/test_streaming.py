"""Deliverable of CRY-6: streams give what whole vectors give, hold a few chunks, and use several processes."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import CryptoError, MalformedBytes, ValueOutOfRange, WrongOpeners
from crypto.layout import Layout, TensorSpec
from crypto.opening import Opener
from crypto.packing import Quantiser, quantise
from crypto.parameters import MINIMAL
from crypto.sealing import add, read_chunk
from crypto.streaming import SealingPool, add_stream, combine_stream, open_stream, pieces, quantise_stream, recut
from tests.crypto.support import cached, values

LAYOUT = Layout(
    tuple(TensorSpec(f"t{i}", (n,), r) for i, (n, r) in enumerate([(7000, "0.05"), (1, "2"), (2999, "0.5")]))
)


def cuts(rng: np.random.Generator, size: int) -> list[slice]:
    ends = [0, *sorted(rng.integers(0, size + 1, 5).tolist()), size]
    return [slice(a, b) for a, b in itertools.pairwise(ends)]


@pytest.mark.parametrize("seed", range(5))
def test_quantising_does_not_depend_on_the_cuts(seed: int, monkeypatch):
    monkeypatch.setattr("crypto.packing._BLOCK", 1024)
    rng = np.random.default_rng(seed)
    vector = rng.normal(0, 0.03, LAYOUT.size).astype(np.float32)
    limit, key = 500, bytes([seed]) * 32
    whole, clipped = quantise(vector, LAYOUT.steps(limit), limit, key)
    assert 0 < clipped < LAYOUT.size
    quantiser = Quantiser(LAYOUT.size, limit, key)
    blocks = (vector[part] for part in cuts(rng, LAYOUT.size))
    assert np.array_equal(np.concatenate(list(quantise_stream(blocks, LAYOUT, quantiser, limit))), whole)
    assert quantiser.clipped == clipped


def test_steps_of_a_part_are_part_of_the_steps():
    rng = np.random.default_rng(0)
    steps = LAYOUT.steps(100)
    assert steps.size == LAYOUT.size
    for part in cuts(rng, LAYOUT.size):
        assert np.array_equal(LAYOUT.steps_between(100, part.start, part.stop), steps[part])
    for start, stop in ((-1, 3), (4, 3), (0, LAYOUT.size + 1)):
        with pytest.raises(ValueOutOfRange):
            LAYOUT.steps_between(100, start, stop)


@pytest.mark.parametrize("sizes", [[9_999], [10_001], [5000, 5001], []])
def test_a_vector_of_another_size_is_refused(sizes: list[int]):
    blocks = (np.zeros(size, np.float32) for size in sizes)
    with pytest.raises(ValueOutOfRange):
        list(quantise_stream(blocks, LAYOUT, Quantiser(LAYOUT.size, 9, bytes(32)), 9))


def test_a_quantiser_gives_no_more_than_it_was_made_for():
    quantiser = Quantiser(3, 9, bytes(32))
    quantiser.take(np.zeros(2), np.ones(2))
    with pytest.raises(ValueOutOfRange, match="more values"):
        quantiser.take(np.zeros(2), np.ones(2))
    with pytest.raises(ValueOutOfRange, match="finite"):
        Quantiser(1, 9, bytes(32)).take(np.array([np.nan]), np.ones(1))
    with pytest.raises(ValueOutOfRange, match="step"):
        Quantiser(1, 9, bytes(32)).take(np.zeros(1), np.zeros(1))


@given(st.lists(st.integers(0, 12), max_size=8), st.integers(1, 9))
def test_recutting_keeps_every_value(sizes: list[int], size: int):
    whole = np.arange(sum(sizes))
    ends = np.cumsum([0, *sizes])
    found = list(recut((whole[a:b] for a, b in itertools.pairwise(ends)), size))
    assert [part.size for part in found[:-1]] == [size] * (len(found) - 1)
    assert all(0 < part.size <= size for part in found)
    assert np.array_equal(np.concatenate([*found, whole[:0]]), whole)


def plain_values(net, chunk: bytes) -> np.ndarray:
    return net.open(chunk, range(net.terms.threshold))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_pool_seals_what_a_sealer_seals(workers: int):
    net = cached(MINIMAL, 4, 3)
    vector = values(1, 3 * MINIMAL.values_per_chunk + 5, net.joint.value_limit)
    with SealingPool(net.joint, workers) as pool:
        assert pool.processes == ()
        chunks = list(pool.seal(vector[a : a + 5000] for a in range(0, vector.size, 5000)))
        assert len(pool.processes) == (0 if workers == 1 else workers)
        assert os.getpid() not in pool.processes
        with pytest.raises(ValueOutOfRange):
            list(pool.seal([vector, np.array([net.joint.value_limit + 1])]))
        with pytest.raises(ValueOutOfRange):
            list(pool.seal([]))
    assert [read_chunk(c, MINIMAL)[0].index for c in chunks] == [0, 1, 2, 3]
    assert [len(c) for c in chunks] == [len(c) for c in net.sealer.seal(vector)]
    assert np.array_equal(np.concatenate([plain_values(net, c) for c in chunks]), vector)


def test_a_dead_worker_is_a_typed_error():
    net = cached(MINIMAL, 4, 3)
    with SealingPool(net.joint, 2) as pool:
        stream = pool.seal(itertools.repeat(np.zeros(MINIMAL.values_per_chunk, np.int64), 50))
        next(stream)
        for pid in pool.processes:
            os.kill(pid, 9)
        with pytest.raises(CryptoError, match="ended from outside"):
            list(stream)


def test_a_chunk_has_bounds():
    sealer = cached(MINIMAL, 4, 3).sealer
    for index, size in ((-1, 1), (1 << 20, 1), (0, MINIMAL.values_per_chunk + 1), (0, 0)):
        with pytest.raises(ValueOutOfRange):
            sealer.seal_chunk(index, np.zeros(size, np.int64))


class Counted:
    """An iterator that knows how far it has been read."""

    def __init__(self, chunks: list[bytes], times: int) -> None:
        self.taken = 0
        self._source = itertools.islice(itertools.cycle(chunks), times)

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._source:
            self.taken += 1
            yield chunk


@pytest.mark.parametrize("workers", [1, 4])
def test_streams_add_open_and_combine_a_few_chunks_at_a_time(workers: int):
    net = cached(MINIMAL, 4, 3)
    updates = [[next(net.sealer.seal(values(k, 50, 9)))] for k in range(3)]
    sources = [Counted(chunks, 40) for chunks in updates]
    sums = add_stream(sources, MINIMAL)
    assert next(sums) == add([chunks[0] for chunks in updates], MINIMAL)
    assert [source.taken for source in sources] == [1, 1, 1]

    total = add([chunks[0] for chunks in updates], MINIMAL)
    source = Counted([total], 40)
    opener = Opener(net.members[0], (0, 1, 2))
    first = open_stream(opener, source, workers)
    assert next(first) == opener.partial(total)
    assert source.taken <= 5
    first.close()

    streams = {k: open_stream(Opener(net.members[k], (0, 1, 2)), [total] * 6, workers) for k in (0, 1, 2)}
    opened = list(combine_stream([total] * 6, streams, MINIMAL, 4))
    expected = sum(values(k, 50, 9) for k in range(3))
    assert len(opened) == 6
    assert all(np.array_equal(part, expected) for part in opened)


def test_streams_pass_errors_on():
    net = cached(MINIMAL, 4, 3)
    chunk = next(net.sealer.seal(values(1, 50, 9)))
    opener = Opener(net.members[0], (0, 1, 2))
    with pytest.raises(MalformedBytes):
        list(add_stream([[chunk], [chunk[:-1]]], MINIMAL))
    with pytest.raises(MalformedBytes, match="one number of chunks"):
        list(add_stream([[chunk, chunk], [chunk]], MINIMAL))
    for workers in (1, 2):
        with pytest.raises(MalformedBytes):
            list(open_stream(opener, [chunk, chunk[:-1], chunk], workers))
    with pytest.raises(WrongOpeners):
        list(combine_stream([chunk], {0: open_stream(opener, [chunk])}, MINIMAL, 4))
    streams = {k: open_stream(Opener(net.members[k], (0, 1, 2)), [chunk] * (3 - k)) for k in (0, 1, 2)}
    with pytest.raises(MalformedBytes, match="one number of chunks"):
        list(combine_stream([chunk, chunk], streams, MINIMAL, 4))


def test_pieces_are_views():
    vector = np.arange(10, dtype=np.float32)
    found = list(pieces(vector, 4))
    assert [part.size for part in found] == [4, 4, 2]
    assert all(part.base is vector for part in found)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("cores", [1, 4])
def test_fifty_million_parameters_take_a_quarter_gibibyte(cores: int):
    """Sealed, added and opened through files; workers counted; and the opened sum is exact."""
    command = [sys.executable, "-m", "benchmarks.streams", "50000000", str(cores)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout)["peak_above_input_bytes"] <= 256 * 2**20
