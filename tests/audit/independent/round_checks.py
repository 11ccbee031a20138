"""The checks of one finalised round, links 4 to 9 and 13 to 15 (docs/spec/bundle.md, "What to check, link by link"; numbers are its)."""

import base64

import ledger
import sections
import suspicion
from common import SETS, Missing, canonical_json, demand, sized, two_thirds, word, words
from primitives import cid_text, keccak, merkle_root, recover, sha256, uncbor
from update_checks import Updates

OUTCOME = (b"Outcome(uint256 round,bytes32 base,bytes32 model,bytes32 plan,address leader,bytes32 proposal,"
           b"bytes32 updatesRoot,bytes32 sumsRoot,bytes32 statement,bytes32 seedMaterial)")  # fmt: skip
DOMAIN = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"


class Round(Updates):
    """One round; `bundle` gives blobs, `chain` what the events say."""

    def __init__(self, bundle, chain, number):
        self.bundle, self.chain, self.number, self.row = bundle, chain, number, chain.rounds[number]
        self.members = self.row.members
        self.quorum, self.seat = two_thirds(self.members), {account: seat for seat, account in self.members.items()}
        self.epoch_number = self.row.opened["epoch"]
        self.epoch = chain.epochs[self.epoch_number]
        self.about = {"v": 1, "consortium": chain.consortium, "epoch": self.epoch_number, "round": number}
        self.reveals = None

    def audit(self, check):
        """`check(link, work, *inputs)` runs one link on what earlier ones established, None where one of them broke."""
        signed = check("outcome", lambda: self.row.signed(self.chain.at["rounds"]))
        p = check("statement", self.statement, signed)
        check("envelope", self.envelope, p)
        plan = check("plan", self.plan, p)
        check("key", self.key, p, plan)
        txs = check("segment", self.segment, p)
        check("leader", self.leader, signed, txs)
        self.reveals = check("updates", self.updates, p, txs, plan, signed)
        opened = check("groups", self.groups, p, txs, plan)
        check("sums", self.sums, p, txs, signed, self.reveals, plan)
        check("openings", self.openings, p, txs, plan)
        check("verdicts", self.verdicts, p, txs, plan)
        check("outcome", self.outcome, p, signed, opened)
        return p

    def statement(self, signed):  # 4
        data = self.bundle.named(self.row.final["statement"])
        whole, final = canonical_json(data), self.row.final
        p = whole["predicate"]
        [subject] = whole["subject"]
        demand(
            subject == {"name": f"medweave-model-round-{self.number}", "digest": {"sha256": p["model"]["sha256"]}},
            "subject",
        )
        put = [x for x in self.row.proposals if (x["proposal"], x["leader"]) == (final["proposal"], final["leader"])]
        demand(put, "the leader never proposed this")
        said = {
            "consortium": self.chain.consortium.hex(), "chain_id": self.chain.id, "contract": "0x" + self.chain.at["rounds"].hex(),
            "round": self.number, "epoch": self.epoch_number, "seed": self.row.opened["seed"].hex(),
            "plan": self.row.opened["plan"].hex(), "base": final["base"].hex(), "leader": "0x" + final["leader"].hex(),
            "proposal": final["proposal"].hex(), "updates_root": put[0]["updatesRoot"].hex(),
            "sums_root": put[0]["sumsRoot"].hex(), "seed_material": signed["seedMaterial"].hex(),
            "parameter_set": SETS[self.epoch.parameters][0],
            "colluders_tolerated": max(0, min(len(group["updates"]) for group in p["groups"]) - 2),
        }  # fmt: skip
        wrong = [name for name, value in said.items() if p[name] != value]
        demand(not wrong, f"{wrong} are not the chain's")
        demand(p["model"]["sha256"] == final["model"].hex(), "model is not the chain's")
        demand(p["joint_key"]["digest"] == self.epoch.joint.hex(), "joint_key is not the epoch's")
        for name in ("updates", "verdicts"):
            ids = [item["id"] for item in p[name]]
            demand(ids == sorted(set(ids)), f"{name} do not ascend")
        return p

    def envelope(self, _p):  # 5
        data = self.bundle.envelope(self.number)
        if data is None:
            return  # no finding: the signatures under the outcome commit to the statement's digest
        envelope, body = canonical_json(data), self.bundle.named(self.row.final["statement"])
        demand(set(envelope) == {"payload", "payloadType", "signatures"}, "an envelope of another form")
        kind = b"application/vnd.in-toto+json"
        demand(envelope["payloadType"].encode() == kind, "another type of payload")
        demand(base64.b64decode(envelope["payload"], validate=True) == body, "the payload is another statement")
        digest = sha256(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(body), body))
        signers = []
        for entry in envelope["signatures"]:
            s = base64.b64decode(entry["sig"], validate=True)
            account = recover(digest, int.from_bytes(s[:32], "big"), int.from_bytes(s[32:64], "big"), s[64])
            demand(len(s) == 65 and entry["keyid"] == "0x" + account.hex(), "a signature is another's")
            signers.append(account)
        demand(
            signers == sorted(set(signers)) and set(signers) <= self.seat.keys(), "signers are no members, or repeated"
        )
        demand(len(signers) >= self.quorum, "signers are too few")

    def plan(self, p):  # 6
        plan = canonical_json(self.bundle.named(self.row.opened["plan"]))
        demand(plan["parameter_set"] == SETS[self.epoch.parameters][0] == p["parameter_set"], "another parameter set")
        plan["threshold"] = plan["threshold"] or -(-2 * len(self.epoch.members) // 3)
        demand(
            plan["threshold"] == self.epoch.threshold and plan["min_group"] == p["min_group"],
            "another threshold or group",
        )
        most = min(8, plan["min_group"]) if plan.get("defence", "votes") == "suspicion" else 1
        demand(1 <= plan.get("sections", 1) <= most, f"sections may be {most} at most")
        return plan

    def key(self, p, plan):  # 7
        epoch, seats = self.epoch, sorted(self.epoch.members)
        backing = sum(digest == epoch.joint for digest in epoch.confirmed.values())
        demand(epoch.joint and backing >= max(plan["threshold"], self.quorum), "too few members confirmed the key")
        key = self.bundle.blob(p["joint_key"]["cid"])
        _, n, primes, _ = SETS[epoch.parameters]
        head = b"MWJK\1\0\0\0" + epoch.parameters + self.chain.consortium + self.epoch_number.to_bytes(8, "little")
        head += len(seats).to_bytes(2, "little") + epoch.threshold.to_bytes(2, "little") + bytes(4)
        demand(sha256(key) == epoch.joint and key[: len(head)] == head, "the joint key is another")
        try:
            headers = [self.bundle.named(epoch.dealt[epoch.members[seat]]) for seat in seats]
            shares = [
                words(self.bundle.blob(cid_text(b"\x01\x55\x12\x20" + uncbor(header)["public"]))) for header in headers
            ]
        except Missing:
            return  # nothing is said about dealings that are not all at hand
        parts = [
            epoch.parameters,
            self.chain.consortium,
            f"{self.epoch_number},{epoch.threshold},{len(seats)}".encode(),
        ]
        terms = b"".join(map(sized, parts + [epoch.announced[epoch.members[seat]] for seat in seats]))
        for place, (seat, header) in enumerate(zip(seats, headers, strict=True)):
            fields = uncbor(header)
            demand(
                fields["dealer"] == place and fields["terms"] == sha256(b"medweave/terms/1" + terms), f"dealing {place}"
            )
            committed = epoch.committed[epoch.members[seat]]
            demand(
                sha256(b"medweave/commitment/1" + sized(header)) == committed,
                f"dealing {place} is not what was committed to",
            )
        total = [sum(column) % primes[at // n] for at, column in enumerate(zip(*shares, strict=True))]
        demand(total == list(words(key[len(head) + 32 :])), "the joint key is not the sum of the public shares")
        transcript = sha256(b"medweave/transcript/1" + b"".join(map(sized, headers)))
        demand(key[len(head) : len(head) + 32] == transcript, "the transcript is another")

    def segment(self, p):  # 8
        txs = {}
        for raw in uncbor(self.bundle.blob(p["segment"]))["transactions"]:
            tx = ledger.Transaction(raw)
            demand(not txs or tx.id > max(txs), "transactions do not ascend")
            demand(tx.consortium == self.chain.consortium, "a transaction of another consortium")
            demand(
                tx.issuer in (self.seat if tx.round == self.number else self.chain.accounts),
                f"{tx.id.hex()}: no member's",
            )
            row = self.chain.rounds.get(tx.round)
            demand(row and row.opened["epoch"] == tx.epoch, f"{tx.id.hex()} is of no round of the chain")
            txs[tx.id] = tx
        self.proposal = proposal = txs.get(bytes.fromhex(p["proposal"]))
        demand(proposal and (proposal.kind, proposal.round) == ("proposal", self.number), "the proposal is not in it")
        later = {i: tx for i, tx in txs.items() if tx.round >= self.number}
        ids = sorted(i for i in ledger.cone(later, proposal) if txs[i].round == self.number)
        demand(merkle_root(ids).hex() == p["ledger_root"], "ledger_root is another")
        body = proposal.body
        same = {
            "issuer": p["leader"] == "0x" + proposal.issuer.hex(),
            "updates": [u["id"] for u in p["updates"]] == [i.hex() for i in body["updates"]],
            "reveals": p["reveals"] == [i.hex() for i in body["reveals"]],
            "groups": [g["updates"] for g in p["groups"]] == body["groups"],
            "sums": [g["sum"] for g in p["groups"]] == [cid_text(cid) for cid in body["sums"]],
            "openers": p["openers"] == body["openers"],
            "roots": (p["updates_root"], p["sums_root"]) == (body["updates_root"].hex(), body["sums_root"].hex()),
        }
        demand(all(same.values()), f"the proposal says otherwise: {[name for name, yes in same.items() if not yes]}")
        return txs

    def leader(self, signed, _txs):  # 9
        account, roots = self.row.final["leader"], (signed["updatesRoot"], signed["sumsRoot"])
        demand(account in self.seat, "the leader is no member")
        put = [
            (x["updatesRoot"], x["sumsRoot"])
            for x in self.row.proposals
            if (x["leader"], x["proposal"]) == (account, self.proposal.id)
        ]
        demand(put == [roots], "the leader proposed other roots")
        demand(ledger.ranking(self.row).index(account) <= self.proposal.body["attempt"], "its turn had not come")

    def openings(self, p, txs, plan):  # 13
        openers = p["openers"]
        demand(
            len(set(openers)) == len(openers) == plan["threshold"] and set(openers) <= self.members.keys(),
            "the openers",
        )
        demand(len(p["shares"]) == len(openers), "a share is missing, or one too many")
        for seat, i in zip(openers, map(bytes.fromhex, p["shares"]), strict=True):
            tx = txs.get(i)
            demand(tx and (tx.kind, tx.round) == ("share", self.number), f"share {i.hex()} is not in the segment")
            demand(
                tx.body == {"proposal": self.proposal.id, "member": seat} and self.seat[tx.issuer] == seat,
                f"share {i.hex()}",
            )
            manifest = uncbor(self.bundle.blob(cid_text(tx.payload)))
            said = self.about | {"kind": "share", "proposal": self.proposal.id, "member": seat}
            demand(
                all(manifest[name] == value for name, value in said.items()), "a share manifest is about something else"
            )
            demand(len(manifest["groups"]) == len(p["groups"]), "a share manifest of other groups")

    def verdicts(self, p, txs, plan):  # 14
        demand(
            len({v["issuer"] for v in p["verdicts"]}) == len(p["verdicts"]) >= self.quorum,
            "verdicts are too few or repeated",
        )
        root = bytes.fromhex(p["sums_root"])
        about = {x["proposal"] for x in self.row.proposals if x["sumsRoot"] == root} | {self.proposal.id}
        bodies = []
        for v in p["verdicts"]:
            tx = txs.get(bytes.fromhex(v["id"]))
            demand(tx and (tx.kind, tx.round) == ("verdict", self.number), f"verdict {v['id']} is not in the segment")
            demand(
                v["issuer"] == "0x" + tx.issuer.hex() and tx.body["proposal"] in about,
                f"verdict {v['id']} is another's",
            )
            demand(len(tx.body["accept"]) == len(p["groups"]), f"verdict {v['id']} votes on other groups")
            bodies.append(tx.body)
        groups = range(len(p["groups"]))
        accepted = [2 * sum(not body["accept"][g] for body in bodies) <= len(bodies) for g in groups]
        if plan.get("defence", "votes") != "votes":
            kept = [[g for g in own if accepted[g]] for own in sections.part(groups, self.sections(p, plan))]
            behind = set().union(*(suspicion.lagging(bodies, own, self.quorum) for own in kept))
            accepted = [yes and g not in behind for g, yes in enumerate(accepted)]
        demand(accepted == [group["accepted"] for group in p["groups"]], "the votes decide otherwise")
        demand(any(accepted) or p["model"]["sha256"] == p["base"], "no group was accepted, yet the model is new")

    def outcome(self, p, signed, opened):  # 15
        final = self.row.final
        same = all(
            final[name] == signed[name]
            for name in ("round", "base", "model", "leader", "proposal", "statement", "signers")
        )
        demand(same and signed["plan"] == self.row.opened["plan"], "the call and the event differ")
        domain = [keccak(DOMAIN), keccak(b"Medweave"), keccak(b"1"), self.chain.id, self.chain.at["rounds"]]
        names = (
            "round",
            "base",
            "model",
            "plan",
            "leader",
            "proposal",
            "updatesRoot",
            "sumsRoot",
            "statement",
            "seedMaterial",
        )
        struct = keccak(keccak(OUTCOME) + b"".join(word(signed[name]) for name in names))
        digest = keccak(b"\x19\x01" + keccak(b"".join(map(word, domain))) + struct)
        accounts = self.row.accounts
        seats = [seat for seat in range(256) if signed["signers"] >> seat & 1]
        demand(len(seats) == len(signed["signatures"]) and len(seats) >= two_thirds(accounts), "signers are too few")
        for seat, s in zip(seats, signed["signatures"], strict=True):
            signer = recover(digest, int.from_bytes(s[:32], "big"), int.from_bytes(s[32:64], "big"), s[64] - 27)
            demand(signer == accounts.get(seat), f"the signature for seat {seat} is another's")
        material = sha256(b"medweave/seed" + b"".join(opened) + bytes.fromhex(p["ledger_root"]))
        demand(material == signed["seedMaterial"], "seedMaterial is another")
