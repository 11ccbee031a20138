"""A refresh of the shares goes on after a crash between any two steps, and never leaves a member without a share that fits."""

from __future__ import annotations

import copy
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest

from crypto import secrets
from crypto.errors import MixedGenerations
from crypto.keys import MemberKey
from crypto.opening import Opener, combine
from crypto.sealing import Sealer
from node.consortium.records import ProposedView, RoundView
from node.epochs import keeper as module
from node.epochs.facts import epoch_facts
from node.epochs.start import CEREMONY_SECONDS, open_refresh
from tests.epochs.support import MINIMAL, Killed, Network

VALUES = np.arange(-5, 6, dtype=np.int64)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(module, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.0)


@pytest.fixture(scope="module")
def templates(tmp_path_factory):
    """Consortia whose first epoch is active and settled, by number of members; each test works on a copy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TURN_SECONDS", 0.0)
        for name, value in {"MEMORY_KIB": 8, "PASSES": 1, "LANES": 1}.items():
            patch.setattr(secrets, name, value)
        made = {}
        for members in (2, 3):
            root = tmp_path_factory.mktemp("active")
            net = Network(root, members, 2)
            assert net.run() == 1
            look(net, 2)
            made[members] = (root, net.epochs)
    return made


@pytest.fixture
def active(templates, tmp_path):
    def copied(members: int = 2) -> Network:
        root, epochs = templates[members]
        shutil.copytree(root, tmp_path, dirs_exist_ok=True)
        net = Network(tmp_path, members, 2)
        net.epochs = copy.deepcopy(epochs)
        return net

    return copied


def look(net: Network, times: int) -> None:
    for _ in range(times):
        for member in net.members:
            net.look(member)


def refresh(net: Network, looks: int = 30) -> int:
    """Open a refresh unless one runs, and look until it has ended; the generation then in force."""
    if net.epochs.view.ceremony is None:
        open_refresh(net.members[0].chain)
    for _ in range(looks):
        look(net, 1)
        if net.epochs.view.ceremony is None:
            look(net, 2)
            break
    return net.epochs.view.epochs[1].generation


def opens(net: Network, openers: tuple[int, ...] | None = None) -> bool:
    """Whether what was sealed under the epoch's key opens with the shares these members hold in force."""
    openers = openers or tuple(range(net.threshold))
    keys = [member.vault.keys(1) for member in net.members]
    (chunk,) = Sealer(keys[0].joint).seal(VALUES)
    partials = {k: Opener(keys[k].member, openers).partial(chunk) for k in openers}
    return bool((combine(chunk, partials, MINIMAL, len(keys))[: VALUES.size] == VALUES).all())


def secrets_left(member) -> set[str]:
    return {path.name for path in member.home.secrets.iterdir()}


def points_of_a_refresh() -> list[str]:
    """Where a member can die: before and after every call to chain, disk and blob store."""
    puts = [f"{when} blobs.put {k}" for k in range(4) for when in ("before", "after")]
    disk = ("keep_box", "keep_dealer_seed", "keep_next_share", "switch", "forget_dealing", "erase_older")
    calls = ("announce", "commit", "deal", "test", "confirm", *(f"vault.{name}" for name in disk))
    return [f"{when} {call} 0" for call in calls for when in ("before", "after")] + puts


@pytest.mark.parametrize("point", points_of_a_refresh())
def test_a_member_that_dies_anywhere_resumes_from_its_disk(active, point):
    net = active()
    before = net.members[0].vault.keys(1).member.sigma
    seen: dict[str, int] = {}
    died = []

    def killer(member, where):
        if member.index != 0:
            return
        number = seen[where] = seen.get(where, -1) + 1
        if f"{where} {number}" == point and not died:
            died.append(point)
            raise Killed

    net.killer = killer
    assert refresh(net) == 1
    assert died == [point], "the point was never reached: the list above is out of date"
    assert opens(net)
    assert not np.array_equal(net.members[0].vault.keys(1).member.sigma, before)
    for member in net.members:
        assert secrets_left(member) == {"epoch-1.member-1.sealed"}


def test_a_member_that_dies_at_every_single_step_still_gets_there(active):
    net = active(3)
    died = set()

    def killer(member, where):
        if (member.index, where) not in died and not where.endswith(" refresh"):
            died.add((member.index, where))
            raise Killed

    net.killer = killer
    assert refresh(net, 120) == 1
    assert len(died) > 40
    look(net, 10)
    assert opens(net, (1, 2))
    for member in net.members:
        assert secrets_left(member) == {"epoch-1.member-1.sealed"}


