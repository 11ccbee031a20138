"""A node's configuration: one TOML file, validated; every key documented here and overridable from the environment.

`MEDWEAVE_<SECTION>_<KEY>` (for example `MEDWEAVE_CHAIN_RPC`) overrides the key of the same name.
"""

from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from node.errors import BadConfig

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TESTING_VARIABLE = "MEDWEAVE_TESTING"
"""Set to 1 only by the test suite: without it the `minimal` encryption parameters refuse to start."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Hospital(_Section):
    """`[hospital]`: who this node is."""

    name: str = Field(min_length=1, max_length=80, description="Name shown to the other members.")
    host: str = Field(default="127.0.0.1", description="Address the daemon listens on.")
    port: int = Field(ge=1, le=65535, description="Port the daemon listens on.")
    url: str = Field(pattern=r"^https?://[^\s]{1,200}$", description="URL under which other members reach this node.")


class ChainSection(_Section):
    """`[chain]`: where the contracts are."""

    rpc: str = Field(pattern=r"^https?://[^\s]{1,200}$", description="JSON-RPC endpoint of the Ethereum chain.")
    deployment: str = Field(default="consortium.json", description="File with the contracts' addresses.")
    poll_seconds: float = Field(default=0.1, ge=0.02, le=60, description="Pause between looks for new events, seconds.")
    websocket: str = Field(
        default="",
        pattern=r"^(wss?://[^\s]{1,200})?$",
        description="WebSocket endpoint that announces new blocks; empty: only poll.",
    )
    finality: int = Field(
        default=64, ge=1, le=100_000, description="Blocks on top of one that the chain never takes back."
    )
    max_fee_gwei: float = Field(
        default=1000.0, gt=0, le=1e9, description="Most this hospital pays for a unit of gas, in gwei."
    )


class Data(_Section):
    """`[data]`: this hospital's own images; paths are relative to the hospital's directory."""

    train: str = Field(default="data/train.npz", description="Images trained on.")
    validation: str = Field(default="data/validation.npz", description="Held-out images; verdicts are scored on them.")
    test: str = Field(default="", description="Optional images on which every finalised model is reported.")
    lungs: str = Field(
        default="",
        description="File of the plan's lung network (`medweave lungs`): images that models are asked about are cropped by it.",
    )
    register_card: bool = Field(
        default=True,
        description="Put the digest of the training images' data card on chain, at the start and whenever they changed.",
    )


class Rounds(_Section):
    """`[rounds]`: what this hospital takes part in."""

    plan: str = Field(
        default="plan.toml",
        description="Plan this hospital opens rounds with, until the members have decided about one by vote.",
    )
    target: int = Field(
        default=0,
        ge=0,
        description="Open rounds until this many are finalised, where the plan has no timetable; 0 opens none.",
    )
    min_group: int = Field(default=3, ge=1, le=256, description="Refuse plans that open sums of fewer updates.")
    min_threshold: int = Field(
        default=0, ge=0, le=256, description="Refuse key epochs that fewer members can open; 0: more than half of all."
    )
    min_cohort: int = Field(
        default=32,
        ge=1,
        le=256,
        description="Refuse key epochs held by a drawn cohort of fewer members; see the table in docs/threat-model.md.",
    )


class Membership(_Section):
    """`[membership]`: what this hospital does by itself about members, keys and faults."""

    exchange_seconds: float = Field(
        default=5.0, ge=0.2, le=3600, description="Peers are asked for motions and signatures this often, seconds."
    )
    new_epochs: bool = Field(
        default=True, description="Open a key ceremony when the active key does not fit the members any more."
    )
    challenge: bool = Field(
        default=True, description="Bring proofs of other members' faults to the chain, paying for the transaction."
    )
    findings: bool = Field(
        default=True, description="Sign findings about faults that this node has seen itself and no chain sees."
    )
    propose_removal_below: int = Field(
        default=0, ge=0, le=100, description="Propose the removal of members whose reputation is below this; 0 never."
    )
    propose_removal_after: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Propose the removal of members that suspicion left out of the sums in so many of the last 64 rounds; 0 never.",
    )


class Compute(_Section):
    """`[compute]`: how much of the machine training and sealing may use."""

    threads: int = Field(default=1, ge=1, le=256, description="Threads of the training.")
    nice: int = Field(
        default=10, ge=0, le=19, description="Niceness of the process that trains: how much others go before it."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto",
        description="Where training computes: `cuda`, `cpu`, or `auto`, the first GPU where there is one.",
    )


class Predict(_Section):
    """`[predict]`: models asked about images."""

    queue: int = Field(default=8, ge=1, le=32, description="Questions that may wait or be worked on at once.")
    timeout_seconds: float = Field(
        default=30, ge=1, le=600, description="An image that takes longer is given up, seconds."
    )
    idle_seconds: float = Field(
        default=300, ge=1, le=86400, description="The process that answers ends when nobody asked for so long, seconds."
    )


class Storage(_Section):
    """`[storage]`: where ciphertexts, manifests and statements are kept."""

    backend: Literal["files", "ipfs"] = Field(
        default="files", description="`files`: below `blobs/`; `ipfs`: in an IPFS node, js-ipfs or Kubo."
    )
    ipfs: str = Field(
        default="/ip4/127.0.0.1/tcp/5001",
        pattern=r"^/[^\s]{1,200}$",
        description='Multiaddress of the IPFS node\'s RPC, for `backend = "ipfs"`.',
    )
    ipfs_elsewhere: bool = Field(
        default=False,
        description="Allow an IPFS node on another machine. Its RPC has no password: only on a private network.",
    )
    quota_gib: float = Field(
        default=0, ge=0, le=1_000_000, description="Refuse new blobs beyond this many GiB; 0 leaves it to the disk."
    )
    keep_rounds: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Delete own copies of ciphertexts beyond the newest so many final rounds; 0 keeps all. Proofs always stay.",
    )


class Log(_Section):
    """`[log]`: what the daemon says of itself, and where."""

    format: Literal["text", "json"] = Field(
        default="text", description="`text`: a line for people; `json`: an object a line, for machines."
    )
    level: Literal["debug", "info", "warning"] = Field(default="info", description="Least level that is logged.")
    file: str = Field(
        default="", description="File to log to, relative to the hospital's directory; empty: standard error."
    )
    max_mib: int = Field(default=50, ge=0, le=100_000, description="Size at which a new file begins, in MiB; 0: never.")
    keep: int = Field(default=5, ge=1, le=1000, description="How many older files are kept.")


class Api(_Section):
    """`[api]`: the node's port: TLS, and how much callers may ask. Files are relative to the hospital's directory."""

    tls_certificate: str = Field(default="", description="Certificate chain (PEM) the node serves with; empty: no TLS.")
    tls_key: str = Field(default="", description="Private key (PEM) of the certificate.")
    tls_members_ca: str = Field(
        default="",
        description="Authority (PEM) that the members' certificates come from: nodes show them to each other. Empty: the system's.",
    )
    plain_elsewhere: bool = Field(
        default=False,
        description="Serve without TLS on another than the loopback address. Only behind something that encrypts.",
    )
    hosts: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9.:, _-]{0,2000}$",
        description="Further names under which callers may address the node, with commas between them.",
    )
    proxies: str = Field(
        default="",
        pattern=r"^[0-9A-Fa-f.:/, ]{0,2000}$",
        description="Addresses or networks of proxies, with commas between them, whose X-Forwarded-For and X-Forwarded-Proto are "
        "believed.",
    )
    people_per_second: float = Field(
        default=50, gt=0, le=100_000, description="Requests a second that a person's token may make, on average."
    )
    members_per_second: float = Field(
        default=500,
        gt=0,
        le=100_000,
        description="Requests a second that another hospital's node may make, on average.",
    )
    strangers_per_second: float = Field(
        default=5,
        gt=0,
        le=100_000,
        description="Requests a second from one address without valid credentials, on average.",
    )
    clock_seconds: float = Field(
        default=60,
        ge=5,
        le=600,
        description="By how much another node's clock may be off before its requests are refused.",
    )


class Debug(_Section):
    """`[debug]`: never on in a real consortium."""

    keep_quantised: bool = Field(
        default=False,
        description="Keep every quantised update in the clear in this hospital's own directory (demo --check-plaintext).",
    )


class NodeConfig(_Section):
    """Everything one daemon is told; see the sections."""

    hospital: Hospital
    chain: ChainSection
    data: Data = Data()
    rounds: Rounds = Rounds()
    membership: Membership = Membership()
    compute: Compute = Compute()
    predict: Predict = Predict()
    storage: Storage = Storage()
    log: Log = Log()
    api: Api = Api()
    debug: Debug = Debug()

    @classmethod
    def read(cls, path: Path, environment: Mapping[str, str] | None = None) -> NodeConfig:
        """Read and validate a configuration file.

        Args:
            path: The TOML file.
            environment: Overrides; the process environment by default.

        Raises:
            BadConfig: The file is missing, is not TOML, or a key is wrong; the message names file and key.
        """
        try:
            sections: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise BadConfig(f"{path}: no such file; `medweave init --home DIR` makes one") from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
            raise BadConfig(f"{path}: cannot be read as TOML ({e})") from None
        _override(sections, os.environ if environment is None else environment)
        try:
            return cls.model_validate(sections)
        except ValidationError as e:
            first = e.errors()[0]
            raise BadConfig(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None

    def write(self, path: Path) -> None:
        """Write the configuration as TOML."""
        path.write_text(tomli_w.dumps(self.model_dump(mode="json")), encoding="utf-8")


def _override(sections: dict[str, Any], environment: Mapping[str, str]) -> None:
    for section, model in NodeConfig.model_fields.items():
        keys = getattr(model.annotation, "model_fields", {})
        for key in keys:
            value = environment.get(f"MEDWEAVE_{section}_{key}".upper())
            if value is not None and isinstance(sections.setdefault(section, {}), dict):
                sections[section][key] = value
