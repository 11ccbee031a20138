"""From an update to chunks and back: what is opened is the exact sum of what was quantised."""

from __future__ import annotations

import hashlib
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.ceremony import Dealer, Terms, finish, receive
from crypto.errors import BadEnvelope, CryptoError, MalformedBytes, OpeningFailed, ValueOutOfRange, WrongOpeners
from crypto.feedback import Feedback
from crypto.locking import UpdateLock, locked_bytes, verify_locked
from crypto.packing import quantise
from crypto.parameters import parameter_set
from crypto.sealing import Sealer
from crypto.secrets import BoxKey
from crypto.streaming import pieces
from node.learning.registry import build
from node.sealing import updates
from node.sealing.models import open_model, seal_model
from node.sealing.openings import OpeningContext, open_sum, release_openings
from node.sealing.quantising import PPM, QuantisedUpdate, plan_layout, step_sizes
from node.sealing.updates import LockedUpdate, add_updates, seal_update, sealer_of, store_locked, verify_update
from node.storage import MemoryStore

MINIMAL = parameter_set("minimal", allow_minimal=True)
N, T = 4, 3
SIZE = MINIMAL.values_per_chunk * 2 + 17
"""Two whole chunks and a bit."""


class Source:
    """One store for all."""

    def __init__(self) -> None:
        self.store = MemoryStore()

    def obtain(self, cid: str) -> bytes:
        return self.store.get(cid)


def ceremony(name: str):
    boxes = [BoxKey(hashlib.sha256(f"{name} {k}".encode()).digest()) for k in range(N)]
    terms = Terms(MINIMAL, hashlib.sha256(name.encode()).digest(), 1, T, tuple(box.public for box in boxes))
    dealers = [Dealer.resume(terms, k, hashlib.sha256(f"{name} seed {k}".encode()).digest()) for k in range(N)]
    received = [
        [
            receive(
                d.dealing().header,
                d.dealing().public,
                d.dealing().shares[k],
                boxes[k],
                terms=terms,
                commitment=d.commitment,
                dealer=j,
                receiver=k,
            )
            for j, d in enumerate(dealers)
        ]
        for k in range(N)
    ]
    done = [finish(rows) for rows in received]
    return [member for member, _ in done], done[0][1]


@pytest.fixture(scope="module")
def keys():
    return ceremony("one")


def context(member: int, **changes) -> OpeningContext:
    fields = {"epoch": 1, "round": 1, "proposal": bytes(32), "group": 0, "issuer": bytes([member] * 20)}
    return OpeningContext(**(fields | changes))


def lock(member: int = 0, **changes) -> UpdateLock:
    fields = {"reveal": bytes([member + 1] * 32), "issuer": bytes([member] * 20), "epoch": 1, "round_number": 1}
    return UpdateLock.from_reveal(**(fields | changes))


def stored(values, joint, source, member: int = 0) -> LockedUpdate:
    """A member's update, sealed, locked and stored."""
    cids, _ = store_locked(Sealer(joint).seal(values), lock(member), source.store)
    return LockedUpdate(cids, len(values), lock(member))


def sum_of_one(values, joint, source) -> tuple[str, ...]:
    return add_updates([stored(values, joint, source)], MINIMAL, source)


def opened(keys, source, total, openers=(0, 1, 3), reader=2):
    members, _ = keys
    contexts = {k: context(k) for k in openers}
    sealed = {k: release_openings(total, members[k], openers, contexts[k], source)[0] for k in openers}
    return open_sum(total, sealed, contexts, members[reader], source)


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    updates=st.integers(1, N),
    openers=st.sets(st.integers(0, N - 1), min_size=T, max_size=T),
)
def test_the_opened_sum_is_exact(keys, seed, updates, openers):
    rng, source = np.random.default_rng(seed), Source()
    limit = MINIMAL.value_limit(N)
    values = [rng.integers(-limit, limit + 1, SIZE) for _ in range(updates)]
    sealed = [stored(v, keys[1], source, member) for member, v in enumerate(values)]
    assert all(len(update.chunks) == MINIMAL.chunks(SIZE) == 3 for update in sealed)
    total = add_updates(sealed, MINIMAL, source)
    np.testing.assert_array_equal(opened(keys, source, total, tuple(openers))[:SIZE], sum(values))


