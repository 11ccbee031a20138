"""Who is missing in a round, step by step, from the transactions of a round that was really played."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from chain.standing import Standing
from dag.bodies import Kind
from node.cli.round_watch import line, table
from node.consortium.records import ProposedView, RoundView
from node.planning.progress import progress_of, usual_seconds
from tests.flow.simnet import SimNet

NAMES = {seat: f"Hospital {seat}" for seat in range(4)}


@pytest.fixture(scope="module")
def played() -> SimNet:
    torch.set_num_threads(1)
    net = SimNet(4, 3, min_group=2, seed=5)
    net.play(1)
    return net


@pytest.fixture(scope="module")
def transactions(played):
    return played.nodes[0].publisher.read(
        lambda ledger: [tx for _, tx in ledger.since(0, 10_000) if tx.kind is not Kind.GENESIS and tx.round == 1]
    )


def row(net: SimNet, *, proposed: bool, finalised: bool = False) -> RoundView:
    facts, (anchor, *_) = net.chain.rounds[1], net.chain.anchors[1]
    leader = net.addresses[anchor.leader]
    proposals = (ProposedView(leader, anchor.proposal, anchor.updates_root, anchor.sums_root, 1),) if proposed else ()
    accounts = tuple(account.address for account in net.accounts)
    standing = Standing(accounts, frozenset(range(len(accounts))), (100,) * len(accounts))
    return RoundView(
        1, 1, facts.plan, facts.base, facts.seed, "", facts.collect_by, facts.finalise_by, 1, proposals, finalised,
        standing=standing,
    )  # fmt: skip


def seen(net, transactions, kinds, *, proposed=False, finalised=False):
    held = [tx for tx in transactions if tx.kind in kinds]
    issuers = {address: seat for seat, address in enumerate(net.addresses)}
    view = row(net, proposed=proposed, finalised=finalised)
    return progress_of(view, held, issuers, 3, 100.0, view.collect_by - 30.0, view.collect_by - 10.0)


def test_a_round_goes_from_step_to_step(played, transactions):
    kinds: set[Kind] = set()
    assert seen(played, transactions, kinds).phase == "updates"
    kinds.add(Kind.UPDATE)
    assert seen(played, transactions, kinds).phase == "reveals"
    kinds.add(Kind.ACKNOWLEDGEMENT)
    waiting = seen(played, transactions, kinds)
    assert waiting.phase == "proposal"
    assert waiting.steps[2].missing == {played.chain.rounds[1].ranking[0]}, "it is the first leader's turn"
    kinds.add(Kind.PROPOSAL)
    opening = seen(played, transactions, kinds, proposed=True)
    assert opening.phase == "shares"
    assert len(opening.steps[3].missing) == 3, "the openers that the proposal names"
    kinds.add(Kind.SHARE)
    assert seen(played, transactions, kinds, proposed=True).phase == "verdicts"
    kinds.add(Kind.VERDICT)
    assert seen(played, transactions, kinds, proposed=True).phase == "signatures"
    kinds.add(Kind.CHECKPOINT)
    assert seen(played, transactions, kinds, proposed=True).phase == "finalise"
    assert seen(played, transactions, kinds, proposed=True, finalised=True).phase == "finalised"


def test_a_single_missing_member_is_named(played, transactions):
    held = [tx for tx in transactions if tx.issuer != played.addresses[2]]
    found = seen(played, held, {Kind.UPDATE})
    assert (found.phase, found.steps[0].missing) == ("updates", {2})
    assert "updates  3/4, missing: Hospital 2" in line(found, NAMES)
    assert found.to_json(NAMES)["steps"][0]["missing"] == ["Hospital 2"]
    strangers = progress_of(row(played, proposed=False), transactions, {}, 3, None, None, 0.0)
    assert all(not step.there for step in strangers.steps), "nobody but the round's members counts"


def test_what_answers_an_earlier_proposal_does_not_count_for_the_newest(played, transactions):
    view = row(played, proposed=True)
    later = replace(view.proposals[0], proposal=bytes(32), leader=played.addresses[1])
    issuers = {address: seat for seat, address in enumerate(played.addresses)}
    taken_over = replace(view, proposals=(*view.proposals, later))
    found = progress_of(taken_over, transactions, issuers, 3, None, None, 0.0)
    assert [len(step.there) for step in found.steps[3:]] == [0, 0, 0]
    assert [
        len(step.there) >= 3 for step in progress_of(view, transactions, issuers, 3, None, None, 0.0).steps[3:]
    ] == [True] * 3


def test_the_time_left_follows_the_rounds_before_and_never_exceeds_the_deadline(played, transactions):
    view = row(played, proposed=False)
    at = view.collect_by - 30.0

    def left(usual, now):
        return progress_of(view, [], {}, 3, usual, at, now).seconds_left

    assert left(100.0, at + 20) == 80
    assert left(100.0, at + 200) == 0
    assert left(1e6, at + 20) == view.finalise_by - at - 20
    assert left(None, at) is None
    marks = [
        {"begin": 10.0, "finalise": 30.0},
        {"begin": 0.0, "finalise": 10.0},
        {"begin": 0.0, "finalise": 90.0},
        {"begin": 1.0},
    ]
    assert usual_seconds(marks) == 20
    assert usual_seconds([{}]) is None


def test_the_table_of_a_terminal_names_step_and_missing(played, transactions):
    held = [tx for tx in transactions if tx.issuer != played.addresses[2]]
    console = Console(record=True, width=100, file=io.StringIO())
    console.print(table(seen(played, held, {Kind.UPDATE}), NAMES))
    text = console.export_text()
    assert "round 1: updates" in text
    assert "Hospital 2" in next(row for row in text.splitlines() if row.strip().startswith("updates"))
