"""Frames and messages arrive as they were sent, and nothing else is taken for one."""

import json
import socket
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from node.errors import WorkerLost, WorkProblem
from node.learning.errors import LearningError, TrainingDiverged
from node.learning.metrics import measure
from node.work import faults
from node.work.channel import Channel, Frame
from node.work.messages import Failed, Measured, Said, Saved, Told, Trained, parse


def pair():
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**20)
    return Channel(ours), theirs


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=20) | st.booleans(), max_size=4),
    st.lists(arrays("f4", st.integers(0, 300)) | arrays("u1", st.integers(0, 300)), max_size=4),
)
def test_frames_arrive_as_they_were_sent(fields, segments):
    ours, theirs = pair()
    ours.send(Frame("Kind", fields, tuple(segments)))
    found = Channel(theirs).receive(5)
    assert (found.kind, found.fields) == ("Kind", fields)
    for sent, got in zip(segments, found.segments, strict=True):
        assert got.dtype == sent.dtype
        assert got.tobytes() == sent.tobytes()
    ours.close()
    assert Channel(theirs).receive(5) is None


def raw(head, tail=b""):
    data = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack(">I", len(data)) + data + tail


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (struct.pack(">I", 2**31), "head of"),
        (raw(b"nonsense"), "no JSON"),
        (raw(b"[" * 100_000), "no JSON"),
        (raw({"kind": "Told"}), "keys"),
        (raw({"kind": 1, "fields": {}, "segments": []}), "kind is no text"),
        (raw({"kind": "Told", "fields": {}, "segments": [["f4", 2**40]]}), "segment"),
        (raw({"kind": "Told", "fields": {}, "segments": [["f4", -1]]}), "segment"),
        (raw({"kind": "Told", "fields": {}, "segments": [["O", 1]]}), "segment"),
        (raw({"kind": "Told", "fields": {}, "segments": [[[], 1]]}), "segment"),
        (raw({"kind": "Told", "fields": {}, "segments": [["u1", 0]] * 9}), "at most 8"),
    ],
)
def test_what_is_no_frame_is_refused_before_memory_is_taken(data, says):
    ours, theirs = socket.socketpair()
    theirs.sendall(data)
    with pytest.raises(WorkProblem, match=says):
        Channel(ours).receive(5)


def test_a_silent_other_side_and_a_cut_frame():
    ours, theirs = socket.socketpair()
    with pytest.raises(TimeoutError):
        Channel(ours).receive(0.05)
    theirs.sendall(raw({"kind": "Told", "fields": {}, "segments": [["f4", 10]]}, b"half"))
    theirs.close()
    assert Channel(ours).receive(5) is None


def test_messages_come_back_equal():
    vector = np.linspace(-1, 1, 7, dtype=np.float32)
    sent = Trained(steps=3, samples=5, seconds=1.5, losses=(0.1, 1 / 3), kept=2, resumed=0, vector=vector)
    found = parse(travelled(sent))
    assert found.losses == sent.losses
    assert np.array_equal(found.vector, vector)
    metrics = measure(np.array([[0.2, 0.8], [0.9, 0.1]], np.float32), np.array([1, 0]))
    assert parse(travelled(Measured(metrics=metrics))).metrics == metrics


def travelled(message):
    ours, theirs = pair()
    ours.send(message.frame())
    return Channel(theirs).receive(5)


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (Frame("Nothing", {}), "which is none"),
        (Frame("Saved", {}), "expected 1"),
        (Frame("Saved", {}, (np.zeros(2, np.float32),)), "checkpoint"),
        (Frame("Told", {"step": 1}), "steps"),
        (Frame("Failed", {"error": "x", "message": "y", "more": 1}), "more"),
        (Frame("Failed", {"error": "x", "message": "y" * 20_000}), "message"),
        (Frame("Said", {"logger": "root", "level": 10, "template": "x", "values": []}), "logger"),
        (Frame("Told", {"step": True, "steps": 1, "epoch": 1, "epochs": 1, "loss": 1.0, "seconds": 1.0}), "step"),
    ],
)
def test_what_is_no_message_is_refused_by_name(frame, says):
    with pytest.raises(WorkProblem, match=says):
        parse(frame)


def test_whole_numbers_stay_whole():
    assert isinstance(parse(travelled(Told(step=1, steps=2, epoch=1, epochs=1, loss=2.0, seconds=0.0))).loss, float)
    assert parse(travelled(Saved(checkpoint=np.empty(0, np.uint8)))).checkpoint.size == 0
    assert parse(travelled(Said(logger="medweave.learning", level=20, template="%d", values=(1, "a", 0.5)))).values == (
        1,
        "a",
        0.5,
    )


def test_errors_cross_as_what_they_were():
    error = faults.raised(*faults.described(TrainingDiverged("loss became nan")))
    assert (type(error), str(error)) == (TrainingDiverged, "loss became nan")
    assert isinstance(error, LearningError)
    for lost in (MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9")):
        assert isinstance(faults.raised(*faults.described(lost)), WorkerLost)
    bug = faults.raised(*faults.described(KeyError("x")))
    assert type(bug) is WorkProblem
    assert "KeyError" in str(bug)
    assert type(faults.raised("SystemExit", "")) is WorkProblem
    assert Failed(error="x", message="y").frame().kind == "Failed"
