use super::page::{Page, Signature, Status};
use super::*;

fn facts() -> Facts {
    let backend = |name: &str, version: &str, address: &str| Backend {
        name: name.to_owned(),
        version: version.to_owned(),
        address: address.to_owned(),
    };
    let backends = vec![
        backend("stable", "1.0.0", "127.0.0.1:4001"),
        backend("canary", "1.1.0", "127.0.0.1:4002"),
    ];
    Facts { backends, front: "a proxy", receiver: "127.0.0.1:4003".to_owned(), rate: 100 }
}

fn at(millis: u64) -> Mono {
    Mono(Duration::from_millis(5_000_000 + millis))
}

fn look(healthy: usize, state: &str, requests: u64) -> Event {
    let bad = if healthy < 2 { requests / 10 } else { 0 };
    let traffic = Traffic { good: requests - bad, bad, lost: 0 };
    let (pending, firing) = (state == "pending", state == "firing");
    let rollout = Seen { announced: healthy == 2, ..Seen::default() };
    Event::Look(Look { healthy, pending, firing, traffic, rollout })
}

/// The same, and what is seen of the rollout once it has failed.
fn rolled(event: Event, answered: bool) -> Event {
    let Event::Look(look) = event else { unreachable!("a look") };
    let rollout = Seen {
        announced: true,
        failed: Some("errors: 30 bad of 30".to_owned()),
        asked: true,
        answered: answered.then(|| "done".to_owned()),
        restored: answered,
        record: Some(("demo-1.json".to_owned(), Ok(()))),
    };
    Event::Look(Look { rollout, ..look })
}

fn page(status: Status) -> Event {
    let summary = "the demo's backend canary does not answer well".to_owned();
    let signature = Signature::Good;
    Event::Page(Page { signature, status, alert: ALERT.to_owned(), summary, more: 0 })
}

/// Plays events at their times, with looks between as the last one was; gives the lines, and what
/// was done between them in brackets.
fn play(events: Vec<(u64, Event)>, until: u64) -> String {
    let mut effects = Vec::new();
    let mut demo = Demo::new(at(0), facts(), &mut effects);
    let mut last = look(0, "", 0);
    let mut events = events.into_iter().peekable();
    for millis in (0..=until).step_by(100) {
        let before = effects.len();
        while let Some((_, event)) = events.next_if(|(time, _)| *time <= millis) {
            if matches!(event, Event::Look(_)) {
                last = event.clone();
            }
            demo.step(at(millis), event, &mut effects);
        }
        if effects.len() == before {
            demo.step(at(millis), last.clone(), &mut effects);
        }
    }
    let line = |effect: Effect| match effect {
        Effect::Say(line) => line,
        other => format!("[{other:?}]"),
    };
    effects.into_iter().map(|effect| line(effect) + "\n").collect()
}

