//! Which browser asks, so that the page can say first where that one keeps its certificates.

/// A place where certificates are kept, and with it the advice that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guide {
    /// Chrome, Edge and their kin on Windows, which use Windows' store.
    Windows,
    /// Safari, Chrome and Edge on a Mac, which use the keychain.
    Mac,
    /// Chrome, Edge and their kin on Linux and ChromeOS, which have a store of their own.
    Linux,
    /// Firefox on a computer, with a store of its own.
    Firefox,
    /// iPhone and iPad.
    Ios,
    /// Android.
    Android,
}

impl Guide {
    /// All of them, the most common first.
    pub(super) const ALL: [Guide; 6] = [
        Guide::Windows,
        Guide::Mac,
        Guide::Firefox,
        Guide::Linux,
        Guide::Ios,
        Guide::Android,
    ];

    /// The guide for a User-Agent; `None` where it says nothing of use. A wrong guess costs a click, no more.
    pub(super) fn of(user_agent: &str) -> Option<Guide> {
        let has = |text: &str| user_agent.contains(text);
        // Systems first: on a telephone, every browser uses the store of the system.
        if has("iPhone") || has("iPad") || has("iPod") {
            Some(Guide::Ios)
        } else if has("Android") {
            Some(Guide::Android)
        } else if has("Firefox/") {
            Some(Guide::Firefox)
        } else if has("Windows NT") {
            Some(Guide::Windows)
        } else if has("Macintosh") {
            Some(Guide::Mac)
        } else if has("Linux") || has("CrOS") {
            Some(Guide::Linux)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_told_apart() {
        for (user_agent, guide) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
                Some(Guide::Windows),
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36 Edg/156.0.0.0",
                Some(Guide::Windows),
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:153.0) Gecko/20100101 Firefox/153.0",
                Some(Guide::Firefox),
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/20.1 Safari/605.1.15",
                Some(Guide::Mac),
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
                Some(Guide::Mac),
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:153.0) Gecko/20100101 Firefox/153.0",
                Some(Guide::Firefox),
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
                Some(Guide::Linux),
            ),
            (
                "Mozilla/5.0 (X11; CrOS x86_64 16000.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
                Some(Guide::Linux),
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                Some(Guide::Firefox),
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 20_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/20.1 Mobile/15E148 Safari/604.1",
                Some(Guide::Ios),
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 20_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/156.0 Mobile/15E148 Safari/604.1",
                Some(Guide::Ios),
            ),
            (
                "Mozilla/5.0 (Linux; Android 16; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Mobile Safari/537.36",
                Some(Guide::Android),
            ),
            (
                "Mozilla/5.0 (Android 16; Mobile; rv:153.0) Gecko/153.0 Firefox/153.0",
                Some(Guide::Android),
            ),
            ("curl/8.11.0", None),
            ("", None),
        ] {
            assert_eq!(Guide::of(user_agent), guide, "{user_agent}");
        }
    }
}
