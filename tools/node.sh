#!/usr/bin/env bash
# The CDK's Python library and its command line run on Node.js. If the machine's Node.js is missing or too old,
# install PyPI's package of it, which puts `node`, `npm` and `npx` into the virtual environment.
set -euo pipefail
venv=$1

new_enough() { command -v node >/dev/null && command -v npm >/dev/null && node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)'; }

if new_enough; then exit 0; fi
echo "No Node.js 20 or newer on this machine: installing it from PyPI into $venv ..."
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: \
  -r "$(dirname "$0")/requirements-node.txt" || {
  echo "Node.js could not be installed from PyPI for this platform: install Node.js 20 or newer, then run the command again." >&2
  exit 1
}
PATH="$(cd "$venv/bin" && pwd):$PATH"
new_enough || { echo "Node.js was installed into $venv but does not run: install Node.js 20 or newer, then run the command again." >&2; exit 1; }
