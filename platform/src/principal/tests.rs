use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hyper::header::HeaderValue;

use super::*;
use crate::disk::RealDisk;

const TOKEN: &str = "0123456789abcdef-one";
const OTHER: &str = "0123456789abcdef-two!";

/// A directory of its own for each test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let mut random = [0; 8];
        getrandom::fill(&mut random).unwrap();
        let name = format!("bellwether-principal-{:016x}", u64::from_ne_bytes(random));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        set_mode(&path, 0o600);
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn scopes(scopes: &[Scope]) -> Scopes {
    scopes.iter().copied().collect()
}

fn known(name: &str, token: &str, scopes: Scopes) -> Known {
    let token = Some(TokenHash::of(token.as_bytes()));
    Known { name: PrincipalName(name.into()), scopes, token }
}

fn spec(name: &str, path: &Path) -> PrincipalSpec {
    let token = TokenSource::File(path.to_owned());
    PrincipalSpec { name: name.to_owned(), token, scopes: scopes(&[Scope::Ingest]) }
}

fn headers(value: &str) -> HeaderMap {
    HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(value).unwrap())])
}

fn bearer(token: &str) -> HeaderMap {
    headers(&format!("Bearer {token}"))
}

fn at(millis: u64) -> Mono {
    Mono(Duration::from_millis(millis))
}

#[test]
fn without_a_token_only_reading_on_loopback_may_be_allowed() {
    use {Anonymous::*, Reach::*};
    for needed in Scope::ALL {
        for reach in [Loopback, Remote] {
            for anonymous in [ReadsOnLoopback, Nothing] {
                let may = (needed, reach, anonymous) == (Scope::Read, Loopback, ReadsOnLoopback);
                let decided = authorize(needed, Credential::Nothing, reach, &[], anonymous);
                let expected =
                    if may { Ok(Caller::Anonymous) } else { Err(Refusal::NoToken(needed)) };
                assert_eq!(decided, expected);
            }
        }
    }
}

#[test]
fn a_token_gives_exactly_its_scopes_wherever_it_comes_from() {
    let all = [
        known("agents", TOKEN, scopes(&[Scope::Ingest])),
        known("root", OTHER, scopes(&[Scope::Admin, Scope::Read])),
    ];
    for reach in [Reach::Loopback, Reach::Remote] {
        for needed in Scope::ALL {
            for principal in &all {
                let credential = Credential::Bearer(principal.token.unwrap());
                let decided =
                    authorize(needed, credential, reach, &all, Anonymous::ReadsOnLoopback);
                let name = principal.name.clone();
                let expected = if principal.scopes.has(needed) {
                    Ok(Caller::Principal(name))
                } else {
                    Err(Refusal::NoScope { name, scope: needed })
                };
                assert_eq!(decided, expected);
            }
        }
    }
}

#[test]
fn a_wrong_token_never_counts_as_none() {
    let wrong = Credential::Bearer(TokenHash::of(b"guess"));
    let agents = [known("agents", TOKEN, scopes(&[Scope::Ingest]))];
    let decide = |credential, known| {
        authorize(Scope::Read, credential, Reach::Loopback, known, Anonymous::ReadsOnLoopback)
    };
    assert_eq!(decide(wrong, &[]), Err(Refusal::UnknownToken));
    assert_eq!(decide(wrong, &agents), Err(Refusal::UnknownToken));
    assert_eq!(decide(Credential::Malformed, &[]), Err(Refusal::Malformed));
    assert_eq!(Refusal::UnknownToken.status(), StatusCode::UNAUTHORIZED);
    let mut gone = agents.clone();
    gone[0].token = None;
    let own = Credential::Bearer(TokenHash::of(TOKEN.as_bytes()));
    assert_eq!(decide(own, &gone), Err(Refusal::UnknownToken));
    let refused = decide(own, &agents).unwrap_err();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert_eq!(refused.to_string(), "the principal agents does not have the scope read");
}

