#!/bin/sh
# Makes a service of systemd run another release that is on this host still: the link `current`
# then names it, and the unit is restarted.
#
#   systemd-previous-release.sh [--config FILE] rollback   to BELLWETHER_TO, if BELLWETHER_FROM runs
#   systemd-previous-release.sh [--config FILE] observe    prints the release that `current` names
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
[ -r "$CONFIG" ] || fail "cannot read $CONFIG"
# shellcheck source=/dev/null
. "$CONFIG"
[ -n "$ROOT" ] || fail "$CONFIG does not say ROOT"
[ -n "$UNIT" ] || fail "$CONFIG does not say UNIT"
: "${RESTART:=systemctl restart $UNIT}"
: "${IS_ACTIVE:=systemctl is-active --quiet $UNIT}"

# The release that the link names: releases/VERSION.
current() {
    target=$(readlink "$ROOT/current") || return 1
    printf '%s\n' "${target##*/}"
}

# point VERSION: the link names it, as one step.
point() {
    ln -sfn "releases/$1" "$ROOT/current.new" && mv -T "$ROOT/current.new" "$ROOT/current"
}

rollback() {
    case $TO in
        '' | .* | *[!A-Za-z0-9._-]*) refuse "no version: $TO" ;;
    esac
    [ -d "$ROOT/releases/$TO" ] || refuse "the release $TO is not in $ROOT/releases"
    now=$(current) || fail "$ROOT/current names no release"
    if [ "$now" = "$TO" ] && $IS_ACTIVE; then
        say "$TO runs already"
        exit 3
    fi
    if [ "$now" != "$FROM" ] && [ "$now" != "$TO" ]; then
        say "$now runs, not $FROM"
        exit 4
    fi
    point "$TO" || fail "cannot change $ROOT/current"
    $RESTART || fail "$UNIT does not start with $TO"
    $IS_ACTIVE || fail "$UNIT is not active with $TO"
    say "$TO runs"
}

case $ACTION in
    observe) current || fail "$ROOT/current names no release" ;;
    rollback) rollback ;;
    *) refuse "what is to be done: rollback or observe, not '$ACTION'" ;;
esac
