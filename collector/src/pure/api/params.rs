//! The parameters of a request, from the address and the form.

/// Names and values in order; the form's come first, as in Go's `net/http`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Decodes both texts; broken escapes are kept as they are.
    pub(crate) fn decode(query: &str, form: &[u8]) -> Params {
        let form = form_urlencoded::parse(form);
        let query = form_urlencoded::parse(query.as_bytes());
        Params(form.chain(query).map(|(n, v)| (n.into_owned(), v.into_owned())).collect())
    }

    /// The first value of a name; empty if there is none.
    pub(crate) fn first(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or("")
    }

    /// All values of a name.
    pub(crate) fn all<'s>(&'s self, name: &str) -> impl Iterator<Item = &'s str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_comes_first_and_names_repeat() {
        let params = Params::decode("query=a%20b&match[]=x&match%5B%5D=y", b"query=c+d&limit");
        assert_eq!(params.first("query"), "c d");
        assert_eq!(params.all("query").collect::<Vec<_>>(), ["c d", "a b"]);
        assert_eq!(params.all("match[]").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(params.first("limit"), "");
        assert_eq!(params.first("none"), "");
        assert_eq!(Params::decode("query=%zz%ff", b"").first("query"), "%zz\u{fffd}");
    }
}
