"""CRY-3: the noise budget of `standard`, measured at its worst case over many keys and seeds, with the margins asserted."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crypto.ceremony import Dealer, Terms
from crypto.modular import modulus
from crypto.parameters import SMUDGE_TERMS, STANDARD
from crypto.randomness import Stream
from crypto.ring import add as add_rows
from crypto.ring import multiply, small_spectrum, spectrum
from crypto.sealing import Sealer, add, read_chunk
from crypto.secrets import BoxKey
from tests.crypto.support import CONSORTIUM, shortcut

MEMBERS = 64
DEVIATION = math.sqrt(MEMBERS * (STANDARD.ring * MEMBERS * 2 / 3 + 1) / 12)
"""One coefficient of a sum of 64 updates under a joint key of 64 members: 2^10.4."""
BOUND = DEVIATION * math.sqrt(2 * math.log(2) * 80)
"""2^13.8: exceeded with probability 2^-80 per coefficient."""
ROOM = STANDARD.chunk_modulus / STANDARD.plain_modulus / 4
"""2^64: beyond it an opening is refused."""


def joint_secret(members: int):
    """Σ s_i of :func:`shortcut`, which only a test may know."""
    boxes = tuple(BoxKey(bytes([k + 1]) * 32).public for k in range(members))
    terms = Terms(STANDARD, CONSORTIUM, 1, members, boxes)
    dealers = [Dealer.resume(terms, k, bytes([k]) * 32) for k in range(members)]
    return np.sum([dealer._stream("secret").ternary(STANDARD.ring) for dealer in dealers], axis=0)


@pytest.fixture(scope="module")
def noise():
    """Noise of 12 sums of 64 fresh updates each, int64 [12, n]: about 100,000 coefficients."""
    joint, _ = shortcut(STANDARD, MEMBERS, MEMBERS)
    secret, sealer, primes = small_spectrum(joint_secret(MEMBERS)), Sealer(joint), STANDARD.chunk_primes
    zeros, rows = np.zeros(STANDARD.values_per_chunk, np.int64), []
    for _ in range(12):
        total = add([next(sealer.seal(zeros)) for _ in range(MEMBERS)], STANDARD)
        body = read_chunk(total, STANDARD)[1]
        phase = add_rows(body[0], multiply(spectrum(body[1], primes), secret, primes), primes)
        rows.append(modulus(primes[0]).centred(phase[0]))
        assert np.array_equal(rows[-1], modulus(primes[1]).centred(phase[1])), "the noise is small modulo each prime"
    return np.stack(rows)


def test_the_noise_of_64_summed_updates_is_what_the_budget_says(noise):
    assert abs(noise.std() / DEVIATION - 1) < 0.05
    assert int(np.abs(noise).max()) < BOUND / 1.5, "the measured worst case leaves half a bit to the bound at least"


def test_one_openers_smudging_floods_the_measured_worst_case_by_40_bits(noise):
    smudge = Stream(b"n" * 32).smudging(STANDARD.smudge_bits, 200_000).astype(float)
    assert abs(smudge.std() / (2**STANDARD.smudge_bits * math.sqrt(SMUDGE_TERMS / 12)) - 1) < 0.01
    assert math.log2(smudge.std() / float(np.abs(noise).max())) >= 40
    assert math.log2(smudge.std() / BOUND) >= 43


def test_64_openers_smudging_over_many_seeds_stays_below_the_refusal_threshold(noise):
    """131,072 totals: the largest stays a bit below the refusal threshold."""
    worst = 0.0
    for seed in range(16):
        total = np.zeros(STANDARD.ring)
        for opener in range(MEMBERS):
            total += Stream(bytes([seed, opener]) * 16).smudging(STANDARD.smudge_bits, STANDARD.ring)
        worst = max(worst, float(np.abs(total).max()))
    assert worst + float(np.abs(noise).max()) < ROOM / 2
    assert worst > 2**60.2, "the smudging must be there"


def test_openings_an_epoch_allows():
    """docs/spec/crypto.md: a chunk costs 2^-41.1 at 64 members and 2^-44 at 10; k chunks cost sqrt(k) times that."""

    def distance(members: int, chunks: int) -> float:
        deviation = math.sqrt(members * (STANDARD.ring * members * 2 / 3 + 1) / 12)
        smudge = 2**STANDARD.smudge_bits * math.sqrt(SMUDGE_TERMS / 12)
        return math.sqrt(chunks * STANDARD.ring * 1.3) * deviation / (2 * smudge)

    assert -math.log2(distance(64, 1)) == pytest.approx(41.1, abs=0.1)
    assert {n: int(2**-80 / distance(n, 1) ** 2) for n in (4, 10, 64)} == {4: 1181, 10: 189, 64: 4}
