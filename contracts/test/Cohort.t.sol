// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {KeyEpochs} from "../src/KeyEpochs.sol";
import {ModelLedger} from "../src/ModelLedger.sol";
import {TrainingRounds} from "../src/TrainingRounds.sol";
import {IConduct} from "../src/interfaces/IConduct.sol";
import {IHospitalRegistry} from "../src/interfaces/IHospitalRegistry.sol";
import {IKeyEpochs} from "../src/interfaces/IKeyEpochs.sol";
import {ITrainingRounds} from "../src/interfaces/ITrainingRounds.sol";
import {Fixture} from "./Fixture.sol";

/// @dev Ceremonies and rounds among four of seven members, of whom three decide.
contract CohortTest is Fixture {
    uint256 private constant ALL = 7;
    uint256 private constant SIZE = 4;
    bytes32 private constant DIGEST = keccak256("digest");

    uint256 private cohort;
    /// @dev Who is of it and who is not, ascending.
    uint256[] private inside;
    uint256[] private outside;

    function setUp() external {
        deployAll(ALL, SIZE);
        cohort = drawn(rounds.seed(), ALL, SIZE);
        for (uint256 i = 0; i < ALL; i++) {
            ((cohort >> i) & 1 == 1 ? inside : outside).push(i);
        }
    }

    function test_aCeremonyAmongSome() external {
        uint256 epoch = openCohort();
        IKeyEpochs.Epoch memory e = epochs.get(epoch);
        require(e.holders == cohort && e.cohort && epochs.cohortOf(epoch) == cohort, "holders");
        everyStep(epoch);
        confirm(epoch, inside[0]);
        confirm(epoch, inside[1]);
        require(epochs.active() == 0, "two of four");
        confirm(epoch, inside[2]);
        (uint256 active, uint256 among) = epochs.inForce();
        require(epochs.active() == epoch && active == epoch && among == cohort, "two thirds of the cohort");
    }

    function test_aKeyOfAllFollows() external {
        activateCohort();
        activateEpochOf(ALL);
        (uint256 epoch, uint256 among) = epochs.inForce();
        require(epoch == 2 && epochs.active() == 2 && among == type(uint256).max, "everybody's");
        require(epochs.cohortOf(2) == among && !epochs.get(2).cohort && epochs.get(2).holders == 127, "all");
        require(epochs.get(1).status == IKeyEpochs.Status.Superseded, "superseded");
    }

    function test_refusesOtherSizes() external {
        uint64 deadline = uint64(block.timestamp + 1);
        uint256[4] memory wrong = [uint256(0), SIZE - 1, ALL + 1, type(uint256).max];
        for (uint256 i = 0; i < 4; i++) {
            VM.prank(member(0));
            expectRefusal(abi.encodeWithSelector(IKeyEpochs.BadCohort.selector, wrong[i], SIZE, ALL));
            epochs.openCohort(PARAMETERS, 1, deadline, wrong[i]);
        }
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.BadThreshold.selector, 5, 4));
        epochs.openCohort(PARAMETERS, 5, deadline, SIZE);
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.NotMember.selector, address(this)));
        epochs.openCohort(PARAMETERS, 3, deadline, SIZE);
    }

    function test_aConsortiumMayHaveNone() external {
        deployAll(ALL);
        for (uint256 size = 0; size <= ALL; size++) {
            VM.prank(member(0));
            expectRefusal(abi.encodeWithSelector(IKeyEpochs.BadCohort.selector, size, 0, ALL));
            epochs.openCohort(PARAMETERS, 1, uint64(block.timestamp + 1), size);
        }
    }

    function test_oneDrawUntilARoundEnds() external {
        bytes32 seed = rounds.seed();
        VM.expectEmit();
        emit IKeyEpochs.CohortDrawn(1, seed, cohort);
        require(openCohort() == 1, "first");
        VM.warp(block.timestamp + 100);
        epochs.abort(1);
        require(epochs.get(openCohort()).holders == cohort, "the same again");
        VM.warp(block.timestamp + 100);
        epochs.abort(2);
        openFullRound();
        VM.warp(block.timestamp + ROUND + 1);
        rounds.abort(1);
        require(epochs.get(openCohort()).holders == drawn(rounds.seed(), ALL, SIZE), "by the next seed");
        require(rounds.seed() != seed, "another");
    }

    function test_whoLeftIsNotDrawn() external {
        remove(inside[1]);
        uint256 holders = epochs.get(openCohort()).holders;
        require(holders & ~registry.memberSet() == 0 && holders != cohort, "members only");
    }

    /// @dev Against a list that shrinks.
    function testFuzz_theDraw(bytes32 seed, uint8 count, uint8 size) external {
        uint256 members = 1 + uint256(count) % 40;
        uint256 least = 1 + uint256(size) % members;
        deployAll(members, least);
        VM.store(address(rounds), bytes32(uint256(6)), seed);
        require(rounds.seed() == seed, "the layout in contracts/README.md");
        VM.prank(member(0));
        uint256 epoch = epochs.openCohort(PARAMETERS, 1, uint64(block.timestamp + 1), least);
        require(epochs.get(epoch).holders == drawn(seed, members, least), "drawn");
    }

    function test_theRoundsMustBeTheOnesItDrawsBy() external {
        KeyEpochs others = new KeyEpochs(registry, ITrainingRounds(address(1)), 0);
        address planned = VM.computeCreateAddress(address(this), VM.getNonce(address(this)) + 1);
        ModelLedger ledger = new ModelLedger(planned);
        expectRefusal(abi.encodeWithSelector(ITrainingRounds.NotDrawnFrom.selector, address(1)));
        new TrainingRounds(registry, others, ledger);
    }

    function test_othersTakeNoPart() external {
        uint256 epoch = openCohort();
        VM.prank(member(outside[0]));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.NotHolder.selector, epoch, member(outside[0])));
        epochs.announce(epoch, DIGEST);
        VM.prank(member(outside[1]));
        expectRefusal(abi.encodeWithSelector(IKeyEpochs.NotHolder.selector, epoch, member(outside[1])));
        epochs.complain(epoch, member(inside[0]), DIGEST);
    }

    function test_aQuorumOfTheCohortEndsIt() external {
        uint256 epoch = openCohort();
        for (uint256 i = 0; i < 3; i++) {
            require(epochs.get(epoch).status == IKeyEpochs.Status.Running, "not before");
            VM.prank(member(inside[i]));
            epochs.complain(epoch, member(inside[3]), DIGEST);
        }
        require(epochs.get(epoch).status == IKeyEpochs.Status.Aborted, "three of four");
    }

    function test_aRoundIsTheCohorts() external {
        uint256 round = openCohortRound();
        require(rounds.get(round).quorum == 3, "two thirds of four");
        address other = member(outside[0]);
        VM.prank(other);
        expectRefusal(abi.encodeWithSelector(ITrainingRounds.NotInCohort.selector, round, other));
        rounds.propose(round, DIGEST, DIGEST, DIGEST);
        propose(round, inside[2]);
        ITrainingRounds.Outcome memory o = outcomeOf(round, inside[2], keccak256("model"));
        uint256 rest = 127 & ~cohort;
        uint256 five = rest | first(2);
        expectRefused(o, five, abi.encodeWithSelector(IHospitalRegistry.BadSignatureCount.selector, 5 * 65, five));
        uint256 six = rest | first(3);
        expectRefused(o, six, abi.encodeWithSelector(IHospitalRegistry.BadSignatureCount.selector, 6 * 65, six));
        expectRefused(o, first(2), abi.encodeWithSelector(IHospitalRegistry.NoQuorum.selector, 2, 3));
        finalise(o, first(3));
        require(rounds.get(round).status == ITrainingRounds.Status.Finalised, "finalised");
    }

    function test_whoLeftTheConsortiumCountsForNothing() external {
        uint256 round = openCohortRound();
        remove(inside[3]);
        require(registry.quorumOf(cohort) == 2 && rounds.get(round).quorum == 3, "of three, of four");
        propose(round, inside[2]);
        ITrainingRounds.Outcome memory o = outcomeOf(round, inside[2], keccak256("model"));
        expectRefused(o, cohort, abi.encodeWithSelector(IHospitalRegistry.BadSignatureCount.selector, 4 * 65, cohort));
        finalise(o, first(2));
    }

    function test_whereAllLeftNobodyDecides() external {
        require(registry.quorumOf(128) == 0, "a seat nobody had");
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.NoQuorum.selector, 0, 0));
        registry.verifyQuorumOf(DIGEST, 128, 0, "");
    }

    function test_theRoundKeepsItsCohortWhenAnotherKeyFollows() external {
        uint256 round = openCohortRound();
        activateEpochOf(ALL);
        propose(round, inside[2]);
        finalise(outcomeOf(round, inside[2], keccak256("model")), first(3));
        VM.prank(member(0));
        round = rounds.open(PLAN, keccak256("model"), COLLECT, ROUND);
        require(rounds.get(round).quorum == 5, "all seven's");
        propose(round, 0);
        finalise(outcomeOf(round, 0, keccak256("next")), 47);
    }

    function test_theCohortFindsFaults() external {
        uint256 round = openCohortRound();
        IConduct.Finding memory finding = IConduct.Finding(round, IConduct.Fault.BadUpdate, 1 << inside[3], DIGEST);
        bytes32 digest = rounds.findingDigest(finding);
        uint256 five = (127 & ~cohort) | first(2);
        bytes memory signatures = signaturesOf(digest, five);
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.BadSignatureCount.selector, 5 * 65, five));
        rounds.recordFinding(finding, five, signatures);
        rounds.recordFinding(finding, first(3), signaturesOf(digest, first(3)));
        require(rounds.faulted(round, IConduct.Fault.BadUpdate) == 1 << inside[3], "on record");
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
        VM.prank(member(outside[0])); // who opens it need not be of it
        return epochs.openCohort(PARAMETERS, 3, uint64(block.timestamp + 100), SIZE);
    }

    function everyStep(uint256 epoch) private {
        for (uint256 step = 0; step < 4; step++) {
            for (uint256 i = 0; i < SIZE; i++) {
                VM.prank(member(inside[i]));
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
        confirm(epoch, inside[0]);
        confirm(epoch, inside[1]);
        confirm(epoch, inside[2]);
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

    function openFullRound() private {
        activateEpochOf(ALL);
        VM.prank(member(0));
        rounds.genesis(GENESIS, PLAN);
        openRound();
    }

    /// @dev The first of the cohort, so many.
    function first(uint256 count) private view returns (uint256 set) {
        for (uint256 i = 0; i < count; i++) {
            set |= 1 << inside[i];
        }
    }

    function drawn(bytes32 seed, uint256 members, uint256 size) private pure returns (uint256 set) {
        uint256[] memory line = new uint256[](members);
        for (uint256 i = 0; i < members; i++) {
            line[i] = i;
        }
        for (uint256 k = 0; k < size; k++) {
            uint256 word = uint256(keccak256(abi.encode(keccak256("medweave/cohort"), CONSORTIUM, seed, k)));
            uint256 picked = word % (members - k);
            set |= 1 << line[picked];
            line[picked] = line[0]; // who stood first takes the place of whoever was picked
            for (uint256 i = 1; i < members - k; i++) {
                line[i - 1] = line[i];
            }
        }
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
