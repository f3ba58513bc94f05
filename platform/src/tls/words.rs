//! Why a handshake failed, in words for whoever has to repair it.

use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

const DAY: u64 = 24 * 3600;
/// Names of a certificate that are shown, and characters of all of them.
const NAMES: usize = 5;
const NAMES_CHARS: usize = 200;

/// A handshake as the client saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handshake<'a> {
    /// The name that the certificate must be for.
    pub(crate) name: &'a str,
    /// The file of the authorities; none: the system's.
    pub(crate) ca: Option<&'a std::path::Path>,
}

/// The reason of a failed handshake; completes the sentence "TLS with HOST failed: …".
pub(crate) fn failed(handshake: Handshake<'_>, error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match tls {
        Some(Error::InvalidCertificate(reason)) => certificate(handshake, reason),
        Some(Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        )) => "the other side does not speak TLS; is it http://?".to_owned(),
        Some(Error::AlertReceived(alert)) => alerted(*alert),
        Some(Error::PeerIncompatible(reason)) => {
            format!("no version or cipher in common ({reason:?})")
        }
        Some(other) => other.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the connection was closed in the middle of the handshake".to_owned()
        }
        None => error.to_string(),
    }
}

fn alerted(alert: AlertDescription) -> String {
    use AlertDescription as A;
    match alert {
        A::CertificateRequired => "the server asks for a client certificate".to_owned(),
        A::BadCertificate | A::UnknownCA | A::CertificateUnknown | A::CertificateExpired => {
            format!("the server does not take the client certificate ({alert:?})")
        }
        A::NoApplicationProtocol => "the server speaks no HTTP there".to_owned(),
        A::ProtocolVersion => "the server speaks neither TLS 1.2 nor 1.3".to_owned(),
        _ => format!("the server broke it off ({alert:?})"),
    }
}

fn certificate(handshake: Handshake<'_>, reason: &CertificateError) -> String {
    use CertificateError as C;
    match reason {
        C::Expired => "its certificate has expired".to_owned(),
        C::ExpiredContext { not_after, .. } => {
            format!("its certificate expired on {}", day(*not_after))
        }
        C::NotValidYet => "its certificate is not valid yet; compare the clocks".to_owned(),
        C::NotValidYetContext { not_before, .. } => {
            format!("its certificate is valid from {} on; compare the clocks", day(*not_before))
        }
        // An authority made anew under its old name has another key.
        C::UnknownIssuer | C::BadSignature => match handshake.ca {
            Some(path) => format!("its certificate is signed by none of {path:?}"),
            None => "its certificate is signed by no authority that this system trusts; \
                     a private one is named with ca_file"
                .to_owned(),
        },
        C::NotValidForName => format!("its certificate is not for {}", handshake.name),
        C::NotValidForNameContext { presented, .. } => {
            format!("its certificate is for {}, not for {}", names(presented), handshake.name)
        }
        other => {
            let text = other.to_string();
            if text.contains("CaUsedAsEndEntity") {
                return "its certificate is that of an authority (CA:TRUE); \
                        a server needs one of its own, signed by it"
                    .to_owned();
            }
            format!("its certificate is not accepted: {text}")
        }
    }
}

/// The first names of a certificate, which anybody may have written.
fn names(presented: &[String]) -> String {
    let shown: Vec<&str> = presented.iter().take(NAMES).map(|name| plain(name)).collect();
    let text = shown.join(", ");
    let text: String = text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
    match text.as_str() {
        "" => "no name".to_owned(),
        _ => text.chars().take(NAMES_CHARS).collect(),
    }
}

/// A name of a certificate without what rustls puts around it: `DnsName("a")` is `a`.
fn plain(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}

/// A day of the Gregorian calendar; reasons name it, not how long ago it was, so that they stay the
/// same text. From days since 1970 by counting in eras of 400 years that begin on 1 March.
fn day(time: UnixTime) -> String {
    const ERA_DAYS: u64 = 146_097;
    let days = time.as_secs() / DAY + 719_468;
    let (era, of_era) = (days / ERA_DAYS, days % ERA_DAYS);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year}-{month:02}-{of_month:02}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_735_689_599, "2024-12-31"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(day(UnixTime::since_unix_epoch(Duration::from_secs(seconds))), expected);
        }
    }
}
