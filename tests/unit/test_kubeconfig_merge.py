"""`kubeconfig --merge`: which entries are this cluster's own, what a merge sets in them, and which file it writes."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from kubeconfigs import CA, ID, PEM, ROLE, SERVER, config, kubeconfig
from ruamel.yaml import YAML

from kube_iam.config.yaml_events import document_events
from kube_iam.errors import ConfigError, NotOwned
from kube_iam.kube.kubeconfig import dump
from kube_iam.kube.kubeconfig_merge import merge_into
from kube_iam.kube.yaml.fields import set_value
from required import missing

OTHER_CA = b64encode(PEM.replace("MIIB", "MIIC").encode()).decode()
AUTHENTICATOR = f"""{{
    exec: {{apiVersion: client.authentication.k8s.io/v1beta1, command: aws-iam-authenticator, args: [token, -i, {ID}]}}}}"""


def load(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


FOREIGN_CONTEXT = "- name: mine\n  context: {cluster: shop, user: me}\n"
REFUSED = {
    "cluster with another server": (kubeconfig("{server: https://other.example.com}"), "cluster 'shop'.*other.example.com"),
    "cluster with another server and a foreign context": (
        kubeconfig("{server: https://other.example.com}", more=FOREIGN_CONTEXT),
        "cluster 'shop'",
    ),
    "cluster with another port": (kubeconfig("{server: 'https://shop.example.com:6443'}"), "cluster 'shop'.*6443"),
    "cluster with another path": (
        kubeconfig("{server: 'https://shop.example.com/k8s/c-1'}"),
        "cluster 'shop' is another one: its server URL has another path, query or user name",
    ),
    "cluster over http": (kubeconfig("{server: 'http://shop.example.com'}"), "cluster 'shop'"),
    "cluster behind the same tunnel with another CA": (
        kubeconfig(f"{{server: {SERVER}, certificate-authority-data: {OTHER_CA}}}", more=FOREIGN_CONTEXT),
        "cluster 'shop'.*another CA",
    ),
    "cluster with a CA file that is missing": (
        kubeconfig(f"{{server: {SERVER}, certificate-authority: missing.crt}}"),
        "cluster 'shop'.*another CA",
    ),
    "cluster without a server": (kubeconfig("{certificate-authority-data: x}"), "cluster 'shop'"),
    "cluster that skips TLS": (
        kubeconfig(f"{{server: {SERVER}, insecure-skip-tls-verify: true}}"),
        "insecure-skip-tls-verify",
    ),
    "cluster that skips TLS, insecure in capitals": (
        kubeconfig(f"{{server: {SERVER}, insecure-skip-tls-verify: True}}"),
        "insecure-skip-tls-verify",
    ),
    "user with a token": (kubeconfig(user="{token: SECRET}"), "user 'shop-viewer'"),
    "user with a certificate": (kubeconfig(user="{client-certificate-data: SECRET, client-key-data: SECRET}"), "user"),
    "user with another plugin": (kubeconfig(user="{exec: {command: aws, args: [token, -i, shop-id]}}"), "user"),
    "user of another cluster": (kubeconfig(user=AUTHENTICATOR.replace(ID, "other")), "user.*cluster id shop-id"),
    "user with two cluster ids": (kubeconfig(user=AUTHENTICATOR.replace(ID, f"{ID}, -i, other")), "user"),
    "user whose plugin is another command": (kubeconfig(user=AUTHENTICATOR.replace("token", "who")), "user"),
    "user without arguments": (kubeconfig(user="{exec: {command: kube-iam}}"), "user"),
    "empty user": (kubeconfig(user="{}"), "user"),
    "context of another cluster and user": (kubeconfig(context="{cluster: a, user: b}"), "context 'shop-viewer'"),
    "context of another user": (kubeconfig(context="{cluster: shop, user: me}"), "context 'shop-viewer'"),
    "context of another cluster": (
        kubeconfig("{server: https://other.example.com}", AUTHENTICATOR, "{cluster: a, user: shop-viewer}", name="a"),
        "context 'shop-viewer'.*'a'",
    ),
    "empty context": (kubeconfig(context="{}"), "context 'shop-viewer'"),
    "context that waits for a cluster of that name": (kubeconfig(more=FOREIGN_CONTEXT), "context 'mine'.*cluster 'shop'"),
    "context that waits for a user of that name": (
        kubeconfig("{server: https://x}", name="a", more="- name: mine\n  context: {cluster: a, user: shop-viewer}\n"),
        "context 'mine'.*user 'shop-viewer'",
    ),
    "user that another context uses with another role": (
        kubeconfig(
            user=AUTHENTICATOR.replace(ID, f"{ID}, -r, 'arn:aws:iam::1:role/admin'"),
            more="- name: mine\n  context: {cluster: shop, user: shop-viewer}\n",
        ),
        "user 'shop-viewer' has another role, and context 'mine'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "why"), REFUSED.values(), ids=REFUSED)
def test_entries_of_others_stop_the_merge_and_nothing_is_written(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(NotOwned, match=f"{path}: .*{why}") as caught:
        merge_into([path], config())
    assert path.read_text() == text
    assert "SECRET" not in str(caught.value)
    assert "--cluster-name NAME" in caught.value.hint


@pytest.mark.parametrize("text", [text for text, _ in REFUSED.values() if "insecure" not in text], ids=lambda text: "")
def test_another_cluster_name_is_the_remedy(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    merge_into([path], config("shop-eu"))
    read, before = load(path.read_text()), load(text)
    for section in ("clusters", "users", "contexts"):
        assert read[section][:-1] == (before.get(section) or [])
        assert read[section][-1] == config("shop-eu")[section][0]


def test_a_server_with_a_password_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(kubeconfig("{server: 'https://me:SECRET@other.example.com/?key=SECRET'}"))
    with pytest.raises(NotOwned) as caught:
        merge_into([path], config())
    assert "SECRET" not in str(caught.value)


EDITED = f"""\
# mine
apiVersion: v1
kind: Config
clusters:
- name: shop   # through the jump host
  cluster:
    proxy-url: socks5://localhost:1080   # ssh -D
    server: {SERVER}/   # typed by hand
    tls-server-name: kubernetes
    disable-compression: true
    certificate-authority-data: >-
      {CA}
    extensions:
    - name: note
      extension: {{n: 007, f: 1.50, b: yes}}
