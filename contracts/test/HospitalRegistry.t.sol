// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HospitalRegistry} from "../src/HospitalRegistry.sol";
import {IHospitalRegistry} from "../src/interfaces/IHospitalRegistry.sol";
import {Fixture} from "./Fixture.sol";

contract HospitalRegistryTest is Fixture {
    function setUp() external {
        deployAll(N);
    }

    function test_membersKeepTheirOrder() external view {
        require(registry.memberCount() == N && registry.members().length == N, "count");
        for (uint256 i = 0; i < N; i++) {
            require(registry.indexOf(member(i)) == i && registry.accountAt(i) == member(i), "index");
            require(registry.memberAt(i).dataSize == 100 + i, "record");
        }
    }

    function test_outsidersAreNoMembers() external {
        require(!registry.isMember(address(this)), "isMember");
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.NotMember.selector, address(this)));
        registry.indexOf(address(this));
    }

    function test_quorumIsTwoThirdsRoundedUp() external {
        for (uint256 n = 1; n <= 24; n++) {
            uint256 quorum = new HospitalRegistry(CONSORTIUM, hospitals(n)).quorum();
            require(3 * quorum >= 2 * n && 3 * (quorum - 1) < 2 * n, "ceil(2N/3)");
        }
    }

    function test_refusesBadLists() external {
        IHospitalRegistry.Hospital[] memory list = hospitals(0);
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.BadMemberCount.selector, 0));
        new HospitalRegistry(CONSORTIUM, list);

        list = hospitals(2);
        list[1].account = list[0].account;
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.DuplicateMember.selector, list[0].account));
        new HospitalRegistry(CONSORTIUM, list);
    }

    function test_refusesIncompleteHospitals() external {
        IHospitalRegistry.Hospital[] memory list = hospitals(2);
        list[1].account = address(0);
        expectBadField(list, "account");
        list = hospitals(2);
        list[1].boxKey = 0;
        expectBadField(list, "boxKey");
        list = hospitals(2);
        list[1].dataSize = 0;
        expectBadField(list, "dataSize");
        list = hospitals(2);
        list[1].name = "";
        expectBadField(list, "name");
        list[1].name = string(new bytes(65));
        expectBadField(list, "name");
        list = hospitals(2);
        list[1].url = string(new bytes(257));
        expectBadField(list, "url");
    }

    function test_membersMoveTheirOwnNodeOnly() external {
        VM.expectEmit();
        emit IHospitalRegistry.UrlChanged(member(2), "http://new");
        VM.prank(member(2));
        registry.setUrl("http://new");
        require(keccak256(bytes(registry.memberAt(2).url)) == keccak256("http://new"), "changed");
        require(keccak256(bytes(registry.memberAt(1).url)) == keccak256("url"), "others unchanged");
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.NotMember.selector, address(this)));
        registry.setUrl("http://outsider");
    }

    function expectBadField(IHospitalRegistry.Hospital[] memory list, string memory field) private {
        expectRefusal(abi.encodeWithSelector(IHospitalRegistry.BadHospital.selector, 1, field));
        new HospitalRegistry(CONSORTIUM, list);
    }
}
