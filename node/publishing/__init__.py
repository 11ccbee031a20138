"""Transactions between this hospital's ledger and its peers: attach, announce, receive, fetch what is missing."""
