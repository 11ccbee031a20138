import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from node.learning import layouts, parameters
from node.learning.errors import MalformedModel, UnknownArchitecture, WrongVector
from node.learning.modelfile import ModelFile, encode_model
from node.learning.registry import build, names
from tools import layouts as tool


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("classes", [2, 3])
def test_vector_and_network_round_trip(name, classes):
    vector = parameters.initial(name, classes, 7)
    model = build(name, classes)
    parameters.load(model, vector)
    assert np.array_equal(parameters.flatten(model), vector)
    assert vector.dtype == np.float32
    assert parameters.layout(model) == parameters.layout_of(name, classes)
    assert parameters.size_of(parameters.layout(model)) == vector.size


def test_the_benchmark_network_has_the_size_others_are_timed_with():
    assert parameters.initial("cnn-529k", 3, 0).size == 529_347


def test_order_is_that_of_named_parameters():
    model = build("cnn", 2)
    with torch.no_grad():
        for number, tensor in enumerate(model.parameters()):
            tensor.fill_(number)
    sizes = [tensor.numel() for tensor in model.parameters()]
    assert np.array_equal(parameters.flatten(model), np.repeat(np.arange(len(sizes)), sizes))


def test_initial_is_the_seed_s_and_leaves_torch_s_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (parameters.initial("capsnet", 2, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


def test_initial_is_the_same_on_every_machine():
    """A golden vector: a change of it changes the genesis of every consortium that starts afterwards."""
    vector = parameters.initial("cnn", 2, 1)
    rng = np.random.Generator(np.random.PCG64(1))
    first = ((2 * rng.random(144) - 1) * np.sqrt(3 / 9)).astype(np.float32)
    assert np.array_equal(vector[:144], first)
    assert vector[144:160].tolist() == [1.0] * 16
    assert vector[160:176].tolist() == [0.0] * 16


def test_a_network_with_buffers_is_refused():
    with pytest.raises(WrongVector, match="running_mean"):
        parameters.layout(nn.BatchNorm2d(3))


def test_a_wrong_vector_leaves_the_network_unchanged():
    model = build("cnn", 2)
    before = parameters.flatten(model)
    good = parameters.initial("cnn", 2, 0)
    bad = good.copy()
    bad[3] = np.nan
    for vector, says in ((good[:-1], "values"), (bad, "value 3"), (good.astype(np.float64), "float32")):
        with pytest.raises(WrongVector, match=says):
            parameters.load(model, vector)
    assert np.array_equal(parameters.flatten(model), before)


@pytest.mark.parametrize(("name", "classes"), [("resnet", 2), ("cnn", 1), ("cnn", 65)])
def test_unknown_networks_are_refused(name, classes):
    with pytest.raises(UnknownArchitecture):
        build(name, classes)


def test_model_file_round_trips_and_verifies():
    vector = parameters.initial("capsnet", 3, 0)
    data = parameters.model_bytes(vector, "capsnet", 3)
    model = parameters.parse_model(data)
    assert (model.architecture, model.classes) == ("capsnet", 3)
    assert np.array_equal(model.vector, vector)
    assert encode_model(model) == data
    assert parameters.model_hash(data) == hashlib.sha256(data).digest()
    parameters.verify_model(model)
    assert len(data) == 49 + len("capsnet") + 4 * vector.size


def test_model_bytes_by_hand():
    data = encode_model(ModelFile("ab", 2, bytes(32), np.array([1.0, -2.0], dtype=np.float32)))
    expected = b"MEDWEAVE" + b"\x01\x00" + b"\x02ab" + b"\x02\x00" + bytes(32) + b"\x02\x00\x00\x00"
    assert data == expected + b"\x00\x00\x80\x3f" + b"\x00\x00\x00\xc0"


def test_another_networks_layout_is_refused():
    vector = parameters.initial("cnn", 2, 0)
    digest = parameters.layout_digest(parameters.layout_of("cnn", 2))
    with pytest.raises(MalformedModel, match="another layout"):
        parameters.verify_model(ModelFile("capsnet", 2, digest, vector))
    with pytest.raises(WrongVector):
        parameters.model_bytes(vector, "capsnet", 2)


@pytest.mark.parametrize(
    ("at", "value", "says"),
    [(0, b"X", "starts with"), (8, b"\x02", "version 2"), (11, b"A", "architecture"), (13, b"\x01\x00", "classes"),
     (47, b"\x00\x00\x00\x00", "count"), (47, b"\xff\xff\xff\xff", "count"), (47, b"\x03", "expected"),
     (51, b"\x00\x00\x80\x7f", "finite")],
)  # fmt: skip
def test_each_field_is_checked(at, value, says):
    data = bytearray(encode_model(ModelFile("ab", 2, bytes(32), np.ones(2, dtype=np.float32))))
    data[at : at + len(value)] = value
    with pytest.raises(MalformedModel, match=says):
        parameters.parse_model(bytes(data))


@given(
    cut=st.integers(0, 60), extra=st.binary(max_size=4), flips=st.dictionaries(st.integers(0, 58), st.integers(0, 255))
)
@settings(max_examples=200, deadline=None)
def test_hostile_bytes_parse_canonically_or_are_refused(cut, extra, flips):
    data = bytearray(encode_model(ModelFile("ab", 2, bytes(32), np.ones(2, dtype=np.float32))))
    for at, value in flips.items():
        data[at] = value
    hostile = bytes(data[: len(data) - cut] + extra)
    try:
        model = parameters.parse_model(hostile)
    except MalformedModel:
        return
    assert encode_model(model) == hostile


@pytest.mark.parametrize("classes", [2, 3, 7, 64])
@pytest.mark.parametrize("name", names())
def test_the_file_of_layouts_is_the_networks_own(name, classes):
    with torch.device("meta"):
        model = build(name, classes)
    assert parameters.layout_of(name, classes) == parameters.layout(model)
    inputs = {label: fan_in for label, _, fan_in in layouts._tensors(name, classes)}
    for label, shape in parameters.layout(model):
        assert inputs[label] == (model.fan_in(label, shape) if len(shape) > 1 else 0)


def test_the_file_is_what_the_tool_writes():
    assert layouts._table().keys() == set(names())
    assert tool.text() == Path(layouts.__file__).with_name(layouts.FILE).read_text()


@pytest.mark.parametrize(("name", "classes"), [("resnet", 2), ("cnn", 1), ("cnn", 65)])
def test_layouts_of_unknown_networks_are_refused(name, classes):
    with pytest.raises(UnknownArchitecture):
        parameters.layout_of(name, classes)


@pytest.mark.parametrize(
    "module", ["node.daemon.service", "node.audit", "node.learning.metrics", "node.learning.layouts"]
)
def test_who_only_handles_vectors_never_loads_torch(module):
    """It costs a process 150 MB and seconds."""
    code = f"import sys, {module}; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