def test_anyone_gets_the_same_bytes_of_a_sum(keys):
    """No key is needed, and the chunks' names are all that is compared (CRY-7)."""
    source, auditor = Source(), Source()
    updates = [stored(np.full(SIZE, k), keys[1], source, k) for k in range(3)]
    for cid in source.store.iterate():
        auditor.store.put(source.store.get(cid))
    assert add_updates(updates, MINIMAL, source) == add_updates(updates, MINIMAL, auditor)


def test_sealing_twice_gives_other_ciphertexts(keys):
    """Equal updates are not seen to be equal."""
    source = Source()
    first, second = (stored(np.zeros(SIZE, np.int64), keys[1], source) for _ in range(2))
    assert set(first.chunks).isdisjoint(second.chunks)


def test_updates_of_different_lengths_are_not_added(keys):
    source = Source()
    long, short = (stored(np.zeros(n, np.int64), keys[1], source) for n in (SIZE, MINIMAL.values_per_chunk))
    for pair in ([long, short], [short, long]):
        with pytest.raises(MalformedBytes, match="one number of chunks"):
            add_updates(pair, MINIMAL, source)


# ---- locks -------------------------------------------------------------------------------------------------------------


def test_before_the_reveal_only_form_and_length_show(keys):
    """Two updates that differ in one value: locked, they have the same length and no common byte run to go by."""
    source = Source()
    update = stored(np.ones(SIZE, np.int64), keys[1], source)
    for cid in update.chunks:
        locked = source.obtain(cid)
        assert len(locked) == locked_bytes(MINIMAL)
        verify_locked(locked, MINIMAL)
        assert MINIMAL.id not in locked, "not even the header of a ciphertext shows"
    assert "secret" in repr(update.lock)
    assert repr(update).count("lock=") == 0


@pytest.mark.parametrize("damaged", [b"", b"MWEN", bytes(60)])
def test_what_is_no_locked_chunk_is_refused_by_its_form(keys, damaged):
    source = Source()
    locked = source.obtain(stored(np.ones(5, np.int64), keys[1], source).chunks[0])
    for data in (damaged, locked[:-1], locked + b"x", b"X" + locked[1:]):
        with pytest.raises(MalformedBytes):
            verify_locked(data, MINIMAL)


