// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Bitmap} from "./Bitmap.sol";
import {IHospitalRegistry} from "./interfaces/IHospitalRegistry.sol";

/// @title The members of one consortium
contract HospitalRegistry is IHospitalRegistry, EIP712 {
    using Bitmap for uint256;

    /// @dev A hospital as stored: account and data size share a word, which every signature check reads.
    struct Seat {
        address account;
        uint32 dataSize;
        bytes32 boxKey;
        string name;
        string url;
    }

    /// @dev What an account is to this consortium, in one word.
    struct Claim {
        uint16 seat; // index + 1, so that zero means "never anything"
        bool current; // whether it is a member's present account
    }

    bytes32 private constant HOSPITAL_TYPEHASH =
        keccak256("Hospital(address account,bytes32 boxKey,uint32 dataSize,string name,string url)");
    bytes32 private constant ADMISSION_TYPEHASH = keccak256(
        "Admission(Hospital hospital,uint256 decision,uint256 deadline)"
        "Hospital(address account,bytes32 boxKey,uint32 dataSize,string name,string url)"
    );
    bytes32 private constant REMOVAL_TYPEHASH = keccak256("Removal(address account,uint256 decision,uint256 deadline)");
    bytes32 private constant ROTATION_TYPEHASH = keccak256(
        "Rotation(address account,address newAccount,bytes32 newBoxKey,uint256 decision,uint256 deadline)"
    );
    bytes32 private constant RESIZING_TYPEHASH =
        keccak256("Resizing(address account,uint32 dataSize,uint256 decision,uint256 deadline)");
    uint256 private constant EVERYBODY = type(uint256).max;
    uint256 private constant MAX_SEATS = 256;
    uint256 private constant MAX_NAME = 64;
    uint256 private constant MAX_URL = 256;
    uint256 private constant SIGNATURE_BYTES = 65;

    /// @inheritdoc IHospitalRegistry
    bytes32 public immutable consortium;

    /// @inheritdoc IHospitalRegistry
    uint256 public memberSet;
    /// @inheritdoc IHospitalRegistry
    uint256 public seatCount;
    /// @inheritdoc IHospitalRegistry
    uint256 public decisions;

    mapping(uint256 index => Seat) private _seats;
    /// @dev Every account that ever had a seat.
    mapping(address account => Claim) private _claims;
    /// @dev The digest of each hospital's data card; not in its seat, so that admitting one need not write it.
    mapping(uint256 index => bytes32) private _cards;

    /// @param consortium_ The identifier of the consortium.
    /// @param genesis The founding members; their order gives the indices.
    constructor(bytes32 consortium_, Hospital[] memory genesis) EIP712("Medweave", "1") {
        if (genesis.length == 0 || genesis.length > MAX_SEATS) revert BadMemberCount(genesis.length);
        consortium = consortium_;
        for (uint256 i = 0; i < genesis.length; i++) {
            _admit(genesis[i]);
        }
    }

    /// @inheritdoc IHospitalRegistry
    function setUrl(string calldata url) external {
        uint256 index = indexOf(msg.sender);
        if (bytes(url).length > MAX_URL) revert BadHospital(index, "url");
        _seats[index].url = url;
        emit UrlChanged(msg.sender, url);
    }

    /// @inheritdoc IHospitalRegistry
    function registerCard(bytes32 digest) external {
        uint256 index = indexOf(msg.sender);
        if (digest == bytes32(0)) revert EmptyCard();
        if (digest == _cards[index]) revert SameCard(index, digest);
        _cards[index] = digest;
        emit CardRegistered(index, msg.sender, digest);
    }

    /// @inheritdoc IHospitalRegistry
    function admit(Hospital calldata hospital, Vote calldata vote) external {
        _decide(admissionDigest(hospital, vote.deadline), vote);
        if (seatCount == MAX_SEATS) revert BadMemberCount(MAX_SEATS + 1);
        _admit(hospital);
    }

    /// @inheritdoc IHospitalRegistry
    function remove(address account, Vote calldata vote) external {
        _decide(removalDigest(account, vote.deadline), vote);
        uint256 index = indexOf(account);
        uint256 rest = memberSet.without(index);
        if (rest == 0) revert BadMemberCount(0);
        memberSet = rest;
        _claims[account].current = false;
        emit HospitalRemoved(index, account);
    }

    /// @inheritdoc IHospitalRegistry
    function rotate(address account, address newAccount, bytes32 newBoxKey, Vote calldata vote) external {
        _decide(rotationDigest(account, newAccount, newBoxKey, vote.deadline), vote);
        uint256 index = indexOf(account);
        if (newBoxKey == bytes32(0)) revert BadHospital(index, "boxKey");
        Seat storage seat = _seats[index];
        seat.boxKey = newBoxKey;
        if (newAccount != account) {
            _claim(newAccount, index);
            _claims[account].current = false;
            seat.account = newAccount;
        }
        emit KeysRotated(index, account, newAccount, newBoxKey);
    }

    /// @inheritdoc IHospitalRegistry
    function resize(address account, uint32 dataSize, Vote calldata vote) external {
        _decide(resizingDigest(account, dataSize, vote.deadline), vote);
        uint256 index = indexOf(account);
        if (dataSize == 0) revert BadHospital(index, "dataSize");
        _seats[index].dataSize = dataSize;
        emit DataSizeChanged(index, account, dataSize);
    }

    /// @inheritdoc IHospitalRegistry
    function memberCount() external view returns (uint256) {
        return memberSet.count();
    }

    /// @inheritdoc IHospitalRegistry
    function memberAt(uint256 index) public view returns (Hospital memory) {
        Seat storage seat = _seat(index);
        return Hospital(seat.account, seat.boxKey, seat.dataSize, seat.name, seat.url);
    }

    /// @inheritdoc IHospitalRegistry
    function accountAt(uint256 index) external view returns (address) {
        return _seat(index).account;
    }

    /// @inheritdoc IHospitalRegistry
    function members() external view returns (Hospital[] memory list) {
        list = new Hospital[](seatCount);
        for (uint256 i = 0; i < list.length; i++) {
            list[i] = memberAt(i);
        }
    }

    /// @inheritdoc IHospitalRegistry
    function cardOf(uint256 index) external view returns (bytes32) {
        if (index >= seatCount) revert NoSuchIndex(index);
        return _cards[index];
    }

    /// @inheritdoc IHospitalRegistry
    function cards() external view returns (bytes32[] memory list) {
        list = new bytes32[](seatCount);
        for (uint256 i = 0; i < list.length; i++) {
            list[i] = _cards[i];
        }
    }

    /// @inheritdoc IHospitalRegistry
    function isMember(address account) external view returns (bool) {
        return _claims[account].current;
    }

    /// @inheritdoc IHospitalRegistry
    function isKnown(address account) external view returns (bool) {
        return _claims[account].seat != 0;
    }

    /// @inheritdoc IHospitalRegistry
    function verifyQuorum(bytes32 digest, uint256 signers, bytes calldata signatures) public view {
        verifyQuorumOf(digest, EVERYBODY, signers, signatures);
    }

    /// @inheritdoc IHospitalRegistry
    function verifyQuorumOf(bytes32 digest, uint256 among, uint256 signers, bytes calldata signatures) public view {
        uint256 signed = signers.count();
        uint256 voters = memberSet & among;
        if (signatures.length != SIGNATURE_BYTES * signed || signers & ~voters != 0) {
            revert BadSignatureCount(signatures.length, signers);
        }
        uint256 needed = _twoThirds(voters);
        // Where nobody of the set is left, nobody decides.
        if (signed < needed || signed == 0) revert NoQuorum(signed, needed);
        uint256 offset = 0;
        for (uint256 index = 0; offset < signatures.length; index++) {
            if (!signers.has(index)) continue;
            address member = _seats[index].account;
            (address signer, ECDSA.RecoverError failure,) =
                ECDSA.tryRecoverCalldata(digest, signatures[offset:offset + SIGNATURE_BYTES]);
            if (failure != ECDSA.RecoverError.NoError || signer != member) revert BadSignature(index, member);
            offset += SIGNATURE_BYTES;
        }
    }

    /// @inheritdoc IHospitalRegistry
    function admissionDigest(Hospital calldata hospital, uint256 deadline) public view returns (bytes32) {
        bytes32 record = keccak256(
            abi.encode(
                HOSPITAL_TYPEHASH,
                hospital.account,
                hospital.boxKey,
                hospital.dataSize,
                keccak256(bytes(hospital.name)),
                keccak256(bytes(hospital.url))
            )
        );
        return _hashTypedDataV4(keccak256(abi.encode(ADMISSION_TYPEHASH, record, decisions, deadline)));
    }

    /// @inheritdoc IHospitalRegistry
    function removalDigest(address account, uint256 deadline) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(REMOVAL_TYPEHASH, account, decisions, deadline)));
    }

    /// @inheritdoc IHospitalRegistry
    function rotationDigest(address account, address newAccount, bytes32 newBoxKey, uint256 deadline)
        public
        view
        returns (bytes32)
    {
        return _hashTypedDataV4(
            keccak256(abi.encode(ROTATION_TYPEHASH, account, newAccount, newBoxKey, decisions, deadline))
        );
    }

    /// @inheritdoc IHospitalRegistry
    function resizingDigest(address account, uint32 dataSize, uint256 deadline) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(RESIZING_TYPEHASH, account, dataSize, decisions, deadline)));
    }

    /// @inheritdoc IHospitalRegistry
    function quorum() external view returns (uint256) {
        return _twoThirds(memberSet);
    }

    /// @inheritdoc IHospitalRegistry
    function quorumOf(uint256 among) external view returns (uint256) {
        return _twoThirds(memberSet & among);
    }

    /// @inheritdoc IHospitalRegistry
    function indexOf(address account) public view returns (uint256) {
        Claim memory claim = _claims[account];
        if (!claim.current) revert NotMember(account);
        return claim.seat - 1;
    }

    /// @dev Counts the vote, so that its signatures, which cover the count, are spent.
    function _decide(bytes32 digest, Vote calldata vote) private {
        if (block.timestamp > vote.deadline) revert VoteExpired(vote.deadline);
        verifyQuorumOf(digest, EVERYBODY, vote.signers, vote.signatures);
        decisions++;
    }

    function _admit(Hospital memory hospital) private {
        uint256 index = seatCount++;
        if (hospital.boxKey == bytes32(0)) revert BadHospital(index, "boxKey");
        if (hospital.dataSize == 0) revert BadHospital(index, "dataSize");
        if (bytes(hospital.name).length == 0 || bytes(hospital.name).length > MAX_NAME) {
            revert BadHospital(index, "name");
        }
        if (bytes(hospital.url).length > MAX_URL) revert BadHospital(index, "url");
        _claim(hospital.account, index);
        _seats[index] = Seat(hospital.account, hospital.dataSize, hospital.boxKey, hospital.name, hospital.url);
        memberSet = memberSet.with(index);
        emit HospitalAdmitted(
            index, hospital.account, hospital.boxKey, hospital.dataSize, hospital.name, hospital.url
        );
    }

    function _claim(address account, uint256 index) private {
        if (account == address(0)) revert BadHospital(index, "account");
        if (_claims[account].seat != 0) revert DuplicateMember(account);
        _claims[account] = Claim(uint16(index + 1), true);
    }

    function _twoThirds(uint256 set) private pure returns (uint256) {
        return (2 * set.count() + 2) / 3;
    }

    function _seat(uint256 index) private view returns (Seat storage) {
        if (index >= seatCount) revert NoSuchIndex(index);
        return _seats[index];
    }
}
