//! What a guard sees of a target that is scraped, from its pages through the agent's rows and the
//! keeper to the store's feed: which series were not there before, of which nothing is known, and
//! whether the process is there.

use std::sync::Arc;
use std::time::Duration;

use bellwether_agent::pure::config::{Overrides, Surroundings, read};
use bellwether_agent::pure::scrape::page::{Counts, Page, Scan, Values};
use bellwether_agent::pure::scrape::rows::{Scrape, ScrapeRows};
use bellwether_agent::pure::scrape::target::{ScrapeTarget, targets};
use bellwether_agent::pure::scrape::{Failure, Reason};
use bellwether_collector::pure::guard::count::{CountPlan, Counting};
use bellwether_collector::pure::guard::record::Sight;
use bellwether_collector::pure::keeper::{
    Batch, EntryClass, JournalClosed, Keeper, KeeperLimits, Submit,
};
use bellwether_model::exposition::Format;
use bellwether_model::feed::{Cursor, Feed, Origin};
use bellwether_model::id::{
    AgentId, BootId, GroupId, Incarnation, Nonce, Position, StoreId, Stream,
};
use bellwether_model::matcher::{MatchOp, Matcher};
use bellwether_model::select::Select;
use bellwether_model::time::{Mono, Nanos, Now, Timestamp};
use bellwether_model::wire::answer::Case;
use bellwether_model::wire::encode::{self, Encoder};
use bellwether_model::wire::envelope::Envelope;
use bellwether_model::wire::table::Table;
use bellwether_rules::service::Sli;
use bellwether_store::{Limits, Store};

const START: i64 = 1_700_000_000_000;
const PAGE: &str = "# TYPE hits_total counter\nhits_total{code=\"200\"} 700\nup_since 5\n";
const ERRORS: &str = "hits_total{code=\"500\"} 3\n";

struct Nowhere(u64);

impl Batch for Nowhere {
    fn has_room(&self, _: usize) -> bool {
        true
    }

    fn push(&mut self, _: EntryClass, _: &[u8]) -> Result<Position, JournalClosed> {
        self.0 += 1;
        Ok(Position(self.0))
    }
}

/// The one target of a configuration.
fn target(keys: &str) -> Arc<ScrapeTarget> {
    let text = format!(
        "inputs: {{scrape: {{scrape_configs: [{{job_name: shop, scrape_interval: 1s, {keys} \
         static_configs: [{{targets: ['a:80']}}]}}]}}}}\n"
    );
    let around = Surroundings { host_name: "h".to_owned(), ..Surroundings::default() };
    let plan = read("agent.yaml", &text, &around, &Overrides::default());
    let plan = plan.unwrap_or_else(|problems| panic!("{problems}")).0;
    let job = &plan.scrapes.jobs[0];
    Arc::new(targets(job, &job.groups).targets.remove(0))
}

/// An agent with one target, and a collector.
struct World {
    store: Store,
    keeper: Keeper,
    journal: Nowhere,
    encoder: Encoder,
    incarnation: u32,
    scan: Scan,
    rows: ScrapeRows,
    /// Groups and tables of the page and of the report.
    groups: [(GroupId, Table); 2],
    second: i64,
    cursor: Cursor,
}

fn encoder(incarnation: u32) -> Encoder {
    let nonce = Nonce(u64::from(incarnation));
    let incarnation = Incarnation(incarnation);
    Encoder::new(encode::Origin { incarnation, nonce, boot: BootId::default() })
}

impl World {
    fn new(target: &Arc<ScrapeTarget>) -> World {
        let (store, writer) = Store::new(Limits::default());
        let rows = ScrapeRows::new(Arc::clone(target));
        let [page, report] = rows.tables();
        World {
            cursor: store.view(Timestamp(START)).cursor(),
            store,
            keeper: Keeper::new(StoreId([9; 16]), KeeperLimits::default(), writer),
            journal: Nowhere(0),
            encoder: encoder(1),
            incarnation: 1,
            scan: Scan::new(Arc::clone(target)),
            rows,
            groups: [(GroupId(100), page), (GroupId(200), report)],
            second: 0,
        }
    }

    /// The agent starts again, with the same configuration.
    fn restart(&mut self) {
        self.incarnation += 1;
        self.encoder = encoder(self.incarnation);
        let target = Arc::clone(self.rows.target());
        self.rows = ScrapeRows::new(Arc::clone(&target));
        self.scan = Scan::new(target);
        let [page, report] = self.rows.tables();
        (self.groups[0].1, self.groups[1].1) = (page, report);
    }

