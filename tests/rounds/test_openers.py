"""Whom a leader asks to open, and what becomes of a share that is none (steps 7 and 8)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from node.errors import LyingPeer
from node.rounds import blame
from node.rounds import effects as do
from node.rounds.journal import Journal
from node.rounds.records import ShareManifest
from node.rounds.state import Finished, Refused
from node.rounds.steps import aggregate
from node.rounds.steps.opening import open_sums
from node.rounds.worker import carry_out

SEED = bytes(32)


def stalled(state, proposal, shares: int, **changes):
    """A verified proposal of which only the first shares came."""
    return replace(state, verified=frozenset({proposal.id}), shares=state.shares_for(proposal)[:shares], **changes)


def rival(proposal, openers, name: bytes):
    """Another proposal of the same sums, of other members."""
    return replace(proposal, id=name * 32, openers=openers)


def test_who_stayed_silent_is_asked_last(ports, state, proposal):
    silent = proposal.openers[2]
    assert silent not in aggregate._openers(ports, stalled(state, proposal, 2), SEED, proposal.partition)


def test_a_false_proposal_makes_nobody_silent(ports, state, proposal):
    """Every honest member it names withholds its share, rightly: whoever is silent where it counts must still come last."""
    (spare,) = set(range(4)) - set(proposal.openers)
    silent = proposal.openers[2]
    false = rival(proposal, tuple(sorted({spare, *proposal.openers[:2]})), b"f")
    proposals = {false.id: false, proposal.id: proposal}
    asked = aggregate._openers(
        ports, stalled(state, proposal, 2, proposals=proposals, refused={false.id: "a lie"}), SEED, proposal.partition
    )
    assert silent not in asked
    assert spare in asked


def test_who_took_part_in_an_opening_that_failed_comes_after_the_others(ports, state, proposal):
    """All shares are there, have the form of openings and open nothing: one of them is wrong, nobody can say which."""
    (spare,) = set(range(4)) - set(proposal.openers)
    failed = stalled(state, proposal, 3)
    assert all(spare in aggregate._openers(ports, failed, bytes([k]) * 32, proposal.partition) for k in range(12))


def noise(ports, state, proposal, which: str):
    """The state in which the first opener's share is something else than its openings."""
    first, *rest = state.shares_for(proposal)
    honest = ShareManifest.from_bytes(ports.blobs.obtain(first.manifest))
    junk = ports.blobs.store.put(b"noise" * 100)
    manifest = {
        "blobs": replace(honest, groups=tuple(tuple(junk for _ in group) for group in honest.groups)),
        "order": replace(honest, groups=honest.groups[::-1]),
        "member": replace(honest, member=first.member + 1),
        "short": replace(honest, groups=tuple(group[:-1] or (junk,) * 2 for group in honest.groups)),
    }
    cid = junk if which == "manifest" else ports.blobs.store.put(manifest[which].to_bytes())
    return replace(state, shares=(replace(first, manifest=cid), *rest)), first


@pytest.mark.parametrize("which", ["manifest", "blobs", "order", "member", "short"])
def test_a_share_that_is_no_opening_is_refused_by_name_and_counts_as_missing(ports, state, proposal, which):
    state, first = noise(ports, state, proposal, which)
    shares = state.shares_for(proposal)
    with pytest.raises(LyingPeer, match=f"of member {first.member}"):
        open_sums(ports, state, proposal, shares)
    effect = do.OpenAndScore(proposal.id, tuple(share.id for share in shares))
    refused, finished = carry_out(ports, state, effect)
    assert isinstance(refused, Refused)
    assert (refused.subject, finished) == (first.id, Finished(effect))
    known = replace(state, refused={first.id: refused.reason}, verified=frozenset({proposal.id}))
    assert first.member not in {share.member for share in known.shares_for(proposal)}
    assert first.member not in aggregate._openers(ports, known, SEED, proposal.partition)


def test_who_was_a_suspect_in_an_earlier_round_is_asked_last(ports, state, proposal):
    suspect = proposal.openers[1]
    (spare,) = set(range(4)) - set(proposal.openers)
    number = state.facts.round
    blame.note_failure(ports.journal, number, proposal.openers)
    assert suspect in set.union(
        *(set(aggregate._openers(ports, state, bytes([k]) * 32, proposal.partition)) for k in range(12))
    )
    blame.note_success(ports.journal, number, {spare, *proposal.openers} - {suspect})
    assert all(suspect not in aggregate._openers(ports, state, bytes([k]) * 32, proposal.partition) for k in range(12))


def test_suspects_are_who_failed_together_and_did_not_open():
    failed = [frozenset({0, 1, 2}), frozenset({0, 2, 3})]
    assert blame.suspects(failed[:1], frozenset({0, 1, 3})) == {2}
    assert blame.suspects(failed, frozenset({0, 1, 3})) == {2}
    assert blame.suspects([], frozenset({0})) == frozenset()
    assert blame.suspects([frozenset({0, 1}), frozenset({2, 3})], frozenset({1, 2})) == frozenset(), "two liars"


def test_the_one_suspect_of_several_rounds_is_named():
    journal = Journal(":memory:")
    for number, failed, opened in ((1, {0, 1, 2, 3}, {2, 3, 4, 5}), (2, {0, 2, 4, 5}, {1, 2, 3, 4})):
        blame.note_failure(journal, number, failed)
        blame.note_failure(journal, number, failed)
        blame.note_success(journal, number, opened)
    assert blame.named(blame.recent_suspects(journal, 1)) is None
    assert blame.named(blame.recent_suspects(journal, 2)) == 0
    assert blame.recent_suspects(journal, 2 + blame.REMEMBERED_ROUNDS) == Counter({0: 1, 5: 1})
    assert not blame.recent_suspects(journal, 3 + blame.REMEMBERED_ROUNDS)
