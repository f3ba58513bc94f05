#!/bin/sh
# Side by side with the peers, in one run on this machine; figures, no verdict.
# Run alone on an idle machine: everything here shares its cores.
set -eu

case "${1:-}" in
    '') seconds=60 ;;
    *[!0-9]*)
        echo 'usage: sh tests/bench.sh [SECONDS]   (of each measurement; 60 unless told)'
        [ "$1" = --help ] || [ "$1" = -h ] || exit 2
        exit 0
        ;;
    *) seconds=$1 ;;
esac

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

echo
echo '== binaries'
for name in bellwether bellwether-agent; do
    printf '%-18s %10.1f MiB\n' "$name" "$(stat -c %s "$bin/$name" | awk '{ print $1 / 1048576 }')"
done

echo
echo "== one host at 1 s for $seconds s: the agent spools and ships; node_exporter is scraped by Prometheus"
start up "$bin/bellwether" up --data-dir "$work/data" --listen 127.0.0.1:0 --agent-listen 127.0.0.1:0
collector_pid=$pid
collector=$(address up bellwether)
agent=$(address up bellwether-agent)
agent_pid=$(pgrep -P "$collector_pid" -x bellwether-agen)
exporter_pid=
if command -v prometheus >/dev/null 2>&1 && command -v prometheus-node-exporter >/dev/null 2>&1; then
    # The collectors that read what our inputs read.
    start exporter prometheus-node-exporter --web.listen-address=127.0.0.1:19100 \
        --web.disable-exporter-metrics --collector.disable-defaults --collector.cpu --collector.stat \
        --collector.meminfo --collector.loadavg --collector.diskstats --collector.netdev \
        --collector.uname --collector.time
    exporter_pid=$pid
    cat >"$work/prometheus.yml" <<'END'
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs: [{job_name: node, static_configs: [{targets: ['127.0.0.1:19100']}]}]
END
    start prometheus prometheus --config.file="$work/prometheus.yml" \
        --storage.tsdb.path="$work/prometheus" --web.listen-address=127.0.0.1:19090
    prometheus_pid=$pid
else
    echo 'skipped: prometheus or prometheus-node-exporter is not installed'
fi
sleep 10
measured="$agent_pid $collector_pid ${exporter_pid:+$exporter_pid $prometheus_pid}"
for pid in $measured; do cpu "$pid" >"$work/cpu.$pid"; done
wire() { # bytes the agent's connections sent and received, from the kernel
    ss -tinHp state established 2>/dev/null | grep -A1 "pid=$agent_pid," |
        tr ' ' '\n' | awk -F: '$1 == "bytes_sent" || $1 == "bytes_received" { sum += $2 } END { print sum + 0 }'
}
wire_began=$(wire)
sleep "$seconds"
wire_ended=$(wire)
row() { # NAME PID SERIES
    awk -v name="$1" -v began="$(cat "$work/cpu.$2")" -v ended="$(cpu "$2")" -v s="$seconds" \
        -v mib="$(resident "$2")" -v series="$3" 'BEGIN {
            printf "%-18s %8.3f %% of a core %8.1f MiB %8s series\n", name, (ended - began) / s / 1e7, mib, series }'
}
row bellwether-agent "$agent_pid" "$(series "$agent")"
row bellwether "$collector_pid" "$(series "$collector")"
if [ -n "$exporter_pid" ]; then
    row node_exporter "$exporter_pid" "$(series 127.0.0.1:19100)"
    row prometheus "$prometheus_pid" -
fi
if [ "$wire_ended" -gt "$wire_began" ]; then
    shipped=$(curl -s "http://$agent/metrics" | grep -c '^node_')
    awk -v bytes=$((wire_ended - wire_began)) -v s="$seconds" -v n="$shipped" 'BEGIN {
        printf "wire               %8.3f bytes a sample, HTTP both ways (%d samples a second)\n", bytes / s / n, n }'
else
    echo 'skipped: bytes on the wire (ss of iproute2 is missing or may not look)'
fi

echo
echo '== frames of many agents, each acknowledged after its sync'
stop_all
head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$work/token"
chmod 600 "$work/token"
cat >"$work/collector.yaml" <<END
principals:
  agents:
    token_file: $work/token
    scopes: [ingest]
END
start serve "$bin/bellwether" serve --config "$work/collector.yaml" --data-dir "$work/ingest" \
    --listen 127.0.0.1:0
serve_pid=$pid
"$bin/bench-ingest" "$(address serve bellwether)" "$work/token" "$serve_pid"
printf 'resident         %12s  MiB\n' "$(resident "$serve_pid")"

# shellcheck source=tests/bench/promql.sh
. tests/bench/promql.sh
