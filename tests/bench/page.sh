# Sourced by bench.sh, whose functions and variables it uses: $bin, $work, start, address, serve.
# From a bad sample to a webhook, beside Prometheus with Alertmanager.

heading "a bad sample to a webhook at 1 s, $trials trials"
stop_all
if has prometheus && has prometheus-node-exporter && has prometheus-alertmanager; then
    # The host's own /proc, but for the loads.
    mkdir -p "$work/proc"
    for file in /proc/[a-z]*; do ln -sfn "$file" "$work/proc/${file##*/}"; done
    rm "$work/proc/loadavg"
    printf '000000.00 0.00 0.00 1/100 1000\n' >"$work/proc/loadavg"
    "$bin/bench-page" rules "$trials" >"$work/page-rules.yml"

    rm -rf "$work/data"
    serve "$(cat <<END_OF_FILE
rules: {files: [$work/page-rules.yml]}
notify:
  receivers:
    bench:
      webhook: {url: 'http://127.0.0.1:19192/ours', group_wait: 0s, group_interval: 1s}
END_OF_FILE
    )"
    start agent "$bin/bellwether-agent" run --procfs "$work/proc" --data-dir "$work/data" \
        --listen 127.0.0.1:0 --collector "http://$collector" --token-file "$work/token"

    cat >"$work/alertmanager.yml" <<'END_OF_FILE'
route: {receiver: bench, group_by: [alertname], group_wait: 0s, group_interval: 1s}
receivers: [{name: bench, webhook_configs: [{url: 'http://127.0.0.1:19192/theirs'}]}]
END_OF_FILE
    start alertmanager prometheus-alertmanager --config.file="$work/alertmanager.yml" \
        --storage.path="$work/alertmanager" --cluster.listen-address= \
        --web.listen-address=127.0.0.1:19193
    start exporter prometheus-node-exporter --web.listen-address=127.0.0.1:19100 \
        --web.disable-exporter-metrics --collector.disable-defaults --collector.loadavg \
        --path.procfs="$work/proc"
    cat >"$work/page-prometheus.yml" <<END_OF_FILE
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
scrape_configs: [{job_name: node, static_configs: [{targets: ['127.0.0.1:19100']}]}]
rule_files: ['$work/page-rules.yml']
alerting: {alertmanagers: [{static_configs: [{targets: ['127.0.0.1:19193']}]}]}
END_OF_FILE
    start page-prometheus prometheus --config.file="$work/page-prometheus.yml" \
        --storage.tsdb.path="$work/page-prometheus" --web.listen-address=127.0.0.1:19194
    "$bin/bench-page" run 127.0.0.1:19192 "$work/proc/loadavg" "$trials" "$collector" \
        127.0.0.1:19194
    stop_all
else
    echo 'skipped: prometheus, node_exporter or alertmanager is not installed'
fi