contexts:
- context:
    user: shop-viewer
    namespace: checkout
    cluster: shop
    extensions: []
  name: shop-viewer
- context: {{cluster: shop, user: shop-viewer, namespace: kube-system}}
  name: shop-system
current-context: shop-viewer
users:
- name: shop-viewer
  user:
    as-user-extra: {{reason: [tests]}}
    exec:
      interactiveMode: Never
      provideClusterInfo: false
      apiVersion: client.authentication.k8s.io/v1beta1
      command: /opt/kube-iam/bin/kube-iam
      args:
      - token
      - --region
      - eu-central-1
      - --mfa-serial=arn:aws:iam::012345670123:mfa/alice   # the new phone
      - --role={ROLE}
      - -i
      - {ID}
      env:
      - name: HTTPS_PROXY
        value: http://proxy:3128
      installHint: |
        Ask alice.
"""


def test_an_entry_of_ours_keeps_every_byte_when_nothing_of_ours_changed(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(EDITED)
    assert merge_into([path], config()) == []
    assert path.read_text() == EDITED


def test_only_what_we_own_changes_in_an_entry_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(EDITED)
    moved = config(
        endpoint="https://moved.example.com",
        ca_pem=PEM.replace("MIIB", "MIIC"),
        args=["token", "-i", ID, "-r", ROLE, "--region", "eu-west-1"],
        env={"AWS_PROFILE": "work"},
    )
    merge_into([path], moved)
    text = path.read_text()
    for line in EDITED.splitlines():
        assert line in text or any(part in line for part in ("server: ", CA, "data: ", "- ")), line
    before, read = load(EDITED), load(text)
    cluster, user = before["clusters"][0]["cluster"], before["users"][0]["user"]["exec"]
    cluster |= {"server": "https://moved.example.com", "certificate-authority-data": OTHER_CA}
    user["args"] = [*moved["users"][0]["user"]["exec"]["args"], "--mfa-serial=arn:aws:iam::012345670123:mfa/alice"]
    user["env"].append({"name": "AWS_PROFILE", "value": "work"})
    assert read == before
    assert merge_into([path], moved) == []


@pytest.mark.parametrize("form", ["json", "flow", "crlf", "no final newline", "anchors"])
def test_fields_are_set_in_every_form_of_a_file(tmp_path: Path, form: str) -> None:
    data = load(EDITED)
    text = {
        "json": json.dumps(data),
        "flow": "{" + ", ".join(f"{key}: {json.dumps(value)}" for key, value in data.items()) + "}\n",
        "crlf": EDITED.replace("\n", "\r\n"),
        "no final newline": EDITED.rstrip("\n"),
        "anchors": EDITED.replace("namespace: checkout", "namespace: &n checkout").replace("kube-system", "*n"),
    }[form]
    path = tmp_path / "config"
    path.write_bytes(text.encode())
    changed = config(endpoint="https://moved.example.com", context_name="shop-other", env={"AWS_PROFILE": "work"})
    merge_into([path], changed)
    read = load(path.read_bytes().decode())
    assert read["clusters"][0]["cluster"]["server"] == "https://moved.example.com"
    assert read["clusters"][0]["cluster"]["extensions"] == data["clusters"][0]["cluster"]["extensions"]
    assert read["users"][0]["user"]["exec"]["env"][1] == {"name": "AWS_PROFILE", "value": "work"}
    assert read["contexts"][-1] == changed["contexts"][0]
    assert read["current-context"] == "shop-other"
    assert ("\r\n" in path.read_bytes().decode()) is (form == "crlf")
    assert path.read_bytes().replace(b"\r\n", b"").count(b"\n") == 0 or form != "crlf"


def test_an_old_file_of_the_reference_becomes_one_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "config"
    old = AUTHENTICATOR.replace("v1beta1", "v1alpha1").replace("]}", "], env: null}")
    path.write_text(kubeconfig(f"{{server: {SERVER}}}", old, "{cluster: shop, user: shop-viewer}"))
    merge_into([path], config(env={"AWS_PROFILE": "work"}))
    read = load(path.read_text())
    assert read["users"] == config(env={"AWS_PROFILE": "work"})["users"]
    assert read["clusters"] == config()["clusters"]


def test_a_program_and_version_that_are_asked_for_replace_those_of_an_entry_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(EDITED)
    changed = config(command="/usr/local/bin/kube-iam", api_version="client.authentication.k8s.io/v1")
    assert merge_into([path], changed) == []
    merge_into([path], changed, chosen=frozenset({"command"}))
    plugin = load(path.read_text())["users"][0]["user"]["exec"]
    assert (plugin["command"], plugin["apiVersion"][-7:]) == ("/usr/local/bin/kube-iam", "v1beta1")
    merge_into([path], changed, chosen=frozenset({"apiVersion"}))
    plugin = load(path.read_text())["users"][0]["user"]["exec"]
    assert plugin["apiVersion"] == "client.authentication.k8s.io/v1"
    assert plugin["installHint"] == "Ask alice.\n"


def test_an_entry_that_runs_another_program_of_our_choice_is_ours_with_that_choice(tmp_path: Path) -> None:
    path = tmp_path / "config"
    wrapper = config(command="/opt/bin/sign-in")
    merge_into([path], wrapper)
    assert merge_into([path], wrapper) == []
    merge_into(
        [path], {**wrapper, **config(command="/opt/bin/sign-in", args=["token", "-i", ID, "--region", "eu-west-1"])}
    )
    assert load(path.read_text())["users"][0]["user"]["exec"]["args"] == ["token", "-i", ID, "--region", "eu-west-1"]
    for other in ("kube-iam", "/opt/bin/other"):
        with pytest.raises(NotOwned, match="user 'shop-viewer'"):
            merge_into([path], config(command=other))


def test_a_changed_authority_is_ours_to_change_where_only_our_contexts_use_it(tmp_path: Path) -> None:
    path = tmp_path / "config"
    merge_into([path], config(ca_pem=PEM.replace("MIIB", "MIIC")))
    merge_into(
        [path],
        config(),
    )
    assert load(path.read_text())["clusters"] == config()["clusters"]


def test_another_level_of_the_same_cluster_is_added_beside_the_first(tmp_path: Path) -> None:
    path = tmp_path / "config"
    merge_into([path], config())
    first = path.read_text()
    merge_into([path], config(user_name="shop-admin", context_name="shop-admin", args=["token", "-i", ID, "-r", "x"]))
    read = load(path.read_text())
    assert [len(read[section]) for section in ("clusters", "users", "contexts")] == [1, 2, 2]
    assert load(first)["users"][0] == read["users"][0]


def test_a_key_that_stands_twice_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(f"clusters:\n- name: shop\n  cluster:\n    server: {SERVER}\n    server: https://other\n")
    with pytest.raises(ConfigError, match=r"clusters\[0\]: server stands there twice"):
        merge_into([path], config())


def test_a_server_that_another_cluster_shares_by_an_alias_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "config"
    merge_into([path], config())
    text = path.read_text().replace("cluster:\n    server", "cluster: &shared\n    server")
    text = text.replace("users:\n", "- name: other\n  cluster: *shared\nusers:\n")
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"clusters\[0\].cluster.server: cannot be set safely"):
        merge_into([path], config(endpoint="https://moved.example.com"))
    assert path.read_text() == text


def test_a_current_context_that_stands_twice_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("current-context: a\ncurrent-context: b\n")
    with pytest.raises(ConfigError, match=f"{path}: line 2: current-context: .*twice"):
        merge_into([path], config())


def test_a_file_of_comments_only_gets_the_current_context(tmp_path: Path) -> None:
    empty, full = tmp_path / "empty", tmp_path / "full"
    merge_into([full], config())
    full.write_text(full.read_text().replace("current-context: shop-viewer", "current-context: other"))
    empty.write_text("# mine")
    assert merge_into([empty, full], config()) == [empty]
    assert empty.read_text().startswith("# mine\n")
    assert load(empty.read_text())["current-context"] == "shop-viewer"


def test_an_empty_file_that_nothing_goes_into_is_not_written(tmp_path: Path) -> None:
    empty, full = tmp_path / "empty", tmp_path / "full"
    empty.write_text("")
    assert merge_into([full, empty], config()) == [empty]
    empty.rename(full)
    empty.write_text("")
    assert merge_into([full, empty], config(endpoint="https://moved.example.com")) == [full]
    assert empty.read_text() == ""


def several(tmp_path: Path) -> list[Path]:
    return [tmp_path / name for name in ("missing", "first", "second")]


def test_entries_stay_in_the_file_where_kubectl_finds_them(tmp_path: Path) -> None:
    files = several(tmp_path)
    files[1].write_text("kind: Config\ncontexts:\n- name: x\n  context: {}\ncurrent-context: x\n")
    merge_into([files[2]], config())
    changed = config(endpoint="https://moved.example.com")
    assert merge_into(files, changed) == [files[1], files[2]]
    assert not files[0].exists()
    assert load(files[2].read_text())["clusters"] == changed["clusters"]
    assert load(files[1].read_text())["current-context"] == "shop-viewer"
    assert "clusters" not in load(files[1].read_text())
    assert merge_into(files, changed) == []


def test_merge_parses_a_file_once_and_its_new_text_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each parse of a file of 1,000 clusters takes a quarter of a second."""
    path = tmp_path / "config"
    for number in range(20):
        merge_into([path], config(f"level-{number}"))
    before = path.read_text()
    parsed: list[str] = []

    def record(text: str, *more: Any) -> Any:
        parsed.append(text)
        return document_events(text, *more)

    monkeypatch.setattr("kube_iam.kube.yaml.tree.document_events", record)
    merge_into([path], config())
    assert parsed == [before, path.read_text()]
    parsed.clear()
    merge_into([path], config())
    assert parsed == [path.read_text()]


