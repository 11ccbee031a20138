// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The rounds in which a consortium trains
/// @notice One round at a time: open, proposals, then either an outcome signed by a quorum or an abort.
/// @dev Rounds count from 1. The seed of a round is fixed before it opens; the leaders' order is derived off chain from
///      it and from the reputations of that moment (IConduct), so a fail-over to the next leader needs no transaction.
///      A member proposes once a round, so every slot has one leader and every leader one proposal.
interface ITrainingRounds {
    /// @notice Where a round stands.
    enum Status {
        None,
        Collecting, // opened, and nothing proposed yet
        Proposed, // a member proposed; others still may
        Finalised,
        Aborted
    }

    /// @notice One round.
    /// @param plan sha2-256 of the training plan.
    /// @param base The model it trains from.
    /// @param model The model it made; equal to `base` while it is open, if it aborted, or if no update was accepted.
    /// @param epoch The key epoch its updates are sealed under.
    /// @param openedAt Unix seconds of the opening block.
    /// @param collectBy Unix seconds until which updates count.
    /// @param finaliseBy Unix seconds until which, inclusive, an outcome is accepted.
    /// @param quorum The members that decided for all its members when it opened: of the consortium, or of the cohort that
    ///        holds its epoch's key.
    /// @param status Where it stands.
    struct Round {
        bytes32 plan;
        bytes32 base;
        bytes32 model;
        uint256 epoch;
        uint256 openedAt;
        uint256 collectBy;
        uint256 finaliseBy;
        uint256 quorum;
        Status status;
    }

    /// @notice What a quorum signs (EIP-712, domain "Medweave" version "1"): one round's result and how it came about.
    /// @param round The round.
    /// @param base The model it started from.
    /// @param model The new model; equal to `base` if no update was accepted.
    /// @param plan The round's plan.
    /// @param leader The member whose proposal was carried out.
    /// @param proposal The ledger id of that proposal.
    /// @param updatesRoot Merkle root of the aggregated update transactions.
    /// @param sumsRoot Merkle root of the encrypted group sums.
    /// @param statement sha2-256 of the provenance statement.
    /// @param seedMaterial The members' reveals and the ledger's root, hashed: entropy for the next seed (CHN-2).
    struct Outcome {
        uint256 round;
        bytes32 base;
        bytes32 model;
        bytes32 plan;
        address leader;
        bytes32 proposal;
        bytes32 updatesRoot;
        bytes32 sumsRoot;
        bytes32 statement;
        bytes32 seedMaterial;
    }

    /// @notice A quorum admitted a plan, or withdrew it; `signers` is the bitmap of members.
    event PlanDecided(bytes32 indexed plan, bool admitted, uint256 signers);
    /// @notice A round began.
    event RoundOpened(
        uint256 indexed round,
        uint256 epoch,
        bytes32 plan,
        bytes32 base,
        bytes32 seed,
        address opener,
        uint256 collectBy,
        uint256 finaliseBy
    );
    /// @notice A member proposed an aggregation.
    event Proposed(
        uint256 indexed round, address indexed leader, bytes32 proposal, bytes32 updatesRoot, bytes32 sumsRoot
    );
    /// @notice A quorum signed the outcome; `signers` is the bitmap of members, `seed` the next round's.
    event RoundFinalised(
        uint256 indexed round,
        bytes32 indexed model,
        address indexed leader,
        bytes32 base,
        bytes32 proposal,
        bytes32 statement,
        uint256 signers,
        bytes32 seed
    );
    /// @notice The round's time ran out; its base carries over and `seed` is the next round's.
    event RoundAborted(uint256 indexed round, bytes32 seed);

