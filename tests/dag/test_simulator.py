"""The simulator's own parts: time, wires, scenarios, the command. What runs come to is in test_simulator_seeds_*.py."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dag.bodies import Kind
from dag.errors import MalformedTransaction
from dag.simulator.__main__ import BROKEN, HELD, USAGE, main
from dag.simulator.agenda import Agenda
from dag.simulator.chain import ATTEMPTS, SimulatedChain
from dag.simulator.errors import BadScenario
from dag.simulator.network import Network, sample
from dag.simulator.scenario import BEHAVIOURS, Latency, Partition, Scenario, neighbours, parse_behaviours, rough
from dag.simulator.seeds import stream
from dag.simulator.shared import Decoder
from dag.simulator.world import World
from tests.dag.support import post, update_body

CALM = Scenario(nodes=4, minutes=1.0, round_seconds=30.0, ack_seconds=5.0)


# -- time --------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 100), max_size=20))
def test_things_happen_in_order_of_time_then_of_being_planned(times):
    agenda, done = Agenda(), []
    for number, time in enumerate(times):
        agenda.at(time, str(number), lambda time=time, number=number: done.append((time, number)))
    agenda.run(100)
    assert done == sorted(done)
    assert (agenda.now, agenda.events, len(agenda)) == (100, len(times), 0)


def test_what_is_planned_for_the_past_happens_now_and_later_things_wait():
    agenda, done = Agenda(), []
    agenda.run(5)
    agenda.at(1, "late", lambda: done.append(agenda.now))
    agenda.after(10, "later", lambda: done.append(agenda.now))
    agenda.run(14.9)
    assert done == [5]
    agenda.run(15)
    assert done == [5, 15]


def test_the_trace_tells_runs_apart():
    def trace(label, content):
        agenda = Agenda()
        agenda.at(1, label, lambda: agenda.note(content))
        agenda.run(2)
        return agenda.trace

    assert trace("a", b"x") == trace("a", b"x")
    assert len({trace("a", b"x"), trace("b", b"x"), trace("a", b"y")}) == 3


TRACE = """
from dag.simulator.scenario import rough
from dag.simulator.world import World
world = World(rough(62))
world.run()
print(world.agenda.trace)
"""


def test_a_seed_is_a_run_in_every_process():
    """Nothing depends on the order of hashing, on the clock of the machine or on what ran before."""
    traces = {
        subprocess.run(
            [sys.executable, "-c", TRACE],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(traces) == 1
    world = World(rough(63))
    world.run()
    assert world.agenda.trace not in traces.pop()


# -- wires -------------------------------------------------------------------------------------------------------


def carry(scenario, messages=2000, part=None):
    agenda, arrived = Agenda(), []
    network = Network(agenda, scenario, lambda to, by, message: arrived.append((agenda.now, to, by, message)) or True)
    if part:
        network.part(part)
    for number in range(messages):
        network.send(0, 1, number.to_bytes(4, "big"))
    agenda.run(1e6)
    return arrived, network.traffic


def test_loss_and_duplication_are_as_asked():
    arrived, traffic = carry(Scenario(loss=0.2, duplication=0.1))
    assert traffic.messages[0] == 2000
    assert traffic.bytes[0] == 8000
    assert abs(traffic.lost / 2000 - 0.2) < 0.03
    copies = Counter(message for *_, message in arrived)
    assert len(copies) == 2000 - traffic.lost
    assert sum(copies.values()) - len(copies) == traffic.duplicated
    assert abs(traffic.duplicated / 2000 - 0.1) < 0.03


def test_messages_overtake_each_other_only_if_delays_differ():
    scenario = Scenario(latency=Latency("constant", 0.1, 0, 0))
    arrived, _ = carry(scenario)
    assert [message for *_, message in arrived] == [number.to_bytes(4, "big") for number in range(2000)]
    assert {time for time, *_ in arrived} == {0.1}
    arrived, _ = carry(replace(scenario, latency=Latency("uniform", 0.1, 0.4, 0)))
    assert [message for *_, message in arrived] != sorted(message for *_, message in arrived)
    assert all(0.1 <= time <= 0.4 for time, *_ in arrived)


def test_lognormal_delays_have_their_median_and_links_differ():
    latency = Latency("lognormal", 0.08, 0.5, 0.0)
    drawn = sorted(sample(latency, stream(3, str(number))) for number in range(999))
    assert abs(drawn[499] - 0.08) < 0.01
    world = {carry(Scenario(seed=seed, latency=Latency("constant", 0.1, 0, 0.5)), 1)[0][0][0] for seed in range(5)}
    assert len(world) == 5


def test_bandwidth_spaces_messages_out():
    scenario = Scenario(latency=Latency("constant", 0.0, 0, 0), bandwidth=4.0)
    arrived, _ = carry(scenario, 10)
    assert [time for time, *_ in arrived] == [float(number) for number in range(1, 11)]


def test_a_partition_stops_what_crosses_it_and_nothing_else():
    arrived, traffic = carry(Scenario(), 50, part={0: 1})
    assert (arrived, traffic.parted) == ([], 50)
    arrived, traffic = carry(Scenario(), 50, part={0: 1, 1: 1})
    assert (len(arrived), traffic.parted) == (50, 0)


# -- scenarios ---------------------------------------------------------------------------------------------------


def test_partitions_and_latencies_are_read_from_text():
    assert Partition.parse("1/3:10-40") == Partition(Fraction(1, 3), 10.0, 40.0)
    assert Latency.parse("constant:0.5") == Latency("constant", 0.5, 0.0, 0.0)
    assert Latency.parse("uniform:0.1,0.3") == Latency("uniform", 0.1, 0.3, 0.0)
    assert Latency.parse("lognormal:0.1,0.4,0.2") == Latency("lognormal", 0.1, 0.4, 0.2)
    assert parse_behaviours("lazy, spam") == ("lazy", "spam")


@pytest.mark.parametrize("text", ["", "1/3", "1/3:5", "4/3:1-2", "0:1-2", "1/0:1-2", "x:1-2", "1/3:2-1", "1/3:nan-2"])
def test_what_is_no_partition_is_refused(text):
    with pytest.raises(BadScenario, match="partition"):
        Partition.parse(text)


@pytest.mark.parametrize(
    "text", ["", "gamma:1", "constant:", "constant:1,2,3", "uniform:1", "uniform:2,1", "constant:-1"]
)
def test_what_is_no_latency_is_refused(text):
    with pytest.raises(BadScenario, match="latency"):
        Latency.parse(text)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("nodes", 3),
        ("nodes", 5000),
        ("nodes", True),
        ("minutes", 0.0),
        ("minutes", float("inf")),
        ("loss", 1.0),
        ("loss", -0.1),
        ("duplication", 1.5),
        ("crashes", 2.0),
        ("byzantine", 1 / 3),
        ("ack_seconds", 0.0),
        ("behaviours", ("nonsense",)),
        ("behaviours", ()),
    ],
)
def test_a_bad_setting_is_named(field, value):
    with pytest.raises(BadScenario) as caught:
        Scenario(**({"byzantine": 0.1} | {field: value}))
    assert caught.value.field == field


def test_a_partition_must_heal_while_members_post():
    with pytest.raises(BadScenario, match="heal"):
        Scenario(minutes=10, partitions=(Partition(Fraction(1, 3), 5, 11),))


def test_rough_scenarios_are_rough():
    drawn = [rough(seed) for seed in range(100)]
    assert {scenario.nodes for scenario in drawn} == set(range(6, 11))
    assert {scenario.byzantine_nodes for scenario in drawn} == {1, 2, 3}
    assert {name for scenario in drawn for name in scenario.behaviours} == set(BEHAVIOURS)
    assert all(scenario.byzantine_nodes <= (scenario.nodes - 1) // 3 for scenario in drawn)
    assert all(scenario.partitions for scenario in drawn)


@pytest.mark.parametrize("seed", range(5))
def test_few_links_keep_honest_nodes_connected(seed):
    scenario = Scenario(nodes=60, seed=seed, peers=4, byzantine=0.3)
    honest = list(range(42))
    links = neighbours(scenario, honest)
    reached, stack = {0}, [0]
    while stack:
        for other in links[stack.pop()]:
            if other in honest and other not in reached:
                reached.add(other)
                stack.append(other)
    assert reached == set(honest)
    assert min(len(found) for found in links) >= 4
    assert all(node in links[other] for node, found in enumerate(links) for other in found)
    assert neighbours(replace(scenario, peers=0), honest)[7] == [node for node in range(60) if node != 7]


# -- the chain and what is shared --------------------------------------------------------------------------------


def test_the_chain_anchors_one_head_a_round_by_quorum():
    chain = SimulatedChain(Scenario(nodes=6))
    assert chain.open() == 1
    assert len({chain.leader(1, attempt) for attempt in range(ATTEMPTS)}) == ATTEMPTS
    votes = [chain.vote(1, 0, b"a" * 32, member, 1.0) for member in (0, 0, 1, 2)]
    assert votes == [None] * 4
    assert chain.vote(1, 0, b"b" * 32, 0, 1.0) is None, "one vote a member and attempt"
    assert chain.vote(1, 0, b"a" * 32, 3, 2.0) == chain.anchors[0]
    assert [chain.vote(1, 1, b"c" * 32, member, 3.0) for member in range(6)] == [None] * 6
    assert len(chain.anchors) == 1
    chain.open()
    assert [chain.vote(1, 0, b"d" * 32, member, 3.0) for member in range(6)] == [None] * 6, "a round that is over"


def test_decoding_is_shared_and_junk_is_not_kept():
    decode = Decoder()
    raw = post((b"p" * 32, b"q" * 32), update_body()).raw
    assert decode(raw) is decode(bytes(bytearray(raw)))
    for _ in range(3):
        with pytest.raises(MalformedTransaction):
            decode(b"junk")
    assert (len(decode), decode.asked) == (1, 5)


# -- whole runs and the command ----------------------------------------------------------------------------------


def test_a_calm_network_confirms_and_anchors_everything():
    world = World(CALM)
    world.run()
    figures = world.metrics.figures
    assert (figures.rounds, figures.anchored) == (2, 2)
    assert figures.refused == 0
    assert figures.blamed_honest == 0
    assert figures.lag_worst_seconds < CALM.round_seconds
    tangle = world.nodes[0].ledger.tangle
    updates = [tx_id for tx_id in tangle.ids() if tangle.kind(tx_id) is Kind.UPDATE]
    assert len(updates) == 8
    assert all(tangle.is_confirmed(tx_id) for tx_id in updates)


def test_clocks_do_not_matter():
    """A node's clock may be hours off and run fast: nothing in the exchange compares clocks."""
    world = World(replace(CALM, skew_seconds=86_400.0, drift_ppm=1000.0))
    world.run()
    assert len({round(node.clock) for node in world.nodes}) == 4


