//! What happens to both arms of a healthy rollout, and the ranges it is drawn from.

use super::{Arm, ROUTES_MAX, Random, Traffic};

/// Seconds over which one train of retries spreads, at most.
const TRAIN_SECONDS: usize = 16;
/// Seconds that are left out at the beginning where the cache is cold.
const COLD_SECONDS: u32 = 120;

/// A way for healthy traffic to look ill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// Nothing: each arm's requests and errors are Poisson.
    Healthy,
    /// Load moves as a sine of 1 to 24 h by 30 to 90 %, and errors with it, to 1 to 5 times at the
    /// peak.
    DayCurve,
    /// For 1 to 10 minutes 1 to 100 % of all requests fail, in both arms, at 0.3 to 3 times the
    /// load.
    SharedOutage,
    /// Each arm has requests in spells of 1 to 8 s with pauses as long between, and for one to five
    /// times 1 to 60 s a part of all requests fails, in both arms.
    Pauses,
    /// Clients retry: trains of 3 to 20 bad requests over 1 to 15 s, one every 20 to 600 s, each on
    /// the arm that its client is on.
    RetryTrains,
    /// One to three such trains in all, each of a single broken client, on either arm alike.
    ClientStorm,
    /// Errors have a variance of 1 to 10 times their mean: in batches within a second, or as gusts
    /// of 2 to 10 s that move one arm at a time.
    Dispersion,
    /// One of 5 to 50 hosts fails 2 to 100 % of its requests, all the time or in episodes of 10 to
    /// 120 s: a host of the baseline, or one behind both arms.
    BadHost,
    /// Two to four routes of unlike errors (0.01 to 5 %) whose weights drift over 10 to 60 minutes;
    /// in half the rollouts the arms have unlike weights, so that only a judge that compares route
    /// by route can be right.
    DriftingMix,
    /// The canary begins with 2 to 10 times the errors and loses the excess over 5 to 30 s; a judge
    /// may leave out the first two minutes.
    ColdCache,
}

impl Scenario {
    /// Every scenario.
    pub const ALL: [Scenario; 10] = [
        Scenario::Healthy,
        Scenario::DayCurve,
        Scenario::SharedOutage,
        Scenario::Pauses,
        Scenario::RetryTrains,
        Scenario::ClientStorm,
        Scenario::Dispersion,
        Scenario::BadHost,
        Scenario::DriftingMix,
        Scenario::ColdCache,
    ];

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Healthy => "healthy",
            Scenario::DayCurve => "day curve",
            Scenario::SharedOutage => "shared outage",
            Scenario::Pauses => "pauses",
            Scenario::RetryTrains => "retry trains",
            Scenario::ClientStorm => "client storm",
            Scenario::Dispersion => "dispersion",
            Scenario::BadHost => "one bad host",
            Scenario::DriftingMix => "drifting mix",
            Scenario::ColdCache => "cold cache",
        }
    }
}

/// One route in one second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Route {
    /// Its part of the canary's requests.
    pub(super) canary_weight: f64,
    /// Its part of the baseline's.
    pub(super) baseline_weight: f64,
    /// The part of its requests that fails.
    pub(super) error: f64,
}

/// What holds in one second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Times the mean traffic.
    pub(super) load: f64,
    /// Whether the canary and the baseline have requests.
    pub(super) serves: [bool; 2],
    routes: [Route; ROUTES_MAX],
    pub(super) count: usize,
    /// Times the errors of the canary.
    pub(super) canary_times: f64,
    /// Times the errors of the baseline.
    pub(super) baseline_times: f64,
    /// Mean size of the batches that errors come in; 1 for one by one.
    pub(super) batch: f64,
    /// Bad requests beside the ordinary traffic.
    pub(super) bursts: [(Arm, u64); 2],
}

impl Moment {
    fn plain(error: f64) -> Moment {
        let mut routes = [Route::default(); ROUTES_MAX];
        if let Some(first) = routes.first_mut() {
            *first = Route { canary_weight: 1.0, baseline_weight: 1.0, error };
        }
        Moment {
            load: 1.0,
            serves: [true; 2],
            routes,
            count: 1,
            canary_times: 1.0,
            baseline_times: 1.0,
            batch: 1.0,
            bursts: [(Arm::Canary, 0), (Arm::Baseline, 0)],
        }
    }

    pub(super) fn routes(&self) -> &[Route] {
        self.routes.get(..self.count).unwrap_or_default()
    }
}

/// A scenario with its parameters and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Course {
    traffic: Traffic,
    shape: Shape,
}

#[derive(Clone, Debug)]
enum Shape {
    Healthy,
    DayCurve { period: f64, phase: f64, swing: f64, peak: f64 },
    SharedOutage { begins: u32, ends: u32, error: f64, load: f64 },
    Pauses { outages: [(u32, u32); 5], error: f64, turns: [u32; 2], serves: [bool; 2] },
    RetryTrains { gap: f64, next: f64, trains: Trains },
    ClientStorm { begins: [u32; 3], trains: Trains },
    Batches { mean: f64 },
    Gusts { window: u32, shapes: [f64; 2], times: [f64; 2] },
    BadHost { added: f64, both: bool, episode: f64, is_bad: bool, turns: f64 },
    DriftingMix(Mix),
    ColdCache { times: f64, decay: f64 },
}

