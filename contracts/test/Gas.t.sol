// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IConduct} from "../src/interfaces/IConduct.sol";
import {IHospitalRegistry} from "../src/interfaces/IHospitalRegistry.sol";
import {ITrainingRounds} from "../src/interfaces/ITrainingRounds.sol";
import {Ledger} from "./Ledger.sol";

/// @dev What each step takes with ten members, without the 21,000 of a transaction and its calldata. Forge writes the
///      figures down; tools/gas_snapshot.py holds them against contracts/gas-snapshot.json.
contract GasTest is Ledger {
    uint256 private constant LATER = 2e9;
    uint256 private constant QUORUM = (1 << 7) - 1;

    function setUp() external {
        deployAll(10);
        activateEpochOf(10);
        VM.prank(member(0));
        rounds.genesis(GENESIS, PLAN);
        // One round before, so that every word a round changes was written once.
        propose(openRound(), 9);
        finalise(outcomeOf(1, 9, keccak256("first")), QUORUM);
        VM.prank(member(4));
        registry.registerCard(PLAN);
    }

    function test_aRound() external {
        VM.prank(member(1));
        rounds.open(PLAN, keccak256("first"), COLLECT, ROUND);
        VM.snapshotGasLastCall("contracts", "TrainingRounds.open");
        propose(2, 1);
        VM.snapshotGasLastCall("contracts", "TrainingRounds.propose");
        ITrainingRounds.Outcome memory o = outcomeOf(2, 1, keccak256("second"));
        bytes memory signatures = signAll(o, QUORUM);
        rounds.finalise(o, QUORUM, signatures);
        VM.snapshotGasLastCall("contracts", "TrainingRounds.finalise");
    }

    function test_aRoundThatFails() external {
        openRound();
        VM.warp(block.timestamp + ROUND + 1);
        rounds.abort(2);
        VM.snapshotGasLastCall("contracts", "TrainingRounds.abort");
    }

    function test_votesAboutMembers() external {
        IHospitalRegistry.Hospital memory h = hospitals(11)[10];
        registry.admit(h, voted(registry.admissionDigest(h, LATER)));
        VM.snapshotGasLastCall("contracts", "HospitalRegistry.admit");
        bytes32 digest = registry.resizingDigest(member(9), 5000, LATER);
        registry.resize(member(9), 5000, voted(digest));
        VM.snapshotGasLastCall("contracts", "HospitalRegistry.resize");
        digest = registry.rotationDigest(member(9), member(20), PLAN, LATER);
        registry.rotate(member(9), member(20), PLAN, voted(digest));
        VM.snapshotGasLastCall("contracts", "HospitalRegistry.rotate");
        registry.remove(member(8), voted(registry.removalDigest(member(8), LATER)));
        VM.snapshotGasLastCall("contracts", "HospitalRegistry.remove");
    }

    function test_dataCards() external {
        VM.prank(member(3));
        registry.registerCard(PLAN);
        VM.snapshotGasLastCall("contracts", "HospitalRegistry.registerCard, first");
        VM.prank(member(4));
        registry.registerCard(GENESIS);
        VM.snapshotGasLastCall("contracts", "HospitalRegistry.registerCard, next");
    }

    function test_decisionsAndFindings() external {
        bytes memory signatures = signaturesOf(rounds.planDigest(PLAN, true, LATER), QUORUM);
        rounds.decidePlan(PLAN, true, LATER, QUORUM, signatures);
        VM.snapshotGasLastCall("contracts", "TrainingRounds.decidePlan");
        IConduct.Finding memory finding = IConduct.Finding(1, IConduct.Fault.Unrevealed, 1, PLAN);
        signatures = signaturesOf(rounds.findingDigest(finding), QUORUM);
        rounds.recordFinding(finding, QUORUM, signatures);
        VM.snapshotGasLastCall("contracts", "TrainingRounds.recordFinding");
    }

    function test_proofs() external {
        bytes memory one = signed(2, update(2, 5));
        bytes memory two = signed(2, update(2, 6));
        rounds.proveEquivocation(one, two);
        VM.snapshotGasLastCall("contracts", "TrainingRounds.proveEquivocation");
        openRound();
        (bytes[] memory history, bytes32 update_, bytes32 proposal) = past();
        bytes32[] memory leaves = leavesAround(update_, sha256(history[1]));
        IConduct.Proposal memory p =
            IConduct.Proposal(2, member(1), proposal, rootOf(leaves), keccak256("sums"));
        VM.prank(member(1));
        rounds.propose(2, p.id, p.updatesRoot, p.sumsRoot);
        bytes32[] memory path = pathOf(leaves, 9);
        rounds.proveWrongInclusion(p, history[1], 9, 10, path);
        VM.snapshotGasLastCall("contracts", "TrainingRounds.proveWrongInclusion");
        IConduct.Place[] memory around = new IConduct.Place[](2);
        around[0] = IConduct.Place(leaves[3], 3, pathOf(leaves, 3));
        around[1] = IConduct.Place(leaves[4], 4, pathOf(leaves, 4));
        rounds.proveOmission(p, new IConduct.Proposal[](0), history, 10, around);
        VM.snapshotGasLastCall("contracts", "TrainingRounds.proveOmission");
    }

    /// @dev Member 0's update, closes of seven others one on top of the other, its reveal, the proposal.
    function past() private pure returns (bytes[] memory history, bytes32 update_, bytes32 proposal) {
        history = new bytes[](10);
        history[0] = signed(0, update(2, 1));
        update_ = sha256(history[0]);
        for (uint256 i = 1; i < 8; i++) {
            history[i] = signed(i + 2, closing(2, 3, sha256(history[i - 1])));
        }
        history[8] = signed(0, acknowledgement(2, 3, sha256(history[7]), bytesOf(REVEAL)));
        history[9] = signed(1, Said("proposal", 1, 2, 9, [sha256(history[8]), PLAN], hex"a0", ""));
        proposal = sha256(history[9]);
    }

    /// @dev Ten leaves, four of them below the update; the last is whatever is given.
    function leavesAround(bytes32 update_, bytes32 last) private pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](10);
        for (uint256 i = 0; i < 9; i++) {
            leaves[i] = i < 4 ? bytes32(uint256(update_) - 9 + i) : bytes32(uint256(update_) + i);
        }
        leaves[9] = last;
    }

    function voted(bytes32 digest) private view returns (IHospitalRegistry.Vote memory) {
        uint256 signers = registry.memberCount() > 10 ? 255 : QUORUM;
        return IHospitalRegistry.Vote(LATER, signers, signaturesOf(digest, signers));
    }
}
