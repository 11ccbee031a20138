"""A network of nodes in one process: seeded, deterministic, thousands of nodes, the daemon's own ledger and sync core.

Nothing of the ledger is written a second time here: each node is a `dag.ledger.Ledger` over a store of its own and a
`dag.sync.SyncMachine`, as in the daemon. Simulated are time (`agenda`), the wires (`network`), the chain (`chain`), what
members post (`member`) and who misbehaves (`adversaries`). `oracle` says what must hold afterwards, `metrics` what was
measured. `python -m dag.simulator --help` runs one; README.md beside this file says what is modelled and what is not.
"""
