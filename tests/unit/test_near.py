from kube_iam.config.near import near


def test_a_slip_of_the_finger_gets_the_word_that_was_meant() -> None:
    assert near("mapRolse", ["mapRoles", "mapUsers", "port"]) == "did you mean 'mapRoles'?"


def test_letter_case_does_not_matter_and_the_known_spelling_is_offered() -> None:
    assert near("MAPROLES", ["mapRoles"]) == "did you mean 'mapRoles'?"


def test_nothing_near_gets_no_guess() -> None:
    assert near("zebra", ["mapRoles", "port"]) == ""
    assert near("x", []) == ""
