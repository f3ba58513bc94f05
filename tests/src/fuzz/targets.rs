//! The readers under test: one entry for each decoder and parser of the repository.

use bellwether_model::config::{self, Choice, Environment};
use bellwether_model::exposition::{self, Bounds, Format, Outline, Reader, Writer};
use bellwether_model::matcher::{MatchOp, Matcher};
use bellwether_model::relabel::{Action, Kept, Labels, Rule, RuleSpec};

use super::{Target, formats, guard, hook, notify, rollout, state};

/// Everything that reads bytes from outside.
pub static TARGETS: &[Target] = &[
    Target {
        name: "exposition",
        run: read_exposition,
        seeds: || {
            texts(&[
                "# HELP a help \\n\n# TYPE a counter\na 1\n",
                "a{b=\"c\",d=\"e\\\"\"} 1.5e+09 1700000000000\n",
                "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n# EOF\n",
                "{\"my.metric\",\"l.l\"=\"v\",} NaN -1\n",
            ])
        },
        dictionary: &[
            b"# HELP ",
            b"# TYPE ",
            b" gauge\n",
            b"{",
            b"}",
            b"\"",
            b"\\",
            b"=\"",
            b"\",",
            b"\n",
            b" +Inf",
            b" nan",
            b" 1e308",
            b" 0x1p4",
            "é".as_bytes(),
            b"\t",
        ],
    },
    Target {
        name: "open-metrics",
        run: read_open_metrics,
        seeds: || {
            texts(&[
                "# TYPE a counter\n# UNIT a s\na_total 1 1.5 # {t=\"x\"} 2 3\na_created 7\n# EOF\n",
                "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2 # {} 1\nh_sum 3\n# EOF",
                "# HELP s a \\\"b\\\"\n# TYPE s stateset\ns{s=\"a\"} 1\n# EOF\n",
            ])
        },
        dictionary: &[
            b"# EOF\n",
            b"# UNIT ",
            b" # {",
            b"# TYPE ",
            b"_total",
            b"_created",
            b"{a=\"b\"}",
            b"1e308",
            b" 1.5",
            b"\n",
            b"\\",
            "é".as_bytes(),
        ],
    },
    Target {
        name: "relabel",
        run: relabel,
        seeds: || {
            texts(&[
                "replace\na;b\n(.*);(.*)\nc\n${2}_$1",
                "hashmod\na\n\nb\n7",
                "labelmap\n\n__meta_(.+)\n\n${1}",
                "keepequal\na\n\nb\n",
            ])
        },
        dictionary: &[b"\n", b"$1", b"${", b"}", b"(", b"(?P<a>", b"$a", b"$$", b";", b"labeldrop"],
    },
    Target {
        name: "target-files",
        run: |input| {
            let text = String::from_utf8_lossy(input);
            drop(bellwether_agent::pure::scrape::discover::read("t.yml", &text));
        },
        seeds: || {
            texts(&[
                "- targets: ['a:1', b:2]\n  labels: {x: '1'}\n",
                "[{\"targets\": [\"a:1\"], \"labels\": {\"x\": \"1\"}}]",
            ])
        },
        dictionary: &[b"targets:", b"labels:", b"- ", b"[", b"]", b"{", b"}", b"null", b"\n"],
    },
    Target {
        name: "hook-signal",
        run: hook::read_signal,
        seeds: hook::signal_seeds,
        dictionary: &[b"\"", b":", b",", b"{", b"}", b"$(rm)", b"..", b"-", b"\\u0000", b"\"to\":"],
    },
    Target {
        name: "hook-ledger-name",
        run: hook::read_name,
        seeds: hook::name_seeds,
        dictionary: &[b".started", b".done", b".generation", b"@", b"/", b"..", b".tmp"],
    },
    Target {
        name: "matcher",
        run: compile_matcher,
        seeds: || {
            texts(&[
                "web|db|cache",
                "(?i)node-[0-9]{1,3}\\.(prod|stage)\\..+",
                "^(?P<a>\\w+)(?:\\pL|[^[:alpha:]\\d-z])*?$",
                ".*\\Qa.b\\E.*",
            ])
        },
        dictionary: &[
            b"(",
            b")",
            b"(?i)",
            b"(?-s:",
            b"(?P<a>",
            b"[",
            b"]",
            b"[^",
            b"[:alpha:]",
            b"{2,5}",
            b"{,",
            b"*",
            b"+",
            b"?",
            b"|",
            b".*",
            b".+",
            b"\\pL",
            b"\\p{Greek}",
            b"\\Q",
            b"\\E",
            b"\\x{10ffff}",
            b"\\b",
            b"\\B",
            b"&&",
            b"--",
            b"^",
            b"$",
            "é".as_bytes(),
        ],
    },
    Target {
        name: "config",
        run: read_config,
        seeds: || {
            texts(&[
                "listen: ${HOST}:1\nspool: {bytes_max: 1MiB, age_max: 1h30m}\n",
                "list:\n  - token: x\n  - &a {token_file: y}\n  - *a\nlabels:\n  a: 'b'\n",
                "text: |\n  many\n  lines\nother: >-\n  folded\n",
            ])
        },
        dictionary: &[
            b": ",
            b"- ",
            b"\n",
            b"\n  ",
            b"[",
            b"]",
            b"{",
            b"}",
            b"&a ",
            b"*a",
            b"'",
            b"\"",
            b"|",
            b">",
            b"!!str ",
            b"<<: ",
            b"---\n",
            b"? ",
            b"#",
            b"~",
            b"${",
            b"}",
            b"$$",
            b"\t",
            b"\r\n",
            b"\xef\xbb\xbf",
            b"\xc2\x85",
            "é".as_bytes(),
            b"list",
            b"labels",
            b"token",
        ],
    },
    Target {
        name: "frame",
        run: formats::read_frame,
        seeds: formats::frame_seeds,
        dictionary: NUMBERS,
    },
    Target {
        name: "sections",
        run: formats::read_sections,
        seeds: formats::section_seeds,
        dictionary: NUMBERS,
    },
    Target {
        name: "envelope",
        run: formats::read_envelope,
        seeds: formats::envelope_seeds,
        dictionary: NUMBERS,
    },
    Target {
        name: "answer",
        run: formats::read_answer,
        seeds: formats::answer_seeds,
        dictionary: NUMBERS,
    },
    Target {
        name: "entry",
        run: formats::read_entry,
        seeds: formats::entry_seeds,
        dictionary: NUMBERS,
    },
    Target {
        name: "chunk",
        run: formats::read_chunk,
        seeds: formats::chunk_seeds,
        dictionary: NUMBERS,
    },
    Target {
        name: "block",
        run: state::read_block,
        seeds: state::block_seeds,
        dictionary: NUMBERS,
    },
    Target {
        name: "section",
        run: state::read_section,
        seeds: state::section_seeds,
        dictionary: NUMBERS,
    },
    Target {
        name: "state",
        run: state::read_state,
        seeds: state::state_seeds,
        dictionary: NUMBERS,
    },
    Target {
        name: "state-written-on",
        run: state::write_on,
        seeds: state::state_seeds,
        dictionary: NUMBERS,
    },
    Target {
        name: "guard-records",
        run: guard::read_records,
        seeds: guard::record_seeds,
        dictionary: NUMBERS,
    },
    Target {
        name: "signals-state",
        run: guard::read_state,
        seeds: guard::state_seeds,
        dictionary: NUMBERS,
    },
    Target {
        name: "signals-answers",
        run: guard::read_answer,
        seeds: guard::answer_seeds,
        dictionary: &[b"{", b"}", b"\"", b":", b",", b"done", b"retry", b"true", b"\\u0000"],
    },
    Target {
        name: "notifier-records",
        run: notify::read_records,
        seeds: notify::record_seeds,
        dictionary: NUMBERS,
    },
    Target {
        name: "notifier-state",
        run: notify::read_state,
        seeds: notify::state_seeds,
        dictionary: NUMBERS,
    },
    Target {
        name: "notifier-texts",
        run: notify::read_texts,
        seeds: notify::text_seeds,
        dictionary: &[b"{", b"}", b"=~", b"!=", b"\"", b"\\", b"whsec_", b"://", b"?", b" GMT"],
    },
    Target {
        name: "decoder",
        run: state::read_decoder,
        seeds: state::decoder_seeds,
        dictionary: NUMBERS,
    },
    Target {
        name: "journal",
        run: formats::read_segment,
        seeds: formats::segment_seeds,
        dictionary: NUMBERS,
    },
    Target {
        name: "selector",
        run: parse_selector,
        seeds: || {
            texts(&[
                "up{job=\"node\",instance=~\"a.*\"}[5m] offset -1h @ 1700000000",
                "{__name__=~'node_.+',cpu!~`\\d`}",
                "1 + 2 * -0x1f",
            ])
        },
        dictionary: &[
            b"{",
            b"}",
            b"=~\"",
            b"\"",
            b"[1h",
            b"]",
            b" offset ",
            b" @ ",
            b"(",
            b")",
            b"`",
        ],
    },
    Target {
        name: "script",
        run: read_script,
        seeds: || {
            texts(&[
                "load 5m\n a{b=\"c\"} 1 2+3x4 _ _x2 stale {{count:1 buckets:[1 2]}}x3\n\nclear\n",
                "eval instant at 1m up\n expect warn msg: x (1:5)\n up{a='b'} NaN\n",
                "eval range from 0 to 5m step 1m up\n expect fail regex: a|b\n {} 1-1x3\n",
                "eval instant at 0 'a'\n expect string \"\\x41\\u00e9\"\n",
            ])
        },
        dictionary: &[
            b"\n",
            b"\n\n",
            b" expect ",
            b"range vector from 0 to 1m step 1m\n",
            b"{{",
            b"}}",
            b"{",
            b"}",
            b"x9",
            b"+",
            b"-",
            b"_",
            b"\"",
            b"\\",
            b"`",
            b"stale",
            "é".as_bytes(),
        ],
    },
    Target {
        name: "record",
        run: rollout::read_record,
        seeds: rollout::record_seeds,
        dictionary: &[
            b"null",
            b"[0,\"0000000000000000\"]",
            b"[\"NaN\",\"7ff8000000000000\"]",
            b"[1e+300,\"7e37e43c8800759c\"]",
            b"{\"kind\":\"share\"}",
            b"{\"kind\":\"warm_up\",\"seconds\":3}",
            b"{\"canary\":3,\"kind\":\"requests\"}",
            b"\"pass\"",
            b"9007199254740992",
            b"[0,0,1,0,1,0]",
            b",",
            b"[",
            b"]",
            b"-",
            b"\\u001f",
            b"\\\"",
            "é".as_bytes(),
        ],
    },
    Target {
        name: "service",
        run: rollout::read_service,
        seeds: rollout::service_seeds,
        dictionary: &[
            b"{",
            b"}",
            b": ",
            b"\n  ",
            b"'",
            b"\"",
            b"[5m]",
            b"=~",
            b"300ms",
            b"1e6",
            b"histogram",
            b"version",
            b"$",
            b"_bucket",
        ],
    },
    Target {
        name: "table",
        run: rollout::read_table,
        seeds: || {
            texts(&[
                "second,canary_n,canary_bad,baseline_n,baseline_bad\n0,9,0,80,1\n1,9,9,80,0\n",
                "\u{feff}stratum,second,canary_n,canary_bad,baseline_n,baseline_bad\r\n\
                 \"a \"\"b\"\"\",-5,9,0,80,1\r\n\r\nc,-5,9,1,80,0\r\n",
            ])
        },
        dictionary: &[
            b",",
            b"\n",
            b"\r\n",
            b"\"",
            b"\"\"",
            b"\",",
            b"-1",
            b"9007199254740993",
            b"4294967297",
            b"stratum",
            b"second",
            b"\n2,9,0,80,1",
            b";",
            b"\t",
            "é".as_bytes(),
            b"\xff",
        ],
    },
];

