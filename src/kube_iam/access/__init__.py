"""Access levels as code, pure over ports: plan, apply, destroy, grant, revoke and who.

`config.access` reads a `ClusterAccess` (levels). `desired` computes what each level should be. `observed` reads through the ports
what IAM, the cluster and the mapping hold, and asks `ownership` for the owner of each thing. `level_changes` and `deletions`
compare both, `guards` and `reassignments` say what needs --force, and `plan` orders the changes or says what prevents them.
A plan is data (`changes`); `apply` makes its changes one by one. `members` and `temporary` change who is in a level:
`level_reader` reads for them the part of IAM that they are about, and asks `ownership` too.
"""
