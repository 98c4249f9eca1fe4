//! The checksum of a whole file, header and numbers, which is kept in the file's own header.
//!
//! XXH3 with 128 bits: damage goes unseen once in 2¹²⁸, and the disk is slower.

use std::ops::Range;

use xxhash_rust::xxh3::Xxh3;

/// Placeholder for the digits while they are computed.
pub(super) const BLANK: &str = "00000000000000000000000000000000";

/// The text before the digits: a key of a JSON text that is itself a JSON string.
const KEY: &[u8] = br#"\"checksum\":\""#;

/// Writes the checksum in the place reserved for it.
///
/// # Errors
/// If there is no such place.
pub(super) fn seal(bytes: &mut [u8]) -> Result<(), String> {
    let place = place(bytes).ok_or("its header has no place for a checksum")?;
    let digits = digits(bytes, &place);
    bytes[place].copy_from_slice(digits.as_bytes());
    Ok(())
}

/// Whether the checksum in the file is that of the file.
pub(super) fn fits(bytes: &[u8]) -> bool {
    place(bytes).is_some_and(|place| bytes[place.clone()] == *digits(bytes, &place).as_bytes())
}

/// The place of the digits: the first match, as the manifest comes first in a header.
fn place(bytes: &[u8]) -> Option<Range<usize>> {
    let start = bytes.windows(KEY.len()).position(|bytes| bytes == KEY)? + KEY.len();
    let place = start..start + BLANK.len();
    (place.end <= bytes.len()).then_some(place)
}

fn digits(bytes: &[u8], place: &Range<usize>) -> String {
    let mut hash = Xxh3::new();
    hash.update(&bytes[..place.start]);
    hash.update(BLANK.as_bytes());
    hash.update(&bytes[place.end..]);
    format!("{:032x}", hash.digest128())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_shows() {
        let text = format!(r#"12345678{{"relax":"{{\"checksum\":\"{BLANK}\",\"step\":7}}"}}data"#);
        let mut bytes = text.into_bytes();
        assert!(!fits(&bytes));
        seal(&mut bytes).expect("there is a place");
        assert!(fits(&bytes));
        for bit in 0..8 * bytes.len() {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!fits(&bytes), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for length in 0..bytes.len() {
            assert!(!fits(&bytes[..length]), "{length} bytes");
        }
    }
}
