//! The target of a forwarded request: the backend's base path, the request's path, its query.

/// Appends the target. `base_path` has no slash at its end; `path` is normalised and loses its first
/// `stripped_segments` segments. Segments are counted rather than compared, since a request may spell them otherwise
/// than the route that it has matched. The query goes through byte for byte.
pub(super) fn join(
    base_path: &str,
    stripped_segments: usize,
    path: &str,
    query: Option<&str>,
    out: &mut Vec<u8>,
) {
    let rest = match path.match_indices('/').nth(stripped_segments) {
        Some((start, _)) => &path[start..],
        None => "",
    };
    if base_path.is_empty() && rest.is_empty() {
        out.push(b'/');
    }
    out.extend_from_slice(base_path.as_bytes());
    out.extend_from_slice(rest.as_bytes());
    if let Some(query) = query {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn joined(base_path: &str, stripped: usize, path: &str, query: Option<&str>) -> String {
        let mut out = Vec::new();
        join(base_path, stripped, path, query, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn slashes_at_the_seams_are_neither_doubled_nor_lost() {
        for (base_path, stripped, path, query, expected) in [
            ("", 0, "/", None, "/"),
            ("", 0, "/a/b", None, "/a/b"),
            ("", 2, "/api/users", None, "/"),
            ("", 2, "/api/users/", None, "/"),
            ("", 2, "/api/users/1", None, "/1"),
            ("/base", 2, "/api/users", None, "/base"),
            ("/base", 2, "/api/users/", Some(""), "/base/?"),
            ("/base", 0, "/x", Some("a=1?b"), "/base/x?a=1?b"),
            ("/base", 0, "/", None, "/base/"),
        ] {
            assert_eq!(joined(base_path, stripped, path, query), expected);
        }
    }

    #[test]
    fn a_segment_is_stripped_however_it_is_spelled() {
        assert_eq!(joined("", 1, "/%40me;x=y/z", None), "/z");
        assert_eq!(joined("", 3, "/a/b", None), "/");
    }

    proptest! {
        #[test]
        fn the_result_is_the_sum_of_its_parts(
            base in prop::collection::vec("[a-z]{1,4}", 0..3),
            stripped in prop::collection::vec("[a-z]{1,4}", 0..3),
            rest in prop::collection::vec("[a-z]{1,4}", 0..4),
            slash in any::<bool>(),
            query in prop::option::of("[!-~]{0,12}"),
        ) {
            let of = |segments: &[String]| segments.iter().map(|segment| format!("/{segment}")).collect::<String>();
            let base_path = of(&base);
            let tail = of(&rest) + if slash { "/" } else { "" };
            let path = match of(&stripped) + &tail {
                path if path.is_empty() => "/".to_owned(),
                path => path,
            };
            let result = joined(&base_path, stripped.len(), &path, query.as_deref());
            let (target, result_query) = result.split_once('?').map_or((&*result, None), |(target, query)| (target, Some(query)));
            prop_assert_eq!(result_query, query.as_deref());
            prop_assert!(target.starts_with('/') && !target.contains("//"));
            let segments: Vec<&str> = target.split('/').filter(|segment| !segment.is_empty()).collect();
            let expected: Vec<&str> = base.iter().chain(&rest).map(String::as_str).collect();
            prop_assert_eq!(segments, expected);
        }
    }
}
