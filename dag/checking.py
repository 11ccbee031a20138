"""A whole ledger checked again from outside: what can be said without the chain, and with it.

| check | needs |
|---|---|
| rows (of an archive, blocks): seals, ids, signatures, columns, parents before children | the file |
| genesis: one, of one consortium; all transactions are of it | the file |
| members: every issuer is one | the members |
| contradictions: whoever contradicted itself, and whether a proof is kept | the file |
| rules: reveals, proposals, shares, verdicts, checkpoints as `dag.rules` has them | the members for the quorum |
| terms: epoch, parameter set, layout, weights by eq. 19, threshold, smallest group, sections | chain and plans |

Without chain and plans the terms of a round are taken from its own transactions, so that the rules can be asked at all;
what then is true by construction is reported as not checked.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import IO, TYPE_CHECKING, Any

from dag.bodies import GenesisBody, ProposalBody, UpdateBody
from dag.equivocation import EquivocationProof, contradiction, subject_of
from dag.errors import LedgerError, StoreCorrupt
from dag.fields import U53
from dag.rules import Context, Member, RoundTerms, verify_transaction
from dag.store.archive import Archive
from dag.store.rechecking import Claim, Rechecker
from dag.store.snapshot import Snapshot
from dag.transaction import Transaction
from dag.work import work_bits, work_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dag.proofs.witnesses import Witnesses
    from dag.store.sqlite import Store

    Progress = Callable[[str, int, int], None]

_MOST_NAMED = 20
_STEP = 256
_PROOF_MARK = b"\xa2"  # a proof of equivocation is a map of two; a transaction has ten keys or eleven


class State(StrEnum):
    """What came of a check."""

    VERIFIED = "verified"
    FALSE = "false"
    UNCHECKED = "unchecked"


@dataclass(frozen=True)
class Finding:
    """One check.

    Attributes:
        check: which, as in the table above.
        state: what came of it.
        count: how many things were looked at.
        problems: what is wrong, or why it could not be checked; the first twenty.
    """

    check: str
    state: State
    count: int
    problems: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The finding as JSON."""
        return {
            "check": self.check,
            "state": str(self.state),
            "count": self.count,
            "problems": list(self.problems),
        }


_TERMS_UNKNOWN = Finding(
    "terms",
    State.UNCHECKED,
    0,
    ("epochs, parameter sets, weights, thresholds, smallest groups and sections are known from chain and plans only",),
)


def check_file(
    store: Store,
    members: Witnesses | None = None,
    context: Context | None = None,
    progress: Progress | None = None,
) -> tuple[Finding, ...]:
    """Every check that the arguments allow, over a ledger's file.

    Args:
        store: the file, best opened read-only.
        members: the members, if known.
        context: what the chain says, if known.
        progress: told the check, and how many of how many transactions are done.

    Raises:
        StoreFailed: the file cannot be read.
    """
    try:
        snapshot = Snapshot.of_store(store, members)
    except StoreCorrupt as error:
        return (Finding("rows", State.FALSE, 0, (str(error),)),)
    rows = _check_rows(store, snapshot, progress)
    if rows.state is not State.VERIFIED:
        return (rows,)
    return (rows, *check_snapshot(snapshot, map(EquivocationProof.decode, store.evidence()), context, progress))


def check_archive(
    source: IO[bytes],
    members: Witnesses | None = None,
    context: Context | None = None,
    progress: Progress | None = None,
) -> tuple[Finding, ...]:
    """Every check that the arguments allow, over an exported ledger; it is held in memory.

    Args:
        source: the archive (`dag.store.archive`), a binary file.
        members: the members, if known.
        context: what the chain says, if known.
        progress: told the check, and how many of how many transactions are done.
    """
    transactions: list[Transaction] = []
    proofs: list[EquivocationProof] = []
    try:
        for block in Archive(source).blocks():
            if block.raw[:1] == _PROOF_MARK:
                proofs.append(EquivocationProof.decode(block.raw))
            else:
                transactions.append(Transaction.decode(block.raw))
        snapshot = Snapshot.of_transactions(transactions, "archive", members)
    except LedgerError as error:
        return (Finding("blocks", State.FALSE, len(transactions), (str(error),)),)
    blocks = Finding("blocks", State.VERIFIED, len(transactions) + len(proofs))
    return (blocks, *check_snapshot(snapshot, proofs, context, progress))


