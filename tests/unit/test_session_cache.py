from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_iam.aws.environment import cache_directory
from kube_iam.aws.token_cache import CachedSession, SessionCache, decode_session, encode_session
from kube_iam.core.credentials import Credentials
from kube_iam.core.tokens import digest_of

NOW = 1795507200.0
KEY = digest_of("key AKIDEXAMPLE", "role")


def session(issued: float = NOW, length: float = 3600, token: str = "token==") -> CachedSession:
    return CachedSession(Credentials("ASIAEXAMPLE", "secret/+", token, issued + length), issued, issued + length)


@pytest.fixture
def cache(tmp_path: Path) -> SessionCache:
    return SessionCache(str(tmp_path / "deep" / "sessions"))


def file_of(cache: SessionCache) -> Path:
    return Path(cache.directory) / KEY


def test_what_was_kept_is_found_again(cache: SessionCache) -> None:
    assert cache.store(KEY, session())
    found = cache.load(KEY, NOW + 1)
    assert found is not None
    assert found.credentials == session().credentials


def test_another_key_finds_nothing(cache: SessionCache) -> None:
    cache.store(KEY, session())
    assert cache.load(digest_of("key AKIDOTHER", "role"), NOW) is None


def test_keys_keep_their_parts_apart() -> None:
    assert digest_of("a", "bc") != digest_of("ab", "c")
    assert digest_of("a", "") != digest_of("a")
    assert digest_of("a\0b") != digest_of("a", "b")
    assert digest_of("\udcff") == digest_of(b"\xff")


def test_only_the_owner_can_read_directory_and_file(cache: SessionCache) -> None:
    before = os.umask(0)
    try:
        cache.store(KEY, session())
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path(cache.directory).stat().st_mode) == 0o700
    assert stat.S_IMODE(file_of(cache).stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610])
def test_a_file_that_others_can_reach_is_refused_aloud_and_then_replaced(cache: SessionCache, mode: int) -> None:
    cache.store(KEY, session())
    file_of(cache).chmod(mode)
    assert cache.load(KEY, NOW) is None
    assert str(file_of(cache)) in cache.complaint
    cache.store(KEY, session())
    assert cache.load(KEY, NOW) is not None
    assert stat.S_IMODE(file_of(cache).stat().st_mode) == 0o600


