//! Hashes against Kafka's own: testdata/ConsumerVectors.java says how the file was made.

use super::TopicHashes;
use crate::consumer::tests_support::{add_broker, add_topic, image, unescape};
use metadata::MetadataImage;
use std::collections::BTreeSet;

const VECTORS: &str = include_str!("../../../testdata/kafka-consumer.txt");

#[test]
fn hashes_are_those_of_kafka() {
    let mut image = MetadataImage::default();
    let mut is_asked = false;
    let mut count = 0;
    for line in VECTORS.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["broker", id, rack] => {
                if std::mem::take(&mut is_asked) {
                    image = MetadataImage::default();
                }
                add_broker(&mut image, id.parse().expect("an id"), rack.strip_prefix('=').map(unescape));
            }
            ["topic", id, name, replicas] => {
                let replicas: Vec<Vec<i32>> = replicas
                    .split(';')
                    .map(|one| one.split(',').map(|id| id.parse().expect("an id")).collect())
                    .collect();
                add_topic(&mut image, id.parse().expect("an id"), name, &replicas);
            }
            ["hash", names, "=", hash] => {
                let names: BTreeSet<&str> = names.split(',').filter(|name| *name != "-").collect();
                assert_eq!(
                    TopicHashes::default().of_topics(&image, &names).to_string(),
                    hash,
                    "{names:?} of {image:?}"
                );
                (is_asked, count) = (true, count + 1);
            }
            _ => {}
        }
    }
    assert!(count > 200, "{count}");
}

#[test]
fn topics_that_do_not_exist_do_not_count() {
    let image = image(&[("a", 1)]);
    assert_eq!(TopicHashes::default().of_topics(&image, &BTreeSet::from(["b"])), 0);
    assert_eq!(
        TopicHashes::default().of_topics(&image, &BTreeSet::from(["a", "b"])),
        TopicHashes::default().of_topics(&image, &BTreeSet::from(["a"]))
    );
}
