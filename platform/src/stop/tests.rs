use std::thread;

use super::*;

#[test]
fn a_thread_waits_out_its_time_when_nothing_fires() {
    let (stopper, stop) = stop();
    assert!(!stop.wait_for(Duration::from_millis(1)));
    assert!(!stop.is_stopped());
    stopper.stop();
    assert!(stop.wait_for(Duration::ZERO));
}

#[test]
fn firing_wakes_threads_that_wait_far_ahead() {
    let (stopper, stop) = stop();
    let clock = Clock::collector();
    let at = clock.now().mono + Duration::from_secs(100_000);
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let (stop, clock) = (stop.clone(), clock.clone());
            thread::spawn(move || stop.wait_until(&clock, at))
        })
        .collect();
    stopper.stop();
    stopper.stop();
    for thread in waiting {
        assert!(thread.join().unwrap());
    }
}

#[test]
fn a_deadline_in_the_past_does_not_wait_but_says_what_is() {
    let (stopper, stop) = stop();
    let clock = Clock::collector();
    assert!(!stop.wait_until(&clock, Mono::default()));
    stopper.stop();
    assert!(stop.wait_until(&clock, Mono::default()));
}

#[test]
fn a_wait_ends_at_its_deadline() {
    let (_stopper, stop) = stop();
    let clock = Clock::collector();
    let at = clock.now().mono + Duration::from_millis(5);
    assert!(!stop.wait_until(&clock, at));
    assert!(clock.now().mono >= at);
}

#[tokio::test]
async fn the_first_task_to_return_stops_all() {
    let (stopper, stop) = stop();
    let (first, other) = (stopper.on_return(), stop.clone());
    let waiting = tokio::spawn(async move { other.stopped().await });
    tokio::spawn(async move { drop(first) }).await.unwrap();
    waiting.await.unwrap();
    stop.stopped().await;
    assert!(stopper.is_stopped());
}

#[tokio::test]
async fn a_stop_outlives_its_stopper_and_still_fires_late_listeners() {
    let (stopper, stop) = stop();
    stopper.stop();
    drop(stopper);
    stop.clone().stopped().await;
}
