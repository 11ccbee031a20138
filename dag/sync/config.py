"""Limits and times of the exchange between nodes. What protects memory is a limit here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SyncConfig:
    """Times in seconds, sizes in what each line says. The defaults are a hospital's daemon.

    Attributes:
        coalesce_seconds: after a push to a peer, further own transactions wait so long for company.
        relay: how many peers are told the id of a transaction that another member made; 0 leaves that to frontiers.
        relay_seconds: how long such ids wait for company.
        frontier_seconds: mean pause between two comparisons of frontiers; each asks one peer.
        request_seconds: time for an answer; doubled for each one missed in a row, up to four times that.
        retry_seconds: first pause before something failed is tried again; doubled each time, half of it by lot.
        longest_seconds: the longest such pause.
        max_attempts: after so many rounds through all peers an id that nobody has is given up until it is met again.
        quantum: units of work a peer earns a turn; a unit is about one transaction verified or served.
        work_units: most units served between two commits.
        lane_messages: most messages of one peer that wait to be served.
        lane_bytes: most bytes of them.
        total_bytes: most bytes of waiting messages of all peers; beyond it only peers with nothing waiting may add.
        max_peers: most peers that are kept apart.
        max_wants: most ids asked for or about to be.
        wants_per_peer: most of them because of one peer's word.
        requests_per_peer: most requests under way to one peer.
        max_held: most transactions held back for later, such as those of a round not known yet.
        held_per_peer: most of them from one peer.
        max_checks: most payload checks under way, and at most one of an issuer.
        max_unchecked: most transactions that wait for their payload to be checked.
        max_remembered: most ids remembered as refused, and as waiting for parents (each).
        max_known: most ids that one peer is remembered to have.
        max_own: most own transactions whose spreading is followed.
        half_life_seconds: in which half of a peer's penalties are forgiven.
        floor: penalty points from which on a peer is ignored.
        ignore_seconds: for how long, the first time; doubled each time, up to sixteen times that. Never for good.
        gap: a peer that holds so many transactions more is caught up with by pages, not by parents.
        chase: so are parents missing beyond so many generations.
        page: most transactions in a page served.
        segments: pages asked for ahead, each of another peer if possible.
        anchors_per_segment: anchored rounds that one segment spans.
    """

    coalesce_seconds: float = 0.02
    relay: int = 3
    relay_seconds: float = 0.25
    frontier_seconds: float = 1.0
    request_seconds: float = 2.0
    retry_seconds: float = 0.5
    longest_seconds: float = 30.0
    max_attempts: int = 4
    quantum: int = 64
    work_units: int = 256
    lane_messages: int = 256
    lane_bytes: int = 4 * 1024 * 1024
    total_bytes: int = 64 * 1024 * 1024
    max_peers: int = 1024
    max_wants: int = 8192
    wants_per_peer: int = 2048
    requests_per_peer: int = 2
    max_held: int = 4096
    held_per_peer: int = 1024
    max_checks: int = 8
    max_unchecked: int = 256
    max_remembered: int = 8192
    max_known: int = 1024
    max_own: int = 4096
    half_life_seconds: float = 60.0
    floor: float = 100.0
    ignore_seconds: float = 30.0
    gap: int = 64
    chase: int = 12
    page: int = 256
    segments: int = 4
    anchors_per_segment: int = 8


MALFORMED = 40.0
"""Penalty for bytes that are no message, or a transaction that is none."""
INVALID = 25.0
"""Penalty for a transaction that the rules refuse: an honest peer would not have it."""
UNSOLICITED = 10.0
"""Penalty for an answer that was not asked for."""
UNANSWERED = 5.0
"""Penalty for an answer that did not come in time."""
BARREN = 15.0
"""Penalty for an answer with nothing in it that was asked for."""
EARLY = 5.0
"""Penalty for a signer who is no member: the chain may have told the peer of one before us."""
FALSE_PAYLOAD = 10.0
"""Penalty for passing on a transaction whose payload is not what it says."""
