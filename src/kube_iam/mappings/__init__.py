"""Where the server's mappings come from: one module per backend, each an atomically swapped snapshot."""
