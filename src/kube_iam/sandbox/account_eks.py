"""EKS in the emulated account: clusters without nodes, and access entries with the rules of the service.

The emulator starts a cluster in Docker, checks no user name, group, principal or tag of an access entry, ignores authentication modes
and has no UpdateClusterConfig. Here a cluster is a record. `CLUSTER_FILE` in the account's directory gives the address of the API
server that stands in for it.
https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateAccessEntry.html,
https://docs.aws.amazon.com/eks/latest/userguide/set-custom-username.html
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from kube_iam.core.access_entries import STANDARD, access_entry_refusals
from kube_iam.core.templates import prefix_of
from kube_iam.sandbox.account_answers import Answer

CLUSTER_FILE = "eks.json"
"""JSON with `endpoint` and `certificateAuthority` (base64 of PEM text) of all EKS clusters of the account."""
ROUTES = re.compile(
    r"/clusters|/clusters/[\w-]+(/update-config|/access-entries(/arn:[^?#%]+?(/access-policies(/[^?#%]+)?)?)?)?|/tags/arn:[^?#%]+",
    re.ASCII,
)
"""The paths that the account answers, decoded. No ARN has a percent sign: one would be decoded twice."""
_MODES = ("CONFIG_MAP", "API_AND_CONFIG_MAP", "API")
_NODE_TYPES = ("EC2_LINUX", "EC2_WINDOWS", "FARGATE_LINUX", "EC2", "HYBRID_LINUX", "HYPERPOD_LINUX")
_MOST_TAGS = 50
_ENTRIES = re.compile(r"/clusters/([\w-]+)/access-entries(?:/(.+?))?(/access-policies(?:/(.+))?)?", re.ASCII)
_PRINCIPAL = re.compile(r"arn:aws:iam::(\d{12}):(role|user)(/.*)", re.ASCII)

Handler = Callable[[str, str, dict[str, Any], Mapping[str, str]], Answer | None]


def with_eks_rules(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return the emulator's handler of EKS behind the rules of the service."""

    async def handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> Answer:
        path = unquote(path)
        if method == "DELETE" and path.startswith("/tags/"):
            return await _untag(original, path, headers, query.get("tagKeys", []))
        parameters = {name: values[0] for name, values in query.items()}
        try:
            data = json.loads(body) if body else {}
        except ValueError:
            return _error(400, "InvalidParameterException", "The request body is no JSON.")
        answer = _refusal(method, path, data) or _own_answer(method, path, data, parameters)
        if answer is None:
            answer = await original(method, path, headers, body, query)
            _complete(method, path, data, answer)
            answer = _shown(method, path, answer)
        return answer

    return handle


async def _untag(original: Callable[..., Any], path: str, headers: dict[str, str], keys: list[str]) -> Answer:
    """Remove all tags of the request: the emulator takes the first one alone."""
    answer = _error(400, "BadRequestException", "There are no tag keys.")
    for key in keys:
        answer = await original("DELETE", path, headers, b"", {"tagKeys": [key]})
        _complete("DELETE", path, {}, answer)
    return answer


def entry_resource(path: str, region: str, account: str) -> str:
    """Return the ARN of the access entry or tagged resource that a request is about, empty for any other request."""
    path = unquote(path)
    if path.startswith("/tags/"):
        return path.removeprefix("/tags/")
    found = _ENTRIES.fullmatch(path)
    if found is None or found[2] is None:
        return ""
    entry = _eks()._access_entries.get(_key(found[1], found[2]))
    return str(entry["accessEntryArn"]) if entry else f"arn:aws:eks:{region}:{account}:access-entry/{found[1]}/none"


def _refusal(method: str, path: str, data: dict[str, Any]) -> Answer | None:
    """Return the error of EKS for a request, None where the service would carry it out."""
    found = _ENTRIES.fullmatch(path)
    if found is None:
        return None
    cluster = _eks()._clusters.get(found[1])
    if cluster is None:
        return _error(404, "ResourceNotFoundException", f"No cluster found for name: {found[1]}.")
    if cluster["accessConfig"]["authenticationMode"] == "CONFIG_MAP":
        modes = "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform this operation."
        return _error(400, "InvalidRequestException", modes)
    if found[2] and _key(found[1], found[2]) not in _eks()._access_entries:
        text = "The specified principalArn could not be found. You can view your available access entries with 'list-access-entries'."
        return _error(404, "ResourceNotFoundException", text)
    if method != "POST" or found[3]:
        return None
    if found[2] is None:
        return _create_refusal(found[1], data)
    return _values_refusal(_eks()._access_entries[_key(found[1], found[2])]["type"], data)


