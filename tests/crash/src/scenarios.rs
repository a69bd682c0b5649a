//! Every scenario by name. A new one: a function in the file of its subject, and a row here.

mod storms;

use crate::Options;
use conformance::fault::Fault;
use conformance::rig::Scene;

/// What a scenario is.
pub(crate) type Scenario = fn(&Scene<'_>, &Options) -> Result<(), Fault>;

/// Name and function, in the order in which they run.
pub(crate) const ALL: &[(&str, Scenario)] = &[
    ("power_cuts_under_load_lose_nothing_acked", storms::power_cuts),
    ("kill_9_storms_lose_nothing_acked", storms::kills),
    ("negative_control_a_disk_that_lies_about_syncs_is_noticed", storms::without_syncs),
];
