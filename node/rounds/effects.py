"""What a round can ask its hospital to do. Each is idempotent: done twice, it has the effect of once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReadPlan:
    """Fetch the plan by its digest, check it against this hospital's policy."""


@dataclass(frozen=True)
class TrainAndSeal:
    """Train locally from the base model, clip, weight, quantise, encrypt, store; steps 2 and 3."""


@dataclass(frozen=True)
class PostUpdate:
    """Attach this hospital's update to the ledger and announce it; step 4."""


@dataclass(frozen=True)
class Approve:
    """Attach an acknowledgement whose past cone holds this update; step 5."""

    update: bytes


@dataclass(frozen=True)
class Close:
    """Attach the acknowledgement that ends this member's list of the round's updates; step 5."""


@dataclass(frozen=True)
class Reveal:
    """Attach an acknowledgement that reveals the value this member committed to, above the closes of a quorum; step 5."""


@dataclass(frozen=True)
class Unlock:
    """Unlock a revealed update and look at its ciphertexts; step 6."""

    update: bytes


@dataclass(frozen=True)
class Propose:
    """Add the listable updates in groups, attach the proposal, anchor it on chain; step 6."""

    attempt: int
    updates: tuple[bytes, ...]
    """Updates to wait for; of a repeat exactly those to list."""
    reveals: tuple[bytes, ...]
    """Of a repeat exactly those to list, else none."""
    repeats: bool
    """A verified proposal stalled: propose its very updates and reveals again, with other openers."""


@dataclass(frozen=True)
class VerifyProposal:
    """Recompute every sum of a proposal from the blobs and compare bytes; step 7."""

    proposal: bytes


@dataclass(frozen=True)
class ReleaseShare:
    """Post this member's partial openings of a verified proposal; step 7."""

    proposal: bytes


@dataclass(frozen=True)
class OpenAndScore:
    """Combine the shares, apply each group's delta, measure on held-out images; step 8."""

    proposal: bytes
    shares: tuple[bytes, ...]


@dataclass(frozen=True)
class PostVerdict:
    """Attach the scores to the ledger; step 8."""


@dataclass(frozen=True)
class WriteStatement:
    """Decide by the verdicts, derive the model, store model and statement, sign it; step 9."""

    proposal: bytes
    verdicts: tuple[bytes, ...]


@dataclass(frozen=True)
class VerifyStatement:
    """Derive the model from another member's statement and compare; step 9."""

    statement: bytes
    proposal: bytes


@dataclass(frozen=True)
class PostCheckpoint:
    """Attach this member's EIP-712 signature under the endorsed statement; step 9."""

    statement: bytes


@dataclass(frozen=True)
class Finalise:
    """Send the outcome with the collected signatures to the chain; step 9."""

    statement: bytes


@dataclass(frozen=True)
class Abort:
    """End a round whose deadline has passed; its base carries over; step 10."""


@dataclass(frozen=True)
class Adopt:
    """Bring the finalised model into this hospital's store; step 10."""

    model: bytes
    statement: bytes


Effect = (
    ReadPlan
    | TrainAndSeal
    | PostUpdate
    | Approve
    | Close
    | Reveal
    | Unlock
    | Propose
    | VerifyProposal
    | ReleaseShare
    | OpenAndScore
    | PostVerdict
    | WriteStatement
    | VerifyStatement
    | PostCheckpoint
    | Finalise
    | Abort
    | Adopt
)
