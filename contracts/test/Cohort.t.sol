// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IConduct} from "../src/interfaces/IConduct.sol";
import {IHospitalRegistry} from "../src/interfaces/IHospitalRegistry.sol";
import {IKeyEpochs} from "../src/interfaces/IKeyEpochs.sol";
import {ITrainingRounds} from "../src/interfaces/ITrainingRounds.sol";
import {Fixture} from "./Fixture.sol";

/// @dev Ceremonies and rounds among some of seven members: 1, 2, 4 and 6, of whom three decide.
contract CohortTest is Fixture {
    uint256 private constant ALL = 7;
    uint256 private constant COHORT = 86;
    uint256 private constant QUORUM = 22; // 1, 2, 4
    bytes32 private constant DIGEST = keccak256("digest");

    function setUp() external {
        deployAll(ALL);
    }

    function test_aCeremonyAmongSome() external {
        uint256 epoch = openCohort();
        IKeyEpochs.Epoch memory e = epochs.get(epoch);
        require(e.holders == COHORT && e.cohort && epochs.cohortOf(epoch) == COHORT, "holders");
        everyStep(epoch);
        confirm(epoch, 1);
        confirm(epoch, 2);
        require(epochs.active() == 0, "two of four");
        confirm(epoch, 4);
        (uint256 active, uint256 cohort) = epochs.inForce();
        require(epochs.active() == epoch && active == epoch && cohort == COHORT, "two thirds of the cohort");
    }

    function test_aKeyOfAllFollows() external {
        activateCohort();
        activateEpochOf(ALL);
        (uint256 epoch, uint256 cohort) = epochs.inForce();
        require(epoch == 2 && epochs.active() == 2 && cohort == type(uint256).max, "everybody's");
        require(epochs.cohortOf(2) == cohort && !epochs.get(2).cohort && epochs.get(2).holders == 127, "all");
        require(epochs.get(1).status == IKeyEpochs.Status.Superseded, "superseded");
    }

    function test_refusesWhoIsNoMember() external {
        uint64 deadline = uint64(block.timestamp + 1);
        uint256[3] memory wrong = [uint256(0), 128, COHORT | (1 << 200)];
        for (uint256 i = 0; i < 3; i++) {
            VM.prank(member(0));
            expectRefusal(abi.encodeWithSelector(IKeyEpochs.BadCohort.selector, wrong[i]));
            epochs.openCohort(PARAMETERS, 1, deadline, wrong[i]);
        }
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.BadThreshold.selector, 5, 4));
        epochs.openCohort(PARAMETERS, 5, deadline, COHORT);
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.NotMember.selector, address(this)));
        epochs.openCohort(PARAMETERS, 3, deadline, COHORT);
    }

    function test_othersTakeNoPart() external {
        uint256 epoch = openCohort();
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.NotHolder.selector, epoch, member(0)));
        epochs.announce(epoch, DIGEST);
        VM.prank(member(3));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.NotHolder.selector, epoch, member(3)));
        epochs.complain(epoch, member(1), DIGEST);
    }

    function test_aQuorumOfTheCohortEndsIt() external {
        uint256 epoch = openCohort();
        uint256[3] memory who = [uint256(1), 2, 4];
        for (uint256 i = 0; i < 3; i++) {
            require(epochs.get(epoch).status == IKeyEpochs.Status.Running, "not before");
            VM.prank(member(who[i]));
            epochs.complain(epoch, member(6), DIGEST);
        }
        require(epochs.get(epoch).status == IKeyEpochs.Status.Aborted, "three of four");
    }

    function test_aRoundIsTheCohorts() external {
        uint256 round = openCohortRound();
        require(rounds.get(round).quorum == 3, "two thirds of four");
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(ITrainingRounds.NotInCohort.selector, round, member(0)));
        rounds.propose(round, DIGEST, DIGEST, DIGEST);
        propose(round, 4);
        ITrainingRounds.Outcome memory o = outcomeOf(round, 4, keccak256("model"));
        // Five of seven, but only two of the cohort: 0, 1, 2, 3, 5.
        expectRefused(o, 47, abi.encodeWithSelector(IHospitalRegistry.BadSignatureCount.selector, 5 * 65, 47));
        expectRefused(o, QUORUM | 1, abi.encodeWithSelector(IHospitalRegistry.BadSignatureCount.selector, 4 * 65, 23));
        expectRefused(o, 6, abi.encodeWithSelector(IHospitalRegistry.NoQuorum.selector, 2, 3));
        finalise(o, QUORUM);
        require(rounds.get(round).status == ITrainingRounds.Status.Finalised, "finalised");
    }

    function test_whoLeftTheConsortiumCountsForNothing() external {
        uint256 round = openCohortRound();
        remove(6);
        require(registry.quorumOf(COHORT) == 2 && rounds.get(round).quorum == 3, "of three, of four");
        propose(round, 4);
        ITrainingRounds.Outcome memory o = outcomeOf(round, 4, keccak256("model"));
        expectRefused(o, 84, abi.encodeWithSelector(IHospitalRegistry.BadSignatureCount.selector, 3 * 65, 84));
        finalise(o, 6);
    }

    function test_whereAllLeftNobodyDecides() external {
        require(registry.quorumOf(128) == 0, "a seat nobody had");
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.NoQuorum.selector, 0, 0));
        registry.verifyQuorumOf(DIGEST, 128, 0, "");
    }

    function test_theRoundKeepsItsCohortWhenAnotherKeyFollows() external {
        uint256 round = openCohortRound();
        activateEpochOf(ALL);
        propose(round, 4);
        finalise(outcomeOf(round, 4, keccak256("model")), QUORUM);
        VM.prank(member(0));
        round = rounds.open(PLAN, keccak256("model"), COLLECT, ROUND);
        require(rounds.get(round).quorum == 5, "all seven's");
        propose(round, 0);
        finalise(outcomeOf(round, 0, keccak256("next")), 47);
    }

    function test_theCohortFindsFaults() external {
        uint256 round = openCohortRound();
        IConduct.Finding memory finding = IConduct.Finding(round, IConduct.Fault.BadUpdate, 64, DIGEST);
        bytes32 digest = rounds.findingDigest(finding);
        bytes memory five = signaturesOf(digest, 47);
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.BadSignatureCount.selector, 5 * 65, 47));
        rounds.recordFinding(finding, 47, five);
        rounds.recordFinding(finding, QUORUM, signaturesOf(digest, QUORUM));
        require(rounds.faulted(round, IConduct.Fault.BadUpdate) == 64, "on record");
    }

    /// @dev Against a count of bits one by one.
    function testFuzz_quorumOfASet(uint256 among) external view {
        uint256 count = 0;
        for (uint256 i = 0; i < ALL; i++) {
            if ((among >> i) & 1 == 1) count++;
        }
        require(registry.quorumOf(among) == (2 * count + 2) / 3, "two thirds, rounded up");
    }

    function openCohort() private returns (uint256) {
        VM.prank(member(0)); // who opens it need not be of it
        return epochs.openCohort(PARAMETERS, 3, uint64(block.timestamp + 100), COHORT);
    }

    function everyStep(uint256 epoch) private {
        for (uint256 step = 0; step < 4; step++) {
            for (uint256 i = 0; i < ALL; i++) {
                if ((COHORT >> i) & 1 == 0) continue;
                VM.prank(member(i));
                if (step == 0) epochs.announce(epoch, keccak256(abi.encode("box", epoch, i)));
                if (step == 1) epochs.commit(epoch, DIGEST);
                if (step == 2) epochs.deal(epoch, DIGEST);
                if (step == 3) epochs.test(epoch, DIGEST);
            }
        }
    }

    function activateCohort() private {
        uint256 epoch = openCohort();
        everyStep(epoch);
        confirm(epoch, 1);
        confirm(epoch, 2);
        confirm(epoch, 4);
    }

    function confirm(uint256 epoch, uint256 index) private {
        VM.prank(member(index));
        epochs.confirm(epoch, keccak256("key"));
    }

    function openCohortRound() private returns (uint256 round) {
        activateCohort();
        VM.prank(member(0));
        rounds.genesis(GENESIS, PLAN);
        round = openRound();
    }

    function remove(uint256 index) private {
        uint256 voters = registry.memberSet();
        bytes memory signatures = signaturesOf(registry.removalDigest(member(index), 2e9), voters);
        registry.remove(member(index), IHospitalRegistry.Vote(2e9, voters, signatures));
    }

    function expectRefused(ITrainingRounds.Outcome memory o, uint256 signers, bytes memory revertData) private {
        bytes memory signatures = signAll(o, signers);
        expectRefusal(revertData);
        rounds.finalise(o, signers, signatures);
    }
}
