"""The principal of an entry of the mappings: an ARN, or a permission set of IAM Identity Center."""

from __future__ import annotations

from kube_iam.config.section import QUOTE, Section
from kube_iam.config.suggestions import suggestion
from kube_iam.core.arns import NoPrincipal, Sso, canonical_arn, is_account_id, parse_sso_role, strip_role_path
from kube_iam.core.letter_case import ascii_lower
from kube_iam.core.partitions import PARTITIONS

_PERMISSION_SET = "awsreservedsso_"
_SSO_KEYS = ("permissionSetName", "accountID", "partition")


def read_arn(entry: Section, name: str, kinds: tuple[str, ...], *, sessions: bool) -> str:
    """Return the ARN as it is spelt. Report an invalid one and return an empty text.

    `kinds` are the expected kinds of resource, empty for all. With `sessions` the ARN of a role session stands for that of the role.
    """
    text = entry.text(name)
    if not text:
        if not entry.has(name) or entry.value(name) == "":
            entry.error(entry.at(name), "is required")
        return ""
    try:
        # In any letter case, because the reference compares ARNs without regard to it.
        canonical = canonical_arn(ascii_lower(text))
    except ValueError as problem:
        # A text that is no ARN is a typing error. An ARN that no principal can have admits nobody, as with the reference.
        matchless = isinstance(problem, NoPrincipal)
        said = str(problem).replace(ascii_lower(text), text)
        entry.error(entry.at(name), said, "" if matchless else _form(text), local=matchless)
        return ""
    if canonical != ascii_lower(text) and not sessions:
        entry.error(
            entry.at(name), "names one session of a role, and matches nobody here", f"write {canonical}", local=True
        )
        return ""
    if kinds and canonical.split(":")[5].partition("/")[0] not in kinds:
        entry.warn(entry.at(name), "is not the ARN of a role", "users belong in mapUsers")
    _warn_of_permission_set(entry, name, canonical)
    return text


def _form(text: str) -> str:
    """Return a remedy for a text that is not the ARN of a principal: a known partition, or an example of such an ARN."""
    parts = text.split(":")
    if len(parts) == 6 and parts[0] == "arn" and parts[1] not in PARTITIONS:
        return suggestion(parts[1], PARTITIONS) or f"known partitions are {', '.join(PARTITIONS)}"
    return "an ARN looks like arn:aws:iam::123456789012:role/NAME"


def _warn_of_permission_set(entry: Section, name: str, canonical: str) -> None:
    """Warn of the role of a permission set without the suffix that AWS gives it: such an entry matches nobody."""
    account, _, resource = canonical.split(":", 4)[4].partition(":")
    role = resource.rpartition("/")[2]
    if not role.startswith(_PERMISSION_SET) or parse_sso_role(strip_role_path(canonical)) is not None:
        return
    written = entry.text(name)[-len(role) :][len(_PERMISSION_SET) :]
    hint = f"in place of {name}: sso: {{permissionSetName: {written or 'NAME'}, accountID: '{account}'}}"
    entry.warn(
        entry.at(name), "is a permission set's role without `_` and its 16 hexadecimal digits: matches nobody", hint
    )


def read_sso(entry: Section) -> Sso | None:
    """Return the permission set. Report an invalid one and return None."""
    section = Section(entry.document, entry.value("sso"), entry.at("sso"), _SSO_KEYS, entry.found)
    before = len(entry.found.errors)
    name, account, partition = section.text("permissionSetName"), _account(section), section.text("partition")
    for key, value in (("permissionSetName", name), ("accountID", account)):
        if not value and not section.has(key):
            section.error(section.at(key), "is required")
    if len(entry.found.errors) > before:
        return None
    try:
        return Sso(name, account, partition or "aws")
    except ValueError as problem:
        section.error(section.path, str(problem))
        return None


def _account(section: Section) -> str:
    written = section.document.text(*section.at("accountID"))
    if isinstance(section.value("accountID"), int) and is_account_id(written) and not written.startswith("0"):
        section.warn(section.at("accountID"), "is an account id without quotes", QUOTE.format(written))
        return written
    return section.text("accountID")
