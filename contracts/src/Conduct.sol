// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Bitmap} from "./Bitmap.sol";
import {LedgerTransaction} from "./LedgerTransaction.sol";
import {Rfc6962} from "./Rfc6962.sol";
import {IConduct} from "./interfaces/IConduct.sol";
import {IHospitalRegistry} from "./interfaces/IHospitalRegistry.sol";

/// @title Faults and reputations of the members
/// @dev Stores what a member lost, not what it has: a consortium without faults writes nothing and reads one word for
///      32 members a round.
abstract contract Conduct is IConduct, EIP712 {
    using Bitmap for uint256;
    using LedgerTransaction for bytes;

    /// @dev An omission on record: enough to take it back.
    struct Omitted {
        uint256 closers;
        uint128 points;
        uint128 author; // the index of the update's issuer
    }

    /// @dev What a history shows, built up transaction by transaction.
    struct History {
        bytes32[] ids;
        bool[] covers; // whether it has the update in its past by way of the round's transactions alone
        bool[] inPast; // whether it is a parent of a later one
        LedgerTransaction.Parsed update;
        uint256 closers;
        bool revealed;
    }

    bytes32 private constant FINDING_TYPEHASH =
        keccak256("Finding(uint256 round,uint8 fault,uint256 members,bytes32 evidence)");
    uint256 internal constant EVERYBODY = type(uint256).max;
    uint256 private constant FULL = 100;
    uint256 private constant LANES = 32; // demerits a word, a byte each
    bytes32 private constant UPDATE = "update";
    bytes32 private constant ACKNOWLEDGEMENT = "acknowledgement";
    bytes32 private constant SHARE = "share";
    bytes32 private constant VERDICT = "verdict";
    bytes32 private constant CHECKPOINT = "checkpoint";

    /// @notice The members.
    IHospitalRegistry public immutable registry;

    /// @inheritdoc IConduct
    uint256 public equivocators;

    mapping(uint256 word => uint256 lanes) private _demerits;
    mapping(uint256 round => mapping(Fault fault => uint256 members)) private _faulted;
    mapping(uint256 round => mapping(uint256 index => Omitted)) private _omissions;

    /// @param registry_ The members.
    constructor(IHospitalRegistry registry_) EIP712("Medweave", "1") {
        registry = registry_;
    }

    /// @inheritdoc IConduct
    function proveEquivocation(bytes calldata first, bytes calldata second) external {
        LedgerTransaction.Parsed memory one = _read(first, 0);
        LedgerTransaction.Parsed memory two = _read(second, 1);
        if (one.issuer != two.issuer || one.digest == two.digest) revert NoContradiction();
        if (one.sequence != two.sequence) {
            if (one.kind != two.kind) revert NoContradiction();
            bytes32 subject = _subject(first, one);
            if (subject == 0 || subject != _subject(second, two)) revert NoContradiction();
        }
        uint256 index = registry.indexOf(one.issuer);
        equivocators = equivocators.with(index);
        _record(one.round, index, Fault.Equivocation, keccak256(abi.encode(one.id, two.id)));
    }

    /// @inheritdoc IConduct
    function proveWrongInclusion(
        Proposal calldata proposal,
        bytes calldata listed,
        uint256 index,
        uint256 size,
        bytes32[] calldata path
    ) external {
        (uint256 epoch,) = _pledged(proposal);
        (bool ok, LedgerTransaction.Parsed memory t) = listed.read();
        if (!Rfc6962.includes(proposal.updatesRoot, t.id, index, size, path)) revert NotIncluded(t.id);
        // A member that left or rotated its keys since then was one when it posted.
        if (ok && _isUpdate(t, proposal.round, epoch) && registry.isKnown(t.issuer)) revert InclusionRight(t.id);
        _record(proposal.round, registry.indexOf(proposal.leader), Fault.WrongInclusion, t.id);
    }

    /// @inheritdoc IConduct
    function proveWrongOrder(Proposal calldata proposal, uint256 size, Place calldata left, Place calldata right)
        external
    {
        _pledged(proposal);
        _requireListed(proposal.updatesRoot, left, size);
        _requireListed(proposal.updatesRoot, right, size);
        if (right.index != left.index + 1 || left.leaf < right.leaf) revert OrderRight(left.leaf, right.leaf);
        _record(proposal.round, registry.indexOf(proposal.leader), Fault.WrongInclusion, right.leaf);
    }

    /// @inheritdoc IConduct
    function proveOmission(
        Proposal calldata proposal,
        Proposal[] calldata earlier,
        bytes[] calldata history,
        uint256 size,
        Place[] calldata around
    ) external {
        (uint256 epoch,) = _pledged(proposal);
        _requireFirst(proposal, earlier);
        History memory h = _walk(history, proposal.id);
        h.closers &= _cohortOf(proposal.round);
        if (!_isUpdate(h.update, proposal.round, epoch)) revert BadTransaction(0);
        _requireAbsent(proposal.updatesRoot, h.update.id, size, around);
        _recordOmission(proposal, h);
    }

    /// @inheritdoc IConduct
    function annulOmission(uint256 round, uint256 index) external {
        uint256 known = _faulted[round][Fault.Omission];
        Omitted memory omitted = _omissions[round][index];
        (, uint256 quorum) = _termsOf(round);
        bool justified = _isVoid(round, omitted.author) || (omitted.closers & ~equivocators).count() < quorum;
        if (!known.has(index) || !justified) revert FaultStands(round, index);
        _faulted[round][Fault.Omission] = known.without(index);
        delete _omissions[round][index];
        uint256 lost = FULL - reputationOf(index);
        uint256 back = omitted.points < lost ? omitted.points : lost;
        _setLost(index, lost - back);
        emit FaultAnnulled(round, index, Fault.Omission, back, FULL - lost + back);
    }

    /// @inheritdoc IConduct
    function recordFinding(Finding calldata finding, uint256 signers, bytes calldata signatures) external {
        if (finding.fault <= Fault.Omission) revert ProofNeeded(finding.fault);
        (, uint256 quorum) = _termsOf(finding.round);
        if (quorum == 0) revert UnknownRound(finding.round);
        if (finding.members == 0 || finding.members & ~registry.memberSet() != 0) revert BadMembers(finding.members);
        uint256 left = finding.members & ~_faulted[finding.round][finding.fault];
        if (left == 0) revert FaultKnown(finding.round, finding.fault, finding.members);
        registry.verifyQuorumOf(findingDigest(finding), _cohortOf(finding.round), signers, signatures);
        for (uint256 index = 0; left != 0; index++) {
            if (!left.has(index)) continue;
            left = left.without(index);
            _record(finding.round, index, finding.fault, finding.evidence);
        }
    }

    /// @inheritdoc IConduct
    function faulted(uint256 round, Fault fault) external view returns (uint256) {
        return _faulted[round][fault];
    }

    /// @inheritdoc IConduct
    function findingDigest(Finding calldata finding) public view returns (bytes32) {
        // Every member of the struct is one static word, so its ABI encoding is the EIP-712 encodeData.
        return _hashTypedDataV4(keccak256(abi.encode(FINDING_TYPEHASH, finding)));
    }

    /// @inheritdoc IConduct
    function reputationOf(uint256 index) public view returns (uint256) {
        return FULL - ((_demerits[index / LANES] >> (8 * (index % LANES))) & 0xff);
    }

    /// @dev The key epoch and the quorum of a round; zeros if it does not exist.
    function _termsOf(uint256 round) internal view virtual returns (uint256 epoch, uint256 quorum);

    /// @dev Whose a round is: a bitmap, with all bits set where it is all members'.
    function _cohortOf(uint256 round) internal view virtual returns (uint256);

    /// @dev The same for the round of a proposal; reverts if its leader did not put it on record.
    function _pledged(Proposal calldata proposal) internal view virtual returns (uint256 epoch, uint256 quorum);

    /// @dev How many proposals of its round were on record before it; reverts if it is not.
    function _orderOf(Proposal calldata proposal) internal view virtual returns (uint256);

    /// @dev A point back for everyone who signed a finalised outcome and lacks one, proven equivocators aside.
    function _giveBack(uint256 signers) internal {
        for (uint256 word = 0; signers >> (LANES * word) != 0; word++) {
            uint256 lanes = _demerits[word];
            if (lanes == 0) continue;
            uint256 entitled = (signers & ~equivocators) >> (LANES * word);
            uint256 ones = 0;
            for (uint256 lane = 0; lane < LANES; lane++) {
                if (entitled.has(lane) && (lanes >> (8 * lane)) & 0xff != 0) ones |= 1 << (8 * lane);
            }
            // Each lane that is lowered is not zero, so none borrows from its neighbour.
            _demerits[word] = lanes - ones;
        }
    }

    function _record(uint256 round, uint256 index, Fault fault, bytes32 evidence) private returns (uint256 points) {
        uint256 known = _faulted[round][fault];
        if (known.has(index)) revert FaultKnown(round, fault, uint256(0).with(index));
        _faulted[round][fault] = known.with(index);
        uint256 reputation = reputationOf(index);
        points = _price(fault);
        if (points > reputation) points = reputation;
        _setLost(index, FULL - reputation + points);
        emit FaultRecorded(round, index, fault, evidence, points, reputation - points);
    }

    function _recordOmission(Proposal calldata proposal, History memory h) private {
        uint256 author = registry.indexOf(h.update.issuer);
        if (_isVoid(proposal.round, author)) revert VoidUpdate(h.update.id);
        (, uint256 quorum) = _termsOf(proposal.round);
        uint256 closes = (h.closers & ~equivocators).count();
        if (closes < quorum) revert NotCovered(closes, quorum);
        uint256 index = registry.indexOf(proposal.leader);
        uint256 points = _record(proposal.round, index, Fault.Omission, h.update.id);
        _omissions[proposal.round][index] = Omitted(h.closers, uint128(points), uint128(author));
    }

    /// @dev Whether a leader is right to leave a member's update of a round out.
    function _isVoid(uint256 round, uint256 author) private view returns (bool) {
        return equivocators.has(author) || _faulted[round][Fault.BadUpdate].has(author);
    }

    function _setLost(uint256 index, uint256 lost) private {
        uint256 shift = 8 * (index % LANES);
        uint256 others = _demerits[index / LANES] & ~(uint256(0xff) << shift);
        _demerits[index / LANES] = others | (lost << shift);
    }

    /// @dev Reads a history, linked as `proveOmission` asks.
    function _walk(bytes[] calldata history, bytes32 proposal) private view returns (History memory h) {
        if (history.length == 0) revert BadTransaction(0);
        uint256 last = history.length - 1;
        h.ids = new bytes32[](last + 1);
        h.covers = new bool[](last + 1);
        h.inPast = new bool[](last + 1);
        for (uint256 pos = 0; pos <= last; pos++) {
            LedgerTransaction.Parsed memory t = _read(history[pos], pos);
            if (pos == 0) h.update = t;
            h.ids[pos] = t.id;
            bool above = _link(h, t.parents, pos);
            h.covers[pos] = pos == 0 || (above && t.round == h.update.round);
            if (h.covers[pos] && _closes(history[pos], t) && registry.isMember(t.issuer)) {
                h.closers = h.closers.with(registry.indexOf(t.issuer));
            }
            h.revealed = h.revealed || _opens(history, pos, t, h.update);
        }
        if (h.ids[last] != proposal) revert BadTransaction(last);
        for (uint256 pos = 0; pos < last; pos++) {
            if (!h.inPast[pos]) revert NotInPast(pos);
        }
        if (!h.revealed) revert NotRevealed(h.update.id);
    }

    /// @dev Marks the parents among the first `pos` transactions as past; whether one of them covers the update.
    function _link(History memory h, bytes32[2] memory parents, uint256 pos) private pure returns (bool above) {
        for (uint256 earlier = 0; earlier < pos; earlier++) {
            if (h.ids[earlier] != parents[0] && h.ids[earlier] != parents[1]) continue;
            h.inPast[earlier] = true;
            above = above || h.covers[earlier];
        }
    }

    /// @dev Whether a transaction is an acknowledgement that closes the round's list for its issuer.
    function _closes(bytes calldata raw, LedgerTransaction.Parsed memory t) private pure returns (bool) {
        uint256 value = raw.field(t.body, "\x65close", 6);
        return t.kind == ACKNOWLEDGEMENT && raw.expect(value, hex"f5", 1) != 0;
    }

    /// @dev Whether a transaction is the acknowledgement that opens the update's commitment.
    function _opens(
        bytes[] calldata history,
        uint256 pos,
        LedgerTransaction.Parsed memory t,
        LedgerTransaction.Parsed memory update
    ) private pure returns (bool) {
        if (t.kind != ACKNOWLEDGEMENT || t.issuer != update.issuer || t.round != update.round) return false;
        bytes32 reveal = history[pos].digestAt(history[pos].field(t.body, "\x66reveal", 7));
        uint256 place = history[0].field(update.body, "\x6acommitment", 11);
        return reveal != 0 && sha256(abi.encodePacked("medweave/reveal", reveal)) == history[0].digestAt(place);
    }

    function _requireFirst(Proposal calldata proposal, Proposal[] calldata earlier) private view {
        uint256 order = _orderOf(proposal);
        if (earlier.length != order) revert NotFirst(order);
        for (uint256 i = 0; i < order; i++) {
            bool before = earlier[i].round == proposal.round && _orderOf(earlier[i]) == i;
            if (!before || earlier[i].updatesRoot == proposal.updatesRoot) revert NotFirst(order);
        }
    }

    function _requireAbsent(bytes32 root, bytes32 update, uint256 size, Place[] calldata around) private pure {
        bool atStart = around.length == 1 && around[0].index == 0 && update < around[0].leaf;
        bool atEnd = around.length == 1 && around[0].index + 1 == size && around[0].leaf < update;
        bool between = around.length == 2 && around[1].index == around[0].index + 1 && around[0].leaf < update
            && update < around[1].leaf;
        if (!atStart && !atEnd && !between) revert NotAbsent(update);
        for (uint256 i = 0; i < around.length; i++) {
            _requireListed(root, around[i], size);
        }
    }

    function _requireListed(bytes32 root, Place calldata place, uint256 size) private pure {
        if (!Rfc6962.includes(root, place.leaf, place.index, size, place.path)) revert NotIncluded(place.leaf);
    }

    function _read(bytes calldata raw, uint256 which) private view returns (LedgerTransaction.Parsed memory t) {
        bool ok;
        (ok, t) = raw.read();
        if (!ok || t.consortium != registry.consortium()) revert BadTransaction(which);
    }

    function _isUpdate(LedgerTransaction.Parsed memory t, uint256 round, uint256 epoch) private view returns (bool) {
        return t.kind == UPDATE && t.round == round && t.epoch == epoch && t.consortium == registry.consortium();
    }

    /// @dev The question that a member answers once with this kind of transaction; zero for other kinds.
    function _subject(bytes calldata raw, LedgerTransaction.Parsed memory t) private pure returns (bytes32) {
        if (t.kind == UPDATE || _closes(raw, t)) return bytes32(t.round);
        if (t.kind != SHARE && t.kind != VERDICT && t.kind != CHECKPOINT) return 0;
        return raw.digestAt(raw.field(t.body, "\x68proposal", 9));
    }

    function _price(Fault fault) private pure returns (uint256) {
        if (fault == Fault.Equivocation) return FULL;
        bool slow = fault == Fault.SilentLeader || fault == Fault.Unrevealed || fault == Fault.WithheldShare;
        return slow ? 10 : 50;
    }
}
