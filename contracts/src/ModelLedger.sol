// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelLedger} from "./interfaces/IModelLedger.sol";
import {ITrainingRounds} from "./interfaces/ITrainingRounds.sol";

/// @title The lineage of the consortium's models
contract ModelLedger is IModelLedger {
    /// @inheritdoc IModelLedger
    address public immutable writer;
    /// @inheritdoc IModelLedger
    bytes32 public head;

    mapping(bytes32 model => Entry) private _entries;

    /// @param writer_ The rounds contract, which may be deployed after this one: its address is known in advance.
    constructor(address writer_) {
        writer = writer_;
    }

    /// @inheritdoc IModelLedger
    function record(bytes32 model, bytes32 parent, Entry calldata entry) external {
        if (msg.sender != writer) revert NotWriter(msg.sender);
        if (model == bytes32(0)) revert EmptyModel();
        if (exists(model)) revert ModelExists(model);
        if (parent != head) revert NotHead(parent, head);
        _entries[model] = entry;
        _entries[model].timestamp = uint48(block.timestamp);
        head = model;
        emit ModelRecorded(model, parent, entry.round, entry.statement);
    }

    /// @inheritdoc IModelLedger
    function get(bytes32 model) external view returns (Model memory) {
        if (!exists(model)) revert UnknownModel(model);
        Entry memory entry = _entries[model];
        ITrainingRounds.Round memory made = ITrainingRounds(writer).get(entry.round);
        return Model({
            parent: made.base,
            plan: made.plan,
            updatesRoot: entry.updatesRoot,
            sumsRoot: entry.sumsRoot,
            proposal: entry.proposal,
            statement: entry.statement,
            leader: entry.leader,
            round: entry.round,
            timestamp: entry.timestamp
        });
    }

    /// @inheritdoc IModelLedger
    function exists(bytes32 model) public view returns (bool) {
        return _entries[model].timestamp != 0;
    }
}
