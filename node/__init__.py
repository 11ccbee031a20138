"""The hospital: the only package that knows all the others."""
