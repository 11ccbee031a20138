// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The key ceremonies of a consortium
/// @notice Orders the ceremony that makes one joint encryption key (CRY-1, CRY-2) and says which key is in force.
/// @dev Only digests are on chain; the messages travel between the nodes. Every phase is complete, or waits until, all
///      members took part: a dealing is worthless unless each member's is there. Epoch ids count from 1.
interface IKeyEpochs {
    /// @notice Where a ceremony stands.
    enum Status {
        None,
        Running,
        Active,
        Superseded,
        Aborted
    }

    /// @notice One ceremony. Sets of members are bitmaps over the registry's indices.
    /// @param parameterSet The encryption parameters' id (16 bytes, then zeros).
    /// @param jointKey sha2-256 of the joint public key; zero until the epoch is active.
    /// @param threshold How many members open a sum together, T.
    /// @param status Where the ceremony stands.
    /// @param deadline Unix seconds; from then on nothing but `abort` is accepted.
    /// @param committed Who committed to its dealing.
    /// @param dealt Who published its dealing.
    /// @param tested Who published its part of the self-test.
    /// @param confirmed Who confirmed a joint key, whichever.
    /// @param complained Who complained about another's message.
    struct Epoch {
        bytes32 parameterSet;
        bytes32 jointKey;
        uint8 threshold;
        Status status;
        uint64 deadline;
        uint256 committed;
        uint256 dealt;
        uint256 tested;
        uint256 confirmed;
        uint256 complained;
    }

    /// @notice A ceremony began.
    event EpochOpened(
        uint256 indexed epoch, bytes32 parameterSet, uint8 threshold, uint64 deadline, address indexed opener
    );
    /// @notice A member fixed its dealing before seeing any other.
    event Committed(uint256 indexed epoch, address indexed member, bytes32 commitment);
    /// @notice A member published its dealing; `dealing` is the digest of its header.
    event Dealt(uint256 indexed epoch, address indexed member, bytes32 dealing);
    /// @notice A member published its part of the self-test (CRY-5).
    event Tested(uint256 indexed epoch, address indexed member, bytes32 report);
    /// @notice A member derived this joint key and saw the self-test pass.
    event Confirmed(uint256 indexed epoch, address indexed member, bytes32 jointKey);
    /// @notice The key is in force.
    event EpochActivated(uint256 indexed epoch, bytes32 jointKey);
    /// @notice A member accuses another's message; `evidence` is the digest of what proves it.
    event Complained(uint256 indexed epoch, address indexed member, address indexed offender, bytes32 evidence);
    /// @notice The ceremony ended without a key; `complained` says who complained.
    event EpochAborted(uint256 indexed epoch, uint256 complained);

    /// @notice Another ceremony has to end first.
    error CeremonyRunning(uint256 epoch);
    /// @notice The ceremony is not running: it does not exist, is complete or was aborted.
    error CeremonyNotRunning(uint256 epoch);
    /// @notice The ceremony's time is over; it can only be aborted.
    error CeremonyExpired(uint256 epoch, uint64 deadline);
    /// @notice The ceremony's time is not over yet.
    error CeremonyNotExpired(uint256 epoch, uint64 deadline);
    /// @notice The threshold must be 1 to the number of members.
    error BadThreshold(uint256 threshold, uint256 members);
    /// @notice The deadline lies in the past.
    error BadDeadline(uint64 deadline);
    /// @notice The digest must not be zero.
    error EmptyDigest();
    /// @notice The member already took this step.
    error AlreadyDone(uint256 epoch, address member);
    /// @notice The phase before is incomplete; `done` is the bitmap of members who completed it.
    error PhaseIncomplete(uint256 epoch, uint256 done);
    /// @notice A member confirms a key only after publishing its part of the self-test.
    error NotTested(uint256 epoch, address member);

    /// @notice Starts a ceremony. Members only, and only while none is running.
    /// @param parameterSet The encryption parameters' id.
    /// @param threshold How many members will open a sum together.
    /// @param deadline Unix seconds by which the ceremony must be complete.
    /// @return epoch The new epoch's id.
    function open(bytes32 parameterSet, uint8 threshold, uint64 deadline) external returns (uint256 epoch);

    /// @notice Fixes the sender's dealing.
    function commit(uint256 epoch, bytes32 commitment) external;

    /// @notice Announces the sender's dealing; only once all members committed.
    function deal(uint256 epoch, bytes32 dealing) external;

    /// @notice Announces the sender's part of the self-test; only once all members dealt.
    function test(uint256 epoch, bytes32 report) external;

    /// @notice Confirms the joint key. Activates the epoch, and retires the one before, as soon as
    ///         max(threshold, quorum) members confirmed the same key; later confirmations are recorded only.
    function confirm(uint256 epoch, bytes32 jointKey) external;

    /// @notice Accuses a member's message. The ceremony aborts once a quorum of members complained.
    function complain(uint256 epoch, address offender, bytes32 evidence) external;

    /// @notice Ends a ceremony whose deadline has passed. Anyone may.
    function abort(uint256 epoch) external;

    /// @notice The epoch whose key is in force; 0 before the first.
    function active() external view returns (uint256);

    /// @notice The last epoch opened; 0 before the first.
    function latest() external view returns (uint256);

    /// @notice One epoch; all zero if it does not exist.
    function get(uint256 epoch) external view returns (Epoch memory);
}
