//! The two ways vocabularies spell bytes: GPT-2's alphabet of 256 printable characters, and `<0xNN>`.

/// The byte a character of GPT-2's alphabet stands for.
///
/// Printable characters of Latin-1 stand for themselves; the other 68 bytes, in order, for U+0100 onwards.
pub(crate) fn byte(character: char) -> Option<u8> {
    match character as u32 {
        code @ 0..=255 => is_printable(code as u8).then_some(code as u8),
        code @ 256..=323 => Some(UNPRINTABLE[(code - 256) as usize]),
        _ => None,
    }
}

/// The bytes that no character of Latin-1 prints, in order.
const UNPRINTABLE: [u8; 68] = {
    let (mut bytes, mut found, mut byte) = ([0; 68], 0, 0);
    while byte < 256 {
        if !is_printable(byte as u8) {
            bytes[found] = byte as u8;
            found += 1;
        }
        byte += 1;
    }
    bytes
};

/// The byte that `<0xNN>` names, two hexadecimal digits exactly.
pub(crate) fn fallback_byte(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    let hexadecimal = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    hexadecimal.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

const fn is_printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_alphabet_is_a_bijection() {
        let alphabet = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
        let bytes: BTreeSet<u8> = alphabet.into_iter().map(|c| byte(c).unwrap()).collect();
        assert_eq!(bytes.len(), 256);
        assert_eq!((byte('Ġ'), byte('Ċ'), byte('a')), (Some(b' '), Some(b'\n'), Some(b'a')));
        assert_eq!((byte(' '), byte('語')), (None, None));
    }

    #[test]
    fn only_two_hexadecimal_digits_name_a_byte() {
        assert_eq!(fallback_byte("<0x0A>"), Some(10));
        for text in ["<0x-1>", "<0x+1>", "<0xG0>", "<0x100>", "<0x>", "0x10", "<0xé>"] {
            assert_eq!(fallback_byte(text), None, "{text}");
        }
    }
}