impl Course {
    pub(super) fn draw(
        scenario: Scenario,
        traffic: Traffic,
        seconds: u32,
        random: &mut Random,
    ) -> Course {
        let shape = match scenario {
            Scenario::Healthy => Shape::Healthy,
            Scenario::DayCurve => Shape::DayCurve {
                period: random.scale(3600.0, 86_400.0),
                phase: random.unit(),
                swing: random.between(0.3, 0.9),
                peak: random.between(1.0, 5.0),
            },
            Scenario::SharedOutage => {
                let lasts = random.whole(60, 600);
                let begins = random.whole(0, seconds.saturating_sub(lasts));
                let (error, load) = (random.scale(0.01, 1.0), random.scale(0.3, 3.0));
                Shape::SharedOutage { begins, ends: begins + lasts, error, load }
            }
            Scenario::Pauses => {
                let count = random.whole(1, 5) as usize;
                let mut outages = [(0, 0); 5];
                for outage in outages.iter_mut().take(count) {
                    let begins = random.whole(0, seconds.saturating_sub(60));
                    *outage = (begins, begins + random.whole(1, 60));
                }
                let error = random.scale(0.01, 1.0);
                Shape::Pauses { outages, error, turns: [0; 2], serves: [false; 2] }
            }
            Scenario::RetryTrains => {
                let (gap, trains) = (random.scale(20.0, 600.0), Trains::draw(random));
                Shape::RetryTrains { gap, next: random.exponential(gap), trains }
            }
            Scenario::ClientStorm => {
                let count = random.whole(1, 3) as usize;
                let mut begins = [u32::MAX; 3];
                for begins in begins.iter_mut().take(count) {
                    *begins = random.whole(0, seconds.saturating_sub(1));
                }
                Shape::ClientStorm { begins, trains: Trains::draw(random) }
            }
            Scenario::Dispersion => dispersion(traffic, random),
            Scenario::BadHost => {
                let hosts = f64::from(random.whole(5, 50));
                let episode =
                    if random.happens(0.5) { f64::INFINITY } else { random.scale(10.0, 120.0) };
                let added = random.scale(0.02, 1.0) / hosts;
                Shape::BadHost {
                    added,
                    both: random.happens(0.5),
                    episode,
                    is_bad: true,
                    turns: 0.0,
                }
            }
            Scenario::DriftingMix => Shape::DriftingMix(Mix::draw(random)),
            Scenario::ColdCache => Shape::ColdCache {
                times: random.between(2.0, 10.0),
                decay: random.between(5.0, 30.0),
            },
        };
        Course { traffic, shape }
    }

    pub(super) fn warm_up(&self) -> u32 {
        match self.shape {
            Shape::ColdCache { .. } => COLD_SECONDS,
            _ => 0,
        }
    }

    pub(super) fn moment(&mut self, at: u32, random: &mut Random) -> Moment {
        let mut moment = Moment::plain(self.traffic.error);
        let now = f64::from(at);
        match &mut self.shape {
            Shape::Healthy => {}
            Shape::DayCurve { period, phase, swing, peak } => {
                let wave = libm::sin(std::f64::consts::TAU * (now / *period + *phase));
                moment.load = 1.0 + *swing * wave;
                let times = 1.0 + (*peak - 1.0) * (1.0 + wave) / 2.0;
                (moment.canary_times, moment.baseline_times) = (times, times);
            }
            Shape::SharedOutage { begins, ends, error, load } => {
                if (*begins..*ends).contains(&at) {
                    let worse = self.traffic.error.max(*error);
                    moment = Moment { load: *load, ..Moment::plain(worse) };
                }
            }
            Shape::Pauses { outages, error, turns, serves } => {
                for (turn, serves) in turns.iter_mut().zip(serves.iter_mut()) {
                    if at >= *turn {
                        *serves = !*serves;
                        *turn = at + random.whole(1, 8);
                    }
                }
                if outages.iter().any(|(begins, ends)| (*begins..*ends).contains(&at)) {
                    moment = Moment::plain(self.traffic.error.max(*error));
                }
                moment.serves = *serves;
            }
            Shape::RetryTrains { gap, next, trains } => {
                while *next <= now {
                    let arm = arm(random, self.traffic.share);
                    trains.begin(arm, random);
                    *next += random.exponential(*gap);
                }
                moment.bursts = trains.take();
            }
            Shape::ClientStorm { begins, trains } => {
                if begins.contains(&at) {
                    let arm = arm(random, 0.5);
                    trains.begin(arm, random);
                }
                moment.bursts = trains.take();
            }
            Shape::Batches { mean } => moment.batch = *mean,
            Shape::Gusts { window, shapes, times } => {
                if at.is_multiple_of(*window) {
                    *times = shapes.map(
                        |shape| {
                            if shape.is_finite() { random.gamma(shape) } else { 1.0 }
                        },
                    );
                }
                [moment.canary_times, moment.baseline_times] = *times;
            }
            Shape::BadHost { added, both, episode, is_bad, turns } => {
                if episode.is_finite() && now >= *turns {
                    *is_bad = !*is_bad;
                    *turns = now + random.exponential(*episode);
                }
                let times = 1.0 + if *is_bad { *added / self.traffic.error } else { 0.0 };
                moment.baseline_times = times;
                moment.canary_times = if *both { times } else { 1.0 };
            }
            Shape::DriftingMix(mix) => mix.fill(now, &mut moment),
            Shape::ColdCache { times, decay } => {
                moment.canary_times = 1.0 + (*times - 1.0) * libm::exp(-now / *decay);
            }
        }
        moment
    }
}