def test_new_entries_go_into_the_first_file_that_exists(tmp_path: Path) -> None:
    files = several(tmp_path)
    files[1].write_text("")
    files[2].write_text(dump(config("other")))
    assert merge_into(files, config()) == [files[1]]
    assert load(files[1].read_text()) == config()


def test_an_entry_of_another_cluster_in_any_of_the_files_stops_the_merge(tmp_path: Path) -> None:
    files = several(tmp_path)
    files[1].write_text("kind: Config\n")
    files[2].write_text(kubeconfig(user="{token: x}"))
    with pytest.raises(NotOwned, match=f"{files[2]}: user"):
        merge_into(files, config())
    assert files[1].read_text() == "kind: Config\n"


def test_an_entry_that_another_file_hides_is_left_alone(tmp_path: Path) -> None:
    files = several(tmp_path)
    merge_into([files[1]], config())
    files[2].write_text(kubeconfig("{server: https://other.example.com}", "{token: x}"))
    hidden = files[2].read_text()
    assert merge_into(files, config(endpoint="https://moved.example.com")) == [files[1]]
    assert files[2].read_text() == hidden


def test_kubectl_writes_the_same_files_and_reads_ours(tmp_path: Path) -> None:
    kubectl = Path(sys.executable).with_name("kubectl")
    if not kubectl.exists():
        missing("kubectl", "make venv")
    files = several(tmp_path)
    files[1].write_text("apiVersion: v1\nkind: Config\n")
    files[2].write_text(dump(config("other")))
    environ = {"KUBECONFIG": ":".join(map(str, files)), "HOME": str(tmp_path)}

    def run(*arguments: str) -> str:
        return subprocess.run(
            [kubectl, "config", *arguments], env=environ, check=True, capture_output=True, text=True
        ).stdout

    run("set-cluster", "new", "--server=https://new.example.com")
    run("set-context", "other-viewer", "--namespace=team")
    run("use-context", "other-viewer")
    assert [("new" in path.read_text(), "team" in path.read_text()) for path in files[1:]] == [
        (True, False),
        (False, True),
    ]
    merge_into(files, config())
    seen = json.loads(run("view", "--raw", "-o", "json"))
    assert seen["current-context"] == "shop-viewer"
    assert {each["name"] for each in seen["clusters"]} == {"new", "other", "shop"}


