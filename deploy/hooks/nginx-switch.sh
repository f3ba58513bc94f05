#!/bin/sh
# Makes nginx send a service's traffic to another version, by the include file with its upstream.
#
#   nginx-switch.sh [--config FILE] rollback   to BELLWETHER_TO, if BELLWETHER_FROM serves
#   nginx-switch.sh [--config FILE] observe    prints the version that serves; fails if two do
#
# It sets a state and does not toggle one: called twice it does nothing the second time. FILE
# (/etc/bellwether/hooks/nginx-switch.env) is described in README.md beside this script.
# Exit codes: 0 done, 1 failed, 3 done already, 4 another version serves, 5 refused.
set -u
umask 022

say() { printf 'nginx-switch: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }
refuse() { say "$@"; exit 5; }

CONFIG=/etc/bellwether/hooks/nginx-switch.env
if [ "${1:-}" = --config ]; then
    [ $# -ge 2 ] || refuse '--config needs a file'
    CONFIG=$2
    shift 2
fi
case $CONFIG in
    /*) ;;
    *) refuse '--config needs an absolute path' ;;
esac
NL='
'
ACTION=${1:-${BELLWETHER_ACTION:-}}

# What is asked came before the file was read: the file cannot change it.
FROM=${BELLWETHER_FROM:-}
TO=${BELLWETHER_TO:-}
NGINX=nginx
NGINX_CONF=
TEST=
RELOAD=
UPSTREAM=
INCLUDE=
CHECK_URL=
VERSION_HEADER=x-version
VERSIONS=
CHECK_SECONDS=10
ANSWERS=100
[ -r "$CONFIG" ] || fail "cannot read $CONFIG"
# shellcheck source=/dev/null
. "$CONFIG"
[ -n "$UPSTREAM" ] || fail "$CONFIG does not say UPSTREAM"
[ -n "$INCLUDE" ] || fail "$CONFIG does not say INCLUDE"
[ -r "$INCLUDE" ] || fail "cannot read $INCLUDE"
[ -n "$CHECK_URL" ] || fail "$CONFIG does not say CHECK_URL"

# The address of a version: the value of a variable such as BACKEND_2_3_9.
address() {
    case $1 in
        '' | *[!A-Za-z0-9._-]*) return 1 ;;
    esac
    name=BACKEND_$(printf %s "$1" | tr '.-' '__')
    eval "printf %s \"\${$name:-}\""
}

# The version of an address of the include; of VERSIONS if they are listed, else as the variables'
# names say it.
version_of() {
    for version in $VERSIONS; do
        [ "$(address "$version")" != "$1" ] || { echo "$version"; return; }
    done
    for name in $(set | sed -n 's/^\(BACKEND_[A-Za-z0-9_]*\)=.*/\1/p'); do
        [ "$(eval "printf %s \"\$$name\"")" != "$1" ] || { echo "${name#BACKEND_}" | tr _ .; return; }
    done
    return 1
}

# The versions that serve. Where the include has several servers, the one that comes, which stands
# last, whoever answers. Else the include may not be what nginx has loaded, and the answers tell.
serving() {
    servers=$(sed 's/[{;}]/\n/g' "$INCLUDE" | awk '$1 == "server" { print $2 }')
    if [ "$(printf '%s\n' "$servers" | wc -l)" -gt 1 ]; then
        version_of "$(printf '%s\n' "$servers" | tail -n 1)"
    else
        answering
    fi
}

# The versions in ANSWERS answers through nginx, one a line; they come over one connection, in
# which nginx takes its servers in turn by their weights. Answers without a version are a bad
# version's, whichever it is: where a rollback wrote the include they are `none`, a version too.
answering() {
    none=
    ! grep -q '^# Written by nginx-switch.sh' "$INCLUDE" || none=none
    i=0
    while [ "$i" -lt "$ANSWERS" ]; do
        printf 'url = "%s"\n' "$CHECK_URL"
        i=$((i + 1))
    done | timeout --foreground 3 \
        curl --silent --show-error --head --no-buffer --fail-early --max-time 2 --config - |
        awk -v want="$VERSION_HEADER" -v none="$none" -v answers="$ANSWERS" '
            BEGIN { want = tolower(want) ":" }
            tolower($1) == want && sub(/\r$/, "", $2) { count++; if (!seen[$2]++) print $2 }
            END { if (!count) exit 1; if (count < answers && none) print none }'
}

# The one version that serves.
observe() {
    now=$(serving) || fail "neither $INCLUDE nor $CHECK_URL tells the version"
    case $now in
        *"$NL"*) fail "several versions answer: $(printf %s "$now" | tr '\n' ' ')" ;;
    esac
    printf '%s\n' "$now"
}

nginx_run() {
    if [ -n "$NGINX_CONF" ]; then
        "$NGINX" -c "$NGINX_CONF" "$@"
    else
        "$NGINX" "$@"
    fi
}

check() {
    if [ -n "$TEST" ]; then
        $TEST
    else
        nginx_run -t
    fi
}

reload() {
    if [ -n "$RELOAD" ]; then
        $RELOAD
    else
        nginx_run -s reload
    fi
}

# place FILE: gives it the include's name, as one step.
place() {
    sync "$1" 2>/dev/null || :
    mv -f "$1" "$INCLUDE"
}

# Old workers answer for a moment longer, and a version with few requests answers seldom: several
# times in a row all answers must be the version's.
wait_for() {
    in_row=0
    end=$(($(date +%s) + CHECK_SECONDS))
    while [ "$(date +%s)" -le "$end" ]; do
        if [ "$(answering 2>/dev/null)" = "$1" ]; then
            in_row=$((in_row + 1))
            [ "$in_row" -lt 3 ] || return 0
        else
            in_row=0
            sleep 0.1
        fi
    done
    return 1
}

rollback() {
    backend=$(address "$TO") || refuse "no version: $TO"
    [ -n "$backend" ] || refuse "$CONFIG has no backend of version $TO"
    now=$(serving) || fail "neither $INCLUDE nor $CHECK_URL tells the version"
    if [ "$now" = "$TO" ]; then
        say "$TO serves already"
        exit 3
    fi
    # Where nginx has not loaded what an earlier rollback wrote, both answer.
    for version in $now; do
        case $version in
            "$FROM" | "$TO" | none) ;;
            *) say "$version serves, not $FROM"; exit 4 ;;
        esac
    done
    new=$INCLUDE.new.$$
    old=$INCLUDE.old.$$
    trap 'rm -f "$new" "$old"' EXIT
    cp -p "$INCLUDE" "$old" || fail "cannot keep $INCLUDE"
    printf '# Written by nginx-switch.sh: version %s serves.\nupstream %s { server %s; }\n' \
        "$TO" "$UPSTREAM" "$backend" >"$new" || fail "cannot write $new"
    place "$new" || fail "cannot write $INCLUDE"
    if ! check >&2; then
        place "$old" || fail "nginx refuses the new file, and the old one cannot be put back"
        fail 'nginx refuses the new file; the old one is in place'
    fi
    if ! reload; then
        place "$old" || fail "nginx does not reload, and the old file cannot be put back"
        fail 'nginx does not reload; the old file is in place'
    fi
    wait_for "$TO" || fail "$TO does not serve after $CHECK_SECONDS s"
    say "$TO serves"
}

case $ACTION in
    observe) observe ;;
    rollback) rollback ;;
    *) refuse "what is to be done: rollback or observe, not '$ACTION'" ;;
esac
