"""CRY-2: what fewer than T members have in hand leaves a uniform residue, and no member's view opens another's update.

A residue is what remains of c0 after everything that could be the mask c1·s has been taken away. With the right mask it
is the values and a little noise; with anything else it must look uniform modulo each prime. The encrypted values are
zeros, so any leak would show as small residues.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from crypto.ceremony import unseal
from crypto.dealing import Terms
from crypto.errors import OpeningFailed, WrongOpeners
from crypto.modular import Words, modulus
from crypto.opening import combine
from crypto.parameters import STANDARD
from crypto.ring import add as add_rows
from crypto.ring import multiply, residues, spectrum
from crypto.sealing import read_chunk
from crypto.shamir import lagrange
from tests.crypto.support import Network, cached, chi_squared, values

PRIMES = STANDARD.chunk_primes
SHAPES = [(3, 2), (4, 3), (5, 3), (5, 5)]
LIMIT = 8
"""Standard deviations of χ² allowed: by chance once in 10^8 statistics, of which a thousand are looked at here."""


def residue(chunk: bytes, key: Words) -> Words:
    """c0 + c1·key modulo each prime, uint64 [L, n]."""
    _, body = read_chunk(chunk, STANDARD)
    return add_rows(body[0], multiply(spectrum(body[1], PRIMES), spectrum(key, PRIMES), PRIMES), PRIMES)


def assert_uniform(words: Words, what: object) -> None:
    for row, prime in zip(words, PRIMES, strict=True):
        assert abs(chi_squared(row, prime)) < LIMIT, what
        lowest = row & np.uint64((1 << 20) - 1)
        assert abs(chi_squared(lowest, 1 << 20)) < LIMIT, what


def guess(net: Network, known: Sequence[int], openers: Sequence[int]) -> Words:
    """The known shares added up, with the weights they have in a full set of openers."""
    total = np.zeros((len(PRIMES), STANDARD.ring), np.uint64)
    for k in known:
        sigma = net.members[k].sigma
        total = add_rows(
            total,
            np.stack([modulus(p).mul(sigma[row], lagrange(openers, k, p)) for row, p in enumerate(PRIMES)]),
            PRIMES,
        )
    return total


def test_the_right_key_is_seen():
    """The test's own measure: with the joint secret, the residue of zeros is small and far from uniform."""
    net = cached(STANDARD, 4, 3)
    chunk = next(net.sealer.seal(np.zeros(4, np.int64)))
    found = residue(chunk, residues(net.secret, PRIMES))
    assert abs(chi_squared(found[0], PRIMES[0])) > 1000
    assert np.array_equal(found, residue(chunk, guess(net, (0, 1, 3), (0, 1, 3))))
    with pytest.raises(AssertionError):
        assert_uniform(found, "zeros")


@pytest.mark.parametrize("shape", SHAPES)
def test_every_subset_below_the_threshold_sees_uniform_residues(shape: tuple[int, int]):
    """All (T-1)-subsets: with the weights they would have beside any T-th member, and as if they were enough."""
    members, threshold = shape
    net = cached(STANDARD, members, threshold)
    chunk = next(net.sealer.seal(np.zeros(4, np.int64)))
    for known in itertools.combinations(range(members), threshold - 1):
        for missing in set(range(members)) - set(known):
            assert_uniform(residue(chunk, guess(net, known, (*known, missing))), (known, missing))
        assert_uniform(residue(chunk, guess(net, known, known)), known)


@pytest.mark.parametrize("shape", SHAPES[:2])
def test_every_subset_of_partial_openings_leaves_uniform_residues(shape: tuple[int, int]):
    """What openers publish, masks and smudging included: any T-1 of T give nothing, and combining refuses."""
    members, threshold = shape
    net = cached(STANDARD, members, threshold)
    (total,) = net.sum([np.zeros(10, np.int64)] * 2)
    _, body = read_chunk(total, STANDARD)
    for openers in itertools.combinations(range(members), threshold):
        partials = net.partials(total, openers)
        for size in range(1, threshold):
            for known in itertools.combinations(openers, size):
                phase = body[0]
                for k in known:
                    phase = add_rows(phase, np.frombuffer(partials[k], "<u8", offset=72).reshape(2, -1), PRIMES)
                assert_uniform(phase, (openers, known))
                with pytest.raises(WrongOpeners):
                    combine(total, {k: partials[k] for k in known}, STANDARD, members)


def view(net: Network, member: int) -> dict[str, Words]:
    """Every polynomial a member holds that could be, or stand in for, the joint secret."""
    terms: Terms = net.terms
    found = {"its own secret": residues(net.dealers[member]._stream("secret").ternary(STANDARD.ring), PRIMES)}
    for openers in itertools.combinations(range(terms.members), terms.threshold):
        if member in openers:
            found[f"its share, for {openers}"] = guess(net, [member], openers)
    found["its share"] = net.members[member].sigma
    for dealer in net.dealers:
        sealed = dealer.dealing().shares[member]
        rows = np.frombuffer(unseal(sealed, net.boxes[member], dealer.index, member), "<u8", 2 * STANDARD.ring)
        found[f"share from {dealer.index}"] = rows.reshape(2, -1).astype(np.uint64)
        found[f"b of {dealer.index}"] = np.frombuffer(dealer.dealing().public, "<u8").reshape(3, -1)[:2].copy()
    found["joint key"] = net.joint.b[:2]
    found["nothing"] = np.zeros((2, STANDARD.ring), np.uint64)
    return found


@pytest.mark.parametrize("member", range(4))
def test_no_members_view_opens_anothers_update(member: int):
    """Its secrets and everything public, against a single update of another: uniform throughout."""
    net = cached(STANDARD, 4, 3)
    chunk = next(net.sealer.seal(np.zeros(4, np.int64)))
    for name, key in view(net, member).items():
        assert_uniform(residue(chunk, key), name)
        negative = np.stack([modulus(p).neg(row) for row, p in zip(key, PRIMES, strict=True)])
        if key.any():
            assert_uniform(residue(chunk, negative), f"minus {name}")


def test_a_released_opening_does_not_open_a_part_of_the_sum():
    """The openings of a group's sum, put to one of its updates, are refused; forced, they leave uniform residues."""
    net = cached(STANDARD, 4, 3)
    parts = [next(net.sealer.seal(values(k, 50, net.joint.value_limit))) for k in range(3)]
    (total,) = [net.sum([values(k, 50, net.joint.value_limit) for k in range(3)])[0]]
    partials = net.partials(total, (0, 1, 2))
    with pytest.raises(WrongOpeners):
        combine(parts[0], partials, STANDARD, 4)
    header_digest = slice(40, 72)
    digest = net.partials(parts[0], (0, 1, 2))[0][header_digest]
    forged = {k: data[: header_digest.start] + digest + data[header_digest.stop :] for k, data in partials.items()}
    with pytest.raises(OpeningFailed):
        combine(parts[0], forged, STANDARD, 4)
    _, body = read_chunk(parts[0], STANDARD)
    phase = body[0]
    for data in partials.values():
        phase = add_rows(phase, np.frombuffer(data, "<u8", offset=72).reshape(2, -1), PRIMES)
    assert_uniform(phase, "openings of the sum")