#[test]
fn the_authorization_header_is_read_strictly() {
    let own = Credential::Bearer(TokenHash::of(TOKEN.as_bytes()));
    assert_eq!(Credential::of(&bearer(TOKEN)), own);
    assert_eq!(Credential::of(&headers(&format!("bearer  {TOKEN} "))), own);
    assert_eq!(Credential::of(&HeaderMap::new()), Credential::Nothing);
    for bad in ["", "Bearer", "Bearer ", "Basic 0123456789", TOKEN] {
        assert_eq!(Credential::of(&headers(bad)), Credential::Malformed, "{bad:?}");
    }
    let mut twice = bearer(TOKEN);
    twice.append(AUTHORIZATION, HeaderValue::from_static("Bearer other"));
    assert_eq!(Credential::of(&twice), Credential::Malformed);
    let bare = |token| HeaderMap::from_iter([(TOKEN_HEADER, HeaderValue::from_static(token))]);
    assert_eq!(Credential::of(&bare(TOKEN)), own);
    assert_eq!(Credential::of(&bare("")), Credential::Malformed);
    let mut both = bare(TOKEN);
    both.extend(bearer(TOKEN));
    assert_eq!(Credential::of(&both), Credential::Malformed, "one of them, not both");
}

#[test]
fn hashes_differ_in_any_bit() {
    let hash = TokenHash::of(b"a token");
    assert!(hash.same_as(&TokenHash::of(b"a token")));
    let digits: String = Sha::digits(b"a token");
    assert!(hash.same_as(&format!("sha256:{digits}").parse().unwrap()));
    for place in 0..64 {
        let mut other = digits.clone().into_bytes();
        other[place] = if other[place] == b'0' { b'1' } else { b'0' };
        let other = format!("sha256:{}", String::from_utf8(other).unwrap());
        assert!(!hash.same_as(&other.parse().unwrap()), "digit {place}");
    }
    for bad in [digits.clone(), format!("sha256:{digits}0"), format!("sha256:{}", &digits[1..])] {
        assert_eq!(bad.parse::<TokenHash>(), Err(TokenError::BadHash));
    }
}

struct Sha;

