"""`medweave demo`: a whole consortium on one machine, from an empty chain to an audited model."""
