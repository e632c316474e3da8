//! One JSON value on a line, after its CRC: the form of the journal and of segment snapshots.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;

/// `crc32c json\n`.
pub(crate) fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> io::Result<()> {
    let json = serde_json::to_vec(value)?;
    out.extend_from_slice(format!("{:08x} ", crc32c::crc32c(&json)).as_bytes());
    out.extend_from_slice(&json);
    out.push(b'\n');
    Ok(())
}

/// What a line turned out to be.
pub(crate) enum Line<T> {
    Value(T),
    /// The bytes are not those that were written.
    Damaged,
    /// The bytes are as written, but we do not know this value.
    Unknown(String),
}

/// Reads a line without its end.
pub(crate) fn decode<T: DeserializeOwned>(line: &[u8]) -> Line<T> {
    let Some((crc, json)) = line.split_at_checked(9) else { return Line::Damaged };
    let crc = std::str::from_utf8(crc).ok().and_then(|hex| u32::from_str_radix(hex.trim_end(), 16).ok());
    if crc != Some(crc32c::crc32c(json)) {
        return Line::Damaged;
    }
    match serde_json::from_slice(json) {
        Ok(value) => Line::Value(value),
        Err(error) => Line::Unknown(error.to_string()),
    }
}
