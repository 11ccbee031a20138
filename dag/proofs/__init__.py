"""What outsiders can keep and check offline: Merkle trees, checkpoints after C2SP, and proof files."""
