"""Files that people wrote, to frozen models: the server's config.yaml and access.yaml. All problems of a file are reported at once."""
