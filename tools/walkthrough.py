"""Three hospitals found a consortium, one after the other, and one leaves: typed as a new user would, recorded as it went.

    python -m tools.walkthrough --out docs/walkthrough.md     # takes some minutes; real processes, real encryption, a real chain

Every command of the page is run here as it stands, in a directory of its own; what it prints goes into the page. Ports are
written as the ones a hospital would use. Exit codes: 0 recorded, 1 something did not happen in time.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chain import jsontext
from chain.anvil import Anvil
from chain.children import end
from chain.client import Chain
from chain.events import HospitalAdmitted, RoundAborted, RoundFinalised, RoundOpened
from node.demo.ports import choose_ports
from node.home import Home, read_deployment
from node.images.archive import save
from node.images.phantom import generate

if TYPE_CHECKING:
    from collections.abc import Callable

HOSPITALS = ("northside", "riverside", "lakeside")
CHAIN_PORT, FIRST_PORT = 8545, 8470
IMAGES, PIXELS = 48, 64
LONGEST_SECONDS = 600.0
STOP_SECONDS = 20.0
LAST_LOG_LINES = 12


class NotInTime(Exception):  # noqa: N818  (it says what is wrong)
    """Something did not happen in time, or a command ended otherwise than expected; the message shows the logs."""


@dataclass
class Walk:
    """Hospitals' directories below one folder, and the page as it grows.

    Attributes:
        root: Where commands are typed.
        ports: The port really used, by the one the page shows.
        page: Lines of the page.
        typed: Commands typed, with the hospital that typed them.
    """

    root: Path
    ports: dict[int, int]
    page: list[str] = field(default_factory=list)
    typed: list[tuple[str, str]] = field(default_factory=list)
    nodes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def say(self, text: str) -> None:
        """A paragraph, or a heading."""
        self.page += ["", text]

    def type(self, who: str, line: str, *, code: int = 0) -> str:
        """Type a command at a hospital, wait for it, and show what it prints.

        Raises:
            NotInTime: It ends with another code.
        """
        self.typed.append((who, line))
        done = subprocess.run(
            shlex.split(self._real(line)), cwd=self.root, env=self._environment(who), capture_output=True, text=True,
            timeout=LONGEST_SECONDS, check=False,
        )  # fmt: skip
        shown = self._shown(done.stdout + done.stderr)
        if done.returncode != code:
            raise NotInTime(f"{line}: exit code {done.returncode}\n{shown}\n{self.logs()}")
        self._block(line, shown)
        return shown

    def start(self, who: str) -> None:
        """Start a hospital's node."""
        line = f"medweave node --home {who}"
        self.typed.append((who, line))
        with (self.root / who / "node.log").open("ab") as log:
            self.nodes[who] = subprocess.Popen(
                shlex.split(self._real(line)), cwd=self.root, env=self._environment(who), stdout=log, stderr=log
            )
        self._block(line, "")

    def show_log(self, who: str, pattern: str, most: int = LAST_LOG_LINES) -> None:
        """Show the lines of a node's log that match."""
        lines = [line for line in self.log(who).splitlines() if re.search(pattern, line)]
        self._block(f"# {who}'s node says", "\n".join(lines[-most:]))

    def until(self, what: str, ready: Callable[[], bool], seconds: float = LONGEST_SECONDS) -> None:
        """Wait.

        Raises:
            NotInTime: It did not happen.
        """
        end = time.monotonic() + seconds
        while not ready():
            for who, process in self.nodes.items():
                if process.poll() is not None:
                    raise NotInTime(f"the node of {who} ended with {process.returncode}\n{self.logs()}")
            if time.monotonic() > end:
                raise NotInTime(f"not within {seconds:.0f} s: {what}\n{self.logs()}")
            time.sleep(0.5)

    def facts(self, who: str, *arguments: str) -> Any:
        """What a command prints with --json; it is not shown."""
        line = ["medweave", *arguments, "--home", who, "--json"]
        done = subprocess.run(
            self._real(shlex.join(line)).split(),
            cwd=self.root,
            env=self._environment(who),
            capture_output=True,
            check=True,
        )
        return jsontext.parse(done.stdout)

    def log(self, who: str) -> str:
        """A node's log, with the ports of the page."""
        return self._shown((self.root / who / "node.log").read_text(errors="replace"))

    def logs(self) -> str:
        """The ends of all logs, for an error."""
        return "\n".join(f"--- {who}\n{self.log(who)[-3000:]}" for who in self.nodes)

    def stop(self) -> None:
        """Stop every node."""
        end(STOP_SECONDS, *self.nodes.values())

    def _block(self, line: str, output: str) -> None:
        prompt = line if line.startswith("#") else f"$ {line}"
        self.page += ["", "```console", prompt, *output.rstrip().splitlines(), "```"]

    def _environment(self, who: str) -> dict[str, str]:
        here = {
            "MEDWEAVE_PASSWORD": f"the password of {who}",
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "120",
            "NO_COLOR": "1",
        }
        return {**os.environ, **here, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def _real(self, text: str) -> str:
        return self._swap(text, self.ports)

    def _shown(self, text: str) -> str:
        return self._swap(text, {real: shown for shown, real in self.ports.items()}).replace(f"{self.root}/", "")

    @staticmethod
    def _swap(text: str, ports: dict[int, int]) -> str:
        return re.sub(r"\b\d{4,5}\b", lambda match: str(ports.get(int(match[0]), match[0])), text)


def story(walk: Walk) -> None:
    """Everything that happens, in order.

    Raises:
        NotInTime: It did not.
    """
    first, second, third = HOSPITALS
    walk.page += _TITLE.splitlines()
    _found(walk, first)
    _second(walk, first, second)
    _third_joins_meanwhile(walk, first, second, third)
    _one_leaves(walk, first, second, third)
    walk.say("## What was typed")
    rows = [f"| {who} | {sum(_onboards(line) for at, line in walk.typed if at == who)} |" for who in HOSPITALS]
    walk.page += ["", "| hospital | commands until its node ran |", "|---|---|", *rows]


def _found(walk: Walk, who: str) -> None:
    walk.say(f"## {who.capitalize()} founds the consortium")
    walk.say(_FOUND)
    walk.type(who, _init(who, FIRST_PORT) + " --target 1000")
    walk.type(who, f"medweave found --home {who} --name lungs --anvil-account 0")
    walk.say(_PLAN)
    edits = 's/^architecture = .*/architecture = "cnn"/; s/^epochs = .*/epochs = 20/; s/^collect_seconds = .*/collect_seconds = 60/'
    walk.type(who, f"sed -i '{edits}; s/^round_seconds = .*/round_seconds = 150/' {who}/plan.toml")
    walk.start(who)
    walk.until("one member waits", lambda: "waits for" in walk.log(who))
    walk.show_log(who, "waits for")


def _second(walk: Walk, host: str, who: str) -> None:
    walk.say(f"## {who.capitalize()} joins")
    walk.say(_JOIN)
    consortium = str(walk.facts(host, "members", "list")["consortium"])
    walk.type(who, _init(who, FIRST_PORT + 1))
    _join(walk, host, who, consortium)
    walk.start(who)
    walk.until("it waits", lambda: "waiting for" in walk.log(who))
    walk.show_log(who, "waiting for", 1)
    walk.say(f"At {host}, `pending` shows who asks. Its people call {who}, compare the fingerprint, and type it:")
    _approve(walk, host, who)
    walk.until("two members", lambda: _members(walk, host) == 2)
    walk.say("One of one is a quorum. The two nodes make a joint key that neither holds alone, and rounds begin:")
    walk.until("a round of two", lambda: _finalised(walk, host, 1) >= 1)
    walk.type(host, f"medweave keys show --home {host}")
    walk.type(who, f"medweave doctor --home {who}")


def _third_joins_meanwhile(walk: Walk, host: str, second: str, who: str) -> None:
    walk.say(f"## {who.capitalize()} joins while a round is running")
    consortium = str(walk.facts(host, "members", "list")["consortium"])
    walk.type(who, _init(who, FIRST_PORT + 2))
    _join(walk, host, who, consortium)
    walk.start(who)
    walk.say("Two of two must agree. Nothing is restarted, the round goes on meanwhile:")
    _approve(walk, host, who)
    walk.until("the second hears of it", lambda: any(who.capitalize() in m["what"] for m in _motions(walk, second)))
    before = _newest(walk, host)
    walk.until("a round has just been opened", lambda: _newest(walk, host) > before)
    walk.type(second, f"medweave members approve --home {second} {_fingerprint(walk, host, who)}")
    walk.until("three members", lambda: _members(walk, host) == 3)
    walk.say(
        f"The round that was open then is round {_open_at_admission(walk, host)}; {who} is not in it, and it is finished:"
    )
    walk.until("a key of three", lambda: _epoch(walk, host) >= 2)
    walk.until("a round of three", lambda: _finalised(walk, host, 2) >= 1)
    walk.type(who, f"medweave round list --home {who}")
    number = _trained(walk, who)
    walk.say(f"The nodes of all three have made a new key, epoch 2. In round {number} Lakeside trained, too:")
    walk.type(who, f"medweave round show {number} --home {who}")
    walk.type(who, f"medweave members list --home {who}")


def _one_leaves(walk: Walk, host: str, who: str, other: str) -> None:
    walk.say(f"## {who.capitalize()} leaves")
    walk.type(who, f"medweave members leave --home {who} --yes")
    walk.until("the others hear of it", lambda: any("remove" in m["what"] for m in _motions(walk, other)))
    motion = next(m["id"] for m in _motions(walk, other) if "remove" in m["what"])
    walk.type(other, f"medweave members approve --home {other} {motion[:16]} --yes")
    walk.until("two members", lambda: _members(walk, host) == 2)
    walk.until("a key of the two", lambda: _epoch(walk, host) >= 3)
    walk.until("a round of the two", lambda: _finalised(walk, host, 3) >= 1)
    walk.say(f"{other.capitalize()} and {host} have a new key, which {who} has no part in, and go on by themselves:")
    walk.type(other, f"medweave members list --home {other} --all")
    walk.say(f"{who.capitalize()}'s own node says what it is now, and its doctor too:")
    walk.until("it knows", lambda: "no member any more" in walk.log(who))
    walk.show_log(who, "no member any more", 1)
    walk.type(who, f"medweave doctor --home {who}", code=1)


def _init(who: str, port: int) -> str:
    place = f"medweave init --home {who} --name {who.capitalize()} --port {port} --rpc http://127.0.0.1:{CHAIN_PORT}"
    return f"{place} --images {who}.npz --min-group 2"


def _join(walk: Walk, host: str, who: str, consortium: str) -> None:
    url = f"http://127.0.0.1:{FIRST_PORT + HOSPITALS.index(host)}"
    walk.type(who, f"medweave join --home {who} --to {url} --consortium {consortium} --anvil-account 0")


def _approve(walk: Walk, host: str, who: str) -> None:
    walk.type(host, f"medweave members pending --home {host}")
    walk.type(host, f"medweave members approve --home {host} {_fingerprint(walk, host, who)}")


def _fingerprint(walk: Walk, host: str, who: str) -> str:
    """As a person reads it off the asking hospital's screen, and types it at another."""
    shown = "\n".join(walk.page)
    found = re.findall(rf"{who.capitalize()}\n  account.*\n  box key.*\n  url.*\n  fingerprint  (\S+)", shown)
    if len(found) != 1:
        raise NotInTime(f"{host}: the fingerprint of {who} is shown {len(found)} times")
    return str(found[0])


def _onboards(line: str) -> bool:
    return line.split()[:2] in (["medweave", word] for word in ("init", "found", "join", "node"))


def _members(walk: Walk, who: str) -> int:
    return len(walk.facts(who, "members", "list")["members"])


def _motions(walk: Walk, who: str) -> list[Any]:
    found: list[Any] = walk.facts(who, "members", "pending")["motions"]
    return found


def _epoch(walk: Walk, who: str) -> int:
    return int(walk.facts(who, "chain", "status")["active_epoch"] or 0)


def _finalised(walk: Walk, who: str, epoch: int) -> int:
    rows = walk.facts(who, "chain", "rounds")["rounds"]
    return sum(row["status"] == "finalised" and row["epoch"] == epoch for row in rows)


def _trained(walk: Walk, who: str) -> int:
    """The first finalised round in which a hospital had its part.

    Raises:
        NotInTime: There is none.
    """
    for row in walk.facts(who, "round", "list")["rounds"]:
        number = int(row["round"])
        if row["status"] == "finalised" and "sealed" in walk.facts(who, "round", "show", str(number))["here"]:
            return number
    raise NotInTime(f"{who} trained in no round\n{walk.logs()}")


def _newest(walk: Walk, who: str) -> int:
    """The number of the round that is open, of the last one otherwise."""
    return max((int(row["round"]) for row in walk.facts(who, "chain", "rounds")["rounds"]), default=0)


def _open_at_admission(walk: Walk, who: str) -> int:
    """The round in which the newest member was admitted.

    Raises:
        NotInTime: None was open then.
    """
    home = Home(walk.root / who)
    deployment = read_deployment(home)
    url = f"http://127.0.0.1:{walk.ports[CHAIN_PORT]}"
    events = Chain(url, deployment).events(deployment.block)
    admitted = max(event.block for event in events if isinstance(event, HospitalAdmitted))
    opened = [event for event in events if isinstance(event, RoundOpened) and event.block < admitted]
    ended = [event for event in events if isinstance(event, RoundFinalised | RoundAborted) and event.block < admitted]
    if len(opened) == len(ended):
        raise NotInTime(f"no round was open when block {admitted} admitted the hospital\n{walk.logs()}")
    return opened[-1].round


_TITLE = """# Three hospitals, one after the other

This page is the recording of `make walkthrough`: every command was typed as it stands, on real processes with real encryption,
and what follows it is what it printed. Nobody sends a secret file, nobody edits another's machine.

A hospital needs three commands: `medweave init` makes its keys on the spot, `medweave found` or `medweave join` brings it
into a consortium, `medweave node` takes part. Members approve with one command, and no node is ever restarted for it.

The three run on one machine here, in three directories; elsewhere `--url` is the address under which the others reach the
node. Each has its own password in `$MEDWEAVE_PASSWORD`; without that, it is asked for. The chain is a local Anvil; on any other,
the accounts are given funds instead of `--anvil-account`. The images are synthetic."""
_FOUND = """Three or more hospitals are the rule: with two, each could subtract its own update from the sum and see the other's. Here two
choose to try all the same, with `--min-group 2`, which every report and the plan say."""
_PLAN = (
    """The plan is a text file with every setting explained. For this page it is made quick, with a small network:"""
)
_JOIN = """Northside tells Riverside its URL, and by telephone the consortium's fingerprint. Riverside's people see whom they are about to join,
and the fingerprint they will be asked for."""


def main() -> int:
    """Record the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, required=True, help="the page to write")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        try:
            walk = record(Path(folder))
        except NotInTime as problem:
            print(problem, file=sys.stderr)
            return 1
    out.write_text("\n".join(walk.page) + "\n", encoding="utf-8")
    return 0


def record(root: Path) -> Walk:
    """Play the story below a folder; nothing is left running.

    Raises:
        NotInTime: Something did not happen.
    """
    for number, who in enumerate(HOSPITALS):
        save(generate(IMAGES, PIXELS, seed=number), root / f"{who}.npz")
    chain, *ports = choose_ports(len(HOSPITALS) + 1, 0)
    shown = (CHAIN_PORT, *range(FIRST_PORT, FIRST_PORT + len(HOSPITALS)))
    walk = Walk(root, dict(zip(shown, (chain, *ports), strict=True)))
    with ExitStack() as stack:
        stack.enter_context(Anvil(chain, root / "chain.json", log=root / "anvil.log"))
        stack.callback(walk.stop)
        story(walk)
    return walk


if __name__ == "__main__":
    sys.exit(main())
