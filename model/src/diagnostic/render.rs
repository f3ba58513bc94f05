//! Diagnostics as text for a terminal.

use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{
    AnnotationKind, Level, Origin, Renderer, Snippet, normalize_untrusted_str,
};

use super::{Diagnostic, Diagnostics, Place, Severity, Source, floor_boundary};

/// Columns of the rendering; longer lines are cut around the problem.
const WIDTH: usize = 120;

/// Bytes of an offending line that are shown.
const LINE_BYTES: usize = 4096;

/// A key with one of these in its name holds a secret, unless it names a file.
const SECRET_WORDS: [&str; 8] =
    ["token", "secret", "passw", "credential", "api_key", "apikey", "private_key", "routing_key"];

pub(super) fn render(all: &Diagnostics, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let renderer = Renderer::plain().term_width(WIDTH).decor_style(DecorStyle::Ascii);
    for (i, diagnostic) in all.found.iter().enumerate() {
        if i > 0 {
            f.write_str("\n\n")?;
        }
        render_one(all, diagnostic, &renderer, f)?;
    }
    if all.omitted > 0 {
        write!(f, "\n\nand {} more", all.omitted)?;
    }
    Ok(())
}

fn render_one(
    all: &Diagnostics,
    diagnostic: &Diagnostic,
    renderer: &Renderer,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title =
        level.primary_title(normalize_untrusted_str(&diagnostic.message)).id(diagnostic.code.name);
    let help = diagnostic.help.as_deref().map(normalize_untrusted_str);
    let help = help.map(|help| Level::HELP.message(help));
    let Some(place) = &diagnostic.place else {
        return f.write_str(&renderer.render(&[title.elements(help)]));
    };
    let source = all.sources.iter().find(|source| source.file == place.file);
    let mut group = match source.and_then(|source| shown(source, place, all)) {
        Some((line, span)) => title.element(
            Snippet::source(line)
                .line_start(place.line)
                .annotation(AnnotationKind::Primary.span(span)),
        ),
        None => title.elements(None::<Origin<'_>>),
    };
    if let Some(help) = help {
        group = group.element(help);
    }
    let origin = Origin::path(place.file.as_ref()).line(place.line).char_column(place.column);
    f.write_str(&renderer.render(&[group.element(origin)]))
}

/// The offending line without secrets, and where in it the problem stands.
fn shown(source: &Source, place: &Place, all: &Diagnostics) -> Option<(String, Range<usize>)> {
    let (line, begin) = source.line(place.line);
    let line = line.get(..floor_boundary(line, LINE_BYTES))?;
    let start = place.span.start.checked_sub(begin)?.min(line.len());
    let end = place.span.end.saturating_sub(begin).clamp(start, line.len());
    let mut masked = line.as_bytes().to_vec();
    let secrets = all.secrets.iter().filter(|(file, _)| *file == place.file);
    let spans = secrets.map(|(_, span)| {
        span.start.saturating_sub(begin).min(line.len())
            ..span.end.saturating_sub(begin).min(line.len())
    });
    for span in spans.chain(sounds_secret(line)).chain(user_info(line)) {
        masked.get_mut(span).into_iter().flatten().for_each(|byte| *byte = b'*');
    }
    Some((String::from_utf8(masked).ok()?, start..end))
}

/// What follows the first key that sounds like a secret, to the end of the line.
fn sounds_secret(line: &str) -> Option<Range<usize>> {
    let lower = line.to_ascii_lowercase();
    let found = SECRET_WORDS.iter().flat_map(|word| lower.match_indices(word));
    let values = found.filter_map(|(at, word)| {
        let (key, value) = lower.get(at + word.len()..)?.split_once(':')?;
        let names_file = key.trim_end_matches(['"', '\'', ' ']).ends_with("_file");
        (!names_file).then(|| line.len() - value.trim_start().len())
    });
    values.min().map(|start| start..line.len())
}

/// User and password of an address.
fn user_info(line: &str) -> Option<Range<usize>> {
    let start = line.find("://")? + 3;
    let host = line.get(start..)?.split(['/', ' ', '"', '\'', ',']).next()?;
    host.rfind('@').map(|len| start..start + len)
}
