"""Checkpoints, witnesses and proof files: what a stranger can check with a list of members and nothing else."""

import base64
import hashlib
import json
import random
import sys
from dataclasses import replace

import coincurve
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dag.bodies import CheckpointBody, Kind
from dag.errors import LedgerError, MalformedNote, NotWitnessed, ProofFailed
from dag.ids import sha256
from dag.proofs.checkpoint import (
    COSIGNATURE_TYPE,
    RoundRecord,
    cosign,
    log_head,
    log_witnesses,
    parse_log_head,
    round_note,
    round_witnesses,
    verify_quorum,
)
from dag.proofs.jsontext import parse_json
from dag.proofs.notes import MAX_SIGNATURES, Note, SignatureLine, TreeHead, key_id
from dag.proofs.proof import LogGrowth, TransactionProof
from dag.proofs.roundlog import RoundLog
from dag.proofs.witnesses import Witnesses
from dag.transaction import address_of
from tests.dag.played import play, witnesses
from tests.dag.support import CONSORTIUM, context, key, ledger, post

MEMBERS, ROUNDS = 4, 3
QUORUM = 3


class Scene:
    """A ledger of three rounds and its log, cosigned by members 0, 1 and 2."""

    def __init__(self) -> None:
        self.book = ledger(members=MEMBERS)
        self.proposals = play(self.book, MEMBERS, ROUNDS)
        self.members = witnesses(MEMBERS)
        self.log = RoundLog.read(self.book.tangle, self.book.transactions(Kind.CHECKPOINT), self.members)

    def head(self, size: int = ROUNDS, signers: tuple[int, ...] = (0, 1, 2)) -> Note:
        head = log_head(CONSORTIUM, [one.record for one in self.log.rounds[:size]])
        return Note(head.render(), tuple(cosign(head, key(m), 1_700_000_000 + m) for m in signers))


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


def test_every_transaction_of_every_round_is_proven(scene):
    """DAG-9: inclusion from the transaction to a log that a quorum witnessed, with nothing but the file and the members."""
    proven = 0
    for one in scene.log.rounds:
        for tx_id in one.ids:
            made = scene.log.prove(scene.book.get(tx_id), scene.head())
            read = TransactionProof.parse(made.render())
            assert read == made
            read.verify(scene.members)
            assert read.transaction.id == tx_id
            proven += 1
    assert proven > ROUNDS * MEMBERS * 3


def test_a_proof_is_checked_by_an_implementation_that_shares_no_code(scene):
    """RFC 6962, C2SP's note form and the documented signatures, with hashlib, base64 and coincurve alone."""
    update = scene.book.transactions(Kind.UPDATE, 2)[0]
    text = scene.log.prove(update, scene.head()).render().decode()
    first, round_text, round_lines, second, log_text, log_lines = text[:-1].split("\n\n")
    head, raw, *path = first.split("\n")
    assert head == "medweave/proof@v1"
    transaction = base64.b64decode(raw.split(" ")[1])
    origin, size, root, *_ = round_text.split("\n")
    leaf = hashlib.sha256(transaction).digest()
    assert climb(leaf, path, int(size)) == base64.b64decode(root)
    assert origin == f"medweave/{CONSORTIUM.hex()}/round/2"
    for line in round_lines.split("\n"):
        evidence = base64.b64decode(line.split(" ")[2])[4:]
        assert base64.b64decode(root) in evidence  # the transaction's signature covers its body, the root in it
    entry = hashlib.sha256(b"medweave/log-entry/1\x00" + (round_text + "\n").encode()).digest()
    _, rounds, log_root = log_text.split("\n")
    assert climb(entry, second.split("\n"), int(rounds)) == base64.b64decode(log_root)
    signers = set()
    for line in log_lines.split("\n"):
        dash, name, data = line.split(" ")
        payload = base64.b64decode(data)[4:]
        seconds, signature = int.from_bytes(payload[:8], "big"), payload[8:]
        message = f"medweave/cosignature/1\ntime {seconds}\n{log_text}\n".encode()
        public = coincurve.PublicKey.from_signature_and_message(
            signature, hashlib.sha256(message).digest(), hasher=None
        )
        assert dash == "\u2014"
        signers.add(public.format())
        assert name == f"medweave/0x{address_of(key(seconds - 1_700_000_000)).hex()}"
    assert signers == {coincurve.PrivateKey(key(m)).public_key.format() for m in (0, 1, 2)}


