"""`medweave demo`: a whole consortium on this machine."""

from __future__ import annotations

import time
from pathlib import Path

import click
from rich.console import Console

from node.demo.interrupt import install
from node.demo.options import DemoOptions


@click.command("demo")
@click.option("--hospitals", type=int, default=4, show_default=True, help="Hospitals, one daemon process each.")
@click.option("--threshold", type=int, help="Members needed to open a sum; default two thirds, rounded up.")
@click.option("--min-group", type=int, default=3, show_default=True, help="Fewest updates in an opened sum.")
@click.option("--rounds", type=int, default=3, show_default=True, help="Rounds to finalise.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="npz (images/labels/patients/train_idx/test_idx, or MedMNIST) or a folder per class; default: synthetic phantom.",
)
@click.option(
    "--partition",
    default="by-patient",
    show_default=True,
    help="iid | dirichlet:ALPHA | by-patient; a patient is never split.",
)
@click.option("--epochs", type=int, default=10, show_default=True, help="Local epochs a round.")
@click.option("--seed", type=click.IntRange(0, 2**31), default=0, show_default=True, help="Seed of data, split, model.")
@click.option("--architecture", default="capsnet", show_default=True, help="capsnet | cnn | cnn-529k.")
@click.option("--image-size", type=int, default=64, show_default=True, help="Images are resized to this many pixels.")
@click.option("--samples", type=int, default=480, show_default=True, help="Phantom images, where no --data is given.")
@click.option("--parameters", "parameter_set", default="standard", show_default=True, help="Encryption parameters.")
@click.option("--out", type=click.Path(path_type=Path), help="Run directory; default runs/DATE-TIME.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the report as JSON.")
@click.option("--base-port", type=int, default=0, help="First of consecutive ports; default: free ones.")
@click.option("--round-seconds", type=int, default=1200, show_default=True, help="A round is aborted after this long.")
@click.option("--no-baseline", is_flag=True, help="Do not train each hospital alone for comparison.")
@click.option("--check-plaintext", is_flag=True, help="Also add the quantised updates in the clear and compare bits.")
@click.option("--attack", default="", help="Hospitals that lie: KIND[:AMOUNT]@HOSPITAL[,…], such as sign-flip@3.")
@click.option(
    "--fault", default="", help="What goes wrong: KIND[:VICTIM[:AMOUNT]]@[ROUND.]PHASE[+SECONDS], or random:SEED."
)
@click.option("--keep-running", is_flag=True, help="Leave the network up and print the URLs.")
def command(
    hospitals: int,
    threshold: int | None,
    min_group: int,
    rounds: int,
    data: Path | None,
    partition: str,
    epochs: int,
    seed: int,
    architecture: str,
    image_size: int,
    samples: int,
    parameter_set: str,
    out: Path | None,
    json_file: Path | None,
    base_port: int,
    round_seconds: int,
    attack: str,
    fault: str,
    *,
    no_baseline: bool,
    check_plaintext: bool,
    keep_running: bool,
) -> int:
    """Run a whole consortium on this machine: chain, keys, rounds, audit.

    Exit codes: 0 every round finalised and the audit verified; 1 not so; 3 bad option or data; 4 a port in use, anvil
    missing, disk full; 5 the chain or a daemon out of reach.
    """
    options = DemoOptions(
        out=(out or Path("runs") / time.strftime("%Y%m%d-%H%M%S")).absolute(),
        hospitals=hospitals,
        threshold=threshold,
        min_group=min_group,
        rounds=rounds,
        data=data,
        partition=partition,
        epochs=epochs,
        seed=seed,
        architecture=architecture,
        image_size=image_size,
        parameter_set=parameter_set,
        json=json_file,
        keep_running=keep_running,
        check_plaintext=check_plaintext,
        baseline=not no_baseline,
        base_port=base_port,
        samples=samples,
        round_seconds=round_seconds,
        attack=attack,
        fault=fault,
    )
    install()
    from node.demo.run import run  # torch is loaded here, after the options were checked

    return run(options, Console())
