// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Rfc6962} from "../src/Rfc6962.sol";
import {Ledger} from "./Ledger.sol";

/// @dev Proofs of position against trees built by the RFC's own recursion.
contract Rfc6962Test is Ledger {
    function testFuzz_everyLeafIsProvenAtItsPlace(bytes32 salt, uint8 size, uint8 index) external view {
        bytes32[] memory leaves = leavesOf(salt, uint256(size) % 20 + 1);
        uint256 pos = uint256(index) % leaves.length;
        require(this.includes(rootOf(leaves), leaves[pos], pos, leaves.length, pathOf(leaves, pos)), "right place");
    }

    function testFuzz_noOtherLeafIsProvenThere(bytes32 salt, uint8 size, uint8 index, bytes32 other) external view {
        bytes32[] memory leaves = leavesOf(salt, uint256(size) % 20 + 1);
        uint256 pos = uint256(index) % leaves.length;
        if (other == leaves[pos]) other = ~other;
        require(!this.includes(rootOf(leaves), other, pos, leaves.length, pathOf(leaves, pos)), "other leaf");
    }

    function testFuzz_aChangedPathProvesNothing(bytes32 salt, uint8 size, uint8 index, uint8 place, uint8 bit)
        external
        view
    {
        bytes32[] memory leaves = leavesOf(salt, uint256(size) % 19 + 2);
        uint256 pos = uint256(index) % leaves.length;
        bytes32[] memory path = pathOf(leaves, pos);
        path[uint256(place) % path.length] ^= bytes32(uint256(1) << bit);
        require(!this.includes(rootOf(leaves), leaves[pos], pos, leaves.length, path), "changed path");
    }

    /// @dev What absence rests on: whatever size is claimed, two leaves proven next to each other are.
    function testFuzz_neighboursAreNeighboursUnderAnyClaimedSize(uint8 size, uint8 left, uint8 right, uint8 pos, uint8 n)
        external
        view
    {
        bytes32[] memory leaves = leavesOf("salt", uint256(size) % 20 + 2);
        uint256 i = uint256(left) % leaves.length;
        uint256 j = uint256(right) % leaves.length;
        uint256 claimed = uint256(n) % 40 + 1;
        uint256 index = uint256(pos) % claimed;
        bytes32 root = rootOf(leaves);
        bool first = this.includes(root, leaves[i], index, claimed, pathOf(leaves, i));
        if (first && index == 0) require(i == 0, "first");
        if (first && index + 1 == claimed) require(i + 1 == leaves.length, "last");
        if (first && this.includes(root, leaves[j], index + 1, claimed, pathOf(leaves, j))) {
            require(j == i + 1, "neighbours");
        }
    }

    function test_pathsOfAnotherLength() external view {
        bytes32[] memory leaves = leavesOf("salt", 4);
        bytes32 root = rootOf(leaves);
        bytes32[] memory path = pathOf(leaves, 1);
        require(!this.includes(root, leaves[1], 1, 4, cut(path, 0, 1)), "too short");
        bytes32[] memory longer = new bytes32[](3);
        (longer[0], longer[1]) = (path[0], path[1]);
        require(!this.includes(root, leaves[1], 1, 4, longer), "too long");
        require(!this.includes(root, leaves[1], 4, 4, path), "beyond the end");
        require(!this.includes(root, leaves[1], 0, 0, path), "empty list");
        require(!this.includes(root, leaves[3], 0, 1, pathOf(leaves, 3)), "the last is not the first of one");
    }

    function includes(bytes32 root, bytes32 leaf, uint256 index, uint256 size, bytes32[] calldata path)
        external
        pure
        returns (bool)
    {
        return Rfc6962.includes(root, leaf, index, size, path);
    }

    function leavesOf(bytes32 salt, uint256 size) private pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](size);
        for (uint256 i = 0; i < size; i++) {
            leaves[i] = keccak256(abi.encode(salt, i));
        }
    }
}
