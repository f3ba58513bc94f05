//! The pattern and the template of `label_replace`.

use bellwether_model::matcher::go_pattern;
use regex_automata::meta::Regex;

/// A pattern that must match a whole value.
pub(super) struct Pattern(Regex);

impl Pattern {
    /// `None` if it is not a pattern of Go's.
    pub(super) fn new(pattern: &str) -> Option<Pattern> {
        let whole = format!("^(?s:{})$", go_pattern(pattern).ok()?);
        Regex::new(&whole).ok().map(Pattern)
    }

    /// The template with the groups of the match put in; `None` if the value does not match.
    ///
    /// `$1`, `$name`, `${1}` and `${name}` stand for groups, `$$` for a dollar; a name reaches as
    /// far as letters, digits and underscores do, and a group that is not there is empty.
    pub(super) fn expand(&self, value: &str, template: &str) -> Option<String> {
        let mut captures = self.0.create_captures();
        self.0.captures(value, &mut captures);
        captures.is_match().then(|| {
            let group = |name: &str| {
                let span = match name.parse::<usize>() {
                    Ok(number) => captures.get_group(number),
                    Err(_) => captures.get_group_by_name(name),
                };
                span.map_or("", |span| &value[span])
            };
            let mut out = String::new();
            let mut rest = template;
            while let Some(dollar) = rest.find('$') {
                out.push_str(&rest[..dollar]);
                rest = &rest[dollar + 1..];
                if let Some(after) = rest.strip_prefix('$') {
                    out.push('$');
                    rest = after;
                    continue;
                }
                let (braced, name_part) = match rest.strip_prefix('{') {
                    Some(inside) => (true, inside),
                    None => (false, rest),
                };
                let in_name = |c: char| c.is_alphanumeric() || c == '_';
                let len = name_part.find(|c| !in_name(c)).unwrap_or(name_part.len());
                let (name, after) = name_part.split_at(len);
                let after = if braced { after.strip_prefix('}') } else { Some(after) };
                match after.filter(|_| !name.is_empty()) {
                    Some(after) => {
                        out.push_str(group(name));
                        rest = after;
                    }
                    None => out.push('$'),
                }
            }
            out + rest
        })
    }
}
