"""Building the demo's consortium: chain, hospitals with their own keys, contracts, daemons."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

import psutil
import tomli_w

from chain.anvil import Anvil, dev_account
from chain.deployment import deploy, fund
from chain.records import Hospital
from node.attacks.poison import poisoned_images
from node.attacks.spec import MARK, parse_attack
from node.config import NodeConfig
from node.demo.data import write
from node.demo.faults.spec import parse_fault
from node.demo.faults.staging import staged
from node.demo.ports import choose_ports
from node.demo.processes import HospitalProcess, finish, stop_all, wait_until_up
from node.images.dataset import load_saved, save
from node.rounds.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chain.deployment import Deployment
    from node.demo.data import DemoData
    from node.demo.faults.staging import Props
    from node.demo.options import DemoOptions

INIT_SECONDS = 120.0
LAST_RATE = Decimal("0.5")
"""Share of the first round's peak learning rate that the last round still uses."""
ATTACKED_CLIP_NORM = Decimal(4)
"""The L2 bound of a demo that is attacked: a few times what its honest updates need, so that the bound on sums says something."""
ATTACKED_SECTIONS = 3
"""The parts into which the model of such a demo is cut, each summed in groups of its own; fewer where groups are smaller."""
SLOTS = 20
"""Into a round where a fault is to happen, so many leaders' slots would fit."""
STAKE_ETHER = 100
"""What each hospital's account is given on the demo's own chain."""


