// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What members did wrong in the rounds, and what it costs them
/// @notice A member starts with a reputation of 100. A fault takes points; a signature under a finalised outcome gives one
///         back. Reputations are the weights of the leaders' ranking: those that stood when the round was opened.
/// @dev Three faults are decided here, by proof, and anybody may bring one. The others need what no chain sees (the
///      ciphertexts, the clock of a slot) and are found by a quorum's EIP-712 signatures. A fault of one kind counts once
///      a member and round. Removal of a member is the registry's business, by vote.
interface IConduct {
    /// @notice The faults; the first three are proven, the others found by a quorum.
    enum Fault {
        Equivocation, // signed two ledger transactions that contradict each other: 100 points, and none comes back
        WrongInclusion, // proposed a list with something else than updates of the round, or out of order: 50
        Omission, // left out an update that its own past shows closed over by a quorum, and revealed: 50
        WrongProposal, // proposed groups or sums that do not follow from its list: 50
        OutOfTurn, // proposed before its slot: 50
        SilentLeader, // let its slot pass: 10
        Unrevealed, // committed to a secret for the seed and did not reveal it: 10
        BadUpdate, // posted ciphertexts that are none: 50
        WithheldShare // was asked to open sums and did not: 10
    }

    /// @notice A proposal as its leader put it on record.
    /// @param round The round.
    /// @param leader Who proposed.
    /// @param id The ledger id of the proposal transaction.
    /// @param updatesRoot Merkle root of the update transactions it aggregates.
    /// @param sumsRoot Merkle root of the encrypted group sums.
    struct Proposal {
        uint256 round;
        address leader;
        bytes32 id;
        bytes32 updatesRoot;
        bytes32 sumsRoot;
    }

    /// @notice Where one leaf stands in a Merkle tree, with the proof (RFC 6962).
    /// @param leaf What stands there.
    /// @param index Its position.
    /// @param path The sibling digests from the leaf up.
    struct Place {
        bytes32 leaf;
        uint256 index;
        bytes32[] path;
    }

    /// @notice What a quorum found; EIP-712, domain "Medweave" version "1".
    /// @param round The round.
    /// @param fault What was done; none of the first three.
    /// @param members Bitmap of those who did it.
    /// @param evidence sha2-256 of the document that shows it.
    struct Finding {
        uint256 round;
        Fault fault;
        uint256 members;
        bytes32 evidence;
    }

    /// @notice A member is at fault; `points` were taken and `reputation` is left.
    event FaultRecorded(
        uint256 indexed round, uint256 indexed index, Fault fault, bytes32 evidence, uint256 points, uint256 reputation
    );
    /// @notice A fault no longer stands; `points` were given back and `reputation` is what the member has now.
    event FaultAnnulled(uint256 indexed round, uint256 indexed index, Fault fault, uint256 points, uint256 reputation);

    /// @notice The bytes with this number are no ledger transaction of this consortium that belongs there.
    error BadTransaction(uint256 which);
    /// @notice A member may sign both transactions.
    error NoContradiction();
    /// @notice The path does not lead from the leaf to the root.
    error NotIncluded(bytes32 leaf);
    /// @notice What is listed is an update of the round by a member.
    error InclusionRight(bytes32 leaf);
    /// @notice The two leaves are in ascending order, as they should be.
    error OrderRight(bytes32 left, bytes32 right);
    /// @notice The two places are not next to each other around the update, so it may be listed.
    error NotAbsent(bytes32 update);
    /// @notice The transaction with this number is not shown to be in the proposal's past.
    error NotInPast(uint256 which);
    /// @notice The closes of fewer members than the round's quorum are shown to cover the update.
    error NotCovered(uint256 closes, uint256 quorum);
    /// @notice The proposals before this one are not all shown, in order, or one of them has the same list of updates.
    error NotFirst(uint256 order);
    /// @notice The update's issuer contradicted itself, or its ciphertexts were found to be none: it is right to leave the
    ///         update out.
    error VoidUpdate(bytes32 update);
    /// @notice No acknowledgement shown opens the update's commitment.
    error NotRevealed(bytes32 update);
    /// @notice This fault is proven, not found by signatures.
    error ProofNeeded(Fault fault);
    /// @notice The round does not exist.
    error UnknownRound(uint256 round);
    /// @notice The bitmap names somebody who is no member, or nobody.
    error BadMembers(uint256 members);
    /// @notice The fault is on record for these members and this round.
    error FaultKnown(uint256 round, Fault fault, uint256 members);
    /// @notice There is no such fault, or nothing speaks against it yet.
    error FaultStands(uint256 round, uint256 index);

    /// @notice Proves that a member contradicted itself: one sequence number used twice, two updates or two closes of a
    ///         round, or two shares, verdicts or checkpoints about one proposal. Counts against a present account only.
    /// @param first One signed transaction, its canonical bytes.
    /// @param second The other one.
    function proveEquivocation(bytes calldata first, bytes calldata second) external;

    /// @notice Proves that a leader listed something else than an update of the round by a member.
    /// @param proposal The proposal on record.
    /// @param listed The bytes whose sha2-256 is the leaf.
    /// @param index The leaf's position in the list.
    /// @param size The length of the list.
    /// @param path The proof that it stands there.
    function proveWrongInclusion(
        Proposal calldata proposal,
        bytes calldata listed,
        uint256 index,
        uint256 size,
        bytes32[] calldata path
    ) external;

    /// @notice Proves that a leader's list is not in ascending order, or names an update twice.
    /// @param proposal The proposal on record.
    /// @param size The length of the list.
    /// @param left A leaf.
    /// @param right The leaf next to it.
    function proveWrongOrder(Proposal calldata proposal, uint256 size, Place calldata left, Place calldata right)
        external;

    /// @notice Proves that a leader left out an update which its proposal's own past shows covered by the closes of a quorum
    ///         and revealed by its issuer. A leader may repeat an earlier proposal's list with other openers; the first
    ///         that put a list on record answers for it.
    /// @param proposal The proposal on record.
    /// @param earlier The round's proposals before it, in the order in which they were put on record.
    /// @param history Signed transactions, ancestors first: the update, a quorum's closes with what links them to it, the
    ///        acknowledgement that reveals it, then the proposal itself. Each but the last is a parent of a later one.
    /// @param size The length of the list.
    /// @param around The leaves between which the update would stand; one alone at either end of the list.
    function proveOmission(
        Proposal calldata proposal,
        Proposal[] calldata earlier,
        bytes[] calldata history,
        uint256 size,
        Place[] calldata around
    ) external;

    /// @notice Takes an omission back, if the update's issuer, or so many who closed over it that no quorum remains, are proven
    ///         equivocators, or if a quorum found its update to be none (BadUpdate): the leader was right to leave it out.
    function annulOmission(uint256 round, uint256 index) external;

    /// @notice Records what a quorum found.
    /// @param finding What was signed.
    /// @param signers Bitmap of the members that signed.
    /// @param signatures 65 bytes (r, s, v) for each of them, by ascending index.
    function recordFinding(Finding calldata finding, uint256 signers, bytes calldata signatures) external;

    /// @notice The reputation of the hospital with this index, 0 to 100.
    function reputationOf(uint256 index) external view returns (uint256);

    /// @notice Which members have this fault in this round: a bitmap.
    function faulted(uint256 round, Fault fault) external view returns (uint256);

    /// @notice Who was proven to contradict itself, in any round: a bitmap.
    function equivocators() external view returns (uint256);

    /// @notice The 32 bytes that members sign for a finding (EIP-712).
    function findingDigest(Finding calldata finding) external view returns (bytes32);
}
