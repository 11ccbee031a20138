"""What a fault needs to be there before the hospitals are founded: proxies, a small disk, a clock, an IPFS node."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from node.config import NodeConfig, Storage
from node.demo.faults.clock import set_clock
from node.demo.faults.disk import Disk, small_disk
from node.demo.faults.ipfs import Ipfs
from node.demo.faults.links import Links
from node.demo.faults.spec import IPFS
from node.demo.ports import choose_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from node.demo.faults.spec import Fault
    from node.demo.processes import HospitalProcess


@dataclass(frozen=True)
class Props:
    """What was made for a fault."""

    rpcs: tuple[str, ...]
    """Each hospital's address of the chain."""
    links: Links | None = None
    towards: tuple[int, ...] = ()
    """The port of the proxy before each hospital, or before the chain for each."""
    disk: Disk | None = None
    ipfs: Ipfs | None = None

    def furnish(self, hospitals: Sequence[HospitalProcess]) -> None:
        """Have every other hospital, the first among them, keep its blobs in the IPFS node, if there is one.

        The others keep theirs in files, so blobs go both ways between the two kinds of store.

        Args:
            hospitals: Provisioned, not yet started.
        """
        if self.ipfs is None:
            return
        for hospital in hospitals[::2]:
            file = hospital.home / "node.toml"
            config = NodeConfig.read(file, {})
            config.model_copy(update={"storage": Storage(backend="ipfs", ipfs=self.ipfs.address)}).write(file)


@contextmanager
def staged(fault: Fault | None, hospitals: tuple[HospitalProcess, ...], chain_port: int, out: Path) -> Iterator[Props]:
    """Make it, for as long as the hospitals live.

    Hospitals whose links can break get the address of the proxy before them as their public one.

    Args:
        fault: What is going to happen; None: nothing.
        hospitals: Not yet provisioned.
        chain_port: Where the chain listens.
        out: The run's directory.

    Raises:
        BadEnvironment: There are no ports or no IPFS node, or the disk cannot be taken off again.
    """
    rpcs = tuple(f"http://127.0.0.1:{chain_port}" for _ in hospitals)
    with ExitStack() as stack:
        if fault is None:
            yield Props(rpcs)
        elif fault.links:
            ports = tuple(choose_ports(len(hospitals), 0))
            if fault.kind == "cut-chain":
                rpcs = tuple(f"http://127.0.0.1:{port}" for port in ports)
                routes = dict.fromkeys(ports, chain_port)
            else:
                routes = {port: hospital.port for port, hospital in zip(ports, hospitals, strict=True)}
                for port, hospital in zip(ports, hospitals, strict=True):
                    hospital.url = f"http://127.0.0.1:{port}"
            yield Props(rpcs, stack.enter_context(Links(routes)), ports)
        elif fault.victim == IPFS:
            port = choose_ports(1, 0)[0]
            yield Props(rpcs, ipfs=stack.enter_context(Ipfs(out / "ipfs", port)))
        elif fault.kind == "disk-full":
            victim = hospitals[int(fault.victim.removeprefix("member-")) - 1]
            yield Props(rpcs, disk=stack.enter_context(small_disk(victim.home)))
        else:
            if fault.kind == "clock":
                victim = hospitals[int(fault.victim.removeprefix("member-")) - 1]
                victim.home.mkdir(parents=True, exist_ok=True)
                set_clock(victim.home, 0.0)
                victim.skewed = True
            yield Props(rpcs)
