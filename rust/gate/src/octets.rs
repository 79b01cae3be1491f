//! Reading the vectors of TLS (RFC 8446 3.4) from bytes that may end anywhere.

/// The next `length` bytes.
pub(crate) fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

/// The next number of `octets` bytes.
pub(crate) fn take_number(rest: &mut &[u8], octets: usize) -> Option<usize> {
    let bytes = take(rest, octets)?.iter();
    Some(bytes.fold(0, |number, octet| number << 8 | usize::from(*octet)))
}

/// What a length of `octets` bytes stands before.
pub(crate) fn take_counted<'a>(rest: &mut &'a [u8], octets: usize) -> Option<&'a [u8]> {
    let length = take_number(rest, octets)?;
    take(rest, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_beyond_the_end() {
        let mut rest = &[0, 2, 7, 8, 9][..];
        assert_eq!(take_counted(&mut rest, 2), Some(&[7, 8][..]));
        assert_eq!(take_counted(&mut rest, 1), None);
        assert_eq!(take_number(&mut &[1, 0][..], 2), Some(256));
        assert_eq!(take_number(&mut &[1][..], 2), None);
    }
}
