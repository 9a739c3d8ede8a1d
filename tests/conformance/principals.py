"""The principals of the tables, and a setup that maps most of them."""

from __future__ import annotations

from named_sts import Principal, Scripted, identity_json
from setups import Setup

ACCOUNT = "123456789012"
OTHER = "210987654321"
SCRUBBED = "999999999999"
_SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role"


def session(key: int, role: str, name: str = "s", *, account: str = ACCOUNT, partition: str = "aws") -> Principal:
    """Return a session of a role."""
    arn = f"arn:{partition}:sts::{account}:assumed-role/{role}/{name}"
    return Principal(f"ASIACONFORMANCE{key:05}", arn, f"AROA{role.upper()[:8]}:{name}", account)


def user(key: int, name: str, *, account: str = ACCOUNT) -> Principal:
    """Return a user, whose name may have a path."""
    return Principal(
        f"AKIACONFORMANCE{key:05}", f"arn:aws:iam::{account}:user/{name}", f"AIDA{name.rpartition('/')[2]}", account
    )


ADMIN = session(1, "Admin", "alice@example.com")
PATHED = session(2, "Pathed", "carl")
SSO = session(3, "AWSReservedSSO_Ops_0123456789abcdef", "olga")
BOB = user(4, "bob")
EVE = user(5, "team/Eve")
ROOT = Principal("AKIACONFORMANCE00006", f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT)
FEDERATED = Principal("ASIACONFORMANCE00007", f"arn:aws:sts::{ACCOUNT}:federated-user/fred", f"{ACCOUNT}:fred")
STRANGER = session(8, "Nobody", "nick")
AUTO = user(9, "auto", account=OTHER)
AUTO_ROLE = session(10, "Auto", "aron", account=OTHER)
SCRUB = session(11, "Scrub", "tina", account=SCRUBBED)
RESERVED = session(12, "Reserved", "rita")
TOKENED = Principal("ASIACONFORMANCE00013", f"{_SESSION}/Admin/bert", "AROAADMIN:bert", session_token="a+b/c==")
LONG = Principal("ASIACONFORMANCE00014", f"{_SESSION}/Admin/lola", "AROAADMIN:lola", session_token="s" * 4000)
ODD = Principal("ASIACONFORMANCE00015", f"{_SESSION}/Admin/odd", "AROAADMIN:odd", session_token="a,b")
CHINESE = session(16, "Admin", "chen", partition="aws-cn")
NODE = session(17, "Node", "i-0123456789abcdef0")

_GOOD = Principal("", f"{_SESSION}/Admin/x", "AROAADMIN:x")
_XML = (
    '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
    f"<Arn>{_GOOD.arn}</Arn><UserId>{_GOOD.user_id}</UserId><Account>{ACCOUNT}</Account></GetCallerIdentityResult>"
    "</GetCallerIdentityResponse>"
)


def _json(arn: str = _GOOD.arn, user_id: str = _GOOD.user_id, account: str = ACCOUNT) -> Scripted:
    return Scripted(200, identity_json(Principal("", arn, user_id, account)))


def _error(status: int, code: str) -> Scripted:
    return Scripted(
        status, f'{{"Error":{{"Code":"{code}","Message":"Rate exceeded","Type":"Sender"}},"RequestId":"x"}}'
    )


ANSWERS: dict[str, tuple[Scripted, str]] = {
    "a throttled request": (_error(400, "Throttling"), ""),
    "a throttled request, as a failure": (_error(503, "Throttling"), ""),
    "an ended session": (_error(403, "ExpiredToken"), ""),
    "a failure": (_error(500, "InternalFailure"), ""),
    "no answer": (Scripted(0, ""), ""),
    "a redirect": (Scripted(302, ""), ""),
    "nothing": (Scripted(200, ""), ""),
    "no JSON": (Scripted(200, "<html>", "text/html"), ""),
    "another response": (Scripted(200, _json().body.replace("GetCallerIdentity", "GetSessionToken")), ""),
    "no ARN": (_json(arn=""), ""),
    "an ARN of another service": (_json(arn=f"arn:aws:ecs::{ACCOUNT}:role/x"), ""),
    "an ARN of no partition": (_json(arn=f"arn:aws-moon:iam::{ACCOUNT}:user/x"), ""),
    "a role's session without a name": (_json(arn=f"{_SESSION}/Admin"), ""),
    "a role's session without a session in its id": (_json(user_id="AROAADMIN"), ""),
    "a role's session with two in its id": (_json(user_id="AROAADMIN:x:y"), ""),
    "XML": (Scripted(200, _XML, "text/xml"), "A9"),
    "another account's": (_json(account=OTHER), "A10"),
    "a field twice": (Scripted(200, _json().body.replace('"Account"', '"Account": "1", "Account"')), "A10"),
    "an empty session name": (_json(user_id="AROAADMIN:"), "A10"),
    "another's session name in the id": (_json(user_id="AROAADMIN:y"), "A10"),
    "a user with a session in the id": (_json(arn=f"arn:aws:iam::{ACCOUNT}:user/bob", user_id="AIDABOB:x"), "A10"),
    "another content type": (Scripted(200, _json().body, "text/html"), "A10"),
}
"""Answers of STS, and the row where the two servers take them differently."""

SCRIPTED = {
    name: Principal(f"ASIASCRIPTED0000{number:04}", _GOOD.arn, _GOOD.user_id, answer=answer)
    for number, (name, (answer, _)) in enumerate(ANSWERS.items())
}

PEOPLE = {
    who.key: who
    for who in (
        *(ADMIN, PATHED, SSO, BOB, EVE, ROOT, FEDERATED, STRANGER, AUTO, AUTO_ROLE, SCRUB, RESERVED),
        *(TOKENED, LONG, ODD, CHINESE, NODE, *SCRIPTED.values()),
    )
}

EVERYBODY = Setup(
    "everybody",
    f"""\
  scrubbedAccounts: ["{SCRUBBED}"]
  reservedPrefixConfig:
  - backendMode: MountedFile
    usernamePrefixReserveList: ["reserved:"]
  mapRoles:
  - roleARN: arn:aws:iam::{ACCOUNT}:role/ADMIN
    username: "{{{{AccountID}}}}:{{{{SessionName}}}}:{{{{SessionNameRaw}}}}:{{{{AccessKeyID}}}}"
    groups: [admins, "of-{{{{SessionName}}}}"]
  - rolearn: arn:aws-cn:iam::{ACCOUNT}:role/Admin
    username: chinese
  - rolearn: arn:aws:iam::{SCRUBBED}:role/Scrub
    username: scrubbed
    groups: [a, b]
  - rolearn: arn:aws:iam::{ACCOUNT}:role/Reserved
    username: "reserved:{{{{SessionName}}}}"
  mapUsers:
  - userarn: arn:aws:iam::{ACCOUNT}:user/bob
    username: bob
    groups: [users]
  - userARN: ARN:AWS:IAM::{ACCOUNT}:USER/TEAM/EVE
    username: eve
  - userarn: arn:aws:iam::{ACCOUNT}:root
    username: root
  - userarn: arn:aws:sts::{ACCOUNT}:federated-user/fred
    username: fred
  mapAccounts: ["{OTHER}"]
""",
)
