"""The documentation is whole: every requirement names its test, every link leads somewhere, every decision has its parts."""

import ast
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

REQUIREMENT = re.compile(r"^- \*\*([A-Z]{3}-\d+)\*\*(.*(?:\n(?![-#]|\s*$).*)*)", re.MULTILINE)
TEST_NAME = re.compile(r"`([\w./-]+\.(?:py|sol))::([\w:.]+)(?:\[[^`]*\])?`")
OPEN = re.compile(r"— (?:open|not yet)\b")


def requirements(text: str) -> list[tuple[str, str]]:
    """Return identifier and text of every requirement, continuation lines included."""
    return [(match[1], match[2]) for match in REQUIREMENT.finditer(text)]


def defines(path: Path, name: str) -> bool:
    """Say whether a test file defines the test `name` (`test_x`, `TestY::test_x`, or a Solidity function)."""
    if not path.is_file():
        return False
    if path.suffix == ".sol":
        return re.search(rf"\bfunction {re.escape(name.rpartition('.')[2])}\(", path.read_text()) is not None
    scope: list[ast.stmt] = ast.parse(path.read_text()).body
    for part in name.split("::"):
        found = [statement for statement in scope if part in names(statement)]
        if not found:
            return False
        scope = found[0].body if isinstance(found[0], ast.ClassDef) else []
    return True


def names(statement: ast.stmt) -> set[str]:
    """Return the names a statement binds that pytest would collect."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Assign):
        return {target.id for target in statement.targets if isinstance(target, ast.Name)}
    return set()


def faults(text: str, root: Path) -> list[str]:
    """Return what is wrong with a page of requirements."""
    found, seen = [], set()
    for identifier, body in requirements(text):
        if identifier in seen:
            found.append(f"{identifier} stands twice")
        seen.add(identifier)
        proofs = TEST_NAME.findall(body.partition("proved by")[2])
        if not proofs and not OPEN.search(body):
            found.append(f"{identifier} names no test")
        found += [f"{identifier}: no test {file}::{name}" for file, name in proofs if not defines(root / file, name)]
    return found


def test_every_requirement_names_an_existing_test(repository):
    pages = sorted((repository / "docs" / "spec").glob("*.md"))
    assert sum(len(requirements(page.read_text())) for page in pages) > 0, "docs/spec holds no requirement"
    assert {page.name: wrong for page in pages if (wrong := faults(page.read_text(), repository))} == {}


HERE = "tests/project/test_docs.py"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"- **ABC-1** Something — proved by `{HERE}::test_every_requirement_names_an_existing_test`", []),
        (f"- **ABC-1** Something\n  long — proved by\n  `{HERE}::HERE`, `{HERE}::names`", []),
        (f"- **ABC-1** Parametrised — proved by `{HERE}::names[a-b]`", []),
        ("- **ABC-1** Later — open: comes with voting", []),
        ("- **ABC-1** Something", ["ABC-1 names no test"]),
        (f"- **ABC-1** It says `{HERE}::names`", ["ABC-1 names no test"]),
        ("- **ABC-1** Something\n\nproved by nothing", ["ABC-1 names no test"]),
        (f"- **ABC-1** A — proved by `{HERE}::absent`", [f"ABC-1: no test {HERE}::absent"]),
        ("- **ABC-1** A — proved by `tests/absent.py::x`", ["ABC-1: no test tests/absent.py::x"]),
        (f"- **ABC-1** A — proved by `{HERE}::names::x`", [f"ABC-1: no test {HERE}::names::x"]),
        ("- **ABC-1** A — open: x\n- **ABC-1** B — not yet", ["ABC-1 stands twice"]),
    ],
)
def test_the_checker_finds_faults(repository, text, expected):
    assert faults(text, repository) == expected


def test_tests_in_classes_and_in_solidity_are_found(tmp_path):
    (tmp_path / "a.py").write_text("class TestA:\n    def test_b(self): ...\nTestC = TestA\n")
    (tmp_path / "a.t.sol").write_text("contract A { function testB(uint256 x) public {} }")
    assert defines(tmp_path / "a.py", "TestA::test_b")
    assert defines(tmp_path / "a.py", "TestC")
    assert not defines(tmp_path / "a.py", "TestA::test_c")
    assert defines(tmp_path / "a.t.sol", "A.testB")
    assert not defines(tmp_path / "a.t.sol", "testC")


def test_relative_links_lead_somewhere(repository, texts):
    broken = []
    for page, text in texts.items():
        if page.suffix == ".md":
            prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)
            for target in re.findall(r"\]\(([^)\s]+)\)", prose):
                file = unquote(target.partition("#")[0])
                if file and "://" not in target and not target.startswith("mailto:"):
                    there = (repository / page.parent / file).exists()
                    broken += [] if there else [f"{page}: {target}"]
    assert broken == []


def decisions(repository):
    return sorted((repository / "docs" / "adr").glob("[0-9]*.md"))


def test_decisions_have_their_parts(repository):
    assert decisions(repository)
    for number, page in enumerate(decisions(repository), 1):
        text = page.read_text()
        assert page.name.startswith(f"{number:04d}-")
        assert re.match(rf"# {number}\. \S", text), page.name
        assert re.findall(r"^## (.*)", text, re.MULTILINE) == [
            "Context",
            "Decision",
            "Consequences",
            "What was measured",
        ]
        assert len(text.splitlines()) <= 70, f"{page.name} is longer than a page"


def test_every_decision_is_listed(repository):
    index = (repository / "docs" / "adr" / "README.md").read_text()
    assert [page.name for page in decisions(repository) if f"({page.name})" not in index] == []


def test_every_make_target_is_documented(repository):
    makefile = (repository / "Makefile").read_text()
    text = (repository / "CONTRIBUTING.md").read_text()
    assert [
        name for name in re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE) if f"`make {name}`" not in text
    ] == []
