use super::*;
use raft::SnapshotReader;

/// A folder that goes away with its test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("thalweg-format-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Scratch(path)
    }

    fn properties(&self, extra: &str) -> PathBuf {
        let path = self.0.join("server.properties");
        let dirs = format!("{0}/a,{0}/b", self.0.display());
        let text = format!(
            "process.roles=broker,controller\nnode.id=7\nlisteners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093\n\
             controller.listener.names=CONTROLLER\nlog.dirs={dirs}\n{extra}\n"
        );
        std::fs::write(&path, text).expect("writes");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const BOOTSTRAP_SERVERS: &str = "controller.quorum.bootstrap.servers=127.0.0.1:9093";
const CLUSTER: &str = "Mhj_yJaBSUiAD0QCaAw6Gg";

fn args(config: PathBuf) -> FormatArgs {
    FormatArgs {
        cluster_id: CLUSTER.to_owned(),
        config,
        ignore_formatted: false,
        release_version: None,
        feature: Vec::new(),
        standalone: true,
        initial_controllers: None,
        no_initial_controllers: false,
        output: Format::Json,
    }
}

fn sentence(result: Result<(), Failure>) -> String {
    match result {
        Err(Failure::Said(sentence)) => sentence,
        other => format!("{other:?}"),
    }
}

#[test]
fn a_standalone_controller_gets_kafkas_files() {
    let scratch = Scratch::new("standalone");
    run(&args(scratch.properties(BOOTSTRAP_SERVERS))).expect("formats");
    let meta =
        |dir: &str| MetaProperties::load(&RealDisk::new(), &scratch.0.join(dir)).expect("reads").expect("is formatted");
    let (a, b) = (meta("a"), meta("b"));
    assert_eq!((a.cluster_id.as_str(), a.node_id), (CLUSTER, 7));
    assert_ne!(a.directory_id, b.directory_id);
    let path = scratch.0.join("a/__cluster_metadata-0/00000000000000000000-0000000000.checkpoint");
    let snapshot = SnapshotReader::read(&std::fs::read(path).expect("reads")).expect("a snapshot");
    assert_eq!(snapshot.kraft_version, 1);
    let voters = snapshot.voters.expect("a dynamic quorum").voters;
    assert_eq!((voters.len(), voters[0].node.0, Some(voters[0].directory_id)), (1, 7, a.directory_id));
    let (record, _) = MetadataRecord::decode_frame(&snapshot.frames[0]).expect("a record");
    assert!(format!("{record:?}").contains("\"metadata.version\", feature_level: 33"), "{record:?}");
    assert!(!scratch.0.join("b/__cluster_metadata-0").exists());
}

#[test]
fn formatting_twice_needs_to_be_asked_for() {
    let scratch = Scratch::new("twice");
    let config = scratch.properties(BOOTSTRAP_SERVERS);
    run(&args(config.clone())).expect("formats");
    assert!(sentence(run(&args(config.clone()))).contains("is formatted already"));
    run(&FormatArgs { ignore_formatted: true, ..args(config.clone()) }).expect("leaves it");
    let other = "AAAAAAAAQACAAAAAAAAAAQ".to_owned();
    let refused = run(&FormatArgs { ignore_formatted: true, cluster_id: other, ..args(config) });
    assert!(sentence(refused).contains("belongs to cluster"));
}

#[test]
fn the_quorum_options_exclude_what_contradicts_them() {
    let scratch = Scratch::new("options");
    let dynamic = scratch.properties(BOOTSTRAP_SERVERS);
    let none = FormatArgs { standalone: false, ..args(dynamic.clone()) };
    assert!(sentence(run(&none)).contains("one of --standalone"));
    let features =
        |feature: &str, level| FormatArgs { feature: vec![(feature.to_owned(), level)], ..args(dynamic.clone()) };
    assert!(sentence(run(&features("kraft.version", 0))).contains("needs level 1"));
    assert!(sentence(run(&features("nonsense", 3))).contains("not supported"));
    assert!(sentence(run(&features("group.verison", 0))).contains("group.verison=0 is not supported"));
    let both = FormatArgs { release_version: Some("4.0".to_owned()), ..features("metadata.version", 33) };
    assert!(sentence(run(&both)).contains("either"));
    let fixed = scratch.properties("controller.quorum.voters=7@127.0.0.1:9093");
    assert!(sentence(run(&args(fixed.clone()))).contains("controller.quorum.voters is set"));
    run(&FormatArgs { standalone: false, release_version: Some("3.7".to_owned()), ..args(fixed) }).expect("formats");
}
