"""The contracts a round touches, made idempotent: what somebody else already did counts as done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chain.errors import BadArgument, ContractReverted
from chain.outcome import recover_outcome_signer
from node.consortium.view import address_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chain.client import Chain
    from chain.records import Outcome


class OnChain:
    """`RoundChain` over a real chain; see `node.rounds.ports`."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def propose(self, round_number: int, proposal: bytes, updates_root: bytes, sums_root: bytes) -> int:
        """Anchor a proposal; 0 gas where it stands already."""
        try:
            return self._chain.rounds.propose(round_number, proposal, updates_root, sums_root).gas_used
        except ContractReverted as error:
            if error.name != "AlreadyProposed":
                raise
            return 0

    def finalise(self, outcome: Outcome, signatures: Mapping[int, bytes]) -> int:
        """Send an outcome; 0 gas where the round has ended already."""
        try:
            return self._chain.rounds.finalise(outcome, signatures).gas_used
        except ContractReverted as error:
            if error.name != "RoundNotOpen":
                raise
            return 0

    def abort(self, round_number: int) -> int:
        """End a round after its deadline; 0 gas where it has ended already."""
        try:
            return self._chain.rounds.abort(round_number).gas_used
        except ContractReverted as error:
            if error.name != "RoundNotOpen":
                raise
            return 0

    def sign(self, outcome: Outcome) -> bytes:
        """This member's EIP-712 signature (65 bytes)."""
        return self._chain.rounds.sign_outcome(outcome)

    def signed_by(self, outcome: Outcome, signature: bytes, address: bytes) -> bool:
        """Whether the signature is by this address."""
        try:
            signer = recover_outcome_signer(outcome, signature, self._chain.deployment)
        except BadArgument:
            return False
        return address_bytes(signer) == address
