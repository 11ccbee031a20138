# ruff: noqa: N818  (an error is named after what is wrong)
"""What can go wrong before or beside an audit. What is wrong with the audited model is a `Finding`, never an error.

AuditError (a MedweaveError)      2   the audit could not be carried out
├── NoEvidence                    3   a place named as evidence holds no blobs
├── IncoherentChain               2   the endpoint's events contradict each other
├── MalformedBlock                2   bytes that are no block, or not the one they are said to be
├── UnseenCreation                2   blocks that do not show how a contract came to be
├── IncompleteBundle              2   a bundle that lacks what it has to hold
├── BadBundle                     3   a file that is no bundle
└── TooManyAudits                 2   a node that is asked for more audits than it keeps waiting
"""

from __future__ import annotations

from node.errors import BadInput, MedweaveError


class AuditError(MedweaveError):
    """The audit could not be carried out; this says nothing about the model."""

    exit_code = 2


class NoEvidence(AuditError, BadInput):
    """A place named as evidence is neither a directory with blobs nor an http(s) address."""

    exit_code = 3

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(
            f"{place}: {reason}; expected a blob directory, a hospital's home, a run directory, or a node's http(s) address"
        )
        self.place = place


class IncoherentChain(AuditError):
    """The endpoint's events do not make up a history the contracts could have written."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the chain's events are incoherent: {what}; ask another endpoint")
        self.what = what


class MalformedBlock(AuditError):
    """A header, transaction or receipt is malformed, or is not what the header commits to."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.where = where
        self.problem = problem


class UnseenCreation(AuditError):
    """Blocks hold no plain transaction that created a contract."""

    def __init__(self, where: str) -> None:
        super().__init__(f"{where}: no transaction of type 2 in the blocks created it; read the chain itself instead")
        self.where = where


class IncompleteBundle(AuditError):
    """A bundle lacks a blob that has to be in it, or holds a damaged one."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}; `medweave audit verify` says more")


class BadBundle(AuditError, BadInput):
    """A file named as a bundle is none, or cannot be read or written."""

    exit_code = 3

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}; expected a file that `medweave audit export` wrote")
        self.path = path


class TooManyAudits(AuditError):
    """A node keeps only so many audits waiting."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} audits wait already; ask again when one of them is over")
        self.waiting = waiting
