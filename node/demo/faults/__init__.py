"""What can go wrong with a hospital's machine, its links and its chain, done to a demo on purpose, and what must hold after it."""
