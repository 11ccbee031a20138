// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Proofs of membership and position in the ledger's Merkle trees (RFC 6962, section 2.1)
/// @dev sha2-256; a leaf of 32 bytes hashes as H(0x00, leaf), a node as H(0x01, left, right), and a list splits at the
///      largest power of two below its length. OpenZeppelin's MerkleProof sorts pairs, so it proves no position.
library Rfc6962 {
    /// @notice Whether `leaf` stands at `index` of the `size` leaves under `root` (RFC 9162, section 2.1.3.2).
    /// @dev The root does not fix `size`: a proof with another size holds only if it takes the same turns from the root.
    ///      So "the first", "the last" and "next to each other" are proven, the number itself is not.
    function includes(bytes32 root, bytes32 leaf, uint256 index, uint256 size, bytes32[] calldata path)
        internal
        pure
        returns (bool)
    {
        if (index >= size) return false;
        bytes32 node = sha256(abi.encodePacked(bytes1(0x00), leaf));
        uint256 pos = index;
        uint256 last = size - 1;
        for (uint256 i = 0; i < path.length; i++) {
            if (last == 0) return false;
            if (pos & 1 == 1 || pos == last) {
                node = _join(path[i], node);
                while (pos & 1 == 0 && pos != 0) {
                    pos >>= 1;
                    last >>= 1;
                }
            } else {
                node = _join(node, path[i]);
            }
            pos >>= 1;
            last >>= 1;
        }
        return last == 0 && node == root;
    }

    function _join(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x01), left, right));
    }
}
