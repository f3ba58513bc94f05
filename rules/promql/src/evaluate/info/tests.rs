use crate::script::read::read;
use crate::script::run::{Verdict, run};

/// Scripts are the whole of what a user sees; each of these evaluations has one answer.
#[test]
fn series_get_the_labels_of_what_describes_them() {
    let script = r#"
load 1m
    m{instance="a", job="1"} 1 2 3 4
    m{instance="b", job="1"} 5 6 7 8
    m{instance="c", job="1", version="own"} 9x3
    m 0 0 0 0
    target_info{instance="a", job="1", version="old"} 1 1 stale
    target_info{instance="a", job="1", version="new"} _ _ 1 1
    target_info{instance="c", job="1", version="other", zone="z"} 1x3
    build_info{instance="a", job="1", commit="x"} 1x3
    rack_info{instance="b", rack="r"} 1x3
    twin_info{instance="a", job="1", commit="y"} 1x3
    twin_info{instance="a", job="1", commit="z"} 1x3
    named{instance="b"} 1 1 1 1

# The newest describes, and labels of its own stay.
eval range from 0 to 3m step 1m info(m)
    m{instance="a", job="1", version="old"} 1 2 _ _
    m{instance="a", job="1", version="new"} _ _ 3 4
    m{instance="b", job="1"} 5 6 7 8
    m{instance="c", job="1", version="own", zone="z"} 9x3
    m 0 0 0 0

# Only what is asked for is taken over; what must be there takes away what has none.
eval range from 0 to 3m step 1m info(m{instance=~"a|b"}, {version="new"})
    m{instance="a", job="1", version="new"} _ _ 3 4

eval range from 0 to 3m step 1m info(m{instance=~"a|b"}, {version=~"new|"})
    m{instance="a", job="1"} 1 2 _ _
    m{instance="a", job="1", version="new"} _ _ 3 4
    m{instance="b", job="1"} 5 6 7 8

# Other info metrics, by name, by pattern and by what they are not.
eval instant at 1m info(m{instance="a"}, {__name__="build_info"})
    m{instance="a", job="1", commit="x"} 2

eval instant at 1m info(m{instance="a"}, {__name__=~"(build|target)_info"})
    m{instance="a", job="1", commit="x", version="old"} 2

eval instant at 1m info(m{instance="a"}, {__name__!~"(twin|target)_.*"})
    m{instance="a", job="1", commit="x"} 2

eval instant at 1m info(named, {__name__="rack_info"})
    named{instance="b", rack="r"} 1

# Info series are not described, and a name that was taken off stays off.
eval instant at 1m info(build_info, {__name__=~"(build|target)_info"})
    build_info{instance="a", job="1", commit="x"} 1

eval instant at 1m info(-m{instance="a"})
    {instance="a", job="1", version="old"} -2

# Read when the first selector is.
eval instant at 3m info(m{instance="a"} offset 2m)
    m{instance="a", job="1", version="old"} 2

eval instant at 3m info(sum by (instance, job) (last_over_time(m{instance="a"}[1m:1m] @ 60)))
    {instance="a", job="1", version="old"} 2

# What cannot be decided is an error, if there is anything to describe.
eval instant at 1m info(m, {__name__="twin_info"})
    expect fail regex: found duplicate series for info metric: existing twin_info\{.*\} @ 60000, new

eval instant at 1m info(none, {__name__="twin_info"})

eval instant at 1m info(m{instance="a"}, {__name__=~"build_info|twin_info", commit!="z"})
    expect fail msg: conflicting label: commit
"#;
    let outcomes = run(&read(script).unwrap()).unwrap();
    assert_eq!(outcomes.len(), 14);
    for outcome in outcomes {
        assert!(
            matches!(outcome.verdict, Verdict::Passed),
            "{}: {}: {:?}",
            outcome.line,
            outcome.query,
            outcome.verdict
        );
    }
}
