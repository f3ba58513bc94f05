#!/bin/sh
# Side by side with the peers, in one run on this machine; figures, no verdict.
# Run alone on an idle machine: everything here shares its cores.
set -eu

usage() {
    cat <<'END'
usage: sh tests/bench.sh [SECONDS] [PART…]

SECONDS is the length of one of three windows of each measurement (20 unless told). Parts, all unless
told:

  binaries  sizes
  agent     CPU and memory of the agent with its default inputs, beside node_exporter that is scraped
            by a Prometheus in agent mode with remote write
  wire      the same with about 1,000 series, and the bytes a sample on the wire; with SECONDS 200 its
            windows hold what opens a segment, which comes every ten minutes
  ingest    frames of 50 connections, each acknowledged after its sync, per CPU-second
  store     bytes a sample and appends of the store; BELLWETHER_RECORDED=DIR names a recorded journal
  memory    bytes a series at 100,000 and at 500,000 series
  restart   seconds to ready with 100,000 series and an hour of data at 15 s
  promql    five shapes of query over 50,000 series, beside Prometheus
  page      from a bad sample to the webhook at 1 s, beside Prometheus with Alertmanager, 200 trials;
            BELLWETHER_TRIALS=N makes N. Both read the same file, whose value turns bad for one rule
            after another at random moments
  rules     CPU of a round of 500 rules over 50,000 series that come at 15 s and at 1 s, beside
            Prometheus: what the process takes with rules less what it takes without
  judges    10,000 rollouts, each judged every second, on one core
  rollback  from the first bad request of a canary (a twentieth of 200 requests a second through
            nginx) to the hook and to traffic on the old version, 20 trials: 20 % and 5 % bad, soon
            after the announce; BELLWETHER_HEALTH=SECONDS lets it be well for so long before, and
            BELLWETHER_TRAIN_REQUESTS=0 says that the service's requests fail alone
END
}

PARTS='binaries agent wire ingest store memory restart promql page rules judges rollback'
seconds=20
parts=
for word in "$@"; do
    case "$word" in
        -h | --help) usage; exit 0 ;;
        *[!0-9]*)
            case " $PARTS " in
                *" $word "*) parts="$parts $word" ;;
                *) usage >&2; exit 2 ;;
            esac
            ;;
        *) seconds=$word ;;
    esac
done
parts=${parts:-$PARTS}

