"""ValidatingAdmissionPolicy that refuses writes of denied users, where neither the authorizer nor synced bindings are possible.

https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/. Its parameter is the deny list's ConfigMap. CEL
has neither a JSON parser nor a clock. So an entry is compared as text, and an entry that has ended refuses until it is removed.

An entry that `deny` wrote has the form of `_WRITTEN`, and its value and role are compared exactly. Any other entry, written by hand,
refuses each user whose name, ARN, id or key it mentions, whatever else it says. One with `*` or `?` in it refuses all users that an
IAM authenticator signed in.
"""

from __future__ import annotations

from kube_iam.kube.labels import MANAGED_BY, OWNER

NAME = "kube-iam-denied-users"
_API = "admissionregistration.k8s.io/v1"
Manifest = dict[str, object]

# The text as the deny list's entries are written: keys in this order, one object. Values hold neither quotes nor blanks.
_WRITTEN = (
    r'^\\{"kind":"(username|arn|accesskeyid|userid)","value":"[^"*?]+"(,"role":"[^"]+")?(,"iamgroup":"[^"]+")?'
    r'(,"until":"[^"]+")?(,"reason":"([^"\\\\]|\\\\.)*")?(,"actor":"([^"\\\\]|\\\\.)*")?(,"at":"[^"]+")?\\}$'
)
_REMOVED = '"until":"1970-'


def admission_manifests(deny_list: str, failure_policy: str) -> list[Manifest]:
    """Return the policy and its binding. `deny_list` is NAMESPACE/NAME, `failure_policy` is Fail or Ignore."""
    namespace, name = deny_list.split("/")
    metadata = {"name": NAME, "labels": {MANAGED_BY: OWNER}}
    everything = {
        "apiGroups": ["*"],
        "apiVersions": ["*"],
        "operations": ["CREATE", "UPDATE", "DELETE", "CONNECT"],
        "resources": ["*/*"],
    }
    policy: Manifest = {
        "apiVersion": _API,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": metadata,
        "spec": {
            "failurePolicy": failure_policy,
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "matchConstraints": {"resourceRules": [everything]},
            "matchConditions": [{"name": "people", "expression": _PEOPLE}],
            "variables": [{"name": each, "expression": text} for each, text in _VARIABLES.items()],
            "validations": [
                {
                    "expression": f"!variables.entries.exists(e, {_REFUSES})",
                    "message": "denied by kube-iam's deny list",
                    "reason": "Forbidden",
                }
            ],
        },
    }
    binding: Manifest = {
        "apiVersion": _API,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": metadata,
        "spec": {
            "policyName": NAME,
            "paramRef": {"namespace": namespace, "name": name, "parameterNotFoundAction": "Allow"},
            "validationActions": ["Deny"],
        },
    }
    return [policy, binding]


# Users of Kubernetes itself cause no evaluation: nodes, controllers and service accounts.
_PEOPLE = "!request.userInfo.username.startsWith('system:')"


def _extra(key: str) -> str:
    """Return the expression of the first value of an extra field in lower case, empty without one."""
    extra = "request.userInfo.extra"
    present = f"has({extra}) && '{key}' in {extra} && {extra}['{key}'].size() > 0"
    return f"({present}) ? {extra}['{key}'][0].lowerAscii() : ''"


def _escaped(expression: str) -> str:
    """Return the expression as a regular expression. Names in IAM have no other characters that mean something there."""
    return f"{expression}.replace('.', '\\\\.').replace('+', '\\\\+')"


_VARIABLES = {
    # Blanks and letter case do not count. Entries of removed denials, which `undeny` leaves, refuse nobody.
    "entries": "has(params.data) ? params.data.map(k, params.data[k].lowerAscii().replace(' ', ''))"
    f".filter(e, !e.contains('{_REMOVED}')) : []",
    "arn": _extra("arn"),
    "canonical": _extra("canonicalArn"),
    "key": _extra("accessKeyId"),
    "id": _extra("principalId"),
    "session": _extra("sessionName"),
    "user": "request.userInfo.username.lowerAscii()",
    # The IAM user's name: the session's, or the last part of a user's ARN, or of the user name after its prefix.
    "iamUser": "variables.session != '' ? variables.session"
    " : (variables.arn.contains(':user/') ? variables.arn.split('/')[variables.arn.split('/').size() - 1]"
    " : variables.user.split(':')[variables.user.split(':').size() - 1])",
    # A role's ARN without the role's path, as a denial's `role` may have one or not.
    "role": "variables.canonical.contains(':role/') ? variables.canonical.split('/')[variables.canonical.split('/').size() - 1] : ''",
    "rolePattern": _escaped("variables.role"),
    "userPattern": _escaped("variables.iamUser"),
    "account": "variables.canonical.split(':').size() > 4 ? variables.canonical.split(':')[4] : ''",
    "names": "[variables.arn, variables.canonical, variables.key, variables.id, variables.iamUser,"
    " variables.id + ':' + variables.session].filter(n, n != '' && n != ':')",
}


def _value(expression: str) -> str:
    """Return the expression for an entry whose value is that of another expression."""
    return f"e.contains('\"value\":\"' + {expression} + '\"')"


def _of_value(kind: str, name: str) -> str:
    """Return the expression for an entry whose value is the ARN of a user or role of that name, at any path."""
    return (
        f"(variables.account != '' && {name} != '' && e.matches('\"value\":\"arn:[^\"]*::' + variables.account"
        f" + ':{kind}/([^\"]*/)?' + {name} + '\"'))"
    )


_IN_ROLE = (
    "(!e.contains('\"role\":\"') || variables.rolePattern == ''"
    ' || e.matches(\'"role":"[^"]*/\' + variables.rolePattern + \'"\'))'
)
_USER_ARN = _of_value("user", "variables.userPattern")
_ROLE_ARN = _of_value("role", "variables.rolePattern")
_EXACT = f"variables.names.exists(n, {_value('n')}) || {_USER_ARN} || {_ROLE_ARN}"
_MENTIONS = "e.contains('*') || e.contains('?') || variables.names.exists(n, e.contains(n))"
_REFUSES = f"e.matches('{_WRITTEN}') ? ({_IN_ROLE} && ({_EXACT})) : (variables.arn != '' && ({_MENTIONS}))"