/// Numbers at which binary readers stumble.
const NUMBERS: &[&[u8]] = &[
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0x80, 0x01],
    &[0, 0, 0, 0, 0, 0, 0, 0x80],
    &[0xad, 0x0b, 0, 0, 0, 0, 0xf0, 0x7f],
];

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// What was read is written, and reads back to as much.
fn read_exposition(input: &[u8]) {
    let bounds = Bounds { page_bytes: 8192, line_bytes: 2048, ..Bounds::default() };
    let Ok(families) = exposition::read(input, bounds) else { return };
    let mut page = Vec::new();
    let mut writer = Writer::new(&mut page);
    for family in &families {
        writer.family(&family.head.name, family.head.kind, &family.head.help);
        for sample in &family.samples {
            let labels = sample.labels.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
            writer.sample(&sample.name, labels, sample.value, sample.time);
        }
    }
    let again = exposition::read(&page, Bounds::default()).expect("what we write, we read");
    let samples = |families: &[exposition::Family<'_>]| -> usize {
        families.iter().map(|family| family.samples.len()).sum()
    };
    assert_eq!(samples(&families), samples(&again));
}

/// A page that is read is followed by its own outline, to the same values; what is left of it is
/// another page.
fn read_open_metrics(input: &[u8]) {
    let bounds = Bounds { page_bytes: 8192, line_bytes: 2048, ..Bounds::default() };
    for format in [Format::Text, Format::OpenMetrics] {
        let Ok(mut reader) = Reader::of(input, format, bounds) else { continue };
        let mut outline = Outline::default();
        outline.clear(format);
        let mut values = Vec::new();
        let mut is_whole = true;
        while let Some(sample) = reader.next_sample() {
            match sample {
                Ok(sample) => values.push(sample.value.to_bits()),
                Err(_) => is_whole = false,
            }
            if is_whole {
                outline.note(&reader);
            }
        }
        if !is_whole {
            continue;
        }
        outline.finish(&reader);
        let mut followed = Vec::new();
        let does = outline.follow(input, format, bounds, &mut followed).is_some();
        assert_eq!(does, !outline.is_empty());
        let followed: Vec<u64> = followed.iter().map(|value| value.to_bits()).collect();
        assert_eq!(followed, values);
        let half = input.get(..input.len() / 2).unwrap_or_default();
        outline.follow(half, format, bounds, &mut Vec::new());
    }
}

