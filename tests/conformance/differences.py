"""The deliberate differences, each a row of docs/compatibility.md with a predicate that knows its cases.

The predicates read the token, the configuration and the identity by rules of their own: if they asked the code that they check, a
fault of it would explain itself. Rows that no run beside the reference can show name the test that shows our side.
"""

from __future__ import annotations

import base64
import fnmatch
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote

from named_sts import Principal
from setups import Entry, Setup
from side_by_side import Outcome, Question

from kube_iam.aws.regions import regions_of
from kube_iam.core.partitions import DNS_SUFFIX, partition_of_region

NOBODY = Principal("")


@dataclass(frozen=True)
class Case:
    """One question, and what it is about. `url` is what the token holds, empty where there is none."""

    name: str
    part: str
    question: Question
    setup: Setup
    token: str = ""
    url: str = ""
    who: Principal = NOBODY
    broken_backend: bool = False

    @property
    def authority(self) -> str:
        return self.url.partition("//")[2].partition("/")[0]

    @property
    def query(self) -> str:
        return self.url.partition("?")[2].partition("#")[0]

    def parameter(self, name: str) -> str:
        found = [pair.partition("=")[2] for pair in self.query.split("&") if pair.partition("=")[0] == name]
        return unquote(found[0]) if found else ""

    def entries(self) -> list[Entry]:
        """Return the entries about the identity, paths aside and permission sets by the widest reading."""
        return [entry for entry in self.setup.entries if _is_about(entry, self.who)]


def _is_about(entry: Entry, who: Principal) -> bool:
    if entry.user_id and entry.user_id == who.user_id.partition(":")[0]:
        return True
    if not entry.sso:
        return bool(entry.arn) and entry.plain_arn == who.canonical
    role = who.canonical.rpartition("/")[2]
    pattern = f"awsreservedsso_{entry.sso.get('permissionsetname', '')}_*".lower()
    return fnmatch.fnmatchcase(role, pattern) and entry.sso.get("accountid") == who.account


Explains = Callable[[Case, Outcome, Outcome], bool]


def ours_refuses(explains: Callable[[Case, Outcome], bool]) -> Explains:
    """Explain the cases that the reference admits and ours refuses."""
    return lambda case, theirs, ours: theirs.user is not None and ours.user is None and explains(case, theirs)


def ours_takes(explains: Callable[[Case, Outcome], bool]) -> Explains:
    """Explain the cases that ours admits and the reference refuses."""
    return lambda case, theirs, ours: theirs.user is None and ours.user is not None and explains(case, ours)


def in_token(explains: Callable[[Case, Outcome], bool]) -> Callable[[Case, Outcome], bool]:
    """Explain the cases about a token, by its URL."""
    return lambda case, outcome: case.url != "" and explains(case, outcome)


def _long(case: Case, _: Outcome) -> bool:
    return 4096 < len(case.token) <= 16 * 1024


def _more_headers(case: Case, _: Outcome) -> bool:
    return set(case.parameter("X-Amz-SignedHeaders").split(";")) - {"host", "x-k8s-aws-id", "accept"} != set()


_PLAIN_PAIR = re.compile(r"[A-Za-z0-9-]+=(?:[A-Za-z0-9\-._~/:=]|%[2-7][0-9A-Fa-f])+")


def _odd_spelling(case: Case, _: Outcome) -> bool:
    """Pieces that are no `key=value`, an escaped key, or a value with a character that has to be escaped."""
    return not all(_PLAIN_PAIR.fullmatch(pair) for pair in case.query.split("&")) or "%7f" in case.query.lower()


def _in_the_future(case: Case, _: Outcome) -> bool:
    date = case.parameter("X-Amz-Date")
    try:
        signed = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return False
    return signed > time.time() + 4 * 60


def _not_to_be_verified(case: Case, _: Outcome) -> bool:
    """Signed for something that STS would refuse, could it be asked."""
    host = re.fullmatch(r"sts(?:-fips)?\.([a-z0-9-]+)\..*", case.authority)
    region = "us-east-1" if case.authority == "sts.amazonaws.com" or host is None else host[1]
    scope = case.parameter("X-Amz-Credential").split("/")[1:]
    day = case.parameter("X-Amz-Date")[:8]
    return (
        scope != [day, region, "sts", "aws4_request"]
        or case.parameter("Version") != "2011-06-15"
        or case.parameter("X-Amz-Algorithm") != "AWS4-HMAC-SHA256"
    )


