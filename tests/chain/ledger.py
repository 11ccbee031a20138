"""What members sign on the ledger, made by the ledger's own code, for proofs that the contracts decide."""

from __future__ import annotations

from dataclasses import dataclass

from chain.conduct import Place, ProposalOnRecord
from dag.bodies import AcknowledgementBody, Kind, ProposalBody, ShareBody, UpdateBody, commit, proposal_roots
from dag.ids import RAW, cid_bytes, cid_text
from dag.proofs import merkle
from dag.transaction import Transaction, Unsigned, sign
from tests.chain.support import PARAMETERS, digest

REVEAL = digest("reveal")
BLOB = cid_text(cid_bytes(RAW, digest("blob")))


@dataclass
class Writer:
    """One member's pen: signs whatever it is told, counting its own transactions."""

    key: bytes
    consortium: bytes
    round: int = 1
    epoch: int = 1
    sequence: int = 0

    def update(self, nonce: bytes | None = None, **changes: object) -> Transaction:
        body = UpdateBody(
            weight_ppm=500_000,
            samples=100,
            slots=2,
            commitment=commit(REVEAL),
            parameter_set=PARAMETERS[:16],
            layout=digest("layout"),
        )
        return self.sign(Kind.UPDATE, body, (digest("p"), digest("q")), payload=BLOB, nonce=nonce, **changes)

    def close(self, parent: Transaction) -> Transaction:
        return self.sign(Kind.ACKNOWLEDGEMENT, AcknowledgementBody(None, close=True), (parent.id, digest("q")))

    def reveal(self, parent: Transaction) -> Transaction:
        return self.sign(Kind.ACKNOWLEDGEMENT, AcknowledgementBody(REVEAL), (parent.id, digest("q")))

    def acknowledge(self, parent: Transaction) -> Transaction:
        return self.sign(Kind.ACKNOWLEDGEMENT, AcknowledgementBody(None), (parent.id, parent.id))

    def share(self, proposal: bytes) -> Transaction:
        return self.sign(Kind.SHARE, ShareBody(proposal, 0), (proposal, proposal), payload=BLOB)

    def propose(self, updates: tuple[bytes, ...], past: Transaction) -> Transaction:
        listed = tuple(sorted(updates))
        groups, sums = (tuple(range(len(listed))),), (BLOB,)
        roots = proposal_roots(listed, sums)
        body = ProposalBody(listed, (), groups, sums, (0, 1, 2), 0, *roots)
        return self.sign(Kind.PROPOSAL, body, (past.id, past.id))

    def sign(
        self,
        kind: Kind,
        body: object,
        parents: tuple[bytes, bytes],
        payload: str | None = None,
        nonce: bytes | None = None,
        **changes: object,
    ) -> Transaction:
        self.sequence += 1
        values = {
            "kind": kind,
            "consortium": self.consortium,
            "epoch": self.epoch,
            "round": self.round,
            "sequence": self.sequence,
            "parents": parents,
            "payload": payload,
            "body": body,
            "nonce": nonce,
        }
        return sign(Unsigned(**{**values, **changes}), self.key)  # type: ignore[arg-type]


def on_record(proposal: Transaction, leader: str) -> ProposalOnRecord:
    """What the chain stores of a proposal."""
    body = proposal.body
    return ProposalOnRecord(proposal.round, leader, proposal.id, body.updates_root, body.sums_root)  # type: ignore[attr-defined]


def place(leaves: tuple[bytes, ...], index: int) -> Place:
    """Where a leaf stands, proven."""
    return Place(leaves[index], index, merkle.inclusion_proof(leaves, index).path)
