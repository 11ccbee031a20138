"""Key epochs: this member's part in a key ceremony, and the keys it holds afterwards."""
