"""An AWS account in a box on loopback, the webhook wired to it and, where its binaries are found, a real control plane."""
