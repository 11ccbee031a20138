"""A node puts its data card on record by itself: once, again when the images change, and when the chain is back."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from chain.anvil import Anvil, dev_account
from chain.client import Chain
from chain.deployment import Deployment, deploy
from chain.errors import ChainUnreachable
from chain.events import CardRegistered
from chain.intents import IntentBook
from chain.records import Hospital
from node.consortium.follower import Follower
from node.consortium.view import ConsortiumView
from node.daemon.cards import CardRegistrar
from node.images.archive import save
from node.images.card import data_card
from node.images.phantom import generate
from node.planning.images import ImageWatch
from tests.chain.flaky import FlakyProxy
from tests.membership.support import digest, founded


class Site:
    """A hospital with images, and the chain it is a member on."""

    def __init__(self, root: Path, rpc: str, deployment: Deployment) -> None:
        self.root, self.rpc, self.deployment = root, rpc, deployment
        self.train = root / "train.npz"
        self.reader = Chain(rpc, deployment)
        self.write(0)

    def write(self, seed: int) -> bytes:
        """Other images than before; the digest of their card."""
        save(generate(6 + seed, 32, seed), self.train)
        return data_card(generate(6 + seed, 32, seed)).digest

    @property
    def view(self) -> ConsortiumView:
        follower = Follower(self.reader)
        follower.look()
        return follower.view

    def start(self, url: str | None = None, *, wanted: bool = True) -> CardRegistrar:
        """What a node's process makes; the book outlives it."""
        book = IntentBook(self.root / "intents.sqlite")
        chain = Chain(url or self.rpc, self.deployment, dev_account(1), attempts=1, book=book)
        return CardRegistrar(0, ImageWatch(self.train), chain, wanted=wanted)

    @property
    def registered(self) -> list[bytes]:
        events = self.reader.events(self.deployment.block)
        return [event.digest for event in events if isinstance(event, CardRegistered)]


@pytest.fixture(scope="module")
def anvil(tmp_path_factory: pytest.TempPathFactory):
    with Anvil(None, tmp_path_factory.mktemp("chain") / "state.json") as anvil:
        yield anvil


@pytest.fixture
def site(anvil: Anvil, tmp_path: Path) -> Site:
    hospitals = [Hospital(dev_account(k).address, digest(str(k)), 6, f"H{k}", "") for k in (1, 2)]
    return Site(tmp_path, anvil.url, deploy(anvil.url, dev_account(0), digest(tmp_path.name), hospitals))


def test_it_is_registered_once_and_again_when_the_images_change(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    registrar, first = site.start(), data_card(generate(6, 32, 0)).digest
    with caplog.at_level(logging.INFO, logger="medweave.plans"):
        for _ in range(3):
            registrar.step(site.view)
    assert site.registered == [first]
    assert caplog.messages[0].startswith(f"data card registered: 6 images, digest {first.hex()}")
    assert len(caplog.messages) == 1
    site.start("http://127.0.0.1:1").step(site.view)  # asks nobody: the view says that it is on record
    second = site.write(1)
    for _ in range(3):
        registrar.step(site.view)
    assert site.registered == [first, second]
    assert site.write(0) == first
    registrar.step(site.view)
    assert site.registered == [first, second, first], "images may come back"
    assert site.view.card_of(0) == first


def test_a_view_that_lags_does_not_register_it_twice(site: Site) -> None:
    registrar, before = site.start(), site.view
    for _ in range(3):
        registrar.step(before)
    site.start().step(before)  # a process that begins with what an older one had read
    assert len(site.registered) == 1


def test_while_the_chain_is_away_it_waits_and_a_crash_loses_and_doubles_nothing(site: Site) -> None:
    before = site.view
    with FlakyProxy(site.rpc, lambda method, _: "lost request" if "send" in method else None) as away:
        registrar = site.start(away.url)
        for _ in range(2):
            with pytest.raises(ChainUnreachable):
                registrar.step(before)
    assert site.registered == []
    site.start().step(before)
    assert site.registered == [data_card(generate(6, 32, 0)).digest]
    assert site.reader.registry.card_of(0) == site.registered[0]


def test_an_answer_that_is_lost_is_not_a_second_registration(site: Site) -> None:
    before = site.view
    losing = FlakyProxy(site.rpc, lambda method, _: "lost answer" if "send" in method else None)
    with losing as away, pytest.raises(ChainUnreachable):
        site.start(away.url).step(before)
    site.start().step(before)
    site.start().step(site.view)
    assert len(site.registered) == 1


def test_nothing_is_registered_unless_there_are_images_a_membership_and_the_wish(site: Site) -> None:
    site.start(wanted=False).step(site.view)
    site.start().step(ConsortiumView())
    site.train.unlink()
    site.start().step(site.view)
    assert site.registered == []
    assert founded().card_of(0) is None
