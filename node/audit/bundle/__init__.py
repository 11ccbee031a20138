"""One file that holds everything an audit reads: chain, ledger, statements, ciphertexts (docs/spec/bundle.md)."""
