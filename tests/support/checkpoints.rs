//! Checkpoints taken apart: a header in JSON, followed by numbers.

use xxhash_rust::xxh3::xxh3_128;

/// What comes before the checksum's digits in a header.
const KEY: &[u8] = br#"\"checksum\":\""#;

/// The header and the numbers of a file.
pub fn parts(bytes: &[u8]) -> (String, &[u8]) {
    let (size, rest) = bytes.split_at(8);
    let size = u64::from_le_bytes(size.try_into().unwrap()) as usize;
    let (header, numbers) = rest.split_at(size);
    (String::from_utf8(header.to_vec()).unwrap(), numbers)
}

/// The file of a header and numbers, under whatever checksum the header says.
pub fn joined(header: &str, numbers: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(numbers);
    bytes
}

/// The file with the checksum that it should have.
pub fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let key = bytes.windows(KEY.len()).position(|bytes| bytes == KEY);
    let start = key.unwrap() + KEY.len();
    bytes[start..start + 32].fill(b'0');
    let digits = format!("{:032x}", xxh3_128(&bytes));
    bytes[start..start + 32].copy_from_slice(digits.as_bytes());
    bytes
}
