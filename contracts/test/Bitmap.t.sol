// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Bitmap} from "../src/Bitmap.sol";

/// @dev Sets of indices against the slow way.
contract BitmapTest {
    using Bitmap for uint256;

    function testFuzz_countEqualsCountingOneByOne(uint256 set) external pure {
        uint256 expected = 0;
        for (uint256 i = 0; i < 256; i++) {
            if ((set >> i) % 2 == 1) expected++;
        }
        require(set.count() == expected, "count");
    }

    function test_countAtTheEnds() external pure {
        require(uint256(0).count() == 0, "empty");
        require(type(uint256).max.count() == 256, "full");
    }

    function testFuzz_withAddsOneIndexOnly(uint256 set, uint8 index) external pure {
        uint256 larger = set.with(index);
        require(larger.has(index), "not in it");
        require(larger & ~(uint256(1) << index) == set & ~(uint256(1) << index), "another index changed");
    }

    function testFuzz_fullOnlyWithExactlyTheFirst(uint8 last) external pure {
        uint256 size = uint256(last) + 1;
        uint256 all = 0;
        for (uint256 i = 0; i < size; i++) {
            all = all.with(i);
        }
        require(all.isFull(size), "full");
        require(!(all & ~(uint256(1) << last)).isFull(size), "last is missing");
        if (size < 256) require(!all.with(size).isFull(size), "one too many");
    }
}
