#!/usr/bin/env bash
# The main job on real parts, from an empty sandbox to an empty sandbox. Each command is shown, run, and its outcome checked: where the
# story does not hold, this ends with an exit code that is not 0. Needs kube-iam and kubectl on PATH (`make demo` sees to that).
set -euo pipefail

began=$SECONDS
work=$(mktemp -d "${TMPDIR:-/tmp}/kube-iam-demo.XXXXXX")
export KUBE_IAM_SANDBOX=$work/sandbox NO_COLOR=1
cd "$work"

clean_up() {
  local code=$?
  trap - EXIT INT TERM
  [ "$code" -eq 0 ] || printf '\ndemo: FAILED: the story does not hold\n' >&2
  [ ! -e "$KUBE_IAM_SANDBOX" ] || kube-iam sandbox down || true
  rm -rf "$work"
  exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

if [ -t 1 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); else bold='' plain=''; fi

tell() { printf '\n%s\n' "$*"; }

# attempt WHO COMMAND: shows the command and what it prints; leaves its exit code in $code and its output in $out.
attempt() {
  printf '\n%s%s$ %s%s\n' "$bold" "$1" "$2" "$plain"
  code=0
  out=$( { . "./$1.env"; bash -o pipefail -c "$2"; } 2>&1) || code=$?
  [ -z "$out" ] || printf '%s\n' "$out"
}

has() {
  case $out in *"$1"*) ;; *) printf 'demo: expected to read: %s\n' "$1" >&2; exit 1 ;; esac
}

# works WHO COMMAND [TEXT…]: the command has to succeed and to print each text.
works() {
  attempt "$1" "$2"
  [ "$code" -eq 0 ] || { printf 'demo: expected this to work, but its exit code is %s\n' "$code" >&2; exit 1; }
  shift 2
  for text in "$@"; do has "$text"; done
}

# refused WHO COMMAND TEXT…: the command has to fail, for the reason that the texts are part of.
refused() {
  attempt "$1" "$2"
  [ "$code" -ne 0 ] || { printf 'demo: expected this to be refused\n' >&2; exit 1; }
  shift 2
  for text in "$@"; do has "$text"; done
}

quietly() { ( . "./$1.env"; bash -o pipefail -c "$2" ) >/dev/null 2>&1; }

# The ConfigMap reaches the webhook as it would reach a pod, a moment after it was written; then IAM is asked who is in the groups.
until_in() {
  local tries=0
  printf '\n(waiting until the webhook knows %s)\n' "$1"
  until quietly "$1" "$2"; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || { printf 'demo: the webhook does not let %s in\n' "$1" >&2; exit 1; }
    sleep 0.2
  done
}

# until_out WHO COMMAND: says how long the command still works.
until_out() {
  local start=$SECONDS
  while quietly "$1" "$2"; do
    [ $((SECONDS - start)) -lt 30 ] || { printf 'demo: %s is still in\n' "$1" >&2; exit 1; }
  done
  printf '\n(out %s s after the command)\n' "$((SECONDS - start))"
}

# asks_until_refused WHO COMMAND FILE: writes the time at which the command first failed.
asks_until_refused() {
  local start=$SECONDS
  while quietly "$1" "$2" && [ $((SECONDS - start)) -lt 60 ]; do :; done
  date +%s.%N >"$3"
}

real_control_plane() { [ -n "$(kube-iam sandbox status | sed -n 's/.*"apiServer": "\(.*\)",/\1/p')" ]; }

tell "An emulated AWS account, the authenticator webhook and, where its binaries are found, a real kube-apiserver, all on loopback:"
printf '%s$ kube-iam sandbox up%s\n' "$bold" "$plain"
kube-iam sandbox up
kube-iam sandbox env >administrator.env
for person in alice bob carol; do kube-iam sandbox env --user "$person" >"$person.env"; done

tell "Three levels of access, as code (access.yaml):"
works administrator 'sed -n "/^levels:/,\$p" "$KUBE_IAM_ACCESS"' 'name: admin' 'name: developer' 'name: viewer'
works administrator 'kube-iam apply --yes' 'to create, 0 to update, 0 to delete'
tell "Day to day, people are moved in and out of IAM groups, and that is all:"
works administrator 'kube-iam grant alice admin' alice
works administrator 'kube-iam grant bob viewer' bob
works administrator 'kube-iam who' alice bob
works administrator 'kube-iam kubeconfig admin >admin.yaml'
works administrator 'kube-iam kubeconfig viewer >viewer.yaml'

cluster=sandbox.kube-iam.dev
role=arn:aws:iam::111122223333:role/sandbox
if real_control_plane; then
  until_in alice 'kubectl --kubeconfig admin.yaml auth whoami'
  until_in bob 'kubectl --kubeconfig viewer.yaml auth whoami'
  tell "alice is an admin. Kubernetes sees her by her own name, not by a shared role's; she cannot make herself more than she is:"
  works alice 'kubectl --kubeconfig admin.yaml auth whoami' awsiam:alice kube-iam:admin
  works alice 'kubectl --kubeconfig admin.yaml -n shop create configmap greeting --from-literal=hello=world' created
  refused alice 'kubectl --kubeconfig admin.yaml create clusterrolebinding more --clusterrole=cluster-admin --user=awsiam:alice' 'is forbidden'
  tell "bob is a viewer: he looks, and touches nothing:"
  works bob 'kubectl --kubeconfig viewer.yaml auth whoami' awsiam:bob kube-iam:viewer
  works bob 'kubectl --kubeconfig viewer.yaml -n shop get configmap greeting' greeting
  refused bob 'kubectl --kubeconfig viewer.yaml -n shop delete configmap greeting' 'is forbidden' awsiam:bob
  tell "carol is an IAM user too, but in no group. AWS does not give her the role, and her own identity is nobody in the cluster:"
  refused carol 'kubectl --kubeconfig viewer.yaml auth whoami' 'may not assume' user/carol
  refused carol "kube-iam token -i $cluster | kube-iam sandbox review" 'no mapping' user/carol
  tell "Nobody can call themselves somebody else:"
  refused alice "kube-iam token -i $cluster -r $role-admin --session-name bob" 'may not assume'
  enter='kubectl --kubeconfig admin.yaml auth whoami'