def check_snapshot(
    snapshot: Snapshot,
    evidence: Iterable[EquivocationProof] = (),
    context: Context | None = None,
    progress: Progress | None = None,
) -> tuple[Finding, ...]:
    """Every check but that of rows, over a ledger whose signatures were recovered.

    Args:
        snapshot: the ledger.
        evidence: proofs of equivocation that are kept with it.
        context: what the chain says, if known.
        progress: told the check, and how many of how many transactions are done.
    """
    survey = _Survey(snapshot, evidence)
    for done, tx in enumerate(snapshot.transactions(), 1):
        survey.take(tx)
        if progress and (done % _STEP == 0 or done == len(snapshot)):
            progress("reading", done, len(snapshot))
    return (*survey.findings(), *_check_rules(snapshot, context, survey, progress))


def _check_rows(store: Store, snapshot: Snapshot, progress: Progress | None) -> Finding:
    id_at, total, done = snapshot.tangle.id_at, len(snapshot), 0
    try:
        with Rechecker(store.path, total) as rechecker:
            for chunk in store.chunks():
                rows = [row for row in chunk if row.arrival <= total]  # a running node may have added more meanwhile
                rechecker.check(
                    [Claim(row, (id_at(row.first - 1), id_at(row.second - 1)) if row.first else ()) for row in rows]
                )
                done += len(rows)
                if progress:
                    progress("rows", done, total)
    except LedgerError as error:
        return Finding("rows", State.FALSE, done, (str(error),))
    return Finding("rows", State.VERIFIED, done)