def test_crashed_nodes_come_back_with_what_they_had():
    scenario = Scenario(nodes=6, minutes=3.0, round_seconds=60.0, ack_seconds=5.0, crashes=1.0, down_seconds=20.0)
    world = World(scenario)
    world.run()
    assert [node.counts["crashes"] for node in world.nodes] == [1] * 6
    assert all(node.store.was_dirty for node in world.nodes)


def test_the_command_prints_writes_and_draws(tmp_path, capsys):
    out = ("--json", str(tmp_path / "run.json"), "--svg", str(tmp_path / "run.svg"))
    small = ("--nodes", "6", "--minutes", "2", "--round-seconds", "60", "--byzantine", "0.2", "--seed", "5")
    assert main([*small, "--loss", "0.1", "--partition", "1/3:0.5-1", "--behaviours", "forge", *out]) == HELD
    printed = capsys.readouterr().out
    assert "all hold" in printed
    assert "BadSignature" in printed
    written = json.loads((tmp_path / "run.json").read_text())
    assert written["broken"] is None
    assert written["scenario"]["partitions"] == ["1/3:0.5-1"]
    assert written["figures"]["honest"] > 0
    minutes = [sample["minute"] for sample in written["samples"]]
    assert minutes == sorted(set(minutes))
    assert minutes[119] == 2.0
    assert minutes[-1] == pytest.approx(
        2.0 + written["figures"]["settled_seconds"] / 60, abs=0.001
    )  # getting even is drawn too
    assert written["samples"][-1]["spread"] <= written["figures"]["byzantine"]
    picture = ET.parse(tmp_path / "run.svg").getroot()  # noqa: S314  (our own picture)
    curves = picture.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(curve.get("points").split()) for curve in curves] == [120] * 5