def plan_for(options: DemoOptions, data: DemoData) -> Plan:
    """The plan of all rounds of a demo run.

    Where a fault is to happen, a leader's slot is short beside the round: another must take over in time.

    Its rates fall less than a plan's by default: a few rounds have no time to settle (`docs/spec/learning.md`).
    """
    return Plan.create(
        name="demo",
        architecture=options.architecture,
        classes=data.class_names,
        image_size=options.image_size,
        crop_lungs=data.test.cropped,
        rounds=options.rounds,
        epochs=options.epochs,
        last_rate=LAST_RATE,
        seed=options.seed,
        parameter_set=options.parameter_set,
        threshold=options.members_needed,
        min_group=options.min_group,
        collect_seconds=options.round_seconds // 2,
        round_seconds=options.round_seconds,
        **({"slot_seconds": max(2, options.round_seconds // SLOTS)} if options.fault else {}),
        **(_against_liars(options) if options.attack else {}),
    )


def _against_liars(options: DemoOptions) -> dict[str, object]:
    return {
        "defence": "suspicion",
        "sections": min(ATTACKED_SECTIONS, options.min_group),
        "clip_norm": ATTACKED_CLIP_NORM,
    }


@contextmanager
def network(
    options: DemoOptions,
    data: DemoData,
    say: Callable[[str], None],
    tell: Callable[[Props], None] = lambda _props: None,
) -> Iterator[tuple[tuple[HospitalProcess, ...], Deployment, Anvil]]:
    """A running consortium; everything is stopped on the way out, whatever happens.

    Args:
        options: The demo's options.
        data: The hospitals' images.
        say: Told what is being done, a line each.
        tell: Told what was made ready for the fault, if there is to be one.

    Raises:
        MedweaveError: Something could not be started; nothing is left running.
        ChainError: Anvil is missing or its port in use.
    """
    with founded(options, data, say, tell) as (hospitals, deployment, anvil):
        say("starting the daemons")
        threads = threads_for(hospitals)
        try:
            for hospital in hospitals:
                hospital.start(threads)
            wait_until_up(hospitals)
            yield hospitals, deployment, anvil
        finally:
            stop_all(hospitals)


def threads_for(hospitals: tuple[HospitalProcess, ...]) -> int:
    """Each hospital's share of the machine's processors, at least 1."""
    return max(1, (psutil.cpu_count() or 1) // len(hospitals))


@contextmanager
def founded(
    options: DemoOptions,
    data: DemoData,
    say: Callable[[str], None],
    tell: Callable[[Props], None] = lambda _props: None,
) -> Iterator[tuple[tuple[HospitalProcess, ...], Deployment, Anvil]]:
    """A consortium whose daemons are not started yet: who starts them stops them.

    Args:
        options: The demo's options.
        data: The hospitals' images.
        say: Told what is being done, a line each.
        tell: Told what was made ready for the fault, if there is to be one.

    Raises:
        MedweaveError: Something could not be started; nothing is left running.
        ChainError: Anvil is missing or its port in use.
    """
    options.out.mkdir(parents=True, exist_ok=True)
    ports = choose_ports(options.hospitals + 1, options.base_port)
    say("starting Anvil")
    with Anvil(ports[0], options.out / "chain" / "state.json", log=options.out / "chain" / "anvil.log") as anvil:
        hospitals = _hospitals(options, ports[1:])
        fault = parse_fault(options.fault, options.hospitals, options.rounds) if options.fault else None
        with staged(fault, hospitals, ports[0], options.out) as props:
            tell(props)
            say(f"making keys of {len(hospitals)} hospitals, each in its own directory")
            members = _provision(options, data, hospitals, props.rpcs)
            props.furnish(hospitals)
            if fault is None:
                _announce_blocks(hospitals, anvil)
            say("deploying the contracts")
            deployment = _deploy(options, anvil.url, members)
            _write_shared_files(options, data, hospitals, deployment)
            yield hospitals, deployment, anvil


def _hospitals(options: DemoOptions, ports: list[int]) -> tuple[HospitalProcess, ...]:
    return tuple(
        HospitalProcess(
            index=index,
            name=options.names[index] if index < len(options.names) else f"hospital-{index + 1}",
            home=options.out / "hospitals" / f"hospital-{index + 1}",
            url=f"http://127.0.0.1:{port}",
            port=port,
        )
        for index, port in enumerate(ports)
    )


def _make_liars(options: DemoOptions, hospitals: tuple[HospitalProcess, ...]) -> None:
    """Mark the hospitals that are to lie, and give them other training images where the attack is in these."""
    if not options.attack:
        return
    attack = parse_attack(options.attack, options.hospitals)
    for hospital in hospitals:
        if hospital.index in attack.seats:
            hospital.attack = (str(attack), options.hospitals)
            (hospital.home / MARK).write_text(str(attack), encoding="utf-8")
            images = hospital.home / "data" / "train.npz"
            save(poisoned_images(attack, load_saved(images)), images)


def _provision(
    options: DemoOptions, data: DemoData, hospitals: tuple[HospitalProcess, ...], rpcs: tuple[str, ...]
) -> list[Hospital]:
    """Every hospital makes its own keys in its own process; only public facts come back."""
    threads = threads_for(hospitals)
    with ThreadPoolExecutor(4) as pool:
        sizes = list(pool.map(lambda h: write(data, h.index, h.home, options.seed), hospitals))
    _make_liars(options, hospitals)
    children = [
        hospital.run(
            *("init", "--json", "--name", hospital.name, "--port", str(hospital.port), "--url", hospital.url),
            *("--rpc", rpc, "--target", str(options.rounds), "--min-group", str(options.min_group)),
            *("--min-threshold", str(options.members_needed)),
            *("--threads", str(threads), "--test-data", "data/test.npz"),
            *(("--keep-quantised",) if options.check_plaintext else ()),
        )
        for hospital, rpc in zip(hospitals, rpcs, strict=True)
    ]
    facts = finish(children, "medweave init", INIT_SECONDS)
    return [
        Hospital(fact["account"], bytes.fromhex(fact["box_key"]), size, fact["name"], fact["url"])
        for fact, size in zip(facts, sizes, strict=True)
    ]


def _announce_blocks(hospitals: tuple[HospitalProcess, ...], anvil: Anvil) -> None:
    """Have every hospital told of new blocks; where a fault is to come, they ask, so that what lies between can break."""
    for hospital in hospitals:
        file = hospital.home / "node.toml"
        config = NodeConfig.read(file, {})
        told = config.chain.model_copy(update={"websocket": f"ws://127.0.0.1:{anvil.port}"})
        config.model_copy(update={"chain": told}).write(file)


def _deploy(options: DemoOptions, rpc: str, members: list[Hospital]) -> Deployment:
    payer = dev_account(0)
    started = f"{time.time_ns()}".encode()
    consortium = hashlib.sha256(b"medweave/demo" + started + b"".join(m.box_key for m in members)).digest()
    deployment = deploy(rpc, payer, consortium, members)
    fund(rpc, payer, [member.account for member in members], Decimal(STAKE_ETHER))
    (options.out / "consortium.json").write_text(deployment.to_json(), encoding="utf-8")
    return deployment


def _write_shared_files(
    options: DemoOptions, data: DemoData, hospitals: tuple[HospitalProcess, ...], deployment: Deployment
) -> None:
    """What every member knows: the contracts' addresses and the plan."""
    plan = tomli_w.dumps(plan_for(options, data).model_dump(mode="json"))
    for hospital in hospitals:
        (hospital.home / "consortium.json").write_text(deployment.to_json(), encoding="utf-8")
        (hospital.home / "plan.toml").write_text(plan, encoding="utf-8")