def climb(leaf: bytes, lines: list[str], size: int) -> bytes:
    """The root that a path leads to, by the recursive definition of RFC 6962, section 2.1.1."""
    index = int(lines[0].removeprefix("index "))
    path = [base64.b64decode(line) for line in lines[1:]]

    def up(at: int, count: int, steps: list[bytes]) -> bytes:
        if count == 1:
            assert not steps
            return hashlib.sha256(b"\x00" + leaf).digest()
        split = 1
        while split * 2 < count:
            split *= 2
        *below, sibling = steps
        if at < split:
            return hashlib.sha256(b"\x01" + up(at, split, below) + sibling).digest()
        return hashlib.sha256(b"\x01" + sibling + up(at - split, count - split, below)).digest()

    return up(index, size, path)


def test_existing_checkpoint_transactions_are_the_rounds_signatures(scene):
    note = scene.log.rounds[0].note
    assert [witness.index for witness in round_witnesses(note, scene.members)] == [0, 1, 2, 3]
    assert Note.parse(note.render().encode()) == note
    assert RoundRecord.parse(note.text) == scene.log.rounds[0].record


def test_the_log_grows_and_never_changes(scene):
    """DAG-9: an older head is a prefix of a newer one, for every pair of sizes."""
    for new in range(1, ROUNDS + 1):
        for old in range(1, new + 1):
            grown = scene.log.grown(scene.head(old), scene.head(new, (1, 2, 3)))
            assert LogGrowth.parse(grown.render()) == grown
            grown.verify(scene.members)


def test_a_rewritten_log_is_refused(scene):
    records = [one.record for one in scene.log.rounds]
    records[0] = replace(records[0], model=sha256(b"another model"))
    head = log_head(CONSORTIUM, records)
    forged = Note(head.render(), tuple(cosign(head, key(m), 0) for m in range(MEMBERS)))
    with pytest.raises(ProofFailed, match="no prefix"):
        scene.log.grown(scene.head(2), forged)
    honest = scene.log.grown(scene.head(2), scene.head(3))
    with pytest.raises(ProofFailed, match="roots"):
        replace(honest, new=forged).verify(scene.members)
    with pytest.raises(ProofFailed, match="no prefix"):
        scene.log.prove(scene.book.get(scene.log.rounds[0].ids[0]), forged)


def test_a_quorum_is_needed_and_a_member_counts_once(scene):
    update = scene.book.get(scene.log.rounds[0].ids[0])
    for note in (scene.head(signers=(0, 1)), scene.head(signers=(0, 1, 1, 0))):
        with pytest.raises(NotWitnessed, match=r"2 of 4 members .Hospital 0, Hospital 1., 3 are needed"):
            scene.log.prove(update, note).verify(scene.members)
    one = scene.log.rounds[0]
    few = round_note(one.record, one.checkpoints[:2])
    with pytest.raises(NotWitnessed, match="2 of 4"):
        replace(scene.log.prove(update), note=few).verify(scene.members)
    with pytest.raises(NotWitnessed, match="nobody"):
        verify_quorum("x", (), scene.members)


def test_signatures_of_strangers_are_skipped_and_false_ones_refused(scene):
    head = scene.head()
    stranger = cosign(TreeHead.parse(head.text), key(9), 5)
    assert len(log_witnesses(replace(head, signatures=(stranger, *head.signatures)), scene.members)) == QUORUM
    own = head.signatures[0]
    for bad in (own.signature[:-1] + b"\x07", own.signature[:-1], b"\xff" * 8 + own.signature[8:], b"\0" * 73):
        with pytest.raises(NotWitnessed, match="Hospital 0"):
            log_witnesses(replace(head, signatures=(replace(own, signature=bad), *head.signatures[1:])), scene.members)
    moved = replace(own, signature=own.signature[:7] + b"\x01" + own.signature[8:])
    with pytest.raises(NotWitnessed):  # another time than the one that was signed
        log_witnesses(replace(head, signatures=(moved,)), scene.members)


def test_a_high_s_is_refused(scene):
    """One signature has one form, so that a note cannot be varied by others."""
    head = scene.head()
    made = head.signatures[0].signature
    seconds, r, s, v = made[:8], made[8:40], made[40:72], made[72]
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    twin = seconds + r + (order - int.from_bytes(s, "big")).to_bytes(32, "big") + bytes([v ^ 1])
    with pytest.raises(NotWitnessed):
        log_witnesses(replace(head, signatures=(replace(head.signatures[0], signature=twin),)), scene.members)


