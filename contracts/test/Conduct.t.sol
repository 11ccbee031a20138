// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Conduct} from "../src/Conduct.sol";
import {IConduct} from "../src/interfaces/IConduct.sol";
import {IHospitalRegistry} from "../src/interfaces/IHospitalRegistry.sol";
import {ITrainingRounds} from "../src/interfaces/ITrainingRounds.sol";
import {Ledger} from "./Ledger.sol";

/// @dev Contradictions, findings by a quorum, and how reputations move.
contract ConductTest is Ledger {
    bytes32 private constant EVIDENCE = keccak256("evidence");

    function setUp() external {
        deployAll(N);
        startLineage();
        openRound();
    }

    function test_everybodyStartsInGoodStanding() external view {
        for (uint256 i = 0; i < 256; i++) {
            require(rounds.reputationOf(i) == 100, "reputation");
        }
        require(rounds.equivocators() == 0 && rounds.faulted(1, IConduct.Fault.Equivocation) == 0, "faults");
    }

    function test_oneSequenceNumberUsedTwice() external {
        bytes memory one = signed(2, update(1, 5));
        bytes memory two = signed(2, acknowledgement(1, 5, keccak256("x"), hex"f6"));
        bytes32 evidence = keccak256(abi.encode(sha256(one), sha256(two)));
        VM.expectEmit();
        emit IConduct.FaultRecorded(1, 2, IConduct.Fault.Equivocation, evidence, 100, 0);
        rounds.proveEquivocation(one, two);
        require(rounds.reputationOf(2) == 0 && rounds.reputationOf(1) == 100, "only the one");
        require(rounds.equivocators() == 4 && rounds.faulted(1, IConduct.Fault.Equivocation) == 4, "on record");
        expectRefusal(abi.encodeWithSelector(IConduct.FaultKnown.selector, 1, IConduct.Fault.Equivocation, 4));
        rounds.proveEquivocation(two, one);
    }

    function test_twoUpdatesOfARound() external {
        rounds.proveEquivocation(signed(1, update(1, 5)), signed(1, update(1, 6)));
        require(rounds.equivocators() == 2, "convicted");
        expectNoContradiction(signed(0, update(1, 5)), signed(0, update(2, 6)));
    }

    function test_twoClosesOfARound() external {
        expectNoContradiction(signed(1, closing(1, 5, PLAN)), signed(1, closing(2, 6, PLAN)));
        expectNoContradiction(signed(1, closing(1, 5, PLAN)), signed(1, acknowledgement(1, 6, PLAN, hex"f6")));
        expectNoContradiction(signed(1, closing(1, 5, PLAN)), signed(1, update(1, 6)));
        rounds.proveEquivocation(signed(1, closing(1, 5, PLAN)), signed(1, closing(1, 6, PLAN)));
        require(rounds.equivocators() == 2, "convicted");
    }

    function test_twoAnswersToOneProposal() external {
        string[3] memory kinds = ["share", "verdict", "checkpoint"];
        for (uint256 i = 0; i < 3; i++) {
            rounds.proveEquivocation(signed(i, about(kinds[i], 5, EVIDENCE)), signed(i, about(kinds[i], 6, EVIDENCE)));
            require(rounds.equivocators() == (2 << i) - 1, kinds[i]);
        }
        expectNoContradiction(signed(3, about("share", 5, EVIDENCE)), signed(3, about("share", 6, PLAN)));
        expectNoContradiction(signed(3, about("share", 5, EVIDENCE)), signed(3, about("verdict", 6, EVIDENCE)));
        expectNoContradiction(signed(3, about("proposal", 5, EVIDENCE)), signed(3, about("proposal", 6, EVIDENCE)));
    }

    function test_whatNoMemberContradicts() external {
        bytes memory one = signed(2, update(1, 5));
        expectNoContradiction(one, one);
        expectNoContradiction(one, signed(1, update(1, 5)));
        expectNoContradiction(one, signed(1, update(1, 6)));
        expectNoContradiction(one, signed(1, acknowledgement(1, 5, PLAN, hex"f6")));
        expectNoContradiction(
            signed(2, acknowledgement(1, 5, PLAN, hex"f6")), signed(2, acknowledgement(1, 6, PLAN, hex"f6"))
        );
        bytes memory noAnswer = signed(2, Said("share", 1, 1, 6, [PLAN, PLAN], hex"a0", ""));
        expectNoContradiction(signed(2, Said("share", 1, 1, 5, [PLAN, PLAN], hex"a0", "")), noAnswer);
        expectBad(0, signedAt(PLAN, 2, update(1, 5)), signedAt(PLAN, 2, update(1, 6)));
        expectBad(1, one, signedAt(PLAN, 2, update(1, 6)));
        expectBad(1, one, "garbage");
        bytes memory two = signed(9, update(1, 6));
        one = signed(9, update(1, 5));
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.NotMember.selector, member(9)));
        rounds.proveEquivocation(one, two);
    }

    function testFuzz_aLoneTransactionConvictsNobody(uint8 who, uint16 place, uint8 flip) external {
        bytes memory one = signed(uint256(who) % N, update(1, 5));
        bytes memory two = bytes.concat(one);
        two[uint256(place) % two.length] ^= bytes1(flip);
        try rounds.proveEquivocation(one, two) {
            revert("convicted by a copy");
        } catch {}
    }

    function test_aQuorumFindsFaults() external {
        IConduct.Finding memory finding = IConduct.Finding(1, IConduct.Fault.Unrevealed, 9, EVIDENCE);
        VM.expectEmit();
        emit IConduct.FaultRecorded(1, 0, IConduct.Fault.Unrevealed, EVIDENCE, 10, 90);
        VM.expectEmit();
        emit IConduct.FaultRecorded(1, 3, IConduct.Fault.Unrevealed, EVIDENCE, 10, 90);
        find(finding, 7);
        require(rounds.reputationOf(0) == 90 && rounds.reputationOf(1) == 100 && rounds.reputationOf(3) == 90, "taken");
        finding.members = 8;
        expectFinding(finding, 7, abi.encodeWithSelector(IConduct.FaultKnown.selector, 1, finding.fault, 8));
        finding.members = 12;
        find(finding, 7);
        require(rounds.reputationOf(2) == 90 && rounds.reputationOf(3) == 90, "once a member, round and fault");
        require(rounds.faulted(1, IConduct.Fault.Unrevealed) == 13, "on record");
    }

    function test_pricesOfFaults() external {
        for (uint256 fault = 3; fault < 9; fault++) {
            find(IConduct.Finding(1, IConduct.Fault(fault), 2, EVIDENCE), 13);
            bool slow = fault == 5 || fault == 6 || fault == 8;
            require(slow || rounds.reputationOf(1) == (fault == 3 ? 50 : 0), "dear");
        }
        uint256[3] memory slows = [uint256(5), 6, 8];
        for (uint256 i = 0; i < 3; i++) {
            find(IConduct.Finding(1, IConduct.Fault(slows[i]), 4, EVIDENCE), 13);
            require(rounds.reputationOf(2) == 90 - 10 * i, "cheap");
        }
    }

    function test_reputationEndsAtZero() external {
        find(IConduct.Finding(1, IConduct.Fault.WrongProposal, 2, EVIDENCE), 13);
        find(IConduct.Finding(1, IConduct.Fault.Unrevealed, 2, EVIDENCE), 13);
        VM.expectEmit();
        emit IConduct.FaultRecorded(1, 1, IConduct.Fault.OutOfTurn, EVIDENCE, 40, 0);
        find(IConduct.Finding(1, IConduct.Fault.OutOfTurn, 2, EVIDENCE), 13);
    }

    function test_whatNoQuorumMayFind() external {
        for (uint256 fault = 0; fault < 3; fault++) {
            IConduct.Finding memory proven = IConduct.Finding(1, IConduct.Fault(fault), 2, EVIDENCE);
            expectFinding(proven, 7, abi.encodeWithSelector(IConduct.ProofNeeded.selector, proven.fault));
        }
        IConduct.Finding memory finding = IConduct.Finding(2, IConduct.Fault.BadUpdate, 2, EVIDENCE);
        expectFinding(finding, 7, abi.encodeWithSelector(IConduct.UnknownRound.selector, 2));
        finding.round = 0;
        expectFinding(finding, 7, abi.encodeWithSelector(IConduct.UnknownRound.selector, 0));
        finding.round = 1;
        finding.members = 16;
        expectFinding(finding, 7, abi.encodeWithSelector(IConduct.BadMembers.selector, 16));
        finding.members = 0;
        expectFinding(finding, 7, abi.encodeWithSelector(IConduct.BadMembers.selector, 0));
        finding.members = 2;
        expectFinding(finding, 5, abi.encodeWithSelector(IHospitalRegistry.NoQuorum.selector, 2, 3));
        bytes memory signatures = signaturesOf(rounds.findingDigest(finding), 7);
        finding.members = 8;
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.BadSignature.selector, 0, member(0)));
        rounds.recordFinding(finding, 7, signatures);
    }

    function test_aSignatureUnderAnOutcomeGivesAPointBack() external {
        find(IConduct.Finding(1, IConduct.Fault.Unrevealed, 3, EVIDENCE), 13);
        propose(1, 2);
        finalise(outcomeOf(1, 2, GENESIS), 13);
        require(rounds.reputationOf(0) == 91 && rounds.reputationOf(1) == 90, "signers only");
        require(rounds.reputationOf(2) == 100 && rounds.reputationOf(3) == 100, "never above full");
    }

    function test_equivocatorsGetNothingBack() external {
        rounds.proveEquivocation(signed(0, update(1, 5)), signed(0, update(1, 6)));
        propose(1, 2);
        finalise(outcomeOf(1, 2, GENESIS), 13);
        require(rounds.reputationOf(0) == 0, "nothing back");
    }

    function find(IConduct.Finding memory finding, uint256 signers) private {
        rounds.recordFinding(finding, signers, signaturesOf(rounds.findingDigest(finding), signers));
    }

    function expectFinding(IConduct.Finding memory finding, uint256 signers, bytes memory refusal) private {
        bytes memory signatures = signaturesOf(rounds.findingDigest(finding), signers);
        expectRefusal(refusal);
        rounds.recordFinding(finding, signers, signatures);
    }

    function expectNoContradiction(bytes memory one, bytes memory two) private {
        expectRefusal(abi.encodeWithSelector(IConduct.NoContradiction.selector));
        rounds.proveEquivocation(one, two);
    }

    function expectBad(uint256 which, bytes memory one, bytes memory two) private {
        expectRefusal(abi.encodeWithSelector(IConduct.BadTransaction.selector, which));
        rounds.proveEquivocation(one, two);
    }
}

