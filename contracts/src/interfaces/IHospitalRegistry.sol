// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The members of one consortium
/// @notice Who the hospitals are, which keys they answer to, how much data each declared and the digest of its data
///         card; what a quorum of them decides about that.
/// @dev A seat (0, 1, 2, …) is given once and never again: votes and signatures are bitmaps over seats, and an old
///      round's bitmap must name the same hospitals for ever. An account serves one seat, once. Decisions are EIP-712
///      votes collected off chain and sent in one transaction by anybody.
interface IHospitalRegistry {
    /// @notice One hospital as its peers know it.
    /// @param account The chain account, which also signs the hospital's ledger transactions.
    /// @param boxKey The X25519 public key that the hospital is known by, beside its account: people compare the fingerprint of
    ///        both. Key shares are sealed to keys announced for each ceremony instead (IKeyEpochs).
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

    /// @notice A quorum's agreement to one change.
    /// @param deadline Unix seconds until which, inclusive, it may be carried out; part of what was signed.
    /// @param signers Bitmap of the members that signed.
    /// @param signatures 65 bytes (r, s, v) for each of them, by ascending index.
    struct Vote {
        uint256 deadline;
        uint256 signers;
        bytes signatures;
    }

    /// @notice A hospital became a member.
    event HospitalAdmitted(
        uint256 indexed index, address indexed account, bytes32 boxKey, uint32 dataSize, string name, string url
    );

    /// @notice A hospital is no longer a member; its index stays empty for ever.
    event HospitalRemoved(uint256 indexed index, address indexed account);

    /// @notice A member answers to other keys from now on.
    event KeysRotated(uint256 indexed index, address indexed account, address indexed newAccount, bytes32 boxKey);

    /// @notice A member's declared data size changed.
    event DataSizeChanged(uint256 indexed index, address indexed account, uint32 dataSize);

    /// @notice A member moved its node.
    event UrlChanged(address indexed account, string url);

    /// @notice A member trains from now on on the images that the data card with this digest describes.
    event CardRegistered(uint256 indexed index, address indexed account, bytes32 digest);

    /// @notice The account is no member of this consortium.
    error NotMember(address account);
    /// @notice The account has, or once had, a seat here; an account serves one seat, once.
    error DuplicateMember(address account);
    /// @notice A consortium has 1 to 256 seats, and at least one member.
    error BadMemberCount(uint256 count);
    /// @notice The hospital's record is incomplete or a text in it is too long; `field` names the first bad one.
    error BadHospital(uint256 index, string field);
    /// @notice No hospital has, or ever had, this index.
    error NoSuchIndex(uint256 index);
    /// @notice The vote's time is over: collect signatures with a later deadline.
    error VoteExpired(uint256 deadline);
    /// @notice Fewer members signed than the quorum.
    error NoQuorum(uint256 signed, uint256 quorum);
    /// @notice There must be 65 bytes of signature for each member in the bitmap, and only members in it.
    error BadSignatureCount(uint256 bytesGiven, uint256 signers);
    /// @notice This member's signature is malformed, not its own, or of something else, such as an earlier decision.
    error BadSignature(uint256 index, address member);
    /// @notice 32 zero bytes are no data card's digest.
    error EmptyCard();
    /// @notice The member registered this data card already, and no other since.
    error SameCard(uint256 index, bytes32 digest);

    /// @notice The 32-byte identifier of the consortium; separates its keys, seeds and ledger from any other's.
    function consortium() external view returns (bytes32);

    /// @notice The number of members, N.
    function memberCount() external view returns (uint256);

    /// @notice The members: a bitmap of their indices.
    function memberSet() external view returns (uint256);

    /// @notice How many seats were ever given; the next hospital gets this index.
    function seatCount() external view returns (uint256);

    /// @notice How many votes were carried out; the next vote signs this number, so that none counts twice.
    function decisions() external view returns (uint256);

    /// @notice The smallest number of members that decides for all: ceil(2N/3).
    function quorum() external view returns (uint256);