    /// The agent takes up another configuration; where it reads the page in another way, the page
    /// has another group, and the one before has a last row without columns.
    fn reload(&mut self, target: &Arc<ScrapeTarget>) {
        let mut rows = ScrapeRows::new(Arc::clone(target));
        let is_alike = rows.is_read_as(&self.rows);
        let [page, _] = rows.tables();
        rows.succeed(std::mem::replace(&mut self.rows, ScrapeRows::new(Arc::clone(target))));
        self.rows = rows;
        self.scan = Scan::new(Arc::clone(target));
        if !is_alike {
            let (id, shared) = (self.groups[0].0, page.target().clone());
            self.encoder.cut();
            self.send(vec![(id, Table::new(shared, Duration::ZERO))]);
            self.groups[0] = (GroupId(id.0 + 1), page);
        }
    }

    /// A scrape, and what was born by it: names or codes, with the second of the row before.
    fn scrape(&mut self, page: Option<&str>, version: Option<&str>) -> Vec<String> {
        let Some(body) = page else { return self.fail(Reason::Refused) };
        let page = Page { body: body.as_bytes(), format: Format::Text, version };
        let (counts, result) = self.scan.read(&page);
        self.ship(counts, result)
    }

    /// A scrape that fails.
    fn fail(&mut self, reason: Reason) -> Vec<String> {
        self.ship(Counts::default(), Err(Failure::new(reason, "no page")))
    }

    fn ship(&mut self, counts: Counts, result: Result<Values, Failure>) -> Vec<String> {
        self.rows.push(Scrape { took: Duration::ZERO, counts, result });
        let due = self.rows.due();
        let [(page_id, page), (report_id, report)] = &mut self.groups;
        page.begin_row();
        report.begin_row();
        self.rows.fill(page, report);
        let mut sent = vec![(*report_id, std::mem::replace(report, empty()))];
        if due.page {
            sent.push((*page_id, std::mem::replace(page, empty())));
        }
        for (id, table) in self.send(sent) {
            let place = self.groups.iter_mut().find(|(of, _)| *of == id);
            place.expect("a group of ours").1 = table;
        }
        self.births()
    }

    fn send(&mut self, mut tables: Vec<(GroupId, Table)>) -> Vec<(GroupId, Table)> {
        self.second += 1;
        let time = Timestamp(START + self.second * 1000);
        let mut body = Vec::new();
        let envelope = Envelope {
            agent: AgentId([3; 16]),
            stream: Stream::Metrics,
            goodbye: false,
            sent_wall: Nanos(0),
            sent_mono: 0,
            skips: Vec::new(),
            frames: 1,
        };
        envelope.put(&mut body);
        self.encoder.begin(Timestamp(time.0 + 999));
        for (id, table) in &mut tables {
            self.encoder.row(*id, table, time);
        }
        self.encoder.finish(&mut body).unwrap();
        let mono = Mono(Duration::from_secs(self.second.unsigned_abs()));
        let submit = Submit { body: &body, received: Nanos(time.0 * 1_000_000) };
        let reply = self.keeper.admit(Now { wall: time, mono }, submit, &mut self.journal);
        assert_eq!(reply.unwrap().answer.case, Case::Applied);
        tables
    }

    fn births(&mut self) -> Vec<String> {
        let view = self.store.view(Timestamp(START + self.second * 1000 + 20));
        let births = view.births(&[], self.cursor).unwrap();
        self.cursor = view.cursor();
        let mut shown: Vec<String> = births
            .iter()
            .map(|birth| {
                let labels = view.labels(birth.series);
                let name = labels.get("code").unwrap_or(labels.name()).to_owned();
                let version = labels.get("version").map(|v| format!("@{v}")).unwrap_or_default();
                match birth.origin {
                    Origin::After(at) => {
                        format!("{name}{version} after {}", (at.0 - START) / 1000)
                    }
                    Origin::First => format!("{name}{version} first"),
                    Origin::Elsewhere => format!("{name}{version} elsewhere"),
                }
            })
            .filter(|line| !line.starts_with("scrape_"))
            .collect();
        shown.sort();
        shown
    }
}

fn empty() -> Table {
    Table::new(bellwether_model::label::LabelSet::default(), Duration::ZERO)
}

