"""Proactive refresh: the same joint key, new shares, and nothing old fits anything new."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from crypto.complaint import complain, disclose, verify_complaint, verify_disclosure
from crypto.errors import (
    BadShare,
    CeremonyFault,
    IncompleteCeremony,
    MalformedBytes,
    MixedGenerations,
    OpeningFailed,
)
from crypto.keys import MemberKey
from crypto.opening import Opener, combine
from crypto.parameters import MINIMAL, STANDARD
from crypto.refresh import Refresher, ZeroShare, finish_refresh, receive_zero, refresh_terms
from crypto.secrets import BoxKey
from crypto.selftest import check_self_test, self_test_ciphertext, self_test_subsets, verify_test_opening
from tests.crypto import reference
from tests.crypto.support import Network, cached, network, values


def boxes(members: int, generation: int = 1) -> tuple[BoxKey, ...]:
    return tuple(BoxKey(bytes([k + 1, generation]) * 16) for k in range(members))


def take(dealer, receiver, keys, **changes) -> ZeroShare:
    dealing = dealer.dealing()
    given = {
        "header": dealing.header,
        "sealed_share": dealing.shares[receiver],
        "box": keys[receiver],
        "terms": dealer.terms,
        "commitment": dealer.commitment,
        "dealer": dealer.index,
        "receiver": receiver,
    } | changes
    return receive_zero(given.pop("header"), given.pop("sealed_share"), given.pop("box"), **given)


def refreshed(net: Network, members=None, generation: int = 1, dealers=None) -> tuple[MemberKey, ...]:
    """The next generation of all members' keys."""
    members = members or net.members
    keys = boxes(len(members), generation)
    terms = refresh_terms(net.joint, generation, [key.public for key in keys])
    dealing = [Refresher.resume(terms, k, bytes([k, generation]) * 16) for k in dealers or range(len(members))]
    return tuple(
        finish_refresh(member, keys[k], [take(dealer, k, keys) for dealer in dealing])
        for k, member in enumerate(members)
    )


@cache
def shape(params, members: int, threshold: int) -> tuple[Network, tuple[MemberKey, ...]]:
    net = cached(params, members, threshold)
    return net, refreshed(net)


def opened(members, openers, chunk, params):
    return combine(chunk, {k: Opener(members[k], openers).partial(chunk) for k in openers}, params, len(members))


@pytest.mark.parametrize(("params", "members", "threshold"), [(MINIMAL, 5, 3), (MINIMAL, 4, 4), (STANDARD, 4, 3)])
def test_refreshed_shares_open_what_was_sealed_before(params, members, threshold):
    net, fresh = shape(params, members, threshold)
    update = values(1, 100, net.joint.value_limit)
    chunk = next(net.sealer.seal(update))
    for openers in (range(threshold), range(members - threshold, members)):
        assert np.array_equal(opened(fresh, tuple(openers), chunk, params), update)
    for old, new in zip(net.members, fresh, strict=True):
        assert not np.array_equal(old.sigma, new.sigma)
        assert old.smudge != new.smudge
        assert new.content is old.content
        assert not set(old.pairs) & set(new.pairs) - {bytes(32)}
        new.verify_belongs(net.joint)


def test_the_joint_secret_is_the_same_and_nobody_held_it():
    net, fresh = shape(MINIMAL, 4, 3)
    for row, prime in enumerate(MINIMAL.chunk_primes):
        shares = {k: fresh[k].sigma[row].tolist() for k in (0, 2, 3)}
        assert reference.interpolate(shares, prime) == [int(v) % prime for v in net.secret]


def test_shares_of_two_generations_do_not_fit_together():
    """A thief with T-1 old shares and one new one learns nothing: neither partial openings nor bare shares combine."""
    net, fresh = shape(MINIMAL, 4, 3)
    chunk = next(net.sealer.seal(values(1, 10, 9)))
    mixed = (net.members[0], net.members[1], fresh[2], fresh[3])
    with pytest.raises(MixedGenerations, match="member 2 with generation 1") as mix:
        opened(mixed, (0, 1, 2), chunk, MINIMAL)
    assert mix.value.generations == {0: 0, 1: 0, 2: 1}
    lying = (*mixed[:2], replace(fresh[2], generation=0), mixed[3])
    with pytest.raises(OpeningFailed):
        opened(lying, (0, 1, 2), chunk, MINIMAL)
    prime = MINIMAL.primes[0]
    stolen = {k: mixed[k].sigma[0].tolist() for k in (0, 1, 2)}
    guess = reference.interpolate(stolen, prime)
    assert sum(a == int(b) % prime for a, b in zip(guess, net.secret, strict=True)) < 5


def test_refreshes_follow_each_other_and_survive_their_bytes():
    net, first = shape(MINIMAL, 4, 3)
    second = refreshed(net, first, 2)
    again = tuple(MemberKey.from_secret_bytes(m.secret_bytes(), allow_minimal=True) for m in second)
    assert {m.generation for m in again} == {2}
    update = values(2, 50, 9)
    assert np.array_equal(opened(again, (1, 2, 3), next(net.sealer.seal(update)), MINIMAL)[:50], update)
    with pytest.raises(IncompleteCeremony, match="does not follow generation 1"):
        refreshed(net, first, 3)


