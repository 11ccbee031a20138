// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The members of one consortium
/// @notice Who the hospitals are, which keys they answer to and how much data each declared.
/// @dev A member keeps its index (0 to memberCount - 1) for ever: votes and signatures are bitmaps over indices.
interface IHospitalRegistry {
    /// @notice One hospital as its peers know it.
    /// @param account The chain account, which also signs the hospital's ledger transactions.
    /// @param boxKey The X25519 public key to which peers seal key shares.
    /// @param dataSize The declared number of training images; caps the hospital's weight (eq. 19), self-declared.
    /// @param name The display name, UTF-8, 1 to 64 bytes.
    /// @param url Where peers reach its node, UTF-8, at most 256 bytes.
    struct Hospital {
        address account;
        bytes32 boxKey;
        uint32 dataSize;
        string name;
        string url;
    }

    /// @notice A hospital became a member.
    event HospitalAdmitted(
        uint256 indexed index, address indexed account, bytes32 boxKey, uint32 dataSize, string name, string url
    );

    /// @notice A member moved its node.
    event UrlChanged(address indexed account, string url);

    /// @notice The account is no member of this consortium.
    error NotMember(address account);
    /// @notice The account is listed twice.
    error DuplicateMember(address account);
    /// @notice A consortium has 1 to 256 members.
    error BadMemberCount(uint256 count);
    /// @notice The hospital's record is incomplete or a text in it is too long; `field` names the first bad one.
    error BadHospital(uint256 index, string field);
    /// @notice No member has this index.
    error NoSuchIndex(uint256 index);

    /// @notice The 32-byte identifier of the consortium; separates its keys, seeds and ledger from any other's.
    function consortium() external view returns (bytes32);

    /// @notice The number of members, N.
    function memberCount() external view returns (uint256);

    /// @notice The smallest number of members that decides for all: ceil(2N/3).
    function quorum() external view returns (uint256);

    /// @notice The member with this index; reverts with NoSuchIndex.
    function memberAt(uint256 index) external view returns (Hospital memory);

    /// @notice The account of the member with this index; reverts with NoSuchIndex.
    function accountAt(uint256 index) external view returns (address);

    /// @notice All members in the order of their indices (at most 256; for reading off chain).
    function members() external view returns (Hospital[] memory);

    /// @notice The index of a member; reverts with NotMember.
    function indexOf(address account) external view returns (uint256);

    /// @notice Whether the account is a member.
    function isMember(address account) external view returns (bool);

    /// @notice Changes the sender's own address on the network. Emits UrlChanged.
    function setUrl(string calldata url) external;
}
