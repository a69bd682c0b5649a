//! Every scenario by name. A new one: a function in the file of its subject, and a row here.

mod disks;
mod full;
mod storms;
mod tampering;

use crate::Options;
use conformance::fault::Fault;
use conformance::rig::Scene;

/// What a scenario is.
pub(crate) type Scenario = fn(&Scene<'_>, &Options) -> Result<(), Fault>;

/// Name and function, in the order in which they run.
pub(crate) const ALL: &[(&str, Scenario)] = &[
    ("power_cuts_under_load_lose_nothing_acked", storms::power_cuts),
    ("kill_9_storms_lose_nothing_acked", storms::kills),
    ("a_log_dir_whose_disk_dies_is_offline_and_the_other_goes_on", disks::dead),
    ("a_sync_that_failed_is_never_tried_again", disks::lying),
    ("a_call_that_fails_once_takes_one_log_dir_offline", disks::injected),
    ("a_nearly_full_disk_refuses_producers_and_nothing_else", full::nearly),
    ("a_full_disk_loses_nothing_acked", full::really),
    ("negative_control_a_disk_that_lies_about_syncs_is_noticed", storms::without_syncs),
    ("negative_control_tampering_with_a_log_is_noticed", tampering::is_noticed),
];
