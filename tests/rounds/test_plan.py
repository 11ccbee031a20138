"""Plans: one byte form, one digest; everything else is refused with the field named."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import BadPlan
from node.rounds.plan import ADDED, MAX_PLAN_BYTES, Plan
from tests.rounds.support import plan

NUMBERS = st.decimals(min_value=Decimal("1e-12"), max_value=1, allow_nan=False, allow_infinity=False, places=12)
PLANS = st.builds(
    plan,
    name=st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=40),
    classes=st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), min_size=2, max_size=5).map(tuple),
    learning_rate=NUMBERS,
    tolerance=NUMBERS,
    clip_norm=NUMBERS,
    seed=st.integers(0, 2**63 - 1),
    epochs=st.integers(1, 1000),
    augment=st.booleans(),
)


@given(PLANS)
def test_a_plan_survives_its_bytes(made):
    again = Plan.from_bytes(made.to_bytes())
    assert again == made
    assert again.digest == made.digest


FIRST_FORM = (
    b'{"architecture":"capsnet","augment":true,"batch_size":16,"classes":["a","b"],"clip_norm":"8","collect_seconds":600,'
    b'"epochs":6,"error_feedback":false,"image_size":64,"learning_rate":"0.002","min_group":3,"name":"first-plan",'
    b'"parameter_set":"standard","proximal":"0","round_seconds":1200,"rounds":10,"seed":0,"slot_seconds":30,"threshold":3,'
    b'"tolerance":"0.1","value_range":"0.0625","weight_decay":"0.01"}'
)
"""A plan as the first version wrote it, before any field was added."""


def test_a_plan_of_the_first_form_keeps_its_bytes():
    read = Plan.from_bytes(FIRST_FORM)
    assert read.to_bytes() == FIRST_FORM
    assert {name for name in Plan.model_fields if name.encode() not in FIRST_FORM} == ADDED


def test_an_added_field_is_in_the_bytes_only_where_it_says_something():
    said = Plan.from_bytes(FIRST_FORM).model_copy(update={"patience": 4})
    assert b'"patience":4' in said.to_bytes()
    assert Plan.from_bytes(said.to_bytes()) == said
    with pytest.raises(BadPlan, match="canonical"):
        Plan.from_bytes(FIRST_FORM.replace(b'"proximal"', b'"patience":0,"proximal"'))


@pytest.mark.parametrize("digits", ["0.1234567890123456789012345678901234567890", "1e-40", "0.000", "-0"])
def test_a_number_of_any_precision_survives_or_is_refused(digits):
    """What a plan says and what its digest stands for must be the same number."""
    try:
        made = plan(weight_decay=Decimal(digits))
    except BadPlan:
        return
    assert Plan.from_bytes(made.to_bytes()) == made
    assert Plan.from_bytes(made.to_bytes()).weight_decay == Decimal(digits)


def test_equal_numbers_have_one_digest():
    forms = {plan(learning_rate=Decimal(text)).digest for text in ("0.002", "0.00200", "2e-3", "2.0E-3")}
    assert len(forms) == 1


@given(PLANS, st.data())
def test_a_changed_byte_is_refused_or_another_plan(made, data):
    raw = bytearray(made.to_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        assert Plan.from_bytes(bytes(raw)).digest != made.digest
    except BadPlan:
        return


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda t: t.encode("utf-8", "surrogatepass")))
def test_other_bytes_raise_nothing_but_bad_plan(raw):
    with pytest.raises(BadPlan):
        Plan.from_bytes(raw)


def form(**changes) -> bytes:
    fields = json.loads(plan().to_bytes()) | changes
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (b" " + form(), "canonical"),
        (form().replace(b'"epochs":6', b'"epochs":6,"epochs":6'), "canonical"),
        (form(epochs="2"), "canonical"),
        (form(learning_rate=0.002), "canonical"),
        (form(learning_rate="0.0020"), "canonical"),
        (form(learning_rate="NaN"), "learning_rate"),
        (form(learning_rate="Infinity"), "learning_rate"),
        (form(learning_rate="1e-99999999"), "plan"),
        (form(epochs=0), "epochs"),
        (form(epochs=1e400), "plan"),
        (form(image_size=8), "image_size"),
        (form(classes=["a"]), "classes"),
        (form(threshold=-1), "threshold"),
        (form(min_group=257), "min_group"),
        (form(parameter_set="weak"), "parameter_set"),
        (form(sections=0, min_group=9, defence="suspicion"), "sections"),
        (form(sections=9, min_group=9, defence="suspicion"), "sections"),
        (form(sections=4, min_group=3, defence="suspicion"), "sections: 4 are more than min_group, 3"),
        (form(sections=2, min_group=3), 'sections: 2 serve the defence "suspicion" alone'),
        (form(round_seconds=600), "round_seconds"),
        (form(extra=1), "extra"),
        (b"[]", "plan"),
        (b"null", "plan"),
        (b"{", "plan"),
        (form(name="x" * MAX_PLAN_BYTES), "at most"),
    ],
)
def test_a_wrong_plan_names_the_field(raw, named):
    with pytest.raises(BadPlan, match=named):
        Plan.from_bytes(raw)


def test_a_plan_too_long_to_be_read_cannot_be_made():
    """It would be opened on chain and nobody could read it."""
    with pytest.raises(BadPlan):
        plan(classes=tuple(f"{k} " + "x" * 1000 for k in range(99)))


def test_a_plan_a_person_wrote(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text('classes = ["a", "b"]\nthreshold = 2\nlearning_rate = 0.1\nvalue_range = 0.3\n')
    made = Plan.from_toml(path)
    assert made.learning_rate == Decimal("0.1"), "read as a decimal, never as a float"
    assert made == plan(
        learning_rate=Decimal("0.1"),
        value_range=Decimal("0.3"),
        min_group=3,
        slot_seconds=30,
        collect_seconds=600,
        round_seconds=1200,
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "classes = 1",
        "threshold = 2",
        "nonsense",
        'cls = 1\nclasses = ["a", "b"]\nthreshold = 2',
        "[classes]\nx = 1",
    ],
)
def test_a_plan_file_that_cannot_be_used(tmp_path, text):
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(BadPlan):
        Plan.from_toml(path)


def test_a_plan_file_that_is_not_there(tmp_path):
    with pytest.raises(BadPlan, match=r"none\.toml"):
        Plan.from_toml(tmp_path / "none.toml")
    with pytest.raises(BadPlan):
        Plan.from_toml(tmp_path)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadPlan):
        Plan.from_toml(tmp_path / "bytes.toml")


def test_every_field_says_what_it_is():
    assert [name for name, field in Plan.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(("members", "openers"), [(1, 1), (2, 2), (3, 2), (4, 3), (7, 5), (10, 7), (256, 171)])
def test_openers_follow_the_members_unless_the_plan_names_them(members, openers):
    assert Plan.create(classes=("a", "b")).threshold_for(members) == openers
    assert plan(threshold=3).threshold_for(members) == 3


@pytest.mark.parametrize("hours", ["20:00", "24:00-06:00", "20:00-20:00", "8:00-9:00", "20:00-06:60", "20:00 - 06:00"])
def test_hours_that_are_no_span_are_refused(hours):
    with pytest.raises(BadPlan, match="open_between"):
        plan(open_between=hours)


def test_a_timetable_is_in_the_bytes_only_where_there_is_one():
    assert b"every_hours" not in plan().to_bytes()
    timed = plan(every_hours=24, new_data_from=2, open_between="20:00-06:00")
    assert Plan.from_bytes(timed.to_bytes()) == timed
    assert (timed.scheduled, plan().scheduled) == (True, False)


def test_sections_are_in_the_bytes_only_where_there_are_several():
    """A plan of one section keeps the digest that it had before there were sections."""
    one = plan(defence="suspicion", sections=1)
    assert one.digest == plan(defence="suspicion").digest
    assert b"sections" not in one.to_bytes()
    cut = plan(defence="suspicion", min_group=3, sections=3)
    assert b'"sections":3' in cut.to_bytes()
    assert Plan.from_bytes(cut.to_bytes()) == cut
