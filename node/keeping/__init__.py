"""A whole hospital's directory in one sealed file, taken while its node runs, and back without stale promises."""