@pytest.mark.parametrize("change", ["model", "statement", "root", "proposal", "round", "issuer", "kind"])
def test_evidence_must_sign_just_this(scene, change):
    one = scene.log.rounds[0]
    body = one.checkpoints[0].body
    assert isinstance(body, CheckpointBody)
    signer = scene.members.by_address[one.checkpoints[0].issuer].index
    made = {"member": signer, "sequence": 99, "round_": 1}
    if change == "round":
        made["round_"] = 2
    elif change == "issuer":
        made["member"] = (signer + 1) % MEMBERS
    elif change == "kind":
        body = scene.book.transactions(Kind.ACKNOWLEDGEMENT)[0].body
    else:
        body = replace(body, **{change: sha256(b"other")})
    other = post(one.checkpoints[0].parents, body, **made)
    line = replace(one.note.signatures[0], signature=other.raw)
    with pytest.raises(NotWitnessed, match=r"something else|under the name"):
        round_witnesses(replace(one.note, signatures=(line,)), scene.members)
    if change != "issuer":  # the issuer's own line is then a true one
        with pytest.raises(NotWitnessed):
            round_note(one.record, [other])


def test_a_proof_of_something_else_is_refused(scene):
    update, other = (scene.book.transactions(Kind.UPDATE, number)[0] for number in (1, 2))
    good = scene.log.prove(update, scene.head())
    for wrong in (
        replace(good, raw=other.raw),
        replace(good, note=scene.log.rounds[1].note),
        replace(good, index=good.index + 1),
        replace(good, path=good.path[:-1]),
        replace(good, path=(*good.path, sha256(b"x"))),
        replace(good, log=replace(good.log, index=1)),
        replace(good, log=replace(good.log, path=())),
    ):
        with pytest.raises(ProofFailed):
            wrong.verify(scene.members)
    strangers = Witnesses(
        CONSORTIUM, tuple(replace(w, address=address_of(key(20 + w.index))) for w in scene.members.members)
    )
    with pytest.raises(ProofFailed, match="not among the members"):
        good.verify(strangers)
    with pytest.raises(ProofFailed, match="consortium"):
        good.verify(replace(scene.members, consortium=sha256(b"other")))


def test_what_no_root_covers_cannot_be_proven(scene):
    verdict = scene.book.transactions(Kind.VERDICT, 1)[0]
    with pytest.raises(ProofFailed, match="no finalised round"):
        scene.log.prove(verdict)
    late = scene.book.get(scene.log.rounds[2].ids[0])
    with pytest.raises(ProofFailed, match="newer checkpoint"):
        scene.log.prove(late, scene.head(2))


def test_only_final_rounds_are_in_the_log():
    book = ledger()
    proposals = play(book, MEMBERS, 2, checkpoints=2)
    checkpoints = book.transactions(Kind.CHECKPOINT)
    assert [one.record.round for one in RoundLog.read(book.tangle, checkpoints, witnesses()).rounds] == [1]
    with pytest.raises(NotWitnessed, match="round 2 is final on chain"):
        RoundLog.read(book.tangle, checkpoints, witnesses(), dict(enumerate(proposals, 1)))
    assert RoundLog.read(book.tangle, checkpoints, witnesses(), {}).rounds == ()
    empty = RoundLog.read(book.tangle, (), witnesses())
    assert empty.head.size == 0
    assert parse_log_head(empty.head.render(), CONSORTIUM).root == hashlib.sha256(b"").digest()


def test_two_outcomes_with_a_quorum_each_are_reported():
    book = ledger(members=MEMBERS)
    play(book, MEMBERS, 1)
    honest = book.transactions(Kind.CHECKPOINT)
    other = [
        post(tx.parents, replace(tx.body, model=sha256(b"other")), scene_member(tx.issuer), 50 + number)
        for number, tx in enumerate(honest)
    ]
    with pytest.raises(NotWitnessed, match="2 outcomes"):
        RoundLog.read(book.tangle, [*honest, *other], witnesses())


def scene_member(address: bytes) -> int:
    return context(MEMBERS).members[address].index


def test_a_quorum_on_another_root_is_reported():
    book = ledger(members=MEMBERS)
    play(book, MEMBERS, 1)
    wrong = [
        post(tx.parents, replace(tx.body, root=sha256(b"root")), scene_member(tx.issuer), 50 + number)
        for number, tx in enumerate(book.transactions(Kind.CHECKPOINT))
    ]
    with pytest.raises(ProofFailed, match="this ledger's is another"):
        RoundLog.read(book.tangle, wrong, witnesses())


