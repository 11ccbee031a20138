"""Proof of work, if the plan asks for it: what makes flooding cost something even for a member.

Hashcash (Back, 2002): a transaction carries a nonce such that sha2-256 over a seed and the nonce begins with so many zero
bits. The seed is over the issuer and everything the transaction says, so work cannot be kept in stock, nor passed on. The
signature covers the nonce.

The price adapts to the issuer: up to an allowance of transactions a round cost the plan's bits; each further one costs one
bit more, twice the work. How many there were is read from sequence numbers inside the transaction's past cone, so every
node demands the same: the transaction's own number less the smallest of the issuer's numbers of this round in the cone.
Skipped numbers count. What somebody hides on branches of their own that meet nowhere costs the base price only, until any
transaction builds on both.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dag import codec
from dag.errors import WorkCancelled, WrongWork
from dag.forms import NONCE_BYTES
from dag.ids import sha256
from dag.transaction import Transaction, Unsigned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Protocol

    from dag.rules import RoundTerms
    from dag.tangle import Tangle

    class WorkView(Protocol):
        """What the price depends on."""

        def first_sequence(self, heads: Iterable[bytes], issuer: bytes, round_: int) -> int | None:
            """The smallest sequence number of the issuer's transactions of a round in the heads' past cone, or None."""


WORK_DOMAIN: Final = b"medweave/work/1\x00"
PROGRESS_EVERY: Final = 1 << 16
"""Tries between two calls of a miner's progress function, about a tenth of a second."""
_NONCES: Final = 1 << (8 * NONCE_BYTES)


def work_seed(unsigned: Unsigned, issuer: bytes) -> bytes:
    """What a nonce works on: sha2-256 of the domain, the issuer's address and the canonical bytes without nonce and signature."""
    content = Unsigned.to_map(unsigned)
    content.pop("nonce", None)
    return sha256(WORK_DOMAIN + issuer + codec.encode(content))


def work_bits(seed: bytes, nonce: bytes) -> int:
    """Leading zero bits of sha2-256 over seed and nonce, 0 … 256."""
    return 256 - int.from_bytes(sha256(seed + nonce), "big").bit_length()


def first_sequence(
    tangle: Tangle, sequence_of: Callable[[bytes], int], heads: Iterable[bytes], member: int, round_: int
) -> int | None:
    """The smallest sequence number of a member's transactions of a round in the heads' past cone, or None.

    Found on paths through transactions of this or a later round only, so the cost is the round's.

    Args:
        tangle: the graph.
        sequence_of: gives an attached transaction's sequence number.
        heads: attached ids.
        member: member index.
        round_: the round.

    Raises:
        UnknownTransaction: a head is not attached.
    """
    stack = [head for head in dict.fromkeys(heads) if tangle.round(head) >= round_]
    seen = set(stack)
    found: int | None = None
    while stack:
        at = stack.pop()
        if tangle.round(at) == round_ and tangle.issuer(at) == member:
            found = sequence_of(at) if found is None else min(found, sequence_of(at))
        above = [parent for parent in tangle.parents(at) if parent not in seen and tangle.round(parent) >= round_]
        seen.update(above)
        stack += above
    return found


def price(unsigned: Unsigned, issuer: bytes, terms: RoundTerms, view: WorkView) -> int:
    """Bits that the terms ask for this transaction; 0 where they ask for no work.

    Raises:
        UnknownTransaction: a parent is not attached.
    """
    if not terms.pow_bits:
        return 0
    first = view.first_sequence(unsigned.parents, issuer, unsigned.round)
    spent = 0 if first is None else max(0, unsigned.sequence - first)
    return terms.pow_bits + max(0, spent - terms.pow_free)


def verify_work(transaction: Transaction, bits: int) -> None:
    """Demands a nonce worth so many bits, and none where nobody asked for one.

    Raises:
        WrongWork: too little work, or a nonce that nobody asked for (it would only give free choice of the id).
    """
    if transaction.nonce is None:
        if bits:
            raise WrongWork(transaction.id, f"no proof of work; {bits} bits are asked")
        return
    if not bits:
        raise WrongWork(transaction.id, "carries a nonce, but the plan asks for no work")
    found = work_bits(work_seed(transaction, transaction.issuer), transaction.nonce)
    if found < bits:
        raise WrongWork(transaction.id, f"proof of work of {found} bits; {bits} are asked of this issuer now")


def mine(unsigned: Unsigned, issuer: bytes, bits: int, progress: Callable[[int], bool] | None = None) -> Unsigned:
    """The same transaction with a nonce worth so many bits; about 2^bits tries, one to two microseconds each.

    Args:
        unsigned: what will be signed.
        issuer: address (20 bytes) of who will sign it.
        bits: leading zero bits wanted; 0 returns the transaction as it is.
        progress: told how many tries were made, every `PROGRESS_EVERY`; returns False to give up.

    Raises:
        WorkCancelled: `progress` said so.
    """
    if not bits:
        return unsigned
    seed = work_seed(unsigned, issuer)
    start = secrets.randbelow(_NONCES)
    tries = 0
    while True:
        nonce = ((start + tries) % _NONCES).to_bytes(NONCE_BYTES, "big")
        if work_bits(seed, nonce) >= bits:
            return replace(unsigned, nonce=nonce)
        tries += 1
        if progress and tries % PROGRESS_EVERY == 0 and not progress(tries):
            raise WorkCancelled(f"gave up a proof of work of {bits} bits after {tries} tries")