#[test]
fn a_first_error_counts_from_nought_and_a_first_page_does_not() {
    let mut world = World::new(&target(""));
    let with_errors = format!("{PAGE}{ERRORS}");
    assert_eq!(world.scrape(Some(PAGE), None), ["200 first", "up first", "up_since first"]);
    assert_eq!(world.scrape(Some(PAGE), None), [""; 0]);
    assert_eq!(world.scrape(Some(&with_errors), None), ["500 after 2"]);
    // After a failure nothing is known of what was counted meanwhile, though `up` went on.
    assert_eq!(world.scrape(None, None), [""; 0]);
    assert_eq!(world.scrape(None, None), [""; 0]);
    assert_eq!(
        world.scrape(Some(&with_errors), None),
        ["200 first", "500 first", "up_since first"]
    );
    // Nor where the first scrape of all failed.
    let mut world = World::new(&target(""));
    assert_eq!(world.scrape(None, None), ["up first"]);
    assert_eq!(world.scrape(Some(PAGE), None), ["200 first", "up_since first"]);
    assert_eq!(world.scrape(Some(&with_errors), None), ["500 after 2"]);
}

#[test]
fn over_a_restart_of_the_agent_what_was_there_is_known() {
    let mut world = World::new(&target(""));
    world.scrape(Some(PAGE), None);
    world.scrape(Some(PAGE), None);
    world.restart();
    assert_eq!(world.scrape(Some(PAGE), None), [""; 0], "all of them go on");
    world.restart();
    assert_eq!(world.scrape(Some(&format!("{PAGE}{ERRORS}")), None), ["500 after 3"]);
    // A target that is away after the start: its series end, and begin without a past.
    world.restart();
    assert_eq!(world.scrape(None, None), [""; 0]);
    assert_eq!(world.scrape(Some(PAGE), None), ["200 first", "up_since first"]);
}

#[test]
fn over_a_reload_what_was_filtered_before_has_no_past() {
    let with_errors = format!("{PAGE}{ERRORS}");
    let filtered = "metric_relabel_configs: [{source_labels: [code], regex: '500', action: drop}],";
    let mut world = World::new(&target(filtered));
    world.scrape(Some(&with_errors), None);
    world.scrape(Some(&with_errors), None);
    world.reload(&target(""));
    let all = world.scrape(Some(&with_errors), None);
    assert_eq!(all, ["200 first", "500 first", "up_since first"]);
    // What does not concern the page changes nothing.
    world.reload(&target("scrape_timeout: 500ms,"));
    assert_eq!(world.scrape(Some(&with_errors), None), [""; 0]);
}

#[test]
fn another_version_counts_from_nought_where_the_process_is_another() {
    let mut world = World::new(&target("version: {header: X-Version},"));
    let at = |world: &mut World, hits: u32, version: &str| {
        world.scrape(Some(&PAGE.replace("700", &hits.to_string())), Some(version))
    };
    at(&mut world, 700, "1");
    assert_eq!(at(&mut world, 720, "1"), [""; 0]);
    let after = ["200@2 after 2", "up_since@2 after 2"];
    assert_eq!(at(&mut world, 4, "2"), after, "the counter began anew");
    let first = ["200@3 first", "up_since@3 first"];
    assert_eq!(at(&mut world, 9, "3"), first, "the label is new, the process perhaps not");
    assert_eq!(at(&mut world, 12, "3"), [""; 0]);
}

#[test]
fn only_a_target_that_is_refused_is_dead() {
    let total = vec![Matcher::new("__name__", MatchOp::Equal, "hits_total").unwrap()];
    let plan = CountPlan {
        slis: vec![Sli::Bad { bad: total.clone(), total }],
        version_label: "version".to_owned(),
        stratum_label: None,
        environment: Vec::new(),
        from: "1".into(),
        to: "2".into(),
        canary: Vec::new(),
        baseline: Vec::new(),
    };
    let plan = Arc::new(plan);
    for (reason, word) in Reason::WORDS {
        let mut world = World::new(&target("version: {header: X-Version},"));
        let mut counting = Counting::new(Arc::clone(&plan), START / 1000 - 1, Vec::new());
        world.scrape(Some(PAGE), Some("2"));
        let seen = (0..4).map(|_| {
            world.fail(reason);
            let now = Timestamp(START + world.second * 1000 + 20);
            counting.read(&world.store.view(now), now);
            counting.arms().canary.sight
        });
        let seen: Vec<Sight> = seen.collect();
        let expected = if reason == Reason::Refused { Sight::Dead } else { Sight::Blind };
        assert_eq!(seen.last(), Some(&expected), "{word}: {seen:?}");
    }
}
