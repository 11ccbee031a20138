"""Golden vectors with two parents: SEAL and the package made them, Python integers recompute every byte."""

import hashlib

import numpy as np
import pytest

from crypto.opening import combine
from crypto.parameters import PARAMETER_SETS
from tests.crypto import independent, vectors
from tests.crypto.vectors import EPOCH, OPENERS, SIZES, UPDATES, sha

names = pytest.mark.parametrize("name", ["minimal", pytest.param("standard", marks=pytest.mark.slow)])


@names
def test_the_package_and_seal_still_make_them(name: str):
    assert vectors.make(name) == vectors.load(name)


@names
def test_integers_recompute_every_byte(name: str):
    """Encryption, sum, partial openings and decoding; the package is only asked to combine what they gave."""
    vector, sizes = vectors.load(name), SIZES[name]
    a = independent.common(vectors.CONSORTIUM, EPOCH, sizes)
    b = independent.public_key(a, *vectors.secret(sizes), sizes)
    assert sha(independent.residue_bytes(b, sizes.primes)) == vector["joint key"]

    sealed = []
    for update in range(UPDATES):
        drawn = vector["randomness"][update]
        u, e0, e1 = (vectors.read_small(drawn[key]) for key in "ufg")
        plain = independent.pack(vectors.values(sizes, update), sizes)
        sealed.append(independent.encrypt((b, a), (u, e0, e1), plain, sizes))
    count = sizes.n * sizes.fields
    chunks = [independent.chunk_bytes(c, sizes, 1, EPOCH, count) for c in sealed]
    assert [sha(chunk) for chunk in chunks] == vector["chunks"]

    c0, c1 = ([(x + y) % sizes.q for x, y in zip(*halves, strict=True)] for halves in zip(*sealed, strict=True))
    total = independent.chunk_bytes((c0, c1), sizes, UPDATES, EPOCH, count)
    assert sha(total) == vector["sum"]

    holders = vectors.holders(sizes)
    assert [sha(independent.residue_bytes(h.sigma, sizes.below)) for h in holders] == vector["shares"]
    partials = {k: independent.partial(holders[k], OPENERS, total, c1, EPOCH, sizes) for k in OPENERS}
    assert {str(k): sha(data) for k, data in partials.items()} == vector["partial openings"]

    values, noise = independent.opened(c0, list(partials.values()), count, sizes)
    expected = [sum(column) for column in zip(*(vectors.values(sizes, u) for u in range(UPDATES)), strict=True)]
    assert values == expected
    assert sha(np.array(values, "<i8").tobytes()) == vector["opened"]
    assert noise < sizes.q // sizes.t // 4
    assert combine(total, partials, PARAMETER_SETS[name], vectors.MEMBERS).tolist() == expected


def test_seals_randomness_is_what_the_vector_says():
    """Small, of the right spread, and drawn from SEAL's generator as SEAL draws it."""
    sizes, drawn = SIZES["minimal"], vectors.load("minimal")["randomness"]
    for update in range(UPDATES):
        found = independent.seal_randomness(vectors.generator(update), sizes.n)
        assert [vectors.small(poly) for poly in found] == [drawn[update][key] for key in "ufg"]
        assert set(found[0]) == {-1, 0, 1}
        assert all(3 < np.std(error) < 3.5 for error in found[1:])


def test_chacha20_is_that_of_rfc_8439():
    """Section 2.4.2: the key stream of its example, from block 1 on."""
    key, nonce = bytes(range(32)), bytes.fromhex("000000000000004a00000000")
    text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."
    sealed = bytes(x ^ y for x, y in zip(text, independent.chacha20(key, nonce, len(text)), strict=True))
    assert sealed.hex().startswith("6e2e359a2568f98041ba0728dd0d6981")
    assert hashlib.sha256(sealed).digest() != hashlib.sha256(text).digest()
