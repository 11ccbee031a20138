// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HospitalRegistry} from "../src/HospitalRegistry.sol";
import {KeyEpochs} from "../src/KeyEpochs.sol";
import {ModelLedger} from "../src/ModelLedger.sol";
import {TrainingRounds} from "../src/TrainingRounds.sol";
import {IHospitalRegistry} from "../src/interfaces/IHospitalRegistry.sol";
import {IModelLedger} from "../src/interfaces/IModelLedger.sol";
import {ITrainingRounds} from "../src/interfaces/ITrainingRounds.sol";
import {Vm} from "./Vm.sol";

/// @dev A consortium of four on fresh contracts, and the steps that most tests take. Quorum is three.
abstract contract Fixture {
    Vm internal constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    bytes32 internal constant CONSORTIUM = keccak256("consortium");
    bytes32 internal constant GENESIS = keccak256("genesis");
    bytes32 internal constant PLAN = keccak256("plan");
    bytes32 internal constant PARAMETERS = bytes32(bytes16(keccak256("parameters")));
    uint256 internal constant N = 4;
    uint64 internal constant COLLECT = 60;
    uint64 internal constant ROUND = 300;

    HospitalRegistry internal registry;
    KeyEpochs internal epochs;
    ModelLedger internal models;
    TrainingRounds internal rounds;

    function deployAll(uint256 n) internal {
        deployAll(n, 0);
    }

    function deployAll(uint256 n, uint256 smallestCohort) internal {
        VM.warp(1_800_000_000);
        registry = new HospitalRegistry(CONSORTIUM, hospitals(n));
        address planned = VM.computeCreateAddress(address(this), VM.getNonce(address(this)) + 2);
        epochs = new KeyEpochs(registry, ITrainingRounds(planned), smallestCohort);
        models = new ModelLedger(planned);
        rounds = new TrainingRounds(registry, epochs, models);
    }

    function hospitals(uint256 n) internal pure returns (IHospitalRegistry.Hospital[] memory list) {
        list = new IHospitalRegistry.Hospital[](n);
        for (uint256 i = 0; i < n; i++) {
            list[i] = IHospitalRegistry.Hospital(member(i), keccak256(abi.encode(i)), uint32(100 + i), "name", "url");
        }
    }

    function key(uint256 index) internal pure returns (uint256) {
        return index + 1;
    }

    function member(uint256 index) internal pure returns (address) {
        return VM.addr(key(index));
    }

    function activateEpoch() internal returns (uint256 epoch) {
        return activateEpochOf(N);
    }

    /// @dev Every one of n members takes part.
    function activateEpochOf(uint256 n) internal returns (uint256 epoch) {
        VM.prank(member(0));
        epoch = epochs.open(PARAMETERS, 3, uint64(block.timestamp + 100));
        for (uint256 i = 0; i < n; i++) {
            VM.prank(member(i));
            epochs.announce(epoch, keccak256(abi.encode("box", epoch, i)));
        }
        for (uint256 i = 0; i < n; i++) {
            VM.prank(member(i));
            epochs.commit(epoch, keccak256("commitment"));
        }
        for (uint256 i = 0; i < n; i++) {
            VM.prank(member(i));
            epochs.deal(epoch, keccak256("dealing"));
        }
        for (uint256 i = 0; i < n; i++) {
            VM.prank(member(i));
            epochs.test(epoch, keccak256("report"));
        }
        for (uint256 i = 0; i < (2 * n + 2) / 3; i++) {
            VM.prank(member(i));
            epochs.confirm(epoch, keccak256("key"));
        }
    }

    function startLineage() internal {
        activateEpoch();
        VM.prank(member(0));
        rounds.genesis(GENESIS, PLAN);
    }

    function openRound() internal returns (uint256) {
        bytes32 head = models.head();
        VM.prank(member(0));
        return rounds.open(PLAN, head, COLLECT, ROUND);
    }

    function propose(uint256 round, uint256 leader) internal {
        VM.prank(member(leader));
        rounds.propose(round, keccak256("proposal"), keccak256("updates"), keccak256("sums"));
    }

    function outcomeOf(uint256 round, uint256 leader, bytes32 model)
        internal
        view
        returns (ITrainingRounds.Outcome memory)
    {
        return ITrainingRounds.Outcome({
            round: round,
            base: models.head(),
            model: model,
            plan: PLAN,
            leader: member(leader),
            proposal: keccak256("proposal"),
            updatesRoot: keccak256("updates"),
            sumsRoot: keccak256("sums"),
            statement: keccak256("statement"),
            seedMaterial: keccak256("material")
        });
    }

    function signAll(ITrainingRounds.Outcome memory outcome, uint256 signers) internal view returns (bytes memory all) {
        return signaturesOf(rounds.outcomeDigest(outcome), signers);
    }

    /// @dev The signatures of all members in the bitmap, by ascending index.
    function signaturesOf(bytes32 digest, uint256 signers) internal pure returns (bytes memory all) {
        for (uint256 i = 0; i < 256; i++) {
            if ((signers >> i) & 1 == 0) continue;
            (uint8 v, bytes32 r, bytes32 s) = VM.sign(key(i), digest);
            all = abi.encodePacked(all, r, s, v);
        }
    }

    function finalise(ITrainingRounds.Outcome memory outcome, uint256 signers) internal {
        bytes memory signatures = signAll(outcome, signers);
        VM.prank(member(0));
        rounds.finalise(outcome, signers, signatures);
    }

    function expectRefusal(bytes memory revertData) internal {
        VM.expectRevert(revertData);
    }
}
