"""The edge to Kubernetes: the API client, RBAC objects, the authenticator's ConfigMap, kubeconfig files."""
