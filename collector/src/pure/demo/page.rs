//! A page as the demo's receiver reads it: Alertmanager's webhook, version "4".

use std::fmt;

use serde::Deserialize;

/// Characters of a text that are shown.
const SHOWN: usize = 160;

/// What a receiver shows of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Whether it is from whom it says.
    pub signature: Signature,
    /// What the page says of its alerts.
    pub status: Status,
    /// The name of the first alert.
    pub alert: String,
    /// What the first alert is about.
    pub summary: String,
    /// Alerts beside it.
    pub more: usize,
}

/// What the signature says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// It is of the receiver's key, and fresh.
    Good,
    /// It is not.
    Bad,
    /// There is none.
    Missing,
}

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Something is wrong.
    Firing,
    /// It is over.
    Resolved,
}

/// A body is no page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPage {
    /// It is not JSON of that form.
    #[error("not a webhook of Alertmanager: {0}")]
    Form(String),
    /// It is of another version.
    #[error("version {0} of the webhook is not known")]
    Version(String),
    /// It tells of nothing.
    #[error("a webhook without alerts")]
    Empty,
}

#[derive(Deserialize)]
struct Body {
    version: String,
    status: Word,
    alerts: Vec<Alert>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Firing,
    Resolved,
}

#[derive(Deserialize)]
struct Alert {
    labels: Labels,
    annotations: Annotations,
}

#[derive(Deserialize)]
struct Labels {
    alertname: String,
}

#[derive(Deserialize)]
struct Annotations {
    #[serde(default)]
    summary: String,
}

impl Page {
    /// Reads a webhook's body.
    ///
    /// # Errors
    /// It is no page.
    pub fn read(body: &[u8], signature: Signature) -> Result<Page, BadPage> {
        let body: Body =
            serde_json::from_slice(body).map_err(|error| BadPage::Form(error.to_string()))?;
        if body.version != "4" {
            return Err(BadPage::Version(body.version));
        }
        let more = body.alerts.len().saturating_sub(1);
        let first = body.alerts.into_iter().next().ok_or(BadPage::Empty)?;
        let status = match body.status {
            Word::Firing => Status::Firing,
            Word::Resolved => Status::Resolved,
        };
        let (alert, summary) = (first.labels.alertname, first.annotations.summary);
        Ok(Page { signature, status, alert, summary, more })
    }
}

/// What is shown of the page; texts are cut, and control characters do not reach a terminal.
impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: &str| -> String {
            text.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
        };
        let status = match self.status {
            Status::Firing => "firing",
            Status::Resolved => "resolved",
        };
        write!(f, "{status} {}: {}", shown(&self.alert), shown(&self.summary))?;
        if self.more > 0 {
            write!(f, " (and {} more)", self.more)?;
        }
        Ok(())
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Signature::Good => "signature good",
            Signature::Bad => "signature bad",
            Signature::Missing => "without a signature",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"receiver":"demo","status":"firing","alerts":[
        {"status":"firing","labels":{"alertname":"DemoBackendDown","instance":"canary"},
         "annotations":{"summary":"canary\u001b[2J fails","runbook_url":"u"},
         "startsAt":"2026-11-25T21:00:00Z","endsAt":"0001-01-01T00:00:00Z",
         "generatorURL":"http://127.0.0.1:1/graph","fingerprint":"00"}],
        "groupLabels":{},"commonLabels":{},"commonAnnotations":{},"externalURL":"http://127.0.0.1:1",
        "version":"4","groupKey":"{}:{}","truncatedAlerts":0}"#;

    #[test]
    fn a_webhook_is_read_and_shown_on_one_line() {
        let page = Page::read(BODY.as_bytes(), Signature::Good).unwrap();
        assert_eq!(page.to_string(), "firing DemoBackendDown: canary[2J fails");
        let more = Page { more: 2, status: Status::Resolved, ..page };
        assert_eq!(more.to_string(), "resolved DemoBackendDown: canary[2J fails (and 2 more)");
        let long = Page { summary: "ä".repeat(1000), more: 0, ..more };
        assert_eq!(long.to_string().chars().count(), "resolved DemoBackendDown: ".len() + SHOWN);
    }

    #[test]
    fn what_is_no_page_is_refused() {
        let read = |text: &str| Page::read(text.as_bytes(), Signature::Good);
        let bad = [
            (BODY.replace("\"4\"", "\"5\""), "version 5 of the webhook is not known"),
            (
                r#"{"version":"4","status":"firing","alerts":[]}"#.to_owned(),
                "a webhook without alerts",
            ),
        ];
        for (text, expected) in bad {
            assert_eq!(read(&text).unwrap_err().to_string(), expected);
        }
        for text in ["", "[]", "{}", r#"{"version":"4","status":"odd","alerts":[]}"#] {
            assert!(matches!(read(text), Err(BadPage::Form(_))), "{text}");
        }
        let deep = "[".repeat(100_000);
        assert!(matches!(read(&deep), Err(BadPage::Form(_))));
    }
}
