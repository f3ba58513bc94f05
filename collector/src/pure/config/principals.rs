//! The section `principals`: who calls, by which token, and what they may do.

use std::collections::BTreeMap;

use bellwether_model::config::{Fields, code};
use bellwether_model::diagnostic::Diagnostic;
use bellwether_platform::principal::{
    Anonymous, PrincipalSpec, Scope, Scopes, TokenHash, TokenSource,
};

const NAME_BYTES: usize = 128;
const SCOPES: &str =
    "one of `ingest`, `read`, `silence`, `announce`, `approve`, `rollout`, `hook`, `admin`";

/// The principals, and what callers without a token may do: read on loopback, unless somebody is
/// configured to read.
pub(super) fn describe(fields: &mut Fields<'_>) -> (Vec<PrincipalSpec>, Anonymous) {
    let principals = fields
        .map("principals", "Who calls, by name: a token and what it allows.", |name, item| {
            let is_name = (1..=NAME_BYTES).contains(&name.len());
            if !is_name || name.chars().any(char::is_control) {
                let message = "a principal's name needs 1 to 128 bytes without control characters";
                item.push(Diagnostic::error(code::INVALID, Some(item.place()), message));
            }
            item.fields(principal)
        })
        .or(BTreeMap::new());
    let spec = |(name, (token, scopes))| PrincipalSpec { name, token, scopes };
    let principals: Vec<PrincipalSpec> = principals.into_iter().map(spec).collect();
    let is_guarded = principals.iter().any(|principal| principal.scopes.has(Scope::Read));
    let anonymous = if is_guarded { Anonymous::Nothing } else { Anonymous::ReadsOnLoopback };
    (principals, anonymous)
}

fn principal(f: &mut Fields<'_>) -> (TokenSource, Scopes) {
    let file =
        f.text("token_file", "A file with the token, mode 0600; read again when it changes.");
    let file = file.optional();
    let hash = f
        .text("token_hash", "The token's hash: `sha256:` and 64 hexadecimal digits.")
        .check(|text| match text.parse::<TokenHash>() {
            Ok(_) => Ok(()),
            Err(_) => Err("must be `sha256:` and 64 hexadecimal digits".to_owned()),
        })
        .optional()
        .and_then(|text| text.parse::<TokenHash>().ok());
    let scopes = f
        .list("scopes", "What it may do.", |item| item.parsed::<Scope>(SCOPES))
        .required()
        .into_iter()
        .flatten()
        .collect();
    match (f.has("token_file"), f.has("token_hash")) {
        (true, true) => {
            let message = "`token_file` and `token_hash` exclude each other";
            f.push(Diagnostic::error(code::CONFLICT, f.place_of("token_hash"), message));
        }
        (false, false) => {
            let message = "one of the keys `token_file` and `token_hash` is missing";
            f.push(Diagnostic::error(code::MISSING, Some(f.place()), message));
        }
        _ => {}
    }
    let token = match hash {
        Some(hash) => TokenSource::Hash(hash),
        None => TokenSource::File(file.unwrap_or_default().into()),
    };
    (token, scopes)
}
