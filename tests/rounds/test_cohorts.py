"""A round of a cohort: whose it is, whose signatures and votes count, and how those who rest come by its model."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import httpx
import numpy as np
import pytest

from chain import events as ev
from chain.conduct import Fault
from chain.votes import Finding, Removal
from crypto.passing import pass_on
from crypto.secrets import BoxKey
from node.consortium.view import ConsortiumView, fold
from node.daemon.resting import Resting
from node.daemon.roster import consortium_of, electorate, why_not
from node.errors import LyingPeer, PeerProblem
from node.learning.modelfile import model_hash
from node.learning.parameters import model_hash as same
from node.membership.motion import Motion
from node.membership.tally import tally
from node.planning.choice import key_serves
from node.planning.outlook import Wishes, next_round
from node.rounds.journal import Journal
from node.rounds.plan import Plan
from node.rounds.steps.models import load_model
from node.sealing.models import OWN, open_model, open_own, own_key, seal_own
from node.storage import MemoryStore, raw_cid
from tests.flow.simnet import SimNet
from tests.membership.support import ACCOUNTS, DEPLOYMENT, LATER, digest, founded

MEMBERS = 6
COHORT = (0, 2, 3, 5)
RESTING = 4


def at(kind, **fields) -> ev.Event:
    return kind(block=9, log_index=0, tx=digest("later"), **fields)


def drawn(
    *later: ev.Event, members: int = MEMBERS, parameters: bytes = bytes(32), threshold: int = 3
) -> ConsortiumView:
    """A key that the cohort holds, a round of it, and what came later."""
    ceremony = {"parameter_set": parameters, "threshold": threshold, "deadline": 9, "opener": ACCOUNTS[1].address}
    opened = {"plan": digest("plan"), "base": digest("base"), "seed": digest("s"), "opener": ACCOUNTS[1].address}
    events = (
        at(ev.EpochOpened, epoch=1, **ceremony),
        at(ev.CohortDrawn, epoch=1, seed=digest("s"), holders=sum(1 << seat for seat in COHORT)),
        at(ev.EpochActivated, epoch=1, joint_key=digest("joint")),
        at(ev.RoundOpened, round=1, epoch=1, collect_by=1, finalise_by=2, **opened),
    )
    return fold(founded(members), [*events, *later])


REMOVED = at(ev.HospitalRemoved, index=5, account=ACCOUNTS[5].address)


def test_its_consortium_is_the_cohort():
    view = drawn()
    row = view.rounds[1]
    here = consortium_of(DEPLOYMENT, view, row)
    assert (here.members, here.quorum, here.left, here.holders) == (COHORT, 3, {1, 4}, set(COHORT))
    assert [here.position(seat) for seat in COHORT] == [0, 1, 2, 3]
    assert why_not(view, row, 2) is None
    assert why_not(view, row, RESTING) == "this hospital rests: its cohort was drawn without it"
    assert "was no member" in (why_not(view, row, 9) or "")


def test_only_its_present_members_signatures_end_it():
    now = electorate(drawn(), drawn().rounds[1])
    assert (set(now.addresses), now.quorum) == (set(COHORT), 3)
    view = drawn(REMOVED)
    now = electorate(view, view.rounds[1])
    assert (set(now.addresses), now.quorum) == ({0, 2, 3}, 2)


def test_the_cohort_votes_about_faults_and_all_about_members():
    view = drawn()
    signatures = {ACCOUNTS[k].address: bytes(65) for k in range(MEMBERS)}
    finding = Motion.of(Finding(round=1, fault=Fault.BAD_UPDATE, members=1 << 2, evidence=digest("e")), DEPLOYMENT)
    about = tally(finding, signatures, view, 0)
    assert (set(about.signatures), about.quorum) == (set(COHORT), 3)
    removal = Motion.of(Removal(account=ACCOUNTS[2].address, decision=0, deadline=LATER), DEPLOYMENT)
    about = tally(removal, signatures, view, 0)
    assert (len(about.signatures), about.quorum) == (MEMBERS, 4)


def test_rounds_are_opened_for_a_cohort_that_is_large_enough():
    ended = at(ev.RoundAborted, round=1, seed=digest("s2"))
    plan = Plan.create(classes=("a", "b"), min_group=3, parameter_set="standard")
    identity = parameters_of(plan)
    wishes = Wishes(asked=True, paused=False, target=0)
    view = drawn(ended, parameters=identity)
    assert key_serves(view, plan)
    assert next_round(view, plan, wishes, None, 0, 5.0).due(5.0)
    large = Plan.create(classes=("a", "b"), min_group=5, parameter_set="standard")
    assert "the cohort that holds the key has 4" in next_round(view, large, wishes, None, 0, 5.0).why
    fewer = drawn(ended, parameters=identity, threshold=4)
    assert "any 3 members open" in next_round(fewer, plan, wishes, None, 0, 5.0).why


def parameters_of(plan: Plan) -> bytes:
    from crypto.parameters import parameter_set

    return parameter_set(plan.parameter_set).id + bytes(16)


# ---- resting ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def net() -> SimNet:
    made = SimNet(4, 3, min_group=2)
    assert made.run(made.open_round()).finalised
    return made


class World:
    """A resting hospital, what its peers answer, and what lies on its disk."""

    def __init__(self, net: SimNet) -> None:
        node, outcome = net.nodes[0], net.chain.outcomes[1][0]
        epoch, number, sealed = node.journal.model(outcome.model)
        self.model = open_model(node.ports.keys.member, epoch, number, node.blobs.store.get(sealed))
        self.secret = lambda label: hashlib.sha256(b"resting" + label).digest()
        self.box, self.store, self.journal = BoxKey.generate(), MemoryStore(), Journal(":memory:")
        self.asked: list[str] = []
        self.answers = {0: self.passed(self.model), 2: None, 3: None, 5: None}
        self.anchored: list[tuple[int, bytes]] = []
        statement = node.blobs.store.get(raw_cid(outcome.statement))
        self.statement = statement
        urls = [at(ev.UrlChanged, account=ACCOUNTS[k].address, url=f"http://node-{k}") for k in range(MEMBERS)]
        end = at(
            ev.RoundFinalised,
            round=1,
            model=outcome.model,
            leader=ACCOUNTS[0].address,
            base=digest("base"),
            proposal=digest("p"),
            statement=outcome.statement,
            signers=13,
            seed=digest("s2"),
        )
        recorded = {"parent": digest("base"), "round": 1, "statement": outcome.statement}
        self.view = drawn(*urls, end, at(ev.ModelRecorded, model=outcome.model, **recorded))
        self.resting = Resting(
            RESTING,
            SimpleNamespace(box=self.box, derive=self.secret),
            SimpleNamespace(client=lambda _: httpx.Client(transport=httpx.MockTransport(self.answer))),
            SimpleNamespace(store=self.store, obtain=lambda _cid: self.statement),
            SimpleNamespace(anchored=lambda number, statement: self.anchored.append((number, statement))),
            self.journal,
            lambda _round: 40_000,
        )

    def passed(self, data: bytes) -> bytes:
        return pass_on(data, self.box.public)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        body = self.answers[int(request.url.host.removeprefix("node-"))]
        return httpx.Response(404) if body is None else httpx.Response(200, content=body)


@pytest.fixture
def world(net) -> World:
    return World(net)


def test_who_rests_gets_the_model_from_a_member_of_the_cohort(world, net):
    world.resting.step(world.view)
    head = world.view.head
    assert model_hash(world.model) == head
    epoch, number, sealed = world.journal.model(head)
    assert (epoch, number) == (OWN, 1)
    assert world.model not in world.store.get(sealed), "sealed"
    assert open_own(own_key(world.secret), 1, world.store.get(sealed)) == world.model
    assert world.anchored == [(1, world.view.rounds[1].statement)]
    assert {url.split("/v1")[0] for url in world.asked} <= {f"http://node-{k}" for k in COHORT}
    assert all(url.endswith(f"/v1/models/{head.hex()}/passed/{RESTING}") for url in world.asked)
    asked = len(world.asked)
    world.resting.step(world.view)
    assert len(world.asked) == asked, "it is here"


def test_lies_and_rubbish_are_passed_over(world):
    world.answers = {
        0: world.passed(b"another model"),
        2: b"rubbish",
        3: pass_on(world.model, BoxKey.generate().public),
        5: world.passed(world.model),
    }
    world.resting.step(world.view)
    assert [url.split("/v1")[0] for url in world.asked] == [f"http://node-{k}" for k in COHORT]
    _, number, sealed = world.journal.model(world.view.head)
    assert open_own(own_key(world.secret), number, world.store.get(sealed)) == world.model


def test_an_answer_without_end_is_cut_off(world):
    world.answers = dict.fromkeys(COHORT, bytes(2 << 20))
    with pytest.raises(PeerProblem, match="no member of its cohort passes its model on"):
        world.resting.step(world.view)
    assert len(world.asked) == len(COHORT)
    assert world.journal.model(world.view.head) is None


def test_a_statement_about_another_model_is_refused(world):
    world.statement = world.statement.replace(world.view.head.hex().encode(), digest("x").hex().encode())
    with pytest.raises(LyingPeer, match="not about the model"):
        world.resting.step(world.view)
    assert world.asked == []


def test_who_is_of_the_cohort_asks_for_nothing(world):
    world.resting._me = 2
    world.resting.step(world.view)
    assert world.asked == []
    world.resting._me = RESTING
    gone = at(ev.HospitalRemoved, index=RESTING, account=ACCOUNTS[RESTING].address)
    world.resting.step(fold(world.view, [gone]))
    assert world.asked == []


def test_who_is_drawn_next_trains_from_what_it_was_given(net):
    """The model lies under its own key, and under the epoch's from then on."""
    node, head = net.nodes[1], net.chain.head
    before = load_model(node.ports, head)
    held = node.journal.model(head)
    data = open_model(node.ports.keys.member, held[0], held[1], node.blobs.store.get(held[2]))
    assert same(data) == head
    node.journal.keep_model(head, OWN, 1, node.blobs.store.put(seal_own(own_key(node.ports.secret_for), 1, data)))
    assert np.array_equal(load_model(node.ports, head), before)
    assert node.journal.model(head) == held, "sealed as all others have it"
