# ruff: noqa: RUF002  (sigma is the papers' letter)
"""Opening a sum with exactly T members: partial openings and their combination (CRY-2, CRY-3).

Member k of the opener set publishes d_k = c1·λ_k·σ_k + smudge_k + mask_k. The masks are pairwise (Bonawitz et al.
2017): each pair of openers derives one from the key it shares, one adds it, the other subtracts it, so Σ d_k opens
the sum while every single d_k is uniform to anybody outside. Without them, chosen or structured c1 would make a
single d_k leak parts of σ_k, because smudging is small beside a Shamir share.

Smudge and masks are derived from the member's secrets, the sum's digest and the opener set: asking twice gives the
same bytes, so nobody can average the smudging away and a member that crashed repeats itself harmlessly.
"""

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from crypto.errors import MixedGenerations, OpeningFailed, WrongOpeners
from crypto.keys import MemberKey
from crypto.modular import Accumulator, Signed, Words, modulus, wide_product
from crypto.packing import unpack
from crypto.parameters import ParameterSet
from crypto.randomness import Stream, derive
from crypto.ring import add as add_rows
from crypto.ring import multiply, negate, residues, spectrum
from crypto.sealing import read_chunk
from crypto.shamir import lagrange
from crypto.wire import bulk_record, check_epoch, check_parameters, read_polynomials, unpack_header

_FORM: Final = struct.Struct("<4sBBH16sQQ32s")
_MAGIC: Final = b"MWPO"
_VERSION: Final = 2


@dataclass(frozen=True, eq=False)
class PartialOpening:
    """One member's partial opening of one chunk, as read from its bytes."""

    member: int
    """Who opened."""
    generation: int
    """Generation of the share it opened with."""
    openers: int
    """Bitmap of the members that open together."""
    digest: bytes
    """SHA-256 of the chunk that was opened."""
    d: Words = field(repr=False)
    """d_k, uint64 [L, n]."""

    @classmethod
    def from_bytes(cls, data: bytes, params: ParameterSet, epoch: int) -> "PartialOpening":
        """The opening that :meth:`Opener.partial` wrote.

        Raises:
            MalformedBytes: not canonical, or of another parameter set or epoch.
        """
        member, generation, parameters, found, openers, digest = unpack_header(data, _FORM, _MAGIC, "partial", _VERSION)
        check_parameters(parameters, params, "partial")
        check_epoch(found, epoch, "partial")
        d = read_polynomials(memoryview(data)[_FORM.size :], 1, params.chunk_primes, params.ring, "partial")[0]
        return cls(member, generation, openers, digest, d)

    def verify_form(self, member: int, openers: int, digest: bytes) -> None:
        """Raise WrongOpeners unless it is ``member``'s part in opening this chunk with these openers (a bitmap)."""
        if self.member != member:
            raise WrongOpeners(f"the partial opening filed under member {member} says it is from member {self.member}")
        if self.openers != openers:
            raise WrongOpeners(
                f"member {member} opened with the set {self.openers:#x}, but these partials are {openers:#x}"
            )
        if self.digest != digest:
            raise WrongOpeners(f"member {member} opened chunk {self.digest.hex()}, not {digest.hex()}")


def openers_bitmap(openers: Iterable[int]) -> int:
    """The set of openers as partial openings name it: bit k for member k."""
    return sum(1 << k for k in set(openers))


def partial_bytes(params: ParameterSet) -> int:
    """Length of every partial opening of this parameter set, bytes."""
    return _FORM.size + 8 * len(params.chunk_primes) * params.ring


