// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IConduct} from "../src/interfaces/IConduct.sol";
import {IHospitalRegistry} from "../src/interfaces/IHospitalRegistry.sol";
import {ITrainingRounds} from "../src/interfaces/ITrainingRounds.sol";
import {Ledger} from "./Ledger.sol";

/// @dev Members, former members and strangers take any step at any time; beside the contracts it keeps its own books, in
///      the most naive way, and every check holds the contracts against them.
contract Hospitals is Ledger {
    uint256 private constant SEATS = 7;
    uint256 private constant LATER = 4e9;

    bool[SEATS] private belongs;
    uint256[SEATS] private secret; // the number of each seat's key
    uint256[SEATS] private lost; // points of reputation
    uint256 private seats = N;
    uint256 private nextKey = 100;
    uint256 private decided;

    uint256 public finalised;
    uint256 public aborted;
    bytes32 private head = GENESIS;
    mapping(uint256 round => mapping(uint256 seat => uint256)) private proposals;
    mapping(uint256 round => ITrainingRounds.Status) private seen;
    mapping(bytes32 model => bytes32) private recorded;
    uint256 private lastLeader;

    /// @dev After every step: no round went back, and an ended one stayed as it ended.
    modifier watched() {
        _;
        for (uint256 round = 1; round <= rounds.current(); round++) {
            ITrainingRounds.Status status = rounds.get(round).status;
            require(status >= seen[round] && status != ITrainingRounds.Status.None, "backwards");
            require(seen[round] < ITrainingRounds.Status.Finalised || status == seen[round], "an ended round changed");
            seen[round] = status;
        }
    }

    constructor() {
        deployAll(N);
        startLineage();
        for (uint256 i = 0; i < N; i++) {
            (belongs[i], secret[i]) = (true, i);
        }
        recorded[GENESIS] = keccak256(abi.encode(models.get(GENESIS)));
    }

    function open(uint8 who) external watched {
        address sender = account(who);
        bytes32 base = models.head();
        VM.prank(sender);
        try rounds.open(PLAN, base, COLLECT, ROUND) {
            require(isMember(sender), "opened by a stranger");
        } catch {}
    }

    function propose(uint8 who) external watched {
        uint256 seat = uint256(who) % seats;
        uint256 round = rounds.current();
        VM.prank(account(who));
        try rounds.propose(round, keccak256("proposal"), keccak256("updates"), keccak256("sums")) {
            proposals[round][seat]++;
            lastLeader = seat;
        } catch {}
    }

    function finalise(bool changed, uint8 signers, uint8 odds) external watched {
        uint256 round = rounds.current();
        bytes32 model = changed ? keccak256(abi.encode("model", round)) : head;
        ITrainingRounds.Outcome memory o = outcomeOf(round, 0, model);
        o.leader = account(uint8(lastLeader));
        uint256 set = odds % 4 == 0 ? signers : everyone();
        bytes memory signatures = signatures_(rounds.outcomeDigest(o), set);
        try rounds.finalise(o, set, signatures) {
            require(countsAsQuorum(set), "without a quorum");
            require(proposals[round][lastLeader] == 1, "not proposed");
            finalised++;
            head = model;
            if (changed) recorded[model] = keccak256(abi.encode(models.get(model)));
            forgive(set);
        } catch {}
    }

    function abort() external watched {
        try rounds.abort(rounds.current()) {
            aborted++;
        } catch {}
    }

    function wait(uint16 howLong) external watched {
        VM.warp(block.timestamp + uint256(howLong) % 200);
    }

    function admit(uint8 signers, uint8 odds) external watched {
        if (seats == SEATS) return;
        IHospitalRegistry.Hospital memory h = hospitals(1)[0];
        h.account = VM.addr(key(nextKey));
        (bool done, uint256 set) = (false, odds % 3 == 0 ? signers : everyone());
        bytes memory signatures = signatures_(registry.admissionDigest(h, LATER), set);
        try registry.admit(h, IHospitalRegistry.Vote(LATER, set, signatures)) {
            done = true;
        } catch {}
        require(done == countsAsQuorum(set), "admission");
        if (done) (belongs[seats], secret[seats++], nextKey, decided) = (true, nextKey, nextKey + 1, decided + 1);
    }

    function remove(uint8 who, uint8 signers, uint8 odds) external watched {
        uint256 seat = uint256(who) % seats;
        uint256 set = odds % 3 == 0 ? signers : everyone();
        bytes memory signatures = signatures_(registry.removalDigest(account(who), LATER), set);
        try registry.remove(account(who), IHospitalRegistry.Vote(LATER, set, signatures)) {
            require(countsAsQuorum(set) && belongs[seat], "removal");
            belongs[seat] = false;
            decided++;
        } catch {}
    }

    function rotate(uint8 who, uint8 signers, uint8 odds) external watched {
        uint256 seat = uint256(who) % seats;
        (address old, address fresh) = (account(who), VM.addr(key(nextKey)));
        uint256 set = odds % 3 == 0 ? signers : everyone();
        bytes memory signatures = signatures_(registry.rotationDigest(old, fresh, CONSORTIUM, LATER), set);
        try registry.rotate(old, fresh, CONSORTIUM, IHospitalRegistry.Vote(LATER, set, signatures)) {
            require(countsAsQuorum(set) && belongs[seat], "rotation");
            (secret[seat], nextKey, decided) = (nextKey, nextKey + 1, decided + 1);
            require(!registry.isMember(old) && registry.isKnown(old), "old account");
        } catch {}
    }

    function find(uint8 kind, uint8 members, uint8 signers, uint8 odds) external watched {
        IConduct.Fault fault = IConduct.Fault(uint256(kind) % 9);
        uint256 round = rounds.current();
        IConduct.Finding memory finding = IConduct.Finding(round, fault, members, PLAN);
        uint256 set = odds % 3 == 0 ? signers : everyone();
        uint256 before = rounds.faulted(round, fault);
        bytes memory signatures = signatures_(rounds.findingDigest(finding), set);
        try rounds.recordFinding(finding, set, signatures) {
            require(countsAsQuorum(set) && uint256(fault) > 2, "finding");
            uint256 price = kind % 9 == 5 || kind % 9 == 6 || kind % 9 == 8 ? 10 : 50;
            for (uint256 i = 0; i < seats; i++) {
                if ((members >> i) & 1 == 1 && (before >> i) & 1 == 0) charge(i, price);
            }
        } catch {}
    }

    function contradict(uint8 who, uint8 sequence) external watched {
        uint256 seat = uint256(who) % seats;
        uint256 round = rounds.current();
        bytes memory one = signed(secret[seat], update(round, sequence));
        bytes memory two = signed(secret[seat], update(round, uint256(sequence) + 1));
        try rounds.proveEquivocation(one, two) {
            require(belongs[seat], "a former member");
            charge(seat, 100);
        } catch {}
    }

    function checkMembers() external view {
        uint256 count = 0;
        for (uint256 i = 0; i < seats; i++) {
            require(registry.memberAt(i).account == account(uint8(i)), "an index changed hands");
            require(registry.isMember(account(uint8(i))) == belongs[i], "membership");
            require((registry.memberSet() >> i) & 1 == (belongs[i] ? 1 : 0), "set");
            if (belongs[i]) count++;
        }
        require(count > 0 && registry.memberCount() == count && registry.seatCount() == seats, "count");
        require(registry.quorum() == (2 * count + 2) / 3 && registry.decisions() == decided, "votes");
    }

    function checkReputations() external view {
        (uint256 kept, uint256 expected) = (0, 0);
        for (uint256 i = 0; i < seats; i++) {
            kept += rounds.reputationOf(i);
            expected += 100 - lost[i];
            require(rounds.reputationOf(i) == 100 - lost[i], "reputation");
            if ((rounds.equivocators() >> i) & 1 == 1) require(lost[i] == 100, "pardoned");
        }
        require(kept == expected, "sum");
    }

    function checkRounds() external view {
        uint256 current = rounds.current();
        for (uint256 round = 1; round <= current; round++) {
            ITrainingRounds.Status status = rounds.get(round).status;
            require(round == current || status >= ITrainingRounds.Status.Finalised, "two rounds at once");
            for (uint256 seat = 0; seat < seats; seat++) {
                require(proposals[round][seat] <= 1, "two proposals of a leader");
            }
        }
        require(current == finalised + aborted + (isOpen() ? 1 : 0), "a round was lost");
        require(models.head() == head, "the head moved on its own");
    }

    function checkLineage() external view {
        bytes32 model = models.head();
        uint256 above = type(uint256).max;
        while (model != GENESIS) {
            require(recorded[model] == keccak256(abi.encode(models.get(model))), "a model's record changed");
            uint256 round = models.get(model).round;
            require(round < above, "rounds must fall towards the root");
            require(models.get(model).parent == rounds.get(round).base && rounds.get(round).model == model, "round");
            above = round;
            model = models.get(model).parent;
        }
        require(recorded[GENESIS] == keccak256(abi.encode(models.get(GENESIS))), "root");
    }

    /// @dev After its deadline anybody ends an open round.
    function checkEnd() external {
        if (!isOpen()) return;
        uint256 round = rounds.current();
        VM.warp(rounds.get(round).finaliseBy + 1);
        rounds.abort(round);
        require(rounds.get(round).status == ITrainingRounds.Status.Aborted, "it ends");
        require(rounds.get(round).model == head, "its base carries over");
    }

    function account(uint8 who) private view returns (address) {
        return VM.addr(key(secret[uint256(who) % seats]));
    }

    function isMember(address who) private view returns (bool) {
        for (uint256 i = 0; i < seats; i++) {
            if (belongs[i] && VM.addr(key(secret[i])) == who) return true;
        }
        return false;
    }

    function isOpen() private view returns (bool) {
        ITrainingRounds.Status status = rounds.get(rounds.current()).status;
        return status == ITrainingRounds.Status.Collecting || status == ITrainingRounds.Status.Proposed;
    }

    function everyone() private view returns (uint256 set) {
        for (uint256 i = 0; i < seats; i++) {
            if (belongs[i]) set |= 1 << i;
        }
    }

    /// @dev Each member in the set counts once; a set with anybody else in it counts for nothing.
    function countsAsQuorum(uint256 set) private view returns (bool) {
        (uint256 inSet, uint256 members) = (0, 0);
        for (uint256 i = 0; i < 256; i++) {
            bool member_ = i < seats && belongs[i];
            if (member_) members++;
            if ((set >> i) & 1 == 0) continue;
            if (!member_) return false;
            inSet++;
        }
        return 3 * inSet >= 2 * members;
    }

    function signatures_(bytes32 digest, uint256 set) private view returns (bytes memory all) {
        for (uint256 i = 0; i < 8; i++) {
            if ((set >> i) & 1 == 0) continue;
            (uint8 v, bytes32 r, bytes32 s) = VM.sign(key(i < seats ? secret[i] : 50 + i), digest);
            all = abi.encodePacked(all, r, s, v);
        }
    }

    function charge(uint256 seat, uint256 points) private {
        lost[seat] = lost[seat] + points > 100 ? 100 : lost[seat] + points;
    }

    function forgive(uint256 set) private {
        uint256 convicts = rounds.equivocators();
        for (uint256 i = 0; i < seats; i++) {
            if ((set >> i) & 1 == 1 && (convicts >> i) & 1 == 0 && lost[i] > 0) lost[i]--;
        }
    }
}

contract ConsortiumInvariantTest {
    Hospitals private hospitals;

    function setUp() external {
        hospitals = new Hospitals();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(hospitals);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory selectors) {
        bytes4[] memory steps = new bytes4[](10);
        steps[0] = Hospitals.open.selector;
        steps[1] = Hospitals.propose.selector;
        steps[2] = Hospitals.finalise.selector;
        steps[3] = Hospitals.abort.selector;
        steps[4] = Hospitals.wait.selector;
        steps[5] = Hospitals.admit.selector;
        steps[6] = Hospitals.remove.selector;
        steps[7] = Hospitals.rotate.selector;
        steps[8] = Hospitals.find.selector;
        steps[9] = Hospitals.contradict.selector;
        selectors = new FuzzSelector[](1);
        selectors[0] = FuzzSelector(address(hospitals), steps);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function invariant_theContractsAgreeWithNaiveBooks() external {
        hospitals.checkMembers();
        hospitals.checkReputations();
        hospitals.checkRounds();
        hospitals.checkLineage();
        hospitals.checkEnd();
    }
}
