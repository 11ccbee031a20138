// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ITrainingRounds} from "../src/interfaces/ITrainingRounds.sol";
import {Fixture} from "./Fixture.sol";

/// @dev Takes any step at any time, as members would, and remembers what must have come of it.
contract Hospitals is Fixture {
    uint256 public finalised;
    uint256 public aborted;
    bytes32 public expectedHead = GENESIS;
    uint256 private lastLeader;

    constructor() {
        deployAll(N);
        startLineage();
    }

    function open() external {
        if (isOpen()) return;
        openRound();
    }

    function proposeAs(uint8 who) external {
        uint256 leader = uint256(who) % N;
        uint256 round = rounds.current();
        VM.prank(member(leader));
        try rounds.propose(round, keccak256("proposal"), keccak256("updates"), keccak256("sums")) {
            lastLeader = leader;
        } catch {}
    }

    function finalise(bool changed, uint8 signers) external {
        uint256 round = rounds.current();
        bytes32 model = changed ? keccak256(abi.encode("model", round)) : models.head();
        ITrainingRounds.Outcome memory o = outcomeOf(round, lastLeader, model);
        uint256 bitmap = signers % 3 == 0 ? signers % 16 : 7 + 4 * (signers % 3);
        bytes memory signatures = signAll(o, bitmap);
        VM.prank(member(0));
        try rounds.finalise(o, bitmap, signatures) {
            finalised++;
            expectedHead = model;
            require(signatures.length >= 3 * 65, "without a quorum");
        } catch {}
    }

    function wait(uint16 secondsToWait) external {
        VM.warp(block.timestamp + uint256(secondsToWait) % 200);
    }

    function abort() external {
        uint256 round = rounds.current();
        try rounds.abort(round) {
            aborted++;
        } catch {}
    }

    function checkCounts() external view {
        require(rounds.current() == finalised + aborted + (isOpen() ? 1 : 0), "a round was lost");
        require(models.head() == expectedHead, "the head moved on its own");
    }

    function checkLineage() external view {
        bytes32 model = models.head();
        uint256 above = type(uint256).max;
        while (model != GENESIS) {
            uint256 round = models.get(model).round;
            require(round < above, "rounds must fall towards the root");
            require(models.get(model).parent == rounds.get(round).base && rounds.get(round).model == model, "round");
            above = round;
            model = models.get(model).parent;
        }
        require(models.get(GENESIS).parent == 0, "root");
    }

    function isOpen() private view returns (bool) {
        ITrainingRounds.Status status = rounds.get(rounds.current()).status;
        return status == ITrainingRounds.Status.Collecting || status == ITrainingRounds.Status.Proposed;
    }
}

contract LineageInvariantTest {
    Hospitals private hospitals;

    function setUp() external {
        hospitals = new Hospitals();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(hospitals);
    }

    function invariant_everyRoundEndsOnce() external view {
        hospitals.checkCounts();
    }

    function invariant_everyModelLeadsBackToGenesis() external view {
        hospitals.checkLineage();
    }
}
