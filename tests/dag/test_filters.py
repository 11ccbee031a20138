"""Looking for transactions by columns against looking at every one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dag.index.filters as module
from dag.bodies import Kind
from dag.index.filters import Wanted, find_places
from dag.tangle import Tangle
from tests.dag.support import name_id

KINDS = (Kind.UPDATE, Kind.ACKNOWLEDGEMENT, Kind.VERDICT)


@st.composite
def tangles(draw):
    tangle = Tangle(2)
    tangle.attach(name_id("G"), (), None, 0, Kind.GENESIS)
    ids = [name_id("G")]
    for number in range(draw(st.integers(0, 30))):
        parents = tuple(ids[-1 - draw(st.integers(0, min(len(ids), 5) - 1))] for _ in range(2))
        tx_id = name_id(f"{number}")
        tangle.attach(tx_id, parents, draw(st.integers(0, 3)), 1 + number // 8, draw(st.sampled_from(KINDS)))
        ids.append(tx_id)
    return tangle


def slow(tangle, wanted, limit, after, before, newest):
    found = []
    for place, tx_id in enumerate(tangle.ids()):
        asked = (wanted.kind, wanted.round, wanted.issuer, wanted.confirmed)
        is_ = (tangle.kind(tx_id), tangle.round(tx_id), tangle.issuer(tx_id), tangle.is_confirmed(tx_id))
        if after < place < (len(tangle) if before is None else before):
            found += [place] * all(a is None or a == b for a, b in zip(asked, is_, strict=True))
    return (found[::-1] if newest else found)[:limit]


@pytest.mark.parametrize("piece", [1, 4, 1 << 16])
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_columns_find_what_looking_at_each_finds(piece, data):
    tangle = data.draw(tangles())
    wanted = Wanted(
        data.draw(st.none() | st.sampled_from(KINDS)),
        data.draw(st.none() | st.integers(0, 5)),
        data.draw(st.none() | st.integers(-1, 4)),
        data.draw(st.none() | st.booleans()),
    )
    limit, newest = data.draw(st.integers(1, 12)), data.draw(st.booleans())
    after, before = data.draw(st.integers(-1, 33)), data.draw(st.none() | st.integers(0, 33))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PIECE", piece)
        found = find_places(tangle, wanted, limit, after=after, before=before, newest=newest)
    assert found == slow(tangle, wanted, limit, after, before, newest)
