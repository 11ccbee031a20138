"""The rules of CONTRIBUTING.md that no linter knows."""

import ast
import builtins
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ("node", "dag", "crypto", "chain")
LONGEST_FILE = 500
MACHINE_PATH = re.compile(r"(?<![\w.~$)}\]/-])/(?:work|root|farm|home/\w+|Users/\w+)/")
MARKER = re.compile(r"\b(?:TO[D]O|FIX[M]E|XX[X]|HAC[K])\b|raise NotImplemented[E]rror|type:[ ]ignore(?!\[)")
EXCEPTIONS = {
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)
}


@pytest.fixture(scope="session")
def trees(texts) -> dict[Path, ast.Module]:
    """The syntax trees of the product's own modules."""
    return {path: ast.parse(text) for path, text in texts.items() if path.suffix == ".py" and path.parts[0] in PACKAGES}


def hits(pattern: re.Pattern[str], texts: dict[Path, str], suffixes: set[str] | None = None) -> list[str]:
    return [
        f"{path}:{number}: {line.strip()[:100]}"
        for path, text in texts.items()
        if suffixes is None or path.suffix in suffixes
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_import_directions_hold(repository):
    """import-linter's contracts in pyproject.toml."""
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_machine_paths(texts):
    assert hits(MACHINE_PATH, texts) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("see @work@main@x", True),
        ("'@home@ann@data'", True),
        ("GET @root@", True),
        ("https:@@example.org@work@", False),
        ("docs@work@", False),
        ("@homely@x@", False),
    ],
)
def test_the_search_for_machine_paths_can_fail(line, found):
    assert bool(MACHINE_PATH.search(line.replace("@", "/"))) == found


def test_no_left_over_markers(texts):
    assert hits(MARKER, texts, {".py", ".sol", ".js", ".ts"}) == []


def test_files_are_of_readable_length(texts):
    long = {str(path): len(text.splitlines()) for path, text in texts.items() if path.suffix in {".py", ".sol", ".js"}}
    assert {path: lines for path, lines in long.items() if lines > LONGEST_FILE} == {}


def test_verification_raises_and_returns_nothing(trees):
    wrong = [
        f"{path}:{node.lineno} {node.name}"
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("verify_")
        and not (isinstance(node.returns, ast.Constant) and node.returns.value is None)
    ]
    assert wrong == []


def classes(tree: ast.Module) -> list[tuple[str, int, set[str]]]:
    """Name, line and names of the bases of every class in a module."""
    return [
        (node.name, node.lineno, {base.id for base in node.bases if isinstance(base, ast.Name)})
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    ]


def test_errors_live_in_errors_py(trees):
    ours = {name for path, tree in trees.items() if path.name == "errors.py" for name, _, _ in classes(tree)}
    strays = [
        f"{path}:{line} {name}"
        for path, tree in trees.items()
        if path.name != "errors.py"
        for name, line, bases in classes(tree)
        if bases & (EXCEPTIONS | ours) and not name.startswith("_")
    ]
    assert strays == []


def test_errors_py_draws_its_tree(trees):
    missing = [
        f"{path}: {name}"
        for path, tree in trees.items()
        if path.name == "errors.py"
        for name, _, bases in classes(tree)
        if bases and name not in (ast.get_docstring(tree) or "")
    ]
    assert missing == []


def test_every_package_says_what_it_is(trees):
    silent = [str(path) for path, tree in trees.items() if path.name == "__init__.py" and not ast.get_docstring(tree)]
    assert silent == []
