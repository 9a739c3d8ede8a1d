"""The authenticator webhook: TLS listener, TokenReview handler, metrics, health, reload, shutdown."""
