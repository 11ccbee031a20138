"""Data cards that hospitals show: each is the one that was on chain, and says as many images as the update declares.

In the run below seat 0 registers its card before round 1; seat 1 another one first and its own while the round is open; seat 2 a
card of more images than it trains on, and its own before round 2; seat 3 the digest of something that is no card, and
seat 0's card before round 2.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
import torch
from click.testing import CliRunner

from node.audit import Scope, audit, open_evidence
from node.audit.bundle.export import export
from node.audit.bundle.form import Bundle
from node.audit.bundle.verify import Trust, audit_bundle
from node.audit.evidence import Handed, Several
from node.cli.audit import command
from node.images.card import DataCard, data_card
from node.images.phantom import generate
from node.storage import raw_cid
from tests.audit.conftest import Run, serve
from tests.audit.network import write_run
from tests.audit.test_independent import ask

if TYPE_CHECKING:
    from collections.abc import Iterator

RUBBISH = b"what is no card"
OTHER = data_card(generate(9, 32, 77))
"""Of more images than any of the four hospitals has."""


class Cards:
    """Registers as the story above says, and remembers the hospitals' own cards."""

    def __init__(self) -> None:
        self.own: list[DataCard] = []

    def __call__(self, net, clients, number: int, when: str) -> None:
        self.own = self.own or [data_card(net._learner(k).train_set) for k in range(len(net.nodes))]
        registered = {
            (1, "before"): {0: self.own[0].digest, 1: OTHER.digest, 2: OTHER.digest, 3: hashlib.sha256(RUBBISH).digest()},
            (1, "during"): {1: self.own[1].digest},
            (2, "before"): {2: self.own[2].digest, 3: self.own[0].digest},
        }  # fmt: skip
        for seat, digest in registered.get((number, when), {}).items():
            clients[seat].registry.register_card(digest)


@pytest.fixture(scope="module")
def cards() -> Cards:
    return Cards()