/// A rule in lines: action, sources, pattern, target, replacement or modulus.
fn relabel(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let word = line();
    let Some((_, action)) = Action::WORDS.iter().find(|(name, _)| *name == word) else { return };
    let sources: Vec<String> = line().split(';').map(str::to_owned).collect();
    let (regex, target, last) = (line(), line(), line());
    let is_hash = *action == Action::HashMod;
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let spec = RuleSpec {
        action: *action,
        source_labels: sources.into_iter().filter(|name| !name.is_empty()).collect(),
        separator: None,
        regex: some(regex),
        target_label: some(target),
        replacement: some(last).filter(|_| !is_hash),
        modulus: last.parse().ok().filter(|_| is_hash),
    };
    let Ok(rule) = Rule::new(&spec) else { return };
    let pairs = [("__name__", "up"), ("a", "x-1"), ("b", "é"), ("__meta_m", "3")];
    let mut labels: Labels = pairs.into_iter().collect();
    let before = labels.clone();
    if rule.apply(&mut labels) == Kept::Yes {
        let gone = before.iter().filter(|(name, _)| labels.get(name).is_empty());
        assert!(gone.into_iter().all(|(name, _)| rule.may_remove(name)));
    }
}

fn parse_selector(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    drop(bellwether_promql::parse::parse(&text));
}

