"""Modular arithmetic, exact FFT products and the transform, against Python integers and SEAL."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenseal import sealapi

from crypto import ring
from crypto.modular import Accumulator, Modulus, modulus, wide_product
from crypto.opening import scale_down
from crypto.parameters import MINIMAL, STANDARD
from crypto.randomness import Stream
from crypto.sealing import scale_up
from crypto.shamir import lagrange, share
from tests.crypto import reference

MODULI = sorted({p for s in (STANDARD, MINIMAL) for p in (*s.primes, s.plain_modulus)})
word = st.integers(0, 2**64 - 1)


@given(st.sampled_from(MODULI), st.lists(st.tuples(word, word), min_size=1, max_size=20))
def test_every_operation_agrees_with_integers(q: int, pairs: list[tuple[int, int]]):
    m = modulus(q)
    extremes = [(0, 0), (q - 1, q - 1), (q - 1, 1), (0, q - 1)]
    xs, ys = zip(*[(a % q, b % q) for a, b in pairs] + extremes, strict=True)
    x, y = np.array(xs, np.uint64), np.array(ys, np.uint64)
    assert m.add(x, y).tolist() == [(a + b) % q for a, b in zip(xs, ys, strict=True)]
    assert m.sub(x, y).tolist() == [(a - b) % q for a, b in zip(xs, ys, strict=True)]
    assert m.neg(x).tolist() == [-a % q for a in xs]
    assert m.mul(x, y).tolist() == [a * b % q for a, b in zip(xs, ys, strict=True)]
    small = np.array([b % 1024 for b in ys], np.uint64)
    assert m.mul_small(x, small).tolist() == [a * (b % 1024) % q for a, b in zip(xs, ys, strict=True)]
    assert m.mul(x, ys[0] + 5 * q).tolist() == [a * ys[0] % q for a in xs]
    assert m.centred(x).tolist() == [a - q if a > q // 2 else a for a in xs]


@given(st.sampled_from(MODULI), st.lists(word, min_size=1, max_size=20))
def test_reduction_takes_any_word(q: int, words: list[int]):
    raw = np.array([*words, 2**64 - 1, 0, q, 2 * q - 1], np.uint64)
    assert modulus(q).reduce(raw).tolist() == [int(a) % q for a in raw]
    signed = (raw >> np.uint64(1)).view(np.int64) - 2**62
    assert modulus(q).from_signed(signed).tolist() == [int(a) % q for a in signed]


@given(st.sampled_from(MODULI), st.lists(st.integers(-(2**54) + 1, 2**54 - 1), min_size=1, max_size=20), word)
def test_scaling_is_congruent_and_near(q: int, xs: list[int], y: int):
    xs = [*xs, 2**54 - 1, -(2**54) + 1, 0]
    for factor in (y % q, q - 1, q // 2):
        found = modulus(q).scale(np.array(xs, np.int64), factor).tolist()
        assert all((f - x * factor) % q == 0 and abs(f) <= 7 * q for f, x in zip(found, xs, strict=True))


@pytest.mark.parametrize("params", [MINIMAL, STANDARD], ids=lambda p: p.name)
def test_an_accumulator_reduces_in_time(params):
    """More summands than 64-bit words have room for, all at their largest."""
    primes = params.chunk_primes
    largest = np.array([[p - 1] * 3 for p in primes], np.uint64)
    for count in (1, 2, 15, 16, 17, 40):
        total = Accumulator(largest, primes)
        for _ in range(count):
            total.add(largest)
        expected = [[(count + 1) * (p - 1) % p] * 3 for p in primes]
        assert total.total().tolist() == expected
        assert total.total().tolist() == expected
        total.add(largest)
        assert total.total().tolist() == [[(count + 2) * (p - 1) % p] * 3 for p in primes]
    assert (largest == np.array([[p - 1] * 3 for p in primes], np.uint64)).all()


@given(st.sampled_from(MODULI), st.integers(0, 2**60 - 1), st.integers(0, 2**60 - 1))
def test_wide_products_and_division(q: int, x: int, y: int):
    high, low = wide_product(np.array([x], np.uint64), y)
    assert (int(high[0]) << 60) + int(low[0]) == x * y
    top = x % min(q, 1 << 60 >> (60 - q.bit_length()))
    if (top << 60) // q < 1 << 60:
        quotient, rest = modulus(q).divide(np.array([top], np.uint64), np.array([y], np.uint64))
        assert (int(quotient[0]), int(rest[0])) == divmod((top << 60) + y, q)


@pytest.mark.parametrize("value", [2**61 - 1, 2**60 - 2**25, 12])
def test_a_modulus_must_suit_the_folding(value: int):
    with pytest.raises(ValueError, match="power of two"):
        Modulus(value)


def _as_rows(poly: list[int], primes: tuple[int, ...]) -> np.ndarray:
    return np.array([[v % p for v in poly] for p in primes], np.uint64)


@pytest.mark.parametrize("params", [MINIMAL, STANDARD], ids=lambda p: p.name)
@pytest.mark.parametrize("case", ["random", "extreme", "digits", "alternating"])
def test_products_are_exact(params, case: str):
    primes, n, q = params.chunk_primes, params.ring, params.chunk_modulus
    stream = Stream(b"p" * 32)
    if case == "random":
        x, y = (reference.chinese([stream.uniform(p, n).tolist() for p in primes], list(primes)) for _ in range(2))
    elif case == "extreme":
        x, y = [q // 2] * n, [q // 2 + 1] * n
    elif case == "digits":  # every signed digit at its extreme, all products of one sign
        x = y = [-sum(1 << (15 * j + 14) for j in range(4))] * n
    else:
        x, y = [(-1) ** i * (q // 2) for i in range(n)], [q - 1 - i for i in range(n)]
    found = ring.multiply(
        ring.spectrum(_as_rows(x, primes), primes), ring.spectrum(_as_rows(y, primes), primes), primes
    )
    expected = [[v % p for v in reference.product([a % p for a in x], [b % p for b in y], p)] for p in primes]
    assert found.tolist() == expected


def test_products_with_small_polynomials_are_exact():
    primes, n = STANDARD.primes, STANDARD.ring
    x = np.stack([Stream(b"q" * 32).uniform(p, n) for p in primes])
    small = Stream(b"r" * 32).ternary(n)
    found = ring.multiply(ring.spectrum(x, primes), ring.small_spectrum(small), primes)
    assert found.tolist() == [reference.product(x[i].tolist(), small.tolist(), p) for i, p in enumerate(primes)]


@pytest.mark.parametrize("params", [MINIMAL, STANDARD], ids=lambda p: p.name)
def test_transform_is_seals(params, tmp_path):
    """SEAL's own secret key, in transformed form, decrypts under the transform computed here."""
    parms = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.BFV)
    parms.set_poly_modulus_degree(params.ring)
    parms.set_coeff_modulus(sealapi.CoeffModulus.Create(params.ring, [p.bit_length() for p in params.primes]))
    parms.set_plain_modulus(params.plain_modulus)
    context = sealapi.SEALContext(parms, True, sealapi.SEC_LEVEL_TYPE.TC128)
    plain = sealapi.Plaintext("1x^3 + 5x^1 + 2")
    sealapi.Evaluator(context).transform_to_ntt_inplace(plain, context.first_parms_id())
    poly = np.zeros((len(params.chunk_primes), params.ring), np.uint64)
    poly[:, [0, 1, 3]] = [2, 5, 1]
    mine = ring.ntt(poly, params.chunk_primes).reshape(-1)
    for at in (0, 1, 2, 17, params.ring - 1, params.ring, 2 * params.ring - 1):
        assert plain[at] == mine[at]


