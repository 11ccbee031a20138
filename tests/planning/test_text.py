"""A plan as the TOML people edit: nothing is lost, every field is explained, every setting stands where it belongs."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from node.planning.text import PARTS, plan_toml
from node.rounds.plan import Plan

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
PLANS = st.builds(
    Plan.create,
    name=TEXTS,
    classes=st.lists(TEXTS, min_size=2, max_size=4).map(tuple),
    learning_rate=st.decimals(
        min_value=Decimal("1e-12"), max_value=1, allow_nan=False, allow_infinity=False, places=12
    ),
    patience=st.integers(0, 1000),
    every_hours=st.integers(0, 100),
    open_between=st.sampled_from(["", "20:00-06:00"]),
    schedule=st.sampled_from(["one-cycle", "cosine", "constant"]),
    augment=st.booleans(),
)


@given(PLANS)
def test_what_is_written_is_read_back(tmp_path_factory, plan):
    file = tmp_path_factory.getbasetemp() / "plan.toml"
    file.write_text(plan_toml(plan), encoding="utf-8")
    assert Plan.from_toml(file) == plan


def test_every_field_is_explained_once():
    named = [name for _, _, names in PARTS for name in names]
    assert sorted(set(named)) == sorted(named)
    text = plan_toml(Plan.create(classes=("a", "b")))
    lines = text.splitlines()
    for name, field in Plan.model_fields.items():
        (at,) = [k for k, line in enumerate(lines) if line.startswith(f"{name} = ")]
        comment = at - 1
        while lines[comment].startswith("#   "):
            comment -= 1
        assert lines[comment].startswith(f"# {field.description[:30]}"), name
