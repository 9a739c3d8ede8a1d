import re
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identities import role_session
from kube_iam.core.identity import Identity
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.templates import VARIABLES, parse_template

ACCOUNT = "111122223333"


def identity(session_name: str = "alice@example.com", access_key_id: str = "ASIAEXAMPLE") -> Identity:
    return role_session(session_name, key=access_key_id)


def render(text: str, session_name: str = "alice@example.com", private_dns_name: str = "") -> str | Refusal:
    return parse_template(text).render(identity(session_name), private_dns_name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("admin", "admin"),
        ("awsiam:{{SessionNameRaw}}", "awsiam:alice@example.com"),
        ("awsiam:{{SessionName}}", "awsiam:alice-example.com"),
        ("{{AccountID}}:{{SessionName}}", f"{ACCOUNT}:alice-example.com"),
        ("key:{{AccessKeyID}}", "key:ASIAEXAMPLE"),
        ("{{SessionName}}{{SessionName}}", "alice-example.comalice-example.com"),
        ("system:masters", "system:masters"),
        ("system:node:{{SessionName}}", "system:node:alice-example.com"),
        ("{not a template}", "{not a template}"),
    ],
)
def test_templates_are_filled_in(text: str, name: str) -> None:
    assert render(text) == name


def test_a_nodes_name_comes_from_the_resolver() -> None:
    template = parse_template("system:node:{{EC2PrivateDNSName}}")
    assert template.needs_ec2
    assert template.render(identity("i-0abc"), "ip-10-0-0-1.ec2.internal") == "system:node:ip-10-0-0-1.ec2.internal"
    refusal = template.render(identity("i-0abc"))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.TEMPLATE_VALUE
    assert not parse_template("system:node:{{SessionName}}").needs_ec2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{{SessionNam}}", "unknown"),
        ("{{ SessionName }}", "unknown"),
        ("{{sessionname}}", "unknown"),
        ("{{}}", "unknown"),
        ("{{{{SessionName}}}}", "unknown"),
        ("a{{SessionName", "partner"),
        ("SessionName}}", "partner"),
        ("{{SessionName}}}}", "partner"),
        ("", "empty"),
        ("  ", "empty"),
        ("system:{{SessionName}}", "outside"),
        ("system:m{{SessionName}}", "outside"),
        ("system::{{SessionName}}", "outside"),
    ],
)
def test_a_template_that_cannot_work_or_be_trusted_is_an_error_at_load(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_template(text)


@pytest.mark.parametrize(
    "text", ["{{SessionNameRaw}}:masters", "{{SessionName}}:node:x", "{{SessionName}}:{{AccountID}}"]
)
def test_a_session_called_system_makes_no_system_name(text: str) -> None:
    refusal = render(text, "system")
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.RESERVED_NAME


@pytest.mark.parametrize("text", ["sys{{SessionName}}:masters", "s{{SessionName}}:masters"])
def test_a_name_in_system_cannot_be_put_together_from_pieces(text: str) -> None:
    completing = "system"[len(text.partition("{{")[0]) :]
    assert isinstance(render(text, completing), Refusal)


def test_session_name_of_a_user_without_a_session_is_empty() -> None:
    assert render("awsiam:{{SessionNameRaw}}", "") == "awsiam:"
    assert isinstance(render("{{SessionName}}", ""), Refusal)
    assert isinstance(render("{{SessionName}}system:masters", ""), Refusal)


@pytest.mark.parametrize("session_name", ["system:admin", "a b", "a/b", "a\nb", "älice", "{{AccountID}}", "a\x00"])
def test_a_value_that_no_session_can_have_is_refused(session_name: str) -> None:
    refusal = render("awsiam:{{SessionNameRaw}}", session_name)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.TEMPLATE_VALUE
    assert session_name not in refusal.message


literals = st.text(st.sampled_from("system:abc -@/"), max_size=12)
templates = st.lists(st.one_of(literals, st.sampled_from([f"{{{{{name}}}}}" for name in VARIABLES])), max_size=5)


SYSTEM_NAMES = ("system:masters", "system:node:ip-10-0-0-1", "system::masters-x", "system:a:b:c")
CUTS = [(name, *cut) for name in SYSTEM_NAMES for cut in combinations(range(len(name) + 1), 4)]
A_VALUE = re.compile(r"[\w+=,.@-]+", re.ASCII)


@pytest.mark.parametrize("variable", ["SessionName", "SessionNameRaw"])
def test_no_value_ever_chooses_a_name_in_system(variable: str) -> None:
    """Two values take the place of any two pieces of such a name: it comes out only behind a whole second part that is written."""
    rendered = 0
    for name, *cuts in CUTS:
        before, session_name, between, dns_name, after = pieces(name, cuts)
        text = f"{before}{{{{{variable}}}}}{between}{{{{EC2PrivateDNSName}}}}{after}"
        written = re.match(r"system:[^:]+:", before) is not None
        possible = all(A_VALUE.fullmatch(value) for value in (session_name, dns_name))
        try:
            found = parse_template(text).render(identity(session_name), dns_name)
        except ValueError:
            found = Refusal(Reason.RESERVED_NAME)
        assert (found == name) is (written and possible), text
        rendered += found == name
    assert rendered > 100


def pieces(text: str, cuts: list[int]) -> list[str]:
    return [text[start:end] for start, end in pairwise((0, *cuts, len(text)))]


@given(templates)
def test_the_parts_of_a_template_are_its_text(pieces: list[str]) -> None:
    text = "".join(pieces)
    try:
        template = parse_template(text)
    except ValueError:
        return
    assert "".join(f"{{{{{part}}}}}" if i % 2 else part for i, part in enumerate(template.parts)) == text
