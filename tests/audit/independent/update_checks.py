"""What went into a round's sums: links 10, 11 and 12 (docs/spec/bundle.md, "What to check, link by link")."""

import sys
from array import array

import ledger
import sections
import suspicion
from common import SETS, canonical_json, demand, derive, words
from primitives import cbor, cid_bytes, cid_text, merkle_root, open_sealed, sha256, uncbor


class Updates:
    """The part of a round's checks that reads updates and adds them."""

    def updates(self, p, txs, plan, signed):  # 10
        demand(len({u["issuer"] for u in p["updates"]}) == len(p["updates"]), "an issuer twice")
        cap = max(self.row.sizes.values())
        for u in p["updates"]:
            tx = txs.get(bytes.fromhex(u["id"]))
            demand(tx and (tx.kind, tx.round) == ("update", self.number), f"update {u['id']} is not in the segment")
            body, size = tx.body, self.row.sizes[self.seat[tx.issuer]]
            same = (body["weight_ppm"], body["samples"], "0x" + tx.issuer.hex(), cid_text(tx.payload))
            demand(
                same == (u["weight_ppm"], u["samples"], u["issuer"], u["manifest"]), f"update {u['id']} says otherwise"
            )
            weight = 10**6 * body["slots"] * min(body["samples"], size, cap) // (plan["epochs"] * cap)
            demand(body["slots"] <= plan["epochs"] and body["weight_ppm"] == max(1, weight), f"weight of {u['id']}")
        ids = [bytes.fromhex(u["id"]) for u in p["updates"]]
        demand(merkle_root(ids) == signed["updatesRoot"], "updates_root is another")
        heads = [self.proposal, *ledger.repeated(txs, self.proposal, self.row)]
        for at, head in enumerate(heads):
            try:
                return self.listed(ids, ledger.listable(txs, head, self.number, self.quorum), txs)
            except ValueError:
                if at == len(heads) - 1:
                    raise
        return None

    def listed(self, ids, listable, txs):
        """What one head may list, where that is what is listed."""
        demand(set(ids) <= listable.keys(), "an update is listed that may not be")
        for left in listable.keys() - set(ids):
            try:
                self.chunks(txs[left], listable[left])
            except ValueError:
                continue  # it unlocks to no ciphertext
            raise ValueError(f"update {left.hex()} was left out")
        return listable

    def groups(self, p, txs, plan):  # 11
        inside, opened = ledger.cone(txs, self.proposal), {}
        by_issuer = {u["issuer"]: txs[bytes.fromhex(u["id"])] for u in p["updates"]}
        for i in map(bytes.fromhex, p["reveals"]):
            demand(
                i in inside and txs[i].kind == "acknowledgement" and txs[i].body["reveal"],
                f"reveal {i.hex()} is not in the cone",
            )
            issuer, reveal = "0x" + txs[i].issuer.hex(), txs[i].body["reveal"]
            demand(issuer in by_issuer and issuer not in opened, f"reveal {i.hex()} is nobody's, or a second one")
            demand(
                sha256(b"medweave/reveal" + reveal) == by_issuer[issuer].body["commitment"],
                f"reveal {i.hex()} opens nothing",
            )
            opened[issuer] = reveal
        demand(len(opened) == len(p["updates"]), "an update without a reveal")
        values = sorted(set(opened.values()))
        seed = sha256(
            b"medweave/groups" + self.row.opened["seed"] + bytes.fromhex(p["updates_root"]) + b"".join(values)
        )
        seats = [self.seat[bytes.fromhex(u["issuer"][2:])] for u in p["updates"]]
        defence = plan.get("defence", "votes")
        past = self.past() if defence != "votes" else []
        out, rest = suspicion.drawing(past, set(self.seat.values()), set(seats), plan["min_group"], defence)
        positions = [at for at, seat in enumerate(seats) if seat not in out]
        seeds = [seed] + [sha256(b"medweave/section" + seed + bytes([s])) for s in range(1, self.sections(p, plan))]
        drawn = [group for own in seeds for group in ledger.draw(own, positions, plan["min_group"], rest=rest)]
        demand(drawn and drawn == [g["updates"] for g in p["groups"]], "the groups are others")
        self.one_partition(p, txs)
        return values

    def sections(self, p, plan):
        """How many sections the updates are summed in: no more than the plan says, or than they have chunks."""
        if plan.get("sections", 1) == 1:
            return 1
        [chunks] = {len(uncbor(self.bundle.blob(u["manifest"]))["chunks"]) for u in p["updates"]}
        return min(plan["sections"], chunks)

    def one_partition(self, p, txs):
        """Nobody gave shares for two partitions of the round, and fewer than T for any but this one."""
        names, given = ("updates_root", "sums_root"), {}
        for tx in (tx for tx in txs.values() if (tx.kind, tx.round) == ("share", self.number)):
            about = txs.get(tx.body["proposal"])
            if about is not None and about.kind == "proposal":
                roots = tuple(about.body[name].hex() for name in names)
                demand(given.setdefault(tx.issuer, roots) == roots, f"share {tx.id.hex()} opened a second partition")
        others = [roots for roots in given.values() if roots != tuple(p[name] for name in names)]
        most = max((others.count(roots) for roots in others), default=0)
        demand(most < len(set(p["openers"])), "another partition was opened")

    def past(self):
        """What `suspicion.drawing` takes of the finalised rounds before, oldest first."""
        found = []
        for number, row in sorted(self.chain.rounds.items()):
            if not row.final or number >= self.number:
                continue
            p = canonical_json(self.bundle.named(row.final["statement"]))["predicate"]
            bodies = {
                sha256(raw): uncbor(raw)["body"] for raw in uncbor(self.bundle.blob(p["segment"]))["transactions"]
            }
            seat = {account: seat for seat, account in row.members.items()}
            seats = [seat[bytes.fromhex(u["issuer"][2:])] for u in p["updates"]]
            groups = [{seats[at] for at in group["updates"]} for group in p["groups"]]
            counted = {seat[bytes.fromhex(v["issuer"][2:])]: bodies[bytes.fromhex(v["id"])] for v in p["verdicts"]}
            accepted = [group["accepted"] for group in p["groups"]]
            found.append((groups, accepted, counted, set(seats).difference(*groups)))
        return found

    def chunks(self, tx, reveal, section=0, count=1):
        """Words of an update's chunks of one section, unlocked and found sound; the number of values of each."""
        manifest = uncbor(self.bundle.blob(cid_text(tx.payload)))
        said = (
            self.about | {"kind": "update", "issuer": tx.issuer} | {k: tx.body[k] for k in ("parameter_set", "layout")}
        )
        demand(
            all(manifest[name] == value for name, value in said.items()), "an update manifest is about something else"
        )
        _, n, primes, most = SETS[manifest["parameter_set"]]
        cids, size, out = manifest["chunks"], manifest["size"], []
        demand(
            len(cids) == -(-size // most) and len(set(cids)) == len(cids), "chunks are too many, too few or repeated"
        )
        lock = derive(reveal, b"update lock", tx.issuer, self.number.to_bytes(8, "big"))
        for at in sections.places(section, count, len(cids)):
            data = self.bundle.blob(cid_text(cids[at]))
            about = {"kind": f"update/{at}", "epoch": self.epoch_number, "round": self.number, "issuer": tx.issuer}
            demand(data[:5] == b"MWEN\1", f"chunk {at} is not locked")
            chunk = open_sealed(derive(lock, b"envelope key"), data[5:29], data[29:], data[:29] + cbor(about))
            values, held = words(chunk[40:]), min(most, size - at * most)
            demand(
                chunk[:40] == self.header(1, at, held) and len(values) == 4 * n,
                f"chunk {at} is not fresh, or of another place",
            )
            demand(
                all(max(values[k * n : k * n + n]) < primes[k % 2] for k in range(4)), f"chunk {at} is not canonical"
            )
            out.append((at, values, held))
        return out

    def header(self, terms, index, count):
        numbers = [terms.to_bytes(2, "little"), self.epoch.parameters, self.epoch_number.to_bytes(8, "little")]
        return b"MWCT\1\0" + b"".join(numbers) + index.to_bytes(4, "little") + count.to_bytes(4, "little")

    def sums(self, p, txs, signed, reveals, plan):  # 12
        root = merkle_root([sha256(cid) for cid in self.proposal.body["sums"]])
        demand(root == signed["sumsRoot"], "sums_root is another")
        _, n, primes, _ = SETS[self.epoch.parameters]
        listed = [uncbor(self.bundle.blob(u["manifest"]))["chunks"] for u in p["updates"]]
        used = [cid for cids in listed for cid in cids]
        demand(len(set(used)) == len(used), "a chunk is used twice")
        count = self.sections(p, plan)
        for section, groups in enumerate(sections.part(p["groups"], count)):
            for group in groups:
                manifest = uncbor(self.bundle.blob(group["sum"]))
                ids = [bytes.fromhex(p["updates"][k]["id"]) for k in group["updates"]]
                said = self.about | {"kind": "sum", "updates": ids}
                demand(
                    all(manifest[name] == value for name, value in said.items()),
                    "a sum manifest is about something else",
                )
                own = {len(sections.places(section, count, len(listed[k]))) for k in group["updates"]}
                demand(own == {len(manifest["chunks"])}, f"sum {group['sum']} has other chunks than section {section}")
                parts = [self.chunks(txs[i], reveals[i], section, count) for i in ids]
                for cid, *column in zip(manifest["chunks"], *parts, strict=True):
                    self.added(cid, column, primes, n)

    def added(self, cid, column, primes, n):
        """One chunk of a sum is that of its updates' chunks at the same place."""
        places = {at for at, _, _ in column}
        demand(len(places) == 1, "chunks of several places are added")
        total = array("Q")
        for k in range(4):
            pieces = [values[k * n : k * n + n] for _, values, _ in column]
            total.extend([sum(coefficients) % primes[k % 2] for coefficients in zip(*pieces, strict=True)])
        if sys.byteorder == "big":
            total.byteswap()
        [at] = places
        data = self.header(len(column), at, column[0][2]) + total.tobytes()
        demand(cid_bytes(data) == cid, f"{cid_text(cid)} is not the sum of chunks {at}")
