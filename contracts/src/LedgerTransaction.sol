// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title Reads the ledger's signed transactions (canonical DAG-CBOR maps) from their bytes
/// @dev Reads every well-formed transaction of format 1 as the ledger does; of others it may read some. That is the safe
///      side: an honest member signs well-formed ones only, so nothing that is misread here carries its signature.
///      Nothing reverts on bad bytes: a challenge may have to show that bytes are no transaction. A position of 0 means
///      "failed", as no item of the map stands there.
library LedgerTransaction {
    /// @dev What is read of a transaction.
    struct Parsed {
        bytes32 id; // sha2-256 of all bytes; what Merkle trees and parents name
        bytes32 digest; // what the issuer signed: the transaction without its signature, under the signing domain
        bytes32 kind; // the text, padded with zeros
        bytes32 consortium;
        bytes32[2] parents;
        address issuer;
        uint256 epoch;
        uint256 round;
        uint256 sequence;
        uint256 body; // position of the body's map
    }

    bytes private constant DOMAIN = "medweave/transaction/1\x00";
    uint256 private constant CONSORTIUM_BYTES = 45; // "\x6aconsortium\x58\x20" and 32 bytes
    uint256 private constant SIGNATURE_BYTES = 77; // "\x69signature\x58\x41" and 65 bytes
    uint256 private constant FIXED_BYTES = CONSORTIUM_BYTES + SIGNATURE_BYTES;
    uint256 private constant NONCE_BYTES = 15; // "\x65nonce\x48" and 8 bytes, where the plan asks for work
    bytes1 private constant MAP_OF_TEN = 0xaa; // all keys but the nonce

    /// @notice Reads a transaction and recovers its issuer.
    /// @return ok Whether the bytes are a transaction with a signature by somebody; the rest counts only then.
    /// @return t What they say.
    function read(bytes calldata raw) internal pure returns (bool ok, Parsed memory t) {
        t.id = sha256(raw);
        if (raw.length <= FIXED_BYTES) return (false, t);
        uint256 pos = expect(raw, 1, "\x64body", 5);
        t.body = pos;
        pos = expect(raw, skip(raw, pos), "\x64kind", 5);
        (t.kind, pos) = _text(raw, pos);
        (t.epoch, pos) = _uint(raw, expect(raw, pos, "\x65epoch", 6));
        uint256 nonce = expect(raw, pos, "\x65nonce\x48", 7);
        if (raw[0] != bytes1(uint8(MAP_OF_TEN) + (nonce == 0 ? 0 : 1))) return (false, t);
        if (nonce != 0) pos += NONCE_BYTES;
        (t.round, pos) = _uint(raw, expect(raw, pos, "\x65round", 6));
        pos = expect(raw, pos, "\x66format\x01\x67parents\x82", 17);
        (t.parents[0], pos) = _link(raw, pos);
        (t.parents[1], pos) = _link(raw, pos);
        pos = skip(raw, expect(raw, pos, "\x67payload", 8));
        (t.sequence, pos) = _uint(raw, expect(raw, pos, "\x68sequence", 9));
        if (pos == 0 || pos != raw.length - FIXED_BYTES) return (false, t);
        return _readEnd(raw, pos, t);
    }

    /// @notice The position of a field's value in a body.
    /// @param raw The transaction.
    /// @param body The position of the body's map.
    /// @param key The field's name as CBOR text, padded with zeros: one byte 0x60 + length, then the text.
    /// @param length The bytes of `key` that count.
    /// @return The position; 0 if the body has no such field.
    function field(bytes calldata raw, uint256 body, bytes32 key, uint256 length) internal pure returns (uint256) {
        (uint256 major, uint256 pairs, uint256 pos) = _head(raw, body);
        if (major != 5) return 0;
        for (uint256 i = 0; i < pairs && pos != 0; i++) {
            uint256 value = expect(raw, pos, key, length);
            if (value != 0) return value;
            pos = skip(raw, skip(raw, pos));
        }
        return 0;
    }

    /// @notice The 32-byte string at a position; zero if there is none.
    function digestAt(bytes calldata raw, uint256 pos) internal pure returns (bytes32) {
        pos = expect(raw, pos, "\x58\x20", 2);
        return pos == 0 || pos + 32 > raw.length ? bytes32(0) : bytes32(raw[pos:pos + 32]);
    }

    /// @notice The position behind an expected piece, or 0; at most 32 bytes of `piece` count.
    function expect(bytes calldata raw, uint256 pos, bytes32 piece, uint256 length) internal pure returns (uint256) {
        uint256 end = pos + length;
        if (pos == 0 || end > raw.length || bytes32(raw[pos:end]) != piece) return 0;
        return end;
    }

    /// @notice The position behind the CBOR item (RFC 8949) at a position, or 0.
    function skip(bytes calldata raw, uint256 pos) internal pure returns (uint256) {
        uint256 major;
        uint256 value;
        // Every item takes a byte at least, so the bytes bound the loop however many items a head announces.
        for (uint256 pending = 1; pending != 0 && pos != 0; pending--) {
            (major, value, pos) = _head(raw, pos);
            if (major == 2 || major == 3) pos = pos == 0 || pos + value > raw.length ? 0 : pos + value;
            else if (major == 4) pending += value;
            else if (major == 5) pending += 2 * value;
            else if (major == 6) pending += 1;
        }
        return pos;
    }

    /// @dev What stands behind the sequence, at fixed distances from the end.
    function _readEnd(bytes calldata raw, uint256 pos, Parsed memory t) private pure returns (bool, Parsed memory) {
        uint256 signature = expect(raw, pos, "\x69signature\x58\x41", 12);
        uint256 consortium = expect(raw, pos + SIGNATURE_BYTES, "\x6aconsortium\x58\x20", 13);
        if (signature == 0 || consortium == 0) return (false, t);
        t.consortium = bytes32(raw[consortium:]);
        bytes1 oneKeyLess = bytes1(uint8(raw[0]) - 1);
        t.digest = sha256(abi.encodePacked(DOMAIN, oneKeyLess, raw[1:pos], raw[pos + SIGNATURE_BYTES:]));
        t.issuer = _signer(t.digest, raw[signature:pos + SIGNATURE_BYTES]);
        return (t.issuer != address(0), t);
    }

    /// @dev The ledger's only form: low s, recovery id 0 or 1.
    function _signer(bytes32 digest, bytes calldata signature) private pure returns (address) {
        uint8 v = uint8(signature[64]);
        if (v > 1) return address(0);
        (address signer, ECDSA.RecoverError failure,) =
            ECDSA.tryRecover(digest, v + 27, bytes32(signature[:32]), bytes32(signature[32:64]));
        return failure == ECDSA.RecoverError.NoError ? signer : address(0);
    }

    function _text(bytes calldata raw, uint256 pos) private pure returns (bytes32 text, uint256 next) {
        (uint256 major, uint256 length, uint256 start) = _head(raw, pos);
        if (start == 0 || major != 3 || length > 32 || start + length > raw.length) return (0, 0);
        next = start + length;
        text = bytes32(raw[start:next]);
    }

    function _uint(bytes calldata raw, uint256 pos) private pure returns (uint256 value, uint256 next) {
        uint256 major;
        (major, value, next) = _head(raw, pos);
        if (major != 0) next = 0;
    }

    /// @dev A DAG-CBOR link (tag 42) to a DAG-CBOR block by sha2-256.
    function _link(bytes calldata raw, uint256 pos) private pure returns (bytes32 id, uint256 next) {
        pos = expect(raw, pos, hex"d82a58250001711220", 9);
        if (pos == 0 || pos + 32 > raw.length) return (0, 0);
        return (bytes32(raw[pos:pos + 32]), pos + 32);
    }

    /// @dev Major type, argument and the position behind the head; position 0 for what no canonical item begins with.
    function _head(bytes calldata raw, uint256 pos) private pure returns (uint256 major, uint256 value, uint256 next) {
        if (pos == 0 || pos >= raw.length) return (0, 0, 0);
        uint256 first = uint8(raw[pos]);
        major = first >> 5;
        value = first & 31;
        next = pos + 1;
        if (value < 24) return (major, value, next);
        if (value > 27) return (major, 0, 0);
        uint256 width = 1 << (value - 24);
        if (next + width > raw.length) return (major, 0, 0);
        value = uint256(bytes32(raw[next:next + width])) >> (256 - 8 * width);
        next += width;
    }
}
