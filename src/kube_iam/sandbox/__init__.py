"""An emulated AWS account on loopback, the webhook that uses it and, where the binaries are found, a real control plane."""
