"""The deny list: sign-ins that are refused at once, whatever IAM and the mappings say.

Data flows one way, from an administrator's command to decisions, and answers to status queries flow back:

    deny, undeny, revoke --now --editor--> ConfigMap --watch--> watcher --find--> decision
              ^                                                    |
              +------- propagation <--prober-- TokenReview <-- status_query

- `denial` is what one entry denies, and the table in which a decision finds the denial of an identity. It also remembers the last
  sign-in of each identity, since kube-apiserver caches sign-ins.
- `entry` reads and writes an entry of the ConfigMap. Malformed entries fail closed: they deny more, never less.
- `editor` changes the ConfigMap for the commands, by optimistic concurrency, and waits until the servers enforce it.
- `watcher` follows the ConfigMap in the server and answers `authn.ports.DenyList`. `service` starts and stops it.
- `status_query` asks one server whether a denial is in force there, through kube-apiserver; `prober` sends it to each API server.
- `propagation` waits until all servers confirm, and computes when the cache of kube-apiserver has ended.
- `denied_members` finds the members of access levels that a denial refuses.

`denial`, `denied_members`, `entry`, `propagation` and `status_query` are pure: no I/O, and time is an argument.
"""
