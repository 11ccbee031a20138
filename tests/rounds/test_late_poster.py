"""Nobody's update can depend on another's: attacks that post late, copy, or lock garbage, carried out (SECURITY.md, "Late posters")."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from crypto.locking import UpdateLock, locked_bytes
from crypto.sealing import Sealer, add
from dag.bodies import AcknowledgementBody, Kind, ProposalBody, commit, proposal_roots
from dag.errors import Unconfirmed
from node.rounds import effects as do
from node.rounds.records import UpdateManifest
from node.rounds.state import Sealed
from node.rounds.statement import Statement
from node.rounds.steps import aggregate, learn
from node.rounds.steps.unlocking import locked_update
from node.sealing.openings import OpeningContext, open_sum, release_openings
from node.sealing.updates import LockedUpdate, add_updates, store_locked, unlocked_chunks
from node.storage import raw_cid
from tests.flow.simnet import SimNet

if TYPE_CHECKING:
    from dag.transaction import Transaction

SECRET = bytes(range(32))
TIMES = 3
"""How often the attacker adds the victim's ciphertext into its own update."""


def statement_of(net: SimNet, number: int) -> Statement:
    return Statement.from_bytes(net.nodes[0].blobs.obtain(raw_cid(net.chain.endings[number].statement)))


def opened(net: SimNet, update: LockedUpdate) -> np.ndarray:
    """What a sum over this update alone would show."""
    nodes, openers = net.nodes, (0, 1, 2)
    source = nodes[0].ports.blobs
    total = add_updates([update], nodes[0].ports.keys.joint.params, source)
    contexts = {k: OpeningContext(1, 1, bytes(32), 0, net.addresses[k]) for k in openers}
    sealed = {k: release_openings(total, nodes[k].ports.keys.member, openers, contexts[k], source)[0] for k in openers}
    return open_sum(total, sealed, contexts, nodes[0].ports.keys.member, source)


class LatePoster:
    """The first leader posts nothing until it can read the others, and then a function of what it reads."""

    def __init__(self, net: SimNet, number: int) -> None:
        self.net = net
        self.node = net.nodes[net.chain.rounds[number].ranking[0]]
        self.victim = (self.node.index + 1) % len(net.nodes)
        self.refusal: Unconfirmed | None = None
        self.crafted: LockedUpdate | None = None

    def instead(self, node, effect) -> bool:
        """Stands for `SimNet.stopped_effects`."""
        if node.index != self.node.index:
            return False
        if isinstance(effect, do.Propose) and self.crafted is None:
            self.crafted = self.craft()
            self.post_and_propose()
        return isinstance(effect, do.TrainAndSeal | do.PostUpdate | do.Close | do.Propose)

    def craft(self) -> LockedUpdate:
        """K times the victim's ciphertext, plus a fresh encryption of nothing, under a lock of its own."""
        state, ports = self.node.runner.state, self.node.ports
        theirs = locked_update(ports, state, next(u for u in state.updates if u.issuer == self.victim))
        params = ports.keys.joint.params
        own = Sealer(ports.keys.joint).seal(np.zeros(theirs.size, np.int64))
        columns = zip(unlocked_chunks(theirs, params, ports.blobs), own, strict=True)
        crafted = [_fresh(add([chunk] * TIMES + [zero], params)) for chunk, zero in columns]
        lock = UpdateLock.from_reveal(SECRET, ports.address, 1, 1)
        cids, _ = store_locked(crafted, lock, ports.blobs.store)
        return LockedUpdate(cids, theirs.size, lock)

    def post_and_propose(self) -> None:
        """Post it, close above it, reveal it, list it: everything that one member can do alone."""
        ports, state, ledger = self.node.ports, self.node.runner.state, self.node.publisher
        seen = next(u for u in state.updates if u.issuer == self.victim)
        theirs = UpdateManifest.from_bytes(ports.blobs.obtain(seen.manifest))
        manifest = replace(theirs, issuer=ports.address, chunks=self.crafted.chunks)
        samples = len(self.net.parts[self.node.index])
        body = replace(
            ledger.get(seen.id).body,
            commitment=commit(SECRET),
            samples=samples,
            weight_ppm=learn.own_weight(ports, state.plan, samples),
        )
        payload = ports.blobs.store.put(manifest.to_bytes())
        genesis = ledger.read(lambda book: book.genesis_id)
        update = ledger.post(  # on parents that know of no close and no reveal
            Kind.UPDATE, body, epoch=1, round_number=1, payload=payload, parents=(genesis, genesis)
        )
        for said in (AcknowledgementBody(None, close=True), AcknowledgementBody(SECRET)):
            tips = ledger.read(lambda book: book.tips())
            ledger.post(Kind.ACKNOWLEDGEMENT, said, epoch=1, round_number=1, parents=(update.id, tips[0]))
        self.propose(update)

    def propose(self, update: Transaction) -> None:
        ports, state, ledger = self.node.ports, self.node.runner.state, self.node.publisher
        shown = [i for i, _ in state.closes] + [i for i, _, _ in state.reveals]
        basis = ledger.proposal_basis(1, ledger.gather(shown, epoch=1, round_number=1))
        assert update.id not in basis.updates
        own = next(i for i, member, _ in state.reveals if member == self.node.index)
        updates, reveals = tuple(sorted((*basis.updates, update.id))), tuple(sorted((*basis.reveals, own)))
        sums = tuple(aggregate._sums(ports, state, state.plan, updates, [range(len(updates))]))
        groups = (tuple(range(len(updates))),)
        body = ProposalBody(updates, reveals, groups, sums, (0, 1, 2), 0, *proposal_roots(updates, sums))
        try:
            ledger.post(Kind.PROPOSAL, body, epoch=1, round_number=1, parents=basis.parents)
        except Unconfirmed as error:
            self.refusal = error