/// @dev A registry of 256 members who agree to everything.
contract Agreeable {
    function memberSet() external pure returns (uint256) {
        return type(uint256).max;
    }

    function verifyQuorumOf(bytes32, uint256, uint256, bytes calldata) external pure {}
}

/// @dev Points in their packed words, against one number a member.
contract LanesTest is Conduct {
        constructor() Conduct(IHospitalRegistry(address(new Agreeable()))) {}

    function testFuzz_lanesDoNotMix(uint256[3] calldata charged, uint256[3] calldata signed) external {
        uint256[256] memory lost;
        uint256[3] memory prices = [uint256(50), 10, 50];
        IConduct.Fault[3] memory faults = [Fault.WrongProposal, Fault.Unrevealed, Fault.BadUpdate];
        for (uint256 step = 0; step < 3; step++) {
            if (charged[step] != 0) this.recordFinding(Finding(1, faults[step], charged[step], 0), 0, "");
            _giveBack(signed[step]);
            for (uint256 i = 0; i < 256; i++) {
                if ((charged[step] >> i) & 1 == 1) lost[i] = lost[i] + prices[step] > 100 ? 100 : lost[i] + prices[step];
                if ((signed[step] >> i) & 1 == 1 && lost[i] != 0) lost[i]--;
            }
        }
        for (uint256 i = 0; i < 256; i++) {
            require(reputationOf(i) == 100 - lost[i], "lane");
        }
    }

    function _termsOf(uint256) internal pure override returns (uint256, uint256) {
        return (1, 1);
    }

    function _cohortOf(uint256) internal pure override returns (uint256) {
        return EVERYBODY;
    }

    function _orderOf(Proposal calldata) internal pure override returns (uint256) {
        return 0;
    }

    function _pledged(Proposal calldata) internal pure override returns (uint256, uint256) {
        return (1, 1);
    }
}
