# Sourced by bench.sh, whose functions and variables it uses: $bin, $work, start, address, serve.
# What a round of 500 rules over 50,000 living series takes, beside Prometheus.

# rules_config FILE…: the configurations of both, with these files of rules or none.
rules_config() {
    {
        printf 'principals:\n  agents: {token_file: %s, scopes: [ingest]}\n' "$work/token"
        printf 'store: {series_max: 200000}\nrules: {files: [%s]}\n' "$*"
    } >"$work/collector.yaml"
    {
        printf 'global: {scrape_interval: %ss, scrape_timeout: %ss}\n' "$cadence" "$cadence"
        printf 'rule_files: [%s]\nscrape_configs:\n- job_name: bench\n  static_configs:\n' "$*"
        for host in $(seq 0 49); do
            printf "  - targets: ['127.0.0.1:19193']\n    labels: %s\n" \
                "{instance: host-$host, __metrics_path__: /$host}"
        done
    } >"$work/rules-prometheus.yml"
}

# rules_use SECONDS: nanoseconds of both and evaluations of both in that time.
rules_use() {
    rules_now >"$work/rules.began"
    sleep "$1"
    rules_now | paste -d ' ' "$work/rules.began" - | awk '{ printf "%.0f ", $2 - $1 }'
}
rules_now() {
    cpu "$serve_pid"
    cpu "$rules_pid"
    curl -s "http://$collector/metrics" |
        awk '$1 == "bellwether_rule_evaluations_total" { sum += $2 } END { printf "%.0f\n", sum }'
    curl -s http://127.0.0.1:19194/metrics |
        awk '/^prometheus_rule_evaluations_total/ { sum += $NF } END { printf "%.0f\n", sum }'
}

# rules_at CADENCE WINDOW FILL SECONDS: FILL seconds are waited for, SECONDS measured.
rules_at() {
    cadence=$1
    "$bin/bench-rules" file "$1" "$2" >"$work/rules.yml"
    rm -rf "$work/data" "$work/rules-prometheus"
    serve 'store: {series_max: 200000}'
    rules_config
    start feed "$bin/bench-rules" feed "$1" 127.0.0.1:19193 "$collector" "$work/token"
    start rules-prometheus prometheus --config.file="$work/rules-prometheus.yml" \
        --storage.tsdb.path="$work/rules-prometheus" --web.listen-address=127.0.0.1:19194
    rules_pid=$pid
    sleep "$3"
    without=$(rules_use "$4")
    rules_config "$work/rules.yml"
    kill -HUP "$serve_pid" "$rules_pid"
    # The first rounds make what the others find.
    sleep $((2 * cadence + 10))
    with=$(rules_use "$4")
    echo "$without $with" | awk -v cadence="$1" -v s="$4" '{
        if ($7 == 0 || $8 == 0) { print cadence " s: no rule was evaluated"; exit }
        ours = ($5 - $1) / 1e6 / ($7 / 500)
        theirs = ($6 - $2) / 1e6 / ($8 / 500)
        printf "%-4s bellwether %9.1f ms of CPU a round (%.1f rounds; %.2f %% of a core without, ",
            cadence " s", ours, $7 / 500, $1 / s / 1e7
        printf "%.2f %% with rules)\n", $5 / s / 1e7
        printf "%-4s prometheus %9.1f ms of CPU a round (%.1f rounds; %.2f %% of a core without, ",
            cadence " s", theirs, $8 / 500, $2 / s / 1e7
        printf "%.2f %% with rules)\n", $6 / s / 1e7
        printf "%-4s ratio      %9.2f\n", cadence " s", theirs / ours
    }'
    stop_all
}

heading 'a round of 500 rules over 50,000 series, beside Prometheus with the same rules and series'
stop_all
if has prometheus; then
    rules_at 15 2m 120 60
    rules_at 1 1m 60 "$seconds"
else
    echo 'skipped: prometheus is not installed'
fi
