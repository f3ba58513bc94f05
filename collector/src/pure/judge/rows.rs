//! The table that `judge` reads: comma-separated values with a header.
//!
//! The columns `second`, `canary_n`, `canary_bad`, `baseline_n`, `baseline_bad` and, where arms are
//! compared route by route, `stratum`, in any order. Fields may be quoted as RFC 4180 has it, but
//! within a line; lines end with a feed, with or without a return; empty ones are stepped over.
//! Every problem is reported with its line and column. Size, rows, columns and lines are bounded
//! before anything is kept.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use bellwether_model::diagnostic::{Code, Diagnostic, Diagnostics, Source, nearest};
use bellwether_rules::record::{INTEGER_MAX, NAME_BYTES_MAX, TICKS_MAX};
use bellwether_rules::verdict::{Arm, Tick};

/// Bytes of a table, at most.
pub const TABLE_BYTES_MAX: usize = 64 << 20;
/// Bytes of a line, at most.
const LINE_BYTES_MAX: usize = 4096;
/// Fields of a line, at most.
const FIELDS_MAX: usize = 64;

const TOO_LARGE: Code = code("csv001", "the table is larger than is read");
const NOT_TEXT: Code = code("csv002", "the table is not UTF-8");
const NO_HEADER: Code = code("csv003", "the first line must name the columns");
const UNKNOWN_COLUMN: Code = code("csv004", "no such column exists");
const MISSING_COLUMN: Code = code("csv005", "a column is missing");
const REPEATED_COLUMN: Code = code("csv006", "a column is given twice");
const FIELDS: Code = code("csv007", "a line has more or fewer fields than the header");
const QUOTES: Code = code("csv008", "quotes that do not enclose a whole field");
const NUMBER: Code = code("csv009", "a field is not a whole number");
const RANGE: Code = code("csv010", "a number is outside its range");
const MORE_BAD: Code = code("csv011", "more bad requests than requests");
const ORDER: Code = code("csv012", "a second before the one above it");
const REPEATED_ROW: Code = code("csv013", "a second is given twice for one stratum");
const STRATUM: Code = code("csv014", "a name of a stratum that cannot be used");

const fn code(name: &'static str, meaning: &'static str) -> Code {
    Code { name, meaning }
}

/// The columns; the last may be left out.
const COLUMNS: [&str; 6] =
    ["second", "canary_n", "canary_bad", "baseline_n", "baseline_bad", "stratum"];
const SECOND: usize = 0;
const STRATUM_COLUMN: usize = 5;

/// A table that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// The rows in their order.
    pub ticks: Vec<Tick>,
    /// The names of the strata, by number, in their order; empty without the column.
    pub strata: Vec<String>,
}

/// Reads a table; `file` is its name in messages.
///
/// # Errors
/// Every problem, each with its place.
pub fn read(file: &str, bytes: &[u8]) -> Result<Counts, Diagnostics> {
    if bytes.len() > TABLE_BYTES_MAX {
        let mut problems = Diagnostics::default();
        let what = format!("{file} has more than {} MiB", TABLE_BYTES_MAX >> 20);
        problems.push(Diagnostic::error(TOO_LARGE, None, what));
        return Err(problems);
    }
    let text = String::from_utf8_lossy(bytes);
    let source = Source::new(file, &text);
    let mut reader = Reader {
        problems: Diagnostics::of(source.clone()),
        source,
        columns: [None; COLUMNS.len()],
        count: 0,
        counts: Counts { ticks: Vec::new(), strata: Vec::new() },
        numbers: BTreeMap::new(),
        seen: BTreeMap::new(),
        last: None,
    };
    if let Err(error) = std::str::from_utf8(bytes) {
        let at = error.valid_up_to();
        let help = "is it compressed, or a spreadsheet? export it as comma-separated text";
        reader.error(NOT_TEXT, at..at + 1, "not UTF-8 from here", Some(help));
    }
    reader.table(&text);
    if reader.problems.has_errors() { Err(reader.problems) } else { Ok(reader.in_order()) }
}

