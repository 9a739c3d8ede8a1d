"""Sign in to Kubernetes with AWS IAM: tokens, the authenticator webhook, and access levels as code.

Two stories run through the package. Someone runs kubectl: `cli` finds credentials (`aws`), mints a token (`core`); the webhook
(`server`) checks it (`core`), asks STS (`aws`), finds the mapping (`mappings`) and decides (`authn`). An administrator says who
may enter: `access.yaml` (`config`) becomes a desired state (`access`), is compared with IAM (`aws`) and the cluster (`kube`),
becomes a plan, and is applied.
"""