def _create_refusal(cluster: str, data: dict[str, Any]) -> Answer | None:
    principal, kind = str(data.get("principalArn", "")), data.get("type") or STANDARD
    if kind not in (STANDARD, *_NODE_TYPES):
        return _error(400, "InvalidParameterException", f"The specified type {kind} is not supported.")
    if _principal_id(principal) is None:
        text = "The specified principalArn is invalid: invalid principal."
        return _error(400, "InvalidParameterException", text)
    if _key(cluster, principal) in _eks()._access_entries:
        text = "The specified access entry resource is already in use on this cluster."
        return _error(409, "ResourceInUseException", text)
    if len(data.get("tags") or {}) > _MOST_TAGS:
        return _error(400, "InvalidParameterException", f"The number of tags must be at most {_MOST_TAGS}.")
    return _values_refusal(kind, data)


def _values_refusal(kind: str, data: dict[str, Any]) -> Answer | None:
    username, groups = str(data.get("username") or ""), data.get("kubernetesGroups") or []
    if kind != STANDARD and (username or groups):
        text = f"Access entries of type {kind} take neither username nor kubernetesGroups."
        return _error(400, "InvalidRequestException", text)
    for group in groups:
        if prefix := prefix_of(str(group), ("system:",)):
            text = f"The kubernetes group name {group} is invalid, it cannot start with {prefix}"
            return _error(400, "InvalidParameterException", text)
    refusal = next(access_entry_refusals(username), "")
    return _error(400, "InvalidParameterException", f"The username is invalid: {refusal}") if refusal else None


def _own_answer(method: str, path: str, data: dict[str, Any], parameters: Mapping[str, str]) -> Answer | None:
    """Answer what the emulator lacks or answers otherwise; None for everything else."""
    eks = _eks()
    entries = _ENTRIES.fullmatch(path)
    if entries is not None and entries[2] is None and method == "GET" and "associatedPolicyArn" not in parameters:
        prefix = f"{entries[1]}\x00"
        present = sorted(each["principalArn"] for key, each in eks._access_entries.items() if key.startswith(prefix))
        start, size = int(parameters.get("nextToken", "0")), int(parameters.get("maxResults", "100"))
        more = {"nextToken": str(start + size)} if start + size < len(present) else {}
        return _answer({"accessEntries": present[start : start + size], **more})
    config = re.fullmatch(r"/clusters/([\w-]+)/update-config", path)
    if config is not None and method == "POST":
        return _update_mode(config[1], str((data.get("accessConfig") or {}).get("authenticationMode", "")))
    if path == "/clusters" and method == "POST":
        given = dict(data.get("accessConfig") or {})
        data["accessConfig"] = given
        if given.setdefault("authenticationMode", "CONFIG_MAP") not in _MODES:
            return _error(400, "InvalidParameterException", "The specified authenticationMode is not supported.")
    return None


def _update_mode(name: str, mode: str) -> Answer:
    cluster = _eks()._clusters.get(name)
    if cluster is None:
        return _error(404, "ResourceNotFoundException", f"No cluster found for name: {name}.")
    present = cluster["accessConfig"]["authenticationMode"]
    if mode not in _MODES or _MODES.index(mode) != _MODES.index(present) + 1:
        text = f"Unsupported authentication mode update from {present} to {mode}"
        return _error(400, "InvalidParameterException", text)
    cluster["accessConfig"]["authenticationMode"] = mode
    update = {"id": str(uuid.uuid4()), "status": "Successful", "type": "AccessConfigUpdate", "createdAt": time.time()}
    return _answer({"update": update})


def _complete(method: str, path: str, data: dict[str, Any], answer: Answer) -> None:
    """Complete the records that the emulator has written."""
    eks = _eks()
    if answer[0] != 200:
        return
    if path == "/clusters" and method == "POST":
        cluster = eks._clusters[data["name"]]
        cluster["accessConfig"] = {"authenticationMode": "CONFIG_MAP", **(data.get("accessConfig") or {})}
        for entry in eks._access_entries.values():  # that of the principal that creates the cluster
            entry["username"] = entry["username"] or _default_username(entry["principalArn"])
    found = _ENTRIES.fullmatch(path)
    if found is not None and method == "POST" and not found[3]:
        entry = eks._access_entries[_key(found[1], found[2] or data["principalArn"])]
        entry["modifiedAt"] = time.time()
        if found[2] is None:
            entry["createdAt"] = time.time()
        if not entry["username"]:
            entry["username"] = _default_username(entry["principalArn"])
    if path.startswith("/tags/"):
        for entry in eks._access_entries.values():
            entry["tags"] = dict(eks._tags.get(entry["accessEntryArn"], {}))