/// A field and its bytes in the text, quotes included.
struct Field<'a> {
    text: Cow<'a, str>,
    span: Range<usize>,
}

struct Reader {
    source: Source,
    problems: Diagnostics,
    /// Where each column stands, from 0.
    columns: [Option<usize>; COLUMNS.len()],
    /// Fields of the header.
    count: usize,
    counts: Counts,
    /// The numbers of the strata.
    numbers: BTreeMap<String, u16>,
    /// The lines of the strata of the last second.
    seen: BTreeMap<u16, usize>,
    last: Option<i64>,
}

impl Reader {
    fn error(&mut self, code: Code, span: Range<usize>, what: &str, help: Option<&str>) {
        let mut problem = Diagnostic::error(code, Some(self.source.place(span)), what);
        if let Some(help) = help {
            problem = problem.with_help(help);
        }
        self.problems.push(problem);
    }

    fn table(&mut self, text: &str) {
        let start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let (mut at, mut has_header) = (start, false);
        let lines = text.get(start..).unwrap_or_default().split_inclusive('\n');
        for (number, whole) in (1..).zip(lines) {
            let begin = at;
            at += whole.len();
            let line = whole.trim_end_matches(['\n', '\r']);
            if line.trim_ascii().is_empty() {
                continue;
            }
            if line.len() > LINE_BYTES_MAX {
                let what = format!("a line of {} bytes; at most {LINE_BYTES_MAX}", line.len());
                self.error(TOO_LARGE, begin..begin + 1, &what, None);
                // What cannot be read as a header would make every row wrong.
                if has_header { continue } else { return }
            }
            let Some(fields) = self.fields(line, begin) else {
                if has_header { continue } else { return }
            };
            if !has_header {
                has_header = true;
                if !self.header(line, begin, &fields) {
                    return;
                }
            } else if self.counts.ticks.len() == TICKS_MAX {
                let what = format!("more than {TICKS_MAX} rows");
                self.error(TOO_LARGE, begin..begin + line.len(), &what, None);
                return;
            } else {
                self.row(number, begin..begin + line.len(), &fields);
            }
        }
        if !has_header {
            let columns = format!("begin with the line {}", COLUMNS.join(","));
            self.error(NO_HEADER, start..start, "the table is empty", Some(&columns));
        }
    }

