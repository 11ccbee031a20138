"""What `medweave demo` can be told, checked before anything is started."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from node.attacks.spec import parse_attack
from node.demo.faults.spec import parse_fault
from node.errors import BadEnvironment, BadInput

if TYPE_CHECKING:
    from pathlib import Path

MAX_HOSPITALS = 64
_PARTITION = re.compile(r"iid|by-patient|dirichlet:(\d+(\.\d*)?|\.\d+)")


@dataclass(frozen=True)
class DemoOptions:
    """The options of one demo run.

    Raises:
        BadInput: They contradict each other; the message says which option to change.
    """

    out: Path
    """Run directory; must not exist or be empty."""
    hospitals: int = 4
    names: tuple[str, ...] = ()
    """What the hospitals call themselves; those without a name here are `hospital-K`."""
    threshold: int | None = None
    """Members needed to open a sum; ⌈2N/3⌉ where not given."""
    min_group: int = 3
    rounds: int = 3
    data: Path | None = None
    """None: the synthetic phantom."""
    partition: str = "by-patient"
    epochs: int = 10
    seed: int = 0
    architecture: str = "capsnet"
    image_size: int = 64
    parameter_set: str = "standard"
    json: Path | None = None
    keep_running: bool = False
    check_plaintext: bool = False
    baseline: bool = True
    """Also train each hospital on its own images alone, for comparison."""
    base_port: int = 0
    """First port of the daemons; 0 takes free ones."""
    round_seconds: int = 1200
    """A round is aborted after this long; updates are collected in its first half."""
    samples: int = 480
    """Phantom images, where no data is given."""
    fault: str = ""
    """What goes wrong with a machine, a link or the chain, as `node.demo.faults.spec` reads it."""
    attack: str = ""
    """Hospitals that lie, as `node.attacks.spec` reads it; the plan's defence is then `suspicion`."""

    def __post_init__(self) -> None:
        """Check the options against each other."""
        n, t = self.hospitals, self.members_needed
        if not 2 <= n <= MAX_HOSPITALS:
            raise BadInput(f"--hospitals {n}: choose 2 to {MAX_HOSPITALS}")
        if t > n:
            raise BadInput(f"--threshold {t} exceeds the {n} hospitals: choose at most {n}")
        if t < 1:
            raise BadInput(f"--threshold {t}: at least 1 member must open a sum")
        if self.min_group > n:
            raise BadInput(
                f"--min-group {self.min_group} needs at least {self.min_group} hospitals, there are {n}: "
                f"raise --hospitals or lower --min-group"
            )
        if self.min_group < 1:
            raise BadInput(f"--min-group {self.min_group}: at least 1 update forms a group")
        if self.rounds < 1 or self.epochs < 1:
            raise BadInput("--rounds and --epochs must be at least 1")
        if not _PARTITION.fullmatch(self.partition):
            raise BadInput(f"--partition {self.partition!r}: choose iid, by-patient or dirichlet:ALPHA")
        if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise BadEnvironment(f"--out {self.out}: exists and is not empty; choose another directory")
        if self.json is not None and not self.json.absolute().parent.is_dir():
            raise BadInput(f"--json {self.json}: its directory does not exist; make it first")
        if self.round_seconds < 10:
            raise BadInput(f"--round-seconds {self.round_seconds}: a round needs at least 10 seconds")
        if self.attack:
            parse_attack(self.attack, n)
        if self.fault and self.attack:
            raise BadInput("--fault and --attack: choose one; a fault is judged among honest hospitals")
        if self.fault:
            parse_fault(self.fault, n, self.rounds)
        if self.base_port and not 1024 <= self.base_port <= 65535 - n - 1:
            raise BadInput(f"--base-port {self.base_port}: choose 1024 to {65535 - n - 1}")

    @property
    def members_needed(self) -> int:
        """T."""
        return math.ceil(2 * self.hospitals / 3) if self.threshold is None else self.threshold
