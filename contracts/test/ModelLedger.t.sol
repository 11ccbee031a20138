// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ModelLedger} from "../src/ModelLedger.sol";
import {IModelLedger} from "../src/interfaces/IModelLedger.sol";
import {Fixture} from "./Fixture.sol";

/// @dev The lineage alone, written by this test.
contract ModelLedgerTest is Fixture {
    ModelLedger private ledger;

    function setUp() external {
        ledger = new ModelLedger(address(this));
    }

    function testFuzz_itGrowsAtItsHeadOnly(bytes32 model, bytes32 parent) external {
        record(GENESIS, 0);
        bool zero = model == 0;
        bool known = model == GENESIS;
        if (zero) expectRefusal(abi.encodeWithSelector(IModelLedger.EmptyModel.selector));
        else if (known) expectRefusal(abi.encodeWithSelector(IModelLedger.ModelExists.selector, model));
        else if (parent != GENESIS) expectRefusal(abi.encodeWithSelector(IModelLedger.NotHead.selector, parent, GENESIS));
        record(model, parent);
        require(ledger.head() == (zero || known || parent != GENESIS ? GENESIS : model), "head");
        if (zero || known) return;
        VM.expectEmit();
        emit IModelLedger.ModelRecorded(~model, ledger.head(), 0, 0);
        record(~model, ledger.head());
        require(ledger.exists(~model) && ledger.head() == ~model, "appended");
    }

    function test_unknownModels() external {
        record(GENESIS, 0);
        require(ledger.exists(GENESIS) && !ledger.exists(PLAN) && !ledger.exists(0), "exists");
        expectRefusal(abi.encodeWithSelector(IModelLedger.UnknownModel.selector, PLAN));
        ledger.get(PLAN);
    }

    function test_nobodyElseWrites() external {
        VM.prank(member(0));
        expectRefusal(abi.encodeWithSelector(IModelLedger.NotWriter.selector, member(0)));
        record(GENESIS, 0);
    }

    function record(bytes32 model, bytes32 parent) private {
        ledger.record(model, parent, IModelLedger.Entry(0, 0, 0, 0, address(0), 0, 0));
    }
}
