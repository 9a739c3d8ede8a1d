"""The rules of the method, pure: partitions, ARNs, SigV4, tokens and their checks, identity, mapping tables, policy evaluation.

Nothing here does I/O or reads the clock, the environment or a random source: time and environment come in as arguments. Modules
on the `token` path import nothing but the cheapest of the standard library.
"""
