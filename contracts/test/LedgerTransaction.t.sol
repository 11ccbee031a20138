// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LedgerTransaction} from "../src/LedgerTransaction.sol";
import {Ledger} from "./Ledger.sol";

contract LedgerTransactionTest is Ledger {
    using LedgerTransaction for bytes;

    function testFuzz_readsWhatWasSigned(uint8 who, uint64 epoch, uint64 round, uint64 sequence, bytes32 parent)
        external
        view
    {
        Said memory said = update(round, sequence);
        said.epoch = epoch;
        said.parents[1] = parent;
        if (sequence % 2 == 1) said.nonce = abi.encodePacked(sequence);
        bytes memory raw = signed(who, said);
        (bool ok, LedgerTransaction.Parsed memory t) = this.read(raw);
        require(ok && t.id == sha256(raw) && t.issuer == member(who), "id, issuer");
        require(t.kind == "update" && t.consortium == CONSORTIUM, "kind, consortium");
        require(t.epoch == epoch && t.round == round && t.sequence == sequence, "numbers");
        require(t.parents[0] == keccak256("p") && t.parents[1] == parent, "parents");
    }

    function testFuzz_aChangedByteHasNoIssuerOrAnother(uint16 place, uint8 flip) external view {
        bytes memory raw = signed(2, update(7, 300));
        raw[uint256(place) % raw.length] ^= bytes1(flip == 0 ? 1 : flip);
        (bool ok, LedgerTransaction.Parsed memory t) = this.read(raw);
        require(!ok || t.issuer != member(2), "still signed");
    }

    function testFuzz_noBytesRevert(bytes calldata junk) external view {
        this.read(junk);
        this.read(abi.encodePacked(hex"aa", "\x64body", junk));
        this.skip(abi.encodePacked(hex"00", junk), 1);
        this.field(abi.encodePacked(hex"00", junk), 1, "\x66reveal", 7);
    }

    function testFuzz_cutShortIsNone(uint16 length) external view {
        bytes memory raw = signed(2, update(7, 300));
        bytes memory part = new bytes(uint256(length) % raw.length);
        for (uint256 i = 0; i < part.length; i++) {
            part[i] = raw[i];
        }
        (bool ok,) = this.read(part);
        require(!ok, "read");
        (ok,) = this.read(abi.encodePacked(raw, hex"00"));
        require(!ok, "trailing byte");
    }

    function test_fieldsOfABody() external view {
        bytes memory raw = signed(1, update(7, 300));
        (, LedgerTransaction.Parsed memory t) = this.read(raw);
        uint256 pos = this.field(raw, t.body, "\x6acommitment", 11);
        require(this.digestAt(raw, pos) == commitmentOf(REVEAL), "commitment");
        require(this.field(raw, t.body, "\x66reveal", 7) == 0, "no such field");
        require(this.digestAt(raw, this.field(raw, t.body, "\x65slots", 6)) == 0, "no digest");
        require(this.digestAt(raw, raw.length - 10) == 0, "beyond the end");
        require(this.field(raw, 0, "\x66reveal", 7) == 0, "no map");
    }

    function test_skipsEveryKindOfItem() external view {
        // A map of an array, nested maps, a link, text, bytes, true, null and integers of every width.
        bytes memory item = abi.encodePacked(
            hex"00a2", "\x61a", hex"8618ff19ffff1affffffff1bffffffffffffffff2017", "\x61b", hex"a1", "\x61c"
        );
        item = abi.encodePacked(item, hex"83d82a4400010203f5f6");
        require(this.skip(item, 1) == item.length, "whole item");
        require(this.skip(hex"00ff", 1) == 0 && this.skip(hex"009f01ff", 1) == 0, "indefinite lengths");
        require(this.skip(hex"0042aa", 1) == 0 && this.skip(hex"0019aa", 1) == 0, "cut short");
        require(this.skip(hex"005bffffffffffffffff", 1) == 0, "longer than the bytes");
        require(this.skip(hex"0082", 1) == 0 && this.skip(hex"00", 1) == 0, "items are missing");
    }

    function test_onlyTheLedgersOwnForm() external view {
        Said memory said = update(7, 1);
        said.body = hex"ff";
        expectNone(signed(1, said), "body");
        bytes memory noNumber = signed(1, update(7, 23)); // "\x17", the one byte before the signature
        noNumber[noNumber.length - 123] = 0x40;
        expectNone(noNumber, "sequence");
        said = update(7, 1);
        said.kind = string(abi.encodePacked("update", new bytes(27)));
        expectNone(signed(1, said), "a kind of 33 bytes");
        bytes memory raw = signed(1, update(7, 1));
        raw[raw.length - 46] = 0x1b; // v of 27 instead of 0 or 1
        expectNone(raw, "v");
        raw[raw.length - 46] = 0xff;
        expectNone(raw, "largest v");
        raw = signed(1, update(7, 1));
        raw[raw.length - 46] ^= 0x01;
        (bool ok, LedgerTransaction.Parsed memory t) = this.read(raw);
        require(!ok || t.issuer != member(1), "other v");
    }

    function test_theNumberOfKeysFitsTheNonce() external view {
        Said memory said = update(7, 1);
        bytes memory without = signed(1, said);
        said.nonce = hex"0102030405060708";
        bytes memory with = signed(1, said);
        (without[0], with[0]) = (with[0], without[0]);
        expectNone(without, "one key too few");
        expectNone(with, "one key too many");
        (, with[0]) = (0, without[0]);
        (bool ok, LedgerTransaction.Parsed memory t) = this.read(with);
        require(ok && t.issuer == member(1) && t.round == 7, "with a nonce");
    }

    function read(bytes calldata raw) external pure returns (bool, LedgerTransaction.Parsed memory) {
        return raw.read();
    }

    function skip(bytes calldata raw, uint256 pos) external pure returns (uint256) {
        return raw.skip(pos);
    }

    function field(bytes calldata raw, uint256 body, bytes32 name, uint256 length) external pure returns (uint256) {
        return raw.field(body, name, length);
    }

    function digestAt(bytes calldata raw, uint256 pos) external pure returns (bytes32) {
        return raw.digestAt(pos);
    }

    function expectNone(bytes memory raw, string memory what) private view {
        (bool ok,) = this.read(raw);
        require(!ok, what);
    }
}
