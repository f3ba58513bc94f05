//! Whether an answer is what was expected: blackbox_exporter's tests in its order.

use hyper::header::HeaderMap;

use super::{Answer, Expect, Failure, HeaderMatch, HttpVersion, TlsExpected};

/// The end of an answer's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// It was read whole; empty if nobody looks at it.
    Whole(&'a [u8]),
    /// It belongs to a redirect that is not followed.
    Unread,
    /// It could not be read, for this reason.
    Broken(&'a str),
}

impl Expect {
    /// Whether somebody looks at bodies.
    #[must_use]
    pub fn wants_body(&self) -> bool {
        !self.body_with.is_empty() || !self.body_without.is_empty()
    }

    /// Judges an answer.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn judge(
        &self,
        answer: &Answer,
        headers: &HeaderMap,
        body: Body<'_>,
    ) -> Result<(), Failure> {
        if !self.takes_status(answer.status) {
            return Err(Failure::new(format!("status {}", answer.status)));
        }
        self.judge_headers(headers)?;
        match body {
            Body::Whole(bytes) => self.judge_body(bytes)?,
            Body::Unread if self.wants_body() => self.judge_body(b"")?,
            Body::Unread => {}
            Body::Broken(reason) => return Err(Failure::new(reason)),
        }
        if !self.versions.is_empty() && !self.versions.contains(&answer.version) {
            return Err(Failure::new(format!("answered in HTTP/{}", answer.version)));
        }
        match (self.tls, answer.over_tls) {
            (TlsExpected::Required, false) => Err(Failure::new("answered without TLS")),
            (TlsExpected::Forbidden, true) => Err(Failure::new("answered over TLS")),
            _ => Ok(()),
        }
    }

    fn takes_status(&self, status: u16) -> bool {
        match self.status.as_slice() {
            [] => (200..300).contains(&status),
            ranges => ranges.iter().any(|range| range.contains(&status)),
        }
    }

    fn judge_headers(&self, headers: &HeaderMap) -> Result<(), Failure> {
        for test in &self.header_without {
            if test.found(headers)? == Some(true) {
                let words = format!("header {} matches a pattern that fails", test.name);
                return Err(Failure::by_pattern(words));
            }
        }
        for test in &self.header_with {
            if test.found(headers)? == Some(false) {
                let words = format!("header {} does not match its pattern", test.name);
                return Err(Failure::by_pattern(words));
            }
        }
        Ok(())
    }

    fn judge_body(&self, body: &[u8]) -> Result<(), Failure> {
        if self.body_without.iter().any(|pattern| pattern.is_match(body)) {
            return Err(Failure::by_pattern("the body matches a pattern that fails"));
        }
        if self.body_with.iter().any(|pattern| !pattern.is_match(body)) {
            return Err(Failure::by_pattern("the body does not match a pattern"));
        }
        Ok(())
    }
}

impl HeaderMatch {
    /// Whether one of the header's values matches; `None` if there is none and none needs to be.
    fn found(&self, headers: &HeaderMap) -> Result<Option<bool>, Failure> {
        let mut values = headers.get_all(&self.name).iter().peekable();
        if values.peek().is_none() {
            let words = format!("header {} is missing", self.name);
            return if self.allow_missing { Ok(None) } else { Err(Failure::by_pattern(words)) };
        }
        Ok(Some(values.any(|value| self.pattern.is_match(value.as_bytes()))))
    }
}

impl core::fmt::Display for HttpVersion {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderValue, SERVER, VIA};
    use regex_automata::meta::Regex;

    use super::*;

    fn answer(status: u16) -> Answer {
        Answer {
            status,
            version: HttpVersion(11),
            content_length: None,
            last_modified: None,
            over_tls: false,
        }
    }

    fn words(result: Result<(), Failure>) -> (String, bool) {
        result.map_or_else(|f| (f.words, f.is_by_pattern), |()| ("fine".to_owned(), false))
    }

    fn pattern(text: &str) -> Regex {
        Regex::new(text).unwrap()
    }

    #[test]
    fn statuses_are_right_by_range() {
        let judge = |expect: &Expect, status| {
            let judged = expect.judge(&answer(status), &HeaderMap::new(), Body::Whole(b""));
            words(judged).0
        };
        let plain = Expect::default();
        assert_eq!(judge(&plain, 204), "fine");
        assert_eq!(judge(&plain, 302), "status 302");
        let own = Expect { status: vec![404..=404, 500..=599], ..Expect::default() };
        assert_eq!([200, 404, 503].map(|s| judge(&own, s)), ["status 200", "fine", "fine"]);
    }

    #[test]
    fn patterns_are_of_headers_first_and_then_of_the_body() {
        let mut headers = HeaderMap::new();
        headers.append(VIA, HeaderValue::from_static("1.1 a"));
        headers.append(VIA, HeaderValue::from_static("1.1 b"));
        let on =
            |name, text, allow_missing| HeaderMatch { name, pattern: pattern(text), allow_missing };
        let judge =
            |expect: &Expect, body| words(expect.judge(&answer(200), &headers, Body::Whole(body)));
        let with = |test| Expect { header_with: vec![test], ..Expect::default() };
        let without = |test| Expect { header_without: vec![test], ..Expect::default() };
        assert_eq!(judge(&with(on(VIA, "b$", false)), b"").0, "fine");
        assert!(judge(&with(on(VIA, "c$", false)), b"").1);
        assert_eq!(judge(&with(on(SERVER, "c", true)), b"").0, "fine");
        assert_eq!(judge(&with(on(SERVER, "c", false)), b"").0, "header server is missing");
        assert!(judge(&without(on(VIA, "a$", false)), b"").1);
        assert!(judge(&without(on(SERVER, "c", false)), b"").1);

        let body = Expect {
            body_with: vec![pattern("ok")],
            body_without: vec![pattern("(?i)ERROR")],
            ..Expect::default()
        };
        assert!(body.wants_body() && !Expect::default().wants_body());
        assert_eq!(judge(&body, b"all ok \xff"), ("fine".to_owned(), false));
        assert!(judge(&body, b"ok error").1);
        assert_eq!(judge(&body, b"fine").0, "the body does not match a pattern");
        let status = body.judge(&answer(500), &headers, Body::Whole(b"error"));
        assert_eq!(words(status), ("status 500".to_owned(), false), "nobody looks any further");
        let unread = Expect { status: vec![302..=302], ..body };
        assert!(words(unread.judge(&answer(302), &headers, Body::Unread)).1);
    }

    #[test]
    fn broken_bodies_versions_and_tls_fail_too() {
        let judge =
            |expect: Expect, body| words(expect.judge(&answer(200), &HeaderMap::new(), body)).0;
        assert_eq!(judge(Expect::default(), Body::Broken("cut")), "cut");
        assert_eq!(judge(Expect::default(), Body::Unread), "fine");
        let two = Expect { versions: vec![HttpVersion(20)], ..Expect::default() };
        assert_eq!(judge(two, Body::Whole(b"")), "answered in HTTP/1.1");
        let tls = |tls| Expect { tls, ..Expect::default() };
        assert_eq!(judge(tls(TlsExpected::Forbidden), Body::Whole(b"")), "fine");
        assert_eq!(judge(tls(TlsExpected::Required), Body::Whole(b"")), "answered without TLS");
    }
}