    /// The fields of a line; `None` if it cannot be parted, which is then reported.
    fn fields<'a>(&mut self, line: &'a str, begin: usize) -> Option<Vec<Field<'a>>> {
        let mut fields = Vec::new();
        let mut at = 0;
        loop {
            if fields.len() == FIELDS_MAX {
                let what = format!("more than {FIELDS_MAX} fields");
                self.error(FIELDS, begin + at..begin + line.len(), &what, None);
                return None;
            }
            let rest = line.get(at..).unwrap_or_default();
            let length = match quoted(rest) {
                None => rest.find(',').unwrap_or(rest.len()),
                Some(Ok(length)) => length,
                Some(Err(from)) => {
                    let span = begin + at + from..begin + line.len();
                    let help = "a field is quoted as a whole, a quote within it doubled";
                    self.error(QUOTES, span, "the quotes do not enclose a field", Some(help));
                    return None;
                }
            };
            let text = rest.get(..length).unwrap_or_default();
            fields.push(Field { text: unquoted(text), span: begin + at..begin + at + length });
            at += length + 1;
            if at > line.len() {
                return Some(fields);
            }
        }
    }

    /// Reads the header; whether rows can be read by it.
    fn header(&mut self, line: &str, begin: usize, fields: &[Field<'_>]) -> bool {
        let whole = begin..begin + line.len();
        let is_number = |field: &Field<'_>| field.text.trim().parse::<f64>().is_ok();
        if fields.iter().all(is_number) {
            let columns = format!("begin with the line {}", COLUMNS.join(","));
            self.error(NO_HEADER, whole, "a row where the header must be", Some(&columns));
            return false;
        }
        if let ([_], Some(separator)) = (fields, line.find([';', '\t'])) {
            let span = begin + separator..begin + separator + 1;
            self.error(NO_HEADER, span, "columns are separated by commas", None);
            return false;
        }
        self.count = fields.len();
        for (index, field) in fields.iter().enumerate() {
            let name = field.text.trim();
            let column = COLUMNS.iter().position(|column| *column == name);
            let Some(slot) = column.and_then(|column| self.columns.get_mut(column)) else {
                let help = match nearest(name, COLUMNS) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("the columns are {}", COLUMNS.join(", ")),
                };
                let what = format!("unknown column {name:?}");
                self.error(UNKNOWN_COLUMN, field.span.clone(), &what, Some(&help));
                continue;
            };
            if slot.replace(index).is_some() {
                let what = format!("{name} is given twice");
                self.error(REPEATED_COLUMN, field.span.clone(), &what, None);
            }
        }
        let missing: Vec<&str> = (COLUMNS.iter().zip(&self.columns).take(STRATUM_COLUMN))
            .filter_map(|(name, at)| at.is_none().then_some(*name))
            .collect();
        if !missing.is_empty() {
            let what = format!("missing: {}", missing.join(", "));
            self.error(MISSING_COLUMN, whole, &what, None);
        }
        missing.is_empty()
    }

    fn row(&mut self, line: usize, whole: Range<usize>, fields: &[Field<'_>]) {
        if fields.len() != self.count {
            let what = format!("{} fields, the header has {}", fields.len(), self.count);
            self.error(FIELDS, whole, &what, None);
            return;
        }
        let field = |columns: &[Option<usize>], column: usize| {
            columns.get(column).copied().flatten().and_then(|index| fields.get(index))
        };
        let mut numbers = [None; STRATUM_COLUMN];
        for (column, number) in numbers.iter_mut().enumerate() {
            let least = if column == SECOND { -INTEGER_MAX } else { 0 };
            let most = if column == SECOND { INTEGER_MAX } else { requests_max() };
            let Some(field) = field(&self.columns, column) else { continue };
            *number = self.number(column, field, least..=most);
        }
        let stratum = match field(&self.columns, STRATUM_COLUMN) {
            Some(field) => self.stratum(field),
            None => Some(0),
        };
        let second = numbers.first().copied().flatten();
        let (Some(second), Some(stratum)) = (second, stratum) else { return };
        let place = field(&self.columns, SECOND).map_or(whole, |field| field.span.clone());
        let is_new = self.follows(second, stratum, line, place);
        let [_, canary_n, canary_bad, baseline_n, baseline_bad] = numbers;
        let canary = self.arm(canary_n, canary_bad, field(&self.columns, 2));
        let baseline = self.arm(baseline_n, baseline_bad, field(&self.columns, 4));
        if let (Some(canary), Some(baseline), true) = (canary, baseline, is_new) {
            self.counts.ticks.push(Tick { second, stratum, canary, baseline });
        }
    }

    fn number(
        &mut self,
        column: usize,
        field: &Field<'_>,
        range: std::ops::RangeInclusive<i64>,
    ) -> Option<i64> {
        let name = COLUMNS.get(column).copied().unwrap_or_default();
        let text = field.text.trim_ascii();
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let what = match text {
                "" => format!("{name} is empty"),
                _ => format!("{name} must be a whole number, not {:?}", shortened(text)),
            };
            let help = match column {
                SECOND => "seconds since any beginning, one row for each second",
                _ => "requests counted in this second; 0 where there were none",
            };
            self.error(NUMBER, field.span.clone(), &what, Some(help));
            return None;
        }
        let value = text.parse().ok().filter(|value| range.contains(value));
        if value.is_none() {
            let what = format!("{name} must be from {} to {}", range.start(), range.end());
            self.error(RANGE, field.span.clone(), &what, None);
        }
        value
    }

    /// With strata numbered by their names: the bits of a verdict must not change with the rows'
    /// order within a second.
    fn in_order(self) -> Counts {
        let mut counts = self.counts;
        let mut order = vec![0; self.numbers.len()];
        for (place, number) in (0..).zip(self.numbers.values()) {
            order.get_mut(usize::from(*number)).into_iter().for_each(|order| *order = place);
        }
        for tick in &mut counts.ticks {
            tick.stratum = order.get(usize::from(tick.stratum)).copied().unwrap_or(tick.stratum);
        }
        counts.strata.sort_unstable();
        counts
    }

    fn stratum(&mut self, field: &Field<'_>) -> Option<u16> {
        let name = field.text.trim();
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        let what = if name.is_empty() {
            "stratum is empty".to_owned()
        } else if name.len() > NAME_BYTES_MAX {
            format!("a name of {} bytes; at most {NAME_BYTES_MAX}", name.len())
        } else if name.contains(char::is_control) {
            "a name with control characters".to_owned()
        } else if self.counts.strata.len() == usize::from(Tick::STRATA_MAX) {
            format!("more than {} strata", Tick::STRATA_MAX)
        } else {
            let number = u16::try_from(self.counts.strata.len()).unwrap_or(Tick::STRATA_MAX);
            self.numbers.insert(name.to_owned(), number);
            self.counts.strata.push(name.to_owned());
            return Some(number);
        };
        self.error(STRATUM, field.span.clone(), &what, None);
        None
    }

    /// Whether a row may stand below those above it.
    fn follows(&mut self, second: i64, stratum: u16, line: usize, place: Range<usize>) -> bool {
        match self.last {
            Some(last) if second < last => {
                let what = format!("second {second} stands below second {last}");
                self.error(ORDER, place, &what, Some("sort the rows by second"));
                return false;
            }
            Some(last) if second == last => {}
            _ => self.seen.clear(),
        }
        self.last = Some(second);
        let before = self.seen.insert(stratum, line);
        if let Some(before) = before {
            let what = format!("second {second} stands in line {before} already");
            let help = "rows of one second need different strata, or their sums";
            self.error(REPEATED_ROW, place, &what, Some(help));
        }
        before.is_none()
    }

    fn arm(&mut self, n: Option<i64>, bad: Option<i64>, place: Option<&Field<'_>>) -> Option<Arm> {
        let (n, bad) = (n?, bad?);
        if bad > n {
            let span = place.map_or(0..0, |field| field.span.clone());
            let what = format!("{bad} bad requests of {n}");
            let help = "the count of all requests includes the bad ones";
            self.error(MORE_BAD, span, &what, Some(help));
            return None;
        }
        Some(Arm { n: u64::try_from(n).ok()?, bad: u64::try_from(bad).ok()? })
    }
}