class _Survey:
    """What one pass over the transactions tells."""

    def __init__(self, snapshot: Snapshot, evidence: Iterable[EquivocationProof] = ()) -> None:
        self._snapshot = snapshot
        self._known = snapshot.members.by_address
        self._convicted = {proof.issuer for proof in evidence}
        self._said: dict[tuple[Any, ...], bytes] = {}
        self._genesis: list[Transaction] = []
        self._foreign: list[str] = []
        self._strangers: list[str] = []
        self._contradictions: list[str] = []
        self._epochs: dict[int, Counter[int]] = {}
        self._updates: dict[int, UpdateBody] = {}
        self._work: dict[int, int] = {}
        self._sections: dict[int, int] = {}

    def take(self, tx: Transaction) -> None:
        """Notes a transaction."""
        if tx.consortium != self._snapshot.members.consortium:
            self._foreign.append(f"transaction {tx.id.hex()} is of consortium {tx.consortium.hex()}")
        if not tx.parents:
            self._genesis.append(tx)
            return
        if tx.issuer not in self._known:
            self._strangers.append(f"transaction {tx.id.hex()} is by 0x{tx.issuer.hex()}, no member")
        self._compare(tx)
        self._epochs.setdefault(tx.round, Counter())[tx.epoch] += 1
        if tx.nonce is not None:
            self._work[tx.round] = min(self._work.get(tx.round, 256), work_bits(work_seed(tx, tx.issuer), tx.nonce))
        if isinstance(tx.body, UpdateBody):
            self._updates.setdefault(tx.round, tx.body)
        if isinstance(tx.body, ProposalBody):
            self._sections[tx.round] = max(self._sections.get(tx.round, 1), tx.body.sections)

    def findings(self) -> tuple[Finding, ...]:
        """Genesis, members, contradictions."""
        count = len(self._genesis)
        wrong = [f"{count} genesis transactions, expected 1"] if count != 1 else []
        total = len(self._snapshot)
        members = _finding("members", total, self._strangers)
        if not self._snapshot.members_known:
            reason = "who is a member was not said; everybody who posted counts"
            members = Finding("members", State.UNCHECKED, len(self._known), (reason,))
        return (
            _finding("genesis", total, wrong + self._foreign),
            members,
            _finding("contradictions", total, self._contradictions),
        )

    def context(self) -> Context | None:
        """A context in which the ledger's own rounds are known; None without a genesis to start from.

        Sizes, caps, thresholds, smallest groups, sections and the price of work are not in the ledger; they are set so that they
        forbid nothing that the round's other transactions did.
        """
        first = self._genesis[0] if self._genesis else None
        if first is None or not isinstance(first.body, GenesisBody):
            return None
        return Context(
            consortium=first.consortium,
            chain_id=first.body.chain_id,
            registry=first.body.registry,
            members={member.address: Member(member.index, 1) for member in self._snapshot.members.members},
            quorum=self._snapshot.members.quorum,
            rounds={number: self._terms(number) for number in self._epochs},
        )

    def _terms(self, number: int) -> RoundTerms:
        update = self._updates.get(number)
        return RoundTerms(
            epoch=self._epochs[number].most_common(1)[0][0],
            threshold=1,
            parameter_set=update.parameter_set if update else bytes(16),
            cap=1,
            max_slots=1,
            min_group=1,
            layout=update.layout if update else None,
            pow_bits=max(1, self._work[number]) if number in self._work else 0,
            pow_free=U53,
            sections=self._sections.get(number, 1),
        )

    def _compare(self, tx: Transaction) -> None:
        """An equivocator is no fault of the ledger; an equivocator without a kept proof is."""
        keys: list[tuple[Any, ...]] = [(tx.issuer, tx.sequence)]
        if (subject := subject_of(tx)) is not None:
            keys.append((tx.issuer, tx.kind, subject))
        for key in keys:
            before = self._said.setdefault(key, tx.id)
            if before == tx.id or tx.issuer in self._convicted:
                continue
            if why := contradiction(self._snapshot.get(before), tx):
                self._convicted.add(tx.issuer)
                pair = f"({before.hex()}, {tx.id.hex()})"
                self._contradictions.append(f"0x{tx.issuer.hex()}: {why} {pair}; no proof of it is kept")


def _check_rules(
    snapshot: Snapshot, context: Context | None, survey: _Survey, progress: Progress | None
) -> tuple[Finding, ...]:
    if context is None and not snapshot.members_known:
        return _unasked("quorums and the members' indices are not known: name the members")
    known = context or survey.context()
    if known is None:
        return _unasked("there is no genesis to start from")
    wrong: list[str] = []
    checked = 0
    for done, tx in enumerate(snapshot.transactions(), 1):
        # Without the chain an update's weight, sizes and terms are unknown: the terms finding says so.
        if context is not None or not isinstance(tx.body, UpdateBody | GenesisBody):
            checked += 1
            try:
                verify_transaction(tx, known, snapshot)
            except (LedgerError, KeyError) as error:
                wrong.append(str(error))
        if progress and (done % _STEP == 0 or done == len(snapshot)):
            progress("rules", done, len(snapshot))
    rules = _finding("rules", checked, wrong)
    if context is not None:
        return rules, replace(rules, check="terms")
    return rules, _TERMS_UNKNOWN


def _unasked(reason: str) -> tuple[Finding, ...]:
    return Finding("rules", State.UNCHECKED, 0, (reason,)), _TERMS_UNKNOWN


def _finding(check: str, count: int, wrong: list[str]) -> Finding:
    more = [f"and {len(wrong) - _MOST_NAMED} more"] if len(wrong) > _MOST_NAMED else []
    return Finding(check, State.FALSE if wrong else State.VERIFIED, count, (*wrong[:_MOST_NAMED], *more))
