// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelLedger} from "./interfaces/IModelLedger.sol";

/// @title The lineage of the consortium's models
contract ModelLedger is IModelLedger {
    /// @inheritdoc IModelLedger
    address public immutable writer;
    /// @inheritdoc IModelLedger
    bytes32 public head;

    mapping(bytes32 model => Model) private _models;

    /// @param writer_ The rounds contract, which may be deployed after this one: its address is known in advance.
    constructor(address writer_) {
        writer = writer_;
    }

    /// @inheritdoc IModelLedger
    function record(bytes32 model, Model calldata entry) external {
        if (msg.sender != writer) revert NotWriter(msg.sender);
        if (model == bytes32(0)) revert EmptyModel();
        if (exists(model)) revert ModelExists(model);
        if (entry.parent != head) revert NotHead(entry.parent, head);
        _models[model] = entry;
        _models[model].timestamp = uint48(block.timestamp);
        head = model;
        emit ModelRecorded(model, entry.parent, entry.round, entry.statement);
    }

    /// @inheritdoc IModelLedger
    function get(bytes32 model) external view returns (Model memory) {
        if (!exists(model)) revert UnknownModel(model);
        return _models[model];
    }

    /// @inheritdoc IModelLedger
    function exists(bytes32 model) public view returns (bool) {
        return _models[model].timestamp != 0;
    }
}
