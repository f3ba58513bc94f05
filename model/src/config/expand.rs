//! `${VAR}` inside texts.

use std::borrow::Cow;

use super::Environment;

/// Replaces `${VAR}` by its value and `$$` by `$`; a `$` before anything else stays.
///
/// # Errors
/// In words: a name that is no name, a brace that is not closed, a variable that is not set.
pub(super) fn expanded<'a>(
    text: &'a str,
    environment: &Environment,
) -> Result<Cow<'a, str>, String> {
    if !text.contains('$') {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('$') {
        out.push_str(plain);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(braced) = after.strip_prefix('{') {
            let (name, after) = braced.split_once('}').ok_or("`${` is not closed")?;
            if !crate::exposition::is_plain_label_name(name) {
                return Err("what stands in `${…}` is not the name of a variable".to_owned());
            }
            let value = environment.get(name);
            out.push_str(
                value.ok_or_else(|| format!("the environment variable `{name}` is not set"))?,
            );
            rest = after;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(Cow::Owned(out))
}
