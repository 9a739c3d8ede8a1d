"""Membership in IAM groups: what the server knows of it, and what a decision asks.

Data flows one way, from IAM to decisions:

    mappings in force --set_tracked--> refresher --IamReader--> snapshots --update_*--> cache <--check_*-- decision

- The mappings in force name IAM groups and roles. `refresher` tracks these and no others.
- `refresher` reads each of them with `iam_reader` again and again, in threads, and slows down by `backoff` while IAM fails.
- A read that succeeded becomes a snapshot (`snapshots`) in the `cache`. A failed or partial read changes nothing.
- A decision looks up the `cache` and never calls IAM. Snapshots that are too old admit nobody.
- `name_reuse`, `role_history` and `trust_history` remember what a single read does not show: a user, role or trust policy that was
  replaced while earlier sessions may live. They are kept in memory; a restart forgets them.
- `status_queries` answers questions of administrators about the cache, through kube-apiserver.
- `service` joins cache and refresher to the port that the decision sees (`authn.ports.MembershipCheck`).

All modules but `refresher` and `iam_reader` are pure: no I/O, and time is an argument or a clock that is passed in.
"""
