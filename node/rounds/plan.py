"""A training plan: what a round does, agreed by its digest on chain.

The canonical form is JSON with sorted keys and no white space; its sha2-256 digest is what `TrainingRounds.open` stores, so
every member reads the same numbers. Decimal settings travel as strings: a float has no single text form.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, ValidationError, model_validator

from node.errors import BadPlan
from node.learning.schedule import Schedule  # noqa: TC001 - pydantic reads it

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_PLAN_BYTES = 64 * 1024
MAX_SECTIONS = 8
ADDED = frozenset(
    {
        "schedule",
        "crop_lungs",
        "schedule_over",
        "last_rate",
        "max_gradient",
        "views",
        "class_weights",
        "label_smoothing",
        "focal_gamma",
        "patience",
        "precision",
        "pow_bits",
        "defence",
        "sections",
        "every_hours",
        "new_data_from",
        "open_between",
    }
)
"""Fields that the first form of plans did not have. They are left out of the bytes where they have their default, so that a plan
of an older version keeps its bytes and its digest. Hence these defaults never change, and every new field joins them."""

Number = Annotated[
    Decimal,
    Field(max_digits=18, decimal_places=12),
    PlainSerializer(lambda d: format(d.normalize(), "f"), return_type=str),
]


class Plan(BaseModel):
    """One training plan; every field is public and hashed.

    Raises:
        BadPlan: From the constructors below, naming the field and what was expected.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="first-plan", min_length=1, max_length=80, description="A label for people.")
    architecture: str = Field(default="capsnet", max_length=40, description="Registry name of the model.")
    classes: tuple[str, ...] = Field(min_length=2, max_length=64, description="Class names, in label order.")
    image_size: int = Field(default=64, ge=16, le=512, description="Images are resized to this many pixels square.")
    crop_lungs: str = Field(
        default="",
        pattern=r"^([0-9a-f]{64})?$",
        description="Name (sha2-256) of the lung network by which every hospital crops its slices; empty: as they are.",
    )
    rounds: int = Field(default=10, ge=1, le=10**6, description="Rounds planned; the learning rate falls over them.")
    epochs: int = Field(default=6, ge=1, le=1000, description="Local epochs a round; the slots of eq. 19.")
    batch_size: int = Field(default=16, ge=1, le=4096, description="Images a step.")
    learning_rate: Number = Field(default=Decimal("0.002"), gt=0, le=1, description="Peak learning rate.")
    weight_decay: Number = Field(default=Decimal("0.01"), ge=0, le=1, description="AdamW weight decay.")
    proximal: Number = Field(default=Decimal(0), ge=0, le=10, description="FedProx mu; 0 is FedAvg.")
    augment: bool = Field(default=True, description="Random flips and small affine changes of training images.")
    views: Literal["slices", "ultrasound"] = Field(
        default="slices",
        description="What `augment` varies: slices and X-rays, or ultrasound, whose gain and speckle change too.",
    )
    schedule: Schedule = Field(default="one-cycle", description="How the learning rate moves.")
    schedule_over: Literal["round", "plan"] = Field(
        default="round",
        description="The schedule spans each round anew, with falling peaks, or all planned rounds once.",
    )
    last_rate: Number = Field(
        default=Decimal("0.2"), gt=0, le=1, description="Share of the peak that the last round still uses."
    )
    max_gradient: Number = Field(
        default=Decimal(5), ge=Decimal("0.001"), le=10**6, description="L2 bound on a gradient."
    )
    class_weights: Literal["balanced", "patients", "none"] = Field(
        default="balanced",
        description="`balanced`: a rare class counts as much as a common one in the loss; `patients`: that, and a patient's n images "
        "count as much as the square root of n; `none`: every image counts the same.",
    )
    label_smoothing: Number = Field(
        default=Decimal(0), ge=0, le=Decimal("0.5"), description="Share of the loss spread over all classes."
    )
    focal_gamma: Number = Field(default=Decimal(0), ge=0, le=10, description="Exponent of the focal loss; 0 is off.")
    patience: int = Field(
        default=0, ge=0, le=1000, description="Early stopping: epochs without a better validation loss; 0 is off."
    )
    precision: Literal["auto", "float32", "mixed"] = Field(
        default="auto", description="Bits of the products in training; `auto` mixes 16 bits in on a GPU only."
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="Seed of the initial model and of every local shuffle.")
    clip_norm: Number = Field(default=Decimal(8), gt=0, le=10**6, description="L2 bound on one update.")
    value_range: Number = Field(
        default=Decimal("0.0625"), gt=0, le=1000, description="Largest magnitude of one coordinate; beyond is clipped."
    )
    error_feedback: bool = Field(
        default=False, description="What rounding and clipping take from a counted update is added to the next one."
    )
    parameter_set: Literal["standard", "minimal"] = Field(
        default="standard", description="Encryption parameters; `minimal` is for tests and refuses to start elsewhere."
    )
    threshold: int = Field(
        default=0,
        ge=0,
        le=256,
        description="Members needed to open a sum (T); 0: two thirds of those who hold the key, rounded up.",
    )
    min_group: int = Field(default=3, ge=1, le=256, description="Fewest updates in an opened sum; 1 hides nothing.")
    tolerance: Number = Field(
        default=Decimal("0.1"), ge=0, le=1, description="A group may cost this much held-out accuracy, not more."
    )
    defence: Literal["votes", "suspicion"] = Field(
        default="votes",
        description="`votes`: each round's verdicts decide about its own sums; `suspicion`: sums that break the plan's L2 bound, or "
        "point along members' updates less than half as far as the best one, are refused too, and members whom the group tests of past "
        "rounds point at are left out of the sums.",
    )
    sections: int = Field(
        default=1,
        ge=1,
        le=MAX_SECTIONS,
        description="Parts of the model that are summed in other groups each, so that a round's sums tell members apart sooner; at most "
        "`min_group`, more than 1 with the defence `suspicion` alone.",
    )
    collect_seconds: int = Field(default=600, ge=1, le=7 * 86400, description="Updates are collected this long.")
    slot_seconds: int = Field(
        default=30, ge=1, le=86400, description="A leader's time slot before the next takes over."
    )
    round_seconds: int = Field(default=1200, ge=2, le=14 * 86400, description="The round is aborted after this long.")
    pow_bits: int = Field(
        default=0,
        ge=0,
        le=20,
        description="Work under every ledger transaction of the round, in leading zero bits: 0 is none, 20 some two seconds.",
    )

    every_hours: int = Field(
        default=0,
        ge=0,
        le=8760,
        description="Open a round this many hours after the last was opened; 0: not by the clock.",
    )
    new_data_from: int = Field(
        default=0,
        ge=0,
        le=256,
        description="Open a round once so many hospitals announced new data; 0: never for that.",
    )
    open_between: str = Field(
        default="",
        pattern=r"^(([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d)?$",
        description='Rounds are opened by the two rules above only between these times of day (UTC), as "20:00-06:00".',
    )

    @model_validator(mode="after")
    def _hours_apart(self) -> Self:
        start, _, end = self.open_between.partition("-")
        if start and start == end:
            msg = f"open_between: {self.open_between!r} is no span of time: leave it empty to allow the whole day"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _deadlines_in_order(self) -> Self:
        if self.round_seconds <= self.collect_seconds:
            msg = "round_seconds must exceed collect_seconds: sums are opened and scored after collecting"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _sections_serve(self) -> Self:
        if self.sections > self.min_group:
            msg = f"sections: {self.sections} are more than min_group, {self.min_group}: then no member may be in a group of each"
            raise ValueError(msg)
        if self.sections > 1 and self.defence != "suspicion":
            msg = f'sections: {self.sections} serve the defence "suspicion" alone: set that, or leave sections at 1'
            raise ValueError(msg)
        return self

    def threshold_for(self, members: int) -> int:
        """How many members open a sum together where so many hold the key (T).

        Args:
            members: Members that hold the key epoch's key, at least 1.
        """
        return self.threshold or -(-2 * members // 3)

    @property
    def scheduled(self) -> bool:
        """Whether it says when rounds are opened."""
        return bool(self.every_hours or self.new_data_from)

    def to_bytes(self) -> bytes:
        """The canonical bytes: sorted keys, no white space, UTF-8; added fields only where they differ from their default."""
        usual = {name for name in ADDED if getattr(self, name) == type(self).model_fields[name].default}
        fields = self.model_dump(mode="json", exclude=usual)
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @property
    def digest(self) -> bytes:
        """The sha2-256 of `to_bytes`, 32 bytes; also the digest inside the plan's (raw) CID."""
        return hashlib.sha256(self.to_bytes()).digest()

    @classmethod
    def from_bytes(cls, data: bytes) -> Plan:
        """Parse canonical bytes.

        Raises:
            BadPlan: Too long, not JSON, a field out of range, or not the canonical form.
        """
        if len(data) > MAX_PLAN_BYTES:
            raise BadPlan(f"plan: {len(data)} bytes, at most {MAX_PLAN_BYTES} are accepted")
        try:
            plan = cls.model_validate_json(data)
        except ValidationError as e:
            raise BadPlan(_first_problem(e)) from None
        if plan.to_bytes() != data:
            raise BadPlan("plan: these bytes are not the canonical form, so their digest would not be unique")
        return plan

    @classmethod
    def from_toml(cls, path: Path) -> Plan:
        """Read a plan a person wrote.

        Raises:
            BadPlan: Unreadable, not TOML, or a field out of range.
        """
        try:
            fields = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
        except FileNotFoundError:
            raise BadPlan(f"{path}: there is no such file; `medweave plan new --out FILE` writes one") from None
        except OSError as e:
            raise BadPlan(f"{path}: cannot be read: {e.strerror}") from None
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
            raise BadPlan(f"{path}: cannot be read as TOML ({e})") from None
        return cls.of(fields)

    @classmethod
    def of(cls, fields: Mapping[str, object]) -> Plan:
        """Build a plan from settings by name.

        Raises:
            BadPlan: A field out of range, naming it, or a plan longer than its readers accept.
        """
        try:
            plan = cls.model_validate(fields)
        except ValidationError as e:
            raise BadPlan(_first_problem(e)) from None
        if len(plan.to_bytes()) > MAX_PLAN_BYTES:
            raise BadPlan(f"plan: longer than {MAX_PLAN_BYTES} bytes: shorten the class names")
        return plan

    @classmethod
    def create(cls, **fields: object) -> Plan:
        """Build a plan from settings given as keywords; `of` otherwise."""
        return cls.of(fields)


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "plan"
    return f"plan: {where}: {first['msg']}"
