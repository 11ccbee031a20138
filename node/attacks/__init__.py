"""Hospitals that lie, for tests, `medweave demo --attack` and `benchmarks.attacks`.

A node that is run as documented cannot be made one of these: no command, setting or route leads here.
"""
