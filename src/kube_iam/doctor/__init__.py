"""`kube-iam doctor`: checks of a sign-in from the user's side, in the order of the sign-in, and the table of causes."""