impl Sha {
    fn digits(bytes: &[u8]) -> String {
        use sha2::Digest;
        sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[test]
fn where_an_address_is() {
    for (address, reach) in [
        ("127.0.0.1", Reach::Loopback),
        ("127.9.9.9", Reach::Loopback),
        ("::1", Reach::Loopback),
        ("::ffff:127.0.0.1", Reach::Loopback),
        ("::ffff:10.0.0.1", Reach::Remote),
        ("0.0.0.0", Reach::Remote),
        ("::", Reach::Remote),
        ("192.0.2.1", Reach::Remote),
    ] {
        assert_eq!(Reach::of(address.parse().unwrap()), reach, "{address}");
    }
}

#[test]
fn all_problems_are_reported_at_once_and_show_no_token() {
    let folder = Folder::new();
    let good = folder.file("good", &format!("{TOKEN}\n"));
    let short = folder.file("short", "secret-short");
    let two = folder.file("two", "secret-word-one secret-word-two");
    let open = folder.file("open", "secret-but-everyone-knows");
    set_mode(&open, 0o640);
    let big = folder.file("big", &"secret".repeat(1000));
    let missing = folder.0.join("missing");
    let paths = [&good, &short, &two, &open, &big, &folder.0, &missing];
    let mut specs: Vec<_> = paths.iter().map(|path| spec(&path.to_string_lossy(), path)).collect();
    specs.push(spec("again", &good));
    specs.push(spec("again", &good));
    specs.push(spec("", &good));
    specs.push(PrincipalSpec { scopes: Scopes::default(), ..spec("idle", &folder.0) });
    let errors = Principals::new(specs, Anonymous::Nothing).unwrap_err();
    let name = |path: &Path| path.to_string_lossy().into_owned();
    let token = |path: &Path, error| PrincipalError::Token { name: name(path), error };
    let mode = fs::metadata(&folder.0).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        errors,
        [
            token(&short, TokenError::Malformed(short.clone())),
            token(&two, TokenError::Malformed(two.clone())),
            token(&open, TokenError::OpenToOthers { path: open.clone(), mode: 0o640 }),
            token(&big, TokenError::Malformed(big.clone())),
            token(&folder.0, TokenError::OpenToOthers { path: folder.0.clone(), mode }),
            token(&missing, TokenError::Missing(missing.clone())),
            PrincipalError::SameToken(name(&good), "again".into()),
            PrincipalError::SameName("again".into()),
            PrincipalError::BadName,
            PrincipalError::NoScopes("idle".into()),
            PrincipalError::Token {
                name: "idle".into(),
                error: TokenError::OpenToOthers { path: folder.0.clone(), mode },
            },
        ]
    );
    let shown = errors.iter().map(|error| format!("{error} {error:?}")).collect::<String>();
    assert!(!shown.contains("secret") && !shown.contains(TOKEN));
    assert!(shown.contains("has the mode 640: others may use it; run chmod 600 on it"));
}

#[test]
fn a_token_file_is_followed_at_most_once_a_second() {
    let folder = Folder::new();
    let path = folder.file("token", TOKEN);
    let all = Principals::new(vec![spec("agents", &path)], Anonymous::Nothing).unwrap();
    let may = |token| all.authorize(Scope::Ingest, &bearer(token), Reach::Loopback).is_ok();
    assert!(all.refresh(at(0)).is_empty());
    fs::write(&path, OTHER).unwrap();
    assert!(all.refresh(at(999)).is_empty());
    assert!(may(TOKEN) && !may(OTHER));
    let name = PrincipalName("agents".into());
    let good = TokenChange { name: name.clone(), now: Ok(()) };
    assert_eq!(all.refresh(at(1000)), std::slice::from_ref(&good));
    assert!(may(OTHER) && !may(TOKEN));

    set_mode(&path, 0o644);
    let open = TokenError::OpenToOthers { path: path.clone(), mode: 0o644 };
    assert_eq!(all.refresh(at(2000)), [TokenChange { name: name.clone(), now: Err(open) }]);
    assert!(!may(OTHER));
    assert!(all.refresh(at(3000)).is_empty(), "said once");

    fs::remove_file(&path).unwrap();
    let missing = TokenError::Missing(path.clone());
    assert_eq!(all.refresh(at(4000)), [TokenChange { name, now: Err(missing) }]);
    folder.file("token", TOKEN);
    assert_eq!(all.refresh(at(5000)), [good]);
    assert!(may(TOKEN));
    assert!(all.refresh(at(6000)).is_empty());
}

#[test]
fn nothing_shows_a_token() {
    let folder = Folder::new();
    let path = folder.file("token", TOKEN);
    let all = Principals::new(vec![spec("agents", &path)], Anonymous::Nothing).unwrap();
    let digits = Sha::digits(TOKEN.as_bytes());
    let refused = all.authorize(Scope::Read, &bearer(TOKEN), Reach::Remote).unwrap_err();
    let token = Token::read(&path).unwrap();
    let shown =
        format!("{all:?} {refused:?} {refused} {token:?} {:?}", Credential::of(&bearer(TOKEN)));
    assert!(!shown.contains(TOKEN) && !shown.contains(&digits[..8]), "{shown}");
    assert_eq!(token.expose(), TOKEN);
}

#[test]
fn a_made_token_is_durable_private_and_never_written_over() {
    let folder = Folder::new();
    let path = folder.0.join("token");
    let token = make_token(&RealDisk, &path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(Token::read(&path).unwrap(), token);
    assert_eq!(token.expose().len(), 64);
    assert_eq!(make_token(&RealDisk, &path), Err(TokenError::Exists(path.clone())));
    assert_eq!(Token::read(&path).unwrap(), token);
    assert_ne!(make_token(&RealDisk, &folder.0.join("other")).unwrap(), token);
    let nowhere = folder.0.join("missing").join("token");
    assert_eq!(make_token(&RealDisk, &nowhere), Err(TokenError::Missing(nowhere.clone())));
}