    /// @notice The constructor was given a model ledger that obeys another contract.
    error NotLedgerWriter(address writer);
    /// @notice The constructor was given key epochs that draw cohorts by another contract's seed.
    error NotDrawnFrom(address rounds);
    /// @notice There is no genesis model yet.
    error NoGenesis();
    /// @notice The genesis model was recorded before.
    error GenesisExists(bytes32 model);
    /// @notice No key epoch is active.
    error NoActiveEpoch();
    /// @notice The current round has not ended.
    error RoundStillOpen(uint256 round);
    /// @notice The round is not open.
    error RoundNotOpen(uint256 round);
    /// @notice The base is not the newest model.
    error WrongBase(bytes32 base, bytes32 head);
    /// @notice The outcome's plan is not the round's.
    error WrongPlan(bytes32 plan, bytes32 expected);
    /// @notice Seconds must satisfy 0 < collectSeconds < roundSeconds <= 30 days.
    error BadDeadlines(uint64 collectSeconds, uint64 roundSeconds);
    /// @notice The round's time is over; it can only be aborted.
    error RoundExpired(uint256 round, uint256 finaliseBy);
    /// @notice The round's time is not over yet.
    error RoundNotExpired(uint256 round, uint256 finaliseBy);
    /// @notice The member has proposed in this round already.
    error AlreadyProposed(uint256 round, address leader);
    /// @notice The round is its cohort's, and the member is not of it.
    error NotInCohort(uint256 round, address leader);
    /// @notice The outcome's leader did not propose what the outcome says.
    error NotProposed(uint256 round, address leader);
    /// @notice A digest must not be zero.
    error EmptyDigest();
    /// @notice This consortium trains by approved plans, and a quorum has not admitted this one.
    error PlanNotAdmitted(bytes32 plan);
    /// @notice The vote's time is over: collect signatures with a later deadline.
    error DecisionExpired(uint256 deadline);

    /// @notice Records the lineage's first model. Members only, once.
    function genesis(bytes32 model, bytes32 plan) external;

    /// @notice Carries out a quorum's decision about a plan. Anybody may send it. Until the first such decision every
    ///         member may open rounds with any plan, which nodes refuse by their own policy; afterwards with admitted ones only.
    /// @param plan sha2-256 of the training plan.
    /// @param admitted Whether rounds may be opened with it from now on.
    /// @param deadline Unix seconds until which, inclusive, the decision may be carried out; part of what was signed.
    /// @param signers Bitmap of the members that signed.
    /// @param signatures 65 bytes (r, s, v) for each of them, by ascending index.
    function decidePlan(bytes32 plan, bool admitted, uint256 deadline, uint256 signers, bytes calldata signatures)
        external;

    /// @notice Opens the next round. Members only; needs an active key epoch and the previous round ended. Where a cohort holds
    ///         the key, the round is its members': they alone propose and sign, two thirds of them decide.
    /// @param plan sha2-256 of the training plan.
    /// @param base The newest model, which the round trains from.
    /// @param collectSeconds From now until updates no longer count.
    /// @param roundSeconds From now until an outcome is no longer accepted.
    /// @return round The new round's number.
    function open(bytes32 plan, bytes32 base, uint64 collectSeconds, uint64 roundSeconds)
        external
        returns (uint256 round);

    /// @notice Puts the sender's proposal on record, once a round. The round's members only.
    /// @param round The open round.
    /// @param proposal The ledger id of the proposal transaction.
    /// @param updatesRoot Merkle root of the update transactions it aggregates.
    /// @param sumsRoot Merkle root of the encrypted group sums.
    function propose(uint256 round, bytes32 proposal, bytes32 updatesRoot, bytes32 sumsRoot) external;

    /// @notice Ends the round with an outcome signed by a quorum of its members. Anybody may send it: the signatures decide.
    /// @param outcome What was signed.
    /// @param signers Bitmap of the members that signed.
    /// @param signatures 65 bytes (r, s, v) for each of them, by ascending index.
    function finalise(Outcome calldata outcome, uint256 signers, bytes calldata signatures) external;

    /// @notice Ends a round whose time ran out. Anyone may.
    function abort(uint256 round) external;

    /// @notice The last round opened; 0 before the first.
    function current() external view returns (uint256);

    /// @notice One round; all zero if it does not exist. Round 0 stands for the genesis: its model has no base.
    function get(uint256 round) external view returns (Round memory);

    /// @notice How many decisions about plans were carried out; the next one signs this number.
    function planDecisions() external view returns (uint256);

    /// @notice Whether rounds may be opened with this plan.
    function isAdmitted(bytes32 plan) external view returns (bool);

    /// @notice The 32 bytes that members sign now for a decision about a plan (EIP-712).
    function planDigest(bytes32 plan, bool admitted, uint256 deadline) external view returns (bytes32);

    /// @notice The seed of the open round, or else of the next one.
    function seed() external view returns (bytes32);

    /// @notice The 32 bytes that members sign for an outcome (EIP-712).
    function outcomeDigest(Outcome calldata outcome) external view returns (bytes32);
}
