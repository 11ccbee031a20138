"""tools/node_env.py takes the machine's Node.js where it will do, and the packaged one otherwise."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest


@pytest.fixture
def node_env(repository, monkeypatch):
    spec = importlib.util.spec_from_file_location("node_env", repository / "tools" / "node_env.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "node_env", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bin_directory(tmp_path, monkeypatch):
    """An empty PATH to put programs on."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(directory: Path, name: str, prints: str) -> Path:
    path = directory / name
    path.write_text(f"#!/bin/sh\necho '{prints}'\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("version", ["v20.0.0", "v24.19.0", "v100.1.2-nightly"])
def test_a_recent_machine_node_is_taken(node_env, bin_directory, version):
    node, npm = program(bin_directory, "node", version), program(bin_directory, "npm", "11")
    assert node_env.machine_nodejs() == node_env.NodeJs(node, (str(npm),))


@pytest.mark.parametrize("version", ["v18.20.8", "v9.9.9", "", "Usage: node", "v20"])
def test_an_old_or_strange_node_is_not(node_env, bin_directory, version):
    program(bin_directory, "node", version)
    program(bin_directory, "npm", "11")
    assert node_env.machine_nodejs() is None


def test_node_without_npm_is_not_enough(node_env, bin_directory):
    program(bin_directory, "node", "v24.0.0")
    assert node_env.machine_nodejs() is None


def test_the_packaged_node_is_linked_beside_python(node_env, bin_directory, monkeypatch):
    packaged = node_env.NodeJs(program(bin_directory, "packaged-node", "v24.19.0"), ("npm",))
    environment = bin_directory / "venv" / "bin"
    environment.mkdir(parents=True)
    monkeypatch.setattr(sys, "executable", str(environment / "python"))
    monkeypatch.setattr(node_env, "packaged_nodejs", lambda: None)
    monkeypatch.setattr(node_env, "install_packaged_nodejs", lambda: packaged)
    for _ in range(2):  # a second run finds the link and keeps it working
        assert node_env.choose() == packaged
        assert (environment / "node").resolve() == packaged.node.resolve()


def test_npm_runs_no_package_scripts_and_keeps_the_lock(node_env, tmp_path, monkeypatch):
    record = tmp_path / "arguments"
    npm = tmp_path / "npm"
    npm.write_text(f'#!/bin/sh\necho "$PWD $@" > {record}\nexit 7\n')
    npm.chmod(0o755)
    monkeypatch.setattr(node_env, "REPOSITORY", tmp_path)
    assert node_env.install_packages(node_env.NodeJs(Path(os.devnull), (str(npm),))) == 7
    directory, command, *options = record.read_text().split()
    assert (Path(directory), command) == (tmp_path, "install")
    assert {"--ignore-scripts", "--no-save"} <= set(options)


def test_no_node_anywhere_is_said(node_env, monkeypatch, capsys):
    class Failed:
        returncode = 1

    monkeypatch.setattr(node_env.subprocess, "run", lambda *_arguments, **_options: Failed)
    monkeypatch.setattr(node_env, "packaged_nodejs", lambda: None)
    with pytest.raises(SystemExit) as caught:
        node_env.install_packaged_nodejs()
    assert caught.value.code == 4
    assert "no Node.js 20 or newer" in capsys.readouterr().err
