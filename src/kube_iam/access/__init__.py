"""Access levels as code, pure over ports: plan, apply, destroy, grant, revoke and who.

`config.access` reads a `ClusterAccess` (levels). `desired` computes what each level should be. `observed` reads through the ports
what IAM, the cluster and the mapping hold, and asks `ownership` for the owner of each thing. `level_changes` and `deletions`
compare both, `guards`, `reassignments` and `unmanaged` say what needs --force or prevents the plan, and `plan` orders the
changes. A plan is data (`changes`); `apply` makes its changes one by one. `members` and `temporary` change who is in a level.
"""
