"""The authenticator webhook: a server that kube-apiserver asks about each bearer token.

A request comes to the socket of `listener`, passes `connections` (time limits) and is answered by `http`. `authn.decide` decides, with
the identity that `verifier` gets from STS; `sts_outages` stands between them while STS is silent or failing.

`app` creates all parts, starts them and stops them. Before it is loaded, `early_port` and `ports` open the listening sockets.
`observers` write what other packages report to `log` and `metrics`.
"""
