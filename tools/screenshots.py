"""Pictures of the dashboard for the docs: a demo network with drawn images is run, its pages are photographed in Chromium.

make screenshots                 writes docs/pictures/dashboard-*.png
make screenshots ARGS="--out /tmp/pictures --rounds 3"
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
from PIL import Image

from node.demo.data import prepare
from node.demo.network import network
from node.demo.options import DemoOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from node.demo.processes import HospitalProcess

NAMES = ("Lakeside University Hospital", "North Shore Medical Center", "St. Mary's Clinic", "Valley General")
SIZE = {"width": 1280, "height": 800}
TELEPHONE = {"width": 390, "height": 844}
COLOURS = 200
LONGEST_SECONDS = 1500.0


def main() -> int:
    """Run the network, take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"), help="where the pictures go")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that are run first")
    asked = parser.parse_args()
    chromium = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    if chromium is None:
        print("error: no Chromium on this machine; on Debian: apt-get install chromium", file=sys.stderr)
        return 4
    asked.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="medweave-pictures-") as folder:
        options = DemoOptions(
            out=Path(folder) / "run", names=NAMES, rounds=asked.rounds, epochs=4, architecture="cnn", baseline=False
        )
        with network(options, prepare(options), print) as (hospitals, _deployment, _anvil):
            photograph(hospitals[0], chromium, asked.out, asked.rounds)
    return 0


def photograph(hospital: HospitalProcess, chromium: str, out: Path, rounds: int) -> None:
    """Every picture of one hospital's dashboard."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )

        def page(scheme: str = "light", size: dict[str, int] | None = None) -> Page:
            context = browser.new_context(viewport=size or SIZE, color_scheme=scheme, reduced_motion="reduce")
            context.request.post(f"{hospital.url}/v1/session", headers=hospital.headers | {"Origin": hospital.url})
            return context.new_page()

        shots = Shots(hospital.url, out, page)
        shots.training(lambda: ask(hospital, "status"), rounds)
        wait_for(lambda: over(ask(hospital, "status"), rounds))
        model = ask(hospital, "status")["model"]
        shots.take("rounds", "rounds", ".chart .mark")
        shots.take("ledger", "ledger", ".node", act=open_proposal)
        shots.take("audit", f"models/{model}", ".lineage a", act=run_audit)
        shots.take("members", "members", "table")
        shots.take("inference", "predict", ".drop", act=lambda at: infer(at, hospital))
        shots.take("dark", "ledger", ".node", scheme="dark")
        shots.take("telephone", "", ".chart .mark", size=TELEPHONE)
        browser.close()


class Shots:
    """Takes pictures.

    Args:
        url: The node.
        out: Where pictures go.
        page: Opens a page that is signed in.
    """

    def __init__(self, url: str, out: Path, page: Callable[..., Page]) -> None:
        self.url, self.out, self.page = url, out, page

    def take(
        self, name: str, place: str, shows: str, act: Callable[[Page], None] | None = None, **options: object
    ) -> None:
        """One picture, once something is on the page."""
        page = self.page(**options)
        page.goto(f"{self.url}/#/{place}")
        page.locator(shows).first.wait_for()
        if act is not None:
            act(page)
        page.wait_for_timeout(600)
        self.save(name, page)

    def training(self, status: Callable[[], dict], rounds: int) -> None:
        """The overview while the last round's training goes on; where that is missed, as it is then."""
        page = self.page()
        page.goto(self.url)
        page.locator(".link-state[data-state=live]").wait_for()
        wait_for(lambda: at_work(status(), rounds))
        page.locator(".stepper .now, .stepper .over").first.wait_for()
        page.wait_for_timeout(400)
        self.save("overview", page)

    def save(self, name: str, page: Page) -> None:
        """Write a picture with few colours, so that the repository stays small."""
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        target = self.out / f"dashboard-{name}.png"
        picture.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)
        print(f"{target}  {target.stat().st_size / 1000:.0f} kB", flush=True)
        page.context.close()


def at_work(now: dict, rounds: int) -> bool:
    """Whether the last round is being trained, or all is over."""
    current = now["round"]
    last = current is not None and current["round"] >= rounds
    return over(now, rounds) or (last and current["phase"] == "train" and current["progress"] > 0.2)


def over(now: dict, rounds: int) -> bool:
    """Whether every round is."""
    return now["finalised"] >= rounds and now["round"]["phase"] == "done"


def open_proposal(page: Page) -> None:
    """The newest proposal beside the drawing, verified."""
    page.locator("tr", has_text="Proposal").first.locator("a").click()
    page.get_by_role("button", name="Verify").click()
    page.locator("aside .checks li").nth(2).wait_for()
    page.evaluate("scrollTo(0, 0)")


def run_audit(page: Page) -> None:
    """An audit, to its end."""
    page.get_by_role("button", name="Run the audit").click()
    page.locator(".verdict").wait_for(timeout=300_000)
    page.evaluate("scrollTo(0, 0)")


def infer(page: Page, hospital: HospitalProcess) -> None:
    """A drawn test image, judged."""
    with np.load(hospital.home / "data" / "test.npz") as data:
        pixels = data["images"][int(np.flatnonzero(data["labels"] == 1)[0])].squeeze().astype(float)
    buffer = io.BytesIO()
    Image.fromarray(np.uint8(255 * (pixels - pixels.min()) / np.ptp(pixels))).resize((256, 256)).save(buffer, "PNG")
    file = {"name": "drawn-slice.png", "mimeType": "image/png", "buffer": buffer.getvalue()}
    page.locator("input[type=file]").set_input_files(file)
    page.locator(".probabilities").wait_for(timeout=120_000)


def ask(hospital: HospitalProcess, path: str) -> dict:
    """One answer of the node."""
    answer = httpx.get(f"{hospital.url}/v1/{path}", headers=hospital.headers, timeout=20.0, trust_env=False)
    return answer.raise_for_status().json()


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it holds; a network that gets nowhere ends the command."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("error: the rounds are not over in time")
        time.sleep(0.1)


if __name__ == "__main__":
    raise SystemExit(main())
