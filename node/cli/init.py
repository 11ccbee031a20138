"""`medweave init`: a hospital's directory, its keys made on the spot."""

from __future__ import annotations

import json
from pathlib import Path

import click
from pydantic import ValidationError

from node.cli.data import take_images
from node.cli.options import crop_option, home_option, password_options, read_password
from node.config import ChainSection, Compute, Data, Debug, Hospital, NodeConfig, Rounds
from node.errors import BadInput
from node.home import Home, create_identity, refuse_keys
from node.membership.fingerprint import fingerprint


@click.command("init")
@home_option
@password_options
@click.option("--name", required=True, help="The hospital's name.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address the daemon listens on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8470, show_default=True, help="Port it listens on.")
@click.option("--url", help="Address under which other members reach the node; default http://HOST:PORT.")
@click.option("--rpc", default="http://127.0.0.1:8545", show_default=True, help="JSON-RPC endpoint of the chain.")
@click.option("--target", type=click.IntRange(0), default=0, show_default=True, help="Rounds to open; 0 opens none.")
@click.option("--min-group", type=click.IntRange(1, 256), default=3, show_default=True, help="Smallest sum to open.")
@click.option("--min-threshold", type=click.IntRange(0, 256), default=0, help="Fewest openers; 0: more than half.")
@click.option("--threads", type=click.IntRange(1, 256), default=1, show_default=True, help="Training threads.")
@click.option("--test-data", default="", help="Images every finalised model is reported on.")
@click.option(
    "--images",
    type=click.Path(path_type=Path, exists=True),
    help="Images to take in, as `medweave data import` does: npz, or a folder of pictures, DICOM or NIfTI files.",
)
@crop_option
@click.option(
    "--keep-quantised", is_flag=True, help="Keep quantised updates in the clear: for the plaintext check only."
)
@click.option("--json", "as_json", is_flag=True, help="Print the public facts as JSON.")
def command(
    home: Path,
    password_file: Path | None,
    password_fd: int | None,
    name: str,
    host: str,
    port: int,
    url: str | None,
    rpc: str,
    target: int,
    min_group: int,
    min_threshold: int,
    threads: int,
    test_data: str,
    images: Path | None,
    crop_lungs: Path | None,
    *,
    keep_quantised: bool,
    as_json: bool,
) -> None:
    """Make a hospital's directory: keys on the spot, sealed under a password, and node.toml; with --images, its images too.

    Next comes `medweave found` at the first hospital of a consortium, `medweave join` at every later one, then `medweave node`.
    """
    place = Home(home)
    try:
        config = NodeConfig(
            hospital=Hospital(name=name, host=host, port=port, url=url or f"http://{host}:{port}"),
            chain=ChainSection(rpc=rpc),
            data=Data(test=test_data),
            rounds=Rounds(target=target, min_group=min_group, min_threshold=min_threshold),
            compute=Compute(threads=threads),
            debug=Debug(keep_quantised=keep_quantised),
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(f"--{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if crop_lungs is not None and images is None:
        raise BadInput(
            "--crop-lungs: nothing to crop; give --images, or take them in later with `medweave data import`"
        )
    refuse_keys(place)
    password = read_password(password_file, password_fd, new=True)
    home.mkdir(parents=True, exist_ok=True)
    refused = take_images(images, home / "data", crop_lungs=crop_lungs).refused if images is not None else []
    for each in refused:
        click.echo(f"left out: {each.file}: {each.reason}", err=True)
    identity = create_identity(place, password)
    config.write(place.config_file)
    facts = {
        "name": name,
        "account": str(identity.account.address),
        "box_key": identity.box.public.hex(),
        "url": config.hospital.url,
        "fingerprint": fingerprint(str(identity.account.address), identity.box.public),
        "home": str(home),
    }
    click.echo(json.dumps(facts) if as_json else _told(facts, place))


def _told(facts: dict[str, str], place: Home) -> str:
    return (
        f"{facts['name']}\n  account      {facts['account']}\n  box key      {facts['box_key']}\n"
        f"  url          {facts['url']}\n  fingerprint  {facts['fingerprint']}\n"
        f"All of this is public. The secret keys lie in {place.secrets}, sealed under the password.\n"
        f"Next, at the first hospital of a consortium:\n  medweave found --home {facts['home']} --name CONSORTIUM\n"
        f"and at every later one:\n  medweave join --home {facts['home']} --to URL-OF-A-MEMBER"
    )
