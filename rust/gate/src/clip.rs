//! Texts of a stranger's choice, where there is room for so much and no more.

/// The beginning of `text` that has at most `most` bytes, in whole characters.
pub(crate) fn beginning(text: &str, most: usize) -> &str {
    let end = (0..=text.len().min(most))
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or_default();
    &text[..end]
}

/// `text` in at most `most` bytes; an ellipsis stands for what is left out.
pub(crate) fn clip(text: &str, most: usize) -> String {
    const MARK: &str = "…";
    if text.len() <= most {
        return text.to_owned();
    }
    beginning(text, most.saturating_sub(MARK.len())).to_owned() + MARK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_two_characters() {
        for (text, most, cut) in [
            ("äöü", 6, "äöü"),
            ("äöü.", 6, "ä…"),
            ("äöü.", 5, "ä…"),
            ("äöü.", 4, "…"),
            ("", 0, ""),
        ] {
            assert_eq!(clip(text, most), cut, "{text} {most}");
        }
        assert_eq!((beginning("äö", 3), beginning("äö", 4)), ("ä", "äö"));
    }
}
