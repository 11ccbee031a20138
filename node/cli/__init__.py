"""The `medweave` command."""
