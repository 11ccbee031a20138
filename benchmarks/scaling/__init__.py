"""The round's own core, run by many simulated hospitals on virtual time: what `benchmarks.scale` measures.

`counting` says by arithmetic what a round asks of a hospital; `world` runs `node.rounds.machine` for every hospital and has
`effects` carry out what the machines ask, over `wires` that take time and a `ledger` whose transactions are real.
"""