def test_the_key_announced_is_the_key_kept_even_on_an_old_view(active):
    """The announcement went in, the answer was lost, the view lags: drawing another key would lose the share."""
    net = active()
    open_refresh(net.members[0].chain)
    stale, member = net.epochs.view, net.members[0]
    for _ in range(2):
        member.keeper.step(stale)
        member.start()
    announced = net.epochs.view.ceremony.announcements[net.epochs.view.addresses[0]]
    assert member.vault.box(1, 1).public == announced
    assert member.vault.box(1) is None


def test_refreshes_follow_each_other_under_one_joint_key(active):
    net = active(3)
    joint = net.members[0].vault.keys(1).joint
    for generation in (1, 2, 3):
        assert refresh(net) == generation
        for member in net.members:
            member.start()
            assert member.vault.keys(1).member.generation == generation
            assert member.vault.keys(1).joint == joint
            assert secrets_left(member) == {f"epoch-1.member-{generation}.sealed"}
        assert opens(net, (0, 2))
    assert net.epochs.view.active_epoch == 1
    assert [r.generation for r in epoch_facts(net.epochs.view, net.epochs.view.epochs[1]).refreshes] == [1, 2, 3]


def test_whoever_holds_the_keys_sees_the_new_share_at_once(active):
    """A round under way holds the same object: it must not go on with a share that is out of force."""
    net = active()
    held = [member.vault.keys(1) for member in net.members]
    assert refresh(net) == 1
    assert [keys.member.generation for keys in held] == [1, 1]
    assert all(member.vault.keys(1) is keys for member, keys in zip(net.members, held, strict=True))


def test_the_old_share_stays_until_the_chain_has_the_new_generation(active):
    net = active(3)
    open_refresh(net.members[0].chain)
    while len(net.epochs.view.epochs[1].refreshes[0].confirmations) < 2:
        for member in net.members[:2]:
            net.look(member)
        if len(net.epochs.view.epochs[1].refreshes[0].reports) < 3:
            net.look(net.members[2])
    for member in net.members[:2]:
        assert "epoch-1.member.sealed" in secrets_left(member)
        assert member.vault.keys(1).member.generation == 0
        member.start()
        assert member.vault.keys(1).member.generation == 0
    assert opens(net, (0, 1))
    assert opens(net, (1, 2))
    assert net.epochs.view.epochs[1].generation == 0


def test_an_overdue_refresh_is_aborted_and_leaves_everything_as_it_was(active, monkeypatch):
    net = active(3)
    files = {path: path.read_bytes() for member in net.members for path in member.home.secrets.iterdir()}
    open_refresh(net.members[0].chain)
    for _ in range(12):
        for member in net.members[:2]:  # the third is off
            net.look(member)
    assert net.epochs.view.ceremony is not None
    late = time.time() + CEREMONY_SECONDS + 10
    with monkeypatch.context() as clock:
        clock.setattr(module.time, "time", lambda: late)
        net.look(net.members[1])
    look(net, 2)
    assert net.epochs.view.ceremony is None
    assert {path: path.read_bytes() for m in net.members for path in m.home.secrets.iterdir()} == files
    assert opens(net, (1, 2))
    assert refresh(net) == 1, "another one completes"
    assert opens(net, (0, 1))


def test_an_aborted_refresh_gives_the_next_neither_key_nor_seed_nor_share(active):
    """A disclosed seed or a share of an abandoned refresh must never come back."""
    net = active()
    keys, seeds = set(), set()
    for _ in range(3):
        open_refresh(net.members[0].chain)
        while not net.epochs.view.epochs[1].refreshes[-1].reports:
            look(net, 1)
        last = net.epochs.view.epochs[1].refreshes[-1]
        keys |= set(last.announcements.values())
        seeds |= {member.vault.dealer_seed(1, last.refresh) for member in net.members}
        net.epochs.abort(net.members[0].hospital.account, 1)
        look(net, 2)
        for member in net.members:
            assert member.vault.next_share(1, last.refresh) is None
            assert secrets_left(member) == {"epoch-1.member.sealed"}
    assert len(keys) == len(seeds) == 6
    assert refresh(net) == 1
    assert opens(net)


