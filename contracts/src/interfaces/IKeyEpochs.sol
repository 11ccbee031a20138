// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ITrainingRounds} from "./ITrainingRounds.sol";

/// @title The key ceremonies of a consortium
/// @notice Orders the ceremony that makes one joint encryption key (CRY-1, CRY-2), the refreshes that renew its members'
///         shares, and says which key and which generation of shares are in force.
/// @dev Only digests are on chain; the messages travel between the nodes. Every phase is complete, or waits until, all
///      members took part: a dealing is worthless unless each member's is there. Epoch ids count from 1.
///      A refresh takes the ceremony's steps again, under the same epoch id, for the same joint key: what is announced
///      between RefreshOpened and RefreshActivated or RefreshAborted belongs to it. At most one of all runs at a time.
interface IKeyEpochs {
    /// @notice Where a ceremony stands.
    enum Status {
        None,
        Running,
        Active,
        Superseded,
        Aborted
    }

    /// @notice One epoch. Sets of members are bitmaps over the registry's indices.
    /// @param parameterSet The encryption parameters' id (16 bytes, then zeros).
    /// @param jointKey sha2-256 of the joint public key; zero until the epoch is active.
    /// @param threshold How many members open a sum together, T.
    /// @param status Where the ceremony stands.
    /// @param deadline Unix seconds; from then on nothing but `abort` is accepted.
    /// @param generation How often the shares were refreshed; only shares of one generation open together.
    /// @param refreshes How many refreshes were opened, whatever became of them.
    /// @param refreshing Whether one is running.
    /// @param cohort Whether `holders` were drawn; if not, they are all the members there were.
    /// @param holders Who takes part: the members when the ceremony was opened, or a cohort drawn from them.
    /// @param announced Who announced its key for this ceremony, or for the last refresh, as all sets below.
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
        uint16 generation;
        uint32 refreshes;
        bool refreshing;
        bool cohort;
        uint256 holders;
        uint256 announced;
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
    /// @notice The ceremony that was just opened is among these members alone, a bitmap over the registry's indices; `seed`
    ///         is the rounds' seed that drew them.
    event CohortDrawn(uint256 indexed epoch, bytes32 seed, uint256 holders);
    /// @notice A refresh of the active epoch's shares began, the epoch's `refresh`-th; it is to make `generation`.
    event RefreshOpened(
        uint256 indexed epoch, uint32 refresh, uint16 generation, uint64 deadline, address indexed opener
    );
    /// @notice A member announced the X25519 key to which its shares are sealed, made for this ceremony alone.
    event Announced(uint256 indexed epoch, address indexed member, bytes32 boxKey);
    /// @notice A member fixed its dealing before seeing any other.
    event Committed(uint256 indexed epoch, address indexed member, bytes32 commitment);
    /// @notice A member published its dealing; `dealing` is the digest of its header.
    event Dealt(uint256 indexed epoch, address indexed member, bytes32 dealing);
    /// @notice A member published its part of the self-test (CRY-5).
    event Tested(uint256 indexed epoch, address indexed member, bytes32 report);
    /// @notice A member derived this joint key, or its share of the next generation, and saw the self-test pass.
    event Confirmed(uint256 indexed epoch, address indexed member, bytes32 jointKey);
    /// @notice The key is in force.
    event EpochActivated(uint256 indexed epoch, bytes32 jointKey);
    /// @notice The shares of `generation` are in force; older ones are of no use and must be erased.
    event RefreshActivated(uint256 indexed epoch, uint32 refresh, uint16 generation);
    /// @notice A member accuses another's message; `evidence` is the digest of what proves it.
    event Complained(uint256 indexed epoch, address indexed member, address indexed offender, bytes32 evidence);
    /// @notice The ceremony ended without a key; `complained` says who complained.
    event EpochAborted(uint256 indexed epoch, uint256 complained);
    /// @notice The refresh ended without new shares: the old ones stay in force; `complained` says who complained.
    event RefreshAborted(uint256 indexed epoch, uint32 refresh, uint256 complained);

