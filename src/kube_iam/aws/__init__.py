"""The edge to AWS: credentials and session cache, STS, the IAM directory. The only package that imports botocore, and lazily."""
