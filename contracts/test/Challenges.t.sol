// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IConduct} from "../src/interfaces/IConduct.sol";
import {IHospitalRegistry} from "../src/interfaces/IHospitalRegistry.sol";
import {ITrainingRounds} from "../src/interfaces/ITrainingRounds.sol";
import {Ledger} from "./Ledger.sol";

/// @dev A leader's list, proven wrong: something in it that does not belong, out of order, or something left out.
contract ChallengesTest is Ledger {
    uint256 private constant LEADER = 3;

    /// @dev One round's past: member 0's update, a quorum's closes, its reveal, and a proposal.
    struct Past {
        bytes[] history;
        bytes32 update;
        bytes32 proposal;
    }

    function setUp() external {
        deployAll(N);
        startLineage();
        openRound();
    }

    function test_anAcknowledgementInTheList() external {
        bytes memory raw = signed(1, acknowledgement(1, 3, PLAN, hex"f6"));
        bytes32[] memory leaves = ascending(3);
        leaves[1] = sha256(raw);
        IConduct.Proposal memory p = proposeList(leaves);
        bytes32[] memory path = pathOf(leaves, 1);
        VM.expectEmit();
        emit IConduct.FaultRecorded(1, LEADER, IConduct.Fault.WrongInclusion, leaves[1], 50, 50);
        rounds.proveWrongInclusion(p, raw, 1, 3, path);
        require(rounds.faulted(1, IConduct.Fault.WrongInclusion) == 1 << LEADER, "on record");
    }

    function test_whatElseDoesNotBelongInTheList() external {
        uint256 clean = VM.snapshotState();
        bytes[5] memory wrong = [
            bytes("no transaction"),
            signed(1, update(2, 3)),
            signed(9, update(1, 3)),
            signedAt(PLAN, 1, update(1, 3)),
            ofEpoch(7)
        ];
        for (uint256 i = 0; i < wrong.length; i++) {
            proveListed(wrong[i]);
            require(rounds.reputationOf(LEADER) == 50, "charged");
            VM.revertToState(clean);
        }
    }

    function test_aMembersUpdateBelongs() external {
        bytes memory raw = signed(1, update(1, 3));
        IConduct.Proposal memory p = proposeList(single(sha256(raw)));
        expectRefusal(abi.encodeWithSelector(IConduct.InclusionRight.selector, sha256(raw)));
        rounds.proveWrongInclusion(p, raw, 0, 1, new bytes32[](0));
        remove(1);
        expectRefusal(abi.encodeWithSelector(IConduct.InclusionRight.selector, sha256(raw)));
        rounds.proveWrongInclusion(p, raw, 0, 1, new bytes32[](0));
    }

    function test_onlyWhatIsListedAndOnRecord() external {
        bytes memory raw = "no transaction";
        IConduct.Proposal memory p = proposeList(single(PLAN));
        expectRefusal(abi.encodeWithSelector(IConduct.NotIncluded.selector, sha256(raw)));
        rounds.proveWrongInclusion(p, raw, 0, 1, new bytes32[](0));
        p.sumsRoot = PLAN;
        expectRefusal(abi.encodeWithSelector(ITrainingRounds.NotProposed.selector, 1, member(LEADER)));
        rounds.proveWrongInclusion(p, raw, 0, 1, new bytes32[](0));
    }

    function test_aListOutOfOrder() external {
        bytes32[] memory leaves = ascending(3);
        (leaves[0], leaves[1]) = (leaves[1], leaves[0]);
        IConduct.Proposal memory p = proposeList(leaves);
        rounds.proveWrongOrder(p, 3, place(leaves, 0), place(leaves, 1));
        require(rounds.reputationOf(LEADER) == 50, "charged");
    }

    function test_anUpdateNamedTwice() external {
        bytes32[] memory leaves = ascending(3);
        leaves[2] = leaves[1];
        IConduct.Proposal memory p = proposeList(leaves);
        rounds.proveWrongOrder(p, 3, place(leaves, 1), place(leaves, 2));
        require(rounds.reputationOf(LEADER) == 50, "charged");
    }

    function test_aListInOrder() external {
        bytes32[] memory leaves = ascending(3);
        IConduct.Proposal memory p = proposeList(leaves);
        IConduct.Place[3] memory places = [place(leaves, 0), place(leaves, 1), place(leaves, 2)];
        expectRefusal(abi.encodeWithSelector(IConduct.OrderRight.selector, leaves[0], leaves[1]));
        rounds.proveWrongOrder(p, 3, places[0], places[1]);
        expectRefusal(abi.encodeWithSelector(IConduct.OrderRight.selector, leaves[2], leaves[0]));
        rounds.proveWrongOrder(p, 3, places[2], places[0]);
        places[1].leaf = PLAN;
        expectRefusal(abi.encodeWithSelector(IConduct.NotIncluded.selector, PLAN));
        rounds.proveWrongOrder(p, 3, places[0], places[1]);
    }

    function test_anOmittedUpdate() external {
        for (uint256 seat = 0; seat < 3; seat++) {
            uint256 clean = VM.snapshotState();
            Past memory past = pastOf(true);
            (bytes32[] memory leaves, IConduct.Place[] memory around) = listWithout(past.update, seat);
            IConduct.Proposal memory p = proposeAs(past.proposal, leaves);
            VM.expectEmit();
            emit IConduct.FaultRecorded(1, LEADER, IConduct.Fault.Omission, past.update, 50, 50);
            rounds.proveOmission(p, first(), past.history, leaves.length, around);
            VM.revertToState(clean);
        }
    }

    function test_whoRepeatsAnEarlierListDoesNotAnswerForIt() external {
        Past memory past = pastOf(true);
        (bytes32[] memory leaves, IConduct.Place[] memory around) = listWithout(past.update, 1);
        IConduct.Proposal[] memory earlier = new IConduct.Proposal[](1);
        earlier[0] = IConduct.Proposal(1, member(2), PLAN, rootOf(leaves), PLAN);
        VM.prank(member(2));
        rounds.propose(1, PLAN, earlier[0].updatesRoot, PLAN);
        IConduct.Proposal memory p = proposeAs(past.proposal, leaves);
        bytes memory refusal = abi.encodeWithSelector(IConduct.NotFirst.selector, 1);
        expectRefusal(refusal);
        rounds.proveOmission(p, earlier, past.history, 3, around);
        expectRefusal(refusal);
        rounds.proveOmission(p, first(), past.history, 3, around);
        earlier[0] = p;
        expectRefusal(refusal);
        rounds.proveOmission(p, earlier, past.history, 3, around);
    }

    function test_allEarlierProposalsAreShownAndOfTheRound() external {
        Past memory past = pastOf(true);
        (bytes32[] memory leaves, IConduct.Place[] memory around) = listWithout(past.update, 1);
        bytes32 root = rootOf(leaves);
        IConduct.Proposal[] memory earlier = new IConduct.Proposal[](2);
        VM.prank(member(2));
        rounds.propose(1, PLAN, PLAN, PLAN);
        VM.prank(member(1));
        rounds.propose(1, PLAN, root, PLAN);
        IConduct.Proposal memory p = proposeAs(past.proposal, leaves);
        earlier[0] = earlier[1] = IConduct.Proposal(1, member(2), PLAN, PLAN, PLAN);
        bytes memory refusal = abi.encodeWithSelector(IConduct.NotFirst.selector, 2);
        expectRefusal(refusal);
        rounds.proveOmission(p, earlier, past.history, 3, around);
        VM.warp(block.timestamp + ROUND + 1);
        rounds.abort(1);
        openRound();
        VM.prank(member(2));
        rounds.propose(2, PLAN, PLAN, PLAN);
        VM.prank(member(1));
        rounds.propose(2, PLAN, GENESIS, PLAN);
        earlier[1] = IConduct.Proposal(2, member(1), PLAN, GENESIS, PLAN);
        expectRefusal(refusal);
        rounds.proveOmission(p, earlier, past.history, 3, around);
    }

    function test_whoProposesAnotherListAfterwardsAnswersForIt() external {
        Past memory past = pastOf(true);
        (bytes32[] memory leaves, IConduct.Place[] memory around) = listWithout(past.update, 1);
        IConduct.Proposal[] memory earlier = new IConduct.Proposal[](1);
        earlier[0] = IConduct.Proposal(1, member(2), PLAN, PLAN, PLAN);
        VM.prank(member(2));
        rounds.propose(1, PLAN, PLAN, PLAN);
        IConduct.Proposal memory p = proposeAs(past.proposal, leaves);
        rounds.proveOmission(p, earlier, past.history, 3, around);
        require(rounds.reputationOf(LEADER) == 50, "charged");
    }

    function test_aListedUpdateIsNotOmitted() external {
        Past memory past = pastOf(true);
        bytes32[] memory leaves = new bytes32[](3);
        (leaves[0], leaves[1], leaves[2]) = (bytes32(uint256(1)), past.update, ~bytes32(0));
        IConduct.Proposal memory p = proposeAs(past.proposal, leaves);
        bytes memory refusal = abi.encodeWithSelector(IConduct.NotAbsent.selector, past.update);
        IConduct.Place[] memory around = new IConduct.Place[](2);
        (around[0], around[1]) = (place(leaves, 0), place(leaves, 1));
        expectOmission(p, past.history, around, refusal);
        (around[0], around[1]) = (place(leaves, 0), place(leaves, 2));
        expectOmission(p, past.history, around, refusal);
        around[1].index = 1;
        expectOmission(p, past.history, around, abi.encodeWithSelector(IConduct.NotIncluded.selector, ~bytes32(0)));
        IConduct.Place[] memory one = new IConduct.Place[](1);
        one[0] = place(leaves, 0);
        expectOmission(p, past.history, one, refusal);
        one[0] = place(leaves, 2);
        expectOmission(p, past.history, one, refusal);
        expectOmission(p, past.history, new IConduct.Place[](0), refusal);
    }

    function test_anUnrevealedUpdateMayBeLeftOut() external {
        Past memory past = pastOf(false);
        expectPast(past, abi.encodeWithSelector(IConduct.NotRevealed.selector, past.update));
    }

    function test_anUpdateThatTooFewClosedOverMayBeLeftOut() external {
        Past memory past = pastOf(true);
        past.history[2] = signed(1, acknowledgement(1, 4, sha256(past.history[1]), hex"f6"));
        relink(past, 3);
        expectPast(past, abi.encodeWithSelector(IConduct.NotCovered.selector, 2, 3));
    }

    function test_strangersDoNotClose() external {
        Past memory past = pastOf(true);
        past.history[2] = signed(9, closing(1, 4, sha256(past.history[1])));
        relink(past, 3);
        expectPast(past, abi.encodeWithSelector(IConduct.NotCovered.selector, 2, 3));
    }

    function test_oneMembersClosesCountOnce() external {
        Past memory past = pastOf(true);
        past.history[2] = signed(0, closing(1, 4, sha256(past.history[1])));
        relink(past, 3);
        expectPast(past, abi.encodeWithSelector(IConduct.NotCovered.selector, 2, 3));
    }

    function test_anotherRoundsTransactionsCoverNothing() external {
        Past memory past = pastOf(true);
        past.history[1] = signed(0, closing(2, 3, past.update));
        relink(past, 2);
        expectPast(past, abi.encodeWithSelector(IConduct.NotCovered.selector, 0, 3));
    }

    function test_equivocatorsDoNotClose() external {
        Past memory past = pastOf(true);
        rounds.proveEquivocation(signed(1, update(1, 7)), signed(1, update(1, 8)));
        expectPast(past, abi.encodeWithSelector(IConduct.NotCovered.selector, 2, 3));
    }

    function test_anEquivocatorsUpdateMayBeLeftOut() external {
        Past memory past = pastOf(true);
        rounds.proveEquivocation(signed(0, update(1, 7)), signed(0, update(1, 8)));
        expectPast(past, abi.encodeWithSelector(IConduct.VoidUpdate.selector, past.update));
    }

    function test_historiesHangTogether() external {
        Past memory past = pastOf(true);
        bytes[] memory history = past.history;
        bytes memory kept = history[2];
        history[2] = signed(1, closing(1, 5, sha256(history[1])));
        expectPast(past, abi.encodeWithSelector(IConduct.NotInPast.selector, 2));
        history[2] = "garbage";
        expectPast(past, abi.encodeWithSelector(IConduct.BadTransaction.selector, 2));
        history[2] = kept;
        history[5] = signed(LEADER, acknowledgement(1, 9, sha256(history[4]), hex"f6"));
        expectPast(past, abi.encodeWithSelector(IConduct.BadTransaction.selector, 5));
        past.history = new bytes[](0);
        expectPast(past, abi.encodeWithSelector(IConduct.BadTransaction.selector, 0));
    }

    function test_onlyUpdatesOfTheRoundAreOmitted() external {
        Said memory said = update(1, 1);
        said.epoch = 7;
        Past memory past = pastFrom(signed(0, said), 1, true);
        expectPast(past, abi.encodeWithSelector(IConduct.BadTransaction.selector, 0));
    }

    function test_anOmissionIsTakenBackWhenThoseWhoClosedContradictThemselves() external {
        Past memory past = pastOf(true);
        (bytes32[] memory leaves, IConduct.Place[] memory around) = listWithout(past.update, 1);
        rounds.proveOmission(proposeAs(past.proposal, leaves), first(), past.history, leaves.length, around);
        bytes memory stands = abi.encodeWithSelector(IConduct.FaultStands.selector, 1, LEADER);
        expectRefusal(stands);
        rounds.annulOmission(1, LEADER);
        expectRefusal(abi.encodeWithSelector(IConduct.FaultStands.selector, 1, 2));
        rounds.annulOmission(1, 2);
        rounds.proveEquivocation(signed(1, update(1, 7)), signed(1, update(1, 8)));
        VM.expectEmit();
        emit IConduct.FaultAnnulled(1, LEADER, IConduct.Fault.Omission, 50, 100);
        rounds.annulOmission(1, LEADER);
        require(rounds.faulted(1, IConduct.Fault.Omission) == 0, "off the record");
        expectRefusal(stands);
        rounds.annulOmission(1, LEADER);
    }

    function test_anOmissionIsTakenBackWhenTheOmittedContradictsItself() external {
        Past memory past = pastOf(true);
        (bytes32[] memory leaves, IConduct.Place[] memory around) = listWithout(past.update, 1);
        rounds.proveOmission(proposeAs(past.proposal, leaves), first(), past.history, leaves.length, around);
        rounds.proveEquivocation(past.history[0], signed(0, update(1, 8)));
        rounds.annulOmission(1, LEADER);
        require(rounds.reputationOf(LEADER) == 100, "given back");
    }

    function test_anOmissionIsTakenBackWhenAQuorumFindsThatTheOmittedIsNoUpdate() external {
        Past memory past = pastOf(true);
        (bytes32[] memory leaves, IConduct.Place[] memory around) = listWithout(past.update, 1);
        IConduct.Proposal memory proposal = proposeAs(past.proposal, leaves);
        rounds.proveOmission(proposal, first(), past.history, leaves.length, around);
        findBad(1);
        expectRefusal(abi.encodeWithSelector(IConduct.FaultStands.selector, 1, LEADER));
        rounds.annulOmission(1, LEADER);
        findBad(0);
        rounds.annulOmission(1, LEADER);
        require(rounds.reputationOf(LEADER) == 100, "given back");
        expectRefusal(abi.encodeWithSelector(IConduct.VoidUpdate.selector, past.update));
        rounds.proveOmission(proposal, first(), past.history, leaves.length, around);
    }

    /// @dev A quorum finds that what a member posted in round 1 is no update.
    function findBad(uint256 member) private {
        IConduct.Finding memory finding = IConduct.Finding(1, IConduct.Fault.BadUpdate, 1 << member, keccak256("evidence"));
        rounds.recordFinding(finding, 7, signaturesOf(rounds.findingDigest(finding), 7));
    }

    function test_noMoreComesBackThanIsLost() external {
        Past memory past = pastOf(true);
        (bytes32[] memory leaves, IConduct.Place[] memory around) = listWithout(past.update, 1);
        rounds.proveOmission(proposeAs(past.proposal, leaves), first(), past.history, leaves.length, around);
        finaliseAs(past.proposal, leaves, 14);
        rounds.proveEquivocation(signed(1, update(1, 7)), signed(1, update(1, 8)));
        VM.expectEmit();
        emit IConduct.FaultAnnulled(1, LEADER, IConduct.Fault.Omission, 49, 100);
        rounds.annulOmission(1, LEADER);
    }

    /// @dev Member 0's update, closes of three members one on top of the other, member 0's reveal, the leader's proposal.
    function pastOf(bool revealed) private pure returns (Past memory) {
        return pastFrom(signed(0, update(1, 1)), 1, revealed);
    }

    function pastFrom(bytes memory raw, uint256 round, bool revealed) private pure returns (Past memory past) {
        past.history = new bytes[](6);
        past.update = sha256(raw);
        past.history[0] = raw;
        past.history[1] = signed(0, closing(round, 3, past.update));
        past.history[2] = signed(1, closing(round, 4, sha256(past.history[1])));
        past.history[4] = revealed ? bytesOf(REVEAL) : bytes(hex"f6");
        relink(past, 3);
    }

    /// @dev Signs the history anew from its third or an earlier transaction on, each on top of the one before.
    function relink(Past memory past, uint256 from) private pure {
        bytes[] memory h = past.history;
        if (from <= 2) h[2] = signed(1, closing(1, 4, sha256(h[1])));
        h[3] = signed(LEADER, closing(1, 8, sha256(h[2])));
        bytes memory reveal = h[5].length == 0 ? h[4] : bytesOf(REVEAL);
        h[4] = signed(0, acknowledgement(1, 5, sha256(h[3]), reveal));
        h[5] = signed(LEADER, child("proposal", 9, sha256(h[3]), sha256(h[4])));
        past.proposal = sha256(h[5]);
    }

    function child(string memory kind, uint256 sequence, bytes32 left, bytes32 right)
        private
        pure
        returns (Said memory)
    {
        return Said(kind, 1, 1, sequence, [left, right], hex"a0", "");
    }

    function listWithout(bytes32 update_, uint256 seat)
        private
        pure
        returns (bytes32[] memory leaves, IConduct.Place[] memory around)
    {
        leaves = new bytes32[](3);
        for (uint256 i = 0; i < 3; i++) {
            leaves[i] = i < seat ? bytes32(uint256(update_) - 3 + i) : bytes32(uint256(update_) + 1 + i);
        }
        bool end = seat == 0;
        around = new IConduct.Place[](end ? 1 : 2);
        around[0] = place(leaves, end ? 0 : seat - 1);
        if (!end) around[1] = place(leaves, seat);
        if (seat == 2) {
            // The other end: all leaves stand before it.
            leaves[2] = bytes32(uint256(update_) - 1);
            around = new IConduct.Place[](1);
            around[0] = place(leaves, 2);
        }
    }

    function proposeList(bytes32[] memory leaves) private returns (IConduct.Proposal memory) {
        return proposeAs(keccak256("proposal"), leaves);
    }

    function proposeAs(bytes32 id, bytes32[] memory leaves) private returns (IConduct.Proposal memory p) {
        p = IConduct.Proposal(1, member(LEADER), id, rootOf(leaves), keccak256("sums"));
        VM.prank(member(LEADER));
        rounds.propose(1, p.id, p.updatesRoot, p.sumsRoot);
    }

    function finaliseAs(bytes32 id, bytes32[] memory leaves, uint256 signers) private {
        ITrainingRounds.Outcome memory o = outcomeOf(1, LEADER, GENESIS);
        (o.proposal, o.updatesRoot) = (id, rootOf(leaves));
        finalise(o, signers);
    }

    function proveListed(bytes memory raw) private {
        bytes32[] memory leaves = ascending(3);
        leaves[1] = sha256(raw);
        rounds.proveWrongInclusion(proposeList(leaves), raw, 1, 3, pathOf(leaves, 1));
    }

    function expectPast(Past memory past, bytes memory refusal) private {
        uint256 clean = VM.snapshotState();
        (bytes32[] memory leaves, IConduct.Place[] memory around) = listWithout(past.update, 1);
        expectOmission(proposeAs(past.proposal, leaves), past.history, around, refusal);
        VM.revertToState(clean);
    }

    function expectOmission(
        IConduct.Proposal memory p,
        bytes[] memory history,
        IConduct.Place[] memory around,
        bytes memory refusal
    ) private {
        expectRefusal(refusal);
        rounds.proveOmission(p, first(), history, 3, around);
    }

    /// @dev No proposal came before.
    function first() private pure returns (IConduct.Proposal[] memory) {
        return new IConduct.Proposal[](0);
    }

    function remove(uint256 who) private {
        uint256 signers = 13;
        bytes32 digest = registry.removalDigest(member(who), 2e9);
        registry.remove(member(who), IHospitalRegistry.Vote(2e9, signers, signaturesOf(digest, signers)));
    }

    function ofEpoch(uint256 epoch) private pure returns (bytes memory) {
        Said memory said = update(1, 3);
        said.epoch = epoch;
        return signed(1, said);
    }

    function place(bytes32[] memory leaves, uint256 index) private pure returns (IConduct.Place memory) {
        return IConduct.Place(leaves[index], index, pathOf(leaves, index));
    }

    function single(bytes32 leaf) private pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](1);
        leaves[0] = leaf;
    }

    function ascending(uint256 size) private pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](size);
        for (uint256 i = 0; i < size; i++) {
            leaves[i] = bytes32((i + 1) << 200);
        }
    }
}
