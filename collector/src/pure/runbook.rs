//! Runbook pages as plain HTML.
//!
//! The pages are our own Markdown (`rules/packs/runbooks`), of which little is used: headings,
//! paragraphs, lists of one level, code between backticks. Everything else is text and escaped.
//! Names of alerts that have a page are links to it.

use bellwether_rules::packs::{RUNBOOKS, runbook};

const HEAD: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
<meta name=\"viewport\" content=\"width=device-width\">\n<style>body{font:1rem/1.5 sans-serif;\
max-width:46rem;margin:2rem auto;padding:0 1rem}code{background:#eee;padding:0 .2em;\
overflow-wrap:anywhere}@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}\
code{background:#333}a{color:#8bf}}</style>\n";

/// The page of an alert; `None` if there is none.
pub(crate) fn page(alert: &str) -> Option<String> {
    runbook(alert).map(|markdown| rendered(alert, markdown))
}

/// The list of all pages; `missing` is one that was asked for and is not there.
pub(crate) fn index(missing: Option<&str>) -> String {
    let mut out = format!("{HEAD}<title>Runbooks</title>\n<h1>Runbooks</h1>\n");
    if let Some(missing) = missing {
        out.push_str("<p>No alert of the packs is called ");
        code(&mut out, missing);
        out.push_str(". There are:</p>\n");
    }
    out.push_str("<ul>\n");
    for (alert, markdown) in RUNBOOKS {
        let meaning = markdown.split("## Meaning\n\n").nth(1).unwrap_or("");
        let meaning = meaning.split("\n\n").next().unwrap_or("").replace('\n', " ");
        let first = meaning.split_once(". ").map_or(meaning.as_str(), |(first, _)| first);
        out.push_str(&format!("<li><a href=\"{alert}\">{alert}</a>: "));
        inline(&mut out, first.trim_end_matches('.'), "");
        out.push_str("</li>\n");
    }
    out.push_str("</ul>\n</html>\n");
    out
}

/// A block of lines that belong together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    None,
    Paragraph,
    Item,
}

fn rendered(alert: &str, markdown: &str) -> String {
    let mut out = format!("{HEAD}<title>{alert}</title>\n<p><a href=\"./\">Runbooks</a></p>\n");
    let mut block = Block::None;
    let mut text = String::new();
    for line in markdown.lines().chain([""]) {
        let item = line.strip_prefix("- ");
        let heading = line.strip_prefix("## ").map(|title| ("h2", title));
        let heading = heading.or(line.strip_prefix("# ").map(|title| ("h1", title)));
        let goes_on = item.is_none() && heading.is_none() && !line.is_empty();
        if goes_on && block != Block::None {
            text.push(' ');
            text.push_str(line.trim_start());
            continue;
        }
        close(&mut out, block, &text, alert);
        if block == Block::Item && item.is_none() {
            out.push_str("</ul>\n");
        }
        if block != Block::Item && item.is_some() {
            out.push_str("<ul>\n");
        }
        let (next, begun) = match (item, heading) {
            (Some(item), _) => (Block::Item, item),
            (None, Some((tag, title))) => {
                out.push_str(&format!("<{tag}>"));
                escape(&mut out, title);
                out.push_str(&format!("</{tag}>\n"));
                (Block::None, "")
            }
            (None, None) if line.is_empty() => (Block::None, ""),
            (None, None) => (Block::Paragraph, line),
        };
        block = next;
        text = begun.to_owned();
    }
    out.push_str("</html>\n");
    out
}

fn close(out: &mut String, block: Block, text: &str, own: &str) {
    let tag = match block {
        Block::None => return,
        Block::Paragraph => "p",
        Block::Item => "li",
    };
    out.push_str(&format!("<{tag}>"));
    inline(out, text, own);
    out.push_str(&format!("</{tag}>\n"));
}

/// Text with code between backticks and links to other alerts than `own`.
fn inline(out: &mut String, text: &str, own: &str) {
    for (number, part) in text.split('`').enumerate() {
        if number % 2 == 1 {
            code(out, part);
            continue;
        }
        for word in part.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
            let name = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            let rest = word.get(name.len()..).unwrap_or("");
            if name != own && runbook(name).is_some() {
                out.push_str(&format!("<a href=\"{name}\">{name}</a>"));
            } else {
                escape(out, name);
            }
            escape(out, rest);
        }
    }
}

fn code(out: &mut String, text: &str) {
    out.push_str("<code>");
    escape(out, text);
    out.push_str("</code>");
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_becomes_html_and_nothing_of_it_is_markup() {
        let markdown = "# A\n\nOne <b> two\nthree `x > \"y\"`.\n\n## B & C\n\n- first\n  goes on\n\
                        - See HostDown, not HostDowner.\n\nLast\n";
        let html = rendered("A", markdown);
        let body = html.split("</p>\n").skip(1).collect::<Vec<_>>().join("</p>\n");
        assert_eq!(
            body,
            "<h1>A</h1>\n<p>One &lt;b&gt; two three <code>x &gt; &quot;y&quot;</code>.</p>\n\
             <h2>B &amp; C</h2>\n<ul>\n<li>first goes on</li>\n\
             <li>See <a href=\"HostDown\">HostDown</a>, not HostDowner.</li>\n</ul>\n\
             <p>Last</p>\n</html>\n"
        );
    }

    #[test]
    fn every_page_is_rendered_and_listed() {
        let list = index(None);
        for (alert, _) in RUNBOOKS {
            let html = page(alert).unwrap();
            for heading in ["Meaning", "Impact", "Check", "Mend", "When to silence"] {
                assert!(html.contains(&format!("<h2>{heading}</h2>\n")), "{alert}");
            }
            assert_eq!(html.matches("<ul>").count(), html.matches("</ul>").count(), "{alert}");
            assert!(!html.contains('`') && !html.contains("\n- "), "{alert}: {html}");
            let line = format!("<li><a href=\"{alert}\">{alert}</a>: ");
            let shown = list.split(&line).nth(1).unwrap().split('<').next().unwrap();
            assert!(shown.len() > 10, "{alert}: {shown}");
        }
        assert_eq!(page("HostDowner"), None);
        assert!(index(Some("<x>")).contains("<code>&lt;x&gt;</code>"));
        assert!(!list.contains("There are"));
    }
}
