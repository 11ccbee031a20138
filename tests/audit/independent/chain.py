"""What the chain in a bundle proves: blocks, tries, receipts, events, calls (docs/spec/bundle.md, "What the chain proves")."""

from dataclasses import dataclass, field

from common import demand
from events import decode, number, unhex, word
from primitives import keccak, recover, rlp, sha256, trie_root, unrlp

CREATED = {  # field of the record: length and sha2-256 of the creation code, and which addresses it was given
    "registry": (11_809, "e659ec25305caef8168489723e23e4323cf0dfa34024733062c7ee488b793603", ("consortium",)),
    "epochs": (8_172, "5ea08954002c16d6995ad02f76ba041702bf8a21d4396d4f99251e6e99fda154", ("registry", "rounds")),
    "models": (2_027, "d6e6f3762e8ce60154cdb7ac2070bedac40e9a34409ae3668972b2f803f4f935", ("rounds",)),
    "rounds": (
        22_762,
        "8728162924c88b42ded91a75577742df753499c2b2d38aa78905f60599587825",
        ("registry", "epochs", "models"),
    ),
}
OUTCOME = (("round", "uint256"), ("base", "bytes32"), ("model", "bytes32"), ("plan", "bytes32"), ("leader", "address"),
           ("proposal", "bytes32"), ("updatesRoot", "bytes32"), ("sumsRoot", "bytes32"), ("statement", "bytes32"),
           ("seedMaterial", "bytes32"))  # fmt: skip


@dataclass
class Row:
    """A round as the events say."""

    opened: dict
    members: dict  # seat: account, at the opening
    sizes: dict  # seat: registered size, at the opening
    reputations: dict  # account: reputation, at the opening
    proposals: list = field(default_factory=list)
    cards: dict = field(default_factory=dict)  # seat: digests of data cards, at the opening and until the end
    final: dict | None = None
    aborted: dict | None = None
    accounts: dict | None = None  # seat: account, at the finalising
    call: tuple | None = None  # receiver and data of the finalising transaction

    def signed(self, contract):
        """What the finalising call carried: the outcome's fields, signers, signatures."""
        to, data = self.call
        demand(to == contract, "the finalising call came another way")
        demand(
            data[:4].hex() == "4984b873" and len(data) >= 4 + 13 * 32, "the finalising transaction calls something else"
        )
        words = [data[at : at + 32] for at in range(4, 4 + 12 * 32, 32)]
        out = {name: word(kind, value) for (name, kind), value in zip(OUTCOME, words, strict=False)}
        start = 4 + number(words[11])
        size = number(data[start : start + 32])
        signatures = data[start + 32 : start + 32 + size]
        demand(len(signatures) == size and size % 65 == 0, "signatures are cut off")
        out["signers"] = number(words[10])
        out["signatures"] = [signatures[at : at + 65] for at in range(0, size, 65)]
        return out


@dataclass
class Epoch:
    """A key epoch as the events say."""

    parameters: bytes
    threshold: int
    members: dict  # seat: account
    announced: dict = field(default_factory=dict)
    committed: dict = field(default_factory=dict)
    dealt: dict = field(default_factory=dict)
    confirmed: dict = field(default_factory=dict)
    joint: bytes | None = None
    refreshing: bool = False
    cohort: set | None = None  # seats; None where all members take part

    def own(self, seats):
        return {seat: value for seat, value in seats.items() if self.cohort is None or seat in self.cohort}


