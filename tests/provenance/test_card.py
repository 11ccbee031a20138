"""A card says what chain and blobs say, is the same everywhere, and cannot be made to say more by hostile names."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dag.bodies import VerdictBody
from node.cli.model import _round_line
from node.errors import LyingPeer
from node.provenance.card import NOTICE, Code, Section, Table, card, plain
from node.provenance.card_html import to_html
from node.provenance.card_markdown import escaped, to_markdown
from node.provenance.chart import to_svg
from node.provenance.envelopes import EnvelopeKeeper, kept
from node.provenance.errors import NoSuchModel, NotAtHand
from node.provenance.forms import MEDIA_TYPES, rendered
from node.provenance.story import Score, tell
from node.rounds.errors import BadEnvelope
from node.rounds.journal import Journal
from node.rounds.segment import unpack_segment
from node.rounds.statement import Statement
from node.storage import BlobMissing, MemoryStore, raw_cid


class NodesShelf:
    """What one node has."""

    def __init__(self, net, view, without=(), forged=None):
        self.store, self.without, self.forged = MemoryStore(), set(without), forged
        for cid in net.nodes[0].blobs.store.iterate():
            self.store.put(net.nodes[0].blobs.store.get(cid))
        self.journal = Journal(":memory:")
        EnvelopeKeeper(net.nodes[0].publisher, self.store, self.journal).look(view)

    def blob(self, cid):
        try:
            return None if cid in self.without else self.store.get(cid)
        except BlobMissing:
            return None

    def envelope(self, number):
        return self.forged if self.forged is not None else kept(self.journal, self.store.get, number)


@pytest.fixture(scope="session")
def statement(net):
    return Statement.from_bytes(net.nodes[0].blobs.store.get(raw_cid(net.chain.endings[1].statement)))


@pytest.fixture(scope="session")
def story(net, view):
    return tell(view, net.deployment, net.chain.endings[1].model, NodesShelf(net, view))


# ---- the story -------------------------------------------------------------------------------------------------------


def test_the_story_is_what_the_round_did(net, view, story, statement):
    (one,) = story.rounds
    said = statement.predicate
    assert (story.made_in, story.aborted, story.after) == (1, 0, None)
    assert story.plan == net.plan
    assert one.model == story.model == said.model.sha256
    assert one.base == said.base
    assert [p.samples for p in one.participants] == [u.samples for u in said.updates]
    assert sum(group.size for group in one.groups) == len(one.participants)
    assert one.statement == statement.digest.hex()
    assert one.signers >= one.quorum == net.quorum
    assert raw_cid(bytes.fromhex(one.statement)) != one.envelope is not None
    assert one.leader == f"Hospital {[('0x' + a.hex()) for a in net.addresses].index(said.leader)}"


def test_scores_are_the_counted_verdicts_weighed_by_their_images(net, story, statement):
    segment = unpack_segment(net.nodes[0].blobs.store.get(statement.predicate.segment))
    ids = {v.id for v in statement.predicate.verdicts}
    bodies = [t.body for t in segment if isinstance(t.body, VerdictBody) and t.id.hex() in ids]
    (one,) = story.rounds
    images = sum(b.samples for b in bodies)
    assert one.before.members == len(bodies)
    assert one.before.images == images
    assert one.before.mean == pytest.approx(sum(b.base_ppm * b.samples for b in bodies) / images / 10**6)
    assert one.groups[0].score.low == min(b.scores_ppm[0] for b in bodies) / 10**6
    assert one.groups[0].score.high == max(b.scores_ppm[0] for b in bodies) / 10**6


def test_a_round_in_sections_is_told_by_section(story):
    """The same groups as if each were of a section of its own, and as they were drawn: all in one."""
    (one,) = story.rounds
    assert one.sections == 1
    apart = replace(story, rounds=(replace(one, groups=one.groups * 2, sections=2),))
    sizes = ", ".join(str(group.size) for group in one.groups)
    whole, cut = (to_markdown(card(each)) for each in (story, apart))
    assert f"| {len(one.groups)} ({sizes}) |" in whole
    assert f"| 2 sections of {len(one.groups)} ({sizes}; {sizes}) |" in cut
    assert "scored alone in its section" not in whole
    assert "alone in its section" in cut
    assert "; groups " in _round_line(one)
    assert _round_line(apart.rounds[0]).count("updates") == 2 * len(one.groups)
    assert _round_line(apart.rounds[0]).count("; ") == _round_line(one).count("; ") + 1


def test_the_next_round_scores_a_model_as_a_whole(net, view, story):
    first = tell(view, net.deployment, net.chain.rounds[1].base, NodesShelf(net, view))
    assert (first.made_in, first.rounds) == (0, ())
    assert first.after == story.rounds[0].before
    assert first.curve == ((0, story.rounds[0].before),)


def test_an_unknown_model_is_no_story(net, view):
    with pytest.raises(NoSuchModel, match="medweave model list"):
        tell(view, net.deployment, b"?" * 32, NodesShelf(net, view))


@pytest.mark.parametrize("what", ["statement", "plan", "segment"])
def test_what_is_missing_is_named(net, view, statement, what):
    cids = {
        "statement": raw_cid(statement.digest),
        "plan": raw_cid(net.plan.digest),
        "segment": statement.predicate.segment,
    }
    with pytest.raises(NotAtHand, match=what) as caught:
        tell(view, net.deployment, net.chain.endings[1].model, NodesShelf(net, view, [cids[what]]))
    assert caught.value.exit_code == 2


def test_a_false_envelope_is_no_part_of_a_story(net, view):
    with pytest.raises(BadEnvelope):
        tell(view, net.deployment, net.chain.endings[1].model, NodesShelf(net, view, forged=b"{}"))


def test_a_statement_about_something_else_is_a_lie(net, view, statement):
    other = Statement.of(statement.predicate.model_copy(update={"round": 7}))
    row = replace(view.rounds[1], statement=other.digest)
    shelf = NodesShelf(net, view)
    shelf.store.put(other.to_bytes())
    with pytest.raises(LyingPeer, match="is about round 7"):
        tell(replace(view, rounds={1: row}), net.deployment, net.chain.endings[1].model, shelf)


# ---- the card --------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a reader of the page would see, and everything that could reach out of it."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in {"meta", "line", "circle", "polyline"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in {"line", "circle", "polyline"}:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def tables(story):
    return [block for s in card(story).sections for block in s.blocks if isinstance(block, Table)]


def test_a_card_has_every_section_and_digest(story):
    made = card(story)
    assert [s.title for s in made.sections] == [
        "What it is",
        "What it is for, and what it is not",
        "Hospitals and their data",
        "Accuracy",
        "Rounds",
        "What was kept secret",
        "Where it came from, and how to check it",
    ]
    for text in (to_markdown(made), to_html(made)):
        (one,) = story.rounds
        for needed in (story.model, one.statement, one.envelope, story.consortium, NOTICE, "medweave audit model"):
            assert needed in text
        assert "Warning: parameter set minimal protects nothing" in text
        assert "own word" in text, "the scores are declared by those who are scored"
        assert "the accuracy has not been" not in text


def test_the_same_story_makes_the_same_card(net, view, story):
    again = tell(view, net.deployment, net.chain.endings[1].model, NodesShelf(net, view))
    assert [rendered(again, form) for form in MEDIA_TYPES] == [rendered(story, form) for form in MEDIA_TYPES]
    assert json.loads(rendered(story, "json"))["rounds"][0]["number"] == 1


def test_the_page_is_whole_and_reaches_out_to_nothing(story):
    page = Page(to_html(card(story)))
    assert page.open == []
    assert not {"script", "link", "img", "iframe", "object", "use", "image", "a", "form"} & set(page.tags)
    assert not [a for a in page.attributes if a[1] in {"src", "href", "style", "xlink:href"} or a[1].startswith("on")]
    assert "url(" not in "".join(page.text)
    assert ("meta", "content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes


def test_the_page_names_its_parts_for_those_who_hear_it(story):
    page = Page(to_html(card(story)))
    assert ("html", "lang", "en") in page.attributes
    assert page.tags.count("caption") == page.tags.count("table") == len(tables(story))
    assert ("svg", "role", "img") in page.attributes
    ids = {value for _, name, value in page.attributes if name == "id"}
    for _, name, value in page.attributes:
        if name == "aria-labelledby":
            assert set(value.split()) <= ids
    heads = [value for tag, name, value in page.attributes if tag == "th" and name == "scope"]
    assert len(heads) == page.tags.count("th")


HOSTILE = "</td><script>alert(1)</script>|![x](http://evil)\n# **big** `code` \u202eltr \x1b[2J &lt; www.evil.example"


def spoilt(story, text):
    """The story with this text wherever a member has a say."""
    one = story.rounds[0]
    people = tuple(replace(p, name=text) for p in one.participants)
    hospitals = tuple(replace(h, name=text) for h in story.hospitals)
    plan = story.plan.model_copy(update={"name": text, "classes": (text, text), "architecture": text})
    return replace(
        story, plan=plan, hospitals=hospitals, rounds=(replace(one, leader=text, participants=people, software=text),)
    )


@given(
    text=st.just(HOSTILE)
    | st.text(st.sampled_from("<>&\"'|`*_[](){}#!\\\n\r\t\0\u202e\u2028-+=1.x:/@~$ "), max_size=30)
)
@settings(max_examples=80, deadline=None)
def test_hostile_names_stay_text(story, text):
    bad = card(spoilt(story, text))
    honest, page = Page(to_html(card(story))), Page(to_html(bad))
    assert page.tags == honest.tags
    assert [a for a in page.attributes if a[1] != "aria-label"] == [
        a for a in honest.attributes if a[1] != "aria-label"
    ]
    assert plain(text) in "".join(page.text)
    ours, theirs = to_markdown(card(story)).split("\n"), to_markdown(bad).split("\n")
    assert len(theirs) == len(ours), "no line is added"
    for line, honest_line in zip(theirs, ours, strict=True):
        cells = re.sub(r"\\[\\|]", "", line)
        assert cells.count("|") == honest_line.count("|"), "no cell is added"
        assert not re.search(r"(?<!\\)(?:\\\\)*<", line), "no tag is opened"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0.87", "0.87"),
        ("1,234 (of 3)", "1,234 (of 3)"),
        ("1. x", "1\\. x"),
        ("- a", "\\- a"),
        ("===", "\\==="),
        ("a|b", "a\\|b"),
        ("<b>", "\\<b\\>"),
        ("![x](http://e)", "\\!\\[x\\](http\\://e)"),
        ("WWW.e.org", "WWW\\.e.org"),
        ("x\n# y", "x\ufffd\\# y"),
        ("\\", "\\\\"),
    ],
)
def test_markdown_is_escaped_no_more_than_needed(text, shown):
    assert escaped(text) == shown


def test_code_cannot_end_its_own_span(story):
    made = card(story)
    table = Table("t", ("a",), ((Code("`|<x>"),),))
    text = to_markdown(replace(made, sections=(Section("s", (table,)),)))
    assert "| `\ufffd\ufffd<x>` |" in text


def test_warnings_follow_the_plan(story):
    plan = story.plan.model_copy(update={"min_group": 1, "parameter_set": "standard"})
    text = to_markdown(card(replace(story, plan=plan)))
    assert "groups of one" in text
    assert "protects nothing" not in text


def test_a_card_of_the_initial_model_says_that_it_knows_nothing(net, view):
    first = tell(view, net.deployment, net.chain.rounds[1].base, NodesShelf(net, view))
    text = to_markdown(card(first))
    assert "It has not been trained" in text
    assert "none yet" in text
    silent = to_markdown(card(replace(first, after=None, plan=None)))
    assert "Nobody has scored this model yet." in silent


# ---- the drawing -----------------------------------------------------------------------------------------------------


def score(mean):
    return Score(3, 30, mean, mean - 0.1, min(1.0, mean + 0.05))


@pytest.mark.parametrize("count", [1, 2, 12, 13, 500])
def test_the_curve_stays_in_its_frame(count):
    points = tuple((number, score(0.2 + 0.75 * number / count)) for number in range(count))
    tree = ET.fromstring(to_svg(points))  # noqa: S314  (our own text)
    dots = [(float(c.get("cx")), float(c.get("cy"))) for c in tree.iter("circle")]
    assert len(dots) == count
    assert all(64 <= x <= 704 and 16 <= y <= 284 for x, y in dots)
    assert [x for x, _ in dots] == sorted({x for x, _ in dots})
    assert [y for _, y in dots] == sorted((y for _, y in dots), reverse=True), "better stands higher"
    assert len(list(tree.iter("text"))) <= 6 + 1 + 12 + 1


def test_the_scale_is_the_whole_range():
    tree = ET.fromstring(to_svg(((0, score(0.5)), (1, score(0.5)))))  # noqa: S314  (our own text)
    assert [t.text for t in tree.iter("text")][:6] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert float(next(tree.iter("circle")).get("cy")) == pytest.approx((16 + 284) / 2)
