"""Looks at everything that a node needs, in the order in which it needs it."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chain.client import Chain
from chain.errors import ChainError
from node.calling import Dialer
from node.config import TESTING_VARIABLE
from node.consortium.follower import Follower
from node.doctor import certificates, chainside, local, network
from node.doctor.verdict import Verdict, fail, ok, skipped
from node.epochs.start import member_index
from node.epochs.vault import share_files
from node.errors import BadConfig, BadMotion, BadPlan, MedweaveError
from node.home import read_deployment, stated_account, unlock_identity
from node.membership.fingerprint import fingerprint
from node.membership.funds import SPARE_ROUNDS, Funds
from node.membership.request import read_request
from node.membership.stranger import stranger_dialer
from node.planning.choice import choose
from node.rounds.plan import Plan
from node.storage import StorageError, raw_cid
from node.storage.opening import open_store
from node.version import version

if TYPE_CHECKING:
    from node.config import NodeConfig
    from node.consortium.view import ConsortiumView
    from node.doctor.verdict import Check
    from node.home import Home
    from node.planning.first import Images

ATTEMPTS = 2
CHAIN_SECONDS = 5.0
ASK_SECONDS = 5.0
"""For one member's answer."""
OWN_SECONDS = 2.0
"""For this hospital's own node."""
AT_ONCE = 16
"""Members asked at the same time."""


@dataclass
class Examination:
    """One look at a hospital's directory and what lies around it.

    Args:
        home: The hospital's directory.
        password: Opens its keys; None leaves out what needs it.
    """

    home: Home
    password: str | None = None
    checks: list[Check] = field(default_factory=list)

    def run(self) -> list[Check]:
        """Every check, in the order in which a node needs what it looks at."""
        try:
            config = self.home.config()
        except BadConfig as error:
            self.checks.append(
                fail("configuration", str(error), "mend node.toml, or make a directory with `medweave init`")
            )
            return self.checks
        self.checks += [
            ok("configuration", f"{self.home.config_file} can be read"),
            local.software(),
            local.permissions(self.home),
            local.password(self.home, self.password),
            local.disk(self.home),
        ]
        check, images, count = local.images(self.home, config)
        own = network.ask(config.hospital.name, config.hospital.url, _dialer(self.home, config), OWN_SECONDS)
        self.checks += [
            check,
            local.port(config, own.host or None),
            certificates.tls(self.home, config, time.time()),
        ]
        self._consortium(config, images, count, running=own.host == config.hospital.name)
        return self.checks

    @property
    def healthy(self) -> bool:
        """Whether nothing failed."""
        return all(check.verdict is not Verdict.FAIL for check in self.checks)

    def _consortium(self, config: NodeConfig, images: Images | None, count: int, *, running: bool) -> None:
        """What can be looked at once the contracts are known and the chain answers."""
        found = self._chain(config)
        if found is None:
            names = ("clock", "account", "funds", "key", "plan", "url", "peers", "journal")
            self.checks += [skipped(name, "the chain cannot be asked") for name in names]
            return
        chain, view = found
        address, box_key = self._account()
        seat = member_index(view, address) if address else None
        answers = _ask_others(self.home, config, view, seat)
        tolerance = config.api.clock_seconds
        self.checks.append(chainside.clock(time.time(), chain.now(), network.clocks(answers), tolerance))
        if address:
            print_of = fingerprint(address, box_key) if box_key else "unknown without the password"
            held = Funds(chain.balance(address), chain.gas_price())
            asked = self._asked_until(chain)
            self.checks += [
                chainside.account(view, address, print_of, asked),
                chainside.funds(address, held, SPARE_ROUNDS),
            ]
        self.checks += [
            chainside.key(view, seat, share_files(self.home, view.active_epoch)),
            self._plan(config, view, images),
            chainside.registered_url(view, seat, config),
            network.peers(answers, chain.deployment.consortium, version(), view.quorum),
            local.journal(self.home.journal, max(view.rounds, default=0), running=running, now=time.time()),
        ]
        if seat is not None and count:
            self.checks.append(chainside.declared(view, seat, count))

    def _chain(self, config: NodeConfig) -> tuple[Chain, ConsortiumView] | None:
        try:
            deployment = read_deployment(self.home)
        except BadConfig as error:
            self.checks.append(
                fail(
                    "chain",
                    str(error),
                    "`medweave found` at the first hospital, `medweave join --to URL` at later ones",
                )
            )
            return None
        chain = Chain(config.chain.rpc, deployment, timeout=CHAIN_SECONDS, attempts=ATTEMPTS)
        try:
            chain.verify()
            follower = Follower(chain)
            follower.look()
        except ChainError as error:
            self.checks.append(
                fail(
                    "chain",
                    str(error),
                    "look at [chain] rpc, at that endpoint, and at consortium.json: one is of another chain",
                )
            )
            return None
        shown = f"{config.chain.rpc}: chain {deployment.chain_id}, block {chain.block_number()}, contracts as expected"
        self.checks.append(ok("chain", shown))
        return chain, follower.view

    def _account(self) -> tuple[str, bytes]:
        """The account's address, from the keystore, and the X25519 public key if the password opens it; empty otherwise."""
        try:
            address = stated_account(self.home)
        except BadConfig:
            return "", b""
        try:
            return address, unlock_identity(self.home, self.password).box.public if self.password else b""
        except MedweaveError:
            return address, b""

    def _asked_until(self, chain: Chain) -> int:
        """Until when this hospital's request stands; 0 without one that does."""
        with suppress(OSError, BadMotion):
            return read_request(self.home.request.read_bytes(), chain.deployment, time.time()).deadline
        return 0

    def _plan(self, config: NodeConfig, view: ConsortiumView, images: Images | None) -> Check:
        """The plan in force, read from this hospital's file or blobs."""
        file, found = self.home.file(config.rounds.plan), None
        try:
            own = Plan.from_toml(file) if file.exists() else None
        except BadPlan as error:
            return fail("plan", f"{file.name}: {error}", "`medweave plan check` says what a plan must have")
        choice = choose(view, own)
        if own is not None and choice.digest == own.digest:
            found = own
        elif choice.digest is not None:
            with suppress(StorageError, BadPlan, OSError):
                found = Plan.from_bytes(open_store(self.home.blobs, config.storage).get(raw_cid(choice.digest)))
        minimal = os.environ.get(TESTING_VARIABLE) == "1"
        return chainside.plan(found, choice, config, len(view.members), images, minimal=minimal)


def _ask_others(home: Home, config: NodeConfig, view: ConsortiumView, seat: int | None) -> list[network.Answer]:
    others, dialer = [hospital for at, hospital in view.present if at != seat], _dialer(home, config)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda h: network.ask(h.name, h.url, dialer, ASK_SECONDS), others))


def _dialer(home: Home, config: NodeConfig) -> Dialer:
    """Calls that trust whom the node trusts; where its TLS files are of no use, whom the system trusts."""
    try:
        return stranger_dialer(home, config)
    except BadConfig:
        return Dialer()
