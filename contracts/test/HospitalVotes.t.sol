// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HospitalRegistry} from "../src/HospitalRegistry.sol";
import {IHospitalRegistry} from "../src/interfaces/IHospitalRegistry.sol";
import {Fixture} from "./Fixture.sol";

/// @dev What a quorum decides about its members: who comes, who goes, whose keys and sizes change.
contract HospitalVotesTest is Fixture {
    uint256 private constant LATER = 2_000_000_000;
    bytes32 private constant BOX = keccak256("new box");

    function setUp() external {
        deployAll(N);
    }

    function test_aHospitalIsAdmittedWithTheNextIndex() external {
        VM.expectEmit();
        emit IHospitalRegistry.HospitalAdmitted(4, member(9), BOX, 7, "ninth", "http://ninth");
        admit(9, 7);
        require(registry.memberCount() == 5 && registry.seatCount() == 5 && registry.indexOf(member(9)) == 4, "seat");
        require(registry.quorum() == 4 && registry.decisions() == 1 && registry.memberSet() == 31, "quorum");
        require(registry.memberAt(4).dataSize == 7 && registry.accountAt(4) == member(9), "record");
        require(registry.members().length == 5, "listed");
    }

    function test_aRemovedMembersIndexStaysEmpty() external {
        VM.expectEmit();
        emit IHospitalRegistry.HospitalRemoved(1, member(1));
        remove(1, 13);
        require(!registry.isMember(member(1)) && registry.isKnown(member(1)), "former member");
        require(registry.memberSet() == 13 && registry.memberCount() == 3 && registry.quorum() == 2, "set");
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.NotMember.selector, member(1)));
        registry.indexOf(member(1));
        require(registry.accountAt(1) == member(1) && registry.members().length == 4, "still on record");
        IHospitalRegistry.Hospital memory ninth = hospital(9);
        IHospitalRegistry.Vote memory vote = voted(registry.admissionDigest(ninth, LATER), 13);
        registry.admit(ninth, vote);
        require(registry.indexOf(member(9)) == 4 && registry.memberSet() == 29, "a new index");
    }

    function test_anAccountServesOneSeatOnce() external {
        remove(1, 13);
        expectAdmission(1, 13, abi.encodeWithSelector(IHospitalRegistry.DuplicateMember.selector, member(1)));
        expectAdmission(2, 13, abi.encodeWithSelector(IHospitalRegistry.DuplicateMember.selector, member(2)));
    }

    function test_keysRotate() external {
        VM.expectEmit();
        emit IHospitalRegistry.KeysRotated(2, member(2), member(9), BOX);
        rotate(2, 9, BOX);
        require(registry.indexOf(member(9)) == 2 && !registry.isMember(member(2)), "account");
        require(registry.isKnown(member(2)) && registry.memberCount() == N && registry.seatCount() == N, "seat");
        require(registry.memberAt(2).boxKey == BOX && registry.accountAt(2) == member(9), "keys");
        rotate(0, 0, BOX);
        require(registry.indexOf(member(0)) == 0 && registry.memberAt(0).boxKey == BOX, "box key alone");
    }

    function test_aRetiredAccountNeverComesBack() external {
        rotate(2, 9, BOX);
        bytes32 digest = registry.rotationDigest(member(1), member(2), BOX, LATER);
        IHospitalRegistry.Vote memory vote = voted(digest, 11);
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.DuplicateMember.selector, member(2)));
        registry.rotate(member(1), member(2), BOX, vote);
    }

    function test_rotationRefusesWhatIsNoKey() external {
        IHospitalRegistry.Vote memory vote = voted(registry.rotationDigest(member(1), member(9), 0, LATER), 7);
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.BadHospital.selector, 1, "boxKey"));
        registry.rotate(member(1), member(9), 0, vote);
        vote = voted(registry.rotationDigest(member(1), address(0), BOX, LATER), 7);
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.BadHospital.selector, 1, "account"));
        registry.rotate(member(1), address(0), BOX, vote);
        vote = voted(registry.rotationDigest(member(8), member(9), BOX, LATER), 7);
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.NotMember.selector, member(8)));
        registry.rotate(member(8), member(9), BOX, vote);
    }

    function test_declaredSizesChange() external {
        IHospitalRegistry.Vote memory vote = voted(registry.resizingDigest(member(3), 5000, LATER), 7);
        VM.expectEmit();
        emit IHospitalRegistry.DataSizeChanged(3, member(3), 5000);
        registry.resize(member(3), 5000, vote);
        require(registry.memberAt(3).dataSize == 5000 && registry.accountAt(3) == member(3), "size alone");
        vote = voted(registry.resizingDigest(member(3), 0, LATER), 7);
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.BadHospital.selector, 3, "dataSize"));
        registry.resize(member(3), 0, vote);
    }

    function test_theLastMemberStays() external {
        HospitalRegistry lone = new HospitalRegistry(CONSORTIUM, hospitals(1));
        IHospitalRegistry.Vote memory vote = voted(lone.removalDigest(member(0), LATER), 1);
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.BadMemberCount.selector, 0));
        lone.remove(member(0), vote);
    }

    function test_noSeatBeyondTheLast() external {
        registry = new HospitalRegistry(CONSORTIUM, hospitals(256));
        require(registry.quorum() == 171 && registry.memberSet() == type(uint256).max, "full");
        expectAdmission(300, (1 << 171) - 1, abi.encodeWithSelector(IHospitalRegistry.BadMemberCount.selector, 257));
        registry = new HospitalRegistry(CONSORTIUM, hospitals(3));
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.NoSuchIndex.selector, 3));
        registry.memberAt(3);
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.NoSuchIndex.selector, 256));
        registry.accountAt(256);
    }

    function test_tooManyFounders() external {
        IHospitalRegistry.Hospital[] memory list = hospitals(257);
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.BadMemberCount.selector, 257));
        new HospitalRegistry(CONSORTIUM, list);
    }

    function test_aVoteNeedsAQuorumOfMembers() external {
        expectAdmission(9, 3, abi.encodeWithSelector(IHospitalRegistry.NoQuorum.selector, 2, 3));
        expectAdmission(9, 1 << 9, abi.encodeWithSelector(IHospitalRegistry.BadSignatureCount.selector, 65, 1 << 9));
        remove(1, 13);
        expectAdmission(9, 7, abi.encodeWithSelector(IHospitalRegistry.BadSignatureCount.selector, 195, 7));
    }

    function test_aVoteCountsOnce() external {
        IHospitalRegistry.Vote memory vote = voted(registry.resizingDigest(member(3), 5000, LATER), 7);
        registry.resize(member(3), 5000, vote);
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.BadSignature.selector, 0, member(0)));
        registry.resize(member(3), 5000, vote);
    }

    function test_whatElseWasDecidedMeanwhileVoidsAVote() external {
        IHospitalRegistry.Vote memory vote = voted(registry.removalDigest(member(3), LATER), 7);
        admit(9, 7);
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.NoQuorum.selector, 3, 4));
        registry.remove(member(3), vote);
    }

    function test_aVoteExpires() external {
        IHospitalRegistry.Vote memory vote = voted(registry.removalDigest(member(3), LATER), 7);
        VM.warp(LATER + 1);
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.VoteExpired.selector, LATER));
        registry.remove(member(3), vote);
        VM.warp(LATER);
        registry.remove(member(3), vote);
    }

    function testFuzz_aVoteIsForWhatWasSigned(uint8 who, uint32 size, uint256 deadline) external {
        deadline = block.timestamp + deadline % 1e9;
        address account = member(uint256(who) % N);
        if (size == 0) size = 1;
        IHospitalRegistry.Vote memory vote = voted(registry.resizingDigest(account, size, deadline), 7);
        vote.deadline = deadline + 1;
        bytes memory refusal = abi.encodeWithSelector(IHospitalRegistry.BadSignature.selector, 0, member(0));
        expectRefusal(refusal);
        registry.resize(account, size, vote);
        vote.deadline = deadline;
        expectRefusal(refusal);
        registry.resize(account, size ^ 1, vote);
        registry.resize(account, size, vote);
        require(registry.memberAt(uint256(who) % N).dataSize == size, "carried out");
    }

    function test_registriesDoNotShareSignatures() external {
        HospitalRegistry other = new HospitalRegistry(CONSORTIUM, hospitals(N));
        IHospitalRegistry.Vote memory vote = voted(other.removalDigest(member(3), LATER), 7);
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.BadSignature.selector, 0, member(0)));
        registry.remove(member(3), vote);
    }

    function test_aMemberMovesItsNodeWithinBounds() external {
        string memory long = string(new bytes(257));
        VM.prank(member(2));
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.BadHospital.selector, 2, "url"));
        registry.setUrl(long);
    }

    function hospital(uint256 who) private pure returns (IHospitalRegistry.Hospital memory) {
        return IHospitalRegistry.Hospital(member(who), BOX, 7, "ninth", "http://ninth");
    }

    function voted(bytes32 digest, uint256 signers) private pure returns (IHospitalRegistry.Vote memory) {
        return IHospitalRegistry.Vote(LATER, signers, signaturesOf(digest, signers));
    }

    function admit(uint256 who, uint256 signers) private {
        IHospitalRegistry.Hospital memory h = hospital(who);
        IHospitalRegistry.Vote memory vote = voted(registry.admissionDigest(h, LATER), signers);
        registry.admit(h, vote);
    }

    function remove(uint256 who, uint256 signers) private {
        IHospitalRegistry.Vote memory vote = voted(registry.removalDigest(member(who), LATER), signers);
        registry.remove(member(who), vote);
    }

    function rotate(uint256 who, uint256 to, bytes32 box) private {
        bytes32 digest = registry.rotationDigest(member(who), member(to), box, LATER);
        registry.rotate(member(who), member(to), box, voted(digest, 11));
    }

    function expectAdmission(uint256 who, uint256 signers, bytes memory refusal) private {
        IHospitalRegistry.Hospital memory h = hospital(who);
        IHospitalRegistry.Vote memory vote = voted(registry.admissionDigest(h, LATER), signers);
        expectRefusal(refusal);
        registry.admit(h, vote);
    }
}
