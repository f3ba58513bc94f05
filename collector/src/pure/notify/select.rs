//! Alerts chosen by people: matchers as Alertmanager's files have them, and `NAME{label=value}`.

use bellwether_model::label::LabelSet;
use bellwether_model::matcher::{MatchOp, Matcher, matches_all};

const ALERT_NAME: &str = "alertname";
/// Matchers of one selector.
const MATCHERS: usize = 64;

/// Chooses alerts by name and labels.
#[derive(Clone, Debug)]
pub struct AlertSelector(Vec<Matcher>);

impl AlertSelector {
    /// Reads `NAME`, `NAME{label=value,…}` or `{label=value,…}`; values may be quoted.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse(text: &str) -> Result<AlertSelector, String> {
        let (name, rest) = match text.split_once('{') {
            Some((name, rest)) => {
                let rest = rest.trim_end().strip_suffix('}');
                (name, rest.ok_or_else(|| format!("`{text}` does not end with a brace"))?)
            }
            None => (text, ""),
        };
        let name = name.trim();
        let named = (!name.is_empty()).then(|| Matcher::new(ALERT_NAME, MatchOp::Equal, name));
        let mut matchers = Vec::new();
        matchers.extend(named.transpose().map_err(|error| error.to_string())?);
        for part in parts(rest) {
            matchers.push(read_matcher(part.trim())?);
        }
        if matchers.is_empty() {
            return Err("name an alert, such as `HostDown` or `HostDown{instance=web1}`".to_owned());
        }
        if matchers.len() > MATCHERS {
            return Err(format!("more than {MATCHERS} matchers"));
        }
        Ok(AlertSelector(matchers))
    }

    /// Whether an alert is meant.
    #[must_use]
    pub fn matches(&self, labels: &LabelSet) -> bool {
        matches_all(&self.0, labels)
    }

    /// Whether alerts of this name can be meant.
    #[must_use]
    pub fn may_name(&self, alert: &str) -> bool {
        self.0.iter().all(|m| m.name() != ALERT_NAME || m.matches(alert))
    }
}

/// Parts between commas that stand in no quotes; empty ones are left out.
fn parts(text: &str) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = text.split(|c: char| {
        let ends = c == ',' && !is_quoted;
        is_quoted ^= c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    });
    parts.filter(|part| !part.trim().is_empty()).collect()
}

/// A label, an operator, and a value with or without quotes.
///
/// # Errors
/// Says what is wrong.
pub fn read_matcher(text: &str) -> Result<Matcher, String> {
    let wrong = || format!("`{text}` is no matcher");
    let at = text.find(['=', '!']).ok_or_else(wrong)?;
    let (name, rest) = text.split_at(at);
    let operators = [
        ("=~", MatchOp::Regex),
        ("!~", MatchOp::NotRegex),
        ("!=", MatchOp::NotEqual),
        ("=", MatchOp::Equal),
    ];
    let found = operators.iter().find_map(|(sign, op)| Some((rest.strip_prefix(sign)?, *op)));
    let (value, op) = found.ok_or_else(wrong)?;
    let (name, value) = (name.trim(), value.trim());
    let value = match value.strip_prefix('"') {
        Some(_) => serde_json::from_str::<String>(value).map_err(|_| wrong())?,
        None if value.contains('"') => return Err(wrong()),
        None => value.to_owned(),
    };
    let is_name = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '"');
    if !is_name {
        return Err(wrong());
    }
    Matcher::new(name, op, &value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_named_with_labels() {
        let labels =
            LabelSet::new([("alertname", "Down"), ("instance", "web1"), ("x", "a,b\"c")]).unwrap();
        for text in [
            "Down",
            "Down{}",
            "Down{instance=web1}",
            "Down {instance=~\"web.*\", x=\"a,b\\\"c\"}",
            "{instance=\"web1\",}",
            "Down{instance!=web2,y=}",
        ] {
            assert!(AlertSelector::parse(text).unwrap().matches(&labels), "{text}");
        }
        for text in ["Up", "Down{instance=web}", "Down{x!~\".*\"}"] {
            assert!(!AlertSelector::parse(text).unwrap().matches(&labels), "{text}");
        }
        for bad in ["", "{}", "Down{", "Down{x}", "Down{x=~\"(\"}", "Down{x=\"a}", "Down{a b=c}"] {
            assert!(AlertSelector::parse(bad).is_err(), "{bad}");
        }
        assert!(AlertSelector::parse("{a=b}").unwrap().may_name("Any"));
        assert!(!AlertSelector::parse("Down{a=b}").unwrap().may_name("Any"));
    }
}
