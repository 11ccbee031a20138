"""CRY-6: quantisation, packing and the layout manifest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import MalformedBytes, OpeningFailed, ValueOutOfRange
from crypto.layout import Layout, TensorSpec
from crypto.packing import dequantise, pack, quantise, unpack
from crypto.parameters import MINIMAL, STANDARD
from crypto.wire import encode_record

SEED = b"q" * 32
sets = st.sampled_from([MINIMAL, STANDARD])


@given(sets, st.data())
def test_packing_round_trip(params, data):
    limit = params.field_limit
    ints = np.array(data.draw(st.lists(st.integers(-limit, limit), min_size=1, max_size=40)), np.int64)
    packed = pack(ints, params)
    assert packed.shape == (1, params.ring)
    assert int(packed.max()) < params.plain_modulus
    assert np.array_equal(unpack(packed, params, ints.size), ints)


@given(sets, st.integers(1, 64), st.data())
def test_sums_of_packings_do_not_bleed_between_fields(params, members: int, data):
    limit = params.value_limit(members)
    rows = data.draw(
        st.lists(st.lists(st.sampled_from([-limit, -1, 0, 1, limit]), min_size=9, max_size=9), min_size=1, max_size=3)
    )
    updates = [np.array(row, np.int64) for row in rows]
    weights = (
        [members - len(rows) + 1, *[1] * (len(rows) - 1)] if members >= len(rows) else [1] * min(members, len(rows))
    )
    updates = updates[: len(weights)]
    total = (
        sum(w * pack(u, params).astype(object) for w, u in zip(weights, updates, strict=True)) % params.plain_modulus
    )
    expected = sum(w * u for w, u in zip(weights, updates, strict=True))
    assert np.array_equal(unpack(total.astype(np.uint64), params, 9), expected)


@pytest.mark.parametrize("params", [MINIMAL, STANDARD], ids=lambda p: p.name)
def test_packing_never_wraps(params):
    for bad in (params.field_limit + 1, -params.field_limit - 1, 2**62):
        with pytest.raises(ValueOutOfRange):
            pack(np.array([0, bad], np.int64), params)
    with pytest.raises(OpeningFailed):
        unpack(np.array([[params.plain_modulus // 2]], np.uint64), params, 1)


def test_several_chunks_keep_their_order():
    ints = np.arange(2 * MINIMAL.values_per_chunk + 7) % 1000 - 500
    packed = pack(ints, MINIMAL)
    assert packed.shape == (3, MINIMAL.ring)
    assert np.array_equal(unpack(packed, MINIMAL, ints.size), ints)


@given(st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=50), st.floats(1e-4, 1.0))
def test_quantising_errs_by_less_than_one_step(values: list[float], step: float):
    raw = np.array(values, np.float32)
    ints, clipped = quantise(raw, step, 10**6, SEED)
    assert clipped == 0
    assert np.abs(dequantise(ints, step) - raw).max() <= step


def test_quantising_is_unbiased_and_reproducible():
    raw = np.full(200_000, 0.3, np.float32)
    ints, _ = quantise(raw, 1.0, 100, SEED)
    assert set(ints.tolist()) == {0, 1}
    assert abs(ints.mean() - 0.3) < 5 * np.sqrt(0.21 / raw.size)
    assert np.array_equal(ints, quantise(raw, 1.0, 100, SEED)[0])
    assert not np.array_equal(ints, quantise(raw, 1.0, 100, b"r" * 32)[0])


def test_clipping_is_counted_never_wrapped():
    raw = np.array([0.5, 5.0, -5.0, 1e30], np.float32)
    ints, clipped = quantise(raw, np.array([0.1, 0.1, 0.1, 0.1]), 10, SEED)
    assert clipped == 3
    assert ints.tolist() == [5, 10, -10, 10]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_diverged_values_and_bad_steps_are_refused(bad: float):
    with pytest.raises(ValueOutOfRange, match="1 of 2 values"):
        quantise(np.array([0.0, bad], np.float32), 1.0, 10, SEED)
    with pytest.raises(ValueOutOfRange, match="step"):
        quantise(np.zeros(2, np.float32), abs(bad), 10, SEED)
    with pytest.raises(ValueOutOfRange, match="step"):
        quantise(np.zeros(2, np.float32), 0.0, 10, SEED)


LAYOUT = Layout((TensorSpec("stem.weight", (16, 1, 3, 3), "0.05"), TensorSpec("scale", (), "1.5")))


def test_layout_describes_the_flat_vector():
    assert LAYOUT.size == 145
    steps = LAYOUT.steps(1000)
    assert steps.shape == (145,)
    assert steps[0] == 0.05 / 1000
    assert steps[144] == 1.5 / 1000
    assert Layout.from_bytes(LAYOUT.to_bytes()) == LAYOUT
    assert len(LAYOUT.digest) == 32
    with pytest.raises(ValueOutOfRange):
        LAYOUT.steps(0)


@pytest.mark.parametrize(
    ("name", "shape", "limit"),
    [("", (1,), "1"), ("x" * 257, (1,), "1"), ("x", (0,), "1"), ("x", (1,) * 9, "1"), ("x", (2**31 + 1,), "1")]
    + [("x", (1,), bad) for bad in ("0", "-1", "1e3", "0.10", "00.1", ".5", "1.", "0.0", "nan", "٣", "12345678")],
)
def test_tensor_fields_are_checked(name: str, shape: tuple[int, ...], limit: str):
    with pytest.raises(MalformedBytes, match="layout"):
        TensorSpec(name, shape, limit)


def test_layouts_are_bounded_and_distinct():
    spec = TensorSpec("x", (2**30,), "1")
    for tensors in ((), (spec, spec), (spec, TensorSpec("y", (2**31,), "1"))):
        with pytest.raises(MalformedBytes, match="layout"):
            Layout(tensors)


@pytest.mark.parametrize(
    "record",
    [
        [],
        {"tensors": 1, "version": 1},
        {"tensors": [], "version": 1},
        {"tensors": [["a", [1], "1"]], "version": 2},
        {"tensors": [["a", [1.0], "1"]], "version": 1},
        {"tensors": [["a", [True], "1"]], "version": 1},
        {"tensors": [[b"a", [1], "1"]], "version": 1},
        {"tensors": [["a", [1]]], "version": 1},
        {"tensors": [["a", [1], "1"]], "version": 1, "more": 0},
    ],
)
def test_hostile_layouts_are_refused(record):
    with pytest.raises(MalformedBytes):
        Layout.from_bytes(encode_record(record))