@given(st.integers(1, 9), st.integers(0, 8), st.randoms(use_true_random=False))
def test_any_threshold_of_shares_recovers_the_secret(threshold: int, extra: int, rng):
    members, primes = threshold + extra, MINIMAL.chunk_primes
    secret = np.stack([Stream(b"s" * 32).uniform(p, 4) for p in primes])
    shares = share(secret, threshold, members, primes, Stream(b"t" * 32))
    chosen = sorted(rng.sample(range(members), threshold))
    for row, prime in enumerate(primes):
        rows = {k: shares[k, row].tolist() for k in chosen}
        assert reference.interpolate(rows, prime) == secret[row].tolist()
        total = sum(lagrange(chosen, k, prime) * shares[k, row].astype(object) for k in chosen) % prime
        assert total.tolist() == secret[row].tolist()


@given(st.sampled_from([MINIMAL, STANDARD]), st.lists(st.integers(0, 2**60), min_size=1, max_size=30))
def test_scaling_up_is_exact_rounding_and_scaling_down_its_inverse(params, raw: list[int]):
    q, t = params.chunk_modulus, params.plain_modulus
    nearest_ties = [half * pow(q, -1, t) % t for half in (t // 2 - 1, t // 2, t // 2 + 1, t // 2 + 2)]
    plain = [0, 1, t // 2, t // 2 + 1, t - 1, *nearest_ties, *(value % t for value in raw)]
    scaled = scale_up(np.array(plain, np.uint64), params)
    assert reference.chinese(scaled.tolist(), list(params.chunk_primes)) == [(2 * q * m + t) // (2 * t) for m in plain]
    assert scale_down(scaled, params).tolist() == plain


def test_fewer_shares_do_not():
    primes = MINIMAL.chunk_primes
    secret = np.zeros((2, 8), np.uint64)
    shares = share(secret, 3, 5, primes, Stream(b"u" * 32))
    assert reference.interpolate({k: shares[k, 0].tolist() for k in (0, 1)}, primes[0]) != secret[0].tolist()
