"""Made-up runs and unit costs, so that what is derived from them can be checked by hand."""

from benchmarks.scaling.counting import Units
from node.rounds.phases import PHASES

UNITS = Units(
    chunks=22,
    seal=0.06,
    unlock=0.005,
    add=0.004,
    digest=5e-10,
    partial=0.03,
    combine=0.0005,
    verify=6e-5,
    dealing_fixed=3e5,
    dealing_member=55.0,
)
"""Of a model with half a million parameters, near what `benchmarks.scale` measures."""


def facts(begin: float, step: float, training: float = 0.5, **more: object) -> dict[str, object]:
    """What one hospital remembers of a round in which every phase takes `step` seconds."""
    marks = {"begin": begin} | {name: begin + step * number for number, (name, _) in enumerate(PHASES, 1)}
    return {"marks": marks, "training": {"seconds": training}, **more}


def report(rounds: int, **more: object) -> dict[str, object]:
    """What `medweave demo --json` writes, as far as it is read."""
    rows = [
        {"round": number, "status": "finalised", "upload_bytes": [5, 6], "share_bytes": [3, 0], "gas": 7}
        for number in range(1, rounds + 1)
    ]
    whole = {
        "rounds": rows,
        "peak_bytes": 1000,
        "ceremony_seconds": 2.0,
        "total_seconds": 20.0,
        "final": {"federated": {"accuracy": 0.75}},
        "audit": {"verdict": "verified"},
    }
    return whole | more
