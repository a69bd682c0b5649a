//! Expressions against what Kafka's RE2/J makes of them: testdata/ConsumerVectors.java says how the file was made.

use super::{Follows, compile, follow, look_again, re2, resolve, resolve_all};
use crate::consumer::tests_support::{image, unescape};
use crate::consumer::{ConsumerGroup, Member, OwnConfig, ResolvedRegex, Sessions, Step, TopicHashes, records};
use crate::journal::Journal;
use crate::{Activity, Record, Settings};
use base::{ErrorCode, Monotonic, Offset, Timestamp};
use metadata::{MetadataImage, Provenance};
use rsm::{Effects, Now};
use std::collections::BTreeSet;

const VECTORS: &str = include_str!("../../../testdata/kafka-consumer.txt");

fn matched(regex: &str, names: &[&str]) -> Option<String> {
    let compiled = compile(regex).ok()?;
    let found: Vec<&str> = names.iter().copied().filter(|name| compiled.is_match(name)).collect();
    Some(if found.is_empty() { "-none".to_owned() } else { found.join(",") })
}

#[test]
fn expressions_match_what_they_match_in_kafka() {
    let names = VECTORS.lines().find_map(|line| line.strip_prefix("names ")).expect("the names");
    let names: Vec<&str> = names.split(' ').collect();
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in VECTORS.lines().filter_map(|line| line.strip_prefix("regex =")) {
        let (pattern, expected) = line.rsplit_once(" = ").expect("a pattern and names");
        let pattern = unescape(pattern);
        let got = matched(&pattern, &names).unwrap_or_else(|| "-invalid".to_owned());
        if got != expected {
            wrong.push(format!("`{pattern}`: {got}, in Kafka {expected}"));
        }
        count += 1;
    }
    assert!(wrong.is_empty() && count > 100, "{count} expressions; {wrong:#?}");
}

#[test]
fn every_category_and_script_of_re2_is_one_here() {
    for name in re2::CATEGORIES.split(' ').chain(re2::SCRIPTS.split(' ')) {
        for pattern in [format!(r"\p{{{name}}}"), format!(r"[a\P{{{name}}}]")] {
            assert!(compile(&pattern).is_ok(), "{pattern}");
        }
    }
}

/// At every bracket and brace the rest was read to its end: a second of the coordinator's time for one heartbeat.
#[test]
fn a_long_expression_is_read_once() {
    for (repeated, end) in [("[", "]"), ("[[:alpha", "]"), ("(", ""), ("a{", ""), ("a{1", ""), ("(?P<a", "")] {
        let long = format!("{}{end}", repeated.repeat(30_000 / repeated.len()));
        drop(compile(&long));
    }
}

#[test]
fn what_cannot_be_read_is_refused_with_the_pattern_and_no_anchors() {
    for (regex, why) in
        [("a)|(?:b", "unopened group"), ("(", "unclosed group"), ("a**", "invalid nested repetition operator")]
    {
        let refusal = compile(regex).expect_err("it is no expression");
        assert_eq!(refusal.code, ErrorCode::InvalidRegularExpression);
        assert_eq!(
            refusal.message,
            format!("SubscribedTopicRegex `{regex}` is not a valid regular expression: {why}.")
        );
    }
}

#[test]
fn an_expression_that_would_take_much_memory_is_refused() {
    let refusal = compile("((((a{1,100}){1,100}){1,100}){1,100})").expect_err("it is too large");
    assert_eq!(refusal.code, ErrorCode::InvalidRegularExpression);
}

#[test]
fn no_pattern_breaks_the_translation() {
    let mut rng = base::SeededRng::new(848);
    let alphabet: Vec<char> = r"ab\QEpx[]^-:{}(),12?*+|.$&~wWdDé😀".chars().collect();
    for _ in 0..20_000 {
        let length = rng.below(12);
        let pattern: String =
            (0..length).map(|_| alphabet[usize::try_from(rng.below(alphabet.len() as u64)).expect("small")]).collect();
        let _ = matched(&pattern, &["a", "ab"]);
    }
}

