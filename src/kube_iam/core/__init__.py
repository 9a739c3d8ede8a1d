"""Pure rules of signing in: partitions, ARNs, SigV4, tokens and their checks, identities, mapping tables, trust policies.

Nothing here does I/O or reads the clock, the environment or a random source: time and environment are arguments. Modules on the
`token` path import only what is cheap of the standard library.
"""
