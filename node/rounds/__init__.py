"""One training round (docs/spec/round.md): pure state machine, the records it exchanges, and the worker that acts."""
