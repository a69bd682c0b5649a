use super::{crc32c, crc32c_of_two};
use proptest::prelude::*;

proptest! {
    #[test]
    fn agrees_with_another_implementation(bytes in proptest::collection::vec(any::<u8>(), 0..70_000), cut in any::<prop::sample::Index>()) {
        let expected = ::crc32c::crc32c(&bytes);
        prop_assert_eq!(crc32c(&bytes), expected);
        let cut = cut.index(bytes.len() + 1);
        prop_assert_eq!(crc32c_of_two(&bytes[..cut], &bytes[cut..]), expected);
    }
}