#[test]
fn a_demo_that_goes_well_is_told_step_by_step() {
    let transcript = play(
        vec![
            (1_200, look(1, "", 120)),
            (2_300, look(2, "", 230)),
            (16_100, look(1, "pending", 1_610)),
            (18_100, look(1, "firing", 1_810)),
            (18_200, page(Status::Firing)),
            (18_300, rolled(look(1, "firing", 1_830), false)),
            (18_400, rolled(look(1, "firing", 1_840), true)),
            (22_100, look(2, "", 2_210)),
            (22_500, page(Status::Resolved)),
            (22_600, page(Status::Resolved)),
        ],
        60_000,
    );
    insta::assert_snapshot!(transcript, @r#"
    demo   0.0 s  start: 2 backends behind a proxy, 100 requests a second, a probe of each every second
    demo          backend stable, version 1.0.0: http://127.0.0.1:4001/
    demo          backend canary, version 1.1.0: http://127.0.0.1:4002/
    demo          receiver of pages: http://127.0.0.1:4003/
    demo   2.3 s  healthy: every backend answers its probes
    [Announce]
    demo   2.3 s  rollout watched: both versions, second by second
    demo  15.0 s  fault injected: backend canary answers every request with 500
    [Inject]
    demo  16.1 s  alert pending: DemoBackendDown (1.1 s after the fault)
    demo  18.1 s  alert firing: DemoBackendDown (3.1 s after the fault)
    demo  18.2 s  page received, signature good: firing DemoBackendDown: the demo's backend canary does not answer well (3.2 s after the fault)
    demo  18.3 s  rollout failed: errors: 30 bad of 30 (3.3 s after the fault)
    demo  18.3 s  hook asked to roll back, once the decision was on the disk (3.3 s after the fault)
    demo  18.3 s  record demo-1.json: signature good, judged again to the same verdict (3.3 s after the fault)
    demo  18.4 s  hook answered: done (3.4 s after the fault)
    demo  18.4 s  traffic restored: only the old version serves (3.4 s after the fault)
    demo  21.4 s  fault removed: backend canary answers well
    [Mend]
    demo  22.5 s  resolved received, signature good: resolved DemoBackendDown: the demo's backend canary does not answer well (1.1 s after the end of the fault)
    demo  22.5 s  end: paged 3.2 s after the fault, traffic back 3.4 s after it
    demo          2210 requests: 2210 answered well, 0 with an error, 0 not at all
    [End(Well)]
    "#);
}

#[test]
fn a_page_that_does_not_count_is_shown_and_waited_for_no_longer_than_another() {
    let unsigned = |signature| match page(Status::Firing) {
        Event::Page(page) => Event::Page(Page { signature, ..page }),
        Event::Look(_) => unreachable!("a page"),
    };
    let transcript = play(
        vec![
            (1_000, page(Status::Resolved)),
            (2_000, look(2, "", 200)),
            (16_000, look(1, "firing", 1_600)),
            (17_000, unsigned(Signature::Missing)),
            (18_000, unsigned(Signature::Bad)),
            (19_000, page(Status::Resolved)),
        ],
        60_000,
    );
    let told: Vec<&str> = transcript.lines().skip(4).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    demo   1.0 s  page received, not of this fault: resolved DemoBackendDown: the demo's backend canary does not answer well
    demo   2.0 s  healthy: every backend answers its probes
    [Announce]
    demo   2.0 s  rollout watched: both versions, second by second
    demo  15.0 s  fault injected: backend canary answers every request with 500
    [Inject]
    demo  16.0 s  alert pending: DemoBackendDown (1.0 s after the fault)
    demo  16.0 s  alert firing: DemoBackendDown (1.0 s after the fault)
    demo  17.0 s  page refused, without a signature: firing DemoBackendDown: the demo's backend canary does not answer well
    demo  18.0 s  page refused, signature bad: firing DemoBackendDown: the demo's backend canary does not answer well
    demo  19.0 s  page received, not of this fault: resolved DemoBackendDown: the demo's backend canary does not answer well
    demo  30.0 s  no page came in time (15.0 s after the fault)
    [Mend]
    demo  30.0 s  end: this is not how it should have gone
    demo          1600 requests: 1440 answered well, 160 with an error, 0 not at all
    [End(Badly)]
    "#);
}

#[test]
fn it_gives_up_where_nothing_comes() {
    let ends = |events, until| {
        let transcript = play(events, until);
        transcript.lines().rev().nth(3).unwrap().to_owned() + transcript.lines().last().unwrap()
    };
    let healthy = || (2_000, look(2, "", 200));
    let opening = ends(vec![], 60_000);
    assert!(opening.contains("25.0 s  the backends were not seen"), "{opening}");
    assert!(opening.ends_with("[End(Badly)]"));
    let rolled = rolled(look(1, "firing", 1_600), true);
    let mended = ends(vec![healthy(), (16_000, page(Status::Firing)), (16_100, rolled)], 60_000);
    assert!(mended.contains("34.1 s  no message of the end came in time"), "{mended}");
    assert!(mended.ends_with("[End(Badly)]"));
    // The longest that goes well, and the longest of all, stay within a minute.
    let latest = (HEALTHY_WITHIN + PAGE_WITHIN + FAULT_LASTS + RESOLVED_WITHIN).as_secs();
    assert!(latest < 60, "{latest}");
}
