//! `up` second by second, and that the hosts of a series are what a search through all would find.

use proptest::prelude::*;

use super::*;

const AGENT: AgentId = AgentId([1; 16]);

fn at(second: i64) -> Now {
    let mono = Mono(Duration::from_secs(second.unsigned_abs()));
    Now { wall: Timestamp(second * 1000), mono }
}

fn tick(presence: &mut Presence, second: i64) -> Vec<(i64, UpValue)> {
    let due = presence.due(at(second));
    due.iter().for_each(|up| presence.sampled(at(second), up));
    due.into_iter().map(|up| (up.time.0, up.value)).collect()
}

fn frame(presence: &mut Presence, now: i64, mark: i64) {
    presence.frame(at(now), AGENT, ("node", "a"), Timestamp(mark * 1000 + 999));
}

#[test]
fn up_while_it_lives_down_from_mark_and_five_seconds() {
    let mut presence = Presence::default();
    frame(&mut presence, 100, 100);
    assert_eq!(tick(&mut presence, 100), [(100_000, UpValue::Up)]);
    for second in 101..=120 {
        frame(&mut presence, second, second);
        let due = tick(&mut presence, second);
        assert_eq!(due.len(), usize::from(second == 115), "every 15 s: {due:?}");
    }
    for second in 121..=125 {
        assert_eq!(tick(&mut presence, second), []);
    }
    assert_eq!(tick(&mut presence, 126), [(125_999, UpValue::Down)]);
    frame(&mut presence, 130, 121);
    assert_eq!(tick(&mut presence, 130), [], "backlog rewrites nothing");
    frame(&mut presence, 131, 131);
    assert_eq!(tick(&mut presence, 131), [(131_000, UpValue::Up)]);
    presence.goodbye(AGENT);
    assert_eq!(tick(&mut presence, 132), [(132_000, UpValue::End)]);
    assert_eq!(tick(&mut presence, 133), []);
    assert_eq!(presence.hosts().count(), 0);
}

#[test]
fn a_host_that_comes_and_goes_between_two_ticks_has_no_up() {
    let mut presence = Presence::default();
    frame(&mut presence, 100, 100);
    presence.goodbye(AGENT);
    assert_eq!(tick(&mut presence, 101), [], "no end of what has not begun");
    assert_eq!(presence.hosts().count(), 0);
    frame(&mut presence, 102, 102);
    assert!(presence.forget(AGENT));
    assert_eq!(tick(&mut presence, 103), []);
    frame(&mut presence, 104, 104);
    presence.frame(at(104), AGENT, ("node", "b"), Timestamp(104_999));
    let due = presence.due(at(104));
    assert_eq!(
        due.iter().map(|up| (&*up.instance, up.value)).collect::<Vec<_>>(),
        [("b", UpValue::Up)]
    );
}

#[test]
fn another_agent_of_the_same_labels_keeps_it_up() {
    let mut presence = Presence::default();
    frame(&mut presence, 100, 100);
    presence.frame(at(100), AgentId([2; 16]), ("node", "a"), Timestamp(200_000));
    tick(&mut presence, 100);
    assert_eq!(tick(&mut presence, 105), [], "a mark ahead of the clock is cut, both live");
    presence.goodbye(AGENT);
    assert_eq!(tick(&mut presence, 109), [], "newly seen hosts have their grace");
    assert_eq!(tick(&mut presence, 110), [(106_000, UpValue::Down)]);
}

#[test]
fn a_restart_gives_grace_and_a_day_at_zero_ends_it() {
    let mut presence = Presence::default();
    frame(&mut presence, 100, 100);
    tick(&mut presence, 100);
    let (hosts, ups) = presence.state();
    let mut restored = Presence::default();
    restored.restore(at(500), &hosts, &ups, &[]);
    restored.started(at(500));
    assert_eq!(tick(&mut restored, 505), []);
    assert_eq!(tick(&mut restored, 510), [(105_999, UpValue::Down)]);
    tick(&mut restored, 525);
    let (hosts, ups) = restored.state();
    assert_eq!((ups[0].last.time, ups[0].since), (Timestamp(525_000), Timestamp(105_999)));
    restored.restore(at(530), &hosts, &ups, &[]);
    restored.started(at(530));
    assert_eq!(restored.state(), (hosts, ups), "a snapshot holds all of it");
    let day = 24 * 3600;
    assert_eq!(tick(&mut restored, 106 + day).last().unwrap().1, UpValue::End);
}

