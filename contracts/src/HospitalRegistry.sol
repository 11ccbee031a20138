// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IHospitalRegistry} from "./interfaces/IHospitalRegistry.sol";

/// @title The members of one consortium
contract HospitalRegistry is IHospitalRegistry {
    uint256 private constant MAX_MEMBERS = 256;
    uint256 private constant MAX_NAME = 64;
    uint256 private constant MAX_URL = 256;

    /// @inheritdoc IHospitalRegistry
    bytes32 public immutable consortium;

    Hospital[] private _members;
    /// @dev Index + 1, so that zero means "no member".
    mapping(address account => uint256) private _position;

    /// @param consortium_ The identifier of the consortium.
    /// @param genesis The founding members; their order gives the indices.
    constructor(bytes32 consortium_, Hospital[] memory genesis) {
        if (genesis.length == 0 || genesis.length > MAX_MEMBERS) revert BadMemberCount(genesis.length);
        consortium = consortium_;
        for (uint256 i = 0; i < genesis.length; i++) {
            _admit(genesis[i], i);
        }
    }

    /// @inheritdoc IHospitalRegistry
    function setUrl(string calldata url) external {
        uint256 index = indexOf(msg.sender);
        if (bytes(url).length > MAX_URL) revert BadHospital(index, "url");
        _members[index].url = url;
        emit UrlChanged(msg.sender, url);
    }

    /// @inheritdoc IHospitalRegistry
    function memberCount() external view returns (uint256) {
        return _members.length;
    }

    /// @inheritdoc IHospitalRegistry
    function quorum() external view returns (uint256) {
        return (2 * _members.length + 2) / 3;
    }

    /// @inheritdoc IHospitalRegistry
    function memberAt(uint256 index) external view returns (Hospital memory) {
        if (index >= _members.length) revert NoSuchIndex(index);
        return _members[index];
    }

    /// @inheritdoc IHospitalRegistry
    function accountAt(uint256 index) external view returns (address) {
        if (index >= _members.length) revert NoSuchIndex(index);
        return _members[index].account;
    }

    /// @inheritdoc IHospitalRegistry
    function members() external view returns (Hospital[] memory) {
        return _members;
    }

    /// @inheritdoc IHospitalRegistry
    function isMember(address account) external view returns (bool) {
        return _position[account] != 0;
    }

    /// @inheritdoc IHospitalRegistry
    function indexOf(address account) public view returns (uint256) {
        uint256 position = _position[account];
        if (position == 0) revert NotMember(account);
        return position - 1;
    }

    function _admit(Hospital memory hospital, uint256 index) private {
        if (hospital.account == address(0)) revert BadHospital(index, "account");
        if (hospital.boxKey == bytes32(0)) revert BadHospital(index, "boxKey");
        if (hospital.dataSize == 0) revert BadHospital(index, "dataSize");
        if (bytes(hospital.name).length == 0 || bytes(hospital.name).length > MAX_NAME) {
            revert BadHospital(index, "name");
        }
        if (bytes(hospital.url).length > MAX_URL) revert BadHospital(index, "url");
        if (_position[hospital.account] != 0) revert DuplicateMember(hospital.account);
        _members.push(hospital);
        _position[hospital.account] = index + 1;
        emit HospitalAdmitted(
            index, hospital.account, hospital.boxKey, hospital.dataSize, hospital.name, hospital.url
        );
    }
}
