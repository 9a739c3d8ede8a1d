"""The access.yaml of a new sandbox: three levels, mapped where the sandbox's authenticator reads."""

from __future__ import annotations

from kube_iam.sandbox.state import ACCOUNT, CLUSTER_ID, REGION, Home, State

NAMESPACE = "shop"
_NO_API_SERVER = "https://127.0.0.1:6443"


def access_file(home: Home, state: State, mapping: str = "configFile") -> str:
    """Return the text of the file. Without a control plane it binds no RBAC and maps into the server's file.

    `mapping` is configFile or crd, the place of the mappings with a control plane.
    """
    where = f"{mapping}: {{}}" if state.api_port else f"file: {home.server_config}"

    def bind(entry: str) -> str:
        return f"\n    bind: [{entry}]" if state.api_port else ""

    return f"""\
apiVersion: kube-iam.dev/v1alpha1
kind: ClusterAccess
cluster:
  id: {CLUSTER_ID}
  name: sandbox
  endpoint: {state.api_url or _NO_API_SERVER}
  certificateAuthority: {home.ca.relative_to(home.root)}
account: "{ACCOUNT}"
region: {REGION}
mapping:
  {where}

levels:
  - name: admin
    description: Runs the applications of all namespaces{bind("{clusterRole: admin}")}

  - name: developer
    description: Works on the {NAMESPACE}{bind(f"{{clusterRole: edit, namespaces: [{NAMESPACE}]}}")}

  - name: viewer
    description: Looks, and touches nothing{bind("{clusterRole: view}")}
"""