@settings(max_examples=300, deadline=None)
@given(st.randoms(use_true_random=False))
def test_mutated_files_are_refused_or_prove_the_same(scene_bytes, random_):
    """Whatever is changed in a file: a typed error, or a file that still proves the very same transaction."""
    raw, members, tx_id = scene_bytes
    mutated = mutate(raw, random_)
    try:
        proof = TransactionProof.parse(mutated)
        proof.verify(members)
    except LedgerError:
        return
    assert proof.transaction.id == tx_id
    assert proof.render() == mutated


@pytest.fixture(scope="module")
def scene_bytes(scene):
    update = scene.book.transactions(Kind.UPDATE, 2)[1]
    return scene.log.prove(update, scene.head()).render(), scene.members, update.id


def mutate(raw: bytes, random_: random.Random) -> bytes:
    data = bytearray(raw)
    for _ in range(random_.randint(1, 3)):
        at = random_.randrange(len(data))
        what = random_.randrange(4)
        if what == 0:
            data[at] ^= 1 << random_.randrange(8)
        elif what == 1:
            del data[at : at + random_.randint(1, 80)]
        elif what == 2:
            data[at:at] = random_.choice((b"\n", b" ", b"0", b"\n\n", b"\x00", b"=", data[: random_.randint(1, 60)]))
        else:
            lines = bytes(data).split(b"\n")
            random_.shuffle(lines)
            data = bytearray(b"\n".join(lines))
    return bytes(data) or b"x"


