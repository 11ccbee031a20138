"""How each effect of a round is carried out; one file a stretch of docs/spec/round.md.

Every function takes what the hospital brings (`Ports`) and what it knows (`RoundState`) and returns events. Each is
idempotent and may be repeated after a crash at any line: what others will rely on is durable before it is visible.
"""
