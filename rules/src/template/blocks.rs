//! Blocks of a template that do not pair: the engine takes a text that ends within a block, and
//! stops without a word at an `end` too many.

use super::BadTemplate;

/// Says what does not pair in a text in which something does not.
pub(super) fn unpaired(text: &str) -> BadTemplate {
    let mut open: Vec<(usize, &str)> = Vec::new();
    let mut rest = 0;
    while let Some((at, word, end)) = action(text, rest) {
        rest = end;
        match word {
            "if" | "range" | "with" | "define" | "block" => open.push((at, word)),
            "end" if open.pop().is_none() => return fault(at, "unexpected {{end}}"),
            "else" if open.is_empty() => return fault(at, "unexpected {{else}}"),
            _ => {}
        }
    }
    match open.pop() {
        Some((at, word)) => fault(at, &format!("{{{{{word}}}}} has no {{{{end}}}}")),
        None => BadTemplate { message: "unexpected {{end}}".to_owned(), at: None },
    }
}

fn fault(at: usize, message: &str) -> BadTemplate {
    BadTemplate { message: message.to_owned(), at: Some(at) }
}

/// The next action from a byte on: where it begins, its first word, and where it ends.
fn action(text: &str, from: usize) -> Option<(usize, &str, usize)> {
    let at = from + text.get(from..)?.find("{{")?;
    let inner = at + 2;
    let body = text.get(inner..)?;
    let body = body.strip_prefix("- ").unwrap_or(body).trim_start();
    let begin = text.len() - body.len();
    if body.starts_with("/*") {
        let end = begin + body.find("*/")?;
        return Some((at, "", end));
    }
    let word = body.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or("");
    Some((at, word, begin + end(body)?))
}

/// Where an action's text ends, behind its braces; quotes may hold braces.
fn end(body: &str) -> Option<usize> {
    let mut quote: Option<char> = None;
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match quote {
            _ if escaped => escaped = false,
            Some('"' | '\'') if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None if body.get(at..)?.starts_with("}}") => return Some(at + 2),
            None => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_pair_is_named_with_its_place() {
        for (text, at, message) in [
            ("a{{ end }}", 1, "unexpected {{end}}"),
            ("{{ if 1 }}{{ end }}{{- else }}", 19, "unexpected {{else}}"),
            ("{{ if 1 }}{{ range . }}{{ end }}", 0, "{{if}} has no {{end}}"),
            ("{{ if 1 }}{{- range . -}}", 10, "{{range}} has no {{end}}"),
            ("{{/* {{ end }} */}}{{ with 1 }}", 19, "{{with}} has no {{end}}"),
            (
                "{{ \"{{ end }}\" }}{{ `\"` }}{{ '\\'' }}{{ define \"x\" }}",
                36,
                "{{define}} has no {{end}}",
            ),
        ] {
            assert_eq!(unpaired(text), fault(at, message), "{text}");
        }
    }
}
