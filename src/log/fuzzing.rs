//! Doors for the fuzz targets into the pure code of the log. Not part of the library: built with `--cfg fuzzing` only.

use super::format::{self, Salt};

/// Any bytes as a frame: never a panic; and what is a frame has records that decode or say why not.
pub fn frame(bytes: &[u8]) {
    let salt = Salt::new(0);
    let Ok(header) = format::check_frame(bytes, &salt) else { return };
    let body = bytes.get(format::FRAME_HEADER_LEN..).unwrap_or_default();
    for record in format::records(body, header.records) {
        let Ok((_, _, bytes)) = record else { return };
        let body = bytes.get(format::RECORD_HEADER_LEN..).unwrap_or_default();
        let _ = format::EventBody::decode(body);
        let _ = format::SymbolBody::decode(body);
        let _ = format::KeyframeBody::decode(body);
        let _ = format::RoomBody::decode(body);
    }
}
