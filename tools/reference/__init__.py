"""The reference pages of docs/reference, written from the code itself: `python -m tools.reference`."""