def _other_partition(case: Case, _: Outcome) -> bool:
    """Of the two partitions whose hosts end alike."""
    host = re.fullmatch(r"sts(?:-fips)?\.([a-z0-9-]+)\..*", case.authority)
    partition = case.setup.server.get("partition", "aws")
    return host is not None and {partition, partition_of_region(host[1])} == {"aws", "aws-us-gov"}


def _line_ends(case: Case, _: Outcome) -> bool:
    return "\n" in case.token or "\r" in case.token


def _unused_bits(case: Case, _: Outcome) -> bool:
    """Return whether an encoder would make another token of the URL."""
    encoded = base64.urlsafe_b64encode(case.url.encode("latin-1")).decode().rstrip("=")
    return case.token != f"k8s-aws-v1.{encoded}"


def _around_the_host(case: Case, _: Outcome) -> bool:
    return "@" in case.authority or "#" in case.url


def _unknown_region(case: Case, _: Outcome) -> bool:
    host = re.fullmatch(r"sts(?:-fips)?\.([a-z0-9-]+)\..*", case.authority)
    known = {region for partition in DNS_SUFFIX for region in regions_of(partition)}
    return host is not None and host[1] not in known


def _form_of_host(case: Case, _: Outcome) -> bool:
    """Dual-stack in the isolated partitions, and FIPS by its own name in GovCloud."""
    host = re.fullmatch(r"(sts(?:-fips)?)\.([a-z0-9-]+)\.(.*)", case.authority)
    if host is None:
        return False
    isolated = partition_of_region(host[2]).startswith("aws-iso") and "api" in host[3].split(".")
    return isolated or (host[1] == "sts-fips" and host[2].startswith("us-gov-"))


def _no_token_review(case: Case, _: Outcome) -> bool:
    """Return whether Go's decoder makes a TokenReview of the body."""
    return (
        re.fullmatch(
            rb'\{"apiVersion": "authentication\.k8s\.io/v1(beta1)?", "kind": "TokenReview", "spec": \{.*\}\}',
            case.question.body,
        )
        is None
    )


def _large(case: Case, _: Outcome) -> bool:
    return len(case.question.body) > 1024 * 1024


def _xml(case: Case, _: Outcome) -> bool:
    return case.who.answer is not None and "xml" in case.who.answer.content_type


def _odd_answer(case: Case, _: Outcome) -> bool:
    return case.who.answer is not None and "xml" not in case.who.answer.content_type


def _permission_set(case: Case, theirs: Outcome, ours: Outcome) -> bool:
    """Another suffix than sixteen hexadecimal digits, no feature gate, a partition, a wildcard."""
    if not any(entry.sso for entry in case.entries()):
        return False
    role = case.who.canonical.rpartition("/")[2]
    sets = [entry for entry in case.entries() if _exact_set(entry, role)]
    if re.fullmatch(r"awsreservedsso_.*_[0-9a-f]{16}", role) is None or not sets:
        return theirs.user is not None and theirs.user != ours.user
    enabled = any("SSORoleMatch=true" in flag or "AllAlpha=true" in flag for flag in case.setup.flags)
    return theirs.user != ours.user and (not enabled or any("partition" in entry.sso for entry in sets))


def _exact_set(entry: Entry, role: str) -> bool:
    return role.rpartition("_")[0] == f"awsreservedsso_{entry.sso.get('permissionsetname', '')}".lower()


def _repeated(case: Case, theirs: Outcome, ours: Outcome) -> bool:
    """More than one entry of a list is about the identity, and which counts is another."""
    lists = [(entry.backend, entry.key) for entry in case.entries()]
    return len(lists) > len(set(lists)) and theirs.user != ours.user


def _role_path(case: Case, theirs: Outcome, ours: Outcome) -> bool:
    """Return whether ours matches an entry with a role's path, where the reference may match another entry or `mapAccounts`."""
    return any(entry.has_path for entry in case.entries()) and theirs.user != ours.user


def _account_first(case: Case, theirs: Outcome, ours: Outcome) -> bool:
    """Return whether the account stands in an earlier backend than the entry."""
    entries = case.entries()
    if not entries or theirs.user is None:
        return False
    before = case.setup.backends[: case.setup.backends.index(entries[0].backend)]
    earlier = any(case.who.account in case.setup.accounts(backend) for backend in before)
    return earlier and theirs.names[0].lower() == case.who.canonical


