"""Parameter sets: every size and bound of the scheme in one frozen record (CRY-3, CRY-4, CRY-6).

The scheme is BFV over Z[X]/(X^n + 1) with a joint key. A plaintext coefficient holds ``fields`` signed values
side by side; a ciphertext lives modulo q = the product of all primes but the last one, which only serves
encryption (SEAL encrypts modulo all primes and then divides by the last).

Noise budget of ``STANDARD``, in the units of one coefficient modulo q, log2, worst case N = 64 members:

======================================================  =======  =====================================================
part                                                     log2    why
======================================================  =======  =====================================================
q                                                        120.0   two 60-bit primes
t                                                         54.0   three fields of 18 bits
Δ = q / t                                                 66.0   distance between two plaintexts
room for noise, Δ/4                                       64.0   beyond it an opening is refused (Δ/2 would still decode)
joint secret s = Σ s_i, ‖s‖₂                               9.2   n·N·2/3 expected square norm, 64 ternary members
one fresh ciphertext, standard deviation                   7.4   rounding by the last prime: sqrt(‖s‖²/12); u·e + e₁·s is
                                                                 divided by 2^60 and vanishes
sum of 64 updates, standard deviation                     10.4   + 3
sum of 64 updates, bound at 2^-80 per coefficient         13.8   10.5 standard deviations
one opener's smudging, standard deviation                 57.2   four uniform terms of 58 bits each: sqrt(4/12)·2^58
64 openers together, standard deviation                   60.2   + 3; 14 deviations below Δ/4, Hoeffding: 2^-45
======================================================  =======  =====================================================

Statistical flooding: per coefficient 57.2 - 13.8 = 43.4 bits over the worst-case noise; the total variation
distance of a whole 8192-coefficient chunk is at most ½·‖e‖₂·sqrt(I) with I = 1.3/σ² the Fisher information of the
four-fold sum, that is 2^(10.4 + 6.5 - 1 + 0.2 - 57.2) = 2^-41.1; over k chunks it grows with sqrt(k).
tests/crypto/test_parameters.py recomputes and measures these lines.

Security: n = 8192 with log2(all primes) = 180 ≤ 218, the 128-bit bound of the Homomorphic Encryption Standard
(Albrecht et al. 2018, table 1, ternary secrets, classical).
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Final

import cbor2

from crypto.errors import InsecureParameters, UnknownParameters, ValueOutOfRange

SMUDGE_TERMS: Final = 4
"""Uniform terms in one coefficient of smudging: four make a density smooth enough to have a Fisher information."""

SMUDGE_INFORMATION: Final = 1.3
"""Upper bound of σ²·I for the sum of four uniforms (I its Fisher information of location, σ² its variance)."""


@dataclass(frozen=True)
class ParameterSet:
    """Sizes of one instance of the scheme. Two nodes agree on them by agreeing on :attr:`id`."""

    name: str
    """What operators call it."""
    ring: int
    """n, the degree of X^n + 1: a power of two, coefficients per polynomial."""
    primes: tuple[int, ...]
    """RNS primes, each 1 modulo 2n; the last one exists only inside encryption."""
    plain_modulus: int
    """t: a coefficient carries a number modulo t."""
    fields: int
    """Signed values packed into one coefficient."""
    field_bits: int
    """Bits of one field, headroom for the sum included."""
    max_members: int
    """Largest N, and the most updates one sum may hold."""
    smudge_bits: int
    """Each opener adds SMUDGE_TERMS uniform terms of this many bits to each coefficient."""
    secure: bool
    """False: for tests only, protects nothing."""

    @cached_property
    def id(self) -> bytes:
        """First 16 bytes of the SHA-256 of the canonical CBOR of every field above."""
        record = {
            "fieldBits": self.field_bits,
            "fields": self.fields,
            "maxMembers": self.max_members,
            "name": self.name,
            "plainModulus": self.plain_modulus,
            "primes": list(self.primes),
            "ring": self.ring,
            "scheme": "medweave threshold BFV 1, coefficient packing",
            "secure": self.secure,
            "smudgeBits": self.smudge_bits,
        }
        return hashlib.sha256(cbor2.dumps(record, canonical=True)).digest()[:16]

    @cached_property
    def chunk_primes(self) -> tuple[int, ...]:
        """The primes a ciphertext lives under: all but the last."""
        return self.primes[:-1]

    @cached_property
    def chunk_modulus(self) -> int:
        """q: the product of :attr:`chunk_primes`."""
        return math.prod(self.chunk_primes)

    @property
    def values_per_chunk(self) -> int:
        """Values one ciphertext carries: n coefficients times :attr:`fields`."""
        return self.ring * self.fields

    @property
    def field_limit(self) -> int:
        """Largest absolute value a field of an opened sum can hold."""
        return (1 << (self.field_bits - 1)) - 1

    def value_limit(self, members: int) -> int:
        """Largest absolute value v such that ``members`` values of size v still fit one field.

        Args:
            members: how many values will be added at most, 1 … :attr:`max_members`.

        Raises:
            ValueOutOfRange: ``members`` is outside its range.
        """
        if not 1 <= members <= self.max_members:
            raise ValueOutOfRange(f"members is {members}, parameter set {self.name} takes 1 to {self.max_members}")
        return self.field_limit // members

    def chunks(self, values: int) -> int:
        """Number of ciphertext chunks that carry ``values`` values."""
        return -(-values // self.values_per_chunk)


STANDARD: Final = ParameterSet(
    name="standard",
    ring=8192,
    primes=(0xFFFFFFFFFFD8001, 0xFFFFFFFFFFE8001, 0xFFFFFFFFFFFC001),
    plain_modulus=0x3FFFFFFFEF8001,
    fields=3,
    field_bits=18,
    max_members=64,
    smudge_bits=58,
    secure=True,
)
"""128-bit security, 40-bit flooding, up to 64 hospitals, 10.67 bytes a parameter."""

MINIMAL: Final = ParameterSet(
    name="minimal",
    ring=4096,
    primes=(0xFFFFBE001, 0xFFFFC4001, 0xFFFFEE001),
    plain_modulus=0x3FFFE4001,
    fields=2,
    field_bits=17,
    max_members=64,
    smudge_bits=30,
    secure=False,
)
"""Small and quick, same code path; its smudging hides too little to protect anyone. Tests only."""

PARAMETER_SETS: Final[Mapping[str, ParameterSet]] = MappingProxyType({p.name: p for p in (STANDARD, MINIMAL)})
"""Every parameter set this version knows, by name."""


def parameter_set(name_or_id: str | bytes, *, allow_minimal: bool = False) -> ParameterSet:
    """The parameter set called ``name_or_id``.

    Args:
        name_or_id: a name such as ``"standard"`` or the 16 bytes of :attr:`ParameterSet.id`.
        allow_minimal: say that an insecure set is acceptable; only tests do.

    Raises:
        UnknownParameters: nothing has that name or id.
        InsecureParameters: the set protects nothing and ``allow_minimal`` is false.
    """
    for candidate in PARAMETER_SETS.values():
        if name_or_id in {candidate.name, candidate.id}:
            if not (candidate.secure or allow_minimal):
                raise InsecureParameters(
                    f"parameter set {candidate.name!r} is for tests and protects nothing: use 'standard'"
                )
            return candidate
    shown = name_or_id if isinstance(name_or_id, str) else name_or_id.hex()
    raise UnknownParameters(f"no parameter set {shown!r}; known: {', '.join(sorted(PARAMETER_SETS))}")
