// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IHospitalRegistry} from "../src/interfaces/IHospitalRegistry.sol";
import {IKeyEpochs} from "../src/interfaces/IKeyEpochs.sol";
import {Fixture} from "./Fixture.sol";

contract KeyEpochsTest is Fixture {
    bytes32 private constant DIGEST = keccak256("digest");

    function setUp() external {
        deployAll(N);
    }

    function test_completeCeremonyActivates() external {
        uint256 epoch = activateEpoch();
        IKeyEpochs.Epoch memory e = epochs.get(epoch);
        require(epoch == 1 && epochs.active() == 1 && epochs.latest() == 1, "ids");
        require(e.status == IKeyEpochs.Status.Active && e.jointKey == keccak256("key"), "active");
        require(e.committed == 15 && e.dealt == 15 && e.tested == 15 && e.confirmed == 7, "bitmaps");
    }

    function test_nextEpochSupersedes() external {
        activateEpoch();
        require(activateEpoch() == 2 && epochs.active() == 2, "second");
        require(epochs.get(1).status == IKeyEpochs.Status.Superseded, "first");
    }

    function test_oldEpochStaysActiveDuringTheNextCeremony() external {
        activateEpoch();
        open(3);
        require(epochs.active() == 1 && epochs.latest() == 2, "both");
    }

    function test_onlyMembersAndOneAtATime() external {
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.NotMember.selector, address(this)));
        epochs.open(PARAMETERS, 3, uint64(block.timestamp + 1));
        uint256 epoch = open(3);
        VM.prank(member(1));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.CeremonyRunning.selector, epoch));
        epochs.open(PARAMETERS, 3, uint64(block.timestamp + 1));
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.NotMember.selector, address(this)));
        epochs.commit(epoch, DIGEST);
    }

    function test_refusesBadTerms() external {
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.BadThreshold.selector, 0, N));
        epochs.open(PARAMETERS, 0, uint64(block.timestamp + 1));
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.BadThreshold.selector, N + 1, N));
        epochs.open(PARAMETERS, uint8(N + 1), uint64(block.timestamp + 1));
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.BadDeadline.selector, uint64(block.timestamp)));
        epochs.open(PARAMETERS, 3, uint64(block.timestamp));
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.EmptyDigest.selector));
        epochs.open(bytes32(0), 3, uint64(block.timestamp + 1));
    }

    function test_phasesWaitForAll() external {
        uint256 epoch = open(3);
        commitFirst(epoch, 3);
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.PhaseIncomplete.selector, epoch, 7));
        epochs.deal(epoch, DIGEST);
        VM.prank(member(3));
        epochs.commit(epoch, DIGEST);
        VM.prank(member(0));
        epochs.deal(epoch, DIGEST);
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.PhaseIncomplete.selector, epoch, 1));
        epochs.test(epoch, DIGEST);
    }

    function test_eachStepOnce() external {
        uint256 epoch = open(3);
        commitFirst(epoch, 1);
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.AlreadyDone.selector, epoch, member(0)));
        epochs.commit(epoch, DIGEST);
    }

    function test_confirmationNeedsTheSelfTest() external {
        uint256 epoch = open(3);
        commitFirst(epoch, N);
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.NotTested.selector, epoch, member(0)));
        epochs.confirm(epoch, DIGEST);
    }

    function test_differentKeysDoNotAddUp() external {
        uint256 epoch = readyToConfirm(3);
        confirmAs(epoch, 0, "key");
        confirmAs(epoch, 1, "key");
        confirmAs(epoch, 2, "other");
        require(epochs.active() == 0, "not yet");
        confirmAs(epoch, 3, "key");
        require(epochs.active() == epoch, "three equal ones");
    }

    function test_activationNeedsTheThresholdBeyondTheQuorum() external {
        uint256 epoch = readyToConfirm(4);
        for (uint256 i = 0; i < 3; i++) {
            confirmAs(epoch, i, "key");
        }
        require(epochs.active() == 0, "quorum alone");
        confirmAs(epoch, 3, "key");
        require(epochs.active() == epoch, "threshold");
    }

    function test_activationNeedsTheQuorumBeyondTheThreshold() external {
        uint256 epoch = readyToConfirm(1);
        confirmAs(epoch, 0, "key");
        confirmAs(epoch, 1, "key");
        require(epochs.active() == 0, "threshold alone");
        confirmAs(epoch, 2, "key");
        require(epochs.active() == epoch, "quorum");
    }

    function test_lateConfirmationsAreOnlyRecorded() external {
        uint256 epoch = activateEpoch();
        VM.warp(block.timestamp + 1000);
        confirmAs(epoch, 3, "other");
        IKeyEpochs.Epoch memory e = epochs.get(epoch);
        require(e.confirmed == 15 && e.jointKey == keccak256("key"), "recorded, not changed");
    }

    function test_deadlineEndsEverythingButTheAbort() external {
        uint256 epoch = open(3);
        uint64 deadline = epochs.get(epoch).deadline;
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.CeremonyNotExpired.selector, epoch, deadline));
        epochs.abort(epoch);
        VM.warp(deadline);
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.CeremonyExpired.selector, epoch, deadline));
        epochs.commit(epoch, DIGEST);
        epochs.abort(epoch);
        require(epochs.get(epoch).status == IKeyEpochs.Status.Aborted && epochs.active() == 0, "aborted");
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.CeremonyNotRunning.selector, epoch));
        epochs.abort(epoch);
        require(open(3) == epoch + 1, "the next may start");
    }

    function test_aQuorumOfComplaintsAborts() external {
        uint256 epoch = open(3);
        for (uint256 i = 0; i < 3; i++) {
            require(epochs.get(epoch).status == IKeyEpochs.Status.Running, "runs");
            VM.prank(member(i));
            epochs.complain(epoch, member(3), DIGEST);
        }
        require(epochs.get(epoch).status == IKeyEpochs.Status.Aborted, "aborted");
        require(epochs.get(epoch).complained == 7, "who complained");
    }

    function test_oneMemberCannotAbortByRepeating() external {
        uint256 epoch = open(3);
        VM.prank(member(0));
        epochs.complain(epoch, member(3), DIGEST);
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.AlreadyDone.selector, epoch, member(0)));
        epochs.complain(epoch, member(3), DIGEST);
        for (uint256 i = 1; i < 3; i++) {
            VM.prank(member(0));
            epochs.complain(epoch, member(i), DIGEST);
        }
        require(epochs.get(epoch).status == IKeyEpochs.Status.Running, "one complainer");
    }

    function open(uint8 threshold) private returns (uint256) {
        VM.prank(member(0));
        return epochs.open(PARAMETERS, threshold, uint64(block.timestamp + 100));
    }

    function commitFirst(uint256 epoch, uint256 count) private {
        for (uint256 i = 0; i < count; i++) {
            VM.prank(member(i));
            epochs.commit(epoch, DIGEST);
        }
    }

    function readyToConfirm(uint8 threshold) private returns (uint256 epoch) {
        epoch = open(threshold);
        commitFirst(epoch, N);
        for (uint256 i = 0; i < N; i++) {
            VM.prank(member(i));
            epochs.deal(epoch, DIGEST);
        }
        for (uint256 i = 0; i < N; i++) {
            VM.prank(member(i));
            epochs.test(epoch, DIGEST);
        }
    }

    function confirmAs(uint256 epoch, uint256 index, string memory jointKey) private {
        VM.prank(member(index));
        epochs.confirm(epoch, keccak256(bytes(jointKey)));
    }
}
