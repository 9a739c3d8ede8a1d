"""Question and answer between kubectl and an exec plugin (client.authentication.k8s.io v1 and v1beta1).

On the `token` path: the few strings that kubectl really sends are recognised as they are; `json` is imported for others only.
"""

V1 = "client.authentication.k8s.io/v1"
V1BETA1 = "client.authentication.k8s.io/v1beta1"


class ExecInfo:
    """KUBERNETES_EXEC_INFO: the API version to answer with; whether a person may be asked on the terminal (None: not said)."""

    __slots__ = ("api_version", "interactive")

    def __init__(self, api_version: str = V1BETA1, interactive: bool | None = None) -> None:
        self.api_version = api_version
        self.interactive = interactive

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ExecInfo):
            return NotImplemented
        return self.api_version == other.api_version and self.interactive == other.interactive

    def __hash__(self) -> int:
        return hash((self.api_version, self.interactive))

    def __repr__(self) -> str:
        return f"ExecInfo({self.api_version!r}, {self.interactive!r})"


_USUAL = {
    f'{{"kind":"ExecCredential","apiVersion":"{version}","spec":{{"interactive":{word}}}}}': ExecInfo(version, answer)
    for version in (V1, V1BETA1)
    for word, answer in (("true", True), ("false", False))
}


def api_version_of(exec_info: str) -> ExecInfo:
    """Read the value of KUBERNETES_EXEC_INFO; empty or unreadable text counts as v1beta1, as in the reference.

    Raises ValueError for an API version that no current kubectl understands in an answer.
    """
    exec_info = exec_info.strip()
    if not exec_info:
        return ExecInfo()
    return _USUAL.get(exec_info) or _parse(exec_info)


def _parse(exec_info: str) -> ExecInfo:
    from json import loads

    try:
        request = loads(exec_info)
    except (ValueError, RecursionError):
        return ExecInfo()
    if not isinstance(request, dict):
        return ExecInfo()
    version = request.get("apiVersion") or V1BETA1
    if version not in (V1, V1BETA1):
        raise ValueError(f"KUBERNETES_EXEC_INFO asks for apiVersion {version!r:.80}; {V1} and {V1BETA1} are served")
    spec = request.get("spec")
    interactive = spec.get("interactive") if isinstance(spec, dict) else None
    return ExecInfo(version, interactive if isinstance(interactive, bool) else None)


def exec_credential(token: str, expiration: float, api_version: str) -> str:
    """Return the answer for kubectl, one JSON line without its newline. `expiration` is Unix seconds; it is rounded down.

    Every value is made of characters that JSON leaves alone, so no encoder is needed.
    """
    from kube_iam.core.utc import rfc3339

    return (
        f'{{"kind":"ExecCredential","apiVersion":"{api_version}","spec":{{"interactive":false}},'
        f'"status":{{"expirationTimestamp":"{rfc3339(expiration)}","token":"{token}"}}}}'
    )
