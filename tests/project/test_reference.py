"""The reference is complete: what the code offers is in the documentation, and what the documentation shows exists."""

from __future__ import annotations

import ast
import json
import re
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path

import click
import pytest

from node.api.access.table import TABLE
from node.cli.main import COMMANDS
from node.config import NodeConfig
from node.home import Home
from tests.project.commandlines import fault, shown
from tools.reference import chain, errors, logs, settings
from tools.reference.__main__ import FOLDER, PAGES, stale


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_what_the_code_says(page):
    assert page not in stale(), (
        f"docs/reference/{page} is not up to date: run `make reference` and look at what changed"
    )


def test_a_stale_page_is_noticed(tmp_path):
    for name, page in PAGES.items():
        (tmp_path / name).write_text(page(), encoding="utf-8")
    assert stale(tmp_path) == []
    (tmp_path / "log.md").write_text("old")
    (tmp_path / "chain.md").unlink()
    assert stale(tmp_path) == ["log.md", "chain.md"]


def below(name, command):
    yield name, command
    for child, one in getattr(command, "commands", {}).items():
        yield from below(f"{name} {child}", one)


PAGES_FOR_BROWSERS = {"GET /", "GET /ui/{file:path}", "GET /openapi.json"}

ALL = [pair for name, module in COMMANDS.items() for pair in below(f"medweave {name}", import_module(module).command)]


