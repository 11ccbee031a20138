"""What can be wrong with a signed request.

MedweaveError
└── BadSignedRequest    5   the signature fields of a request, or what they cover, do not hold
"""

from __future__ import annotations

from node.errors import PeerProblem


class BadSignedRequest(PeerProblem):
    """A request's signature is missing a part, is malformed, or does not cover what was sent; `field` names the part.

    Args:
        field: Header or parameter that is wrong.
        problem: What was found and what was expected.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