@pytest.mark.parametrize(
    "changes",
    [{"reveal": bytes(32)}, {"issuer": bytes([9] * 20)}, {"round_number": 2}, {"epoch": 2}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_lock_opens_for_its_member_round_and_epoch_only(keys, changes):
    """A copied blob under another member's name, or in another round, opens to nothing, whatever is revealed later."""
    source = Source()
    update = stored(np.ones(5, np.int64), keys[1], source)
    verify_update(update, MINIMAL, source)
    with pytest.raises(BadEnvelope):
        verify_update(LockedUpdate(update.chunks, update.size, lock(**changes)), MINIMAL, source)


@pytest.mark.parametrize("how", ["swapped", "flipped", "garbage", "sum", "size", "epoch"])
def test_what_was_locked_must_be_the_fresh_ciphertext_of_its_place(keys, how):
    source, mine = Source(), lock()
    update = stored(np.ones(SIZE, np.int64), keys[1], source)
    chunks = [mine.unlock(index, source.obtain(cid)) for index, cid in enumerate(update.chunks)]
    size = SIZE
    if how == "swapped":
        chunks[0], chunks[1] = chunks[1], chunks[0]
    elif how == "flipped":
        chunks[0] = chunks[0][:-1] + bytes([chunks[0][-1] ^ 0x80])
    elif how == "garbage":
        chunks[0] = bytes(len(chunks[0]))
    elif how == "sum":
        chunks = [source.obtain(cid) for cid in add_updates([update, update], MINIMAL, source)]
    elif how == "size":
        size = SIZE - 1
    elif how == "epoch":
        mine = lock(epoch=2)
    cids, _ = store_locked(chunks, mine, source.store)
    with pytest.raises(MalformedBytes):
        verify_update(LockedUpdate(cids, size, mine), MINIMAL, source)


# ---- openings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["epoch", "round", "proposal", "group", "issuer"])
def test_an_opening_is_bound_to_what_it_is_for(keys, field):
    """Taken from another round, proposal, group or member it does not open."""
    members, joint = keys
    source, openers = Source(), (0, 1, 3)
    total = sum_of_one(np.ones(5, np.int64), joint, source)
    other = {"epoch": 2, "round": 2, "proposal": b"p" * 32, "group": 1, "issuer": b"i" * 20}[field]
    sealed = {k: release_openings(total, members[k], openers, context(k), source)[0] for k in openers}
    sealed[1] = release_openings(total, members[1], openers, context(1, **{field: other}), source)[0]
    with pytest.raises(BadEnvelope):
        open_sum(total, sealed, {k: context(k) for k in openers}, members[2], source)


def test_chunks_of_one_opening_cannot_be_swapped(keys):
    members, joint = keys
    source, openers = Source(), (0, 1, 3)
    total = sum_of_one(np.arange(SIZE) % 100, joint, source)
    sealed = {k: release_openings(total, members[k], openers, context(k), source)[0] for k in openers}
    sealed[0] = (sealed[0][1], sealed[0][0], *sealed[0][2:])
    with pytest.raises(BadEnvelope):
        open_sum(total, sealed, {k: context(k) for k in openers}, members[2], source)


def test_fewer_than_threshold_open_nothing(keys):
    members, joint = keys
    source = Source()
    total = sum_of_one(np.ones(5, np.int64), joint, source)
    with pytest.raises(WrongOpeners):
        release_openings(total, members[0], (0, 1), context(0), source)
    openers = (0, 1, 3)
    sealed = {k: release_openings(total, members[k], openers, context(k), source)[0] for k in openers[:2]}
    with pytest.raises((WrongOpeners, OpeningFailed)):
        open_sum(total, sealed, {k: context(k) for k in openers}, members[2], source)


def test_an_outsider_reads_no_opening(keys):
    """Openings are sealed to the epoch's members: another consortium's keys open none."""
    members, joint = keys
    strangers, _ = ceremony("another")
    source, openers = Source(), (0, 1, 3)
    total = sum_of_one(np.ones(5, np.int64), joint, source)
    sealed = {k: release_openings(total, members[k], openers, context(k), source)[0] for k in openers}
    with pytest.raises(CryptoError):
        open_sum(total, sealed, {k: context(k) for k in openers}, strangers[2], source)


# ---- quantising --------------------------------------------------------------------------------------------------------


LAYOUT = plan_layout("cnn", 2, Decimal("0.25"))


def test_the_layout_is_the_architectures():
    parameters = list(build("cnn", 2).named_parameters())
    assert [(spec.name, spec.shape) for spec in LAYOUT.tensors] == [(n, tuple(p.shape)) for n, p in parameters]
    assert LAYOUT.size == sum(p.numel() for _, p in parameters)
    assert plan_layout("cnn", 2, Decimal("0.250")).digest == LAYOUT.digest
    assert plan_layout("cnn", 2, Decimal("0.5")).digest != LAYOUT.digest
    assert plan_layout("cnn", 3, Decimal("0.25")).digest != LAYOUT.digest


def quantised(delta, weight, members, seed, carried=None):
    """The whole update's integers, and the object that made them."""
    made = QuantisedUpdate(delta, weight, LAYOUT, MINIMAL.value_limit(members), seed, carried)
    return np.concatenate(list(made)), made


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, PPM), st.integers(2, 64))
def test_quantising_is_off_by_less_than_a_step_and_never_wraps(seed, weight, members):
    rng = np.random.default_rng(seed)
    delta = rng.normal(0, 0.2, LAYOUT.size).astype(np.float32)
    steps = step_sizes(LAYOUT, MINIMAL, members)
    values, made = quantised(delta, weight, members, seed.to_bytes(32, "big"))
    weighted = delta.astype(np.float64) * (weight / PPM)
    inside = np.clip(weighted, -0.25, 0.25)
    assert np.abs(values * steps - inside).max() <= steps.max() * (1 + 1e-9)
    assert np.abs(values).max() <= MINIMAL.value_limit(members)
    beyond = np.abs(weighted) - 0.25
    assert (beyond > steps).sum() <= made.clipped <= (beyond > -steps).sum()
    again, _ = quantised(delta, weight, members, seed.to_bytes(32, "big"))
    np.testing.assert_array_equal(values, again)


def test_rounding_is_unbiased():
    """The mean over many seeds comes back to the value: small updates are not rounded away."""
    steps = step_sizes(LAYOUT, MINIMAL, N)
    delta = (np.full(LAYOUT.size, 0.3) * steps).astype(np.float32)
    values, _ = quantised(delta, PPM, N, bytes(32))
    assert set(np.unique(values)) == {0, 1}
    assert abs(values.mean() - 0.3) < 6 * (0.21 / LAYOUT.size) ** 0.5


