"""A whole consortium in one process, and the joint secret that no real process ever holds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from crypto.ceremony import Dealer, Terms, finish, receive
from crypto.keys import JointKey, MemberKey
from crypto.modular import Signed
from crypto.opening import Opener, combine
from crypto.parameters import ParameterSet
from crypto.randomness import Stream
from crypto.ring import add as add_rows
from crypto.ring import residues
from crypto.sealing import Sealer, add
from crypto.secrets import BoxKey, ContentKey
from crypto.shamir import share

CONSORTIUM = bytes(range(32))


@dataclass(frozen=True)
class Network:
    """Everything that N members hold after a ceremony."""

    terms: Terms
    boxes: tuple[BoxKey, ...]
    dealers: tuple[Dealer, ...]
    members: tuple[MemberKey, ...]
    joint: JointKey
    sealer: Sealer

    @property
    def secret(self) -> Signed:
        """S = Σ s_i as integers: only a test can compute it, from all dealers' seeds."""
        streams = [dealer._stream("secret") for dealer in self.dealers]
        return np.sum([stream.ternary(self.terms.params.ring) for stream in streams], axis=0)

    def partials(self, chunk: bytes, openers: Sequence[int]) -> dict[int, bytes]:
        return {k: Opener(self.members[k], openers).partial(chunk) for k in openers}

    def open(self, chunk: bytes, openers: Sequence[int]) -> Signed:
        return combine(chunk, self.partials(chunk, openers), self.terms.params, self.terms.members)

    def sum(self, updates: Sequence[Signed]) -> list[bytes]:
        sealed = [self.sealer.seal(update) for update in updates]
        return [add(chunks, self.terms.params) for chunks in zip(*sealed, strict=True)]


def network(params: ParameterSet, members: int, threshold: int, epoch: int = 1, seed: int = 0) -> Network:
    """Run a ceremony; the same arguments give the same keys."""
    boxes = tuple(BoxKey(Stream(bytes([seed, k]) + bytes(30)).take(32)) for k in range(members))
    terms = Terms(params, CONSORTIUM, epoch, threshold, tuple(box.public for box in boxes))
    dealers = tuple(
        Dealer.resume(terms, k, Stream(bytes([seed, k]) + bytes([1]) * 30).take(32)) for k in range(members)
    )
    finished = [
        finish(
            [
                receive(
                    dealer.dealing().header,
                    dealer.dealing().public,
                    dealer.dealing().shares[k],
                    boxes[k],
                    terms=terms,
                    commitment=dealer.commitment,
                    dealer=dealer.index,
                    receiver=k,
                )
                for dealer in dealers
            ]
        )
        for k in range(members)
    ]
    joint = finished[0][1]
    assert all(other.digest == joint.digest for _, other in finished)
    return Network(terms, boxes, dealers, tuple(member for member, _ in finished), joint, Sealer(joint))


def shortcut(params: ParameterSet, members: int, threshold: int) -> tuple[JointKey, tuple[MemberKey, ...]]:
    """The keys of a large consortium without its N² messages: one Shamir sharing of Σ s_i that a test may know."""
    boxes = tuple(BoxKey(bytes([k + 1]) * 32) for k in range(members))
    terms = Terms(params, CONSORTIUM, 1, threshold, tuple(box.public for box in boxes))
    dealers = [Dealer.resume(terms, k, bytes([k]) * 32) for k in range(members)]
    secrets = [dealer._stream("secret").ternary(params.ring) for dealer in dealers]
    primes = params.chunk_primes
    sigmas = share(residues(np.sum(secrets, axis=0), primes), threshold, members, primes, Stream(b"z" * 32))
    b = np.zeros((len(params.primes), params.ring), np.uint64)
    for dealer, secret in zip(dealers, secrets, strict=True):
        b = add_rows(b, dealer._public_share(secret), params.primes)
    joint = JointKey(params, CONSORTIUM, 1, members, threshold, bytes(32), b)
    content = ContentKey(bytes(32))

    def pair(i: int, j: int) -> bytes:
        return bytes([min(i, j), max(i, j)] * 16)

    keys = tuple(
        MemberKey(
            params,
            CONSORTIUM,
            1,
            k,
            members,
            threshold,
            sigmas[k],
            content,
            bytes([k] * 32),
            tuple(pair(k, j) for j in range(members)),
        )
        for k in range(members)
    )
    return joint, keys


@lru_cache(maxsize=8)
def cached(params: ParameterSet, members: int, threshold: int) -> Network:
    """One network per shape for tests that do not change it."""
    return network(params, members, threshold)


def values(seed: int, count: int, limit: int) -> Signed:
    return np.random.default_rng(seed).integers(-limit, limit + 1, count)


def chi_squared(words: np.ndarray, prime: int, bins: int = 64) -> float:
    """Deviation of residues from uniform, in standard deviations of the χ² statistic."""
    counts = np.bincount((words.astype(np.float64) * bins / prime).astype(int), minlength=bins)
    expected = len(words) / bins
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return (statistic - (bins - 1)) / math.sqrt(2 * (bins - 1))
