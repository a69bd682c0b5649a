//! Zigzag variable-length integers, as inside records.
//!
//! A 32-bit one has at most 5 bytes, as in Kafka: a longer form of the same number would be accepted here and break a Java
//! consumer later.

/// Appends a zigzag varint.
pub(crate) fn put_i64(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push((rest as u8) | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends a zigzag varint of an int32, which is written the same way.
pub(crate) fn put_i32(out: &mut Vec<u8>, value: i32) {
    put_i64(out, i64::from(value));
}

/// The bytes that [`put_i64`] appends: 1 to 10.
pub(crate) fn len_i64(value: i64) -> usize {
    let zigzag = ((value << 1) ^ (value >> 63)) as u64;
    (64 - (zigzag | 1).leading_zeros() as usize).div_ceil(7)
}

/// A zigzag varint of at most 10 bytes at the front of `bytes`, and its length; `None` when it is cut off or too long.
#[inline]
pub(crate) fn get_i64(bytes: &[u8]) -> Option<(i64, usize)> {
    match *bytes {
        [a, ..] if a < 0x80 => Some((unzigzag(u64::from(a)), 1)),
        [a, b, ..] if b < 0x80 => Some((unzigzag(u64::from(a & 0x7f) | u64::from(b) << 7), 2)),
        _ => get_long(bytes),
    }
}

/// A zigzag varint of at most 5 bytes and 32 bits at the front of `bytes`, and its length; `None` as for [`get_i64`].
#[inline]
pub(crate) fn get_i32(bytes: &[u8]) -> Option<(i32, usize)> {
    let (value, len) = get_i64(bytes)?;
    if len > 5 {
        return None;
    }
    Some((i32::try_from(value).ok()?, len))
}

#[inline(never)]
fn get_long(bytes: &[u8]) -> Option<(i64, usize)> {
    let mut value = 0_u64;
    for (i, &byte) in bytes.iter().take(10).enumerate() {
        if i == 9 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((unzigzag(value), i + 1));
        }
    }
    None
}

#[inline]
fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::{get_i32, get_i64, len_i64, put_i32, put_i64};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trips(value in any::<i64>(), shift in 0_u32..64) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            put_i64(&mut bytes, value);
            prop_assert_eq!(bytes.len(), len_i64(value));
            prop_assert_eq!(get_i64(&bytes), Some((value, bytes.len())));
            prop_assert_eq!(get_i64(&bytes[..bytes.len() - 1]), None);
            prop_assert_eq!(get_i32(&bytes).map(|(value, _)| value), i32::try_from(value).ok());
        }

        #[test]
        fn round_trips_32(value in any::<i32>()) {
            let mut bytes = Vec::new();
            put_i32(&mut bytes, value);
            prop_assert_eq!(get_i32(&bytes), Some((value, bytes.len())));
        }
    }

    #[test]
    fn s05_overlong_is_refused() {
        assert_eq!(get_i64(&[0x80; 11]), None);
        assert_eq!(get_i64(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]), None);
        assert_eq!(get_i64(&[]), None);
        assert_eq!(get_i32(&[0x82, 0x80, 0x80, 0x80, 0x80, 0x00]), None);
        assert_eq!(get_i32(&[0xff, 0xff, 0xff, 0xff, 0x1f]), None);
        assert_eq!(get_i32(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Some((i32::MIN, 5)));
    }
}