def test_t_dealers_are_enough_fewer_are_not():
    net = cached(MINIMAL, 4, 3)
    fresh = refreshed(net, dealers=(0, 2, 3))
    assert np.array_equal(opened(fresh, (0, 1, 2), next(net.sealer.seal(values(3, 9, 9))), MINIMAL), values(3, 9, 9))
    with pytest.raises(IncompleteCeremony, match="3 different"):
        refreshed(net, dealers=(0, 1))


def test_the_self_test_passes_after_a_refresh():
    net, fresh = shape(MINIMAL, 4, 3)
    vector = self_test_ciphertext(net.joint)
    check_self_test(net.joint, [{k: Opener(fresh[k], s).partial(vector) for k in s} for s in self_test_subsets(4, 3)])


def test_a_test_opening_of_another_generation_is_its_members_fault():
    net, fresh = shape(MINIMAL, 4, 3)
    vector, openers = self_test_ciphertext(net.joint), (0, 1, 2)
    verify_test_opening(net.joint, openers, 1, Opener(fresh[1], openers).partial(vector), 1)
    with pytest.raises(MixedGenerations, match="member 1 with generation 0"):
        verify_test_opening(net.joint, openers, 1, Opener(net.members[1], openers).partial(vector), 1)


class SharesOne(Refresher):
    """Shares something else than zero: it would change the joint secret, and no opening would come out right."""

    def _contents(self):
        public, zeros = super()._contents()
        zeros[:, 0] = 1
        return public, zeros


class BadZeroShare(Refresher):
    def _sealed(self, receiver, plaintext):
        return super()._sealed(receiver, bytes([plaintext[0] ^ 1]) + plaintext[1:] if receiver == 2 else plaintext)


def lying(kind):
    net, keys = cached(MINIMAL, 4, 3), boxes(4)
    return kind.resume(refresh_terms(net.joint, 1, [key.public for key in keys]), 1, b"l" * 32), keys


def test_a_dealer_that_shares_something_else_than_zero_is_seen_by_everybody():
    dealer, keys = lying(SharesOne)
    for receiver in range(4):
        with pytest.raises(CeremonyFault, match="dealer 1: a refresh shares zero"):
            take(dealer, receiver, keys)


def test_a_bad_share_of_zero_convicts_its_dealer():
    dealer, keys = lying(BadZeroShare)
    take(dealer, 0, keys)
    with pytest.raises(BadShare, match="dealer 1"):
        take(dealer, 2, keys)
    dealing = dealer.dealing()
    complaint = complain(dealer.terms, 1, 2, dealing.shares[2], keys[2])
    verify_complaint(complaint, dealing.header, dealing.shares[2], terms=dealer.terms, commitment=dealer.commitment)


def test_a_ceremonys_dealing_is_none_of_a_refresh_and_the_other_way_round():
    net, keys = cached(MINIMAL, 4, 3), boxes(4)
    dealer = Refresher.resume(refresh_terms(net.joint, 1, [key.public for key in keys]), 0, bytes(32))
    for change in ({"terms": net.terms, "box": net.boxes[0]}, {"header": net.dealers[0].dealing().header}):
        with pytest.raises((CeremonyFault, MalformedBytes)):
            take(dealer, 0, keys, **change)


def test_what_cannot_be_refreshed_is_refused():
    net, keys = cached(MINIMAL, 4, 3), boxes(4)
    publics = [key.public for key in keys]
    for arguments in ((net.joint, 0, publics), (net.joint, 1 << 16, publics), (net.joint, 1, publics[:3])):
        with pytest.raises(MalformedBytes):
            refresh_terms(*arguments)
    with pytest.raises(MalformedBytes, match="threshold"):
        refresh_terms(network(MINIMAL, 2, 1, epoch=9).joint, 1, publics[:2])
    dealer, _ = lying(Refresher)
    with pytest.raises(MalformedBytes, match="boxKey"):
        take(dealer, 0, keys[::-1])


def test_shares_that_do_not_belong_together_are_not_added():
    net, keys = cached(MINIMAL, 4, 3), boxes(4)
    terms = refresh_terms(net.joint, 1, [key.public for key in keys])
    dealing = [Refresher.resume(terms, k, bytes([k]) * 32) for k in range(4)]
    mine = [take(dealer, 0, keys) for dealer in dealing]
    for bad in ([], [*mine[:2], mine[1]], [*mine[:2], take(dealing[2], 1, keys)]):
        with pytest.raises(IncompleteCeremony):
            finish_refresh(net.members[0], keys[0], bad)


def test_a_disclosed_dealing_of_zero_is_judged_as_what_it_is():
    """The seed of an honest dealer gives what it committed to; that of one that dealt otherwise does not."""
    for kind, honest in ((Refresher, True), (BadZeroShare, False)):
        dealer, _ = lying(kind)
        given = {"terms": dealer.terms, "commitment": dealer.commitment, "dealer": 1}
        if honest:
            verify_disclosure(disclose(dealer).to_bytes(), **given)
        else:
            with pytest.raises(CeremonyFault, match="dealer 1: its seed does not give"):
                verify_disclosure(disclose(dealer).to_bytes(), **given)


def test_a_crashed_refresher_repeats_itself():
    dealer, _ = lying(Refresher)
    again = Refresher.resume(dealer.terms, 1, dealer.secret_bytes())
    assert again.dealing() == dealer.dealing()
    assert dealer.dealing().public == b""
