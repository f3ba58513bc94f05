use bellwether_model::series::is_absent;

use super::*;
use crate::pure::scrape::page::{Page, Scan};
use crate::pure::scrape::target::target;
use crate::pure::scrape::target::tests::job;
use crate::pure::scrape::{Reading, VersionPlan};

struct Scraped {
    scan: Scan,
    rows: ScrapeRows,
    page: Table,
    report: Table,
}

impl Scraped {
    fn new(version: Option<VersionPlan>) -> Scraped {
        let job = job();
        let reading = Reading { version, ..job.reading.clone() };
        let job = crate::pure::scrape::JobPlan { reading, ..job };
        let target = Arc::new(target(&Arc::new(job), "a:1", &[]).unwrap().unwrap());
        let rows = ScrapeRows::new(Arc::clone(&target));
        let [page, report] = rows.tables();
        Scraped { scan: Scan::new(target), rows, page, report }
    }

    fn read(&mut self, body: &str, version: Option<&str>) -> Scrape {
        let page = Page { body: body.as_bytes(), format: Default::default(), version };
        let (counts, result) = self.scan.read(&page);
        Scrape { took: Duration::from_micros(1500), counts, result }
    }

    /// Takes a result and fills the rows. Returns which were due.
    fn push(&mut self, scrape: Scrape) -> Due {
        assert_eq!(self.rows.push(scrape), 0);
        let due = self.rows.due();
        self.page.begin_row();
        self.report.begin_row();
        assert_eq!(self.rows.fill(&mut self.page, &mut self.report), 0);
        due
    }

    fn good(&mut self, body: &str) -> Due {
        let scrape = self.read(body, None);
        self.push(scrape)
    }

    fn bad(&mut self) -> Due {
        self.fails(Reason::Timeout)
    }

    fn fails(&mut self, reason: Reason) -> Due {
        let result = Err(Failure::new(reason, "no page"));
        self.push(Scrape { took: Duration::ZERO, counts: Counts::default(), result })
    }
}

fn shown(table: &Table) -> Vec<String> {
    let row = table.columns().iter().zip(table.values());
    let set = row.filter(|(_, value)| !is_absent(**value));
    let mut shown: Vec<String> =
        set.map(|(column, value)| format!("{} {value}", column.as_ref().unwrap().labels)).collect();
    shown.sort();
    shown
}

const BOTH: Due = Due { page: true, report: true };
const REPORT_ONLY: Due = Due { page: false, report: true };

#[test]
fn a_failed_scrape_ends_all_but_what_is_told_of_it() {
    let mut scraped = Scraped::new(None);
    assert_eq!(scraped.good("a 1\nb{c=\"d\"} 2\n"), BOTH);
    assert_eq!(shown(&scraped.page), ["a 1", "b{c=\"d\"} 2"]);
    let report = [
        "scrape_duration_seconds 0.0015",
        "scrape_samples_post_metric_relabeling 2",
        "scrape_samples_scraped 2",
        "scrape_series_added 2",
        "scrape_target_refused 0",
        "up 1",
    ];
    assert_eq!(shown(&scraped.report), report);
    assert_eq!(scraped.good("b{c=\"d\"} 3\n"), BOTH);
    assert_eq!((shown(&scraped.page).len(), scraped.page.live()), (1, 1), "a has ended");
    assert_eq!(scraped.bad(), BOTH, "a row in which all end");
    assert_eq!(scraped.page.live(), 0);
    assert_eq!(shown(&scraped.report).last().unwrap(), "up 0");
    assert_eq!(scraped.bad(), REPORT_ONLY);
    assert_eq!(scraped.good("a 5\n"), BOTH);
    assert_eq!(shown(&scraped.page), ["a 5"]);
    assert_eq!((scraped.report.columns().len(), scraped.report.live()), (6, 6));
    // At a start, what an agent before may have left ends.
    let mut scraped = Scraped::new(None);
    assert_eq!(scraped.bad(), BOTH);
    assert_eq!((scraped.page.columns().len(), scraped.bad()), (0, REPORT_ONLY));
}

