"""How this node calls others: requests signed as a member, TLS, one factory of clients. Servers check with the same code."""

from node.calling.clients import BearerAuth, Dialer, MemberAuth
from node.calling.errors import BadSignedRequest

__all__ = ["BadSignedRequest", "BearerAuth", "Dialer", "MemberAuth"]
