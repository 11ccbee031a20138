"""What a hospital insists on: one partition opened a round, plans and parameters of its own choosing."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from crypto.errors import InsecureParameters
from node.errors import BadPlan, PolicyRefusal
from node.rounds.journal import Journal
from node.rounds.ports import Policy
from node.rounds.state import PlanRead
from node.rounds.steps import learn
from node.rounds.steps.opening import partition_digest, release_share


@pytest.fixture
def opener(played, proposal):
    """One of those asked to open."""
    return played.nodes[proposal.openers[0]]


def stored(node) -> set[str]:
    return set(node.blobs.store.iterate())


def test_a_second_differing_partition_is_refused_before_anything_is_released(opener, state, proposal, tmp_path):
    """Also after a crash: the promise is in the journal's file, not in memory."""
    ports = replace(opener.ports, journal=Journal(tmp_path / "journal"))
    release_share(ports, state, proposal)
    ports.journal.close()
    again = replace(ports, journal=Journal(tmp_path / "journal"))
    before, posted = stored(opener), opener.publisher.read(len)
    for other in (
        replace(proposal, sums_root=bytes(32)),
        replace(proposal, updates_root=bytes(32)),
        replace(proposal, id=bytes(32), sums=proposal.sums[::-1], sums_root=b"r" * 32),
    ):
        with pytest.raises(PolicyRefusal, match="opened"):
            release_share(again, state, other)
    assert stored(opener) == before, "not one partial opening of the other partition may exist"
    assert opener.publisher.read(len) == posted
    release_share(again, state, proposal)


def test_a_crash_after_the_promise_changes_nothing(opener, state, proposal):
    """The promise is durable, the openings were never written: the other partition is refused all the same."""
    ports = replace(opener.ports, journal=Journal(":memory:"))
    ports.journal.promise(state.facts.round, "opened", partition_digest(proposal))
    with pytest.raises(PolicyRefusal):
        release_share(ports, state, replace(proposal, sums_root=bytes(32)))
    release_share(ports, state, proposal)


def test_the_same_sums_may_be_opened_with_other_members(opener, proposal):
    """What is promised is the partition; who opens it may change after a stall."""
    changed = replace(proposal, openers=(1, 2, 3), id=bytes(32), attempt=2, leader=0)
    assert partition_digest(changed) == partition_digest(proposal)


def test_another_round_has_its_own_promise(opener, state, proposal):
    journal = Journal(":memory:")
    journal.promise(state.facts.round + 1, "opened", b"something else")
    release_share(replace(opener.ports, journal=journal), state, proposal)


def test_releasing_twice_gives_the_same_bytes(opener, state, proposal):
    """Asking again must not let anybody average the smudging away."""
    release_share(replace(opener.ports, journal=Journal(":memory:")), state, proposal)
    before = stored(opener)
    release_share(replace(opener.ports, journal=Journal(":memory:")), state, proposal)
    assert stored(opener) == before


# ---- plans -----------------------------------------------------------------------------------------------------------


def test_a_plan_within_the_policy_is_read(ports, state):
    assert learn.read_plan(ports, replace(state, plan=None)) == (PlanRead(state.plan),)


def test_a_plan_that_opens_smaller_sums_is_refused(ports, state):
    strict = replace(ports, policy=Policy(state.plan.min_group + 1, allow_minimal=True))
    with pytest.raises(PolicyRefusal, match=r"\[rounds\] min_group"):
        learn.read_plan(strict, state)


def test_insecure_parameters_are_refused_outside_tests(ports, state):
    with pytest.raises(InsecureParameters):
        learn.read_plan(replace(ports, policy=Policy(1)), state)


def test_a_plan_for_other_parameters_than_the_epochs_is_refused(ports, state):
    other = state.plan.model_copy(update={"parameter_set": "standard"})
    ports.blobs.store.put(other.to_bytes())
    facts = replace(state.facts, plan=other.digest)
    with pytest.raises(PolicyRefusal, match="parameters"):
        learn.read_plan(ports, replace(state, facts=facts))


def test_bytes_that_are_no_plan_are_refused(ports, state):
    ports.blobs.store.put(b"no plan")
    facts = replace(state.facts, plan=hashlib.sha256(b"no plan").digest())
    with pytest.raises(BadPlan):
        learn.read_plan(ports, replace(state, facts=facts))
