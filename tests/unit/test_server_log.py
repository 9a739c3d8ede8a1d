from __future__ import annotations

import asyncio
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identities import role_session
from kube_iam.authn.decide import Allowed, Decision, Denied, Unavailable
from kube_iam.core.reasons import Reason, Refusal
from kube_iam.core.token_review import User
from kube_iam.server.http import log_decision
from kube_iam.server.log import Batched, Log, Scrubber, log_unexpected

WHO = role_session(account="123456789012", user_id="AROA1", key="ASIA1", host="sts.us-east-1.amazonaws.com")


class Lines:
    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str, /) -> None:
        self.text += text


def line(decision: Decision, level: str = "info", style: str = "text") -> str:
    lines = Lines()
    request_id = "" if isinstance(decision, Allowed) else "0a1b2c3d"
    log_decision(Log(lines, level, style, lambda: 0.0), decision, "127.0.0.1:1", 0.25, request_id)
    return lines.text


def test_text_lines_look_as_the_reference_writes_them() -> None:
    lines = Lines()
    Log(lines, clock=lambda: 0.0).info("access granted", username="a b", path="/authenticate", groups=("x", "y"))
    expected = (
        'time="1970-01-01T00:00:00Z" level=info msg="access granted" groups="[x y]" path=/authenticate username="a b"'
    )
    assert lines.text == expected + "\n"


def test_json_lines_hold_the_same() -> None:
    lines = Lines()
    Log(lines, style="json", clock=lambda: 0.0).warning("access denied", groups=("x",), latency=0.5)
    assert json.loads(lines.text) == {
        "time": "1970-01-01T00:00:00Z",
        "level": "warning",
        "msg": "access denied",
        "groups": ["x"],
        "latency": 0.5,
    }


@pytest.mark.parametrize(
    ("level", "written"),
    [("error", 1), ("warn", 2), ("warning", 2), ("info", 3), ("debug", 4), ("trace", 4), ("fatal", 0), ("panic", 0)],
)
def test_the_level_decides_what_is_written(level: str, written: int) -> None:
    lines = Lines()
    log = Log(lines, level)
    for write in (log.error, log.warning, log.info, log.debug):
        write("x")
    assert lines.text.count("\n") == written


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError):
        Log(Lines(), "loud")


@given(st.text(), st.sampled_from(["text", "json"]))
def test_no_value_can_forge_a_line_or_move_a_terminal(value: str, style: str) -> None:
    lines = Lines()
    Log(lines, style=style).info("x", value=value)
    assert lines.text.count("\n") == 1
    assert lines.text.isascii()
    assert all(char.isprintable() for char in lines.text[:-1])


def test_a_sign_in_is_logged_with_who_and_what_they_get() -> None:
    text = line(Allowed(User("awsiam:alice", "uid:1", ("g",)), WHO, "MountedFile server.mapRoles[0]"))
    for part in (
        "level=info",
        'msg="access granted"',
        'arn="arn:aws:iam::123456789012:role/Admin"',
        "session=alice",
        "accesskeyid=ASIA1",
        'username="awsiam:alice"',
        'uid="uid:1"',
        'groups="[g]"',
        'client="127.0.0.1:1"',
        "latency=0.250000",
        'mapping="MountedFile server.mapRoles[0]"',
        "method=POST",
        "path=/authenticate",
        "stsendpoint=",
    ):
        assert part in text


def test_a_probe_is_logged_for_debugging_alone_since_anybody_may_send_them() -> None:
    decision = Denied(Refusal(Reason.STATUS_QUERY, "answer"))
    assert line(decision) == ""
    assert "level=debug" in line(decision, level="debug")


def test_a_refusal_is_logged_with_who_and_why() -> None:
    text = line(Denied(Refusal(Reason.NOT_MAPPED), WHO))
    assert "level=warning" in text
    assert "reason=not_mapped" in text
    assert " requestid=0a1b2c3d " in text
    assert 'arn="arn:aws:iam::123456789012:role/Admin"' in text
    text = line(Unavailable(Refusal(Reason.STS_UNREACHABLE, "connect error"), throttled=False))
    assert "level=warning" in text
    assert "reason=sts_unreachable" in text


def test_foreign_tokens_are_logged_only_when_debugging() -> None:
    foreign = Denied(Refusal(Reason.TOKEN_PREFIX))
    assert line(foreign) == ""
    assert "level=debug" in line(foreign, "debug")


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_scrubbed_account_leaves_nothing_of_the_identity(style: str) -> None:
    as_arn = User(WHO.canonical_arn, f"aws-iam-authenticator:administrative:{WHO.canonical_arn}")
    for decision in (
        Allowed(User("hidden", "administrative:hidden"), WHO, "MountedFile", scrubbed=True),
        Allowed(as_arn, WHO, "MountedFile mapAccounts", scrubbed=True),
        Allowed(User("hidden", "administrative:hidden", ("team-123456789012",)), WHO, "MountedFile", scrubbed=True),
        Denied(Refusal(Reason.NOT_MAPPED), WHO, scrubbed=True),
    ):
        text = line(decision, style=style)
        assert text
        for part in ("arn:", "123456789012", "AROA1", "ASIA1", "alice"):
            assert part not in text


@pytest.mark.parametrize("style", ["text", "json"])
def test_no_field_of_any_line_shows_a_scrubbed_account(style: str) -> None:
    stream = io.StringIO()
    log = Log(stream, style=style)
    log.scrub = Scrubber(("999999999999",))
    log.error("mapping", problem="'arn:aws:iam::999999999999:role/x' is mapped before", backend="MountedFile")
    log.warning("denied", role="arn:aws:iam::999999999999:role/x", entries=3)
    log.info("group members", joined=("999999999999", "alice"))
    log.form("info", "access granted", {"mapping": "999999999999"}, ("client",))(client="999999999999")
    assert "999999999999" not in stream.getvalue()
    assert "role/x" in stream.getvalue()
    assert stream.getvalue().count("\n") == 4


def test_lines_of_one_turn_are_written_together_and_none_is_lost() -> None:
    class Stream(io.StringIO):
        writes = 0

        def write(self, text: str, /) -> int:
            self.writes += 1
            return super().write(text)

    stream = Stream()
    lines = Batched(stream)

    async def story() -> None:
        lines.write("a\n")
        lines.write("b\n")
        await asyncio.sleep(0)
        lines.write("c\n")

    asyncio.run(story())
    lines.write("d\n")
    assert stream.getvalue() == "a\nb\nc\nd\n"
    assert stream.writes == 3


def test_an_error_that_nothing_caught_is_logged_without_its_message() -> None:
    lines = Lines()
    secret = "".join(["k8s-aws-v1", ".secret"])

    def fail(_received: str) -> None:
        raise ValueError(secret)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(log_unexpected(Log(lines, clock=lambda: 0.0)))
        loop.call_soon(fail, secret)
        loop.call_exception_handler({"message": secret})
        await asyncio.sleep(0)

    asyncio.run(run())
    assert lines.text.count("\n") == 2
    assert "ValueError" in lines.text
    assert "test_server_log.py:" in lines.text
    assert secret not in lines.text