def test_brackets_do_not_end_the_process():
    """Python's reader alone would follow them as deep as the recursion limit, which other libraries raise beyond the stack."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)
    try:
        for raw in (b"[" * 250_000, b'{"":' * 60_000, b'["]"' * 60_000):
            with pytest.raises(MalformedNote, match="nested deeper"):
                Witnesses.from_json(raw)
    finally:
        sys.setrecursionlimit(before)
    assert parse_json("x", b'["[[[\\"[[[[", {"[": "]"}, [[]]]' + b" " * 9, 99) == ['[[["[[[[', {"[": "]"}, [[]]]


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_json_of_any_sane_depth_is_read(value):
    assert parse_json("x", json.dumps(value).encode(), 10**7) == value


@given(st.binary(max_size=400))
def test_random_bytes_are_no_note_proof_or_member_list(raw):
    for parse in (Note.parse, TransactionProof.parse, LogGrowth.parse, Witnesses.from_json):
        with pytest.raises(MalformedNote):
            parse(raw)


LINE = "\u2014 medweave/x AAAAAAE=\n"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", "note"),
        ("o\n1\n\n", "signatures"),
        ("o\n1\nx\n", "note"),
        (f"o\n\nx\n\n{LINE}", "text"),
        (f"o\n\n{LINE[:-1]}", "signatures"),
        ("o\n\nno dash\n", r"signatures\[0\]"),
        ("o\n\n\u2014 a+b AAAAAAE=\n", r"signatures\[0\]"),
        ("o\n\n\u2014  AAAAAAE=\n", r"signatures\[0\]"),
        ("o\n\n\u2014 a AAAAAA==\n", r"signatures\[0\]"),
        ("o\n\n\u2014 a AAAAAAF=\n", r"signatures\[0\]"),
        ("o\n\n\u2014 a !!!!\n", r"signatures\[0\]"),
        ("o\r\n\n" + LINE, "note"),
        ("o\n\n" + LINE * (MAX_SIGNATURES + 1), "signatures"),
        ("x" * (1 << 20) + "\n\n" + LINE, "note"),
    ],
)
def test_malformed_notes_name_the_line(text, field):
    with pytest.raises(MalformedNote, match=field):
        Note.parse(text.encode())
    with pytest.raises(MalformedNote, match="UTF-8"):
        Note.parse(b"\xff\n\n" + LINE.encode())


ROOT = base64.b64encode(b"r" * 32).decode()


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (f"o\n1\n{ROOT[:-2]}J=\n", "root"),
        (f"o\n01\n{ROOT}\n", "size"),
        (f"o\n-1\n{ROOT}\n", "size"),
        (f"o\n9007199254740992\n{ROOT}\n", "size"),
        (f"o\n\u0661\n{ROOT}\n", "size"),
        (f"o \n1\n{ROOT}\n", "origin"),
        (f"{'o' * 257}\n1\n{ROOT}\n", "origin"),
        ("o\n1\nAAAA\n", "root"),
        ("o\n1\n", "text"),
        ("o\n1", "text"),
    ],
)
def test_malformed_heads_name_the_line(text, field):
    with pytest.raises(MalformedNote, match=field):
        TreeHead.parse(text)


def test_rounds_and_logs_are_not_mistaken_for_each_other(scene):
    record = scene.log.rounds[0].record
    for text in (
        scene.log.head.render(),
        record.head.render().replace("/round/1", "/round/0"),
        record.head.render().replace("/round/1", "/round/x"),
        replace(record, size=0).head.render(),
        record.head.render().replace("proposal", "proposals"),
        "".join(record.head.render().splitlines(keepends=True)[:-1]),
        record.head.render().replace(record.model.hex(), record.model.hex().upper()),
    ):
        with pytest.raises(MalformedNote):
            RoundRecord.parse(text)
    for text in (record.head.render(), scene.log.head.render() + "more\n"):
        with pytest.raises(MalformedNote):
            parse_log_head(text, CONSORTIUM)


def test_key_ids_tell_signature_types_apart():
    name, address = "medweave/0x00", b"a" * 20
    expected = hashlib.sha256(name.encode() + b"\n\xffmedweave/cosignature/1" + address).digest()[:4]
    assert key_id(name, COSIGNATURE_TYPE, address) == expected
    assert (
        SignatureLine(name, expected, b"s").render() == f"\u2014 {name} {base64.b64encode(expected + b's').decode()}\n"
    )


def test_member_lists_come_back_and_wrong_ones_name_the_key():
    members = witnesses(3)
    text = members.to_json()
    assert Witnesses.from_json(text.encode()) == members
    assert (members.quorum, witnesses(4).quorum, witnesses(10).quorum) == (2, 3, 7)
    account = f"0x{members.members[0].address.hex()}"
    for old, new, field in (
        ('"index": 0', '"index": 1', "index stands twice"),
        ('"index": 0', '"index": 256', r"members\[0\].index"),
        ('"index": 0', '"index": true', r"members\[0\].index"),
        ('"index": 0', '"index": 9', "ascending"),
        (account, f"0x{members.members[1].address.hex()}", "address stands twice"),
        (account, account[:-1], r"members\[0\].account"),
        (account, account[2:], r"members\[0\].account"),
        ("Hospital 0", "", r"members\[0\].name"),
        ("Hospital 0", "a\\nb", r"members\[0\].name"),
        ('"name"', '"nom"', r"members\[0\]"),
        (CONSORTIUM.hex(), "00", "consortium"),
        ('"members"', '"member"', "members file"),
    ):
        with pytest.raises(MalformedNote, match=field):
            Witnesses.from_json(text.replace(old, new, 1).encode())
    for raw in (b"[" * 100_000, b" " * (256 * 1024 + 1), b'{"consortium": "", "members": []}', b"\xff"):
        with pytest.raises(MalformedNote):
            Witnesses.from_json(raw)


@pytest.mark.slow
def test_fifty_thousand_mutations_of_files(scene):
    """Proofs, heads, rounds' checkpoints and member lists: a typed error, or the same file in the same bytes."""
    update = scene.book.transactions(Kind.UPDATE, 2)[1]
    samples = {
        scene.log.prove(update, scene.head()).render(): lambda raw: verified(
            TransactionProof.parse(raw), scene.members
        ),
        scene.log.grown(scene.head(1), scene.head(3)).render(): lambda raw: verified(
            LogGrowth.parse(raw), scene.members
        ),
        scene.head().render().encode(): lambda raw: witnessed(raw, log_witnesses, scene.members),
        scene.log.rounds[0].note.render().encode(): lambda raw: witnessed(raw, round_witnesses, scene.members),
        scene.members.to_json().encode(): lambda raw: Witnesses.from_json(raw) and raw,
    }
    random_ = random.Random(11)
    refused = 0
    for raw, read in samples.items():
        for _ in range(10_000):
            mutated = mutate(raw, random_)
            try:
                assert read(mutated) == mutated
            except LedgerError:
                refused += 1
    assert refused > 45_000


def verified(proof, members: Witnesses) -> bytes:
    proof.verify(members)
    return proof.render()


def witnessed(raw: bytes, read, members: Witnesses) -> bytes:
    note = Note.parse(raw)
    read(note, members)
    return note.render().encode()
