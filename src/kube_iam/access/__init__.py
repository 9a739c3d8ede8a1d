"""Access levels as code, pure over ports: levels, desired and observed state, plan, guards, apply, grant, revoke, who.

A `ClusterAccess` becomes the desired state; the ports in `ports.py` show what IAM and the cluster hold; their difference is a
plan, which is data; `apply` carries it out change by change.
"""
