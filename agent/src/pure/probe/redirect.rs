//! What is asked after an answer: nothing, or what a redirect names.

use hyper::Method;

use super::url::Url;
use super::{Failure, HttpPlan};

/// Redirects that are followed; one more fails.
pub const REDIRECTS_MAX: u32 = 10;

/// What is to be asked next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// Of what.
    pub url: Url,
    /// How.
    pub method: Method,
    /// Whether the body is sent again.
    pub with_body: bool,
}

/// What follows an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is the last.
    Last,
    /// It is a redirect that is not followed: the last, and its body is not read.
    Stopped,
    /// Another request.
    Next(Next),
}

/// What follows an answer to `asked`; `redirects` counts it if it is a redirect.
///
/// # Errors
/// It redirects to what cannot be asked.
pub fn step(
    plan: &HttpPlan,
    asked: &Next,
    status: u16,
    location: Option<&str>,
    redirects: &mut u32,
) -> Result<Step, Failure> {
    let keeps = match status {
        301..=303 => false,
        307 | 308 => true,
        _ => return Ok(Step::Last),
    };
    let Some(location) = location.filter(|location| !location.is_empty()) else {
        return Ok(Step::Last);
    };
    let url = asked.url.join(location);
    *redirects += 1;
    if !plan.follow_redirects || *redirects > REDIRECTS_MAX {
        return Ok(Step::Stopped);
    }
    let url = url.map_err(|_| Failure::new("redirected to what is no URL of http or https"))?;
    let stays = keeps || asked.method == Method::HEAD || asked.method == Method::GET;
    let method = if stays { asked.method.clone() } else { Method::GET };
    Ok(Step::Next(Next { url, method, with_body: asked.with_body && keeps }))
}

#[cfg(test)]
mod tests {
    use super::super::tests::http;
    use super::*;

    #[test]
    fn redirects_are_followed_as_far_as_they_may() {
        let mut plan = http("http://a/x");
        let asked = Next { url: plan.url.clone(), method: Method::POST, with_body: true };
        let after = |plan: &HttpPlan, status, location, mut redirects| {
            let step = step(plan, &asked, status, location, &mut redirects);
            (
                step.map(|step| match step {
                    Step::Last => "last".to_owned(),
                    Step::Stopped => "stopped".to_owned(),
                    Step::Next(n) => format!("{} {} {}", n.method, n.url, n.with_body),
                }),
                redirects,
            )
        };
        assert_eq!(after(&plan, 200, Some("/y"), 0), (Ok("last".into()), 0));
        assert_eq!(after(&plan, 304, Some("/y"), 0), (Ok("last".into()), 0));
        assert_eq!(after(&plan, 302, None, 0), (Ok("last".into()), 0));
        assert_eq!(after(&plan, 302, Some("/y"), 0), (Ok("GET http://a/y false".into()), 1));
        assert_eq!(after(&plan, 307, Some("/y"), 9), (Ok("POST http://a/y true".into()), 10));
        assert_eq!(after(&plan, 307, Some("/y"), 10), (Ok("stopped".into()), 11));
        assert!(after(&plan, 302, Some("ftp://b"), 0).0.is_err());
        plan.follow_redirects = false;
        assert_eq!(after(&plan, 302, Some("/y"), 0), (Ok("stopped".into()), 1));
    }
}