def test_every_command_and_option_has_its_place():
    text = (FOLDER / "commands.md").read_text()
    sections = dict(re.findall(r"^##+ (medweave [\w -]+)\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL))
    assert set(sections) == {name for name, _ in ALL}
    missing = [
        f"{name} {option}"
        for name, command in ALL
        for parameter in command.params
        if not getattr(parameter, "hidden", False)
        for option in parameter.opts
        if option.startswith("-") and f"`{option}`" not in sections[name]
    ]
    assert missing == []


def test_every_command_and_option_says_what_it_does():
    silent = [name for name, command in ALL if not command.help]
    silent += [
        f"{name} {parameter.opts[0]}"
        for name, command in ALL
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden and not parameter.help
    ]
    assert silent == []


def test_every_setting_is_in_both_tables(repository):
    manual = (repository / "docs" / "operations.md").read_text()
    reference = (FOLDER / "settings.md").read_text()
    keys = [
        (section, key) for section, model in NodeConfig.model_fields.items() for key in model.annotation.model_fields
    ]
    assert [f"[{section}] {key}" for section, key in keys if f"| `[{section}] {key}` |" not in manual] == []
    assert [f"[{section}] {key}" for section, key in keys if f"\n| `{key}` |" not in reference] == []


def test_every_command_is_in_the_manuals_table(repository):
    """A row begins with `medweave a b`, `c`, `d`: the commands a b, a c and a d."""
    manual = (repository / "docs" / "operations.md").read_text()
    listed = set()
    for cell in re.findall(r"^\| (`medweave [^|]*) \|", manual, re.MULTILINE):
        for first, more in re.findall(r"`medweave ([^`]*)`((?:, `[a-z-]+`)*)", cell):
            words = first.split()
            listed |= {f"medweave {words[0]}", f"medweave {' '.join(words[:2])}"}
            listed |= {f"medweave {words[0]} {other}" for other in re.findall(r"`([a-z-]+)`", more)}
    assert [name for name, _ in ALL if name not in listed] == []


def test_every_file_of_a_hospitals_directory_is_in_the_manual(repository):
    manual = (repository / "docs" / "operations.md").read_text()
    (listed,) = re.findall(r"^    HOME/\n((?:      .*\n)+)", manual, re.MULTILINE)
    home = Home(Path("HOME"))
    names = [getattr(home, name) for name, value in vars(Home).items() if isinstance(value, property)]
    files = [path.relative_to("HOME").as_posix() for path in names]
    stems = [line.split()[0] for line in listed.splitlines()]
    missing = [f for f in files if not any(fnmatch(f, stem) or stem.startswith(f) for stem in stems)]
    assert missing == []


def test_every_environment_variable_is_known():
    assert settings.variables_read() <= set(settings.VARIABLES)


def test_every_error_class_is_listed(trees_of_errors):
    text = (FOLDER / "errors.md").read_text()
    assert [name for name in trees_of_errors if f"| `{name}` |" not in text] == []
    assert [one.__name__ for module in errors.modules() for one in errors.classes(module) if not one.__doc__] == []


@pytest.fixture(scope="module")
def trees_of_errors(repository):
    """Every class in every errors.py, found without importing anything."""
    files = [p for package in ("node", "dag", "crypto", "chain") for p in (repository / package).rglob("errors.py")]
    found = [n.name for p in files for n in ast.parse(p.read_text()).body if isinstance(n, ast.ClassDef) and n.bases]
    assert len(found) > 100
    return found


def test_every_exit_code_has_a_meaning(repository):
    """Codes of error classes, and literal codes that commands end with."""
    codes = {errors.exit_code_of(one) for module in errors.modules() for one in errors.classes(module)} - {None}
    for path in (repository / "node" / "cli").glob("*.py"):
        codes |= {
            int(code) for code in re.findall(r"(?:sys\.exit\(|^ +return )(\d+)\)?$", path.read_text(), re.MULTILINE)
        }
    assert codes <= set(errors.EXIT_CODES)
    manual = (repository / "docs" / "operations.md").read_text()
    assert [code for code in errors.EXIT_CODES if f"\n| {code} |" not in manual] == []


def test_every_event_and_error_of_the_contracts_is_listed(repository):
    """Against the compiled contracts' own interfaces, which the pages do not read."""
    told = set()
    for path in (repository / "chain" / "artifacts").glob("*.json"):
        told |= {row["name"] for row in json.loads(path.read_text())["abi"] if row["type"] == "event"}
    listed = {said.name for said in (s for declared in chain.interfaces().values() for s in declared)}
    assert told - listed == {"EIP712DomainChanged"}, "OpenZeppelin's own, never emitted here"
    assert [said.name for declared in chain.interfaces().values() for said in declared if not said.notice] == []


def test_every_route_metric_and_event_of_the_stream_is_listed(repository):
    """By the table of who may call what, which serves nothing it does not know, and by the code of figures and events."""
    text = (FOLDER / "api.md").read_text()
    rows = [
        row.replace(":path}", "}") for row in TABLE if not row.startswith("HEAD ") and row not in PAGES_FOR_BROWSERS
    ]
    assert [row for row in rows if f"### `{row}`" not in text] == []
    metrics = set(re.findall(r'"(medweave_\w+)"', (repository / "node" / "api" / "metrics.py").read_text()))
    assert len(metrics) > 20
    assert [name for name in metrics if f"| `{name}` |" not in text] == []
    told = set(re.findall(r'yield "(\w+)", |publish\("(\w+)"', "".join(
        (repository / "node" / "api" / name).read_text() for name in ("changes.py", "events.py")
    )))  # fmt: skip
    names = {"gap"} | {first or second for first, second in told}
    assert len(names) >= 8
    assert [name for name in names if f"| `{name}` |" not in text] == []


def test_every_log_line_is_listed_and_literal(repository):
    """Events are named after literal templates: a message put together before would have another name each time."""
    listed = {(line.module, line.template) for line in logs.lines()}
    call = re.compile(r"\blog\.(?:debug|info|warning|error|exception|critical)\(\s*(f?)\"")
    found = 0
    for package in ("node", "chain", "dag"):
        for path in (repository / package).rglob("*.py"):
            for put_together in call.findall(path.read_text()):
                found += 1
                assert not put_together, f"{path}: a log message is an f-string"
    assert found > 0
    assert len(listed) >= found * 0.9


PAGES_SHOWN = ["README.md", "CONTRIBUTING.md", "docs", "tools"]


def test_every_command_line_in_the_documentation_parses(repository):
    pages = [
        page
        for name in PAGES_SHOWN
        for page in ([repository / name] if name.endswith(".md") else (repository / name).rglob("*.md"))
    ]
    wrong = {
        f"{page.relative_to(repository)}: {line}": why
        for page in pages
        if page.parent.name != "adr"
        for line in shown(page.read_text(encoding="utf-8"))
        if (why := fault(line)) is not None
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("medweave backup --home DIR --out FILE", None),
        ("medweave backup --hom DIR", "there is no option --hom"),
        ("medweave bakup", "there is no command 'bakup'"),
        ("medweave keys bakup --home DIR", "there is no command 'bakup'"),
        ("medweave ledger verify x.proof --members members.json       anywhere", None),
        ("medweave keys backup", None),
        ("medweave node --home 'DIR", "No closing quotation"),
    ],
)
def test_the_check_of_command_lines_can_fail(line, found):
    assert fault(line) == found


def test_command_lines_are_found_wherever_they_stand():
    text = """
Say `medweave node` or

    medweave keys backup --home DIR \\
        --out FILE
    $ medweave doctor
    docker compose -f x.yaml run --rm node init --home DIR
    docker compose exec hospital-a medweave members list

```sh
sudo -u medweave medweave join --to URL
```
"""
    assert shown(text) == [
        "medweave join --to URL",
        "medweave keys backup --home DIR --out FILE",
        "medweave doctor",
        "medweave init --home DIR",
        "medweave members list",
        "medweave node",
    ]
