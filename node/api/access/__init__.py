"""Who may ask a node what: tokens for people, signed requests of members, one table of routes, limits, the access log."""