def _passed_over(case: Case, _: Outcome) -> bool:
    return case.broken_backend


def _empty_name(case: Case, theirs: Outcome) -> bool:
    return any(not name.strip() for name in theirs.names)


def _has_template(text: str) -> bool:
    return re.search(r"\{\{(AccountID|SessionName|SessionNameRaw|AccessKeyID)\}\}", text) is not None


def _names_of_the_system(case: Case, theirs: Outcome) -> bool:
    written = [text for entry in case.entries() for text in (entry.username, *entry.groups)]
    return any(name.startswith("system:") for name in theirs.names) and any(map(_has_template, written))


def _unknown_template(case: Case, theirs: Outcome) -> bool:
    """Braces in pairs that are not those of a known template."""
    known = r"(?<!\{)\{\{(AccountID|SessionName|SessionNameRaw|AccessKeyID|EC2PrivateDNSName)\}\}(?!\})"
    written = [text for entry in case.entries() for text in (entry.username, *entry.groups)]
    return any(braces in re.sub(known, "", text) for text in written for braces in ("{{", "}}"))


def _reserved(case: Case, theirs: Outcome) -> bool:
    """Return whether the name begins with a reserved prefix: of an account's ARN, of a backend's old name, or of a replaced entry."""
    prefixes = [prefix for item in case.setup.reserved for prefix in item.get("usernameprefixreservelist") or []]
    return any(prefix and theirs.names[0].startswith(prefix) for prefix in prefixes)


def _odd_scalar(case: Case, theirs: Outcome, ours: Outcome) -> bool:
    """Return whether YAML reads a name as something else than text, which other readers read differently."""
    if theirs.user is None or theirs.user == ours.user:
        return False
    written = [text for entry in case.entries() for text in (entry.username, *entry.groups)]
    return any(
        re.fullmatch(r"[-+]?[0-9.][0-9._eE+xobXOB-]*|true|false|yes|no|on|off|y|n|null|~", text, re.IGNORECASE)
        for text in written
    )


def _no_clear_entry(case: Case, _: Outcome) -> bool:
    """Return whether an entry of aws-auth has a key twice, or groups that are no list."""
    texts = case.setup.config_map.values() if {"EKSConfigMap", "ConfigMap"} & set(case.setup.backends) else ()
    return case.entries() != [] and any(
        re.search(r"username:.*username:|groups: *[\"'{\w]", text, re.IGNORECASE) for text in texts
    )


def _kept(case: Case, theirs: Outcome, ours: Outcome) -> bool:
    """Return whether a key of aws-auth cannot be read, so that we keep the entries that it had before."""
    return theirs.user != ours.user and "EKSConfigMap" in case.setup.backends and case.setup.unreadable != []


def _by_status(case: Case, theirs: Outcome, ours: Outcome) -> bool:
    """Of two objects any, and an object by the ARN in its status, which is not that of its spec."""
    setup = case.setup
    if "CRD" not in setup.backends or theirs.user == ours.user:
        return False
    objects = [entry for entry in case.entries() if entry.backend == "CRD"]
    return len(objects) > 1 or case.who.canonical in setup.statuses.values()


def _any_instance(case: Case, _: Outcome) -> bool:
    """Return whether the instance is of another account, or has a name that is no DNS name."""
    name, owner = case.setup.instances.get(case.who.arn.rpartition("/")[2], ("", ""))
    wanted = any(
        "{{EC2PrivateDNSName}}" in text for entry in case.entries() for text in (entry.username, *entry.groups)
    )
    return wanted and (owner != case.who.account or re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)*", name) is None)


def _prefixes_of_nothing(case: Case, _: Outcome) -> bool:
    known = {"MountedFile", "EKSConfigMap", "CRD", "DynamicFile", "File", "ConfigMap"}
    return any(item.get("backendmode") not in known for item in case.setup.reserved)


def _more_than_the_reference_starts_with(case: Case, _: Outcome) -> bool:
    """Capitals before the name in a role's ARN, a wildcard in a permission set's name, its account id as a number in aws-auth."""
    if any(re.search(r"accountid: *\d", text, re.IGNORECASE) for text in case.setup.config_map.values()):
        return any(entry.sso for entry in case.entries())
    return any(
        re.match(r"arn:[a-z-]+:(iam|sts)::\d*:(role|user|root|assumed-role|federated-user)\b", entry.arn) is None
        if entry.arn
        else set("*?") & set(entry.sso.get("permissionsetname", ""))
        for entry in case.setup.entries
    )


