// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The lineage of the consortium's models
/// @notice Every finalised model, by its hash, with what it was made from. Append-only: a chain from any model to the
///         genesis model, which has no parent.
interface IModelLedger {
    /// @notice What is recorded with a model. Its parent and plan are its round's, and are kept there.
    /// @param updatesRoot Merkle root of the update transactions that were aggregated.
    /// @param sumsRoot Merkle root of the encrypted group sums.
    /// @param proposal The ledger id of the leader's proposal.
    /// @param statement sha2-256 of the provenance statement.
    /// @param leader Who proposed the aggregation; zero for the genesis model.
    /// @param round The round that made it; 0 for the genesis model.
    /// @param timestamp Unix seconds of the block that recorded it.
    struct Entry {
        bytes32 updatesRoot;
        bytes32 sumsRoot;
        bytes32 proposal;
        bytes32 statement;
        address leader;
        uint48 round;
        uint48 timestamp;
    }

    /// @notice How one model came to be.
    /// @param parent The model it was trained from; zero for the genesis model.
    /// @param plan sha2-256 of the training plan.
    /// @param updatesRoot Merkle root of the update transactions that were aggregated.
    /// @param sumsRoot Merkle root of the encrypted group sums.
    /// @param proposal The ledger id of the leader's proposal.
    /// @param statement sha2-256 of the provenance statement.
    /// @param leader Who proposed the aggregation; zero for the genesis model.
    /// @param round The round that made it; 0 for the genesis model.
    /// @param timestamp Unix seconds of the block that recorded it.
    struct Model {
        bytes32 parent;
        bytes32 plan;
        bytes32 updatesRoot;
        bytes32 sumsRoot;
        bytes32 proposal;
        bytes32 statement;
        address leader;
        uint48 round;
        uint48 timestamp;
    }

    /// @notice A model joined the lineage.
    event ModelRecorded(bytes32 indexed model, bytes32 indexed parent, uint256 indexed round, bytes32 statement);

    /// @notice Only the rounds contract writes.
    error NotWriter(address sender);
    /// @notice The model is in the lineage already.
    error ModelExists(bytes32 model);
    /// @notice The model is not in the lineage.
    error UnknownModel(bytes32 model);
    /// @notice A model's hash is not zero.
    error EmptyModel();
    /// @notice The new model's parent must be the head.
    error NotHead(bytes32 parent, bytes32 head);

    /// @notice Appends a model and makes it the head. The rounds contract only.
    /// @param model The model's hash.
    /// @param parent The model it was trained from: the head (zero for the first model).
    /// @param entry What to record; the timestamp is set to the block's.
    function record(bytes32 model, bytes32 parent, Entry calldata entry) external;

    /// @notice The only account that writes: the rounds contract.
    function writer() external view returns (address);

    /// @notice The newest model; zero before the genesis model.
    function head() external view returns (bytes32);

    /// @notice How a model came to be; reverts with UnknownModel.
    function get(bytes32 model) external view returns (Model memory);

    /// @notice Whether a model is in the lineage.
    function exists(bytes32 model) external view returns (bool);
}
