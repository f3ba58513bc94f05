#!/bin/sh
# The long runs: kills of real processes, power cuts, simulator seeds, fuzzing, a day in the
# simulator, healthy rollouts before the verdict, healthy days before the host pack. Each part prints
# its count; the report is at the end.
set -u

usage() {
    cat <<'END'
usage: sh tests/soak.sh [PART…]

Runs the parts named, or all of them:

  bits      the golden bits of the verdict, compiled as a release is, and so for this very
            processor
  kills     kill -9 of collector and agent at random moments, 1,000 times; every acknowledged row
            is then read back once                                            (about 25 minutes)
  power     simulated power cuts of both sides, 10,000 seeds
  seeds     all faults of the simulator together, 10,000 seeds
  pages     alerts and their delivery under kills, power cuts, a full journal and bad receivers,
            10,000 seeds
  signals   signals to deploy hooks under kills, power cuts and a full journal, with hooks that
            end at any moment, over links that lose, delay and double, 10,000 seeds
  day       24 hours of one host in simulated time, 3 seeds
  fuzz      every reader of bytes from outside, for 10 minutes
  verdicts  healthy rollouts of each scenario, 10,000, before the verdict: how many it fails at
            α = 0.05, 0.01 and 0.001, each of which must hold
  silence   days of a healthy host before the host pack, 24 kinds, evaluated each 15 s: no alert
            may fire

PART=COUNT runs that many (seconds for fuzz), PART=COUNT@FIRST from that seed on:
sh tests/soak.sh kills=50 seeds=1000@20000. Exit code: 0 all passed, 1 something was found, 2 could
not run.
END
}

cd "$(dirname -- "$0")/.." || exit 2
[ $# -gt 0 ] || set -- bits kills power seeds pages signals day fuzz verdicts silence
for asked in "$@"; do
    case "${asked%%=*}" in
        bits | kills | power | seeds | pages | signals | day | fuzz | verdicts | silence) ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done

PATH=$PATH:${CARGO_HOME:-${HOME:-/nonexistent}/.cargo}/bin
export PATH
cargo build --release --locked --quiet -p bellwether-tests --bin soak || exit 2
target=$(cargo metadata --no-deps --offline --format-version 1 |
    sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
log=$(mktemp)
trap 'rm -f "$log"' EXIT
report=
failed=0

# one_test NAME: of the suite. The program itself, so that cargo holds no lock for half an hour; a
# name that is no test's would run none and pass.
one_test() {
    suite=$(cargo test --release --locked --quiet -p bellwether-tests --test suite --no-run \
        --message-format=json | sed -n 's/.*"executable":"\([^"]*suite-[^"]*\)".*/\1/p' | tail -n 1)
    [ -n "$suite" ] && "$suite" --exact --list "$1" | grep -q ': test$' || return 2
    "$suite" --exact --nocapture "$1"
}

bits() {
    test='cargo test --release --locked -p bellwether-rules --lib same_bits'
    $test && RUSTFLAGS='-C target-cpu=native' $test --target-dir "$target/native"
}

kills() {
    BELLWETHER_KILLS=$1 one_test \
        e2e::exactly_once::every_acked_row_is_read_back_once_after_kills_of_both
}

# verdicts COUNT FIRST
verdicts() {
    BELLWETHER_ROLLOUTS=$1@$2 one_test rollouts::each_scenario_holds_the_bound_of_false_rollbacks
}

silence() {
    BELLWETHER_HOST_DAYS=$1 one_test \
        packs::silence::no_alert_of_the_host_pack_fires_over_a_healthy_day
}

# part NAME COUNT FIRST
part() {
    printf '\n== %s: %s\n' "$1" "$2"
    start=$(date +%s)
    status=$({ {
        case "$1" in
            bits) bits ;;
            kills) kills "$2" ;;
            verdicts) verdicts "$2" "$3" ;;
            silence) silence "$2" ;;
            *) "$target/release/soak" "$1" "$2" "$3" ;;
        esac 2>&1
        echo $? >&3
    } | tee "$log" >&4; } 3>&1) 4>&1
    seconds=$(($(date +%s) - start))
    if [ "$status" = 0 ]; then
        case "$1" in
            kills) word="passed $2 kills: $(sed -n 's/^killed: //p' "$log")" ;;
            silence) word="passed $2 days" ;;
            bits) word='passed' ;;
            verdicts) word="passed $2 of each scenario: $(sed -n 's/^failed: //p' "$log")" ;;
            *) word=$(tail -n 1 "$log") ;;
        esac
    else
        failed=1
        word="FAILED (exit code $status): $(tail -n 1 "$log")"
    fi
    report="$report$(printf '%-8s %6s s  %s' "$1" "$seconds" "$word")
"
}

for asked in "$@"; do
    name=${asked%%=*}
    case "$name" in
        bits) count=1 ;;
        kills) count=1000 ;;
        day) count=3 ;;
        fuzz) count=600 ;;
        silence) count=24 ;;
        *) count=10000 ;;
    esac
    first=0
    case "$asked" in
        *=*@*) count=${asked#*=}; first=${count#*@}; count=${count%@*} ;;
        *=*) count=${asked#*=} ;;
    esac
    part "$name" "$count" "$first"
done

printf '\n%s' "$report"
[ "$failed" = 0 ]
