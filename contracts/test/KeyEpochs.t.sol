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
        epochs.announce(epoch, DIGEST);
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
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.BadDeadline.selector, uint64(block.timestamp + 1 days + 1)));
        epochs.open(PARAMETERS, 3, uint64(block.timestamp + 1 days + 1));
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.EmptyDigest.selector));
        epochs.open(bytes32(0), 3, uint64(block.timestamp + 1));
    }

    function test_phasesWaitForAll() external {
        uint256 epoch = open(3);
        announceFirst(epoch, 2);
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.PhaseIncomplete.selector, epoch, 3));
        epochs.commit(epoch, DIGEST);
        announceAs(epoch, 2);
        announceAs(epoch, 3);
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

    function test_aBoxKeyIsAnnouncedOnceForAll() external {
        uint256 epoch = open(3);
        announceAs(epoch, 0);
        bytes32 taken = boxOf(epoch, 0);
        VM.prank(member(1));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.BoxKeyUsed.selector, taken));
        epochs.announce(epoch, taken);
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.AlreadyDone.selector, epoch, member(0)));
        epochs.announce(epoch, keccak256("another"));
    }

    function test_eachStepOnce() external {
        uint256 epoch = open(3);
        announceFirst(epoch, N);
        commitFirst(epoch, 1);
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.AlreadyDone.selector, epoch, member(0)));
        epochs.commit(epoch, DIGEST);
    }

    function test_confirmationNeedsTheSelfTest() external {
        uint256 epoch = open(3);
        announceFirst(epoch, N);
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
        epochs.announce(epoch, DIGEST);
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

    // ---- refresh: new shares of the same key -----------------------------------------------------------------------

    function test_aCompleteRefreshActivatesTheNextGeneration() external {
        uint256 epoch = activateEpoch();
        for (uint16 generation = 1; generation < 3; generation++) {
            readyToConfirmRefresh(epoch);
            for (uint256 i = 0; i < N; i++) {
                require(epochs.get(epoch).generation == generation - 1, "not before all confirmed");
                confirmAs(epoch, i, "key");
            }
            IKeyEpochs.Epoch memory e = epochs.get(epoch);
            require(e.generation == generation && e.refreshes == generation && !e.refreshing, "switched");
            require(e.jointKey == keccak256("key") && e.status == IKeyEpochs.Status.Active, "the key stays");
            require(epochs.active() == epoch && epochs.latest() == epoch, "the epoch stays");
        }
    }

    function test_aQuorumIsNotEnoughForARefresh() external {
        uint256 epoch = activateEpoch();
        readyToConfirmRefresh(epoch);
        for (uint256 i = 0; i < N - 1; i++) {
            confirmAs(epoch, i, "key");
        }
        IKeyEpochs.Epoch memory e = epochs.get(epoch);
        require(e.refreshing && e.generation == 0, "waits for the last");
    }

    function test_anotherKeyNeverCompletesARefresh() external {
        uint256 epoch = activateEpoch();
        readyToConfirmRefresh(epoch);
        for (uint256 i = 0; i < N; i++) {
            confirmAs(epoch, i, "other");
        }
        IKeyEpochs.Epoch memory e = epochs.get(epoch);
        require(e.refreshing && e.generation == 0 && e.jointKey == keccak256("key"), "unanimous, and still nothing");
    }

    function test_anOverdueRefreshLeavesTheOldSharesInForce() external {
        uint256 epoch = activateEpoch();
        readyToConfirmRefresh(epoch);
        confirmAs(epoch, 0, "key");
        uint64 deadline = epochs.get(epoch).deadline;
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.CeremonyNotExpired.selector, epoch, deadline));
        epochs.abort(epoch);
        VM.warp(deadline);
        VM.prank(member(1));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.CeremonyExpired.selector, epoch, deadline));
        epochs.confirm(epoch, keccak256("key"));
        epochs.abort(epoch);
        requireUntouched(epoch);
        readyToConfirmRefresh(epoch);
        require(epochs.get(epoch).refreshes == 2 && epochs.get(epoch).confirmed == 0, "another begins anew");
    }

    function test_votesOfAnAbortedRefreshDoNotCountInTheNext() external {
        uint256 epoch = activateEpoch();
        readyToConfirmRefresh(epoch);
        for (uint256 i = 1; i < N; i++) {
            confirmAs(epoch, i, "key");
        }
        VM.warp(epochs.get(epoch).deadline);
        epochs.abort(epoch);
        readyToConfirmRefresh(epoch);
        confirmAs(epoch, 0, "key");
        require(epochs.get(epoch).generation == 0, "one of four");
    }

    function test_aQuorumOfComplaintsEndsARefreshAlone() external {
        uint256 epoch = activateEpoch();
        for (uint256 again = 0; again < 2; again++) {
            startRefresh();
            for (uint256 i = 0; i < 3; i++) {
                require(epochs.get(epoch).refreshing, "runs");
                VM.prank(member(i));
                epochs.complain(epoch, member(3), DIGEST);
            }
            requireUntouched(epoch);
        }
    }

    function test_onlyOneThingRunsAtATime() external {
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.NothingToRefresh.selector, 0));
        epochs.refresh(uint64(block.timestamp + 1));
        uint256 epoch = activateEpoch();
        startRefresh();
        VM.prank(member(1));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.CeremonyRunning.selector, epoch));
        epochs.refresh(uint64(block.timestamp + 1));
        VM.prank(member(1));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.CeremonyRunning.selector, epoch));
        epochs.open(PARAMETERS, 3, uint64(block.timestamp + 1));
        VM.warp(epochs.get(epoch).deadline);
        epochs.abort(epoch);
        uint256 next = open(3);
        VM.prank(member(1));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.CeremonyRunning.selector, next));
        epochs.refresh(uint64(block.timestamp + 1));
    }

    function test_refreshRefusesBadTerms() external {
        uint256 single = readyToConfirm(1);
        for (uint256 i = 0; i < 3; i++) {
            confirmAs(single, i, "key");
        }
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.NothingToRefresh.selector, single));
        epochs.refresh(uint64(block.timestamp + 1));
        activateEpoch();
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.NotMember.selector, address(this)));
        epochs.refresh(uint64(block.timestamp + 1));
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.BadDeadline.selector, uint64(block.timestamp)));
        epochs.refresh(uint64(block.timestamp));
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.BadDeadline.selector, uint64(block.timestamp + 1 days + 1)));
        epochs.refresh(uint64(block.timestamp + 1 days + 1));
    }

    function test_lateConfirmationsEndWithTheFirstRefresh() external {
        uint256 epoch = activateEpoch();
        startRefresh();
        VM.prank(member(3));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.NotTested.selector, epoch, member(3)));
        epochs.confirm(epoch, keccak256("key"));
        VM.warp(epochs.get(epoch).deadline);
        epochs.abort(epoch);
        VM.prank(member(3));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.CeremonyNotRunning.selector, epoch));
        epochs.confirm(epoch, keccak256("key"));
    }

    /// @dev Whatever the members confirm and in whatever order: the generation moves if and only if all confirm the key.
    function testFuzz_theGenerationMovesOnlyIfAllConfirmTheKey(uint8 confirming, uint8 lying, uint8 first) external {
        uint256 epoch = activateEpoch();
        readyToConfirmRefresh(epoch);
        for (uint256 step = 0; step < N; step++) {
            uint256 i = (step + first) % N;
            if ((confirming >> i) & 1 == 1) confirmAs(epoch, i, (lying >> i) & 1 == 1 ? "other" : "key");
        }
        bool all = confirming & 15 == 15 && lying & 15 == 0;
        IKeyEpochs.Epoch memory e = epochs.get(epoch);
        require(e.generation == (all ? 1 : 0) && e.refreshing == !all, "reference");
        require(e.confirmed == uint256(confirming & 15) && e.jointKey == keccak256("key"), "record");
    }

    /// @dev Any order of calls by any sender: nobody skips a phase, and the key in force never changes.
    function testFuzz_noCallDisturbsTheActiveKey(uint256 seed) external {
        uint256 epoch = activateEpoch();
        startRefresh();
        for (uint256 k = 0; k < 40; k++) {
            seed = uint256(keccak256(abi.encode(seed)));
            address sender = member(seed % N);
            uint256 what = (seed >> 8) % 6;
            VM.prank(sender);
            if (what == 0) try epochs.announce(epoch, keccak256(abi.encode(seed))) {} catch {}
            if (what == 1) try epochs.commit(epoch, DIGEST) {} catch {}
            if (what == 2) try epochs.deal(epoch, DIGEST) {} catch {}
            if (what == 3) try epochs.test(epoch, DIGEST) {} catch {}
            if (what == 4) try epochs.confirm(epoch, (seed >> 16) % 4 == 0 ? DIGEST : keccak256("key")) {} catch {}
            if (what == 5 && (seed >> 16) % 8 == 0) try epochs.complain(epoch, member(k % N), DIGEST) {} catch {}
            IKeyEpochs.Epoch memory e = epochs.get(epoch);
            require(e.jointKey == keccak256("key") && e.status == IKeyEpochs.Status.Active, "key");
            require(e.committed == 0 || e.announced == 15, "announce before commit");
            require(e.dealt == 0 || e.committed == 15, "commit before deal");
            require(e.tested == 0 || e.dealt == 15, "deal before test");
            require(e.confirmed & ~e.tested == 0, "test before confirm");
            require(e.generation == 0 || (e.confirmed == 15 && !e.refreshing), "all before the switch");
        }
    }

    function startRefresh() private returns (uint256) {
        VM.prank(member(0));
        return epochs.refresh(uint64(block.timestamp + 100));
    }

    function readyToConfirmRefresh(uint256 epoch) private {
        startRefresh();
        announceFirst(epoch, N);
        commitFirst(epoch, N);
        dealAndTest(epoch);
    }

    function requireUntouched(uint256 epoch) private view {
        IKeyEpochs.Epoch memory e = epochs.get(epoch);
        require(!e.refreshing && e.generation == 0, "old shares stay");
        require(e.status == IKeyEpochs.Status.Active && e.jointKey == keccak256("key"), "key stays");
        require(epochs.active() == epoch, "epoch stays");
    }

    function boxOf(uint256 epoch, uint256 index) private view returns (bytes32) {
        return keccak256(abi.encode("box", epoch, epochs.get(epoch).refreshes, index));
    }

    function announceAs(uint256 epoch, uint256 index) private {
        bytes32 box = boxOf(epoch, index);
        VM.prank(member(index));
        epochs.announce(epoch, box);
    }

    function announceFirst(uint256 epoch, uint256 count) private {
        for (uint256 i = 0; i < count; i++) {
            announceAs(epoch, i);
        }
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
        announceFirst(epoch, N);
        commitFirst(epoch, N);
        dealAndTest(epoch);
    }

    function dealAndTest(uint256 epoch) private {
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