    /// @notice The smallest number that decides for a subset: ceil(2M/3) of its M members, former ones aside.
    /// @param among Bitmap of the subset.
    function quorumOf(uint256 among) external view returns (uint256);

    /// @notice The hospital with this index, member or former member; reverts with NoSuchIndex.
    function memberAt(uint256 index) external view returns (Hospital memory);

    /// @notice The account of the hospital with this index, member or former member; reverts with NoSuchIndex.
    function accountAt(uint256 index) external view returns (address);

    /// @notice All hospitals by index, former members included: see memberSet (at most 256; for reading off chain).
    function members() external view returns (Hospital[] memory);

    /// @notice The digest of the data card that this hospital registered last, zero if none; reverts with NoSuchIndex.
    function cardOf(uint256 index) external view returns (bytes32);

    /// @notice The same of all hospitals by index, former members included (at most 256; for reading off chain).
    function cards() external view returns (bytes32[] memory);

    /// @notice The index of a member by its present account; reverts with NotMember.
    function indexOf(address account) external view returns (uint256);

    /// @notice Whether the account is a member's present one.
    function isMember(address account) external view returns (bool);

    /// @notice Whether the account is, or once was, a member's.
    function isKnown(address account) external view returns (bool);

    /// @notice Changes the sender's own address on the network. Emits UrlChanged.
    function setUrl(string calldata url) external;

    /// @notice Puts on record which images the sender trains on from now on. Emits CardRegistered.
    /// @dev Nobody can check it here: it is the member's word, with a date, which it can be held to once it shows the card.
    /// @param digest sha2-256 of the data card; neither zero nor the one on record.
    function registerCard(bytes32 digest) external;

    /// @notice Gives a hospital the next seat. Emits HospitalAdmitted.
    function admit(Hospital calldata hospital, Vote calldata vote) external;

    /// @notice Ends a hospital's membership. Emits HospitalRemoved. The last member cannot be removed.
    function remove(address account, Vote calldata vote) external;

    /// @notice Gives a member other keys; the old account is never valid again. Emits KeysRotated.
    /// @param account The member's present account.
    /// @param newAccount Its new account, or the present one if only the X25519 key changes.
    /// @param newBoxKey Its new X25519 public key, or the present one.
    /// @param vote The quorum's agreement.
    function rotate(address account, address newAccount, bytes32 newBoxKey, Vote calldata vote) external;

    /// @notice Changes a member's declared data size. Emits DataSizeChanged.
    function resize(address account, uint32 dataSize, Vote calldata vote) external;

    /// @notice Reverts unless the signatures over a digest are those of a quorum of members.
    /// @param digest The 32 bytes they signed.
    /// @param signers Bitmap of the members that signed.
    /// @param signatures 65 bytes (r, s, v) for each of them, by ascending index.
    function verifyQuorum(bytes32 digest, uint256 signers, bytes calldata signatures) external view;

    /// @notice Reverts unless the signatures over a digest are those of a quorum of a subset's members, and of nobody else.
    /// @param digest The 32 bytes they signed.
    /// @param among Bitmap of the subset; former members in it count for nothing.
    /// @param signers Bitmap of the members that signed.
    /// @param signatures 65 bytes (r, s, v) for each of them, by ascending index.
    function verifyQuorumOf(bytes32 digest, uint256 among, uint256 signers, bytes calldata signatures) external view;

    /// @notice The 32 bytes (EIP-712) that members sign now to admit a hospital.
    function admissionDigest(Hospital calldata hospital, uint256 deadline) external view returns (bytes32);

    /// @notice The 32 bytes (EIP-712) that members sign now to remove a member.
    function removalDigest(address account, uint256 deadline) external view returns (bytes32);

    /// @notice The 32 bytes (EIP-712) that members sign now to rotate a member's keys.
    function rotationDigest(address account, address newAccount, bytes32 newBoxKey, uint256 deadline)
        external
        view
        returns (bytes32);

    /// @notice The 32 bytes (EIP-712) that members sign now to change a member's declared data size.
    function resizingDigest(address account, uint32 dataSize, uint256 deadline) external view returns (bytes32);
}
