//! LZ4 blocks with a dictionary, by the library that the feature `compression` brings. Without it nothing is packed, and
//! packed segments are refused before they are read.

/// Whether this build can pack and unpack.
pub(super) const IS_BUILT_IN: bool = cfg!(feature = "compression");

/// `bytes` compressed, where that is shorter.
#[cfg(feature = "compression")]
pub(super) fn compress(bytes: &[u8], dictionary: &[u8]) -> Option<Vec<u8>> {
    Some(lz4_flex::block::compress_with_dict(bytes, dictionary)).filter(|packed| packed.len() < bytes.len())
}

/// Fills `out` with what `packed` holds; `None` where it holds something else.
#[cfg(feature = "compression")]
#[inline]
pub(super) fn decompress(packed: &[u8], dictionary: &[u8], out: &mut [u8]) -> Option<()> {
    let length = lz4_flex::block::decompress_into_with_dict(packed, out, dictionary).ok()?;
    (length == out.len()).then_some(())
}

#[cfg(not(feature = "compression"))]
pub(super) fn compress(_bytes: &[u8], _dictionary: &[u8]) -> Option<Vec<u8>> {
    None
}

#[cfg(not(feature = "compression"))]
pub(super) fn decompress(_packed: &[u8], _dictionary: &[u8], _out: &mut [u8]) -> Option<()> {
    None
}
