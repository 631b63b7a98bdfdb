//! Owns what of a call a policy looks at: the method, and whether it is called by GET.

/// A call, as its path tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Called<'a> {
    /// Its path up to the first `?`, byte for byte: which method that is, or none, is for the policy to say.
    pub method: &'a str,
    /// Whether it is called by GET, as Connect does: the query says once that it is Connect's.
    pub by_get: bool,
}

impl<'a> Called<'a> {
    /// What `path` calls, with its query if it has one. Nothing is decoded or normalised.
    #[must_use]
    pub fn of_path(path: &'a str) -> Self {
        let (method, query) = path.split_once('?').unwrap_or((path, ""));
        let mut said = query.split('&').filter(|parameter| parameter.starts_with("connect="));
        Self { method, by_get: said.next() == Some("connect=v1") && said.next().is_none() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_no_part_of_the_method_and_says_what_is_called_by_get() {
        let called = |path| {
            let Called { method, by_get } = Called::of_path(path);
            (method, by_get)
        };
        assert_eq!(called("/s.S/A"), ("/s.S/A", false));
        assert_eq!(called("/s.S/A?x=1?y"), ("/s.S/A", false));
        assert_eq!(called("/s.S/A?encoding=json&connect=v1"), ("/s.S/A", true));
        assert_eq!(called("/s.S/A?xconnect=v1"), ("/s.S/A", false));
        assert_eq!(called("/s.S/A?connect=v1&connect=v1"), ("/s.S/A", false));
    }
}
