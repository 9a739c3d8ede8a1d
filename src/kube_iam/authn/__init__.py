"""From a token to a decision, pure over ports: verify, map, and answer allowed, denied (with the reason) or unavailable."""
