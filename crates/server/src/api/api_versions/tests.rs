use super::is_software_name;

#[test]
fn software_names_follow_kip_511() {
    for good in ["librdkafka", "apache-kafka-java", "2.0.2", "a"] {
        assert!(is_software_name(good), "{good}");
    }
    for bad in ["", "-a", "a-", "a b", "a\n", "é", ".1"] {
        assert!(!is_software_name(bad), "{bad:?}");
    }
}