else
  tell "Without a control plane, what kube-apiserver would ask the webhook (a TokenReview) is asked by \`kube-iam sandbox review\`."
  until_in alice "kube-iam token -i $cluster -r $role-admin | kube-iam sandbox review"
  until_in bob "kube-iam token -i $cluster -r $role-viewer | kube-iam sandbox review"
  tell "alice is an admin, under her own name, and nothing else:"
  works alice "kube-iam token -i $cluster -r $role-admin | kube-iam sandbox review" '"authenticated": true' awsiam:alice kube-iam:admin
  refused alice "kube-iam token -i $cluster -r $role-viewer" 'may not assume'
  refused alice "kube-iam token -i $cluster -r $role-admin --session-name bob" 'may not assume'
  tell "bob is a viewer, and nothing else; his token for another cluster is worthless here:"
  works bob "kube-iam token -i $cluster -r $role-viewer | kube-iam sandbox review" '"authenticated": true' awsiam:bob kube-iam:viewer
  refused bob "kube-iam token -i $cluster -r $role-admin" 'may not assume'
  refused bob "kube-iam token -i other.kube-iam.dev -r $role-viewer | kube-iam sandbox review" '"authenticated": false'
  tell "carol is an IAM user too, but in no group. AWS does not give her the role, and her own identity is nobody in the cluster:"
  refused carol "kube-iam token -i $cluster -r $role-viewer" 'may not assume' user/carol
  refused carol "kube-iam token -i $cluster | kube-iam sandbox review" 'no mapping' user/carol
  enter="kube-iam token -i $cluster -r $role-admin | kube-iam sandbox review"
fi

tell "alice leaves the admins:"
works administrator 'kube-iam revoke alice admin' alice
tell "The session that she has already assumed is as good as ever, but the server asks IAM who is in the group: it opens nothing more."
until_out alice "$enter"
works alice "kube-iam token -i $cluster -r $role-admin --token-only | cut -c-11" k8s-aws-v1.
refused alice "$enter"
tell "A fresh sign-in, with no session kept from before, is refused:"
refused alice "export KUBE_IAM_CACHE_DIR=$work/empty; $enter" 'may not assume' user/alice

tell "A temporary grant ends by itself:"
works administrator "kube-iam grant carol viewer --for 2h --reason 'on call'" 'granted viewer for 2h'
works administrator 'kube-iam who viewer' carol 'on call'
carol=${enter//admin/viewer}
until_in carol "$carol"
works carol "$carol" awsiam:carol kube-iam:viewer
works administrator 'kube-iam revoke carol viewer' carol
until_out carol "$carol"

tell "The file says what there is, and what there is is what the file says:"
works administrator 'kube-iam plan' 'Nothing to change'

if real_control_plane; then
  sign_ins() { grep -c 'msg="access granted".* session=alice' "$KUBE_IAM_SANDBOX/logs/webhook.log"; }
  known="export KUBE_IAM_CACHE_DIR=$work/again; kubectl --kubeconfig admin.yaml -n shop get configmap greeting"
  works administrator 'kube-iam grant alice admin' alice
  until_in alice "$known"
  tell "alice is an admin again. kube-apiserver remembers her token for two minutes: it verifies no sign-in anew for what she asks now."
  before=$(sign_ins)
  works alice "$known" greeting
  tell "She is denied while she goes on asking:"
  asks_until_refused alice "$known" refused.at &
  asking=$!
  denied_at=$(date +%s.%N)
  works administrator 'kube-iam deny alice --yes --reason "lost laptop"' 'alice is out after' 'kube-apiserver refuses known tokens too'
  wait "$asking"
  refused alice "$known" 'is forbidden' 'on the deny list'
  [ "$(sign_ins)" -eq "$before" ] || { printf 'demo: the token was not remembered: alice signed in anew\n' >&2; exit 1; }
  awk -v from="$denied_at" -v to="$(cat refused.at)" \
    'BEGIN { printf "\n(refused %.1f s after the command was started, with the token that kube-apiserver remembers: no sign-in since)\n", to - from }'
  works administrator 'kube-iam undeny alice' 'denial removed'
  works administrator 'kube-iam revoke alice admin' 'alice is out of admin after'
fi

tell "Everything is taken down:"
works administrator 'kube-iam destroy --yes' 'Done'
real_control_plane && real=1 || real=0
printf '\n%s$ kube-iam sandbox down%s\n' "$bold" "$plain"
kube-iam sandbox down
[ ! -e "$KUBE_IAM_SANDBOX" ]
if [ "$real" -eq 1 ]; then
  tell "demo: the whole story holds, with kubectl against a real kube-apiserver ($((SECONDS - began)) s)"
else
  tell "demo: the whole story holds, through TokenReviews ($((SECONDS - began)) s). The same with kubectl against a real kube-apiserver:
  make control-plane   # once, about 3 minutes; then: make demo"
fi