def test_a_lax_directory_of_ours_is_put_right(cache: SessionCache) -> None:
    cache.store(KEY, session())
    Path(cache.directory).chmod(0o755)
    assert cache.load(KEY, NOW) is not None
    assert stat.S_IMODE(Path(cache.directory).stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_and_directories_of_somebody_else_are_refused(cache: SessionCache) -> None:
    cache.store(KEY, session())
    os.chown(file_of(cache), 65534, 65534)
    assert cache.load(KEY, NOW) is None
    cache.store(KEY, session())
    os.chown(cache.directory, 65534, 65534)
    assert cache.load(KEY, NOW) is None
    assert not cache.store(KEY, session())


def test_a_link_is_never_followed(cache: SessionCache, tmp_path: Path) -> None:
    cache.store(KEY, session())
    file_of(cache).rename(tmp_path / "elsewhere")
    file_of(cache).symlink_to(tmp_path / "elsewhere")
    assert cache.load(KEY, NOW) is None
    assert cache.store(KEY, session())
    assert not file_of(cache).is_symlink()
    (tmp_path / "link").symlink_to(cache.directory)
    assert SessionCache(str(tmp_path / "link")).load(KEY, NOW) is None


@given(st.binary(max_size=300))
def test_garbage_is_no_session(data: bytes) -> None:
    assert decode_session(KEY, data) is None


@given(st.data())
def test_one_changed_byte_makes_a_file_worthless(data: st.DataObject) -> None:
    good = bytearray(encode_session(KEY, session()))
    position = data.draw(st.integers(0, len(good) - 1))
    good[position] ^= data.draw(st.integers(1, 255))
    assert decode_session(KEY, bytes(good)) is None


@given(st.integers(0, 200))
def test_a_file_that_was_cut_short_is_worthless(kept: int) -> None:
    good = encode_session(KEY, session())
    assert decode_session(KEY, good[: min(kept, len(good) - 1)]) is None


def test_a_file_without_a_session_token_is_none() -> None:
    assert decode_session(KEY, encode_session(KEY, session(token=""))) is None


def test_a_session_is_renewed_in_its_last_quarter_and_never_used_past_its_end(cache: SessionCache) -> None:
    kept = session(length=3600)
    assert kept.is_fresh(NOW + 2700)
    assert not kept.is_fresh(NOW + 2701)
    assert kept.is_alive(NOW + 3599)
    assert not kept.is_alive(NOW + 3600)
    cache.store(KEY, kept)
    assert cache.load(KEY, NOW + 3599) is not None
    assert cache.load(KEY, NOW + 3600) is None


def test_times_from_the_future_are_not_trusted(cache: SessionCache) -> None:
    cache.store(KEY, session())
    assert cache.load(KEY, NOW - 299) is not None
    assert cache.load(KEY, NOW - 301) is None


def test_files_of_sessions_long_ended_are_removed(cache: SessionCache) -> None:
    cache.store(KEY, session())
    old = NOW - 40 * 3600
    os.utime(file_of(cache), (old, old))
    cache.store(digest_of("other"), session())
    assert not file_of(cache).exists()
    assert [path.name for path in Path(cache.directory).iterdir()] == [digest_of("other")]


@pytest.mark.parametrize(
    ("age", "left"), [(0, True), (36 * 3600, True), (36 * 3600 + 599, True), (36 * 3600 + 601, False)]
)
def test_a_write_removes_files_of_others_only_when_their_sessions_have_ended(
    age: int, left: bool, cache: SessionCache
) -> None:
    """A session lasts 36 hours at most, and ten minutes are for clocks that differ."""
    cache.store(KEY, session())
    os.utime(file_of(cache), (NOW - age, NOW - age))
    assert cache.store(digest_of("other"), session())
    assert file_of(cache).exists() is left
    assert (cache.load(KEY, NOW) is not None) is left


def test_a_session_under_another_name_is_worth_nothing(cache: SessionCache) -> None:
    cache.store(KEY, session())
    other = digest_of("somebody else")
    file_of(cache).rename(Path(cache.directory) / other)
    assert cache.load(other, NOW) is None


def test_a_session_without_a_key_is_not_kept(cache: SessionCache) -> None:
    assert not cache.store("", session())
    assert cache.load("", NOW) is None
    assert cache.lock_of("") == ""


def test_only_files_that_we_wrote_are_removed(cache: SessionCache) -> None:
    cache.store(KEY, session())
    abandoned = f".{KEY}.4711.0123456789ab"  # by a run that was killed before it renamed it into place
    foreign = (
        "notes.txt",
        "id_ed25519",
        KEY[:-1],
        KEY + "0",
        f"{KEY}.",
        f"{KEY}.bak",
        f"{KEY}.4711.notes",
        KEY.upper(),
    )
    old = NOW - 40 * 3600
    for name in (abandoned, *foreign):
        path = Path(cache.directory) / name
        path.write_text("x")
        os.utime(path, (old, old))
    cache.store(digest_of("other"), session())
    assert {path.name for path in Path(cache.directory).iterdir()} == {KEY, digest_of("other"), *foreign}


def test_a_cache_that_cannot_be_written_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for directory in (str(tmp_path / "file"), str(tmp_path / "file" / "below"), ""):
        cache = SessionCache(directory)
        assert not cache.store(KEY, session())
        assert cache.load(KEY, NOW) is None


@pytest.mark.process
def test_many_writers_leave_one_whole_file(cache: SessionCache) -> None:
    """Eight processes write and read the same session at once; each read is a whole session or none, never a torn one."""
    program = (
        "import sys\n"
        "from kube_iam.aws.token_cache import *\n"
        "from kube_iam.core.credentials import Credentials\n"
        "cache = SessionCache(sys.argv[1])\n"
        "for n in range(200):\n"
        "    keys = Credentials('ASIA' + sys.argv[3] * 16, 's' * 40, sys.argv[3] * 1500, 1795510800.0)\n"
        "    assert cache.store(sys.argv[2], CachedSession(keys, 1795507200.0, 1795510800.0))\n"
        "    found = cache.load(sys.argv[2], 1795507200.0)\n"
        "    assert found is not None and found.credentials.access_key_id[4:] * 100 >= found.credentials.session_token\n"
        "    assert len(set(found.credentials.session_token)) == 1\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, cache.directory, KEY, letter]) for letter in "ABCDEFGH"]
    assert [writer.wait() for writer in writers] == [0] * 8
    assert [path.name for path in Path(cache.directory).iterdir()] == [KEY]


def test_the_directory_is_the_users_cache_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_directory({}, "sessions") == f"{tmp_path}/.cache/kube-iam/sessions"
    assert cache_directory({"XDG_CACHE_HOME": "/xdg"}, "sessions") == "/xdg/kube-iam/sessions"
    assert cache_directory({"XDG_CACHE_HOME": "relative"}, "sessions") == f"{tmp_path}/.cache/kube-iam/sessions"
    assert cache_directory({"XDG_CACHE_HOME": "/xdg", "KUBE_IAM_CACHE_DIR": "/own"}, "sessions") == "/own/sessions"
