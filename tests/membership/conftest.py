"""A deployed consortium of four on an Anvil of this session; every test starts from the same snapshot."""

from tests.chain.conftest import consortium, deployed

__all__ = ["consortium", "deployed"]
