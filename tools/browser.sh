#!/usr/bin/env bash
# Installs what the tests of the report's page need: axe-core, which checks accessibility (see npm.sh), and, where there is no Chromium and
# this is root on Debian or Ubuntu, Chromium itself.
set -euo pipefail

version=${AXE_CORE_VERSION:-4.14.1}
"$(dirname "$0")/npm.sh" axe-core "axe-core@$version"
for name in chromium chromium-browser google-chrome google-chrome-stable; do
  if command -v "$name" >/dev/null 2>&1; then exit 0; fi
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "browser: no Chromium on PATH: install it, or set KUBE_IAM_CHROMIUM" >&2
  exit 1
fi
echo "browser: installing chromium" >&2
apt-get update -qq >&2
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >&2
