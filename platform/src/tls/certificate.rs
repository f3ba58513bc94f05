//! What a certificate says (RFC 5280): until when it is valid, whose it is and who signed it. Read
//! from DER; nothing is verified here.
//!
//! Each value is checked against what holds it, nothing is allocated by a declared length, and
//! nothing recurses, so that any bytes can be read.

use bellwether_model::time::{Timestamp, parse};

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;
/// A tag with more bytes to come; certificates have none.
const LONG_TAG: u8 = 0x1f;
/// `id-ce-subjectAltName`, 2.5.29.17.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
/// Names of a certificate that are kept; some name hundreds of hosts.
const NAMES_MAX: usize = 100;

/// A certificate as far as it is of interest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// When it expires, in seconds since 1970.
    pub not_after: i64,
    /// The serial number, its bytes without leading zeros in hexadecimal.
    pub serial: String,
    /// Whose it is, as RFC 2253 writes it.
    pub subject: String,
    /// Who signed it, in the same form.
    pub issuer: String,
    /// The host names that it is for.
    pub names: Vec<String>,
    /// The subject as it stands in the certificate: what the next one names as its issuer.
    subject_der: Vec<u8>,
    issuer_der: Vec<u8>,
}

/// The rest of what is being read.
struct Reader<'a>(&'a [u8]);

impl Certificate {
    /// Reads one; `None` if it is none.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Certificate> {
        let mut certificate = Reader(Reader(der).take(SEQUENCE)?);
        let mut body = Reader(certificate.take(SEQUENCE)?);
        if body.is_next(VERSION) {
            body.take(VERSION)?;
        }
        let serial = body.take(INTEGER)?;
        body.take(SEQUENCE)?;
        let issuer = body.take(SEQUENCE)?;
        let mut validity = Reader(body.take(SEQUENCE)?);
        validity.any()?;
        let (tag, not_after) = validity.any()?;
        let not_after = seconds(tag, not_after)?;
        let subject = body.take(SEQUENCE)?;
        body.take(SEQUENCE)?;
        let mut names = Vec::new();
        while let Some((tag, content)) = body.any() {
            if tag == EXTENSIONS {
                names = alternative_names(content).unwrap_or_default();
            }
        }
        Some(Certificate {
            not_after,
            serial: hexadecimal(serial),
            subject: written(subject)?,
            issuer: written(issuer)?,
            names,
            subject_der: subject.to_vec(),
            issuer_der: issuer.to_vec(),
        })
    }

    /// Whether `other` may have signed this one, by its name.
    #[must_use]
    pub fn is_issued_by(&self, other: &Certificate) -> bool {
        self.issuer_der == other.subject_der
    }
}

impl<'a> Reader<'a> {
    /// The next value, whatever it is, with its tag.
    fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        if tag & LONG_TAG == LONG_TAG {
            return None;
        }
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }

    /// The next value, which must have the tag.
    fn take(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.any().filter(|(tag, _)| *tag == wanted).map(|(_, content)| content)
    }

    fn is_next(&self, tag: u8) -> bool {
        self.0.first() == Some(&tag)
    }
}

/// `YYMMDDhhmmssZ` of the years 1950 to 2049, or `YYYYMMDDhhmmssZ`.
fn seconds(tag: u8, content: &[u8]) -> Option<i64> {
    let text = core::str::from_utf8(content).ok()?;
    let (century, rest) = match tag {
        UTC_TIME => (if text.get(..1)? < "5" { "20" } else { "19" }, text),
        GENERALIZED_TIME => (text.get(..2)?, text.get(2..)?),
        _ => return None,
    };
    let pair = |at: usize| rest.get(at..at + 2);
    let date = format!("{century}{}-{}-{}", pair(0)?, pair(2)?, pair(4)?);
    let time = format!("{}:{}:{}{}", pair(6)?, pair(8)?, pair(10)?, rest.get(12..)?);
    let Timestamp(millis) = parse(&format!("{date}T{time}")).ok()?;
    Some(millis.div_euclid(1000))
}

fn alternative_names(extensions: &[u8]) -> Option<Vec<String>> {
    let mut list = Reader(Reader(extensions).take(SEQUENCE)?);
    while let Some(extension) = list.take(SEQUENCE) {
        let mut extension = Reader(extension);
        if extension.take(OBJECT)? != ALTERNATIVE_NAMES {
            continue;
        }
        let value = loop {
            if let (OCTETS, value) = extension.any()? {
                break value;
            }
        };
        let mut names = Reader(Reader(value).take(SEQUENCE)?);
        let names = std::iter::from_fn(|| names.any()).filter(|(tag, _)| *tag == DNS_NAME);
        let text = names.take(NAMES_MAX).map(|(_, name)| String::from_utf8_lossy(name));
        return Some(text.map(std::borrow::Cow::into_owned).collect());
    }
    None
}

