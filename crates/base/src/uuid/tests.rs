use super::Uuid;
use crate::SeededRng;

#[test]
fn text_form_is_kafkas() {
    assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(Uuid::METADATA_TOPIC.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
    // The id of KafkaDocs' own example cluster.
    let id: Uuid = "MkU3OEVBNTcwNTJENDM2Qg".parse().unwrap();
    assert_eq!(id.to_bytes(), *b"2E78EA57052D436B");
    assert_eq!("MkU3OEVBNTcwNTJENDM2Qg==".parse(), Ok(id));
}

#[test]
fn random_ids_round_trip() {
    let mut rng = SeededRng::new(7);
    for _ in 0..1_000 {
        let id = Uuid::random(&mut rng);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(Uuid::from_bytes(id.to_bytes()), id);
        assert!(!id.to_string().starts_with('-'));
    }
}

#[test]
fn bad_text_is_refused() {
    for text in ["", "short", "MkU3OEVBNTcwNTJENDM2Q!", "MkU3OEVBNTcwNTJENDM2QgXX", "ééééééééééé"] {
        assert!(text.parse::<Uuid>().is_err(), "{text}");
    }
}