def _fresh(total: bytes) -> bytes:
    """A sum's bytes with the header of a fresh ciphertext: nothing inside tells the difference."""
    data = bytearray(total)
    data[6:8] = (1).to_bytes(2, "little")
    return bytes(data)


@pytest.fixture(scope="module")
def attacked():
    net = SimNet(4, 3, min_group=2, seed=11, slot_seconds=2, augment=False)
    number = net.open_round()
    attacker = LatePoster(net, number)
    net.stopped_effects = attacker.instead
    assert net.run(number).finalised
    return net, attacker


def test_what_the_attacker_made_would_show_the_victims_update(attacked):
    """The ciphertext is well-formed and opens to a multiple of one hospital's values: were it summed, it would tell."""
    net, attacker = attacked
    values = net.nodes[attacker.victim].quantised[1]
    np.testing.assert_array_equal(opened(net, attacker.crafted)[: values.size], TIMES * values)


def test_a_leader_cannot_list_what_was_posted_after_the_reveals(attacked):
    """Only its own close is above it; every ledger refuses the proposal, so it stands nowhere."""
    net, attacker = attacked
    assert "closes of 1 members, 3 are needed" in str(attacker.refusal)
    for node in net.nodes:
        assert all(p.leader != attacker.node.index for p in node.runner.state.proposals.values())


def test_the_round_goes_on_without_the_late_poster(attacked):
    net, attacker = attacked
    issuers = {update.issuer for update in statement_of(net, 1).predicate.updates}
    assert issuers == {"0x" + net.addresses[k].hex() for k in range(4) if k != attacker.node.index}


def test_honest_members_revealed_only_above_a_quorum_of_closes(attacked):
    """Seen from the ledger: when an honest member revealed, three members had closed, none of them above the late update."""
    net, attacker = attacked
    book = net.nodes[attacker.victim].publisher
    late = next(u.id for u in net.nodes[attacker.victim].runner.state.updates if u.issuer == attacker.node.index)
    assert book.closers(late) == 1
    rows = book.read(lambda ledger: ledger.since(0))
    closed = set()
    for _, tx in rows:
        if isinstance(tx.body, AcknowledgementBody) and tx.body.close:
            closed.add(tx.issuer)
        if isinstance(tx.body, AcknowledgementBody) and tx.body.reveal and tx.issuer == net.addresses[attacker.victim]:
            assert len(closed) >= 3


# ---- before the reveals: nothing to read, nothing to copy ------------------------------------------------------------


