// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Fixture} from "./Fixture.sol";

/// @dev Makes what members sign on the ledger (canonical DAG-CBOR) and Merkle trees by RFC 6962's own recursion; slow, and
///      nothing shared with the contracts. That the ledger makes the same bytes is tested from its side.
abstract contract Ledger is Fixture {
    struct Said {
        string kind;
        uint256 epoch;
        uint256 round;
        uint256 sequence;
        bytes32[2] parents;
        bytes body;
        bytes nonce; // eight bytes, or none
    }

    bytes32 internal constant REVEAL = keccak256("reveal");

    function update(uint256 round, uint256 sequence) internal pure returns (Said memory) {
        return Said("update", 1, round, sequence, [keccak256("p"), keccak256("q")], updateBody(commitmentOf(REVEAL)), "");
    }

    function acknowledgement(uint256 round, uint256 sequence, bytes32 parent, bytes memory reveal)
        internal
        pure
        returns (Said memory)
    {
        bytes memory body = abi.encodePacked(hex"a2", "\x65close", hex"f4", "\x66reveal", reveal);
        return Said("acknowledgement", 1, round, sequence, [parent, keccak256("q")], body, "");
    }

    function closing(uint256 round, uint256 sequence, bytes32 parent) internal pure returns (Said memory said) {
        said = acknowledgement(round, sequence, parent, hex"f6");
        said.body = abi.encodePacked(hex"a2", "\x65close", hex"f5", "\x66reveal", hex"f6");
    }

    function about(string memory kind, uint256 sequence, bytes32 proposal) internal pure returns (Said memory) {
        bytes memory body = abi.encodePacked(hex"a2", "\x66member", hex"01", "\x68proposal", hex"5820", proposal);
        return Said(kind, 1, 1, sequence, [keccak256("p"), keccak256("q")], body, "");
    }

    function updateBody(bytes32 commitment) internal pure returns (bytes memory) {
        return abi.encodePacked(
            abi.encodePacked(hex"a6", "\x65slots", hex"02", "\x66layout", hex"5820", keccak256("layout")),
            abi.encodePacked("\x67samples", hex"190123", "\x6acommitment", hex"5820", commitment),
            abi.encodePacked("\x6aweight_ppm", hex"1a000f4240", "\x6dparameter_set", hex"50", bytes16(keccak256("set")))
        );
    }

    function commitmentOf(bytes32 reveal) internal pure returns (bytes32) {
        return sha256(abi.encodePacked("medweave/reveal", reveal));
    }

    function bytesOf(bytes32 digest) internal pure returns (bytes memory) {
        return abi.encodePacked(hex"5820", digest);
    }

    /// @dev The transaction as a member signs it.
    function signed(uint256 who, Said memory t) internal pure returns (bytes memory) {
        return signedAt(CONSORTIUM, who, t);
    }

    function signedAt(bytes32 consortium, uint256 who, Said memory t) internal pure returns (bytes memory) {
        bytes memory front = abi.encodePacked(
            abi.encodePacked("\x64body", t.body, "\x64kind", textOf(t.kind), "\x65epoch", uintOf(t.epoch)),
            t.nonce.length == 0 ? bytes("") : abi.encodePacked("\x65nonce", hex"48", t.nonce),
            abi.encodePacked("\x65round", uintOf(t.round), "\x66format", hex"01", "\x67parents", hex"82"),
            abi.encodePacked(linkOf(0x71, t.parents[0]), linkOf(0x71, t.parents[1]), "\x67payload", payloadOf(t.kind)),
            abi.encodePacked("\x68sequence", uintOf(t.sequence))
        );
        bytes memory tail = abi.encodePacked("\x6aconsortium", hex"5820", consortium);
        uint8 keys = 0xa9 + (t.nonce.length == 0 ? 0 : 1);
        bytes32 digest = sha256(abi.encodePacked("medweave/transaction/1", hex"00", keys, front, tail));
        (uint8 v, bytes32 r, bytes32 s) = VM.sign(key(who), digest);
        return abi.encodePacked(keys + 1, front, "\x69signature", hex"5841", r, s, v - 27, tail);
    }

    function rootOf(bytes32[] memory leaves) internal pure returns (bytes32) {
        if (leaves.length == 1) return sha256(abi.encodePacked(hex"00", leaves[0]));
        uint256 split = splitOf(leaves.length);
        return sha256(
            abi.encodePacked(hex"01", rootOf(cut(leaves, 0, split)), rootOf(cut(leaves, split, leaves.length)))
        );
    }

    function pathOf(bytes32[] memory leaves, uint256 index) internal pure returns (bytes32[] memory path) {
        if (leaves.length == 1) return new bytes32[](0);
        uint256 split = splitOf(leaves.length);
        bool left = index < split;
        bytes32[] memory own = left ? cut(leaves, 0, split) : cut(leaves, split, leaves.length);
        bytes32[] memory other = left ? cut(leaves, split, leaves.length) : cut(leaves, 0, split);
        bytes32[] memory below = pathOf(own, left ? index : index - split);
        path = new bytes32[](below.length + 1);
        for (uint256 i = 0; i < below.length; i++) {
            path[i] = below[i];
        }
        path[below.length] = rootOf(other);
    }

    function splitOf(uint256 size) internal pure returns (uint256 split) {
        for (split = 1; 2 * split < size; split *= 2) {}
    }

    function cut(bytes32[] memory leaves, uint256 from, uint256 to) internal pure returns (bytes32[] memory part) {
        part = new bytes32[](to - from);
        for (uint256 i = from; i < to; i++) {
            part[i - from] = leaves[i];
        }
    }

    function uintOf(uint256 n) internal pure returns (bytes memory) {
        if (n < 24) return abi.encodePacked(uint8(n));
        if (n < 2 ** 8) return abi.encodePacked(hex"18", uint8(n));
        if (n < 2 ** 16) return abi.encodePacked(hex"19", uint16(n));
        if (n < 2 ** 32) return abi.encodePacked(hex"1a", uint32(n));
        return abi.encodePacked(hex"1b", uint64(n));
    }

    function textOf(string memory text) internal pure returns (bytes memory) {
        uint8 length = uint8(bytes(text).length);
        return length < 24 ? abi.encodePacked(0x60 + length, text) : abi.encodePacked(hex"78", length, text);
    }

    function linkOf(uint8 codec, bytes32 digest) internal pure returns (bytes memory) {
        return abi.encodePacked(hex"d82a58250001", codec, hex"1220", digest);
    }

    function payloadOf(string memory kind) private pure returns (bytes memory) {
        bool without = same(kind, "acknowledgement") || same(kind, "proposal") || same(kind, "verdict");
        return without ? bytes(hex"f6") : linkOf(0x55, keccak256("payload"));
    }

    function same(string memory a, string memory b) private pure returns (bool) {
        return keccak256(bytes(a)) == keccak256(bytes(b));
    }
}
