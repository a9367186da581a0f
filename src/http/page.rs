//! The page for people at `/`: a few files that are part of the program, nothing else.
//!
//! They ask this hive alone (`/events`, `/status`, `/transitions`), by paths relative to their own, so
//! that they work behind a proxy too. The policy they come with lets them load nothing from elsewhere
//! and run nothing that is not here; text from the network cannot become markup.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{
    CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_FRAME_OPTIONS,
};

use super::Answer;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

/// Path, media type, content.
pub(super) type File = (&'static str, &'static str, &'static str);

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const FILES: [File; 10] = [
    ("/", HTML, include_str!("page/index.html")),
    ("/page/style.css", CSS, include_str!("page/style.css")),
    ("/page/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("/page/main.js", SCRIPT, include_str!("page/main.js")),
    ("/page/live.js", SCRIPT, include_str!("page/live.js")),
    ("/page/model.js", SCRIPT, include_str!("page/model.js")),
    ("/page/drawing.js", SCRIPT, include_str!("page/drawing.js")),
    ("/page/details.js", SCRIPT, include_str!("page/details.js")),
    ("/page/charts.js", SCRIPT, include_str!("page/charts.js")),
    ("/page/text.js", SCRIPT, include_str!("page/text.js")),
];

/// The file at this path.
pub(super) fn file(path: &str) -> Option<File> {
    FILES.into_iter().find(|(name, ..)| *name == path)
}

/// The file, and what a browser may do with it.
pub(super) fn answer((_, kind, content): File) -> Answer {
    let mut answer = super::answer(StatusCode::OK, kind, Bytes::from_static(content.as_bytes()));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    for name in ["cross-origin-opener-policy", "cross-origin-resource-policy"] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static("same-origin"));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a page of a healthy hive may weigh, uncompressed.
    const BYTES_MAX: usize = 60 * 1024;

    #[test]
    fn all_files_together_are_small() {
        let bytes: usize = FILES.iter().map(|(.., content)| content.len()).sum();
        assert!(bytes <= BYTES_MAX, "{bytes} bytes");
    }

    #[test]
    fn nothing_is_named_that_is_elsewhere() {
        for (name, _, content) in FILES {
            // The name of the language of drawings is an address that nobody asks.
            let content = content.replace("http://www.w3.org/2000/svg", "");
            for (at, _) in content.match_indices("//") {
                let before = content[..at].chars().next_back();
                let after = content[at + 2..].chars().next();
                let comment = before != Some(':') && after.is_none_or(char::is_whitespace);
                // The address of another hive's page is put together from what this one knows.
                let peer =
                    content[..at + 2].ends_with("`http://") && content[at + 2..].starts_with("${");
                assert!(comment || peer, "{name}: {}", &content[at.saturating_sub(30)..at + 2]);
            }
            for (at, _) in content.match_indices("src=").chain(content.match_indices("href=")) {
                let value = content[at..].split('"').nth(1).unwrap_or_default();
                let own = FILES.iter().any(|(path, ..)| path[1..] == *value);
                let plain = ["status", "metrics", "transitions"].contains(&value);
                assert!(own || plain || value.starts_with('#'), "{name}: {value}");
            }
        }
    }

    /// The policy forbids it all; this says so before a browser does.
    #[test]
    fn no_text_becomes_markup_or_script() {
        for (name, _, content) in FILES {
            for word in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "DOMParser",
                "eval(",
                "new Function",
                "style=",
                "onclick=",
                "onload=",
                "<style",
                "<script>",
            ] {
                assert!(!content.contains(word), "{name} has {word}");
            }
        }
    }

    #[test]
    fn the_policy_allows_nothing_inline_and_nothing_foreign() {
        assert!(POLICY.starts_with("default-src 'none'; "));
        for word in ["unsafe", "http", "*", "data:", "blob:"] {
            assert!(!POLICY.contains(word), "{word}");
        }
        assert!(POLICY.contains("frame-ancestors 'none'"));
    }
}
