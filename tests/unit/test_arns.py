import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_iam.core.arns import Arn, canonical_arn, is_account_id, parse_arn, strip_role_path
from kube_iam.core.partitions import PARTITIONS

ACCOUNT = "111122223333"


@pytest.mark.parametrize(
    ("arn", "canonical"),
    [
        ("arn:aws:sts::111122223333:assumed-role/Admin/alice", "arn:aws:iam::111122223333:role/Admin"),
        ("arn:aws:sts::111122223333:assumed-role/team/Admin/alice", "arn:aws:iam::111122223333:role/team/Admin"),
        ("arn:aws-cn:sts::111122223333:assumed-role/Admin/a@b", "arn:aws-cn:iam::111122223333:role/Admin"),
        ("arn:aws:iam::111122223333:role/team/Admin", "arn:aws:iam::111122223333:role/team/Admin"),
        ("arn:aws:iam::111122223333:user/people/alice", "arn:aws:iam::111122223333:user/people/alice"),
        ("arn:aws:iam::111122223333:user/a//alice", "arn:aws:iam::111122223333:user/a//alice"),
        ("arn:aws-us-gov:iam::111122223333:root", "arn:aws-us-gov:iam::111122223333:root"),
        ("arn:aws:sts::111122223333:federated-user/bob", "arn:aws:sts::111122223333:federated-user/bob"),
    ],
)
def test_an_assumed_role_becomes_its_role_and_other_principals_stay(arn: str, canonical: str) -> None:
    assert canonical_arn(arn) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "arn:aws:iam::111122223333",
        "arn:aws-us-govt:iam::111122223333:role/Admin",
        "arn:aws:iam::11112222333:role/Admin",
        "arn:aws:iam::１１１１２２２２３３３３:role/Admin",  # full-width digits are digits to Python, not to AWS
        "arn:aws:iam:eu-west-1:111122223333:role/Admin",
        "arn:aws:iam::111122223333:role/",
        "arn:aws:iam::111122223333:role",
        "arn:aws:iam::111122223333:group/admins",
        "arn:aws:iam::111122223333:root/x",
        "arn:aws:sts::111122223333:assumed-role/Admin",
        "arn:aws:sts::111122223333:assumed-role//alice",
        "arn:aws:sts::111122223333:role/Admin",
        "arn:aws:s3:::bucket",
        "arn:aws:iam::111122223333:user/al ice",
        "arn:aws:iam::111122223333:user/alice\n",
        "arn:aws:iam::111122223333:user/älice",
    ],
)
def test_what_is_not_a_principal_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        canonical_arn(text)


@pytest.mark.parametrize(
    ("arn", "stripped"),
    [
        ("arn:aws:iam::111122223333:role/a/b/Admin", "arn:aws:iam::111122223333:role/Admin"),
        ("arn:aws:iam::111122223333:role/Admin", "arn:aws:iam::111122223333:role/Admin"),
        # A user's path is part of the ARN that STS shows.
        ("arn:aws:iam::111122223333:user/a/alice", "arn:aws:iam::111122223333:user/a/alice"),
        ("no-arn", "no-arn"),
    ],
)
def test_only_roles_lose_their_path(arn: str, stripped: str) -> None:
    assert strip_role_path(arn) == stripped


@given(
    st.sampled_from(PARTITIONS), st.sampled_from(["iam", "sts"]), st.from_regex(r"[0-9]{12}", fullmatch=True), st.text()
)
def test_parsing_and_writing_an_arn_gives_it_back(partition: str, service: str, account: str, name: str) -> None:
    text = f"arn:{partition}:{service}::{account}:user/{name}"
    parsed = parse_arn(text)
    if parsed is not None:
        assert str(parsed) == text
        assert parsed == Arn(partition, service, "", account, f"user/{name}")
    assert (parsed is not None) == all("!" <= char <= "~" for char in name)


@given(st.text())
def test_no_text_makes_the_parser_raise(text: str) -> None:
    assert parse_arn(text) is None or text.startswith("arn:")


def test_an_account_id_is_twelve_digits() -> None:
    assert is_account_id("000000000001")
    assert not any(is_account_id(text) for text in ("", "1", "1111222233334", "11112222333x", "111122223333\n"))