    /// @notice Another ceremony or refresh has to end first.
    error CeremonyRunning(uint256 epoch);
    /// @notice Neither ceremony nor refresh is running: it does not exist, is complete or was aborted.
    error CeremonyNotRunning(uint256 epoch);
    /// @notice The ceremony's time is over; it can only be aborted.
    error CeremonyExpired(uint256 epoch, uint64 deadline);
    /// @notice The ceremony's time is not over yet.
    error CeremonyNotExpired(uint256 epoch, uint64 deadline);
    /// @notice A cohort has `smallest` to `members` members; where `smallest` is 0 this consortium has none.
    error BadCohort(uint256 size, uint256 smallest, uint256 members);
    /// @notice The threshold must be 1 to the number of those who take part.
    error BadThreshold(uint256 threshold, uint256 members);
    /// @notice The deadline lies in the past, or more than a day ahead.
    error BadDeadline(uint64 deadline);
    /// @notice The digest must not be zero.
    error EmptyDigest();
    /// @notice The member already took this step.
    error AlreadyDone(uint256 epoch, address member);
    /// @notice No epoch is active, or its shares cannot be refreshed: its threshold is 1, or 65,535 refreshes were made.
    error NothingToRefresh(uint256 epoch);
    /// @notice The member joined after the ceremony was opened, or is not of its cohort: it holds no share and takes no part.
    error NotHolder(uint256 epoch, address member);
    /// @notice The key was announced before, by whomever; draw another.
    error BoxKeyUsed(bytes32 boxKey);
    /// @notice The phase before is incomplete; `done` is the bitmap of members who completed it.
    error PhaseIncomplete(uint256 epoch, uint256 done);
    /// @notice A member confirms a key only after publishing its part of the self-test.
    error NotTested(uint256 epoch, address member);

    /// @notice Starts a ceremony. Members only, and only while none is running.
    /// @param parameterSet The encryption parameters' id.
    /// @param threshold How many members will open a sum together.
    /// @param deadline Unix seconds by which the ceremony must be complete, at most a day ahead.
    /// @return epoch The new epoch's id.
    function open(bytes32 parameterSet, uint8 threshold, uint64 deadline) external returns (uint256 epoch);

    /// @notice Starts a ceremony among a cohort: members drawn here and now, who also are the members of every round of its
    ///         epoch. Members only, of the cohort or not, and only while none is running.
    /// @dev All members are lined up by ascending index. For k = 0, 1, … the member that stands
    ///      keccak256(abi.encode(keccak256("medweave/cohort"), consortium, seed, k)) mod (N - k) places behind place k changes
    ///      places with the one there; the first `size` are the cohort. The seed is the rounds', so there is one draw until
    ///      the next round ends, and a larger cohort holds the smaller ones.
    /// @param parameterSet The encryption parameters' id.
    /// @param threshold How many of them will open a sum together.
    /// @param deadline Unix seconds by which the ceremony must be complete, at most a day ahead.
    /// @param size How many take part: `smallestCohort` to all.
    /// @return epoch The new epoch's id.
    function openCohort(bytes32 parameterSet, uint8 threshold, uint64 deadline, uint256 size)
        external
        returns (uint256 epoch);

    /// @notice Starts a refresh of the active epoch's shares. Its share holders only, and only while nothing is running.
    /// @param deadline Unix seconds by which it must be complete, at most a day ahead.
    /// @return epoch The epoch whose shares are refreshed.
    function refresh(uint64 deadline) external returns (uint256 epoch);

    /// @notice Announces the key to which the sender's shares are to be sealed: a fresh one for each ceremony and refresh.
    function announce(uint256 epoch, bytes32 boxKey) external;

    /// @notice Fixes the sender's dealing; only once all members announced their keys.
    function commit(uint256 epoch, bytes32 commitment) external;

    /// @notice Announces the sender's dealing; only once all members committed.
    function deal(uint256 epoch, bytes32 dealing) external;

    /// @notice Announces the sender's part of the self-test; only once all members dealt.
    function test(uint256 epoch, bytes32 report) external;

    /// @notice Confirms the joint key. Activates the epoch, and retires the one before, as soon as
    ///         max(threshold, quorum) members confirmed the same key; later confirmations are recorded only. The quorum is
    ///         two thirds of all members, of a cohort's ceremony two thirds of the cohort.
    ///         In a refresh: activates the next generation once every holder confirmed the epoch's own key. With fewer, a
    ///         member could be left with a share that fits no other.
    function confirm(uint256 epoch, bytes32 jointKey) external;

    /// @notice Accuses a member's message. Ceremony or refresh aborts once a quorum of members, or of the cohort, complained.
    function complain(uint256 epoch, address offender, bytes32 evidence) external;

    /// @notice Ends a ceremony or refresh whose deadline has passed. Anyone may.
    function abort(uint256 epoch) external;

    /// @notice The epoch whose key is in force; 0 before the first.
    function active() external view returns (uint256);

    /// @notice The same, and whose the rounds of that epoch are: a bitmap, with all bits set where they are all members'.
    function inForce() external view returns (uint256 epoch, uint256 cohort);

    /// @notice Whose the rounds of an epoch are: a bitmap, with all bits set where they are all members'.
    function cohortOf(uint256 epoch) external view returns (uint256);

    /// @notice The rounds whose seed draws cohorts.
    function rounds() external view returns (ITrainingRounds);

    /// @notice The fewest members a cohort may have, for good; 0 where there are no cohorts.
    function smallestCohort() external view returns (uint256);

    /// @notice The last epoch opened; 0 before the first.
    function latest() external view returns (uint256);

    /// @notice One epoch; all zero if it does not exist.
    function get(uint256 epoch) external view returns (Epoch memory);
}
