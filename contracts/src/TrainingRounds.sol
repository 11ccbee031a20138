// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Bitmap} from "./Bitmap.sol";
import {IHospitalRegistry} from "./interfaces/IHospitalRegistry.sol";
import {IKeyEpochs} from "./interfaces/IKeyEpochs.sol";
import {IModelLedger} from "./interfaces/IModelLedger.sol";
import {ITrainingRounds} from "./interfaces/ITrainingRounds.sol";

/// @title The rounds in which a consortium trains
contract TrainingRounds is ITrainingRounds, EIP712 {
    using Bitmap for uint256;

    /// @dev A round in three words. `result` is the model the round ended with, its own or the one it started from, and is
    ///      written at its end; the next round starts from it, so a base needs no word. Entry 0 stands for the genesis.
    struct Entry {
        bytes32 plan;
        bytes32 result;
        uint32 epoch;
        uint48 openedAt;
        uint48 collectBy;
        uint48 finaliseBy;
        Status status;
    }

    /// @dev A member's latest proposal, in one word that its next proposal overwrites. 192 bits leave a colliding second
    ///      proposal 2^96 work away, and it would still need a quorum's signatures over the full digests.
    struct Pledge {
        uint64 round;
        bytes24 digest;
    }

    bytes32 private constant OUTCOME_TYPEHASH = keccak256(
        "Outcome(uint256 round,bytes32 base,bytes32 model,bytes32 plan,address leader,bytes32 proposal,"
        "bytes32 updatesRoot,bytes32 sumsRoot,bytes32 statement,bytes32 seedMaterial)"
    );
    uint256 private constant MAX_ROUND_SECONDS = 30 days;
    uint256 private constant SIGNATURE_BYTES = 65;

    /// @notice The members.
    IHospitalRegistry public immutable registry;
    /// @notice The key ceremonies.
    IKeyEpochs public immutable epochs;
    /// @notice The lineage this contract writes.
    IModelLedger public immutable models;

    /// @inheritdoc ITrainingRounds
    uint256 public current;
    /// @inheritdoc ITrainingRounds
    bytes32 public seed;

    mapping(uint256 round => Entry) private _rounds;
    mapping(address leader => Pledge) private _pledges;

    /// @param registry_ The members.
    /// @param epochs_ The key ceremonies.
    /// @param models_ The lineage; its writer must be this contract.
    constructor(IHospitalRegistry registry_, IKeyEpochs epochs_, IModelLedger models_) EIP712("Medweave", "1") {
        if (models_.writer() != address(this)) revert NotLedgerWriter(models_.writer());
        registry = registry_;
        epochs = epochs_;
        models = models_;
        seed = keccak256(abi.encode(registry_.consortium()));
    }

    /// @inheritdoc ITrainingRounds
    function genesis(bytes32 model, bytes32 plan) external {
        registry.indexOf(msg.sender);
        Entry storage entry = _rounds[0];
        if (entry.status != Status.None) revert GenesisExists(entry.result);
        entry.plan = plan;
        entry.result = model;
        entry.openedAt = uint48(block.timestamp);
        entry.status = Status.Finalised;
        models.record(model, bytes32(0), IModelLedger.Entry(0, 0, 0, 0, address(0), 0, 0));
    }

    /// @inheritdoc ITrainingRounds
    function open(bytes32 plan, bytes32 base, uint64 collectSeconds, uint64 roundSeconds)
        external
        returns (uint256 round)
    {
        registry.indexOf(msg.sender);
        Entry storage last = _rounds[current];
        if (last.status == Status.None) revert NoGenesis();
        if (last.status == Status.Open) revert RoundStillOpen(current);
        if (plan == bytes32(0)) revert EmptyDigest();
        if (base != last.result) revert WrongBase(base, last.result);
        if (collectSeconds == 0 || collectSeconds >= roundSeconds || roundSeconds > MAX_ROUND_SECONDS) {
            revert BadDeadlines(collectSeconds, roundSeconds);
        }
        uint256 epoch = epochs.active();
        if (epoch == 0) revert NoActiveEpoch();
        round = ++current;
        uint256 collectBy = block.timestamp + collectSeconds;
        uint256 finaliseBy = block.timestamp + roundSeconds;
        Entry storage entry = _rounds[round];
        entry.plan = plan;
        entry.epoch = uint32(epoch);
        entry.openedAt = uint48(block.timestamp);
        entry.collectBy = uint48(collectBy);
        entry.finaliseBy = uint48(finaliseBy);
        entry.status = Status.Open;
        emit RoundOpened(round, epoch, plan, base, seed, msg.sender, collectBy, finaliseBy);
    }

    /// @inheritdoc ITrainingRounds
    function propose(uint256 round, bytes32 proposal, bytes32 updatesRoot, bytes32 sumsRoot) external {
        registry.indexOf(msg.sender);
        _requireOpen(round);
        if (proposal == bytes32(0) || updatesRoot == bytes32(0) || sumsRoot == bytes32(0)) revert EmptyDigest();
        Pledge storage pledge = _pledges[msg.sender];
        if (pledge.round == round) revert AlreadyProposed(round, msg.sender);
        pledge.round = uint64(round);
        pledge.digest = _pledgeDigest(proposal, updatesRoot, sumsRoot);
        emit Proposed(round, msg.sender, proposal, updatesRoot, sumsRoot);
    }

    /// @inheritdoc ITrainingRounds
    function finalise(Outcome calldata outcome, uint256 signers, bytes calldata signatures) external {
        registry.indexOf(msg.sender);
        Entry storage entry = _requireOpen(outcome.round);
        bytes32 base = _rounds[outcome.round - 1].result;
        if (outcome.base != base) revert WrongBase(outcome.base, base);
        if (outcome.plan != entry.plan) revert WrongPlan(outcome.plan, entry.plan);
        if (outcome.statement == bytes32(0)) revert EmptyDigest();
        Pledge memory pledge = _pledges[outcome.leader];
        if (
            pledge.round != outcome.round
                || pledge.digest != _pledgeDigest(outcome.proposal, outcome.updatesRoot, outcome.sumsRoot)
        ) revert NotProposed(outcome.round, outcome.leader);
        _verifyQuorum(outcomeDigest(outcome), signers, signatures);
        entry.status = Status.Finalised;
        entry.result = outcome.model;
        if (outcome.model != outcome.base) _record(outcome);
        bytes32 next = _advanceSeed(outcome.seedMaterial, outcome.round);
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
        if (entry.status != Status.Open) revert RoundNotOpen(round);
        if (block.timestamp <= entry.finaliseBy) revert RoundNotExpired(round, entry.finaliseBy);
        entry.status = Status.Aborted;
        entry.result = _rounds[round - 1].result;
        emit RoundAborted(round, _advanceSeed(bytes32(0), round));
    }

    /// @inheritdoc ITrainingRounds
    function get(uint256 round) external view returns (Round memory) {
        Entry memory entry = _rounds[round];
        bytes32 base = round == 0 || entry.status == Status.None ? bytes32(0) : _rounds[round - 1].result;
        return Round({
            plan: entry.plan,
            base: base,
            model: entry.status == Status.Open ? base : entry.result,
            epoch: entry.epoch,
            openedAt: entry.openedAt,
            collectBy: entry.collectBy,
            finaliseBy: entry.finaliseBy,
            status: entry.status
        });
    }

    /// @inheritdoc ITrainingRounds
    function outcomeDigest(Outcome calldata outcome) public view returns (bytes32) {
        // Every member of the struct is one static word, so its ABI encoding is the EIP-712 encodeData.
        return _hashTypedDataV4(keccak256(abi.encode(OUTCOME_TYPEHASH, outcome)));
    }

    function _record(Outcome calldata outcome) private {
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

    function _verifyQuorum(bytes32 digest, uint256 signers, bytes calldata signatures) private view {
        uint256 signed = signers.count();
        uint256 members = registry.memberCount();
        if (signatures.length != SIGNATURE_BYTES * signed || signers > type(uint256).max >> (256 - members)) {
            revert BadSignatureCount(signatures.length, signers);
        }
        uint256 quorum = registry.quorum();
        if (signed < quorum) revert NoQuorum(signed, quorum);
        uint256 offset = 0;
        for (uint256 index = 0; offset < signatures.length; index++) {
            if (!signers.has(index)) continue;
            address member = registry.accountAt(index);
            (address signer, ECDSA.RecoverError failure,) =
                ECDSA.tryRecoverCalldata(digest, signatures[offset:offset + SIGNATURE_BYTES]);
            if (failure != ECDSA.RecoverError.NoError || signer != member) revert BadSignature(index, member);
            offset += SIGNATURE_BYTES;
        }
    }

    function _requireOpen(uint256 round) private view returns (Entry storage entry) {
        entry = _rounds[round];
        if (entry.status != Status.Open) revert RoundNotOpen(round);
        if (block.timestamp > entry.finaliseBy) revert RoundExpired(round, entry.finaliseBy);
    }

    function _pledgeDigest(bytes32 proposal, bytes32 updatesRoot, bytes32 sumsRoot) private pure returns (bytes24) {
        return bytes24(keccak256(abi.encode(proposal, updatesRoot, sumsRoot)));
    }
}