@pytest.fixture(scope="module")
def carded(cards: Cards, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("carded")
    write_run(root, rounds=2, cards=cards)
    yield from serve(root, tmp_path_factory.mktemp("chain"))


def judge(run: Run, shown=(), blobs=(), scope: Scope | None = None):
    evidence = Several([Handed(blobs), open_evidence([run.root])])
    return audit(run.chain, evidence, None, cards=tuple(shown), scope=scope)


def found(report, number: int | None) -> list[tuple[str, str]]:
    return [(f.status, f.detail) for f in report.findings if f.link == "cards" and f.round == number]


def test_without_cards_nothing_is_said_but_how_many_there_are(carded):
    report = judge(carded)
    assert report.verdict == "verified", report.to_text()
    assert report.state("cards") is None
    assert report.notes[-3:] == (
        "data cards: 8 of 8 counted updates are of hospitals that had a card on chain, 0 of these cards were at hand",
        "data cards: seats 0, 3 registered one and the same: the same images, or a copied digest",
        "data cards: seats 1, 2 registered one and the same: the same images, or a copied digest",
    )


def test_cards_that_agree_are_verified_whenever_they_came_in_the_round(carded, cards):
    report = judge(carded, cards.own[:2])
    assert report.verdict == "verified", report.to_text()
    assert found(report, 1) == [("ok", "2 updates declare the images of the data cards on chain")]
    assert found(report, None) == [("ok", "2 data cards were shown, each was on chain")]
    assert cards.own[3].images == cards.own[0].images, (
        "so the copied digest of round 2 passes: a note says that it is the same"
    )
    assert any("5 of these cards were at hand" in note for note in report.notes)


def test_a_card_of_other_images_is_held_against_its_hospital_unless_it_may_have_trained_on_others(carded, cards):
    report = judge(carded, [OTHER])
    problem = found(report, 1)
    assert len(problem) == 1, "seat 1 had another card as well, which is not shown"
    own = cards.own[2].images
    assert problem[0] == (
        "falsified",
        f"declares {own} samples, the data card that seat 2 had on chain says {OTHER.images} images",
    )
    assert report.verdict == "falsified"
    assert found(report, 2) == [], "by then seat 2 had another one on chain"


def test_the_card_that_follows_is_of_the_next_round(carded, cards):
    report = judge(carded, [cards.own[2]])
    assert found(report, 1) == []
    assert found(report, 2) == [("ok", "1 updates declare the images of the data cards on chain")]


def test_a_card_that_nobody_had_on_chain_proves_nothing(carded, cards):
    stranger = data_card(generate(7, 32, 5))
    report = judge(carded, [cards.own[0], stranger])
    assert found(report, None) == [("falsified", "no hospital had it on chain in any round, and none has now")]
    broken = report.first_broken
    assert broken is not None
    assert stranger.digest.hex() in broken.subject


def test_what_was_registered_and_is_no_card_is_falsified(carded):
    report = judge(carded, blobs=[RUBBISH])
    ((status, detail),) = found(report, 1)
    assert (status, detail.startswith("seat 3 registered it: data card: not canonical")) == ("falsified", True)


class Counting(Handed):
    """Evidence that remembers what it was asked for."""

    asked: list[str]

    def look(self, cid: str):
        self.asked.append(cid)
        return super().look(cid)


def test_a_card_of_many_rounds_is_asked_for_once(carded, cards):
    source = Counting([])
    source.asked = []
    audit(carded.chain, Several([source, open_evidence([carded.root])]), None)
    assert source.asked.count(raw_cid(cards.own[1].digest)) == 1, "it is of both rounds"
    assert source.asked.count(raw_cid(OTHER.digest)) == 1, "and this one of two seats"


def test_a_bundle_carries_the_cards_and_two_verifiers_agree(carded, cards, tmp_path):
    for name, shown, verdict in (
        ("true", cards.own[:3], "verified"),
        ("false", [OTHER, cards.own[2]], "falsified"),
    ):
        path = tmp_path / name
        made = export(carded.chain, open_evidence([carded.root]), None, path, cards=shown)
        trust = Trust(made.manifest.head, carded.chain.deployment)
        with Bundle(path) as bundle:
            assert bundle.look(raw_cid(shown[0].digest)).data == shown[0].to_bytes()
            report = audit_bundle(bundle, trust)
        assert report.verdict == verdict, report.to_text()
        assert report.state("cards") == ("ok" if verdict == "verified" else "falsified")
        _, other = ask(path, tmp_path, trust)
        assert other["verdict"] == verdict
        states = {(row["round"], row["state"]) for row in other["findings"] if row["link"] == "cards"}
        assert states == ({(1, "ok"), (2, "ok")} if verdict == "verified" else {(1, "falsified"), (2, "ok")})


def test_the_command_takes_cards_from_files(carded, cards, tmp_path):
    def run(*arguments) -> tuple[int, str]:
        options = ["--rpc", carded.chain._connection.url, "--blobs", carded.root, *arguments]
        asked = CliRunner().invoke(command, ["round", "1", *map(str, options)], standalone_mode=False)
        return asked.return_value, asked.output + str(asked.exception or "")

    for k, card in enumerate((cards.own[0], OTHER)):
        (tmp_path / f"{k}.json").write_text(json.dumps(card.to_json()))
    code, out = run("--card", tmp_path / "0.json")
    assert code == 0, out
    assert "1 updates declare" in run("--card", tmp_path / "0.json", "--json")[1]
    code, out = run("--card", tmp_path / "0.json", "--card", tmp_path / "1.json")
    assert code == 1
    assert "the data card that seat 2 had on chain" in out
    (tmp_path / "0.json").write_text(
        (tmp_path / "0.json").read_text().replace('"synthetic": true', '"synthetic": false')
    )
    assert "0.json: data card: digest" in run("--card", tmp_path / "0.json")[1]
    assert "none.json" in run("--card", tmp_path / "none.json")[1]
