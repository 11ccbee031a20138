// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IHospitalRegistry} from "../src/interfaces/IHospitalRegistry.sol";
import {Fixture} from "./Fixture.sol";

/// @dev What members put on record about their images.
contract DataCardsTest is Fixture {
    bytes32 private constant FIRST = keccak256("first card");
    bytes32 private constant SECOND = keccak256("second card");

    /// @dev What the fuzzed registry should hold.
    mapping(uint256 index => bytes32) private _naive;

    function setUp() external {
        deployAll(N);
    }

    function test_aMemberRegistersItsCard() external {
        require(registry.cardOf(2) == 0, "none before");
        VM.expectEmit();
        emit IHospitalRegistry.CardRegistered(2, member(2), FIRST);
        register(2, FIRST);
        require(registry.cardOf(2) == FIRST && registry.cardOf(1) == 0, "its own alone");
    }

    function test_anotherCardTakesItsPlaceAndMayBeTakenBack() external {
        register(0, FIRST);
        register(0, SECOND);
        require(registry.cardOf(0) == SECOND, "the second");
        register(0, FIRST);
        require(registry.cardOf(0) == FIRST, "the first again");
    }

    function test_twoMembersMayHoldTheSameImages() external {
        register(0, FIRST);
        register(1, FIRST);
        require(registry.cardOf(0) == registry.cardOf(1), "both on record");
    }

    function test_zeroIsNoCard() external {
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.EmptyCard.selector));
        registry.registerCard(0);
        register(0, FIRST);
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.EmptyCard.selector));
        registry.registerCard(0);
        require(registry.cardOf(0) == FIRST, "a card is replaced, never erased");
    }

    function test_theSameCardTwiceIsRefused() external {
        register(3, FIRST);
        VM.prank(member(3));
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.SameCard.selector, 3, FIRST));
        registry.registerCard(FIRST);
    }

    function test_outsidersHaveNoCard() external {
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.NotMember.selector, address(this)));
        registry.registerCard(FIRST);
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.NoSuchIndex.selector, N));
        registry.cardOf(N);
    }

    function test_aFormerMembersCardStaysAndNobodyChangesIt() external {
        register(1, FIRST);
        uint256 later = block.timestamp + 1;
        bytes memory signatures = signaturesOf(registry.removalDigest(member(1), later), 13);
        registry.remove(member(1), IHospitalRegistry.Vote(later, 13, signatures));
        VM.prank(member(1));
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.NotMember.selector, member(1)));
        registry.registerCard(SECOND);
        require(registry.cardOf(1) == FIRST, "kept");
    }

    function test_aCardIsTheSeatsWhateverItsAccount() external {
        register(1, FIRST);
        uint256 later = block.timestamp + 1;
        bytes memory signatures = signaturesOf(registry.rotationDigest(member(1), member(9), PLAN, later), 13);
        registry.rotate(member(1), member(9), PLAN, IHospitalRegistry.Vote(later, 13, signatures));
        require(registry.cardOf(1) == FIRST, "kept");
        VM.expectEmit();
        emit IHospitalRegistry.CardRegistered(1, member(9), SECOND);
        VM.prank(member(9));
        registry.registerCard(SECOND);
    }

    /// @dev Whatever is registered by whom and in what order, the book says what a list kept beside it says.
    function testFuzz_theBookIsTheNewestOfEach(uint8[24] calldata who, bytes32[24] calldata what) external {
        for (uint256 i = 0; i < who.length; i++) {
            uint256 index = who[i] % (N + 1);
            bytes32 digest = what[i] & bytes32(uint256(3)); // few different ones, zero among them
            bool taken = index < N && digest != 0 && digest != _naive[index];
            VM.prank(member(index));
            (bool done,) = address(registry).call(abi.encodeCall(registry.registerCard, (digest)));
            require(done == taken, "taken or refused");
            if (taken) _naive[index] = digest;
        }
        bytes32[] memory listed = registry.cards();
        require(listed.length == N, "all seats");
        for (uint256 i = 0; i < N; i++) {
            require(listed[i] == _naive[i] && registry.cardOf(i) == _naive[i], "the newest");
        }
    }

    function register(uint256 index, bytes32 digest) private {
        VM.prank(member(index));
        registry.registerCard(digest);
    }
}
