// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Sets of member indices, 0 to 255, in one word
library Bitmap {
    /// @notice Whether the index is in the set.
    function has(uint256 set, uint256 index) internal pure returns (bool) {
        return (set >> index) & 1 == 1;
    }

    /// @notice The set with the index in it.
    function with(uint256 set, uint256 index) internal pure returns (uint256) {
        return set | (1 << index);
    }

    /// @notice The set without the index.
    function without(uint256 set, uint256 index) internal pure returns (uint256) {
        return set & ~(1 << index);
    }

    /// @notice How many indices the set holds; parallel addition over ever wider fields (Warren, Hacker's Delight, 5-1).
    function count(uint256 set) internal pure returns (uint256) {
        unchecked {
            set -= (set >> 1) & (type(uint256).max / 3);
            set = (set & (type(uint256).max / 5)) + ((set >> 2) & (type(uint256).max / 5));
            set = (set + (set >> 4)) & (type(uint256).max / 17);
            // Bytes are summed pairwise: all 256 bits set would overflow one byte in the usual multiplication.
            set = (set & (type(uint256).max / 257)) + ((set >> 8) & (type(uint256).max / 257));
            return (set * (type(uint256).max / 65535)) >> 240;
        }
    }

    /// @notice Whether the set is exactly {0, …, size - 1}, for a size of 1 to 256.
    function isFull(uint256 set, uint256 size) internal pure returns (bool) {
        return set == type(uint256).max >> (256 - size);
    }
}
