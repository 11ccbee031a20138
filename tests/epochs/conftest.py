"""Argon2id at its lowest cost: these tests seal and unseal hundreds of times."""

from __future__ import annotations

import pytest

from crypto import secrets


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch):
    monkeypatch.setattr(secrets, "MEMORY_KIB", 8)
    monkeypatch.setattr(secrets, "PASSES", 1)
    monkeypatch.setattr(secrets, "LANES", 1)