#[test]
fn each_row_tells_whether_the_target_was_refused() {
    let mut scraped = Scraped::new(None);
    for (reason, _) in Reason::WORDS {
        scraped.fails(reason);
        let refused = u8::from(reason == Reason::Refused);
        let shown = shown(&scraped.report);
        assert!(shown.contains(&format!("scrape_target_refused {refused}")), "{shown:?}");
    }
}

#[test]
fn columns_go_on_where_their_series_do() {
    let mut scraped = Scraped::new(None);
    scraped.good("a 1\nb 2\nc 3\n");
    let before = scraped.page.columns().to_vec();
    scraped.good("c 1\na 2\nd 4\n");
    let place = |table: &Table, name: &str| {
        let is_it = |column: &Option<ColumnSpec>| {
            column.as_ref().is_some_and(|column| column.labels.name() == name)
        };
        table.columns().iter().position(is_it)
    };
    for (at, name) in [(0, "a"), (2, "c")] {
        assert_eq!(place(&scraped.page, name), Some(at));
        assert_eq!(scraped.page.columns()[at], before[at]);
    }
    assert_eq!(place(&scraped.page, "b"), None);
    assert_eq!(shown(&scraped.page), ["a 2", "c 1", "d 4"]);
}

#[test]
fn a_version_without_a_restart_has_no_witness() {
    let header = VersionPlan::Header("x-version".parse().unwrap());
    let mut scraped = Scraped::new(Some(header));
    let body = "# TYPE hits_total counter\nhits_total 5\n";
    let mut row = |body: &str, version: &str| {
        let scrape = scraped.read(body, Some(version));
        scraped.push(scrape);
        (shown(&scraped.page), scraped.page.live())
    };
    let hits = |version: &str, value: u32| format!("hits_total{{version=\"{version}\"}} {value}");
    let changes = |count: u32| format!("scrape_version_changes_total {count}");
    assert_eq!(row(body, "1"), (vec![hits("1", 5), changes(0)], 2));
    let fell = body.replace('5', "2");
    assert_eq!(row(&fell, "2"), (vec![hits("2", 2), changes(1)], 2), "begun anew");
    assert_eq!(row(body, "3"), (vec![hits("3", 5)], 1), "nothing goes on");
    assert_eq!(row(body, "3"), (vec![hits("3", 5), changes(2)], 2));
    scraped.bad();
    assert_eq!(scraped.page.live(), 0);
}

#[test]
fn another_reading_of_a_page_is_another_group() {
    let mut old = Scraped::new(None);
    old.good("a 1\n");
    old.rows.push(
        old.scan
            .read(&Page { body: b"a 2\n", format: Default::default(), version: None })
            .1
            .map(|values| Scrape {
                took: Duration::ZERO,
                counts: Counts::default(),
                result: Ok(values),
            })
            .unwrap(),
    );
    let target = Arc::clone(old.rows.target());
    let mut next = ScrapeRows::new(Arc::clone(&target));
    assert!(next.is_read_as(&old.rows));
    assert_eq!(next.succeed(old.rows), 0);
    assert_eq!((next.waiting(), next.due()), (1, BOTH));
    next.fill(&mut old.page, &mut old.report);
    assert_eq!((shown(&old.page), old.page.columns().len()), (vec!["a 2".to_owned()], 1));
    let other = ScrapeTarget { mark: 1, ..(*target).clone() };
    let mut other = ScrapeRows::new(Arc::new(other));
    assert!(!other.is_read_as(&next));
    next.push(Scrape {
        took: Duration::ZERO,
        counts: Counts::default(),
        result: Err(Failure::new(Reason::Local, "x")),
    });
    assert_eq!(other.succeed(next), 1, "a result of the old reading is given up");
    assert_eq!(other.waiting(), 0);
}
