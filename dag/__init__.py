"""The ledger: signed transactions in a directed acyclic graph.

Knows nothing of learning, encryption or the chain: it orders, verifies, stores and proves what members posted.
Start reading at `dag.transaction` (what a record is), then `dag.rules` (when one may enter), then `dag.ledger`.
"""
