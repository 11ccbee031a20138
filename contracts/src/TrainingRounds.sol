// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Bitmap} from "./Bitmap.sol";
import {Conduct} from "./Conduct.sol";
import {IHospitalRegistry} from "./interfaces/IHospitalRegistry.sol";
import {IKeyEpochs} from "./interfaces/IKeyEpochs.sol";
import {IModelLedger} from "./interfaces/IModelLedger.sol";
import {ITrainingRounds} from "./interfaces/ITrainingRounds.sol";

/// @title The rounds in which a consortium trains
contract TrainingRounds is ITrainingRounds, Conduct {
    using Bitmap for uint256;

    /// @dev A round in two words. `result` is the model the round ended with, its own or the one it started from, and is
    ///      written at its end; the next round starts from it, so a base needs no word. Entry 0 stands for the genesis.
    struct Entry {
        bytes32 result;
        uint32 plan; // its number
        uint32 epoch;
        uint48 openedAt;
        uint48 collectBy;
        uint48 finaliseBy;
        uint16 quorum;
        uint16 proposals; // how many were put on record
        Status status;
        bool cohort; // whether it is the members' of a drawn cohort alone
    }

    /// @dev What is known of a plan. Rounds name it by number: the same plan serves many.
    struct Plan {
        uint32 number; // from 1; zero for a plan that no round used
        bool admitted;
    }

    bytes32 private constant OUTCOME_TYPEHASH = keccak256(
        "Outcome(uint256 round,bytes32 base,bytes32 model,bytes32 plan,address leader,bytes32 proposal,"
        "bytes32 updatesRoot,bytes32 sumsRoot,bytes32 statement,bytes32 seedMaterial)"
    );
    bytes32 private constant PLAN_TYPEHASH =
        keccak256("PlanDecision(bytes32 plan,bool admitted,uint256 decision,uint256 deadline)");
    uint256 private constant MAX_ROUND_SECONDS = 30 days;

    /// @notice The key ceremonies.
    IKeyEpochs public immutable epochs;
    /// @notice The lineage this contract writes.
    IModelLedger public immutable models;

    /// @inheritdoc ITrainingRounds
    bytes32 public seed;
    uint64 private _current;
    uint64 private _planDecisions;
    uint32 private _planCount;

    mapping(uint256 round => Entry) private _rounds;
    /// @dev By index, not account: a member that rotates its keys proposes once all the same. The last byte is the
    ///      proposal's place among the round's; the digest gives way to it.
    mapping(uint256 round => mapping(uint256 index => bytes32 digestAndOrder)) private _pledges;
    mapping(bytes32 plan => Plan) private _plans;
    mapping(uint256 number => bytes32 plan) private _planAt;

    /// @param registry_ The members.
    /// @param epochs_ The key ceremonies.
    /// @param models_ The lineage; its writer must be this contract.
    constructor(IHospitalRegistry registry_, IKeyEpochs epochs_, IModelLedger models_) Conduct(registry_) {
        if (models_.writer() != address(this)) revert NotLedgerWriter(models_.writer());
        if (address(epochs_.rounds()) != address(this)) revert NotDrawnFrom(address(epochs_.rounds()));
        epochs = epochs_;
        models = models_;
        seed = keccak256(abi.encode(registry_.consortium()));
    }

    /// @inheritdoc ITrainingRounds
    function genesis(bytes32 model, bytes32 plan) external {
        registry.indexOf(msg.sender);
        Entry storage entry = _rounds[0];
        if (entry.status != Status.None) revert GenesisExists(entry.result);
        entry.plan = _usePlan(plan);
        entry.result = model;
        entry.openedAt = uint48(block.timestamp);
        entry.status = Status.Finalised;
        models.record(model, bytes32(0), IModelLedger.Entry(0, 0, 0, 0, address(0), 0, 0));
    }

    /// @inheritdoc ITrainingRounds
    function decidePlan(bytes32 plan, bool admitted, uint256 deadline, uint256 signers, bytes calldata signatures)
        external
    {
        if (plan == bytes32(0)) revert EmptyDigest();
        if (block.timestamp > deadline) revert DecisionExpired(deadline);
        registry.verifyQuorumOf(planDigest(plan, admitted, deadline), EVERYBODY, signers, signatures);
        _planDecisions++;
        _plans[plan].admitted = admitted;
        emit PlanDecided(plan, admitted, signers);
    }

    /// @inheritdoc ITrainingRounds
    function open(bytes32 plan, bytes32 base, uint64 collectSeconds, uint64 roundSeconds)
        external
        returns (uint256 round)
    {
        registry.indexOf(msg.sender);
        round = _current;
        Entry storage last = _rounds[round];
        if (last.status == Status.None) revert NoGenesis();
        if (_isOpen(last)) revert RoundStillOpen(round);
        if (plan == bytes32(0)) revert EmptyDigest();
        if (base != last.result) revert WrongBase(base, last.result);
        if (collectSeconds == 0 || collectSeconds >= roundSeconds || roundSeconds > MAX_ROUND_SECONDS) {
            revert BadDeadlines(collectSeconds, roundSeconds);
        }
        (uint256 epoch, uint256 cohort) = epochs.inForce();
        if (epoch == 0) revert NoActiveEpoch();
        _current = uint64(++round);
        uint256 collectBy = block.timestamp + collectSeconds;
        uint256 finaliseBy = block.timestamp + roundSeconds;
        Entry storage entry = _rounds[round];
        entry.plan = _usePlan(plan);
        entry.epoch = uint32(epoch);
        entry.openedAt = uint48(block.timestamp);
        entry.collectBy = uint48(collectBy);
        entry.finaliseBy = uint48(finaliseBy);
        entry.quorum = uint16(registry.quorumOf(cohort));
        entry.status = Status.Collecting;
        entry.cohort = cohort != EVERYBODY;
        emit RoundOpened(round, epoch, plan, base, seed, msg.sender, collectBy, finaliseBy);
    }

    /// @inheritdoc ITrainingRounds
    function propose(uint256 round, bytes32 proposal, bytes32 updatesRoot, bytes32 sumsRoot) external {
        uint256 index = registry.indexOf(msg.sender);
        Entry storage entry = _requireOpen(round);
        if (!_cohortOf(round).has(index)) revert NotInCohort(round, msg.sender);
        if (proposal == bytes32(0) || updatesRoot == bytes32(0) || sumsRoot == bytes32(0)) revert EmptyDigest();
        if (_pledges[round][index] != 0) revert AlreadyProposed(round, msg.sender);
        uint256 order = entry.proposals;
        _pledges[round][index] = _pledgeDigest(proposal, updatesRoot, sumsRoot) | bytes32(order);
        entry.proposals = uint16(order + 1);
        entry.status = Status.Proposed;
        emit Proposed(round, msg.sender, proposal, updatesRoot, sumsRoot);
    }

    /// @inheritdoc ITrainingRounds
    function finalise(Outcome calldata outcome, uint256 signers, bytes calldata signatures) external {
        Entry storage entry = _requireOpen(outcome.round);
        bytes32 base = _rounds[outcome.round - 1].result;
        if (outcome.base != base) revert WrongBase(outcome.base, base);
        bytes32 plan = _planAt[entry.plan];
        if (outcome.plan != plan) revert WrongPlan(outcome.plan, plan);
        if (outcome.statement == bytes32(0)) revert EmptyDigest();
        _requirePledge(outcome.round, outcome.leader, outcome.proposal, outcome.updatesRoot, outcome.sumsRoot);
        registry.verifyQuorumOf(outcomeDigest(outcome), _cohortOf(outcome.round), signers, signatures);
        entry.status = Status.Finalised;
        entry.result = outcome.model;
        _giveBack(signers);
        bytes32 next = _advanceSeed(outcome.seedMaterial, outcome.round);
        if (outcome.model != outcome.base) _recordModel(outcome);
        emit RoundFinalised(
            outcome.round,
            outcome.model,
            outcome.leader,
            outcome.base,
            outcome.proposal,
            outcome.statement,
            signers,
            next
        );
    }

    /// @inheritdoc ITrainingRounds
    function abort(uint256 round) external {
        Entry storage entry = _rounds[round];
        if (!_isOpen(entry)) revert RoundNotOpen(round);
        if (block.timestamp <= entry.finaliseBy) revert RoundNotExpired(round, entry.finaliseBy);
        entry.status = Status.Aborted;
        entry.result = _rounds[round - 1].result;
        emit RoundAborted(round, _advanceSeed(bytes32(0), round));
    }

    /// @inheritdoc ITrainingRounds
    function get(uint256 round) external view returns (Round memory) {
        Entry storage entry = _rounds[round];
        bytes32 base = round == 0 || entry.status == Status.None ? bytes32(0) : _rounds[round - 1].result;
        return Round({
            plan: _planAt[entry.plan],
            base: base,
            model: _isOpen(entry) ? base : entry.result,
            epoch: entry.epoch,
            openedAt: entry.openedAt,
            collectBy: entry.collectBy,
            finaliseBy: entry.finaliseBy,
            quorum: entry.quorum,
            status: entry.status
        });
    }

    /// @inheritdoc ITrainingRounds
    function current() external view returns (uint256) {
        return _current;
    }

    /// @inheritdoc ITrainingRounds
    function planDecisions() external view returns (uint256) {
        return _planDecisions;
    }

    /// @inheritdoc ITrainingRounds
    function isAdmitted(bytes32 plan) external view returns (bool) {
        return _planDecisions == 0 || _plans[plan].admitted;
    }

    /// @inheritdoc ITrainingRounds
    function planDigest(bytes32 plan, bool admitted, uint256 deadline) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(PLAN_TYPEHASH, plan, admitted, _planDecisions, deadline)));
    }

    /// @inheritdoc ITrainingRounds
    function outcomeDigest(Outcome calldata outcome) public view returns (bytes32) {
        // Every member of the struct is one static word, so its ABI encoding is the EIP-712 encodeData.
        return _hashTypedDataV4(keccak256(abi.encode(OUTCOME_TYPEHASH, outcome)));
    }

    /// @dev The number of a plan that rounds may be opened with.
    function _usePlan(bytes32 digest) private returns (uint32 number) {
        Plan storage plan = _plans[digest];
        if (_planDecisions != 0 && !plan.admitted) revert PlanNotAdmitted(digest);
        number = plan.number;
        if (number != 0) return number;
        number = ++_planCount;
        plan.number = number;
        _planAt[number] = digest;
    }

    function _recordModel(Outcome calldata outcome) private {
        models.record(
            outcome.model,
            outcome.base,
            IModelLedger.Entry({
                updatesRoot: outcome.updatesRoot,
                sumsRoot: outcome.sumsRoot,
                proposal: outcome.proposal,
                statement: outcome.statement,
                leader: outcome.leader,
                round: uint48(outcome.round),
                timestamp: 0
            })
        );
    }

    function _advanceSeed(bytes32 material, uint256 round) private returns (bytes32 next) {
        next = keccak256(abi.encode(seed, material, round));
        seed = next;
    }

    function _termsOf(uint256 round) internal view override returns (uint256 epoch, uint256 quorum) {
        return (_rounds[round].epoch, _rounds[round].quorum);
    }

    function _cohortOf(uint256 round) internal view override returns (uint256) {
        Entry storage entry = _rounds[round];
        return entry.cohort ? epochs.cohortOf(entry.epoch) : EVERYBODY;
    }

    function _pledged(Proposal calldata proposal) internal view override returns (uint256 epoch, uint256 quorum) {
        _requirePledge(proposal.round, proposal.leader, proposal.id, proposal.updatesRoot, proposal.sumsRoot);
        return _termsOf(proposal.round);
    }

    function _requireOpen(uint256 round) private view returns (Entry storage entry) {
        entry = _rounds[round];
        if (!_isOpen(entry)) revert RoundNotOpen(round);
        if (block.timestamp > entry.finaliseBy) revert RoundExpired(round, entry.finaliseBy);
    }

    function _orderOf(Proposal calldata proposal) internal view override returns (uint256) {
        return _requirePledge(
            proposal.round, proposal.leader, proposal.id, proposal.updatesRoot, proposal.sumsRoot
        );
    }

    function _requirePledge(uint256 round, address leader, bytes32 proposal, bytes32 updatesRoot, bytes32 sumsRoot)
        private
        view
        returns (uint256 order)
    {
        bytes32 pledge = _pledges[round][registry.indexOf(leader)];
        order = uint8(uint256(pledge));
        if (pledge != _pledgeDigest(proposal, updatesRoot, sumsRoot) | bytes32(order)) revert NotProposed(round, leader);
    }

    function _isOpen(Entry storage entry) private view returns (bool) {
        return entry.status == Status.Collecting || entry.status == Status.Proposed;
    }

    function _pledgeDigest(bytes32 proposal, bytes32 updatesRoot, bytes32 sumsRoot) private pure returns (bytes32) {
        return keccak256(abi.encode(proposal, updatesRoot, sumsRoot)) & ~bytes32(uint256(0xff));
    }
}