def _shown(method: str, path: str, answer: Answer) -> Answer:
    """Return the answer with what `_complete` has changed since it was made, and with the address of the API server."""
    eks, found = _eks(), _ENTRIES.fullmatch(path)
    data = json.loads(answer[2]) if answer[0] == 200 and answer[2] else {}
    if found is not None and "accessEntry" in data and method != "DELETE":
        return _answer({"accessEntry": eks._access_entries[_key(found[1], data["accessEntry"]["principalArn"])]})
    if "cluster" in data and method != "DELETE":
        cluster = eks._sanitize(eks._clusters[data["cluster"]["name"]])
        return _answer({"cluster": {**cluster, **_address()}})
    return answer


def _address() -> dict[str, object]:
    try:
        found = json.loads((Path.home() / CLUSTER_FILE).read_text())
    except FileNotFoundError:
        return {"endpoint": "", "certificateAuthority": {"data": ""}}
    return {"endpoint": found["endpoint"], "certificateAuthority": {"data": found["certificateAuthority"]}}


def _entry_arn(cluster_name: str, principal_arn: str) -> str:
    """Return the ARN of an access entry as EKS makes it: with kind, account and name of the principal."""
    eks, found = _eks(), _PRINCIPAL.fullmatch(principal_arn)
    kind, account, name = (found[2], found[1], found[3].rpartition("/")[2]) if found else ("role", "0", "none")
    place = f"arn:aws:eks:{eks.get_region()}:{eks.get_account_id()}:access-entry"
    return f"{place}/{cluster_name}/{kind}/{account}/{name}/{uuid.uuid4()}"


def _tagged(arn: str) -> tuple[str | None, Answer | None]:
    """Return the ARN of a cluster or access entry that exists, or the error of EKS."""
    eks = _eks()
    records = ((eks._clusters, "arn"), (eks._access_entries, "accessEntryArn"))
    if any(record.get(name) == arn for table, name in records for record in table.values()):
        return arn, None
    return None, _error(404, "NotFoundException", f"No resource found for ARN: {arn}.")


def _principal_id(arn: str) -> str | None:
    """Return the unique id of a role or user; empty for one of another account, None where there is none."""
    found, iam = _PRINCIPAL.fullmatch(arn), import_module("ministack.services.iam")
    if found is None:
        return None
    if found[1] != _eks().get_account_id():
        return ""
    table = iam._roles if found[2] == "role" else iam._users
    record = table.get(arn.rpartition("/")[2])
    return str(record["RoleId" if found[2] == "role" else "UserId"]) if record and record["Arn"] == arn else None


def _default_username(principal: str) -> str:
    """Return the user name that EKS gives to an entry without one."""
    role = re.fullmatch(r"arn:aws:iam::(\d{12}):role/(?:.*/)?([^/]+)", principal, re.ASCII)
    return f"arn:aws:sts::{role[1]}:assumed-role/{role[2]}/{{{{SessionName}}}}" if role else principal


REPLACEMENTS: Mapping[str, tuple[tuple[str, ...], Callable[..., Any]]] = {
    "_get_docker": ((), lambda: None),
    "_access_entry_arn": (("cluster_name", "principal_arn"), _entry_arn),
    "_resolve_tag_resource_arn": (("arn",), _tagged),
}
"""Functions of the emulator's EKS that are replaced, with their parameters."""


def _key(cluster: str, principal: str) -> str:
    return f"{cluster}\x00{principal}"


def _answer(data: object) -> Answer:
    return 200, {"Content-Type": "application/json"}, json.dumps(data).encode()


def _error(status: int, code: str, message: str) -> Answer:
    body = json.dumps({"__type": code, "message": message}).encode()
    return status, {"Content-Type": "application/json", "x-amzn-errortype": code}, body


def _eks() -> Any:
    return import_module("ministack.services.eks")
