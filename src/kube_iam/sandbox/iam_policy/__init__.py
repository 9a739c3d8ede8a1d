"""An evaluator of IAM trust policies for sts:AssumeRole, which the emulated account uses instead of its own (docs/decisions/0001).

`evaluate` decides about a document statement by statement. It asks `principals` about `Principal`, and `conditions` about
`Condition`, which compares texts, numbers, dates and addresses with `values`. Nothing here does I/O.
"""
