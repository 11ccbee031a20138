"""What is installed is what was tested: every package is pinned, in one place each, and the places agree."""

import json
import re
import tomllib

import pytest


def normal(name: str) -> str:
    """Return the one spelling of a Python package's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def project(repository):
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def pins(repository):
    lines = [line for line in (repository / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    found = dict(re.fullmatch(r"([\w.-]+)==([\w.!]+)", line).groups() for line in lines)
    assert len(found) == len(lines), "a package is pinned twice"
    return {normal(name): version for name, version in found.items()}


def test_direct_dependencies_are_locked(project, pins):
    wanted = project["dependencies"] + [entry for extra in project["optional-dependencies"].values() for entry in extra]
    for requirement in wanted:
        name, exact = re.fullmatch(r"([\w.-]+)(?:==([\w.]+)|<.*)", requirement).groups()
        assert normal(name) in pins
        assert exact in {None, pins[normal(name)]}, f"{requirement} but constraints.txt says {pins[normal(name)]}"


def test_node_packages_are_locked(repository):
    package = json.loads((repository / "package.json").read_text())
    lock = json.loads((repository / "package-lock.json").read_text())
    assert lock["packages"][""]["dependencies"] == package["dependencies"]
    for name, version in package["dependencies"].items():
        entry = lock["packages"][f"node_modules/{name}"]
        assert entry["version"] == version
    for path, entry in lock["packages"].items():
        if path:
            assert entry["integrity"].startswith("sha512-"), path
            assert "resolved" not in entry, "the lock must not bind anyone to one registry"


def test_one_version_everywhere(repository, project):
    package = json.loads((repository / "package.json").read_text())
    lock = json.loads((repository / "package-lock.json").read_text())
    assert package["version"] == lock["version"] == project["version"]
    headings = re.findall(r"^## (\S+)", (repository / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert project["version"] in headings or headings[0] == "Unreleased"


def test_licence_is_the_one_declared(repository, project):
    assert project["license"] == "Apache-2.0"
    text = (repository / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "[yyyy]" not in text