#[test]
fn an_expression_stands_for_whole_names_of_the_topics_that_exist() {
    let image = image(&[("foo", 1), ("foo.bar", 1), ("xfoo", 1)]);
    let now = Now { mono: Monotonic(1), wall: Timestamp(77) };
    let resolved = resolve("foo.*", &image, now).expect("it is valid");
    let topics: BTreeSet<String> = ["foo", "foo.bar"].map(str::to_owned).into();
    assert_eq!((resolved.topics, resolved.timestamp), (topics, 77));
}

fn at(wall_ms: i64) -> Now {
    Now { mono: Monotonic(1), wall: Timestamp(wall_ms) }
}

fn subscribed(regex: &str) -> Member {
    Member { topic_regex: Some(regex.to_owned()), ..Member::default() }
}

/// A group whose members subscribe by expressions, and the topics.
struct Play {
    group: ConsumerGroup,
    sessions: Sessions,
    image: MetadataImage,
    new_topics_at: i64,
    hashes: TopicHashes,
    journal: Journal,
    activity: Activity,
    settings: Settings,
}

/// What came of a heartbeat.
struct Said {
    follows: Follows,
    records: Vec<Record>,
    /// The records of looking all expressions up, when that was asked for.
    resolved: Option<Vec<Record>>,
}

impl Play {
    fn new() -> Self {
        Self {
            group: ConsumerGroup::default(),
            sessions: Sessions::default(),
            image: image(&[("foo", 1)]),
            new_topics_at: 0,
            hashes: TopicHashes::default(),
            journal: Journal::default(),
            activity: Activity::default(),
            settings: Settings::default(),
        }
    }

