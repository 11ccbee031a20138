"""The links of the chain of evidence, one module each. Each `check` notes what is wrong and returns what it established."""