class Chain:
    """The history, replayed from the events."""

    def __init__(self, blocks, record, head, trusted):
        self.id, self.consortium = record["chain_id"], unhex(record["consortium"])
        self.at = {name: bytes.fromhex(record[name][2:]) for name in CREATED}
        self.seats, self.sizes, self.points, self.equivocators = {}, {}, {}, set()
        self.accounts, self.epochs, self.rounds, self.models, self.created = set(), {}, {}, {}, {}
        self.cards = {}
        self._read(blocks, record["block"], head, trusted)
        demand(self.created == self.at, "not all four contracts are made by their code")

    def _read(self, blocks, first, head, trusted):
        parent = None
        for height, block in enumerate(blocks, first):
            raw = unhex(block["header"])
            header = unrlp(raw)
            demand(len(header) >= 15 and number(header[8]) == height, f"header {height}")
            demand(parent is None or header[0] == parent, f"block {height} does not follow the one before")
            parent = keccak(raw)
            if "transactions" in block or "receipts" in block:
                self._block(
                    height,
                    header,
                    [unhex(t) for t in block["transactions"]],
                    [unhex(r) for r in block["receipts"]],
                    first,
                )
            else:
                demand(
                    not any(may_hold(header[6], address) for address in self.at.values()), f"block {height} is left out"
                )
        demand(parent == trusted == unhex(head["hash"]) and height == head["number"], "the head is another one")

    def _block(self, height, header, transactions, receipts, first):
        demand(trie_root(transactions) == header[4] and trie_root(receipts) == header[5], f"tries of block {height}")
        demand(len(transactions) == len(receipts), f"receipts of block {height}")
        for raw, receipt in zip(transactions, receipts, strict=True):
            status, _, _, logs = unrlp(receipt[1:] if receipt[0] < 0x80 else receipt)
            if status == b"\x01":
                kind, body = (raw[0], unrlp(raw[1:])) if raw[0] < 0x80 else (0, unrlp(raw))
                place = {0: 3, 1: 4}.get(kind, 5)
                self._creation(kind, body, height == first)
                for log in logs:
                    event = decode(log) if log[0] in self.at.values() else None
                    if event:
                        self._apply(*event, (body[place], body[place + 2]))

    def _creation(self, kind, body, in_first):
        if kind != 2 or body[5]:
            return
        digest = keccak(b"\x02" + rlp(body[:9]))
        sender = recover(digest, number(body[10]), number(body[11]), number(body[9]))
        address = keccak(rlp([sender, body[1]]))[12:]
        for name, (size, code, arguments) in CREATED.items():
            if self.at[name] == address:
                demand(
                    sha256(body[7][:size]).hex() == code and number(body[0]) == self.id, f"{name} is made of other code"
                )
                for at, argument in enumerate(arguments):
                    value = self.consortium if argument == "consortium" else bytes(12) + self.at[argument]
                    demand(
                        body[7][size + 32 * at : size + 32 * at + 32] == value, f"{name} was told another {argument}"
                    )
                demand(name != "registry" or in_first, "the registry is not made in the first block")
                self.created[name] = address

    def _apply(self, name, e, call):
        handler = getattr(self, f"_{name}", None)
        if handler is not None:
            handler(e, call)
        elif name in {"Announced", "Committed", "Dealt", "Confirmed"}:
            epoch, value = (
                self.epochs[e["epoch"]],
                e[{"Announced": "boxKey", "Committed": "commitment", "Dealt": "dealing"}.get(name, "jointKey")],
            )
            if not epoch.refreshing:
                getattr(epoch, name.lower())[e["member"]] = value

    def _HospitalAdmitted(self, e, _):  # noqa: N802  (named after the event, as all below)
        demand(e["index"] == len(self.sizes), "seats have a gap")
        self.seats[e["index"]], self.sizes[e["index"]] = e["account"], e["dataSize"]
        self.points[e["index"]] = 100
        self.accounts.add(e["account"])

    def _HospitalRemoved(self, e, _):  # noqa: N802
        demand(self.seats.pop(e["index"]) == e["account"], "another account leaves")

    def _KeysRotated(self, e, _):  # noqa: N802
        demand(self.seats[e["index"]] == e["account"], "another account rotates")
        self.seats[e["index"]] = e["newAccount"]
        self.accounts.add(e["newAccount"])

    def _DataSizeChanged(self, e, _):  # noqa: N802
        self.sizes[e["index"]] = e["dataSize"]

    def _CardRegistered(self, e, _):  # noqa: N802
        demand(self.seats.get(e["index"]) == e["account"], "a card of nobody")
        self.cards[e["index"]] = [e["digest"]]
        row = self.rounds[max(self.rounds)] if self.rounds else None
        if row and not (row.final or row.aborted):
            row.cards[e["index"]] = [*row.cards.get(e["index"], []), e["digest"]]

    def _EpochOpened(self, e, _):  # noqa: N802
        self.epochs[e["epoch"]] = Epoch(e["parameterSet"][:16], e["threshold"], dict(self.seats))

    def _CohortDrawn(self, e, _):  # noqa: N802
        last = self.rounds[max(self.rounds)] if self.rounds else None
        seed = (last.final or last.aborted or last.opened)["seed"] if last else keccak(self.consortium)
        demand(e["seed"] == seed, "a cohort is drawn by another seed")
        start, line, chosen = keccak(b"medweave/cohort") + self.consortium + seed, sorted(self.seats), set()
        demand(0 < e["holders"].bit_count() <= len(line), "a cohort of nobody, or of more than there are")
        for k in range(e["holders"].bit_count()):
            to = k + number(keccak(start + k.to_bytes(32, "big"))) % (len(line) - k)
            line[k], line[to] = line[to], line[k]
            chosen.add(line[k])
        demand(e["holders"] == sum(1 << seat for seat in chosen), "a cohort is another than the drawn one")
        self.epochs[e["epoch"]].cohort = chosen
        self.epochs[e["epoch"]].members = {seat: self.seats[seat] for seat in sorted(chosen)}

    def _EpochActivated(self, e, _):  # noqa: N802
        self.epochs[e["epoch"]].joint = e["jointKey"]

    def _RefreshOpened(self, e, _):  # noqa: N802
        self.epochs[e["epoch"]].refreshing = True

    def _RefreshActivated(self, e, _):  # noqa: N802
        self.epochs[e["epoch"]].refreshing = False

    _RefreshAborted = _RefreshActivated

    def _RoundOpened(self, e, _):  # noqa: N802
        demand(e["round"] not in self.rounds and e["epoch"] in self.epochs, "a round twice, or of no epoch")
        seats = self.epochs[e["epoch"]].own(self.seats)
        reputations = {account: self.points[seat] for seat, account in seats.items()}
        sizes = {seat: self.sizes[seat] for seat in seats}
        self.rounds[e["round"]] = Row(e, seats, sizes, reputations, cards=dict(self.cards))

    def _Proposed(self, e, _):  # noqa: N802
        self.rounds[e["round"]].proposals.append(e)

    def _RoundFinalised(self, e, call):  # noqa: N802
        row = self.rounds[e["round"]]
        row.final, row.accounts, row.call = e, self.epochs[row.opened["epoch"]].own(self.seats), call
        for seat in [seat for seat in self.points if e["signers"] >> seat & 1 and seat not in self.equivocators]:
            self.points[seat] = min(100, self.points[seat] + 1)

    def _RoundAborted(self, e, _):  # noqa: N802
        self.rounds[e["round"]].aborted = e

    def _FaultRecorded(self, e, _):  # noqa: N802
        demand(e["round"] in self.rounds, "a fault of no round")
        self.points[e["index"]] = e["reputation"]
        if e.get("evidence") is not None and e["fault"] == 0:
            self.equivocators.add(e["index"])

    _FaultAnnulled = _FaultRecorded

    def _ModelRecorded(self, e, _):  # noqa: N802
        demand(e["model"] not in self.models, "a model twice")
        self.models[e["model"]] = e


def may_hold(bloom, address):
    """Whether a block's bloom leaves room for a log of this address."""
    digest, bits = keccak(address), number(bloom)
    return all(bits >> (number(digest[2 * i : 2 * i + 2]) % 2048) & 1 for i in range(3))
