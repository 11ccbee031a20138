"""NVFlare as it is deployed: provisioned with certificates and HE contexts, a server, a client a hospital, an administrator.

The project is provisioned with `nvflare.lighter.impl.he.HEBuilder` at its defaults (CKKS, 8192, [60, 40, 40], scale 2^40);
the job is `FedAvgRecipeWithHE`, every layer encrypted. One secret key is in every client's kit.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from benchmarks.errors import NotMeasured
from benchmarks.peers.environments import NVFLARE, prepare
from benchmarks.peers.running import events, free_ports, read, running

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.plain import PlainRun

PROVISION_SECONDS: Final = 120.0
RUN_SECONDS: Final = 400.0
_ADMIN: Final = "admin@nvidia.com"
_ORGANISATION: Final = "medweave"


def run(task: Path, out: Path, hospitals: int, rounds: int) -> PlainRun:
    """Run every round of the plan in `task`.

    Args:
        task: With `plan.toml` and `hospital-I/data`.
        out: Run directory, not there yet.
        hospitals: How many.
        rounds: Of the plan.

    Raises:
        NotMeasured: NVFlare could not be installed, or did not run to its end.
    """
    programs = prepare(NVFLARE)
    out.mkdir(parents=True)
    file, python = out.absolute() / "events", programs / "python"
    project = out / "project.yml"
    project.write_text(json.dumps(_project(hospitals, free_ports(1)[0])), encoding="utf-8")  # JSON is YAML too
    with running(NVFLARE, out / "log", {"PYTHONUNBUFFERED": "1"}) as (processes, memory):
        provision = [str(programs / "nvflare"), "provision", "-p", project.name, "-w", "workspace", "--force"]
        processes.finish(provision, out, PROVISION_SECONDS)
        kits = _kits(out / "workspace")
        processes.start(_command(python, kits["localhost"], "server", "server_train"), out)
        for index in range(hospitals):
            name = f"site-{index}"
            processes.start(_command(python, kits[name], "client", "client_train", f"uid={name}"), out)
        words = (task.absolute(), file, kits[_ADMIN], hospitals)
        job = [str(python), "-m", "benchmarks.peers.nvflare_job", *map(str, words)]
        processes.finish(job, out, RUN_SECONDS)
        peak = memory.peak
    return read(file, NVFLARE, rounds, peak, _upload(file))


def _project(hospitals: int, port: int) -> dict[str, Any]:
    """What is provisioned."""
    builders = "nvflare.lighter.impl"
    server = {"name": "localhost", "type": "server", "org": _ORGANISATION, "fed_learn_port": port}
    clients = [{"name": f"site-{index}", "type": "client", "org": _ORGANISATION} for index in range(hospitals)]
    admin = {"name": _ADMIN, "type": "admin", "org": _ORGANISATION, "role": "project_admin"}
    return {
        "api_version": 3,
        "name": "round",
        "description": "federated averaging under homomorphic encryption",
        "participants": [server, *clients, admin],
        "builders": [
            {"path": f"{builders}.workspace.WorkspaceBuilder", "args": {"template_file": ["master_template.yml"]}},
            {"path": f"{builders}.static_file.StaticFileBuilder", "args": {"config_folder": "config"}},
            {"path": f"{builders}.he.HEBuilder", "args": {}},
            {"path": f"{builders}.cert.CertBuilder"},
            {"path": f"{builders}.signature.SignatureBuilder"},
        ],
    }


def _kits(workspace: Path) -> dict[str, Path]:
    """Startup kits by participant.

    Raises:
        NotMeasured: Nothing was provisioned.
    """
    made = sorted(workspace.glob("*/prod_*"))
    if not made:
        raise NotMeasured(f"{NVFLARE.requirement}: provisioning made no kits")
    return {path.name: path.absolute() for path in made[-1].iterdir() if path.is_dir()}


def _command(python: Path, kit: Path, kind: str, module: str, *more: str) -> list[str]:
    """What a kit's own `start.sh` ends in."""
    settings = ["secure_train=true", *more, f"org={_ORGANISATION}", "config_folder=config"]
    start = [str(python), "-u", "-m", f"nvflare.private.fed.app.{kind}.{module}"]
    return [*start, "-m", str(kit), "-s", f"fed_{kind}.json", "--set", *settings]


def _upload(file: Path) -> int:
    """Bytes of one client's ciphertexts, as the job's administrator counted them.

    Raises:
        NotMeasured: It did not.
    """
    sizes = [int(row["bytes"]) for row in events(file) if row["event"] == "upload"]
    if not sizes:
        raise NotMeasured(f"{NVFLARE.requirement}: the size of an update is not known")
    return sizes[-1]
