"""The self-test that ends a ceremony or a refresh (CRY-5): a known vector, opened by subsets that together cover all members.

The test ciphertext has public randomness, so every member and every auditor computes the same bytes from the joint
key. An opening fails if a dealer of the ceremony gave inconsistent Shamir shares or a wrong b_i, or if an opener
cheats now.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from crypto.errors import CryptoError, MixedGenerations, OpeningFailed, SelfTestFailed
from crypto.keys import JointKey
from crypto.modular import Signed
from crypto.opening import PartialOpening, combine, openers_bitmap
from crypto.packing import pack
from crypto.randomness import Stream
from crypto.ring import add, multiply, small_spectrum, spectrum
from crypto.sealing import ChunkHeader, scale_up
from crypto.wire import write_polynomials


def self_test_vector(joint: JointKey) -> Signed:
    """The known values, int64 [values_per_chunk], spread over the whole range of an opened sum."""
    params = joint.params
    words = Stream(hashlib.sha256(b"medweave/self-test vector/1" + joint.digest).digest()).words(
        params.values_per_chunk
    )
    span = 2 * params.field_limit + 1
    return (words % np.uint64(span)).view(np.int64) - params.field_limit


def self_test_ciphertext(joint: JointKey) -> bytes:
    """An encryption of :func:`self_test_vector` with public randomness: (b·u + round(q·m/t), a·u)."""
    params = joint.params
    primes = params.chunk_primes
    stream = Stream(hashlib.sha256(b"medweave/self-test randomness/1" + joint.digest).digest())
    u = small_spectrum(stream.ternary(params.ring))
    count = len(primes)
    c0 = multiply(spectrum(joint.b[:count], primes), u, primes)
    c1 = multiply(spectrum(joint.a[:count], primes), u, primes)
    c0 = add(c0, scale_up(pack(self_test_vector(joint), params)[0], params), primes)
    header = ChunkHeader(1, params.id, joint.epoch, 0, params.values_per_chunk)
    return header.to_bytes() + write_polynomials(np.stack((c0, c1)))


def self_test_subsets(members: int, threshold: int) -> tuple[tuple[int, ...], ...]:
    """The opener sets of the self-test: consecutive runs of T that cover all N members; two at least if T < N."""
    starts = sorted({*range(0, members - threshold + 1, threshold), members - threshold})
    return tuple(tuple(range(start, start + threshold)) for start in starts)


def verify_test_opening(joint: JointKey, openers: Sequence[int], member: int, data: bytes, generation: int = 0) -> None:
    """Raise unless ``data`` has the form of ``member``'s partial opening of the test ciphertext among ``openers``.

    A fault here is that member's own, for everybody to see; whether an opening of good form is honest only the sum shows.

    Raises:
        MalformedBytes, WrongOpeners: what is wrong with it.
        MixedGenerations: it was made with a share of another generation than the one under test.
    """
    opening = PartialOpening.from_bytes(data, joint.params, joint.epoch)
    opening.verify_form(member, openers_bitmap(openers), hashlib.sha256(self_test_ciphertext(joint)).digest())
    if opening.generation != generation:
        raise MixedGenerations({member: opening.generation})


def check_self_test(joint: JointKey, openings: Sequence[Mapping[int, bytes]]) -> None:
    """Raise unless every subset of :func:`self_test_subsets` opens the test ciphertext to the known vector.

    Args:
        joint: the new joint key.
        openings: for each subset, the partial openings of :func:`self_test_ciphertext` by member index.

    Raises:
        SelfTestFailed: an opening is missing or wrong; the error names the subset.
    """
    ciphertext, expected = self_test_ciphertext(joint), self_test_vector(joint)
    found = {tuple(sorted(partials)): partials for partials in openings}
    for openers in self_test_subsets(joint.members, joint.threshold):
        if openers not in found:
            raise SelfTestFailed(openers, "this subset has not opened the test ciphertext")
        try:
            values = combine(ciphertext, found[openers], joint.params, joint.members)
        except OpeningFailed as error:
            raise SelfTestFailed(openers, "their partial openings do not add up to a plaintext") from error
        except CryptoError as error:
            raise SelfTestFailed(openers, str(error)) from error
        if not np.array_equal(values, expected):
            raise SelfTestFailed(openers, "they opened another vector than the known one")