def instead_of_sealing(net: SimNet, member: int, chunks):
    """The member's update holds other locked chunks than it sealed; `chunks` makes them of its honest ones."""
    node, done = net.nodes[member], []

    def stopped(other, effect) -> bool:
        if other.index != member or not isinstance(effect, do.TrainAndSeal) or done:
            return False
        (sealed,) = learn.train_and_seal(node.ports, node.runner.state)
        manifest = UpdateManifest.from_bytes(node.blobs.store.get(sealed.update.manifest))
        changed = tuple(node.blobs.store.put(data) for data in chunks(node, manifest.chunks))
        cid = node.blobs.store.put(replace(manifest, chunks=changed).to_bytes())
        done.append(cid)
        node.runner.feed([Sealed(replace(sealed.update, manifest=cid))])
        return True

    return stopped


def noise(node, cids):
    """Of the right form and length, and nothing inside that any key opens."""
    size = locked_bytes(node.ports.keys.joint.params)
    return [node.blobs.store.get(cid)[:29] + secrets.token_bytes(size - 29) for cid in cids]


def garbage(node, cids):
    """Locked as it should be; what is locked is no ciphertext."""
    state, params = node.runner.state, node.ports.keys.joint.params
    lock = UpdateLock.from_reveal(learn.reveal_for(node.ports, state), node.ports.address, 1, state.facts.round)
    chunk = lock.unlock(0, node.blobs.store.get(cids[0]))
    assert len(chunk) + 45 == locked_bytes(params)
    return [lock.lock(index, b"XXXX" + chunk[4:]) for index in range(len(cids))]


def others(node, cids):
    """Another member's locked chunks, one bit changed so that no name is the same; its key will be revealed later."""
    updates = node.runner.state.updates
    if not updates:
        return noise(node, cids)
    theirs = UpdateManifest.from_bytes(node.ports.blobs.obtain(updates[0].manifest)).chunks
    return [node.ports.blobs.obtain(cid)[:-1] + b"\0" for cid in theirs]


@pytest.mark.parametrize("chunks", [noise, garbage, others], ids=lambda how: how.__name__)
def test_what_was_locked_and_is_no_update_is_left_out_by_all(chunks, caplog):
    """The round goes on without it; every member says the same, and who locked it."""
    net = SimNet(4, 3, min_group=3, seed=12, augment=False)
    number = net.open_round()
    bad = net.chain.rounds[number].ranking[3]
    net.stopped_effects = instead_of_sealing(net, bad, chunks)
    assert net.run(number).finalised
    assert len(statement_of(net, number).predicate.updates) == 3
    for node in net.nodes:
        state = node.runner.state
        wrong = {u.issuer for u in state.updates if state.unlocked.get(u.id)}
        assert wrong == {bad}
        (noted,) = node.journal.recall(number, "left_out")
        assert noted["member"] == bad
        assert all(node.publisher.knows(bytes.fromhex(noted[name])) for name in ("update", "reveal"))
    assert f"of member {bad} is left out, what it locked is no update" in caplog.text


def test_a_leader_that_lists_what_is_no_update_is_refused():
    """Its own malformed update, for instance: the sum could be opened by nobody."""
    net = SimNet(4, 3, min_group=2, seed=12, slot_seconds=2, augment=False)
    number = net.open_round()
    leader = net.nodes[net.chain.rounds[number].ranking[0]]
    sealing, told = instead_of_sealing(net, leader.index, garbage), []

    def stopped(node, effect) -> bool:
        if node.index == leader.index and isinstance(effect, do.Propose):
            if not told:
                told.append(propose_anyway(node))
            return True
        return sealing(node, effect)

    net.stopped_effects = stopped
    ending = net.run(number)
    assert ending.finalised
    assert len(statement_of(net, number).predicate.updates) == 3
    for node in net.nodes:
        if node is not leader:
            assert any("what it locked is no update" in why for why in node.runner.state.refused.values())


