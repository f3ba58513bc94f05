//! Names of labels in paths, where a name that is no identifier may be written as one: `U__`, then
//! each `_` doubled and each other character as its code between underscores (`a.b` is
//! `U__a_2e_b`). Grafana writes them so.

const PREFIX: &str = "U__";
/// Digits of the greatest code.
const DIGITS: usize = 6;

/// The name that is meant. One that is not escaped, or not well, is as it is.
pub(crate) fn unescaped(name: &str) -> String {
    let decoded = name.strip_prefix(PREFIX).and_then(decode);
    decoded.unwrap_or_else(|| name.to_owned())
}

fn decode(mut rest: &str) -> Option<String> {
    let mut out = String::with_capacity(rest.len());
    while let Some((before, after)) = rest.split_once('_') {
        out.push_str(before);
        let (code, after) = after.split_once('_')?;
        rest = after;
        if code.is_empty() {
            out.push('_');
            continue;
        }
        let is_code = code.len() <= DIGITS && code.bytes().all(|byte| byte.is_ascii_hexdigit());
        let code = u32::from_str_radix(code, 16).ok().filter(|_| is_code)?;
        out.push(char::from_u32(code)?);
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_where_they_are_well_written() {
        for (written, meant) in [
            ("job", "job"),
            ("U__", ""),
            ("U__job", "job"),
            ("U__a_2e_b", "a.b"),
            ("U__a_2E_b__c", "a.b_c"),
            ("U___e9_", "é"),
            ("U__a_1F600_", "a😀"),
            // Not well written.
            ("U__a_", "U__a_"),
            ("U__a_2e", "U__a_2e"),
            ("U__a_xy_", "U__a_xy_"),
            ("U__a_+1_", "U__a_+1_"),
            ("U__a_d800_", "U__a_d800_"),
            ("U__a_1234567_", "U__a_1234567_"),
            ("u__a_2e_b", "u__a_2e_b"),
        ] {
            assert_eq!(unescaped(written), meant, "{written}");
        }
    }
}
