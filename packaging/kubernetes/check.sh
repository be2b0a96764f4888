#!/usr/bin/env bash
# Holds the manifests against the schemas of Kubernetes: every field is one that the API has, with a value of its type.
#
# kubernetes-validate does it (`pip install kubernetes-validate`), which brings the schemas along.
set -euo pipefail
cd "$(dirname "$0")"
check() { kubernetes-validate --strict --kubernetes-version 1.37 --quiet "$@"; }
check ./*.yaml
# A checker that finds nothing might not have looked.
misspelt=$(mktemp --suffix .yaml)
trap 'rm -f "$misspelt"' EXIT
sed 's/parallelism:/paralelism:/' hostile-job.yaml >"$misspelt"
if check "$misspelt" >/dev/null; then
    echo 'a misspelt field was not found' >&2
    exit 1
fi
echo 'the manifests are as Kubernetes 1.37 wants them'
