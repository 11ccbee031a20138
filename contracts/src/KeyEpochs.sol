// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Bitmap} from "./Bitmap.sol";
import {IHospitalRegistry} from "./interfaces/IHospitalRegistry.sol";
import {IKeyEpochs} from "./interfaces/IKeyEpochs.sol";

/// @title The key ceremonies of a consortium
contract KeyEpochs is IKeyEpochs {
    using Bitmap for uint256;

    /// @notice The members.
    IHospitalRegistry public immutable registry;

    /// @inheritdoc IKeyEpochs
    uint256 public active;
    /// @inheritdoc IKeyEpochs
    uint256 public latest;

    mapping(uint256 epoch => Epoch) private _epochs;
    mapping(uint256 epoch => mapping(bytes32 jointKey => uint256 members)) private _votes;
    mapping(uint256 epoch => mapping(address member => uint256 offenders)) private _accused;

    /// @param registry_ The members.
    constructor(IHospitalRegistry registry_) {
        registry = registry_;
    }

    /// @inheritdoc IKeyEpochs
    function open(bytes32 parameterSet, uint8 threshold, uint64 deadline) external returns (uint256 epoch) {
        registry.indexOf(msg.sender);
        if (_epochs[latest].status == Status.Running) revert CeremonyRunning(latest);
        if (parameterSet == bytes32(0)) revert EmptyDigest();
        uint256 members = registry.memberCount();
        if (threshold == 0 || threshold > members) revert BadThreshold(threshold, members);
        if (deadline <= block.timestamp) revert BadDeadline(deadline);
        epoch = ++latest;
        Epoch storage e = _epochs[epoch];
        e.parameterSet = parameterSet;
        e.threshold = threshold;
        e.status = Status.Running;
        e.deadline = deadline;
        emit EpochOpened(epoch, parameterSet, threshold, deadline, msg.sender);
    }

    /// @inheritdoc IKeyEpochs
    function commit(uint256 epoch, bytes32 commitment) external {
        Epoch storage e = _running(epoch, commitment);
        e.committed = _mark(epoch, e.committed);
        emit Committed(epoch, msg.sender, commitment);
    }

    /// @inheritdoc IKeyEpochs
    function deal(uint256 epoch, bytes32 dealing) external {
        Epoch storage e = _running(epoch, dealing);
        _requireAll(epoch, e.committed);
        e.dealt = _mark(epoch, e.dealt);
        emit Dealt(epoch, msg.sender, dealing);
    }

    /// @inheritdoc IKeyEpochs
    function test(uint256 epoch, bytes32 report) external {
        Epoch storage e = _running(epoch, report);
        _requireAll(epoch, e.dealt);
        e.tested = _mark(epoch, e.tested);
        emit Tested(epoch, msg.sender, report);
    }

    /// @inheritdoc IKeyEpochs
    function confirm(uint256 epoch, bytes32 jointKey) external {
        // A member that is late still puts on record which key it derived.
        Epoch storage e = active == epoch && jointKey != bytes32(0) ? _epochs[epoch] : _running(epoch, jointKey);
        uint256 index = registry.indexOf(msg.sender);
        if (!e.tested.has(index)) revert NotTested(epoch, msg.sender);
        e.confirmed = _mark(epoch, e.confirmed);
        uint256 votes = _votes[epoch][jointKey].with(index);
        _votes[epoch][jointKey] = votes;
        emit Confirmed(epoch, msg.sender, jointKey);
        uint256 count = votes.count();
        if (e.status == Status.Running && count >= e.threshold && count >= registry.quorum()) {
            _activate(epoch, jointKey);
        }
    }

    /// @inheritdoc IKeyEpochs
    function complain(uint256 epoch, address offender, bytes32 evidence) external {
        Epoch storage e = _running(epoch, evidence);
        uint256 accused = _accused[epoch][msg.sender];
        uint256 offenderIndex = registry.indexOf(offender);
        if (accused.has(offenderIndex)) revert AlreadyDone(epoch, msg.sender);
        uint256 complained = e.complained.with(registry.indexOf(msg.sender));
        e.complained = complained;
        _accused[epoch][msg.sender] = accused.with(offenderIndex);
        emit Complained(epoch, msg.sender, offender, evidence);
        if (complained.count() >= registry.quorum()) _abort(epoch);
    }

    /// @inheritdoc IKeyEpochs
    function abort(uint256 epoch) external {
        Epoch storage e = _epochs[epoch];
        if (e.status != Status.Running) revert CeremonyNotRunning(epoch);
        if (block.timestamp < e.deadline) revert CeremonyNotExpired(epoch, e.deadline);
        _abort(epoch);
    }

    /// @inheritdoc IKeyEpochs
    function get(uint256 epoch) external view returns (Epoch memory) {
        return _epochs[epoch];
    }

    function _activate(uint256 epoch, bytes32 jointKey) private {
        if (active != 0) _epochs[active].status = Status.Superseded;
        _epochs[epoch].status = Status.Active;
        _epochs[epoch].jointKey = jointKey;
        active = epoch;
        emit EpochActivated(epoch, jointKey);
    }

    function _abort(uint256 epoch) private {
        _epochs[epoch].status = Status.Aborted;
        emit EpochAborted(epoch, _epochs[epoch].complained);
    }

    /// @dev The set with the sender in it; reverts if it was there already or is no member.
    function _mark(uint256 epoch, uint256 set) private view returns (uint256) {
        uint256 index = registry.indexOf(msg.sender);
        if (set.has(index)) revert AlreadyDone(epoch, msg.sender);
        return set.with(index);
    }

    function _requireAll(uint256 epoch, uint256 done) private view {
        if (!done.isFull(registry.memberCount())) revert PhaseIncomplete(epoch, done);
    }

    function _running(uint256 epoch, bytes32 digest) private view returns (Epoch storage e) {
        if (digest == bytes32(0)) revert EmptyDigest();
        e = _epochs[epoch];
        if (e.status != Status.Running) revert CeremonyNotRunning(epoch);
        if (block.timestamp >= e.deadline) revert CeremonyExpired(epoch, e.deadline);
    }
}
