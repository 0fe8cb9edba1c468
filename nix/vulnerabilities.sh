#!/bin/sh
# Runs govulncheck where its database can be reached. A finding fails; an unreachable database is said and passed over,
# because the machines that build need nothing but package registries.
set -u
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$1" ./... >"$log" 2>&1
status=$?
if [ $status -ne 0 ] && grep -q 'fetching vulnerabilities' "$log"; then
	echo 'govulncheck: NOT CHECKED, the vulnerability database can not be reached from here'
	exit 0
fi
cat "$log"
exit $status
