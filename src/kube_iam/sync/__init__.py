"""`kube-iam sync`: keeps the users of RBAC bindings equal to the members of IAM groups, where the authenticator checks no membership.

Data flows one way, from IAM to bindings:

    bindings --follow--> reconciler --wanted_subjects--> PATCH of the bindings
    IAM --refresher--> membership cache --^   ^-- deny list

- `subjects` computes the users of one binding. It is pure.
- `bindings` follows the bindings with our label and annotations, and writes their subjects.
- `reconciler` compares both every second and after each change, while this process is the leader (`kube.lease`).
- `app` starts the parts, and serves readiness and metrics.

Reads of IAM, their failures and their age are those of the server (`membership`), and so is the deny list (`denylist.watcher`).
"""