def test_the_command_tells_a_bad_scenario_from_a_broken_property(capsys, monkeypatch):
    assert main(["--nodes", "6", "--loss", "1"]) == USAGE
    assert "loss" in capsys.readouterr().err
    monkeypatch.setattr("dag.simulator.network.Network.heal", lambda self: None)
    parted = ("--nodes", "6", "--minutes", "1", "--partition", "1/3:0.1-0.5", "--settle-minutes", "1")
    assert main(list(parted)) == BROKEN
    assert "BROKEN: Unsettled" in capsys.readouterr().out


@pytest.mark.slow
def test_a_hundred_nodes_lossy_parted_and_attacked(tmp_path):
    """The thousand-node run of docs/results.md at a tenth of its size."""
    out = tmp_path / "run.json"
    hard = ("--loss", "0.2", "--partition", "1/3:4-12", "--byzantine", "0.1", "--seed", "7", "--json", str(out))
    pace = ("--minutes", "20", "--ack-seconds", "120", "--round-seconds", "400", "--work-seconds", "1")
    assert main(["--nodes", "100", *pace, *hard]) == HELD
    figures = json.loads(out.read_text())["figures"]
    assert figures["rounds"] == 3
    assert figures["anchored"] >= 2, "the round that the partition cuts through may fail"
    assert figures["orphan_ratio"] < 0.2
    assert figures["capture_ratio"] < figures["byzantine_ratio"]
