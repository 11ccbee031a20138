// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ModelLedger} from "../src/ModelLedger.sol";
import {TrainingRounds} from "../src/TrainingRounds.sol";
import {IHospitalRegistry} from "../src/interfaces/IHospitalRegistry.sol";
import {IModelLedger} from "../src/interfaces/IModelLedger.sol";
import {ITrainingRounds} from "../src/interfaces/ITrainingRounds.sol";
import {Fixture} from "./Fixture.sol";

contract TrainingRoundsTest is Fixture {
    bytes32 private constant MODEL = keccak256("model");

    function setUp() external {
        deployAll(N);
    }

    function test_firstSeedIsTheConsortiums() external view {
        require(rounds.seed() == keccak256(abi.encode(CONSORTIUM)), "seed");
    }

    function test_ledgerMustObeyThisContract() external {
        ModelLedger foreign = new ModelLedger(address(1));
        expectRefusal(abi.encodeWithSelector(ITrainingRounds.NotLedgerWriter.selector, address(1)));
        new TrainingRounds(registry, epochs, foreign);
    }

    function test_genesisOnce() external {
        startLineage();
        require(models.head() == GENESIS, "head");
        IModelLedger.Model memory model = models.get(GENESIS);
        require(model.parent == 0 && model.round == 0 && model.plan == PLAN, "root");
        VM.prank(member(1));
        expectRefusal(abi.encodeWithSelector(ITrainingRounds.GenesisExists.selector, GENESIS));
        rounds.genesis(MODEL, PLAN);
    }

    function test_onlyMembersStartTheLineage() external {
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.NotMember.selector, address(this)));
        rounds.genesis(GENESIS, PLAN);
    }

    function test_onlyRoundsWriteTheLedger() external {
        startLineage();
        expectRefusal(abi.encodeWithSelector(IModelLedger.NotWriter.selector, address(this)));
        models.record(MODEL, GENESIS, IModelLedger.Entry(0, 0, 0, 0, address(0), 0, 0));
    }

    function test_openNeedsGenesisEpochAndHead() external {
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(ITrainingRounds.NoGenesis.selector));
        rounds.open(PLAN, GENESIS, COLLECT, ROUND);
        VM.prank(member(0));
        rounds.genesis(GENESIS, PLAN);
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(ITrainingRounds.NoActiveEpoch.selector));
        rounds.open(PLAN, GENESIS, COLLECT, ROUND);
        activateEpoch();
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(ITrainingRounds.WrongBase.selector, MODEL, GENESIS));
        rounds.open(PLAN, MODEL, COLLECT, ROUND);
        require(openRound() == 1, "opened");
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(ITrainingRounds.RoundStillOpen.selector, 1));
        rounds.open(PLAN, GENESIS, COLLECT, ROUND);
    }

    function test_openRefusesBadDeadlines() external {
        startLineage();
        expectBadDeadlines(0, 10);
        expectBadDeadlines(10, 10);
        expectBadDeadlines(10, 30 days + 1);
        expectBadDeadlines(type(uint64).max - 1, type(uint64).max);
    }

    function test_openNeedsAPlan() external {
        startLineage();
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(ITrainingRounds.EmptyDigest.selector));
        rounds.open(0, GENESIS, COLLECT, ROUND);
    }

    function test_openRoundShowsItsTerms() external {
        startLineage();
        uint256 round = openRound();
        ITrainingRounds.Round memory r = rounds.get(round);
        require(r.plan == PLAN && r.base == GENESIS && r.model == GENESIS && r.epoch == 1, "terms");
        require(r.collectBy == block.timestamp + COLLECT && r.finaliseBy == block.timestamp + ROUND, "deadlines");
        require(r.status == ITrainingRounds.Status.Collecting && rounds.current() == round, "open");
    }

    function test_finaliseRecordsTheModel() external {
        startLineage();
        uint256 round = openRound();
        propose(round, 2);
        bytes32 before = rounds.seed();
        finalise(outcomeOf(round, 2, MODEL), 13);
        IModelLedger.Model memory model = models.get(MODEL);
        require(models.head() == MODEL && model.parent == GENESIS && model.plan == PLAN, "lineage");
        require(model.leader == member(2) && model.round == round && model.timestamp == block.timestamp, "made by");
        require(model.updatesRoot == keccak256("updates") && model.sumsRoot == keccak256("sums"), "roots");
        require(model.proposal == keccak256("proposal") && model.statement == keccak256("statement"), "documents");
        require(rounds.seed() == keccak256(abi.encode(before, keccak256("material"), round)), "seed");
        ITrainingRounds.Round memory r = rounds.get(round);
        require(r.status == ITrainingRounds.Status.Finalised && r.base == GENESIS && r.model == MODEL, "round");
        require(openRound() == round + 1 && rounds.get(round + 1).base == MODEL, "next round");
    }

    function test_outcomeWithoutAcceptedUpdatesKeepsTheHead() external {
        startLineage();
        uint256 round = openRound();
        propose(round, 1);
        finalise(outcomeOf(round, 1, GENESIS), 7);
        require(models.head() == GENESIS, "head");
        require(rounds.get(round).status == ITrainingRounds.Status.Finalised, "ended");
        require(rounds.get(round).model == GENESIS, "unchanged");
    }

    function test_anOldModelCannotReturn() external {
        startLineage();
        uint256 round = openRound();
        propose(round, 0);
        finalise(outcomeOf(round, 0, MODEL), 7);
        round = openRound();
        propose(round, 0);
        expectFinalise(outcomeOf(round, 0, GENESIS), 7, abi.encodeWithSelector(IModelLedger.ModelExists.selector, GENESIS));
    }

    function test_refusesOutcomesThatDoNotFit() external {
        startLineage();
        uint256 round = openRound();
        propose(round, 2);
        ITrainingRounds.Outcome memory o = outcomeOf(round, 2, MODEL);
        o.base = MODEL;
        expectFinalise(o, 7, abi.encodeWithSelector(ITrainingRounds.WrongBase.selector, MODEL, GENESIS));
        o = outcomeOf(round, 2, MODEL);
        o.plan = MODEL;
        expectFinalise(o, 7, abi.encodeWithSelector(ITrainingRounds.WrongPlan.selector, MODEL, PLAN));
        o = outcomeOf(round, 2, MODEL);
        o.statement = 0;
        expectFinalise(o, 7, abi.encodeWithSelector(ITrainingRounds.EmptyDigest.selector));
        o = outcomeOf(round, 2, bytes32(0));
        expectFinalise(o, 7, abi.encodeWithSelector(IModelLedger.EmptyModel.selector));
        o = outcomeOf(round + 1, 2, MODEL);
        expectFinalise(o, 7, abi.encodeWithSelector(ITrainingRounds.RoundNotOpen.selector, round + 1));
        o = outcomeOf(0, 2, MODEL);
        expectFinalise(o, 7, abi.encodeWithSelector(ITrainingRounds.RoundNotOpen.selector, 0));
        bytes memory notProposed = abi.encodeWithSelector(ITrainingRounds.NotProposed.selector, round, member(2));
        o = outcomeOf(round, 2, MODEL);
        o.proposal = MODEL;
        expectFinalise(o, 7, notProposed);
        o = outcomeOf(round, 2, MODEL);
        o.updatesRoot = MODEL;
        expectFinalise(o, 7, notProposed);
        o = outcomeOf(round, 2, MODEL);
        o.sumsRoot = MODEL;
        expectFinalise(o, 7, notProposed);
        o = outcomeOf(round, 1, MODEL);
        expectFinalise(o, 7, abi.encodeWithSelector(ITrainingRounds.NotProposed.selector, round, member(1)));
    }

    function test_aProposalOfAnEarlierRoundDoesNotCount() external {
        startLineage();
        propose(openRound(), 2);
        VM.warp(block.timestamp + ROUND + 1);
        rounds.abort(1);
        uint256 round = openRound();
        bytes memory expected = abi.encodeWithSelector(ITrainingRounds.NotProposed.selector, round, member(2));
        expectFinalise(outcomeOf(round, 2, MODEL), 7, expected);
    }

    function test_quorumAndItsBitmap() external {
        startLineage();
        uint256 round = openRound();
        propose(round, 2);
        ITrainingRounds.Outcome memory o = outcomeOf(round, 2, MODEL);
        expectFinalise(o, 3, abi.encodeWithSelector(IHospitalRegistry.NoQuorum.selector, 2, 3));
        expectFinalise(o, 0, abi.encodeWithSelector(IHospitalRegistry.NoQuorum.selector, 0, 3));
        // Bit 4 stands for no member; its key signs all the same.
        expectFinalise(o, 19, abi.encodeWithSelector(IHospitalRegistry.BadSignatureCount.selector, 195, 19));
        bytes memory two = signAll(o, 3);
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.BadSignatureCount.selector, 130, 7));
        rounds.finalise(o, 7, two);
    }

    function test_signaturesAreTheMembersOwn() external {
        startLineage();
        uint256 round = openRound();
        propose(round, 2);
        ITrainingRounds.Outcome memory o = outcomeOf(round, 2, MODEL);
        bytes memory signatures = signAll(o, 11);
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.BadSignature.selector, 2, member(2)));
        rounds.finalise(o, 7, signatures);
        signatures = signAll(o, 7);
        o.seedMaterial = keccak256("other");
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.BadSignature.selector, 0, member(0)));
        rounds.finalise(o, 7, signatures);
    }

    function test_onlyMembersProposeAndAnybodyBringsTheOutcome() external {
        startLineage();
        uint256 round = openRound();
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.NotMember.selector, address(this)));
        rounds.propose(round, PLAN, PLAN, PLAN);
        propose(round, 2);
        ITrainingRounds.Outcome memory o = outcomeOf(round, 2, MODEL);
        rounds.finalise(o, 7, signAll(o, 7));
        require(models.head() == MODEL, "finalised by an outsider's hand");
    }

    function test_oneProposalAMemberARound() external {
        startLineage();
        uint256 round = openRound();
        propose(round, 2);
        propose(round, 3);
        VM.prank(member(2));
        expectRefusal(abi.encodeWithSelector(ITrainingRounds.AlreadyProposed.selector, round, member(2)));
        rounds.propose(round, MODEL, MODEL, MODEL);
        VM.prank(member(1));
        expectRefusal(abi.encodeWithSelector(ITrainingRounds.EmptyDigest.selector));
        rounds.propose(round, MODEL, 0, MODEL);
    }

    function test_deadlineIsInclusiveAndFinal() external {
        startLineage();
        uint256 round = openRound();
        propose(round, 2);
        uint256 finaliseBy = rounds.get(round).finaliseBy;
        VM.warp(finaliseBy);
        expectRefusal(abi.encodeWithSelector(ITrainingRounds.RoundNotExpired.selector, round, finaliseBy));
        rounds.abort(round);
        VM.warp(finaliseBy + 1);
        bytes memory expired = abi.encodeWithSelector(ITrainingRounds.RoundExpired.selector, round, finaliseBy);
        expectFinalise(outcomeOf(round, 2, MODEL), 7, expired);
        bytes32 before = rounds.seed();
        rounds.abort(round);
        require(rounds.seed() == keccak256(abi.encode(before, bytes32(0), round)), "seed moves on");
        ITrainingRounds.Round memory r = rounds.get(round);
        require(r.status == ITrainingRounds.Status.Aborted && r.base == GENESIS && r.model == GENESIS, "aborted");
        require(models.head() == GENESIS && openRound() == round + 1, "base carries over");
    }

    function expectBadDeadlines(uint64 collectSeconds, uint64 roundSeconds) private {
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(ITrainingRounds.BadDeadlines.selector, collectSeconds, roundSeconds));
        rounds.open(PLAN, GENESIS, collectSeconds, roundSeconds);
    }

    function expectFinalise(ITrainingRounds.Outcome memory o, uint256 signers, bytes memory revertData) private {
        bytes memory signatures = signAll(o, signers);
        VM.prank(member(0));
        expectRefusal(revertData);
        rounds.finalise(o, signers, signatures);
    }
}

/// @dev A round that waits for its outcome, and the signatures that would end it.
contract SignaturesTest is Fixture {
    ITrainingRounds.Outcome private outcome;
    bytes private good;

    function setUp() external {
        deployAll(N);
        startLineage();
        uint256 round = openRound();
        propose(round, 2);
        outcome = outcomeOf(round, 2, keccak256("model"));
        good = signAll(outcome, 7);
    }

    function test_theUnchangedEndTheRound() external {
        rounds.finalise(outcome, 7, good);
        require(models.head() == keccak256("model"), "finalised");
    }

    function testFuzz_aChangedSignatureIsRefused(uint16 place, uint8 flip) external {
        bytes memory signatures = good;
        uint256 pos = uint256(place) % signatures.length;
        signatures[pos] ^= bytes1(flip == 0 ? 1 : flip);
        uint256 victim = pos / 65;
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.BadSignature.selector, victim, member(victim)));
        rounds.finalise(outcome, 7, signatures);
    }
}
