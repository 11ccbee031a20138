"""The dashboard's files: what is served, under which policy, and that they hold nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from node.api.access.table import TABLE
from node.api.routes.dashboard import MEDIA_TYPES, read_assets, router

LONGEST = 450


@pytest.fixture(scope="module")
def client() -> TestClient:
    app = FastAPI()
    app.include_router(router(None))
    return TestClient(app)


def test_the_page_comes_under_a_strict_policy(client):
    answer = client.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
    assert policy["require-trusted-types-for"] == "'script'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_every_file_is_served_with_its_kind_and_only_once(client):
    for name, asset in read_assets().items():
        answer = client.get(f"/ui/{name}")
        assert answer.status_code == 200, name
        assert answer.content == asset.content
        assert answer.headers["content-type"] == MEDIA_TYPES[Path(name).suffix]
        assert client.get(f"/ui/{name}", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        "",
        "__init__.py",
        "../__init__.py",
        "..%2f__init__.py",
        "js/../../home.py",
        "js",
        "none.js",
        "%00",
        "css//base.css",
    ],
)
def test_nothing_else_is(client, path):
    assert client.get(f"/ui/{path}").status_code == 404


def test_nobody_needs_credentials_to_load_the_files():
    assert {"anyone"} == set(map(str, TABLE["GET /"].who)) == set(map(str, TABLE["GET /ui/{file:path}"].who))


def test_files_name_no_other_origin(files):
    outside = re.compile(r"(?:https?:)?//(?!www\.w3\.org/2000/svg)[\w-]+\.\w+|@import|\burl\(")
    assert {name: hit[0] for name, text in files.items() if (hit := outside.search(text))} == {}


def test_no_code_or_style_is_inline(files):
    page = files["index.html"]
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", page) == []
    for name in re.findall(r'(?:src|href)="(ui/[^"]+)"', page):
        assert name.removeprefix("ui/") in files


def test_text_never_becomes_markup(files):
    risky = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|srcdoc\s*=|setTimeout\(\s*[\"'`]"
    )
    assert {name: hit[0] for name, text in files.items() if name.endswith(".js") and (hit := risky.search(text))} == {}


def test_every_import_leads_to_a_file_and_to_a_name_of_it(files):
    exported = {
        name: set(re.findall(r"^export (?:async )?(?:function|const|class|let) (\w+)", text, re.MULTILINE))
        for name, text in files.items()
    }
    wrong = []
    for name, text in files.items():
        for names, target in re.findall(r'import (?:\{([^}]*)\}|\* as \w+) from "([^"]+)"', text):
            found = str((Path("/") / name).parent.joinpath(target).resolve()).lstrip("/")
            missing = {one.split(" as ")[0].strip() for one in names.split(",") if one.strip()} - exported.get(
                found, set()
            )
            wrong += [f"{name}: {found} {sorted(missing)}"] if found not in files or missing else []
        for part in re.findall(r"import\(\"([^\"]+)\"\)", text):
            found = str((Path("/") / name).parent.joinpath(part).resolve()).lstrip("/")
            wrong += [] if found in files else [f"{name}: {found}"]
    assert wrong == []


def test_every_imported_name_is_used(files):
    idle = []
    for name, text in files.items():
        for names in re.findall(r"import \{([^}]*)\} from", text):
            for one in names.split(","):
                local = one.split(" as ")[-1].strip()
                if local and len(re.findall(rf"\b{local}\b", text)) < 2:
                    idle.append(f"{name}: {local}")
    assert idle == []


def test_every_function_that_others_may_call_says_what_it_does(files):
    silent = [
        f"{name}: {match[1]}"
        for name, text in files.items()
        for match in re.finditer(r"(?<!\*/\n)^export (?:async )?(?:function|const|class) (\w+)", text, re.MULTILINE)
        if not match[1].isupper()
    ]
    assert silent == []


def test_files_are_of_readable_length(files):
    assert {name: len(text.splitlines()) for name, text in files.items() if len(text.splitlines()) > LONGEST} == {}
