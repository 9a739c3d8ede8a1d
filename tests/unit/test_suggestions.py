from __future__ import annotations

import pytest

from kube_iam.aws.regions import doubt_about, regions_of
from kube_iam.config.suggestions import closest, distance, suggestion


def test_near_names_what_was_meant() -> None:
    assert suggestion("mapRolse", ["mapRoles", "mapUsers", "port"]) == "did you mean 'mapRoles'?"
    assert suggestion("zzz", ["mapRoles"]) == ""


def test_near_ignores_letter_case() -> None:
    assert suggestion("MAPROLES", ["mapRoles"]) == "did you mean 'mapRoles'?"
    assert suggestion("PROD", ["Prod", "prod"]) == "did you mean 'Prod' or 'prod'?"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("us-esat-1", "did you mean 'us-east-1'?"),
        ("us-eest-1", "did you mean 'us-east-1' or 'us-west-1'?"),
        ("us-easst-1", "did you mean 'us-east-1'?"),
        ("us-wets-2", "did you mean 'us-west-2'?"),
        ("su-west-2", "did you mean 'eu-west-2' or 'us-west-2'?"),
        ("eu-cental-1", "did you mean 'eu-central-1'?"),
        ("eu-central-l", "did you mean 'eu-central-1' or 'eu-central-2'?"),
        ("ue-west-1", "did you mean 'eu-west-1' or 'us-west-1'?"),
        ("ap-souteast-2", "did you mean 'ap-southeast-2'?"),
        ("us-eats-2", "did you mean 'us-east-2'?"),
    ],
)
def test_the_region_with_the_fewest_edits_is_named(typed: str, meant: str) -> None:
    assert suggestion(typed, regions_of("aws")) == meant
    assert doubt_about(typed, "AWS_REGION").endswith(f"(set by AWS_REGION): {meant}")


@pytest.mark.parametrize(
    ("typed", "choices", "meant"),
    [
        ("viewre", ["viewer", "reviewer"], "did you mean 'viewer'?"),  # a level
        ("eidt", ["exit", "edit"], "did you mean 'edit'?"),
        ("prod-ue", ["prod-us", "prod-eu"], "did you mean 'prod-us' or 'prod-eu'?"),  # a context: one edit each
        ("staigng", ["staging-2", "staging"], "did you mean 'staging'?"),
        ("bbo", ["abbo", "bob", "rob"], "did you mean 'abbo' or 'bob'?"),  # a user
        ("alcie", ["alice", "alicia"], "did you mean 'alice'?"),
        ("ipnut", ["input", "output"], "did you mean 'input'?"),
        ("garnt", ["grant", "grants"], "did you mean 'grant'?"),  # a command
    ],
)
def test_swapped_letters_are_one_edit(typed: str, choices: list[str], meant: str) -> None:
    assert suggestion(typed, choices) == meant


@pytest.mark.parametrize(
    ("typed", "choices"),
    [
        ("x", ["y", "z"]),
        ("ab", ["cd", "cb"]),
        ("", ["a", "prod"]),
        ("prod", ["test", "stage"]),
        ("a" * 5000, ["b" + "a" * 4999]),
    ],
)
def test_nothing_is_named_that_is_not_near(typed: str, choices: list[str]) -> None:
    assert suggestion(typed, choices) == ""


def test_names_that_contain_the_word_are_named_where_none_is_near() -> None:
    contexts = [
        "arn:aws:eks:eu-central-1:123456789012:cluster/prod",
        "arn:aws:eks:eu-central-1:123456789012:cluster/test",
    ]
    assert suggestion("prod", contexts) == f"did you mean '{contexts[0]}'?"
    assert suggestion("alice", ["alice.smith", "bob.jones"]) == "did you mean 'alice.smith'?"


def test_many_equally_near_names_are_counted() -> None:
    assert (
        suggestion("c99", [f"c9{digit}" for digit in "1234"]) == "did you mean one of 'c91', 'c92', 'c93' and 1 more?"
    )


def test_a_wider_share_finds_what_is_further_away() -> None:
    assert closest("awsGroup", ["iamGroup"]) == []
    assert closest("awsGroup", ["iamGroup"], share=1 / 2) == ["iamGroup"]


@pytest.mark.parametrize(
    ("one", "other", "edits"),
    [("", "abc", 3), ("abc", "", 3), ("abc", "abc", 0), ("ab", "ba", 1), ("ca", "abc", 3), ("kitten", "sitting", 3)],
)
def test_distance_is_optimal_string_alignment(one: str, other: str, edits: int) -> None:
    assert distance(one, other) == distance(other, one) == edits
