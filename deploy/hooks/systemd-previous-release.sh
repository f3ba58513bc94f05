#!/bin/sh
# Makes a service of systemd run another release that is on this host still: the link `current`
# then names it, and the unit is restarted.
#
#   systemd-previous-release.sh [--config FILE] rollback   to BELLWETHER_TO, if BELLWETHER_FROM runs
#   systemd-previous-release.sh [--config FILE] observe    prints the release that runs
#
# What runs is what the link named when the unit's main process started. So the link tells it while
# that process is younger than the link, by systemd's time of the start and the link's own time of
# modification; else nobody can tell, and `observe` fails. That needs neither root nor a look into
# the process.
#
# It sets a state and does not toggle one: called twice it does nothing the second time. FILE
# (/etc/bellwether/hooks/systemd-previous-release.env) is described in README.md beside this
# script. Exit codes: 0 done, 1 failed, 3 done already, 4 another version serves, 5 refused.
set -u

say() { printf 'systemd-previous-release: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }
refuse() { say "$@"; exit 5; }

CONFIG=/etc/bellwether/hooks/systemd-previous-release.env
if [ "${1:-}" = --config ]; then
    [ $# -ge 2 ] || refuse '--config needs a file'
    CONFIG=$2
    shift 2
fi
case $CONFIG in
    /*) ;;
    *) refuse '--config needs an absolute path' ;;
esac
ACTION=${1:-${BELLWETHER_ACTION:-}}

# What is asked came before the file was read: the file cannot change it.
FROM=${BELLWETHER_FROM:-}
TO=${BELLWETHER_TO:-}
ROOT=
UNIT=
RESTART=
IS_ACTIVE=
SHOW=
[ -r "$CONFIG" ] || fail "cannot read $CONFIG"
# shellcheck source=/dev/null
. "$CONFIG"
[ -n "$ROOT" ] || fail "$CONFIG does not say ROOT"
[ -n "$UNIT" ] || fail "$CONFIG does not say UNIT"
: "${RESTART:=systemctl restart $UNIT}"
: "${IS_ACTIVE:=systemctl is-active --quiet $UNIT}"
: "${SHOW:=systemctl show --timestamp=us+utc -p MainPID -p ExecMainStartTimestamp $UNIT}"
LINK=$ROOT/current
# The link as it was, while a rollback is under way.
OLD=$ROOT/current.old
# The link is a rollback's if it is not younger than this.
MADE=$ROOT/current.made

# The release that the link names: releases/VERSION.
named() {
    target=$(readlink "$LINK") || { say "$LINK names no release"; return 1; }
    printf '%s\n' "${target##*/}"
}

# The release that runs. While the unit has no process it is the one that starts next, so that a
# release that crashes can be rolled back; but of a rollback's release that is not said.
running() {
    release=$(named) || return 1
    shown=$($SHOW) || { say "cannot tell what $UNIT runs"; return 1; }
    pid=$(printf '%s\n' "$shown" | sed -n 's/^MainPID=//p')
    started=$(printf '%s\n' "$shown" | sed -n 's/^ExecMainStartTimestamp=//p')
    case $pid:$started in
        0:*)
            if [ -e "$MADE" ] && [ -z "$(find "$LINK" -prune -newer "$MADE")" ]; then
                say "$UNIT does not run"
                return 1
            fi
            ;;
        [1-9]*:*[0-9]*)
            younger=$(find "$LINK" -prune -newermt "$started") || return 1
            if [ -n "$younger" ]; then
                say "$LINK names $release, but $UNIT started before that"
                return 1
            fi
            ;;
        *) say "cannot tell what $UNIT runs"; return 1 ;;
    esac
    printf '%s\n' "$release"
}

# point VERSION: the link names it, as one step.
point() {
    ln -sfn "releases/$1" "$LINK.new" && touch "$MADE" && mv -T "$LINK.new" "$LINK"
}

# put_back VERSION BEFORE: the link names it as before. It keeps its time only where the process is
# the same still: of another one it would tell a lie.
put_back() {
    if [ "$($SHOW)" = "$2" ]; then
        mv -T "$OLD" "$LINK"
    else
        point "$1"
    fi || return 1
    [ "$1" = "$TO" ] || rm -f "$MADE"
}

rollback() {
    case $TO in
        '' | .* | *[!A-Za-z0-9._-]*) refuse "no version: $TO" ;;
    esac
    [ -d "$ROOT/releases/$TO" ] || refuse "the release $TO is not in $ROOT/releases"
    now=$(named) || exit 1
    if [ "$now" = "$TO" ] && running >/dev/null && $IS_ACTIVE; then
        say "$TO runs already"
        exit 3
    fi
    if [ "$now" != "$FROM" ] && [ "$now" != "$TO" ]; then
        say "$now runs, not $FROM"
        exit 4
    fi
    before=$($SHOW)
    trap 'rm -f "$OLD"' EXIT
    { rm -f "$OLD" && cp -Pp "$LINK" "$OLD"; } || fail "cannot keep $LINK"
    point "$TO" || fail "cannot change $LINK"
    if ! $RESTART; then
        put_back "$now" "$before" || fail "$UNIT does not restart, and $LINK cannot be put back"
        fail "$UNIT does not restart with $TO; $LINK names $now as before"
    fi
    $IS_ACTIVE || fail "$UNIT is not active with $TO"
    running >/dev/null || fail "$UNIT does not run $TO"
    say "$TO runs"
}

case $ACTION in
    observe) running || exit 1 ;;
    rollback) rollback ;;
    *) refuse "what is to be done: rollback or observe, not '$ACTION'" ;;
esac
