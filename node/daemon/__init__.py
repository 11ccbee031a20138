"""The hospital's daemon: one process that keeps ledger, chain, blobs and rounds going and serves the API."""
