#!/usr/bin/env bash
# Resolves requirements/*.txt from pyproject.toml, with hashes, without any index address,
# leaving out whatever was published in the last seven days.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=.venv/bin/uv
common=(pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header)
cool=(--exclude-newer "$(date -u -d '7 days ago' +%Y-%m-%d)")
"$uv" "${common[@]}" "${cool[@]}" --extra server pyproject.toml -o requirements/run.txt
for extra in aws vault hsm cel; do
  "$uv" "${common[@]}" "${cool[@]}" --extra server --extra "$extra" pyproject.toml \
    -c requirements/run.txt -o "requirements/run-$extra.txt"
done
"$uv" "${common[@]}" "${cool[@]}" --all-extras --group dev --group lock pyproject.toml \
  -c requirements/run.txt -c requirements/run-aws.txt -c requirements/run-vault.txt -c requirements/run-hsm.txt \
  -c requirements/run-cel.txt \
  -o requirements/dev.txt
"$uv" "${common[@]}" "${cool[@]}" --group peers -o requirements/peers.txt
