"""Submits the job to NVFlare and waits for its end; runs inside NVFlare's environment, as its administrator.

    python nvflare_job.py TASK EVENTS ADMIN_KIT HOSPITALS

Afterwards it counts the bytes of one update: what NVFlare's decomposer sends of each layer, made again here so that counting
costs no client any time.

The job is NVFlare's own recipe for federated averaging under homomorphic encryption: TenSEAL's CKKS, every layer encrypted,
one secret key that all clients hold.
"""

from __future__ import annotations

import sys
from pathlib import Path

import tenseal
from nvflare.app_opt.pt.recipes.fedavg_he import FedAvgRecipeWithHE
from nvflare.recipe.prod_env import ProdEnv

from benchmarks.peers.local import first
from benchmarks.peers.nvflare_marks import RoundMarks
from benchmarks.peers.running import note
from node.rounds.plan import Plan

LOGIN_SECONDS = 60.0
"""Until the server is up."""


def main(task: str, events: str, admin: str, hospitals: str) -> None:
    """One run."""
    plan = Plan.from_toml(Path(task) / "plan.toml")
    recipe = FedAvgRecipeWithHE(
        name="medweave-round",
        model={"class_path": "node.learning.cnn.benchmark_cnn", "args": {"classes": len(plan.classes)}},
        min_clients=int(hospitals),
        num_rounds=plan.rounds,
        train_script=str(Path(__file__).with_name("nvflare_client.py")),
        train_args=f"{task} {events} {hospitals}",
    )
    recipe._job.to_server(RoundMarks(events), id="marks")  # noqa: SLF001  (recipes have no other way to add a component)
    run = recipe.execute(ProdEnv(startup_kit_location=admin, login_timeout=LOGIN_SECONDS, username="admin@nvidia.com"))
    run.get_result()
    note(Path(events), event="upload", bytes=_size(plan, Path(admin).parent))


def _size(plan: Plan, kits: Path) -> int:
    """Bytes of one model as `nvflare.app_opt.he.decomposers` sends it: each layer's ciphertexts, each with the context again."""
    context = tenseal.context_from((kits / "site-0" / "startup" / "client_context.tenseal").read_bytes())
    layers = [tenseal.ckks_vector(context, tensor.ravel()) for tensor in first(plan).values()]
    return sum(len(layer.serialize()) + len(layer.context().serialize()) for layer in layers)


if __name__ == "__main__":
    main(*sys.argv[1:])
