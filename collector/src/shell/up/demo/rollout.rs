//! The rollout of the demo as it is seen: announced, judged, rolled back, and its record verified.

use std::path::{Path, PathBuf};

use anyhow::bail;
use bellwether_model::signal::Kind;
use bellwether_rules::record::{read, verify};
use bellwether_rules::verdict::Verdict;

use crate::pure::demo::rollback::Seen;
use crate::pure::guard::announce::Announce;
use crate::pure::guard::event::{Ask, Reply};
use crate::pure::guard::record::End;
use crate::pure::guard::report::RolloutRow;
use crate::pure::guard::view;
use crate::shell::control::ControlHandle;
use crate::shell::key;
use crate::shell::serve::Watch;

/// The rollout.
pub(super) struct Rollout {
    control: ControlHandle,
    data_dir: PathBuf,
    id: String,
    seen: Seen,
}

impl Rollout {
    /// Not announced yet.
    pub(super) fn new(watch: &Watch, data_dir: &Path) -> Rollout {
        let mut random = [0; 4];
        getrandom::fill(&mut random).expect("invariant: the system has random numbers");
        let id = format!("demo-{:08x}", u32::from_le_bytes(random));
        let (control, data_dir) = (watch.control.clone(), data_dir.to_owned());
        Rollout { control, data_dir, id, seen: Seen::default() }
    }

    /// Announces it, as a pipeline does.
    pub(super) async fn announce(&self, from: &str, to: &str) -> anyhow::Result<()> {
        let text = format!(
            "{{\"id\":\"{}\",\"service\":\"demo\",\"environment\":\"demo\",\
             \"from\":\"{from}\",\"to\":\"{to}\"}}",
            self.id
        );
        let announce = match Announce::read(text.as_bytes()) {
            Ok(announce) => announce,
            Err(problems) => bail!("the demo's announce is wrong: {}", problems.join("; ")),
        };
        match self.control.ask("demo".to_owned(), Ask::Announce(Box::new(announce))).await {
            Some((Reply::Begun(_), _)) => Ok(()),
            Some((Reply::Conflict(text), _)) => {
                bail!(
                    "an earlier demo's rollout is open ({text}): `bellwether rollout abort` ends it"
                )
            }
            other => bail!("the demo's rollout is not taken: {other:?}"),
        }
    }

    /// What is seen of it now.
    pub(super) async fn look(&mut self) -> Seen {
        if let Some(row) = self.control.rollout(&self.id).await.flatten() {
            self.take(&row);
        }
        self.seen.clone()
    }

    fn take(&mut self, row: &RolloutRow) {
        let seen = &mut self.seen;
        // It is watched once a second of it was judged.
        seen.announced |= row.last.is_some();
        if row.known.failure().is_some() && seen.failed.is_none() {
            seen.failed = Some(row.reason.clone());
        }
        let rollback = row.signals.iter().find(|one| one.signal.intent.kind == Kind::Rollback);
        seen.asked |= rollback.is_some();
        if let Some(rollback) = rollback
            && rollback.signal.answer.is_some()
            && seen.answered.is_none()
        {
            let shown = view::rollout(row).signals.into_iter().find_map(|signal| signal.answer);
            seen.answered = shown;
        }
        seen.restored |= row.known.ended.is_some_and(|(end, _)| end == End::Failed);
        if seen.record.is_none() {
            let failed = view::rollout(row).decided.into_iter();
            let mut failed = failed.zip(&row.known.decided);
            let found = failed.find(|(_, decided)| decided.verdict == Verdict::Fail);
            seen.record = found.and_then(|(shown, _)| checked(&self.data_dir, shown.record));
        }
    }
}

/// Checks a record as `bellwether verify` does; `None` while it is not there.
fn checked(data_dir: &Path, name: String) -> Option<(String, Result<(), String>)> {
    let file = std::fs::read(data_dir.join("collector/records").join(&name)).ok()?;
    let outcome = || {
        let key = key::checking(&data_dir.join("record.key.pub")).map_err(|e| format!("{e:#}"))?;
        let previous = read(&file).map_err(|error| error.to_string())?.record.previous;
        let failures = verify(&file, &key, previous).failures;
        let failures: Vec<String> = failures.iter().map(ToString::to_string).collect();
        if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
    };
    Some((name, outcome()))
}