#[test]
fn a_drained_host_ends_without_a_zero() {
    let mut presence = Presence::default();
    frame(&mut presence, 100, 100);
    tick(&mut presence, 100);
    presence.drain(AGENT, Timestamp(100_000));
    frame(&mut presence, 101, 101);
    for second in 102..=106 {
        assert_eq!(tick(&mut presence, second), [], "it lives");
    }
    assert_eq!(tick(&mut presence, 107), [(107_000, UpValue::End)]);
    assert!(presence.is_draining(AGENT) && presence.hosts().count() == 0);
    let of: Vec<_> = presence.draining().map(|host| host.instance.as_str()).collect();
    assert_eq!(of, ["a"]);
    // Started again, it is there again, and goes as quietly.
    frame(&mut presence, 120, 120);
    assert_eq!(tick(&mut presence, 120), [(120_000, UpValue::Up)]);
    assert_eq!(tick(&mut presence, 126), [(126_000, UpValue::End)]);
    frame(&mut presence, 130, 130);
    tick(&mut presence, 130);
    presence.undrain(AGENT);
    assert_eq!(tick(&mut presence, 140), [(135_999, UpValue::Down)]);
}

#[test]
fn another_agent_of_the_same_labels_is_not_drained() {
    let mut presence = Presence::default();
    frame(&mut presence, 100, 100);
    presence.frame(at(100), AgentId([2; 16]), ("node", "a"), Timestamp(100_999));
    tick(&mut presence, 100);
    presence.drain(AGENT, Timestamp(100_000));
    assert_eq!(tick(&mut presence, 110), [(105_999, UpValue::Down)]);
}

#[test]
fn as_many_hosts_as_may_be_are_looked_at_each_second() {
    let mut presence = Presence::default();
    let agents = crate::pure::keeper::KeeperLimits::default().agents;
    let id = |n: usize| AgentId((n as u128).to_be_bytes());
    for n in 0..agents {
        let instance = format!("host-{n}");
        presence.frame(at(100), id(n), ("node", &instance), Timestamp(100_999));
    }
    assert_eq!(tick(&mut presence, 100).len(), agents);
    for second in 101..111 {
        assert_eq!(tick(&mut presence, second).len(), if second == 110 { agents } else { 0 });
    }
    for n in 0..agents {
        presence.goodbye(id(n));
    }
    let due = tick(&mut presence, 111);
    assert!(due.len() == agents && due.iter().all(|(_, value)| *value == UpValue::End));
    assert_eq!(presence.hosts().count(), 0);
}

/// A search through all hosts for each series.
fn assert_whole(presence: &Presence) {
    for (labels, up) in &presence.ups {
        let hosts = presence.hosts.iter().filter(|(_, host)| host.labels == *labels);
        let agents: BTreeSet<AgentId> = hosts.map(|(agent, _)| *agent).collect();
        assert_eq!(agents, up.agents, "{labels:?}");
    }
    for host in presence.hosts.values() {
        assert!(presence.ups.contains_key(&host.labels), "{host:?} has no series");
    }
}

/// What to do, which agent, which labels.
fn step() -> impl Strategy<Value = (u8, u8, usize)> {
    (0..7_u8, 0..4_u8, 0..3_usize)
}

proptest! {
    #[test]
    fn each_host_is_with_its_series(steps in prop::collection::vec(step(), 200)) {
        let mut presence = Presence::default();
        for (second, (step, agent, instance)) in (100..).zip(steps) {
            let agent = AgentId([agent; 16]);
            let labels = ("node", ["a", "b", "c"][instance]);
            match step {
                0 | 1 => presence.frame(at(second), agent, labels, at(second).wall),
                2 => presence.goodbye(agent),
                3 => presence.drain(agent, at(second).wall),
                4 => drop(presence.forget(agent)),
                5 => {
                    let (hosts, ups) = presence.state();
                    presence.restore(at(second), &hosts, &ups, &[]);
                }
                _ => drop(tick(&mut presence, second * 3)),
            }
            assert_whole(&presence);
        }
    }
}