class Opener:
    """One member's part in openings by one fixed set of openers; prepares the scaled share once."""

    def __init__(self, member: MemberKey, openers: Sequence[int]) -> None:
        """Prepare λ_k·σ_k.

        Args:
            member: this member's secrets.
            openers: indices of the T members that open together, this one among them, in any order.

        Raises:
            WrongOpeners: not exactly T distinct members, or this member is not one of them.
        """
        if len(openers) != member.threshold or len(set(openers)) != len(openers):
            raise WrongOpeners(f"openers {list(openers)}: exactly {member.threshold} distinct members open a sum")
        if member.index not in openers or not all(0 <= k < member.members for k in openers):
            raise WrongOpeners(
                f"openers {list(openers)}: member {member.index} of {member.members} must be one of them"
            )
        self._member = member
        self._others = sorted(set(openers) - {member.index})
        self._mask = openers_bitmap(openers)
        primes = member.params.chunk_primes
        scaled = [modulus(p).mul(member.sigma[row], lagrange(openers, member.index, p)) for row, p in enumerate(primes)]
        self._key = spectrum(np.stack(scaled), primes)

    def partial(self, sum_chunk: bytes) -> bytes:
        """This member's partial opening of one chunk of a sum.

        Raises:
            MalformedBytes: the chunk is not canonical or of another epoch.
        """
        member, params = self._member, self._member.params
        header, body = read_chunk(sum_chunk, params)
        check_epoch(header.epoch, member.epoch, "chunk")
        digest = hashlib.sha256(sum_chunk).digest()
        product = multiply(spectrum(body[1], params.chunk_primes), self._key, params.chunk_primes)
        head = _FORM.pack(
            _MAGIC, _VERSION, member.index, member.generation, params.id, member.epoch, self._mask, digest
        )
        return bulk_record(head, add_rows(product, self._noise(digest), params.chunk_primes))

    def _noise(self, digest: bytes) -> Words:
        """Smudging, plus the masks shared with later members, minus those shared with earlier ones."""
        member, params = self._member, self._member.params
        context, primes = self._mask.to_bytes(8, "big"), params.chunk_primes
        smudge = Stream(derive(member.smudge, "smudging", digest, context)).smudging(params.smudge_bits, params.ring)
        added = Accumulator(residues(smudge, primes), primes)
        subtracted = Accumulator(np.zeros((len(primes), params.ring), np.uint64), primes)
        for other in self._others:
            stream = Stream(derive(member.pairs[other], "opening mask", digest, context))
            side = added if member.index < other else subtracted
            side.add(np.stack([stream.uniform(prime, params.ring) for prime in primes]))
        return add_rows(added.total(), negate(subtracted.total(), primes), primes)


def partial(member: MemberKey, openers: Sequence[int], sum_chunk: bytes) -> bytes:
    """This member's partial opening of one chunk; for many chunks keep an :class:`Opener`.

    Raises:
        WrongOpeners, MalformedBytes: as :class:`Opener` and :meth:`Opener.partial`.
    """
    return Opener(member, openers).partial(sum_chunk)


def combine(sum_chunk: bytes, partials: Mapping[int, bytes], params: ParameterSet, members: int) -> Signed:
    """The plain sum in one chunk from the partial openings of one complete opener set.

    Args:
        sum_chunk: the chunk that was opened.
        partials: partial opening by member index.
        params: the parameter set.
        members: N.

    Returns:
        int64 [values], exact.

    Raises:
        MalformedBytes: the chunk or a partial opening is malformed.
        WrongOpeners: the partials are not one complete opener set, or open another chunk.
        MixedGenerations: they were made with shares of different generations.
        OpeningFailed: they do not add up to a plaintext: at least one of them is wrong.
    """
    if not partials or not all(0 <= k < members for k in partials):
        raise WrongOpeners(f"openers {sorted(partials)}: expected at least one, all from 0 to {members - 1}")
    header, body = read_chunk(sum_chunk, params)
    digest = hashlib.sha256(sum_chunk).digest()
    openers, phase, generations = openers_bitmap(partials), Accumulator(body[0], params.chunk_primes), {}
    for index, data in sorted(partials.items()):
        opening = PartialOpening.from_bytes(data, params, header.epoch)
        opening.verify_form(index, openers, digest)
        generations[index] = opening.generation
        phase.add(opening.d)
    if len(set(generations.values())) > 1:
        raise MixedGenerations(generations)
    return unpack(scale_down(phase.total(), params)[None], params, header.values)


def scale_down(phase: Words, params: ParameterSet) -> Words:
    """round(t·phase/q) modulo t: uint64 [2, n] to [n], for two ciphertext primes.

    With phase = x₁ + q₁·y (Garner) the quotient is t·y/q₂ plus t·x₁/(q₁·q₂), which lies in [0, t/q₂) and is taken at
    its middle: an error below 2^-7 plaintext steps, against a refusal threshold of a quarter step.

    Raises:
        OpeningFailed: the noise of a coefficient exceeds a quarter of the distance between plaintexts.
    """
    q1, q2 = params.chunk_primes
    t, m2 = params.plain_modulus, modulus(q2)
    y = m2.mul(m2.sub(phase[1], m2.reduce(phase[0])), pow(q1, -1, q2))
    high, low = wide_product(y, t)
    low = low + np.uint64(q2 // 2 + t // 2)
    high, low = high + (low >> np.uint64(60)), low & np.uint64((1 << 60) - 1)
    quotient, remainder = m2.divide(high, low)
    noise = np.abs(remainder.view(np.int64) - q2 // 2)
    if int(noise.max()) > q2 // 4:
        raise OpeningFailed(
            "the partial openings leave too much noise: one of them is wrong or an update is malformed; "
            "open again with other members to find which"
        )
    plain: Words = np.where(quotient >= np.uint64(t), quotient - np.uint64(t), quotient)
    return plain
