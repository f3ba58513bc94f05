#!/bin/sh
# The one gate: format, lints, licences, docs, tests, and real processes on loopback.
# Prints the seconds of each step and closes with one line: N passed, N failed, N skipped.
set -u

case "${1:-}" in
    '') ;;
    *)
        cat <<'END'
usage: sh tests/run.sh

Runs every check of the repository. As root on Debian or Ubuntu it installs what the tests use
(prometheus, prometheus-node-exporter, strace, nginx, curl); otherwise it says what is missing, and the tests
that need it say that they were skipped. Exit code: 0 all passed, 1 something failed, 2 could not
run.
END
        [ "$1" = --help ] || [ "$1" = -h ] || exit 2
        exit 0
        ;;
esac

cd "$(dirname -- "$0")/.." || exit 2
PATH=$PATH:${CARGO_HOME:-${HOME:-/nonexistent}/.cargo}/bin
export PATH
CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
export CARGO_TERM_COLOR

passed=0
failed=0
skipped=0
summary=
began=$(date +%s)
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# note RESULT NAME SECONDS
note() {
    summary="$summary$(printf '%-8s %5s s  %s' "$1" "$3" "$2")
"
}

# The sum of the numbers before WORD in the lines `test result: … N WORD; …` of the log.
results() {
    awk -v word="$1" '/^test result: / {
        for (i = 2; i <= NF; i++) if ($i == word ";") sum += $(i - 1)
    } END { print sum + 0 }' "$log"
}

# step NAME COMMAND…: one check, or a run of tests whose results are counted one by one.
step() {
    name=$1
    shift
    printf '\n== %s\n' "$name"
    start=$(date +%s)
    # The exit code of the command, not of tee.
    status=$({ { "$@" 2>&1; echo $? >&3; } | tee "$log" >&4; } 3>&1) 4>&1
    seconds=$(($(date +%s) - start))
    step_passed=$(results passed)
    step_failed=$(results failed)
    # A test that found its peer missing says so and returns.
    step_skipped=$(grep -c '^skipped: ' "$log")
    if [ $((step_passed + step_failed)) = 0 ]; then
        [ "$status" = 0 ] && step_passed=1
    else
        step_passed=$((step_passed - step_skipped))
    fi
    [ "$status" = 0 ] || [ "$step_failed" != 0 ] || step_failed=1
    passed=$((passed + step_passed))
    failed=$((failed + step_failed))
    skipped=$((skipped + step_skipped))
    if [ "$status" = 0 ]; then note passed "$name" "$seconds"; else note FAILED "$name" "$seconds"; fi
}

# skip NAME REASON
skip() {
    printf '\n== %s\nskipped: %s\n' "$1" "$2"
    skipped=$((skipped + 1))
    note skipped "$1: $2" 0
}

peers() {
    missing=
    for pair in prometheus:prometheus promtool:prometheus \
        prometheus-node-exporter:prometheus-node-exporter strace:strace nginx:nginx curl:curl; do
        command -v "${pair%%:*}" >/dev/null 2>&1 && continue
        case " $missing " in *" ${pair#*:} "*) ;; *) missing="$missing ${pair#*:}" ;; esac
    done
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "missing:$missing; tests that need them will be skipped"
        return 0
    fi
    apt-get -q -o DPkg::Lock::Timeout=120 update
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 \
        install -y --no-install-recommends $missing ||
        echo "could not install:$missing; tests that need them will be skipped"
    return 0
}

components() {
    if cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1; then
        return 0
    fi
    rustup component add rustfmt clippy
}

cargo_deny() {
    # From here on nothing is asked of the network.
    cargo deny --offline check licenses bans sources
}

install_cargo_deny() {
    cargo deny --version >/dev/null 2>&1 && return 0
    home=${CARGO_HOME:-${HOME:-/nonexistent}/.cargo}
    mkdir -p "$home/bin" 2>/dev/null
    [ -w "$home/bin" ] || { echo "$home/bin is not writable"; return 1; }
    echo "installing cargo-deny (about 80 s, once)"
    cargo install --locked --debug cargo-deny
}

sh deploy/quickstart.sh --prepare || exit 2
peers
components || { echo "rustfmt and clippy are missing"; exit 2; }

target=$(cargo metadata --no-deps --offline --format-version 1 |
    sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')

step 'dependencies fetched' cargo fetch --locked
step 'format' cargo fmt --all --check
step 'clippy' cargo clippy --workspace --all-targets --locked -- -D warnings
if install_cargo_deny; then
    step 'licences, bans, sources' cargo_deny
else
    skip 'licences, bans, sources' 'cargo-deny is missing and could not be installed'
fi
step 'documentation' env RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked
# One profile and one choice of features for all that runs: nothing is compiled twice.
step 'build' cargo build --workspace --all-targets --locked
step 'tests' cargo test --workspace --locked --no-fail-fast -- --skip e2e::
# The same bits whatever the compiler makes of the sums: optimised, for this very processor.
step 'golden bits, release, target-cpu=native' env RUSTFLAGS='-C target-cpu=native' \
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    cargo test --release --locked --target-dir "$target/native" -p bellwether-rules --lib same_bits
step 'real processes' cargo test --workspace --test suite --locked -- e2e:: --test-threads=2

printf '\n%s%s s in all\n\n' "$summary" "$(($(date +%s) - began))"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
