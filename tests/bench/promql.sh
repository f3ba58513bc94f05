# Sourced by bench.sh, whose functions and variables it uses: $bin, $work, start, address, stop_all.
# Five shapes of query over 50,000 series, beside Prometheus over the same samples.

echo
echo '== queries over 50,000 series of an hour and 500 of a day, beside Prometheus on the same samples'
stop_all
if command -v prometheus >/dev/null 2>&1 && command -v promtool >/dev/null 2>&1; then
    head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$work/token"
    chmod 600 "$work/token"
    cat >"$work/promql.yaml" <<END
store: {retention: 26h}
principals:
  agents:
    token_file: $work/token
    scopes: [ingest]
END
    start promql "$bin/bellwether" serve --config "$work/promql.yaml" --data-dir "$work/promql" \
        --listen 127.0.0.1:0
    ours_pid=$pid
    ours=$(address promql bellwether)
    newest=$("$bin/bench-promql" fill "$ours" "$work/token" "$work/promql.om")
    promtool tsdb create-blocks-from openmetrics "$work/promql.om" "$work/promql-blocks" >/dev/null
    rm "$work/promql.om"
    echo 'scrape_configs: []' >"$work/promql-prometheus.yml"
    start promql-prometheus prometheus --config.file="$work/promql-prometheus.yml" \
        --storage.tsdb.path="$work/promql-blocks" --web.listen-address=127.0.0.1:19091
    theirs_pid=$pid
    for _ in $(seq 300); do
        curl -fs http://127.0.0.1:19091/-/ready >/dev/null && break
        sleep 0.1
    done
    "$bin/bench-promql" ask "$newest" "$ours" "$ours_pid" 127.0.0.1:19091 "$theirs_pid"
else
    echo 'skipped: prometheus or promtool is not installed'
fi
