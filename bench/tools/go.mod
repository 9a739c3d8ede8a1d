module kube-iam-bench

go 1.23
