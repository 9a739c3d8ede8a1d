"""`make bench`: kube-iam and the reference side by side, in one run, on one machine. Start at `__main__`.

Whole processes are started by `spawn`, servers by `servers`; load and the fake STS are the Go programs in `tools/`. Each `*_rows`
module measures some rows of the table, `figures` compares them with targets, `report` shows and writes them.
"""