def test_erased_files_are_overwritten_first(active, tmp_path, monkeypatch):
    """What the file system still holds of an old share after its removal is noise."""
    net = active()
    paths = [member.home.epoch_file(1, "member") for member in net.members]
    before = {path: path.read_bytes() for path in paths}
    last_seen = {}
    unlink = type(tmp_path).unlink

    def watching(path, missing_ok=False):
        if path.exists():
            last_seen[path] = path.read_bytes()
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(type(tmp_path), "unlink", watching)
    refresh(net)
    for path, data in before.items():
        assert not path.exists()
        assert len(last_seen[path]) == len(data)
        assert last_seen[path][:64] != data[:64]
    assert {path.name.split(".")[1] for path in last_seen if ".refresh" in path.name} == {"refresh-1"}


def test_the_old_share_outlives_a_chain_that_takes_its_last_words_back(active, monkeypatch):
    """A local chain that is killed forgets a second: the refresh is not active any more, and can still complete or abort."""
    monkeypatch.setattr(module, "SETTLE_SECONDS", 60.0)
    net = active()
    assert refresh(net) == 1
    assert "epoch-1.member.sealed" in secrets_left(net.members[0]), "not settled yet"
    kept = [event for event in net.epochs.events if type(event).__name__ != "RefreshActivated"]
    without = [e for e in kept if type(e).__name__ != "Confirmed" or e.member != net.members[1].hospital.account]
    net.epochs.events[:] = without
    net.epochs.done[1, 1, "confirm"].pop(net.members[1].hospital.account)
    net.epochs.running = 1
    assert refresh(net) == 1, "the last confirmation is sent again"
    assert opens(net)
    net.epochs.events[:] = [*without, net.epochs.events[-2]]  # … and once more, until the deadline comes
    net.epochs.running = 1
    net.epochs.abort(net.members[0].hospital.account, 1)
    look(net, 2)
    assert net.epochs.view.epochs[1].generation == 0
    assert {member.vault.keys(1).member.generation for member in net.members} == {0}
    assert opens(net)


def test_a_mix_of_generations_names_who_is_behind(active):
    net = active(3)
    old = net.members[2].vault.keys(1).member
    assert refresh(net) == 1
    keys = [member.vault.keys(1) for member in net.members]
    (chunk,) = Sealer(keys[0].joint).seal(VALUES)
    shares: dict[int, MemberKey] = {0: keys[0].member, 2: old}
    with pytest.raises(MixedGenerations, match="member 2 with generation 0"):
        combine(chunk, {k: Opener(shares[k], (0, 2)).partial(chunk) for k in shares}, MINIMAL, 3)


def test_a_member_without_a_share_says_so_and_harms_nobody(active, caplog):
    """A hospital that lost its share cannot refresh it: the others keep theirs."""
    net = active(3)
    net.members[1].home.epoch_file(1, "member").unlink()
    net.members[1].start()
    open_refresh(net.members[0].chain)
    look(net, 6)
    assert "Hospital" not in caplog.text
    assert "holding no share of epoch 1 that could be refreshed" in caplog.text
    assert net.epochs.view.epochs[1].refreshes[0].running
    assert opens(net, (0, 2))


def test_shares_do_not_change_while_a_round_opens_sums(active, monkeypatch):
    net = active()
    busy = [True]
    monkeypatch.setattr(module, "_is_opening", lambda _view, _epoch: busy[0])
    assert refresh(net, 12) == 0
    record = net.epochs.view.epochs[1].refreshes[0]
    assert len(record.reports) == 2
    assert not record.confirmations
    assert "waiting for the open round" in net.members[0].keeper.doing
    busy[0] = False
    assert refresh(net) == 1


def test_only_an_open_round_of_the_epoch_with_a_proposal_holds_a_refresh_back(active):
    net = active()
    open_refresh(net.members[0].chain)
    view, record = net.epochs.view, net.epochs.view.ceremony
    recorded = ProposedView(bytes(20), bytes(32), bytes(32), bytes(32), 1)
    busy = RoundView(1, 1, bytes(32), bytes(32), bytes(32), "", 0, 0, 1, (recorded,))
    for row, holds in (
        (busy, True),
        (replace(busy, proposals=()), False),
        (replace(busy, finalised=True), False),
        (replace(busy, epoch=2), False),
    ):
        assert module._is_opening(replace(view, rounds={1: row}), record) is holds
    assert not module._is_opening(view, record)
    assert not module._is_opening(replace(view, rounds={1: busy}), view.epochs[1]), "a ceremony disturbs no round"


def test_a_refresh_is_confirmed_before_its_deadline_even_so(active, monkeypatch):
    net = active()
    monkeypatch.setattr(module, "_is_opening", lambda _view, _epoch: True)
    monkeypatch.setattr(module, "HURRY_SECONDS", CEREMONY_SECONDS + 1.0)
    assert refresh(net) == 1
