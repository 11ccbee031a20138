"""A browser on a running demo network: real daemons, real chain, real rounds; small models and tiny drawn images."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from node.api.access.roles import Role
from node.api.access.tokens import Tokens
from node.config import TESTING_VARIABLE
from node.home import Home

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Request

    from node.demo.processes import HospitalProcess

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
NAMES = ("Lakeside University Hospital", HOSTILE, 'St. Mary\'s & "Clinic"')
ROUNDS = 3
ROUND_SECONDS = 120.0


def chromium() -> str | None:
    """The machine's own Chromium; none is ever downloaded."""
    return next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )


@dataclass(frozen=True)
class Network:
    """A running consortium, as its first hospital's people see it."""

    hospital: HospitalProcess
    tokens: dict[str, str]

    @property
    def url(self) -> str:
        return self.hospital.url

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no page may show: everybody's tokens, the keystore's password."""
        return (*self.tokens.values(), self.hospital.password)

    def get(self, path: str, role: str = "operator") -> Any:
        answer = httpx.get(f"{self.url}/v1/{path}", headers=self.header(role), timeout=20.0, trust_env=False)
        answer.raise_for_status()
        return answer.json()

    def header(self, role: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[role]}"}

    def settle(self) -> None:
        """Wait until the last round is over at this hospital, and the signatures under its statement have come."""
        deadline = time.monotonic() + ROUND_SECONDS
        while not self._over():
            assert time.monotonic() < deadline, self.get("status")
            time.sleep(0.2)

    def _over(self) -> bool:
        now = self.get("status")
        return now["finalised"] >= ROUNDS and now["round"]["phase"] == "done"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Three hospitals; the rounds go on while the first tests look."""
    if chromium() is None:
        pytest.skip("no Chromium on this machine (apt-get install chromium)")
    from node.demo.data import prepare
    from node.demo.network import network as running
    from node.demo.options import DemoOptions

    options = DemoOptions(
        out=tmp_path_factory.mktemp("dashboard") / "run",
        hospitals=3,
        names=NAMES,
        threshold=2,
        min_group=2,
        rounds=ROUNDS,
        samples=72,
        epochs=1,
        architecture="cnn",
        image_size=32,
        parameter_set="minimal",
        round_seconds=int(ROUND_SECONDS),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TESTING_VARIABLE, "1")
        patch.setenv("MEDWEAVE_API_PEOPLE_PER_SECOND", "1000")
        with running(options, prepare(options), lambda _: None) as (hospitals, _deployment, _anvil):
            yield Network(hospitals[0], _tokens(hospitals[0]))


def _tokens(hospital: HospitalProcess) -> dict[str, str]:
    tokens = Tokens(Home(hospital.home).tokens)
    try:
        return {
            str(role): tokens.create(f"a {role}", role, 1).secret
            for role in (Role.OPERATOR, Role.AUDITOR, Role.CLINICIAN)
        }
    finally:
        tokens.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ends with the module: its loop and those of asynchronous tests do not get on."""
    found = chromium()
    if found is None:
        pytest.skip("no Chromium on this machine (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=found, args=flags)
        yield browser
        browser.close()


@dataclass
class Watch:
    """What a page did besides being looked at."""

    origin: str
    complaints: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    expected: list[re.Pattern[str]] = field(default_factory=list)

    def request(self, request: Request) -> None:
        if not request.url.startswith((self.origin + "/", "blob:" + self.origin, "data:image/")):
            self.strangers.append(request.url)

    def complain(self, text: str) -> None:
        self.complaints.append(text)

    def allow(self, pattern: str) -> None:
        """Complaints like this belong to the test."""
        self.expected.append(re.compile(pattern))

    @property
    def unexpected(self) -> list[str]:
        return [text for text in self.complaints if not any(known.search(text) for known in self.expected)]


REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
"""


@pytest.fixture
def opened(browser: Browser, network: Network) -> Iterator[Callable[..., Page]]:
    """Opens pages; at the end, none may have complained, broken the policy, or asked anybody but its node."""
    contexts: list[BrowserContext] = []
    watches: list[Watch] = []

    def open_page(place: str | None = "", role: str | None = "operator", **options: Any) -> Page:
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        context.add_init_script(REPORT_VIOLATIONS)
        contexts.append(context)
        if role is not None:
            context.request.post(f"{network.url}/v1/session", headers=network.header(role) | {"Origin": network.url})
        page = context.new_page()
        page.set_default_timeout(15_000)
        watch = Watch(network.url)
        watches.append(watch)
        page.on(
            "console", lambda message: watch.complain(message.text) if message.type in {"error", "warning"} else None
        )
        page.on("pageerror", lambda error: watch.complain(str(error)))
        page.on("request", watch.request)
        page.watch = watch
        if place is not None:
            page.goto(f"{network.url}/#/{place}")
            page.locator("main h1").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [text for watch in watches for text in watch.unexpected] == []
    assert [url for watch in watches for url in watch.strangers] == []


@pytest.fixture(scope="module")
def settled(network: Network) -> Network:
    """The network once its rounds are over."""
    network.settle()
    return network


@pytest.fixture(scope="session")
def files() -> dict[str, str]:
    """The dashboard's own files."""
    root = Path(__file__).parents[2] / "node" / "dashboard"
    return {
        str(path.relative_to(root)): path.read_text()
        for path in root.rglob("*")
        if path.suffix in {".js", ".css", ".html", ".svg"}
    }
