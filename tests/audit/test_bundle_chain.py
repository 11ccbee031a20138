"""The chain in a bundle: whole, unchanged, of these contracts; whatever is done to it is noticed and its block named."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace

import pytest
import rlp
from eth_account import Account
from eth_utils.crypto import keccak
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chain.anvil import Anvil, dev_account
from chain.connection import Connection
from node.audit.bundle.blocks import Block, header_rlp, read_header, read_receipt, receipt_bytes, transaction_fields
from node.audit.bundle.form import BLOCKS, MANIFEST, Bundle
from node.audit.bundle.history import ProvenHistory
from node.audit.bundle.tries import EMPTY_ROOT, ordered_root
from node.audit.bundle.verify import Trust, audit_bundle
from node.audit.errors import MalformedBlock, UnseenCreation
from tests.audit.zipped import change_blocks, rewrite


def judge(bundled, tmp_path, change, trust=None):
    path = rewrite(bundled.path, tmp_path / "changed", change)
    with Bundle(path) as bundle:
        return audit_bundle(bundle, trust or bundled.trust)


def with_body(blocks: list, place: int) -> int:
    """The first place from here on whose block carries something."""
    return next(k for k in range(place, len(blocks)) if blocks[k].get("transactions"))


def flip(text: str, at: int) -> str:
    return text[:at] + ("1" if text[at] != "1" else "2") + text[at + 1 :]


def flip_header(blocks):
    blocks[9]["header"] = flip(blocks[9]["header"], 100)


def drop_block(blocks):
    del blocks[9]


def swap_blocks(blocks):
    blocks[9], blocks[10] = blocks[10], blocks[9]


def repeat_block(blocks):
    blocks[9:9] = [blocks[9]]


def cut_the_end(blocks):
    del blocks[-1]


def cut_the_beginning(blocks):
    del blocks[0]


def drop_body(blocks):
    place = with_body(blocks, 9)
    blocks[place] = {"header": blocks[place]["header"]}


def drop_a_transaction(blocks):
    place = with_body(blocks, 9)
    blocks[place]["transactions"].pop()
    blocks[place]["receipts"].pop()


def flip_transaction(blocks):
    place = with_body(blocks, 9)
    blocks[place]["transactions"][0] = flip(blocks[place]["transactions"][0], -9)


def flip_receipt(blocks):
    place = with_body(blocks, 9)
    blocks[place]["receipts"][0] = flip(blocks[place]["receipts"][0], -9)


def receipts_of_another(blocks):
    one = with_body(blocks, 9)
    other = with_body(blocks, one + 1)
    blocks[one]["receipts"] = blocks[other]["receipts"]


def whole_body_of_another(blocks):
    one = with_body(blocks, 9)
    other = with_body(blocks, one + 1)
    blocks[one] |= {name: blocks[other][name] for name in ("transactions", "receipts")}


def no_array(blocks):
    blocks[9]["transactions"] = None


def no_hex(blocks):
    blocks[9]["header"] = "0xzz"


CHANGES = {
    flip_header: ("block 11", 1),
    drop_block: ("block 10", 1),
    swap_blocks: ("block 10", 1),
    repeat_block: ("block 11", 1),
    cut_the_end: ("bundle.json", 1),
    cut_the_beginning: ("block 1", 1),
    drop_body: ("block 10", 1),
    drop_a_transaction: ("block 10", 1),
    flip_transaction: ("block 10", 1),
    flip_receipt: ("block 10", 1),
    receipts_of_another: ("block 10", 1),
    whole_body_of_another: ("block 10", 1),
    no_array: (f"{BLOCKS}[9]", 1),
    no_hex: (f"{BLOCKS}[9]", 1),
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_the_chain_in_a_bundle_is_whole(bundled, tmp_path, change):
    subject, code = CHANGES[change]
    report = judge(bundled, tmp_path, change_blocks(change))
    assert (report.exit_code, report.first_broken.link) == (code, "chain")
    assert report.first_broken.subject == subject, report.first_broken


def test_a_chain_made_up_anew_ends_in_another_head(bundled, tmp_path):
    """Whoever changes a block and everything after it so that all fits cannot keep the last hash."""

    def forge(entries):
        blocks = json.loads(entries[BLOCKS])
        fields = rlp.decode(bytes.fromhex(blocks[-1]["header"][2:]))
        fields[11] = rlp.encode(int.from_bytes(fields[11], "big") + 1)[1:]
        header = rlp.encode(fields)
        blocks[-1]["header"] = f"0x{header.hex()}"
        entries[BLOCKS] = json.dumps(blocks, sort_keys=True, separators=(",", ":")).encode()
        entries[MANIFEST] = entries[MANIFEST].replace(
            bundled.trust.header.hex().encode(), keccak(header).hex().encode()
        )

    report = judge(bundled, tmp_path, forge)
    assert (report.exit_code, report.first_broken.subject) == (1, "block 36")
    assert judge(bundled, tmp_path, forge, Trust(None, bundled.trust.deployment)).exit_code == 2


def history(bundled) -> ProvenHistory:
    with Bundle(bundled.path) as bundle:
        return ProvenHistory(bundle.manifest().deployment, bundle.blocks())


def test_contracts_of_another_record_are_not_these(bundled):
    whole = history(bundled)
    here = whole.deployment
    for change, error in (
        ({"consortium": bytes(32)}, MalformedBlock),
        ({"chain_id": 5}, MalformedBlock),
        ({"epochs": here.models, "models": here.epochs}, MalformedBlock),
        ({"registry": "0x" + "11" * 20}, UnseenCreation),
    ):
        with pytest.raises(error):
            ProvenHistory(replace(here, **change), whole.blocks).verify()


def test_other_code_is_not_these_contracts(bundled, monkeypatch):
    from node.audit.bundle import history as module

    whole = history(bundled)
    whole.verify()
    real = module.load
    changed = {name: replace(real(name), bytecode=real(name).bytecode[:-1] + b"\xff") for name in ("ModelLedger",)}
    monkeypatch.setattr(module, "load", lambda name: changed.get(name) or real(name))
    with pytest.raises(MalformedBlock, match="ModelLedger"):
        whole.verify()


def test_calls_are_read_from_the_blocks(bundled, run):
    whole = history(bundled)
    for made in run.facts.finalised.values():
        assert whole.calldata(made.tx)
    assert list(whole.events()) == run.chain.events(run.chain.deployment.block)


def test_a_block_of_many_transactions_has_the_root_of_its_header(tmp_path):
    """Beyond 127 the keys of the trie get longer."""
    with Anvil(None, tmp_path / "state.json") as anvil:
        connection = Connection(anvil.url)
        connection.request("evm_setAutomine", False)
        for nonce in range(140):
            fields = {"nonce": nonce, "gas": 21_000, "to": "0x" + "22" * 20, "value": 1, "chainId": 31337}
            fees = {"maxFeePerGas": 10**10, "maxPriorityFeePerGas": 1}
            signed = Account.sign_transaction(fields | fees, dev_account(0).key)
            connection.request("eth_sendRawTransaction", f"0x{signed.raw_transaction.hex()}")
        connection.request("evm_mine")
        answer = connection.request("eth_getBlockByNumber", "0x1", True)
        assert len(answer["transactions"]) == 140
        raws = [connection.request("eth_getRawTransactionByHash", t["hash"]) for t in answer["transactions"]]
        receipts = connection.request("eth_getBlockReceipts", "0x1")
        block = Block(
            header_rlp(answer),
            tuple(bytes.fromhex(raw[2:]) for raw in raws),
            tuple(receipt_bytes(receipt) for receipt in receipts),
        )
        block.verify_body()
        with pytest.raises(MalformedBlock, match="transactionsRoot"):
            replace(block, transactions=block.transactions[::-1]).verify_body()


def test_the_empty_root_is_the_yellow_papers():
    assert EMPTY_ROOT.hex() == "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
    assert ordered_root([]) == EMPTY_ROOT


def test_headers_of_an_unknown_form_are_refused():
    with pytest.raises(MalformedBlock, match="do not hash"):
        header_rlp({"hash": "0x" + "00" * 32, "number": "0x1", "parentHash": "0x" + "00" * 32})
    with pytest.raises(MalformedBlock, match="cannot be read"):
        header_rlp({"hash": "0x00", "number": "one"})


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_mutated_bytes_are_refused_by_name_or_read(bundled, data):
    whole = history(bundled)
    block = data.draw(st.sampled_from([b for b in whole.blocks if b.transactions]))
    raw = data.draw(st.sampled_from([block.header_rlp, block.transactions[0], block.receipts[0]]))
    at = data.draw(st.integers(0, len(raw) - 1))
    changed = raw[:at] + bytes([data.draw(st.integers(0, 255))]) + raw[at + 1 : data.draw(st.integers(at, len(raw)))]
    for read in (read_header, read_receipt, transaction_fields):
        with suppress(MalformedBlock):
            read(changed)