def propose_anyway(node) -> Transaction:
    ports, state = node.ports, node.runner.state
    shown = [i for i, _ in state.closes] + [i for i, _, _ in state.reveals]
    basis = ports.ledger.proposal_basis(1, ports.ledger.gather(shown, epoch=1, round_number=1))
    assert len(basis.updates) == 4, "by the ledger alone it may be listed"
    sound = [u for u in basis.updates if not state.unlocked.get(u)]
    sums = tuple(aggregate._sums(ports, state, state.plan, tuple(sound), ((0, 1), (1, 2))))
    body = ProposalBody(
        basis.updates, basis.reveals, ((0, 1), (2, 3)), sums, (0, 1, 2), 0, *proposal_roots(basis.updates, sums)
    )
    posted = ports.ledger.post(Kind.PROPOSAL, body, epoch=1, round_number=1, parents=basis.parents)
    ports.chain.propose(1, posted.id, body.updates_root, body.sums_root)
    return posted


def test_a_committed_secret_of_anothers_opens_nothing(ports, state, played, node):
    """Committing to what another committed to, and revealing it after the other did: the lock is bound to the member."""
    seen = next(u for u in state.updates if u.issuer != node.index)
    value = next(value for _, member, value in state.reveals if member == seen.issuer)
    mine = UpdateLock.from_reveal(value, ports.address, 1, 1)
    stolen = UpdateManifest.from_bytes(ports.blobs.obtain(seen.manifest))
    for index, cid in enumerate(stolen.chunks):
        with pytest.raises(Exception, match="does not open"):
            mine.unlock(index, ports.blobs.obtain(cid))


def test_a_member_nobody_closed_above_keeps_its_lock(played):
    """Its update came too late to be listed: revealing would show it in vain."""
    net = SimNet(4, 3, min_group=2, seed=13, augment=False)
    number = net.open_round()
    late = net.chain.rounds[number].ranking[3]
    cut = {"on": True}
    net.dropped = lambda sender, receiver: cut["on"] and late in {sender, receiver}
    net.run(number, seconds=60)
    state = net.nodes[late].runner.state
    assert state.mine_posted
    cut["on"] = False
    net.run(number)
    book = net.nodes[late].publisher
    mine = next(u.id for u in net.nodes[late].runner.state.updates if u.issuer == late)
    assert book.closers(mine) == 1
    assert all(member != late for _, member, _ in net.nodes[late].runner.state.reveals)


def test_known_gap_an_opened_ciphertext_of_an_earlier_round_can_be_posted_again():
    """Locks protect an update until its round's list is closed; afterwards its ciphertext can be read, and used in later rounds.

    One Byzantine member adds a multiple of a victim's last update to its own. The sum that is opened then shows it beside the
    other members' updates of the group. What closes this is a proof of knowledge with each ciphertext (SECURITY.md, 3).
    """
    net = SimNet(4, 3, min_group=2, seed=14, augment=False)
    net.play(1)
    attacker = net.nodes[0]
    before, victim = attacker.runner.state, 1
    seen = next(update for update in before.updates if update.issuer == victim)

    def crafted(node, cids):
        theirs, params = locked_update(node.ports, before, seen), node.ports.keys.joint.params
        own = Sealer(node.ports.keys.joint).seal(np.zeros(theirs.size, np.int64))
        columns = zip(unlocked_chunks(theirs, params, node.ports.blobs), own, strict=True)
        secret = learn.reveal_for(node.ports, node.runner.state)
        lock = UpdateLock.from_reveal(secret, node.ports.address, 1, node.runner.state.facts.round)
        return [lock.lock(i, _fresh(add([c] * TIMES + [zero], params))) for i, (c, zero) in enumerate(columns)]

    number = net.open_round()
    net.stopped_effects = instead_of_sealing(net, attacker.index, crafted)
    assert net.run(number).finalised
    predicate = statement_of(net, number).predicate
    position = next(i for i, u in enumerate(predicate.updates) if u.issuer == "0x" + attacker.ports.address.hex())
    group = next(g for g in predicate.groups if position in g.updates)
    by_address = {"0x" + address.hex(): node for address, node in zip(net.addresses, net.nodes, strict=True)}
    others = [by_address[predicate.updates[i].issuer] for i in group.updates if i != position]
    known = sum(node.quantised[number] for node in others)
    shown = next(iter(net.nodes[1].runner.ports.opened.values()))[predicate.groups.index(group)][: known.size]
    np.testing.assert_array_equal(shown - known, TIMES * net.nodes[victim].quantised[1])
