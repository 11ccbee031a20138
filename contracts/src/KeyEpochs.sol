// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Bitmap} from "./Bitmap.sol";
import {IHospitalRegistry} from "./interfaces/IHospitalRegistry.sol";
import {IKeyEpochs} from "./interfaces/IKeyEpochs.sol";
import {ITrainingRounds} from "./interfaces/ITrainingRounds.sol";

/// @title The key ceremonies of a consortium
contract KeyEpochs is IKeyEpochs {
    using Bitmap for uint256;

    /// @notice The members.
    IHospitalRegistry public immutable registry;
    /// @inheritdoc IKeyEpochs
    ITrainingRounds public immutable rounds;
    /// @inheritdoc IKeyEpochs
    uint256 public immutable smallestCohort;

    /// @dev The epoch in force, with the bit COHORT where a cohort holds it: a round opens without a second look.
    uint256 private _active;
    /// @inheritdoc IKeyEpochs
    uint256 public latest;

    uint64 private constant MAX_SECONDS = 1 days;
    uint256 private constant EVERYBODY = type(uint256).max;
    uint256 private constant COHORT = 1 << 255;
    bytes32 private constant DRAW = keccak256("medweave/cohort");

    mapping(uint256 epoch => Epoch) private _epochs;
    mapping(bytes32 boxKey => bool) private _announced;
    /// @dev By epoch and number of the refresh; 0 is the ceremony itself.
    mapping(uint256 epoch => mapping(uint256 refresh => mapping(bytes32 jointKey => uint256 members))) private _votes;
    /// @dev By epoch and number of the refresh; 0 is the ceremony itself.
    mapping(uint256 epoch => mapping(uint256 refresh => mapping(address member => uint256 offenders))) private _accused;

    /// @param registry_ The members.
    /// @param rounds_ Where the rounds will be, which refuse to be anywhere else.
    /// @param smallestCohort_ The fewest members a cohort may have; 0 if there are to be none, ever.
    constructor(IHospitalRegistry registry_, ITrainingRounds rounds_, uint256 smallestCohort_) {
        registry = registry_;
        rounds = rounds_;
        smallestCohort = smallestCohort_;
    }

    /// @inheritdoc IKeyEpochs
    function open(bytes32 parameterSet, uint8 threshold, uint64 deadline) external returns (uint256 epoch) {
        (epoch,) = _open(parameterSet, threshold, deadline, registry.memberSet());
    }

    /// @inheritdoc IKeyEpochs
    function openCohort(bytes32 parameterSet, uint8 threshold, uint64 deadline, uint256 size)
        external
        returns (uint256 epoch)
    {
        uint256 members = registry.memberCount();
        if (smallestCohort == 0 || size < smallestCohort || size > members) {
            revert BadCohort(size, smallestCohort, members);
        }
        bytes32 seed = rounds.seed();
        uint256 holders = _draw(seed, members, size);
        Epoch storage e;
        (epoch, e) = _open(parameterSet, threshold, deadline, holders);
        e.cohort = true;
        emit CohortDrawn(epoch, seed, holders);
    }

    /// @inheritdoc IKeyEpochs
    function refresh(uint64 deadline) external returns (uint256 epoch) {
        epoch = active();
        _requireNoneRunning();
        Epoch storage e = _epochs[epoch];
        if (e.threshold < 2 || e.generation == type(uint16).max) revert NothingToRefresh(epoch);
        _indexOfHolder(epoch, e);
        _requireDeadline(deadline);
        e.refreshing = true;
        e.deadline = deadline;
        uint32 number = ++e.refreshes;
        e.announced = e.committed = e.dealt = e.tested = e.confirmed = e.complained = 0;
        emit RefreshOpened(epoch, number, e.generation + 1, deadline, msg.sender);
    }

    /// @inheritdoc IKeyEpochs
    function announce(uint256 epoch, bytes32 boxKey) external {
        Epoch storage e = _running(epoch, boxKey);
        e.announced = _mark(epoch, e, e.announced);
        if (_announced[boxKey]) revert BoxKeyUsed(boxKey);
        _announced[boxKey] = true;
        emit Announced(epoch, msg.sender, boxKey);
    }

    /// @inheritdoc IKeyEpochs
    function commit(uint256 epoch, bytes32 commitment) external {
        Epoch storage e = _running(epoch, commitment);
        if (e.announced != e.holders) revert PhaseIncomplete(epoch, e.announced);
        e.committed = _mark(epoch, e, e.committed);
        emit Committed(epoch, msg.sender, commitment);
    }

    /// @inheritdoc IKeyEpochs
    function deal(uint256 epoch, bytes32 dealing) external {
        Epoch storage e = _running(epoch, dealing);
        if (e.committed != e.holders) revert PhaseIncomplete(epoch, e.committed);
        e.dealt = _mark(epoch, e, e.dealt);
        emit Dealt(epoch, msg.sender, dealing);
    }

    /// @inheritdoc IKeyEpochs
    function test(uint256 epoch, bytes32 report) external {
        Epoch storage e = _running(epoch, report);
        if (e.dealt != e.holders) revert PhaseIncomplete(epoch, e.dealt);
        e.tested = _mark(epoch, e, e.tested);
        emit Tested(epoch, msg.sender, report);
    }

    /// @inheritdoc IKeyEpochs
    function confirm(uint256 epoch, bytes32 jointKey) external {
        // A member that is late still puts on record which key it derived, until a refresh begins anew.
        bool late = active() == epoch && _epochs[epoch].refreshes == 0 && jointKey != bytes32(0);
        Epoch storage e = late ? _epochs[epoch] : _running(epoch, jointKey);
        uint256 index = _indexOfHolder(epoch, e);
        if (!e.tested.has(index)) revert NotTested(epoch, msg.sender);
        e.confirmed = _mark(epoch, e, e.confirmed);
        uint256 votes = _votes[epoch][e.refreshes][jointKey].with(index);
        _votes[epoch][e.refreshes][jointKey] = votes;
        emit Confirmed(epoch, msg.sender, jointKey);
        if (e.refreshing) {
            if (jointKey == e.jointKey && votes == e.holders) _switch(epoch, e);
        } else if (e.status == Status.Running && votes.count() >= e.threshold && votes.count() >= _quorum(e)) {
            _activate(epoch, e, jointKey);
        }
    }

    /// @inheritdoc IKeyEpochs
    function complain(uint256 epoch, address offender, bytes32 evidence) external {
        Epoch storage e = _running(epoch, evidence);
        uint256 accused = _accused[epoch][e.refreshes][msg.sender];
        uint256 offenderIndex = registry.indexOf(offender);
        if (accused.has(offenderIndex)) revert AlreadyDone(epoch, msg.sender);
        uint256 complained = e.complained.with(_indexOfHolder(epoch, e));
        e.complained = complained;
        _accused[epoch][e.refreshes][msg.sender] = accused.with(offenderIndex);
        emit Complained(epoch, msg.sender, offender, evidence);
        if (complained.count() >= _quorum(e)) _abort(epoch, e);
    }

    /// @inheritdoc IKeyEpochs
    function abort(uint256 epoch) external {
        Epoch storage e = _epochs[epoch];
        if (e.status != Status.Running && !e.refreshing) revert CeremonyNotRunning(epoch);
        if (block.timestamp < e.deadline) revert CeremonyNotExpired(epoch, e.deadline);
        _abort(epoch, e);
    }

    /// @inheritdoc IKeyEpochs
    function get(uint256 epoch) external view returns (Epoch memory) {
        return _epochs[epoch];
    }

    /// @inheritdoc IKeyEpochs
    function active() public view returns (uint256) {
        return _active & ~COHORT;
    }

    /// @inheritdoc IKeyEpochs
    function inForce() external view returns (uint256 epoch, uint256 cohort) {
        epoch = active();
        cohort = epoch == _active ? EVERYBODY : _epochs[epoch].holders;
    }

    /// @inheritdoc IKeyEpochs
    function cohortOf(uint256 epoch) external view returns (uint256) {
        return _cohort(_epochs[epoch]);
    }

    /// @dev The first `size` places of a shuffle (Fisher and Yates) of the members, lined up by ascending index.
    function _draw(bytes32 seed, uint256 members, uint256 size) private view returns (uint256 holders) {
        uint256[] memory line = new uint256[](members);
        uint256 set = registry.memberSet();
        bytes32 consortium = registry.consortium();
        uint256 end = 0;
        for (uint256 index = 0; end < members; index++) {
            if (set.has(index)) line[end++] = index;
        }
        for (uint256 place = 0; place < size; place++) {
            // The bias of the modulus is below 2^-248.
            uint256 behind = uint256(keccak256(abi.encode(DRAW, consortium, seed, place))) % (members - place);
            (line[place], line[place + behind]) = (line[place + behind], line[place]);
            holders = holders.with(line[place]);
        }
    }

    function _open(bytes32 parameterSet, uint8 threshold, uint64 deadline, uint256 holders)
        private
        returns (uint256 epoch, Epoch storage e)
    {
        registry.indexOf(msg.sender);
        _requireNoneRunning();
        if (parameterSet == bytes32(0)) revert EmptyDigest();
        if (threshold == 0 || threshold > holders.count()) revert BadThreshold(threshold, holders.count());
        _requireDeadline(deadline);
        epoch = ++latest;
        e = _epochs[epoch];
        e.parameterSet = parameterSet;
        e.threshold = threshold;
        e.status = Status.Running;
        e.deadline = deadline;
        e.holders = holders;
        emit EpochOpened(epoch, parameterSet, threshold, deadline, msg.sender);
    }

    function _activate(uint256 epoch, Epoch storage e, bytes32 jointKey) private {
        uint256 before = active();
        if (before != 0) _epochs[before].status = Status.Superseded;
        e.status = Status.Active;
        e.jointKey = jointKey;
        _active = e.cohort ? epoch | COHORT : epoch;
        emit EpochActivated(epoch, jointKey);
    }

    /// @dev Who takes part, as a set to count a quorum among: all, also those who joined since, where no cohort was chosen.
    function _cohort(Epoch storage e) private view returns (uint256) {
        return e.cohort ? e.holders : EVERYBODY;
    }

    function _quorum(Epoch storage e) private view returns (uint256) {
        return registry.quorumOf(_cohort(e));
    }

    /// @dev The new generation is in force: every holder has seen its self-test pass.
    function _switch(uint256 epoch, Epoch storage e) private {
        e.refreshing = false;
        e.generation += 1;
        emit RefreshActivated(epoch, e.refreshes, e.generation);
    }

    function _abort(uint256 epoch, Epoch storage e) private {
        if (e.refreshing) {
            e.refreshing = false;
            emit RefreshAborted(epoch, e.refreshes, e.complained);
        } else {
            e.status = Status.Aborted;
            emit EpochAborted(epoch, e.complained);
        }
    }

    /// @dev The set with the sender in it; reverts if it was there already or takes no part.
    function _mark(uint256 epoch, Epoch storage e, uint256 set) private view returns (uint256) {
        uint256 index = _indexOfHolder(epoch, e);
        if (set.has(index)) revert AlreadyDone(epoch, msg.sender);
        return set.with(index);
    }

    /// @dev The sender's index; reverts if it is no member, or was none when the ceremony was opened.
    function _indexOfHolder(uint256 epoch, Epoch storage e) private view returns (uint256 index) {
        index = registry.indexOf(msg.sender);
        if (!e.holders.has(index)) revert NotHolder(epoch, msg.sender);
    }

    function _requireNoneRunning() private view {
        if (_epochs[latest].status == Status.Running) revert CeremonyRunning(latest);
        if (_epochs[active()].refreshing) revert CeremonyRunning(active());
    }

    function _requireDeadline(uint64 deadline) private view {
        if (deadline <= block.timestamp || deadline > block.timestamp + MAX_SECONDS) revert BadDeadline(deadline);
    }

    function _running(uint256 epoch, bytes32 digest) private view returns (Epoch storage e) {
        if (digest == bytes32(0)) revert EmptyDigest();
        e = _epochs[epoch];
        if (e.status != Status.Running && !e.refreshing) revert CeremonyNotRunning(epoch);
        if (block.timestamp >= e.deadline) revert CeremonyExpired(epoch, e.deadline);
    }
}
