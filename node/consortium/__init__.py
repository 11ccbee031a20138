"""What the chain says about a consortium, folded into tables, and following it as it grows."""
