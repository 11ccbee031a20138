"""One node's interface, method by method."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar
from urllib.parse import quote

from pydantic import ValidationError

from dag.errors import LedgerError
from dag.ids import tx_id_of
from dag.proofs.notes import MAX_NOTE_BYTES, Note
from dag.proofs.proof import MAX_FILE_BYTES, TransactionProof
from dag.transaction import MAX_BYTES, Transaction
from node.api.shapes_joining import RequestsShape
from node.api.shapes_ledger import ConeShape, ConsistencyShape, LogRow, TipsShape, TransactionShape
from node.api.shapes_members import EpochShape, MemberShape, MembersShape, MotionShape
from node.api.shapes_models import ModelDetailShape, ModelShape, StepShape
from node.api.shapes_node import HealthShape, ReadyShape, StatusShape, StorageShape
from node.api.shapes_predict import PredictionShape
from node.api.shapes_rounds import RoundDetailShape, RoundShape, VerdictShape
from node.client.blobs import save_blob
from node.client.errors import Malformed, WrongBytes
from node.client.news import follow
from node.client.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from pydantic import BaseModel

    from dag.bodies import Kind
    from node.api.shapes_audits import AuditDetailShape, AuditShape
    from node.api.shapes_plans import PlanShape
    from node.calling import Dialer
    from node.client.news import News
    from node.client.transport import Query

S = TypeVar("S", bound="BaseModel")

PAGE = 500
MAX_MODEL_BYTES = 1 << 30
MAX_STATEMENT_BYTES = 1 << 20


class NodeClient:
    """A node, asked over HTTP. Safe requests are repeated where they fail in passing.

    Every method raises `NodeUnreachable` where the node does not answer, `Refused` or one of its kinds where it will not,
    and `Malformed` where the answer is none of this interface.

    Args:
        url: The node's base address.
        token: A person's token (`medweave token create`); None for none.
        dialer: Signs as a member, and says whose certificates are believed.
        transport: Carries the calls instead of one made of these.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        dialer: Dialer | None = None,
        *,
        transport: Transport | None = None,
    ) -> None:
        self.transport = transport or Transport(url, token, dialer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()

    # ---- the node --------------------------------------------------------------------------------------------------

    def health(self) -> HealthShape:
        """Whether it answers."""
        return self._one("/v1/health", HealthShape)

    def ready(self) -> ReadyShape:
        """Whether it can take part in rounds, and what it lacks if not."""
        return self._shape(ReadyShape, "/v1/ready", self.transport.json("/v1/ready", also=frozenset({503})))

    def status(self) -> StatusShape:
        """What its hospital is doing now."""
        return self._one("/v1/status", StatusShape)

    def storage(self) -> StorageShape:
        """What it keeps."""
        return self._one("/v1/storage", StorageShape)

    def metrics(self) -> str:
        """Its figures in Prometheus' text form."""
        return self.transport.get("/metrics").decode(errors="replace")

    def events(self, last: str | None = None) -> Iterator[News]:
        """What happens there, as it happens, without end; breaks are bridged.

        Args:
            last: Id of the event seen last; None for news only.
        """
        return follow(self.transport, last)

    # ---- the consortium --------------------------------------------------------------------------------------------

    def members(self, *, former: bool = False) -> MembersShape:
        """The members by seat, with those that left if `former`."""
        return self._one("/v1/members", MembersShape, {"former": former or None})

    def member(self, index: int) -> MemberShape:
        """The hospital at a seat."""
        return self._one(f"/v1/members/{index:d}", MemberShape)

    def epochs(self) -> Iterator[EpochShape]:
        """Key epochs, oldest first."""
        return self._all("/v1/epochs", "epochs", EpochShape)

    def epoch(self, number: int) -> EpochShape:
        """One key epoch."""
        return self._one(f"/v1/epochs/{number:d}", EpochShape)

    def requests(self) -> RequestsShape:
        """Hospitals that ask to be admitted, with the fingerprints to compare."""
        return self._one("/v1/requests", RequestsShape)

    def motions(self, state: Literal["pending", "ended"] = "pending") -> Iterator[MotionShape]:
        """What is put to the members' vote."""
        return self._all("/v1/motions", "motions", MotionShape, {"state": state})

    # ---- the ledger ------------------------------------------------------------------------------------------------

    def transactions(
        self,
        *,
        kind: Kind | None = None,
        round: int | None = None,  # noqa: A002  (the field's own name)
        issuer: str | None = None,
        since: str | None = None,
        confirmed: bool | None = None,
        newest: bool = False,
    ) -> Iterator[TransactionShape]:
        """Transactions in the order the node attached them, page by page as they are used.

        Args:
            kind: Only this kind.
            round: Only this round.
            issuer: Only of the hospital with this account, hex, under whichever it had.
            since: Only those attached after this one, CID.
            confirmed: Only those that a quorum approves, or does not.
            newest: The last ones first.
        """
        query: Query = {
            "kind": None if kind is None else str(kind),
            "round": round,
            "issuer": issuer,
            "since": since,
            "confirmed": confirmed,
            "order": "newest" if newest else None,
        }
        return self._all("/v1/transactions", "transactions", TransactionShape, query)

    def tips(self) -> TipsShape:
        """Transactions that nobody approves yet."""
        return self._one("/v1/transactions/tips", TipsShape)

    def transaction(self, cid: str) -> TransactionShape:
        """One transaction, by CID or hex, as the node tells it."""
        return self._one(f"/v1/transactions/{_safe(cid)}", TransactionShape)

    def raw_transaction(self, cid: str) -> Transaction:
        """One transaction by CID, from its bytes: they are checked against the id, and say who signed.

        Raises:
            WrongBytes: The bytes are another transaction's.
        """
        path = f"/v1/transactions/{_safe(cid)}/raw"
        raw = self.transport.get(path, most=MAX_BYTES)
        if hashlib.sha256(raw).digest() != tx_id_of(cid):
            raise WrongBytes(self.transport.url + path, f"the bytes sent for {cid} are another transaction")
        return Transaction.decode(raw)

    def cone(
        self, cid: str, direction: Literal["past", "future"] = "past", depth: int = 8, limit: int = 100
    ) -> ConeShape:
        """What a transaction approves, or what approves it, nearest first."""
        query: Query = {"direction": direction, "depth": depth, "limit": limit}
        return self._one(f"/v1/transactions/{_safe(cid)}/cone", ConeShape, query)

    def proof(self, cid: str, *, log: bool = False) -> TransactionProof:
        """The proof that a finalised round holds a transaction; verify it against the members you know.

        Args:
            cid: The transaction.
            log: With the round's place in the log, under the head that the node's hospital cosigned.
        """
        path = f"/v1/transactions/{_safe(cid)}/proof"
        data = self.transport.get(path, {"log": log or None}, most=MAX_FILE_BYTES)
        try:
            return TransactionProof.parse(data)
        except LedgerError as error:
            raise Malformed(self.transport.url + path, str(error)) from None

    def checkpoint(self) -> Note:
        """The head of the log that the node's hospital cosigned last; no signature is checked."""
        data = self.transport.get("/v1/checkpoint", most=MAX_NOTE_BYTES)
        try:
            return Note.parse(data)
        except LedgerError as error:
            raise Malformed(f"{self.transport.url}/v1/checkpoint", str(error)) from None

    def log(self) -> Iterator[LogRow]:
        """The log of finalised rounds."""
        return self._all("/v1/log", "rounds", LogRow)

    def consistency(self, first: int, second: int) -> ConsistencyShape:
        """That the log of `first` rounds is a prefix of the log of `second`."""
        return self._one("/v1/log/consistency", ConsistencyShape, {"first": first, "second": second})

    # ---- rounds and models -----------------------------------------------------------------------------------------

    def plan(self) -> PlanShape:
        """The plan in force at the node's hospital, and when it opens the next round."""
        from node.api.shapes_plans import PlanShape  # brings the encryption along

        return self._one("/v1/plan", PlanShape)

    def rounds(
        self, *, status: Literal["open", "finalised", "aborted"] | None = None, newest: bool = False
    ) -> Iterator[RoundShape]:
        """Rounds as the chain tells them."""
        query: Query = {"status": status, "order": "newest" if newest else None}
        return self._all("/v1/rounds", "rounds", RoundShape, query)

    def round(self, number: int) -> RoundDetailShape:
        """One round, and how it went at the node's hospital."""
        return self._one(f"/v1/rounds/{number:d}", RoundDetailShape)

    def verdicts(self, round: int | None = None) -> Iterator[VerdictShape]:  # noqa: A002  (the field's own name)
        """How members scored proposals."""
        return self._all("/v1/verdicts", "verdicts", VerdictShape, {"round": round})

    def envelope(self, number: int) -> bytes:
        """A round's statement in its signed envelope, unverified (`node.rounds.dsse.verify_envelope`)."""
        return self.transport.get(f"/v1/rounds/{number:d}/envelope", most=MAX_STATEMENT_BYTES)

    def models(self, *, newest: bool = False) -> Iterator[ModelShape]:
        """The lineage of models."""
        return self._all("/v1/models", "models", ModelShape, {"order": "newest" if newest else None})

    def model(self, model: str) -> ModelDetailShape:
        """One model, by its hash in hex."""
        return self._one(f"/v1/models/{_safe(model)}", ModelDetailShape)

    def provenance(self, model: str) -> Iterator[StepShape]:
        """A model and those it was trained from, newest first, with their statements."""
        return self._all(f"/v1/models/{_safe(model)}/provenance", "lineage", StepShape)

    def statement(self, model: str, digest: str) -> bytes:
        """A model's statement, checked against its digest.

        Args:
            model: The model's hash, hex.
            digest: The statement's sha2-256 that the chain names, hex.

        Raises:
            WrongBytes: It is another statement.
        """
        path = f"/v1/models/{_safe(model)}/statement"
        data = self.transport.get(path, most=MAX_STATEMENT_BYTES)
        if hashlib.sha256(data).hexdigest() != digest.removeprefix("0x").lower():
            raise WrongBytes(self.transport.url + path, f"the bytes sent are not the statement {digest}")
        return data

    def card(self, model: str, form: Literal["html", "md", "json"] = "html") -> str:
        """A model's card."""
        return self.transport.get(f"/v1/models/{_safe(model)}/card", {"form": form}).decode(errors="replace")

    def model_file(self, model: str) -> bytes:
        """A model itself, checked against its hash; for those who may take it along.

        Raises:
            WrongBytes: It is another model.
        """
        path = f"/v1/models/{_safe(model)}/file"
        data = self.transport.get(path, most=MAX_MODEL_BYTES)
        if hashlib.sha256(data).hexdigest() != model.removeprefix("0x").lower():
            raise WrongBytes(self.transport.url + path, "the bytes sent are another model")
        return data

    def training(self) -> dict[int, dict[str, Any]]:
        """What the node's hospital noted of its part in rounds, by round."""
        return {
            int(number): facts
            for page in self.pages("/v1/training", {})
            for number, facts in dict(page.get("rounds", {})).items()
        }

    def save_blob(self, cid: str, path: Path) -> int:
        """Write a blob to a file, checked against its CID; a transfer that breaks off goes on where it was.

        Args:
            cid: The blob.
            path: The file; it appears once the blob is whole.

        Returns:
            Its length in bytes.

        Raises:
            WrongBytes: The bytes are another blob's.
        """
        return save_blob(self.transport, cid, path)

    # ---- asking for work -------------------------------------------------------------------------------------------

    def predict(
        self, model: str, image: bytes, *, window: str = "", target: int | None = None, saliency: bool = True
    ) -> PredictionShape:
        """What a model says of an image. It is an aid to research, no device for diagnosis.

        Args:
            model: The model's hash, hex.
            image: A PNG, JPEG, DICOM or npy file's bytes.
            window: `lung`, `mediastinum` or `LEVEL,WIDTH`, for DICOM and npy files.
            target: The class whose saliency is drawn; the likeliest by default.
            saliency: Whether to draw where the model looked.

        Raises:
            NodeBusy: It is asked by others; `retry_after` says when to come again.
        """
        path = f"/v1/models/{_safe(model)}/predict"
        query: Query = {"window": window or None, "target": target, "saliency": saliency}
        return self._shape(PredictionShape, path, self.transport.post(path, image, query))

    def ask_audit(self, *, model: str | None = None, round: int | None = None) -> AuditShape:  # noqa: A002  (field's name)
        """Have the node audit a model, a round, or its newest model where neither is named; follow it by its number."""
        from node.api.shapes_audits import AuditShape  # brings the whole audit along

        body = {name: value for name, value in (("model", model), ("round", round)) if value is not None}
        return self._shape(AuditShape, "/v1/audits", self.transport.post("/v1/audits", body))

    def audit(self, number: int) -> AuditDetailShape:
        """One audit: how far it is, or its report."""
        from node.api.shapes_audits import AuditDetailShape

        return self._one(f"/v1/audits/{number:d}", AuditDetailShape)

    # ---- any list -------------------------------------------------------------------------------------------------

    def pages(self, path: str, query: Query) -> Iterator[dict[str, Any]]:
        """Pages of a list until there is no next one, their rows as the node sent them.

        Args:
            path: The list's route.
            query: Its filter.

        Raises:
            Malformed: It is no list, or goes round in circles.
        """
        seen: set[str] = set()
        cursor: str | None = None
        while True:
            page = self.transport.json(path, {**query, "limit": PAGE, "cursor": cursor})
            following = page.get("next", "")
            if not (following is None or (isinstance(following, str) and following and following not in seen)):
                raise Malformed(self.transport.url + path, "not a page: `next` is missing, or leads back")
            yield page
            if following is None:
                return
            seen.add(following)
            cursor = following

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _one(self, path: str, shape: type[S], query: Query | None = None) -> S:
        return self._shape(shape, path, self.transport.json(path, query))

    def _all(self, path: str, name: str, shape: type[S], query: Query | None = None) -> Iterator[S]:
        for page in self.pages(path, query or {}):
            rows = page.get(name)
            if not isinstance(rows, list):
                raise Malformed(self.transport.url + path, f"expected a list of {name}")
            for row in rows:
                yield self._shape(shape, path, row)

    def _shape(self, shape: type[S], path: str, found: object) -> S:
        try:
            return shape.model_validate(found)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise Malformed(self.transport.url + path, f"{where}: {first['msg']}") from None


def _safe(text: str) -> str:
    return quote(text, safe="")