fn arm(random: &mut Random, share: f64) -> Arm {
    if random.happens(share) { Arm::Canary } else { Arm::Baseline }
}

/// Errors of a variance of D times their mean, D from 1 to 10.
fn dispersion(traffic: Traffic, random: &mut Random) -> Shape {
    let dispersion = random.between(1.0, 10.0);
    if random.happens(0.5) {
        // Geometric batches of mean m have a second moment over their first of 2m - 1.
        return Shape::Batches { mean: (dispersion + 1.0) / 2.0 };
    }
    let window = random.whole(2, 10);
    // A gamma of shape k gives counts of mean μ a variance of μ (1 + μ / k).
    let shape = |share: f64| {
        let mean = traffic.rps * share * traffic.error * f64::from(window);
        mean / (dispersion - 1.0)
    };
    Shape::Gusts {
        window,
        shapes: [shape(traffic.share), shape(1.0 - traffic.share)],
        times: [1.0; 2],
    }
}

/// Trains of retries under way.
#[derive(Clone, Debug)]
struct Trains {
    /// Requests of a train, at most; 3 to 20.
    longest: u32,
    /// Bad requests of the seconds to come, by arm; the first is now.
    coming: [[u64; 2]; TRAIN_SECONDS],
    now: usize,
}

impl Trains {
    fn draw(random: &mut Random) -> Trains {
        Trains { longest: random.whole(3, 20), coming: [[0; 2]; TRAIN_SECONDS], now: 0 }
    }

    fn begin(&mut self, arm: Arm, random: &mut Random) {
        let (requests, seconds) = (random.whole(3, self.longest), random.whole(1, 15));
        for _ in 0..requests {
            let ahead = random.whole(0, seconds - 1) as usize;
            let slot = self.coming.get_mut((self.now + ahead) % TRAIN_SECONDS);
            let of = slot.and_then(|slot| slot.get_mut(usize::from(arm == Arm::Baseline)));
            *of.expect("invariant: within the ring") += 1;
        }
    }

    /// The bad requests of this second; the next second is now.
    fn take(&mut self) -> [(Arm, u64); 2] {
        let slot = self.coming.get_mut(self.now).expect("invariant: within the ring");
        let [canary, baseline] = std::mem::take(slot);
        self.now = (self.now + 1) % TRAIN_SECONDS;
        [(Arm::Canary, canary), (Arm::Baseline, baseline)]
    }
}

/// Routes whose weights drift.
#[derive(Clone, Debug)]
struct Mix {
    count: usize,
    errors: [f64; ROUTES_MAX],
    /// Of each route: how far, how often and from where its weight swings.
    swings: [(f64, f64, f64); ROUTES_MAX],
    /// Times the weight of each route in the canary.
    skews: [f64; ROUTES_MAX],
}

impl Mix {
    fn draw(random: &mut Random) -> Mix {
        let count = random.whole(2, 4) as usize;
        let errors = [(); ROUTES_MAX].map(|()| random.scale(1e-4, 0.05));
        let period = random.between(600.0, 3600.0);
        let swings = [(); ROUTES_MAX].map(|()| (random.between(0.2, 1.5), period, random.unit()));
        let is_skewed = random.happens(0.5);
        let skews = [(); ROUTES_MAX].map(|()| {
            let skew = random.scale(1.0 / 3.0, 3.0);
            if is_skewed { skew } else { 1.0 }
        });
        Mix { count, errors, swings, skews }
    }

    fn fill(&self, now: f64, moment: &mut Moment) {
        moment.count = self.count;
        let (mut of_canary, mut of_baseline) = (0.0, 0.0);
        let parts = self.errors.iter().zip(self.swings).zip(self.skews);
        for (route, ((error, (swing, period, phase)), skew)) in
            moment.routes.iter_mut().take(self.count).zip(parts)
        {
            let angle = std::f64::consts::TAU * (now / period + phase);
            let weight = libm::exp(swing * libm::sin(angle));
            *route = Route { canary_weight: weight * skew, baseline_weight: weight, error: *error };
            of_canary += route.canary_weight;
            of_baseline += route.baseline_weight;
        }
        for route in moment.routes.iter_mut().take(self.count) {
            route.canary_weight /= of_canary;
            route.baseline_weight /= of_baseline;
        }
    }
}
