"""Threshold homomorphic encryption: numbers in, ciphertext bytes out. No I/O, no network, no clock.

Modules in the order in which data passes them: parameters, layout, packing, ceremony, selftest, keys, sealing,
opening, envelope, secrets. README.md shows the protocols as tables; SECURITY.md says what they do not protect.
"""