fn requests_max() -> i64 {
    i64::try_from(Tick::REQUESTS_MAX).unwrap_or(INTEGER_MAX)
}

/// The length of the quoted field that a text begins with, or where its quotes go wrong; `None` if
/// the field is not quoted and has no quotes.
fn quoted(rest: &str) -> Option<Result<usize, usize>> {
    if !rest.starts_with('"') {
        let field = rest.split(',').next().unwrap_or_default();
        return field.find('"').map(Err);
    }
    let mut bytes = rest.bytes().enumerate().skip(1).peekable();
    while let Some((at, byte)) = bytes.next() {
        if byte != b'"' {
            continue;
        }
        match bytes.peek() {
            None => return Some(Ok(at + 1)),
            Some((_, b',')) => return Some(Ok(at + 1)),
            Some((_, b'"')) => {
                bytes.next();
            }
            Some((next, _)) => return Some(Err(*next)),
        }
    }
    Some(Err(0))
}

fn unquoted(field: &str) -> Cow<'_, str> {
    match field.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')) {
        Some(inner) if inner.contains('"') => Cow::Owned(inner.replace("\"\"", "\"")),
        Some(inner) => Cow::Borrowed(inner),
        None => Cow::Borrowed(field),
    }
}

/// The beginning of a text for a message.
fn shortened(text: &str) -> String {
    let mut chars = text.chars();
    let head: String = chars.by_ref().take(40).collect();
    if chars.next().is_some() { format!("{head}…") } else { head }
}
