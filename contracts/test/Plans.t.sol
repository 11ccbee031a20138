// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IHospitalRegistry} from "../src/interfaces/IHospitalRegistry.sol";
import {ITrainingRounds} from "../src/interfaces/ITrainingRounds.sol";
import {Fixture} from "./Fixture.sol";

/// @dev By which plans rounds may be opened: any, until a quorum decided about one.
contract PlansTest is Fixture {
    bytes32 private constant OTHER = keccak256("another plan");
    uint256 private constant LATER = 2_000_000_000;

    function setUp() external {
        deployAll(N);
        startLineage();
    }

    function test_anyPlanServesUntilTheFirstDecision() external {
        require(rounds.isAdmitted(OTHER) && rounds.planDecisions() == 0, "open to all");
        VM.prank(member(1));
        rounds.open(OTHER, GENESIS, COLLECT, ROUND);
        require(rounds.get(1).plan == OTHER && rounds.get(0).plan == PLAN, "named");
    }

    function test_afterwardsAdmittedPlansOnly() external {
        VM.expectEmit();
        emit ITrainingRounds.PlanDecided(OTHER, true, 7);
        decide(OTHER, true, 7);
        require(rounds.planDecisions() == 1 && rounds.isAdmitted(OTHER) && !rounds.isAdmitted(PLAN), "rule is on");
        VM.prank(member(1));
        expectRefusal(abi.encodeWithSelector(ITrainingRounds.PlanNotAdmitted.selector, PLAN));
        rounds.open(PLAN, GENESIS, COLLECT, ROUND);
        VM.prank(member(1));
        rounds.open(OTHER, GENESIS, COLLECT, ROUND);
    }

    function test_aPlanIsWithdrawn() external {
        decide(OTHER, true, 7);
        decide(OTHER, false, 11);
        VM.prank(member(1));
        expectRefusal(abi.encodeWithSelector(ITrainingRounds.PlanNotAdmitted.selector, OTHER));
        rounds.open(OTHER, GENESIS, COLLECT, ROUND);
    }

    function test_theGenesisObeysTheRule() external {
        deployAll(N);
        decide(OTHER, true, 7);
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(ITrainingRounds.PlanNotAdmitted.selector, PLAN));
        rounds.genesis(GENESIS, PLAN);
        VM.prank(member(0));
        rounds.genesis(GENESIS, OTHER);
    }

    function test_decisionsNeedAQuorumInTime() external {
        bytes memory two = signaturesOf(rounds.planDigest(OTHER, true, LATER), 3);
        bytes memory three = signaturesOf(rounds.planDigest(OTHER, true, LATER), 7);
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.NoQuorum.selector, 2, 3));
        rounds.decidePlan(OTHER, true, LATER, 3, two);
        bytes memory notSigned = abi.encodeWithSelector(IHospitalRegistry.BadSignature.selector, 0, member(0));
        expectRefusal(notSigned);
        rounds.decidePlan(OTHER, false, LATER, 7, three);
        expectRefusal(notSigned);
        rounds.decidePlan(PLAN, true, LATER, 7, three);
        expectRefusal(notSigned);
        rounds.decidePlan(OTHER, true, LATER - 1, 7, three);
        expectRefusal(abi.encodeWithSelector(ITrainingRounds.EmptyDigest.selector));
        rounds.decidePlan(0, true, LATER, 7, three);
        VM.warp(LATER + 1);
        expectRefusal(abi.encodeWithSelector(ITrainingRounds.DecisionExpired.selector, LATER));
        rounds.decidePlan(OTHER, true, LATER, 7, three);
        VM.warp(LATER);
        rounds.decidePlan(OTHER, true, LATER, 7, three);
        expectRefusal(notSigned);
        rounds.decidePlan(OTHER, true, LATER, 7, three);
    }

    function test_aRunningRoundKeepsItsPlan() external {
        uint256 round = openRound();
        decide(OTHER, true, 7);
        propose(round, 2);
        finalise(outcomeOf(round, 2, keccak256("model")), 7);
        require(rounds.get(round).status == ITrainingRounds.Status.Finalised, "finalised");
    }

    function decide(bytes32 plan, bool admitted, uint256 signers) private {
        bytes32 digest = rounds.planDigest(plan, admitted, LATER);
        rounds.decidePlan(plan, admitted, LATER, signers, signaturesOf(digest, signers));
    }
}
