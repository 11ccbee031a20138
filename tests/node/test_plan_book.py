"""The plans of all rounds: one that cannot be used must not stand in the way of the others."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from types import SimpleNamespace

import pytest

from chain.deployment import Deployment
from chain.records import Hospital
from node.consortium.records import RoundView
from node.consortium.view import ConsortiumView
from node.daemon.plans import PlanBook
from node.errors import MedweaveError
from node.rounds.plan import Plan
from node.storage import BlobUnavailable, MemoryStore

CONTRACTS = ["0x" + f"{k}" * 40 for k in range(1, 5)]


def plan(**changes) -> Plan:
    fields = {"classes": ("a", "b"), "threshold": 2, "architecture": "cnn", "parameter_set": "minimal"}
    return Plan.create(**(fields | changes))


def book(*plans: Plan, missing: bytes = b"") -> tuple[PlanBook, ConsortiumView]:
    """A plan book and a view in which each plan has its round, from 1."""
    store = MemoryStore()
    for made in plans:
        if made.digest != missing:
            store.put(made.to_bytes())

    def obtain(cid, first=None):
        if not store.has(cid):
            raise BlobUnavailable(cid, ())
        return store.get(cid)

    hospital = Hospital("0x" + "5" * 40, bytes(32), 70, "A", "")
    view = ConsortiumView.of([hospital])
    then = {"standing": view.standing, "sizes": (hospital.data_size,)}
    rows = {
        number: RoundView(number, 1, made.digest, bytes(32), bytes(32), "", 0, 0, 0, **then)
        for number, made in enumerate(plans, 1)
    }
    view = replace(view, rounds=rows)
    deployment = Deployment(31337, bytes(32), *CONTRACTS, 0)
    return PlanBook(deployment, SimpleNamespace(store=store, obtain=obtain), allow_minimal=True), view


def test_terms_follow_from_the_plan():
    made = plan(epochs=5, min_group=4, pow_bits=11)
    plans, view = book(made)
    assert plans.read_all(view) == ()
    terms = plans.context(view).rounds[1]
    assert (terms.epoch, terms.threshold, terms.cap, terms.max_slots, terms.min_group) == (1, 2, 70, 5, 4)
    assert terms.pow_bits == 11
    assert plans.size(view, 1) > 1000


def test_a_plan_that_cannot_be_used_leaves_the_later_rounds_alone():
    """Any member may open a round with any plan: it fails, it must not fail every round after it."""
    plans, view = book(plan(architecture="nonsense"), plan(name="good"))
    (problem,) = plans.read_all(view)
    assert "round 1" in problem
    assert set(plans.context(view).rounds) == {2}


def test_a_plan_that_is_not_here_yet_is_read_later():
    made = plan()
    plans, view = book(made, plan(name="other"), missing=made.digest)
    (problem,) = plans.read_all(view)
    assert "round 1" in problem
    assert set(plans.context(view).rounds) == {2}
    plans._blobs.store.put(made.to_bytes())
    assert plans.read_all(view) == ()
    assert set(plans.context(view).rounds) == {1, 2}


def test_a_round_nobody_knows_is_a_typed_error():
    """A peer may send an update of round 10^9."""
    plans, view = book(plan())
    with pytest.raises(MedweaveError):
        plans.size(view, 10**9)


def test_insecure_parameters_are_refused_outside_tests():
    plans, view = book(plan(), plan(parameter_set="standard"))
    plans._allow_minimal = False
    (problem,) = plans.read_all(view)
    assert "round 1" in problem
    assert set(plans.context(view).rounds) == {2}


def test_a_round_the_chain_took_back_loses_its_terms():
    first, other = plan(), plan(name="other", epochs=7)
    plans, view = book(first, other)
    plans.read_all(view)
    shorter = ConsortiumView(hospitals=view.hospitals, rounds={1: view.rounds[1]})
    plans.read_all(shorter)
    assert set(plans.context(shorter).rounds) == {1}
    reopened = ConsortiumView(hospitals=view.hospitals, rounds={1: dataclasses.replace(view.rounds[2], round=1)})
    assert plans.read_all(reopened) == ()
    assert plans.context(reopened).rounds[1].max_slots == 7
