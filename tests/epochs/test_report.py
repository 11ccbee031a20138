"""A member's part of the self-test: round trip, and typed errors on anything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dag import codec
from node.epochs.report import MAX_SUBSETS, Report, pack_report, unpack_report
from node.errors import LyingPeer
from node.storage import raw_cid

CIDS = st.binary(min_size=32, max_size=32).map(raw_cid)


@given(st.dictionaries(st.integers(0, MAX_SUBSETS), CIDS, max_size=6))
def test_a_report_survives_its_bytes(openings):
    report = Report(b"j" * 32, openings)
    assert unpack_report(pack_report(report)) == report


@given(st.dictionaries(st.integers(0, 9), CIDS, min_size=1, max_size=4), st.data())
def test_a_changed_report_is_refused_or_another(openings, data):
    report = Report(b"j" * 32, openings)
    raw = bytearray(pack_report(report))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        assert unpack_report(bytes(raw)) != report
    except LyingPeer:
        return


@given(st.binary(max_size=100))
def test_other_bytes_raise_nothing_but_lying_peer(raw):
    with pytest.raises(LyingPeer):
        unpack_report(raw)


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        {"openings": []},
        {"joint": bytes(32)},
        {"joint": bytes(31), "openings": []},
        {"joint": "text", "openings": []},
        *({"joint": bytes(32), "openings": rows} for rows in ({}, [1], [[1]], [[1, 2]], [[-1, 2]])),
    ],
)
def test_what_is_no_report_is_refused(content):
    with pytest.raises(LyingPeer, match="self-test report"):
        unpack_report(codec.encode(content))
