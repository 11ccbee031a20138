"""CRY-3, CRY-4: parameter sets, their security bound and their noise budget, recomputed line by line."""

import math

import numpy as np
import pytest
from tenseal import sealapi

from crypto.errors import InsecureParameters, UnknownParameters, ValueOutOfRange
from crypto.parameters import (
    MINIMAL,
    PARAMETER_SETS,
    SMUDGE_INFORMATION,
    SMUDGE_TERMS,
    STANDARD,
    ParameterSet,
    parameter_set,
)
from crypto.sealing import chunk_bytes
from tests.crypto import reference
from tests.crypto.support import cached, values

HE_STANDARD_128 = {4096: 109, 8192: 218}
"""Homomorphic Encryption Standard (2018), table 1: largest log2 q, ternary secret, 128-bit classical security."""

both = pytest.mark.parametrize("params", [STANDARD, MINIMAL], ids=lambda p: p.name)


@both
def test_seal_chooses_the_same_primes(params: ParameterSet):
    bits = [p.bit_length() for p in params.primes]
    assert [m.value() for m in sealapi.CoeffModulus.Create(params.ring, bits)] == list(params.primes)
    plain = sealapi.PlainModulus.Batching(params.ring, params.plain_modulus.bit_length())
    assert plain.value() == params.plain_modulus


@both
def test_modulus_is_within_the_standards_bound(params: ParameterSet):
    assert math.log2(math.prod(params.primes)) <= HE_STANDARD_128[params.ring]


@both
def test_fields_fit_the_plain_modulus(params: ParameterSet):
    largest = sum(params.field_limit << (params.field_bits * i) for i in range(params.fields))
    assert largest <= params.plain_modulus // 2


@both
def test_headroom_for_every_number_of_members(params: ParameterSet):
    for members in range(1, params.max_members + 1):
        assert members * params.value_limit(members) <= params.field_limit
    for members in (0, params.max_members + 1):
        with pytest.raises(ValueOutOfRange):
            params.value_limit(members)


def test_standard_carries_twelve_bits_for_64_members_within_three_times_float32():
    assert 2 * STANDARD.value_limit(64) + 1 >= 2**12 - 1
    assert chunk_bytes(STANDARD) / STANDARD.values_per_chunk <= 3 * 4


def test_minimal_must_be_asked_for():
    with pytest.raises(InsecureParameters):
        parameter_set("minimal")
    with pytest.raises(InsecureParameters):
        parameter_set(MINIMAL.id)
    assert parameter_set("minimal", allow_minimal=True) is MINIMAL
    assert parameter_set(STANDARD.id) is STANDARD


def test_unknown_names_and_ids_are_named():
    with pytest.raises(UnknownParameters, match="paranoid"):
        parameter_set("paranoid")
    with pytest.raises(UnknownParameters, match="00"):
        parameter_set(bytes(16))


def test_ids_are_pinned():
    """A changed parameter is a changed id: ciphertexts of the two never mix."""
    assert {name: p.id.hex() for name, p in PARAMETER_SETS.items()} == {
        "standard": "fd2beefb1e7816dfa3bb0eabb733a54e",
        "minimal": "8b08e93f0921e5f6778d03af4b08cecc",
    }


def summed_noise_deviation(params: ParameterSet, members: int, terms: int) -> float:
    """Standard deviation of one coefficient of a sum's noise: rounding by the last prime, times the joint secret."""
    square_norm = params.ring * members * 2 / 3
    return math.sqrt(terms * (square_norm + 1) / 12)


def test_noise_budget_of_the_standard_set():
    """CRY-3: ≥ 40 bits of flooding over the worst case of 64 summed updates, and room for 64 openers."""
    params = STANDARD
    deviation = summed_noise_deviation(params, 64, 64)
    worst = deviation * math.sqrt(2 * math.log(2) * 80)
    smudge = 2**params.smudge_bits * math.sqrt(SMUDGE_TERMS / 12)
    assert math.log2(smudge / worst) >= 40
    chunk_distance = math.sqrt(params.ring) * deviation * math.sqrt(SMUDGE_INFORMATION) / (2 * smudge)
    assert -math.log2(chunk_distance) >= 40

    room = params.chunk_modulus / params.plain_modulus / 4
    terms = SMUDGE_TERMS * params.max_members
    hoeffding = 2 * math.exp(-2 * (room - worst) ** 2 / (terms * 2.0 ** (2 * params.smudge_bits)))
    assert hoeffding * params.ring < 2**-30


def test_fisher_information_bound_of_four_uniforms():
    """σ²·I of the four-fold sum, integrated numerically from its piecewise cubic density."""
    x = np.linspace(-2, 2, 400_001)[1:-1]
    density = np.zeros_like(x)
    slope = np.zeros_like(x)
    for k in range(5):
        part = np.clip(x + 2 - k, 0, None)
        density += (-1) ** k * math.comb(4, k) * part**3 / 6
        slope += (-1) ** k * math.comb(4, k) * part**2 / 2
    good = density > 1e-12
    information = float(np.sum(slope[good] ** 2 / density[good]) * (x[1] - x[0]))
    assert information * 4 / 12 <= SMUDGE_INFORMATION


@pytest.mark.parametrize(("members", "threshold"), [(4, 3), (10, 7)])
def test_measured_noise_stays_below_the_bound(members: int, threshold: int):
    """The noise of real sums under SEAL's real encryption, measured with the joint secret in hand."""
    params = STANDARD
    net = cached(params, members, threshold)
    primes, q, t = list(params.chunk_primes), params.chunk_modulus, params.plain_modulus
    updates = [values(k, params.values_per_chunk, net.joint.value_limit) for k in range(members)]
    (total,) = net.sum(updates)
    c0, c1, _ = reference.chunk(total, params.ring, primes)
    plain, noise = reference.decrypt(c0, c1, net.secret.tolist(), q, t)
    assert reference.fields(plain, t, params.fields, params.field_bits) == np.sum(updates, axis=0).tolist()
    deviation = summed_noise_deviation(params, members, members)
    assert noise < deviation * math.sqrt(2 * math.log(2) * 80)
    assert noise > deviation, "the model of the noise is far off: it should exceed one deviation somewhere"
