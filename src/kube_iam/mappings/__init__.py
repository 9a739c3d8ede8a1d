"""Backends of mappings: each follows its source while the server runs, and `chain` asks them in their order."""
