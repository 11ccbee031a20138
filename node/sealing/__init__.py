"""Packing and encryption between a model's parameters and the blob store: update -> sealed update -> CIDs, and back."""