def _dotted(case: Case, theirs: Outcome, ours: Outcome) -> bool:
    return re.search(r"^server\.map(roles|users|accounts):", case.setup.text, re.MULTILINE | re.IGNORECASE) is not None


DIFFERENCES: dict[str, Explains] = {
    "T1": ours_takes(in_token(_long)),
    "T3": ours_refuses(in_token(_more_headers)),
    "T4": ours_refuses(in_token(_odd_spelling)),
    "T5": ours_refuses(in_token(_in_the_future)),
    "T6": ours_refuses(in_token(_not_to_be_verified)),
    "T11": ours_refuses(in_token(_around_the_host)),
    "T12": ours_refuses(in_token(_unknown_region)),
    "T13": ours_takes(in_token(_form_of_host)),
    "T14": ours_refuses(_line_ends),
    "T15": ours_refuses(in_token(_other_partition)),
    "T16": ours_refuses(in_token(_unused_bits)),
    "A5": ours_refuses(_large),
    "A8": ours_refuses(_no_token_review),
    "A9": ours_takes(_xml),
    "A10": ours_refuses(_odd_answer),
    "M1": _permission_set,
    "M2": _repeated,
    "M3": _role_path,
    "M4": _account_first,
    "M5": ours_refuses(_passed_over),
    "M6": ours_refuses(_empty_name),
    "M7": ours_refuses(_names_of_the_system),
    "M8": ours_refuses(_unknown_template),
    "M9": ours_refuses(_reserved),
    "M11": _kept,
    "M12": _by_status,
    "M15": ours_refuses(_any_instance),
    "M16": _odd_scalar,
    "M17": ours_takes(_more_than_the_reference_starts_with),
    "M18": ours_refuses(_prefixes_of_nothing),
    "M19": ours_refuses(_no_clear_entry),
    "M22": _dotted,
}
"""Row -> whether it explains that the two make different users of the case."""


def shape_row(case: Case, theirs: Outcome, ours: Outcome) -> set[str] | None:
    """Return the rows that explain a verdict in other words, or None if no row explains it."""
    if ours.user is not None:
        assert theirs.user is not None
        shapes = {"A3"} if not theirs.review.get("apiVersion") and ours.review["apiVersion"] else set()
        if "audiences" in ours.review["status"]:
            return None
        return shapes if (theirs.status, ours.status) == (200, 200) else None
    if theirs.status == ours.status:
        return set()
    if theirs.status != 403:
        return None
    if ours.status == 200 and ours.review["status"]["error"]:
        return {"A1"}
    if ours.status in (429, 504):
        return {"A2"}
    if ours.status == 413:
        return {"A5"}
    return {"A8"} if ours.status == 400 and _no_token_review(case, theirs) else None


SHAPES = ("A1", "A2", "A3")

BESIDE = (
    "A6",
    "A7",
    "A11",
    "M10",
    "M14",
    "C2",
    "C5",
    "C6",
    "C7",
    "T9",
    "T17",
    "T18",
    "T19",
    "T20",
    "T21",
    "T22",
    "T23",
    "T24",
    "T25",
    "T26",
)
"""Rows that a test of its own shows, with both programs."""

_TOKEN = "tests/unit/test_token_command.py"
_ADD = "tests/integration/test_add_on_cluster.py"
ELSEWHERE: dict[str, str] = {
    "T2": "tests/unit/test_checks.py::test_unescaped_slashes_and_another_order_become_the_canonical_url",
    "T7": "tests/unit/test_mint.py::test_a_token_ends_with_the_session_that_signed_it",
    "T8": f"{_TOKEN}::test_a_role_is_assumed_in_the_users_name_once",
    "T10": f"{_TOKEN}::test_temporary_credentials_of_a_profile_are_cached",
    "M20": "tests/unit/test_config_map.py::test_escapes_of_json_that_eks_refuses_serve_with_a_warning",
    "M21": "tests/unit/test_yaml_events.py::test_a_further_document_with_content_is_named_by_its_line",
    "C1": f"{_ADD}::test_ours_and_the_reference_add_the_same_and_see_each_others_entries",
    "C3": "tests/unit/test_kube_endpoint.py::test_what_cannot_be_trusted_or_used_is_refused",
    "C4": "tests/e2e/test_reference.py::test_both_servers_say_the_same_about_a_user",
}
"""Rows that need more than a webhook and an STS to be seen, each with the test that shows our side."""
