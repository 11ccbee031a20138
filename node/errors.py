# ruff: noqa: N818 - names say what is wrong; the tree says that they are errors
"""Errors a person meets, each with the exit code the command line ends with.

    MedweaveError
    ├── BadInput            3   a file, option or setting the user gave
    │   ├── BadConfig
    │   ├── BadMotion           what is put to the members' vote, or a signature under it
    │   └── BadPlan
    ├── BadEnvironment      4   this machine: a port in use, no anvil, a full disk
    ├── PeerProblem         5   another node or the chain cannot be reached in time
    │   └── PeerBusy                a caller has too much waiting here
    ├── RoundProblem        1   a round did not reach what was asked of it
    │   ├── LyingPeer           bytes from a member that contradict what was verified
    │   └── PolicyRefusal       this hospital's own policy forbids the step
    ├── WorkProblem         1   the process that trains or answers failed; what it did is tried again
    │   ├── WorkerLost          it was killed, or memory ran out
    │   ├── WorkTooSlow         no answer in time
    │   └── WorkerBusy          too much waits for it already
    └── WrongPassword       3

Exit codes of every command: 0 done; 1 the thing checked is false, or the job failed; 2 it could not be checked, or the
command line was wrong; 3 bad input; 4 the machine lacks something; 5 a peer or the chain is out of reach; 130 interrupted.
"""

from __future__ import annotations


class MedweaveError(Exception):
    """Root of everything a command reports as one line; `exit_code` is what the process ends with."""

    exit_code = 1


class BadInput(MedweaveError):
    """A file, option or setting the user gave cannot be used; the message says which and what to do."""

    exit_code = 3


class BadConfig(BadInput):
    """A node's configuration is missing, unreadable or contradicts itself."""


class BadMotion(BadInput):
    """A motion, a signature under one, or a request to join is malformed; the message names the field."""


class BadPlan(BadInput):
    """A training plan fails validation; the message names the field."""


class WrongPassword(BadInput):
    """The keystore password does not open the hospital's secrets."""


class BadEnvironment(MedweaveError):
    """The machine lacks something the command needs: a free port, the anvil binary, disk space."""

    exit_code = 4


class PeerProblem(MedweaveError):
    """Another node or the chain could not be reached, or did not answer in time."""

    exit_code = 5


class PeerBusy(PeerProblem):
    """A caller has too much waiting at this node, or lost its standing; it may call again later."""


class RoundProblem(MedweaveError):
    """A round did not reach what was asked of it."""


class LyingPeer(RoundProblem):
    """Bytes from a member contradict what was verified; `evidence` names them.

    Args:
        message: What was wrong and where.
        evidence: Identifiers a third party can check (CIDs, transaction ids), as text.
    """

    def __init__(self, message: str, **evidence: str) -> None:
        super().__init__(message)
        self.evidence = evidence


class PolicyRefusal(RoundProblem):
    """This hospital's policy forbids the step (for example a second, differing opening in one round)."""


class WorkProblem(MedweaveError):
    """The process that trains or answers for this node failed; what it was asked is tried again."""


class WorkerLost(WorkProblem):
    """The process was killed or ran out of memory; it is started anew, and training goes on from its last checkpoint."""


class WorkTooSlow(WorkProblem):
    """The process gave no answer in time and was stopped."""


class WorkerBusy(WorkProblem):
    """Too much waits for the process already; ask again later."""
