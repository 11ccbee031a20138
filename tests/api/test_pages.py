"""Pages put together are the list; a cursor belongs to its list, filter and order."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.api.etags import has_it, tag_of
from node.api.pages import Asked
from node.errors import BadInput


@given(
    positions=st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=30).map(sorted),
    limit=st.integers(1, 40),
    newest=st.booleans(),
)
def test_pages_put_together_are_the_list(positions, limit, newest):
    rows = [(position, f"item {position}") for position in positions]
    found, cursor, pages = [], None, 0
    while True:
        page, cursor = Asked(("rows", None), limit, cursor, newest=newest).cut(rows)
        found += page
        pages += 1
        if cursor is None:
            break
        assert len(page) == limit
    expected = [item for _, item in rows]
    assert found == (expected[::-1] if newest else expected)
    assert pages == max(1, -(-len(rows) // limit)), "the last page says that it is"


def test_what_comes_meanwhile_is_not_lost_and_nothing_comes_twice():
    rows = [(n, n) for n in range(10)]
    first, cursor = Asked(("rows",), 4).cut(rows)
    rest, end = Asked(("rows",), 50, cursor).cut([*rows, (10, 10)])
    assert (first + rest, end) == (list(range(11)), None)


@pytest.mark.parametrize("other", [("rows", "open"), ("models",), ("rows", None, None)])
def test_a_cursor_of_another_question_is_refused(other):
    cursor = Asked(("rows", None), 1).cursor_at(5)
    assert Asked(("rows", None), 9, cursor).after == 5
    for asked in (Asked(other, 1, cursor), Asked(("rows", None), 1, cursor, newest=True)):
        with pytest.raises(BadInput, match="begin again without it"):
            _ = asked.after


@given(text=st.text(max_size=64) | st.binary(max_size=30).map(lambda b: base64.urlsafe_b64encode(b).decode()))
def test_no_text_is_taken_for_a_cursor(text):
    with pytest.raises(BadInput):
        _ = Asked(("rows",), 1, text).after


def test_entity_tags_are_compared_weakly_and_in_lists():
    tag = tag_of(b"content")
    assert tag != tag_of(b"content ")
    for header in (tag, f"W/{tag}", f'"other" , {tag}', "*"):
        assert has_it(header, tag)
    for header in (None, "", '"other"', tag.strip('"'), f"{tag},*" * 2000, '*, "x"'):
        assert not has_it(header, tag)
