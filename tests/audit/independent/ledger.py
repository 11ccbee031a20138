"""What the ledger's bytes say: transactions, cones, what may be listed, draws (docs/spec/ledger.md and round.md)."""

import hashlib
from itertools import accumulate
from math import gcd

from primitives import Link, cbor, keccak, recover, sha256, uncbor

BODIES = {
    "update": {"weight_ppm", "samples", "slots", "commitment", "parameter_set", "layout"},
    "acknowledgement": {"reveal", "close"},
    "proposal": {"updates", "reveals", "groups", "sums", "openers", "attempt", "updates_root", "sums_root"},
    "share": {"proposal", "member"},
    "verdict": {"proposal", "scores_ppm", "base_ppm", "accept", "samples"},
    "checkpoint": {"proposal", "model", "statement", "outcome_signature", "statement_signature", "root"},
}
FIELDS = {"format", "kind", "consortium", "epoch", "round", "sequence", "parents", "payload", "body", "signature"}
POINTING = {"alignment_ppm", "descent_ppm"}
AN_ID = b"\x01\x71\x12\x20"


def _pointing_is_well_formed(kind, body):
    """Both numbers of where sums point, as many as scores, in a verdict; or neither."""
    stated = POINTING & set(body)
    count = len(body["scores_ppm"]) if kind == "verdict" else 0
    return not stated or (stated == POINTING and count > 0 and all(len(body[name]) == count for name in POINTING))


class Transaction:
    """One transaction, its form and signature checked."""

    def __init__(self, raw):
        fields = uncbor(raw)
        if (
            set(fields) - {"nonce"} != FIELDS
            or fields["format"] != 1
            or set(fields["body"]) - POINTING != BODIES.get(fields["kind"])
            or not _pointing_is_well_formed(fields["kind"], fields["body"])
        ):
            raise ValueError("a transaction of another form")
        self.raw, self.id = raw, sha256(raw)
        for name in ("kind", "consortium", "epoch", "round", "sequence", "payload", "body"):
            setattr(self, name, fields[name])
        if any(not isinstance(parent, Link) or parent[:4] != AN_ID for parent in fields["parents"]):
            raise ValueError("a parent is no transaction")
        self.parents = [bytes(parent[4:]) for parent in fields["parents"]]
        if len(self.parents) != 2:
            raise ValueError("not two parents")
        signature = fields.pop("signature")
        digest = sha256(b"medweave/transaction/1\x00" + cbor(fields))
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
        self.issuer = recover(digest, r, s, signature[64])


def cone(txs, head, *, within=None):
    """Ids of a transaction and its ancestors, as far as they are at hand; `within` a round, through that round alone."""
    reached, queue = set(), [head.id]
    while queue:
        tx = txs.get(queue.pop())
        if tx is not None and tx.id not in reached and within in {None, tx.round}:
            reached.add(tx.id)
            queue += tx.parents
    return reached


def void(txs, inside, number):
    """Issuers with two contradicting transactions in a cone, one of them of this round or later."""
    seen, out = {}, set()
    for tx in (txs[i] for i in inside):
        keys = [("sequence", tx.sequence)]
        if tx.kind == "update" or (tx.kind == "acknowledgement" and tx.body["close"]):
            keys.append((tx.kind, tx.round))
        if tx.kind in {"share", "verdict", "checkpoint"}:
            keys.append((tx.kind, tx.body["proposal"]))
        for key in keys:
            other = seen.setdefault((tx.issuer, *key), tx)
            if other is not tx and max(tx.round, other.round) >= number:
                out.add(tx.issuer)
    return out


def listable(txs, head, number, quorum):
    """Updates that the ledger's rules let a proposal with this head list, each with its revealed value."""
    inside = cone(txs, head)
    nobody = void(txs, inside, number)
    mine = [txs[i] for i in sorted(inside) if txs[i].round == number and txs[i].issuer not in nobody]
    covers = {}
    for close in (tx for tx in mine if tx.kind == "acknowledgement" and tx.body["close"]):
        for i in cone(txs, close, within=number):
            covers.setdefault(i, set()).add(close.issuer)
    out = {}
    for tx in (tx for tx in mine if tx.kind == "update" and len(covers.get(tx.id, ())) >= quorum):
        said = [
            a.body["reveal"] for a in mine if a.kind == "acknowledgement" and a.issuer == tx.issuer and a.body["reveal"]
        ]
        opening = [reveal for reveal in said if sha256(b"medweave/reveal" + reveal) == tx.body["commitment"]]
        if opening:
            out[tx.id] = opening[0]
    return out


def repeated(txs, proposal, row):
    """The proposals on chain, in this one's cone, with the same updates and reveals: one that listed what it may excuses this."""
    on_chain = {put["proposal"] for put in row.proposals}
    before = (txs[i] for i in sorted(cone(txs, proposal) - {proposal.id}))
    found = [tx for tx in before if tx.kind == "proposal" and tx.id in on_chain and tx.round == proposal.round]
    return [tx for tx in found if all(tx.body[key] == proposal.body[key] for key in ("updates", "reveals"))]


def draw(seed, positions, smallest, *, rest=False):
    """Groups of these positions, each of `smallest` or more; `rest`: one that could be spared stays out of a single group."""
    order, words = list(positions), _words(seed)
    for i in range(len(order) - 1, 0, -1):
        bound = i + 1
        word = next(word for word in words if word < 2**64 - 2**64 % bound)
        order[i], order[word % bound] = order[word % bound], order[i]
    many = len(order) // smallest
    if rest and many == 1 and len(order) > smallest:
        order = order[1:]
    return sorted(sorted(order[group::many]) for group in range(many))


def _words(seed):
    block = 0
    while True:
        stream = hashlib.shake_256(b"medweave/draw" + seed + block.to_bytes(8, "big")).digest(512)
        yield from (int.from_bytes(stream[at : at + 8], "big") for at in range(0, 512, 8))
        block += 1


def ranking(row):
    """Accounts of the round's members, best leader first."""
    weights = {account: row.reputations[account] for account in sorted(row.members.values())}
    shared = gcd(*weights.values()) or 1
    line, ranks, seed = {a: w // shared for a, w in weights.items() if w}, [], row.opened["seed"]
    for k in range(len(line)):
        x = int.from_bytes(keccak(seed + k.to_bytes(32, "big")), "big") % sum(line.values())
        sums = zip(line, accumulate(line.values()), strict=True)
        ranks.append(next(account for account, reached in sums if reached > x))
        del line[ranks[-1]]
    return ranks + [account for account in weights if account not in ranks]
