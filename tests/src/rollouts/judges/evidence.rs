//! The judge of `bellwether-rules`, and the plain e-process that it grew from.

use bellwether_rules::verdict::{Arm, Config, Judge, Tick};

use super::super::{Arms, ROUTES_MAX, Second};
use super::{Judging, Setting};

/// Ours.
pub(super) struct Ours(Judge);

impl Ours {
    pub(super) fn new(config: Config) -> Ours {
        Ours(Judge::new(config).expect("invariant: a configuration within its ranges"))
    }
}

/// The ticks of one second, one for each route; `routes` many of them hold.
pub(crate) fn ticks(second: &Second) -> [Tick; ROUTES_MAX] {
    let mut ticks = [Tick::default(); ROUTES_MAX];
    for (stratum, (tick, arms)) in (0..).zip(ticks.iter_mut().zip(second.routes())) {
        let Arms { canary_n, canary_bad, baseline_n, baseline_bad } = *arms;
        *tick = Tick {
            second: i64::from(second.at),
            stratum,
            canary: Arm { n: canary_n, bad: canary_bad },
            baseline: Arm { n: baseline_n, bad: baseline_bad },
        };
    }
    ticks
}

impl Judging for Ours {
    fn step(&mut self, second: &Second) -> bool {
        let ticks = ticks(second);
        let ticks = ticks.get(..second.routes().len()).unwrap_or_default();
        self.0.step(ticks).expect("invariant: counts that can be, in order").failed
    }
}

/// Ratios that the alternatives of the plain process are of the tolerated one.
const RATIOS: [f64; 8] = [1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0];
/// The tolerated ratio.
const RHO: f64 = 1.2;

/// The conditional count e-process of Lindon and Malek (2022) in its plain form: a mixture of
/// binomial likelihood ratios of the canary's part of the bad requests, given how many there are.
pub(super) struct Plain {
    log_threshold: f64,
    warm_up: u32,
    /// Counts that wait for a tick in which both arms have requests.
    held: Arms,
    logs: [f64; RATIOS.len()],
}

impl Plain {
    pub(super) fn new(setting: &Setting) -> Plain {
        Plain {
            log_threshold: -libm::log(setting.alpha),
            warm_up: setting.warm_up,
            held: Arms::default(),
            logs: [0.0; RATIOS.len()],
        }
    }
}

impl Judging for Plain {
    fn step(&mut self, second: &Second) -> bool {
        if second.at < self.warm_up {
            return false;
        }
        self.held.add(second.total());
        if self.held.canary_n == 0 || self.held.baseline_n == 0 {
            return false;
        }
        let held = std::mem::take(&mut self.held);
        let (canary, baseline) = (held.canary_n as f64, held.baseline_n as f64);
        let part = |ratio: f64| ratio * canary / (ratio * canary + baseline);
        let null = part(RHO);
        if held.canary_bad + held.baseline_bad > 0 {
            for (log, ratio) in self.logs.iter_mut().zip(RATIOS) {
                let theta = part(ratio * RHO);
                *log += held.canary_bad as f64 * libm::log(theta / null)
                    + held.baseline_bad as f64 * libm::log((1.0 - theta) / (1.0 - null));
            }
        }
        let most = self.logs.iter().fold(f64::NEG_INFINITY, |most, log| most.max(*log));
        let sum: f64 = self.logs.iter().map(|log| libm::exp(log - most)).sum();
        most + libm::log(sum / RATIOS.len() as f64) >= self.log_threshold
    }
}
