#!/usr/bin/env bash
# Takes promtool, which checks and tests alert rules, out of Debian's package prometheus into a cache outside the repository. Nothing is
# installed. Prints the path of the binary on standard output; all else goes to standard error.
#   KUBE_IAM_CACHE    where it is kept (default: ${XDG_CACHE_HOME:-~/.cache}/kube-iam)
set -euo pipefail

target=${KUBE_IAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kube-iam}/promtool/promtool

if [ -x "$target" ]; then
  printf 'promtool: found in the cache: %s\n' "$target" >&2
  echo "$target"
  exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
  echo "promtool: no apt-get here: put promtool there yourself: $target" >&2
  exit 1
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/kube-iam-promtool.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get update -qq >&2
apt-get download -qq prometheus >&2
dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool
mkdir -p "$(dirname "$target")"
mv usr/bin/promtool "$target"
printf 'promtool: taken from Debian: %s\n' "$target" >&2
echo "$target"