/// Attributes of a name by the last number of their identifier, in the order in which Go writes
/// them, which is what blackbox_exporter shows.
const ATTRIBUTES: [(u8, &str); 9] = [
    (5, "SERIALNUMBER"),
    (3, "CN"),
    (17, "POSTALCODE"),
    (9, "STREET"),
    (8, "ST"),
    (7, "L"),
    (11, "OU"),
    (10, "O"),
    (6, "C"),
];

/// A name as `CN=a,O=b`; values of one attribute joined by `+`, unknown attributes last.
fn written(name: &[u8]) -> Option<String> {
    let mut known: [Vec<String>; ATTRIBUTES.len()] = Default::default();
    let mut unknown = Vec::new();
    let mut name = Reader(name);
    while let Some(set) = name.take(SET) {
        let mut set = Reader(set);
        while let Some(part) = set.take(SEQUENCE) {
            let mut part = Reader(part);
            let kind = part.take(OBJECT)?;
            let (_, value) = part.any()?;
            let last = if let [0x55, 0x04, last] = kind { Some(*last) } else { None };
            let place = ATTRIBUTES.iter().position(|(number, _)| Some(*number) == last);
            match place.and_then(|place| Some((known.get_mut(place)?, ATTRIBUTES.get(place)?))) {
                Some((values, (_, short))) => {
                    values.push(format!("{short}={}", escaped(&String::from_utf8_lossy(value))));
                }
                None => unknown.push(format!("{}=#{}", dotted(kind), hexadecimal(value))),
            }
        }
    }
    unknown.reverse();
    let known = known.iter().filter(|values| !values.is_empty()).map(|values| values.join("+"));
    Some(known.chain(unknown).collect::<Vec<_>>().join(","))
}

/// An identifier as numbers with dots between.
fn dotted(kind: &[u8]) -> String {
    let mut numbers: Vec<u64> = Vec::new();
    let mut number = 0_u64;
    for byte in kind {
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (number / 40).min(2);
                numbers.push(first);
                number -= first * 40;
            }
            numbers.push(std::mem::take(&mut number));
        }
    }
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

/// The characters that RFC 2253 wants escaped.
fn escaped(value: &str) -> String {
    let mut text = String::new();
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        let is_special =
            ",+\"\\<>;".contains(c) || at == 0 && (c == ' ' || c == '#') || at == last && c == ' ';
        if is_special {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

fn hexadecimal(bytes: &[u8]) -> String {
    let from = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    bytes.iter().skip(from).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SerialNumber, date_time_ymd};

    use super::*;

    fn der(end: (i32, u8, u8)) -> Vec<u8> {
        let mut params = CertificateParams::new(["a.example".to_owned(), "b".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "x, y+z ");
        params.distinguished_name.push(DnType::OrganizationName, "An organisation");
        params.distinguished_name.push(DnType::CustomDnType(vec![1, 2, 840, 113_549, 1]), "a!");
        params.serial_number = Some(SerialNumber::from_slice(&[0, 0x1f, 0xe0]));
        params.not_after = date_time_ymd(end.0, end.1, end.2);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_is_read() {
        let certificate = Certificate::read(&der((2031, 2, 3))).unwrap();
        assert_eq!(certificate.not_after, 1_927_843_200);
        assert_eq!(certificate.names, ["a.example", "b"]);
        assert_eq!(certificate.subject, r"CN=x\, y\+z\ ,O=An organisation,1.2.840.113549.1=#6121");
        assert_eq!(certificate.issuer, certificate.subject);
        assert_eq!(certificate.serial, "1fe0");
        assert!(certificate.is_issued_by(&certificate));
        // From 2050 on the year has four digits.
        assert_eq!(Certificate::read(&der((2060, 1, 1))).unwrap().not_after, 2_840_140_800);
        assert_eq!(Certificate::read(&der((1999, 12, 31))).unwrap().not_after, 946_598_400);
    }

    #[test]
    fn no_length_goes_beyond_what_is_there() {
        let der = der((2031, 2, 3));
        for length in 0..der.len() {
            assert_eq!(Certificate::read(&der[..length]), None);
        }
        assert_eq!(Certificate::read(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(Certificate::read(&[0x30, 0x80, 0, 0]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(at in 0..200_usize, byte: u8, bytes: Vec<u8>) {
            prop_assert_eq!(Certificate::read(&bytes), None);
            let mut der = der((2031, 2, 3));
            if let Some(place) = der.get_mut(at) {
                *place = byte;
            }
            let names = Certificate::read(&der).map_or(0, |certificate| certificate.names.len());
            prop_assert!(names <= 2);
        }
    }
}