fn read_script(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    drop(bellwether_promql::script::read::read(&text));
}

/// Whatever an index is told holds for every value tried.
fn compile_matcher(input: &[u8]) {
    let Ok(pattern) = std::str::from_utf8(input) else { return };
    let Ok(matcher) = Matcher::new("label", MatchOp::Regex, pattern) else { return };
    let set = matcher.set_of_values();
    for value in ["", "a", "web", "node-7.prod.x", pattern, "é\n"] {
        let matches = matcher.matches(value);
        assert_eq!(matcher.inverse().matches(value), !matches);
        assert!(!matches || value.starts_with(matcher.prefix()));
        assert!(set.is_none_or(|set| set.iter().any(|one| one == value) == matches));
    }
}

fn read_config(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let environment: Environment = [("HOST".to_owned(), "h".to_owned())].into();
    let read = config::read("f", &text, &environment, |f| {
        f.text("listen", "").optional();
        f.text("text", "").optional();
        f.section("spool", |f| {
            f.size("bytes_max", "").between(1, 1 << 40).or(1);
            f.duration("age_max", "").optional()
        });
        f.list("list", "", |item| item.fields(|f| f.secret("token", "").required())).optional();
        f.map("labels", "", |_, item| item.text()).optional()
    });
    if let Err(problems) = read {
        assert!(problems.has_errors());
        assert!(problems.to_string().contains("error[cfg"));
    }
}
