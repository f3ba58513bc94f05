#!/bin/sh
# Records ten minutes of this host, as the generator of whole days wants it: the series that the
# host pack looks at, a point each 15 s.
#
#   bellwether up --listen 127.0.0.1:9797 --for 15m &
#   sh tests/src/host_day/record.sh 127.0.0.1:9797 > tests/src/host_day/healthy.txt
#
# With --pages FILE FIRST it takes 41 pages from FIRST on of a file that it was stopped from
# deleting (KEEP=FILE). Nothing of the host's name is kept, and of its filesystems only the root's.
set -eu
cd "$(dirname -- "$0")/../../.."

points=41
names=$(grep -oE '\b(node|bellwether_agent)_[A-Za-z0-9_]+|\bup\b' rules/packs/host.yaml | sort -u)

# Pages on standard input, lines that begin with @ before each; series with their points out.
series() {
    awk -v points="$points" -v names="$names" -v first="$1" '
        BEGIN { split(names, list, "\n"); for (i in list) wanted[list[i]] = 1; page = -1 - first }
        /^@/ { page++; next }
        /^#/ || page < 0 || page >= points { next }
        {
            if (!match($0, / [^ ]+ [0-9]+$/)) next
            key = substr($0, 1, RSTART - 1)
            split(substr($0, RSTART + 1), rest, " ")
            name = key; sub(/\{.*/, "", name)
            if (!(name in wanted) || (key ~ /mountpoint=/ && key !~ /mountpoint="\/"/)) next
            sub(/instance="[^"]*"/, "instance=\"host\"", key)
            if (!(key in seen)) { seen[key] = 1; order[++count] = key }
            value[key, page] = rest[1]
        }
        END {
            for (n = 1; n <= count; n++) {
                key = order[n]; out = ""
                for (page = 0; page < points; page++) {
                    this = ((key, page) in value) ? value[key, page] : "_"
                    same = 0
                    while (page + 1 < points && this != "_" && (key, page + 1) in value \
                        && value[key, page + 1] == this) { same++; page++ }
                    out = out (out == "" ? "" : " ") this (same ? "x" same : "")
                }
                print key "\t" out
            }
        }' | LC_ALL=C sort
}

echo "# Ten minutes of a healthy host, a point each 15 s; made by record.sh beside this file."
if [ "${1:-}" = --pages ]; then
    series "$3" < "$2"
    exit
fi
pages=${KEEP:-$(mktemp)}
[ -n "${KEEP:-}" ] || trap 'rm -f "$pages"' EXIT
: > "$pages"
page=0
while [ "$page" -lt "$points" ]; do
    [ "$page" = 0 ] || sleep 15
    echo "@ $page" >> "$pages"
    curl -fsSG "http://$1/federate" --data-urlencode 'match[]={job="node"}' >> "$pages"
    page=$((page + 1))
done
series 0 < "$pages"