@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
def test_pieces_make_what_the_whole_makes(monkeypatch, size):
    """However the update is cut: the same integers, the same count of clipped values, the same loss carried over."""
    monkeypatch.setattr("node.sealing.quantising.pieces", lambda vector: pieces(vector[: LAYOUT.size], max(size, 97)))
    rng, limit = np.random.default_rng(5), MINIMAL.value_limit(N)
    delta = rng.normal(0, 0.2, LAYOUT.size).astype(np.float32)
    carried = Feedback(rng.normal(0, 0.01, LAYOUT.size).astype(np.float32))
    steps = step_sizes(LAYOUT, MINIMAL, N)
    corrected = carried.correct(delta.astype(np.float64) * 0.5)
    ints, clipped = quantise(corrected, steps, limit, bytes(32))
    values, made = quantised(delta, PPM // 2, N, bytes(32), carried)
    np.testing.assert_array_equal(values, ints)
    assert made.clipped == clipped > 0
    np.testing.assert_array_equal(made.lost.lost, carried.after(corrected, ints, steps, limit).lost)


def test_nothing_is_carried_over_unless_asked():
    assert quantised(np.zeros(LAYOUT.size, np.float32), PPM, N, bytes(32))[1].lost is None


# ---- sealing a whole update --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooled", [False, True], ids=["this process", "a pool"])
def test_an_update_is_quantised_sealed_and_locked_in_one_go(keys, monkeypatch, pooled):
    monkeypatch.setattr(updates, "POOL_CHUNKS", 1 if pooled else 10**6)
    monkeypatch.setattr(updates.os, "sched_getaffinity", lambda _pid: {0, 1, 2})
    source, told = Source(), []
    delta = np.random.default_rng(2).normal(0, 0.05, LAYOUT.size).astype(np.float32)
    limit = MINIMAL.value_limit(N)
    values = QuantisedUpdate(delta, PPM, LAYOUT, limit, bytes(32))
    cids, size = seal_update(values, keys[1], lock(), source.store, told.append)
    assert size == len(cids) * locked_bytes(MINIMAL)
    assert len(cids) == MINIMAL.chunks(LAYOUT.size) == len(told)
    assert told == sorted(told)
    assert 0 <= told[0] < 1
    total = add_updates([LockedUpdate(cids, LAYOUT.size, lock())], MINIMAL, source)
    expected, _ = quantised(delta, PPM, N, bytes(32))
    np.testing.assert_array_equal(opened(keys, source, total)[: LAYOUT.size], expected)


def test_an_update_that_diverged_is_not_sealed(keys):
    delta = np.zeros(LAYOUT.size, np.float32)
    delta[-1] = np.nan
    with pytest.raises(ValueOutOfRange, match="not finite"):
        seal_update(QuantisedUpdate(delta, PPM, LAYOUT, 9, bytes(32)), keys[1], lock(), Source().store)


def test_a_sealer_is_prepared_once_an_epoch(keys):
    assert sealer_of(keys[1]) is sealer_of(keys[1])


def test_more_members_get_coarser_steps():
    assert step_sizes(LAYOUT, MINIMAL, 2).max() < step_sizes(LAYOUT, MINIMAL, 64).max()


# ---- models ------------------------------------------------------------------------------------------------------------


def test_every_member_seals_a_model_to_the_same_bytes(keys):
    members, _ = keys
    data = bytes(range(200)) * 9
    assert len({seal_model(member, 1, 4, data) for member in members}) == 1
    assert open_model(members[3], 1, 4, seal_model(members[0], 1, 4, data)) == data
    assert data[:32] not in seal_model(members[0], 1, 4, data)


@pytest.mark.parametrize(("epoch", "number"), [(2, 4), (1, 5)])
def test_a_sealed_model_is_bound_to_epoch_and_round(keys, epoch, number):
    sealed = seal_model(keys[0][0], 1, 4, b"model")
    with pytest.raises(CryptoError):
        open_model(keys[0][0], epoch, number, sealed)


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_changed_sealed_model_is_refused(keys, data):
    raw = bytearray(seal_model(keys[0][0], 1, 4, b"model bytes"))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CryptoError):
        open_model(keys[0][0], 1, 4, bytes(raw))


def test_another_consortium_opens_no_model(keys):
    strangers, _ = ceremony("another")
    with pytest.raises(CryptoError):
        open_model(strangers[0], 1, 4, seal_model(keys[0][0], 1, 4, b"model"))