@pytest.mark.parametrize(
    ("text", "path", "value", "expected"),
    [
        ("a: 1  # c\nb: 2\n", ("a",), "x", "a: x  # c\nb: 2\n"),
        ("a:\nb: 2\n", ("a",), "x", "a: x\nb: 2\n"),
        ("a: |\n  x\n  y\nb: 2\n", ("a",), "z", "a: z\nb: 2\n"),
        ("a: {b: 1, c: [x]}\n", ("a", "d"), "z", 'a: {b: 1, c: [x], "d": "z"}\n'),
        ("a:\n- b: 1\n- c: 2\n", ("a", 0, "d"), ["e", "f"], "a:\n- b: 1\n  d:\n  - e\n  - f\n- c: 2\n"),
        ("a:\n  - x\n", ("a", 1), {"b": "c"}, "a:\n  - x\n  - b: c\n"),
        ("a: []\n", ("a", 0), "b", 'a: ["b"]\n'),
        ("a:\n  - x\n  - y\nb: 1\n", ("a",), ["z", "w"], "a:\n  - z\n  - w\nb: 1\n"),
    ],
)  # fmt: skip
def test_one_value_is_set_and_no_other_byte_moves(text: str, path: Any, value: Any, expected: str) -> None:
    assert set_value(text, path, value, "file") == expected


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a: 1\na: 2\n", ("a",)),
        ("a: &x {b: 1}\nc: *x\n", ("c", "b")),
        ("a: &x {b: 1}\nc: *x\n", ("a", "b")),
        ("a: &x {b: 1}\nc: *x\n", ("a", "d")),
        ("a: &x {b: 1}\nc: {<<: *x}\n", ("a", "b")),
        ("a: &x [{b: 1}]\nc: [*x]\n", ("a", 0, "b")),
        ("a: &x 1\nc: *x\n", ("a",)),
        ("- a\n", ("a",)),
        ("a: 1\n", ("a", "b")),
        ("", ("a",)),
    ],
)
def test_a_value_that_cannot_be_set_safely_is_an_error(text: str, path: Any) -> None:
    with pytest.raises(ConfigError, match="cannot be set safely; nothing was written"):
        set_value(text, path, "x", "file")
