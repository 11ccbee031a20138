"""Data cards' digests on a chain: put on record once, whatever happens on the way, and refused where they say nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chain.anvil import dev_account
from chain.client import Chain
from chain.errors import BadArgument, ChainUnreachable, ContractReverted, FeeTooHigh, ReadOnly
from chain.events import CardRegistered
from chain.fees import GWEI
from chain.intents import IntentBook
from tests.chain.flaky import FlakyProxy
from tests.chain.support import Consortium, N, digest

if TYPE_CHECKING:
    from pathlib import Path


def registered(chain: Chain, start: int) -> list[bytes]:
    return [event.digest for event in chain.events(start) if isinstance(event, CardRegistered)]


def test_a_card_is_on_record_and_an_event(consortium: Consortium) -> None:
    chain = consortium.client(2)
    assert (chain.registry.card_of(2), chain.registry.cards()) == (None, (None,) * N)
    receipt = chain.registry.register_card(digest("card"))
    assert chain.registry.card_of(2) == digest("card")
    assert chain.registry.cards() == (None, None, digest("card"), None)
    account = consortium.accounts[2].address
    assert chain.events(receipt.block) == [
        CardRegistered(block=receipt.block, log_index=0, tx=receipt.tx, index=2, account=account, digest=digest("card"))
    ]


def test_the_same_card_twice_is_refused_and_an_earlier_one_is_not(consortium: Consortium) -> None:
    chain, start = consortium.client(0), consortium.client().block_number() + 1
    chain.registry.register_card(digest("first"))
    with pytest.raises(ContractReverted) as caught:
        chain.registry.register_card(digest("first"))
    assert (caught.value.name, caught.value.values) == ("SameCard", {"index": 0, "digest": digest("first")})
    chain.registry.register_card(digest("second"))
    chain.registry.register_card(digest("first"))
    assert registered(chain, start) == [digest("first"), digest("second"), digest("first")]


def test_who_is_no_member_has_no_card(consortium: Consortium) -> None:
    stranger = Chain(consortium.url, consortium.deployment, dev_account(9))
    with pytest.raises(ContractReverted, match="NotMember"):
        stranger.registry.register_card(digest("card"))
    with pytest.raises(ContractReverted, match="NoSuchIndex"):
        stranger.registry.card_of(N)


@pytest.mark.parametrize("wrong", [bytes(32), b"", b"\1" * 31, b"\1" * 33, "ab" * 16, None])
def test_what_is_no_digest_is_refused_before_it_is_sent(consortium: Consortium, wrong: object) -> None:
    chain = consortium.client(0)
    before = chain.block_number()
    with pytest.raises(BadArgument, match="digest"):
        chain.registry.register_card(wrong)  # type: ignore[arg-type]
    assert chain.block_number() == before


def test_a_client_without_account_only_reads(consortium: Consortium) -> None:
    with pytest.raises(ReadOnly, match=r"HospitalRegistry\.registerCard"):
        consortium.client().registry.register_card(digest("card"))


def test_it_is_on_disk_before_it_is_sent_and_takes_effect_once(consortium: Consortium, tmp_path: Path) -> None:
    """The request is lost, the process ends: the next one finds what it meant and brings it there, once."""
    book, start = tmp_path / "intents.sqlite", consortium.client().block_number() + 1
    with FlakyProxy(consortium.url, lambda method, _: "lost request" if "sendRaw" in method else None) as proxy:
        cut_off = consortium.client(1, proxy.url, attempts=1, book=IntentBook(book))
        with pytest.raises(ChainUnreachable):
            cut_off.registry.register_card(digest("card"))
    again = consortium.client(1, book=IntentBook(book))
    assert registered(again, start) == []
    again.registry.register_card(digest("card"))
    assert registered(again, start) == [digest("card")]
    with pytest.raises(ContractReverted, match="SameCard"):
        again.registry.register_card(digest("card"))
    assert registered(again, start) == [digest("card")]


def test_no_fee_above_the_cap_is_paid_for_it(consortium: Consortium) -> None:
    start = consortium.client().block_number() + 1
    with pytest.raises(FeeTooHigh):
        consortium.client(0, fee_cap=GWEI // 2).registry.register_card(digest("card"))
    assert registered(consortium.client(), start) == []
