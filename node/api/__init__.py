"""REST: what a person with curl, a peer and the demo ask a node; OpenAPI at `/openapi.json`."""