cd "$(dirname -- "$0")/.."
cargo build --release --locked --workspace --bins
target=$(cargo metadata --no-deps --offline --format-version 1 |
    sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
bin=$target/release
work=$(mktemp -d)
started=
stop_all() {
    for pid in $started; do kill "$pid" 2>/dev/null || true; done
    for pid in $started; do wait "$pid" 2>/dev/null || true; done
    started=
}
finish() {
    stop_all
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# start NAME COMMAND…: in the background, output in $work/NAME.log; its id is in $pid.
start() {
    name=$1
    shift
    : >"$work/$name.log"
    "$@" >"$work/$name.log" 2>&1 &
    pid=$!
    started="$started $pid"
}

# address NAME PROGRAM: what PROGRAM says it listens on, within ten seconds.
address() {
    for _ in $(seq 100); do
        found=$(sed -n "s|.*$2: listening on http://||p" "$work/$1.log" | head -n 1)
        [ -z "$found" ] || { echo "$found"; return; }
        sleep 0.1
    done
    echo "$2 did not start:" >&2
    cat "$work/$1.log" >&2
    return 1
}

# cpu PID: nanoseconds on a core so far, of all its threads, from the scheduler.
cpu() { cat /proc/"$1"/task/*/schedstat | awk '{ sum += $1 } END { printf "%.0f\n", sum }'; }
resident() { awk '/^VmRSS:/ { printf "%.1f", $2 / 1024 }' "/proc/$1/status"; }
series() { curl -s "http://$1/metrics" | grep -c '^[a-z]'; }
# The middle one of three lines.
median() { sort -n | sed -n 2p; }
has() { command -v "$1" >/dev/null 2>&1; }

heading() { printf '\n== %s\n' "$1"; }

# A collector that takes frames under the token in $work/token; more lines of its configuration may
# be given. Sets $serve_pid and $collector.
serve() {
    [ -e "$work/token" ] || head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$work/token"
    chmod 600 "$work/token"
    printf 'principals:\n  agents: {token_file: %s, scopes: [ingest]}\n%s\n' "$work/token" "${1:-}" \
        >"$work/collector.yaml"
    start serve "$bin/bellwether" serve --config "$work/collector.yaml" --data-dir "$work/data" \
        --listen 127.0.0.1:0
    serve_pid=$pid
    collector=$(address serve bellwether)
}

part_binaries() {
    heading binaries
    for name in bellwether bellwether-agent; do
        printf '%-18s %10.1f MiB\n' "$name" \
            "$(stat -c %s "$bin/$name" | awk '{ print $1 / 1048576 }')"
    done
}

# host TITLE AGENT_INPUTS EXPORTER_FLAGS…: one host at 1 s, ours and theirs at the same time.
host() {
    heading "$1"
    inputs=$2
    shift 2
    rm -rf "$work/data"
    serve
    printf 'inputs: %s\n' "$inputs" >"$work/agent.yaml"
    start agent "$bin/bellwether-agent" run --config "$work/agent.yaml" --data-dir "$work/data" \
        --listen 127.0.0.1:0 --collector "http://$collector" --token-file "$work/token"
    agent_pid=$pid
    agent=$(address agent bellwether-agent)
    measured="bellwether-agent:$agent_pid bellwether:$serve_pid"
    exporter=
    if has prometheus && has prometheus-node-exporter; then
        exporter=127.0.0.1:19100
        start exporter prometheus-node-exporter --web.listen-address=$exporter \
            --web.disable-exporter-metrics --collector.disable-defaults --collector.arp \
            --collector.conntrack --collector.cpu --collector.diskstats --collector.entropy \
            --collector.filefd --collector.filesystem --collector.loadavg --collector.meminfo \
            --collector.netclass --collector.netdev --collector.netstat --collector.pressure \
            --collector.schedstat --collector.sockstat --collector.softnet --collector.stat \
            --collector.time --collector.timex --collector.uname --collector.vmstat "$@"
        measured="$measured node_exporter:$pid"
        start sink "$bin/bench-sink" 127.0.0.1:19191
        cat >"$work/prometheus.yml" <<'END'
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs: [{job_name: node, static_configs: [{targets: ['127.0.0.1:19100']}]}]
remote_write: [{url: 'http://127.0.0.1:19191/write'}]
END
        start prometheus prometheus --enable-feature=agent --config.file="$work/prometheus.yml" \
            --storage.agent.path="$work/prometheus" --web.listen-address=127.0.0.1:19090
        measured="$measured prometheus-agent:$pid"
    else
        echo 'skipped: the peers (prometheus or prometheus-node-exporter is not installed)'
    fi
    sleep 15
    rm -f "$work"/used.* "$work"/wire.*
    for _ in 1 2 3; do window; done
    show
    stop_all
}

ours_on_the_wire() { # bytes the agent's connections sent and received, from the kernel
    has ss || return 0
    ss -tinHp state established 2>/dev/null | grep -A1 "pid=$agent_pid," |
        tr ' ' '\n' |
        awk -F: '$1 == "bytes_sent" || $1 == "bytes_received" { sum += $2 } END { print sum + 0 }'
}
# Samples of ours that were acknowledged: those of slow inputs come every 15 s.
ours_acked() {
    curl -s "http://$agent/metrics" | sed -n 's/^bellwether_agent_samples_acked_total{.*} //p'
}
theirs_on_the_wire() { curl -s http://127.0.0.1:19191/bytes | cut -d ' ' -f 1; }

window() {
    for pair in $measured; do cpu "${pair#*:}" >"$work/began.${pair%%:*}"; done
    ours=$(ours_on_the_wire) acked=$(ours_acked)
    theirs=$([ -z "$exporter" ] || theirs_on_the_wire)
    sleep "$seconds"
    for pair in $measured; do
        echo "$(cpu "${pair#*:}") $(cat "$work/began.${pair%%:*}") $seconds" |
            awk '{ printf "%.4f\n", ($1 - $2) / $3 / 1e7 }' >>"$work/used.${pair%%:*}"
    done
    [ -z "$ours" ] ||
        echo $(($(ours_on_the_wire) - ours)) $(($(ours_acked) - acked)) >>"$work/wire.ours"
    [ -z "$exporter" ] || echo $(($(theirs_on_the_wire) - theirs)) >>"$work/wire.theirs"
}

show() {
    for pair in $measured; do
        name=${pair%%:*}
        printf '%-18s %8.3f %% of a core %8.1f MiB\n' "$name" "$(median <"$work/used.$name")" \
            "$(resident "${pair#*:}")"
    done
    # All windows together: the middle one would never hold the opening of a segment.
    [ ! -e "$work/wire.ours" ] || awk -v s="$seconds" '
        { bytes += $1; samples += $2 }
        END { printf "%-18s %8.3f bytes a sample on the wire, HTTP both ways (%d samples a second)\n",
            "bellwether-agent", bytes / samples, samples / s / NR }' "$work/wire.ours"
    [ -n "$exporter" ] || return 0
    on_the_wire prometheus-agent theirs "$(series "$exporter")"
    agent_mib=$(resident "$agent_pid")
    for pair in $measured; do
        case "$pair" in
            node_exporter:* | prometheus-agent:*)
                echo "$(median <"$work/used.${pair%%:*}") $(resident "${pair#*:}")"
                ;;
        esac
    done | awk -v cpu="$(median <"$work/used.bellwether-agent")" -v mib="$agent_mib" '
        { theirs += $1; theirs_mib += $2 }
        END {
            printf "ratio              %8.1f times the CPU, %.1f times the memory: ", theirs / cpu,
                theirs_mib / mib
            print "node_exporter and Prometheus to bellwether-agent"
        }'
}

# on_the_wire NAME FILE SERIES
on_the_wire() {
    median <"$work/wire.$2" | awk -v name="$1" -v s="$seconds" -v n="$3" '{
        printf "%-18s %8.3f bytes a sample on the wire, HTTP both ways (%d samples a second)\n", name,
            $1 / s / n, n }'
}

part_agent() {
    host "one host at 1 s, default inputs, three windows of $seconds s" '{}'
}

part_wire() {
    host "one host at 1 s, about 1,000 series, three windows of $seconds s" \
        "{netstat: {field_include: '.*'}, vmstat: {field_include: '.*'}}" \
        '--collector.netstat.fields=.*' '--collector.vmstat.fields=.*'
}

part_ingest() {
    heading 'frames of many agents, each acknowledged after its sync, three runs'
    echo "synced to $(stat -f -c %T "$work") in $work"
    for run in 1 2 3; do
        rm -rf "$work/data"
        serve
        "$bin/bench-ingest" "$collector" "$work/token" "$serve_pid" | tee "$work/ingest.$run"
        printf 'resident         %12s  MiB\n\n' "$(resident "$serve_pid")"
        stop_all
    done
    for word in frames samples; do
        printf '%-16s %12.0f  per CPU-second, median\n' "$word" \
            "$(cat "$work"/ingest.? | awk -v w=$word '$1 == w && $3 == "per" { print $2 }' | median)"
    done
}

example() { cargo run --release --locked --quiet -p bellwether-store --example "$@"; }

part_store() {
    heading 'store: bytes a sample, appends'
    example append
    recorded=${BELLWETHER_RECORDED:-}
    times=1
    if [ -z "$recorded" ]; then
        times=30
        echo "recording $((seconds * 6)) s of this host, read $times times; BELLWETHER_RECORDED=DIR" \
            "names more"
        rm -rf "$work/data"
        start up "$bin/bellwether" up --data-dir "$work/data" --listen 127.0.0.1:0 \
            --agent-listen 127.0.0.1:0
        sleep $((seconds * 6))
        stop_all
        recorded=$work/data/collector/journal
    fi
    # Opening a journal makes room for its next segments: never in the original.
    cp -r "$recorded" "$work/recorded"
    example recorded -- "$work/recorded" "$work/recorded-chunks" $times
}

# held AGENTS ROWS: the collector with 20,000 series of each agent.
held() {
    rm -rf "$work/data"
    serve "store: {series_max: 1000000}"
    "$bin/bench-ingest" "$collector" "$work/token" "$serve_pid" "$1" 20000 "$2" 15 >/dev/null
}

part_memory() {
    heading 'memory of a series'
    for count in 100000 500000; do example memory -- $count "$work/memory-$count"; done
    for agents in 5 25; do
        rm -rf "$work/data"
        serve
        before=$(resident "$serve_pid")
        stop_all
        held $agents 40
        echo "$before $(resident "$serve_pid") $agents" | awk '{
            printf "%7d series in a collector, 40 rows: %.0f bytes a series resident in all\n",
                $3 * 20000, ($2 - $1) * 1048576 / $3 / 20000 }'
        stop_all
    done
}

part_restart() {
    heading 'restart with 100,000 series and an hour of data at 15 s'
    held 5 240
    printf 'resident before    %8s MiB, journal %s\n' "$(resident "$serve_pid")" \
        "$(du -sh "$work/data" | cut -f 1)"
    for _ in 1 2 3; do
        kill -9 "$serve_pid"
        wait "$serve_pid" 2>/dev/null || true
        began=$(date +%s%N)
        start serve "$bin/bellwether" serve --config "$work/collector.yaml" \
            --data-dir "$work/data" --listen 127.0.0.1:19797
        serve_pid=$pid
        until curl -sf http://127.0.0.1:19797/-/ready >/dev/null; do sleep 0.02; done
        echo "$began $(date +%s%N)" | awk '{ printf "%.2f\n", ($2 - $1) / 1e9 }' >>"$work/ready"
    done
    printf 'kill -9 to ready   %8s s, median of three\n' "$(median <"$work/ready")"
    printf 'resident after     %8s MiB\n' "$(resident "$serve_pid")"
    stop_all
}

part_promql() {
    # shellcheck source=tests/bench/promql.sh
    . tests/bench/promql.sh
}

part_page() {
    trials=${BELLWETHER_TRIALS:-200}
    # shellcheck source=tests/bench/page.sh
    . tests/bench/page.sh
}

part_rules() {
    # shellcheck source=tests/bench/rules.sh
    . tests/bench/rules.sh
}

part_judges() {
    heading 'judges: 10,000 rollouts'
    "$bin/bench-judges" 10000 60
}

part_rollback() {
    trials=${BELLWETHER_TRIALS:-20}
    health=${BELLWETHER_HEALTH:-10}
    for bad in 200 50; do
        heading "rollback: $bad of 1000 bad, after $health s of health, $trials trials"
        "$bin/bench-rollback" "$bin" "$trials" "$health" "$bad" || echo 'not measured'
    done
}

for part in $parts; do "part_$part"; done