    fn step<T>(
        &mut self,
        wall_ms: i64,
        act: impl FnOnce(&mut ConsumerGroup, &mut Sessions, &mut Step<'_>) -> T,
    ) -> (T, Vec<Record>) {
        let mut effects = Effects::default();
        let mut step = Step {
            id: "g".into(),
            now: at(wall_ms),
            settings: &self.settings,
            image: &self.image,
            own: OwnConfig::default(),
            hashes: &mut self.hashes,
            new_topics_at: self.new_topics_at,
            journal: &mut self.journal,
            activity: &mut self.activity,
            effects: &mut effects,
        };
        let said = act(&mut self.group, &mut self.sessions, &mut step);
        (said, effects.records().cloned().collect())
    }

    /// A heartbeat of `id` that says `regex`, and then what it asked for.
    fn say(&mut self, id: &str, regex: &str, wall_ms: i64) -> Said {
        let (old, new) = (self.group.members().get(id).cloned().unwrap_or_default(), subscribed(regex));
        self.group.apply(&records::member("g", id, &new));
        let (follows, records) = self.step(wall_ms, |group, sessions, step| {
            let follows = follow(group, step, old.regex(), new.regex());
            look_again(group, sessions, step, follows == Follows::Unresolved);
            follows
        });
        let resolved = std::mem::take(&mut self.sessions.must_resolve).then(|| self.step(wall_ms, resolve_all).1);
        Said { follows, records, resolved }
    }

    fn add_topic(&mut self, name: &str) {
        self.new_topics_at += 1;
        let id = base::Uuid(1_000 + u128::from(self.new_topics_at.unsigned_abs()));
        crate::consumer::tests_support::add_topic(&mut self.image, id, name, &[vec![1]]);
        let offset = Offset(self.new_topics_at);
        self.image.set_provenance(Provenance { offset, ..self.image.provenance() });
    }

    fn topics(&self, regex: &str) -> Vec<&str> {
        self.group.regexes[regex].topics.iter().map(String::as_str).collect()
    }
}

#[test]
fn the_first_subscriber_resolves_and_the_last_one_takes_the_expression_along() {
    let mut play = Play::new();
    let said = play.say("m1", "foo.*", 0);
    assert_eq!((said.follows, said.records.len()), (Follows::Unresolved, 0));
    let resolved = said.resolved.expect("it is looked up at once");
    assert!(matches!(&resolved[..], [Record::ConsumerRegex(..), Record::Consumer(..)]), "{resolved:?}");
    assert_eq!(play.topics("foo.*"), ["foo"]);
    let said = play.say("m2", "foo.*", 1);
    assert!(said.follows == Follows::Resolved && said.records.is_empty() && said.resolved.is_none());
    let said = play.say("m1", "", 2);
    assert!(said.follows == Follows::Resolved && said.records.is_empty(), "m2 still subscribes to it");
    let said = play.say("m2", "bar.*", 3);
    assert!(matches!(&said.records[..], [Record::ConsumerRegex(_, None)]), "{:?}", said.records);
    let resolved = said.resolved.expect("it is a new one");
    assert!(matches!(&resolved[..], [Record::ConsumerRegex(_, Some(_)), Record::Consumer(..)]), "{resolved:?}");
    assert_eq!(play.group.regexes.keys().collect::<Vec<_>>(), ["bar.*"]);
}

#[test]
fn new_topics_are_found_ten_seconds_after_the_last_look_and_looked_for_once() {
    let mut play = Play::new();
    play.say("m1", "foo.*", 0);
    play.add_topic("foo.bar");
    assert!(play.say("m1", "foo.*", 10_000).resolved.is_none(), "too early");
    let epoch = play.group.epoch();
    let said = play.say("m1", "foo.*", 10_001);
    assert!(said.follows == Follows::Same && said.resolved.is_some_and(|records| records.len() == 2));
    assert_eq!((play.topics("foo.*"), play.group.epoch()), (vec!["foo", "foo.bar"], epoch + 1));
    play.add_topic("other");
    let said = play.say("m1", "foo.*", 30_000);
    assert!(said.resolved.is_some_and(|records| records.len() == 1), "it says that it looked");
    for wall_ms in [40_001, 60_000, 500_000] {
        assert!(play.say("m1", "foo.*", wall_ms).resolved.is_none(), "nothing is new at {wall_ms}");
    }
    let said = play.say("m1", "foo.*", 630_001);
    assert!(said.resolved.is_some_and(|records| records.len() == 1), "the refresh interval has passed");
    assert_eq!(play.group.epoch(), epoch + 1);
}

#[test]
fn an_expression_that_comes_too_soon_after_a_look_waits_and_is_not_forgotten() {
    let mut play = Play::new();
    play.say("m1", "foo.*", 0);
    let said = play.say("m2", "f.*", 5_000);
    assert!(said.follows == Follows::Unresolved && said.resolved.is_none());
    assert!(play.say("m3", "f.*", 5_001).follows == Follows::Other, "nobody knows yet what it stands for");
    assert!(play.say("m1", "foo.*", 10_001).resolved.is_some());
    assert_eq!(play.topics("f.*"), ["foo"]);
}

#[test]
fn an_expression_that_only_kafka_can_read_stops_no_other_member() {
    let mut play = Play::new();
    play.group.apply(&records::member("g", "m1", &subscribed("((((a{1,100}){1,100}){1,100}){1,100})")));
    play.say("m2", "foo.*", 0);
    assert_eq!(play.topics("foo.*"), ["foo"]);
    assert_eq!(play.topics("((((a{1,100}){1,100}){1,100}){1,100})"), [""; 0]);
}

#[test]
fn what_a_kafka_resolved_is_kept_until_it_is_due() {
    let mut play = Play::new();
    play.group.apply(&records::member("g", "m1", &subscribed("f.*")));
    let resolved = ResolvedRegex { topics: ["foo", "gone"].map(str::to_owned).into(), version: 5, timestamp: 100 };
    play.group.apply(&records::regex("g", "f.*", &resolved));
    let said = play.say("m1", "f.*", 20_000);
    assert!(said.follows == Follows::Same && said.resolved.is_none());
    assert!(play.group.is_subscribed_to("gone"));
}
