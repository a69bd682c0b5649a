//! Every scenario by name. A new one: a function in the file of its subject, and a row here.

mod admin;
mod attacks;
mod bulk;
mod codecs;
mod commands;
mod crash;
pub(crate) mod differential;
mod disk;
mod durability;
mod exchange;
mod figures;
mod files;
mod group_commands;
mod group_figures;
mod group_tools;
mod groups;
mod handover;
mod limits;
mod mutants;
mod observe;
pub(crate) mod table;

use conformance::fault::Fault;
use conformance::rig::Scene;

/// What a scenario is.
pub(crate) type Scenario = fn(&Scene<'_>) -> Result<(), Fault>;

/// Name and function, in the order in which they run.
pub(crate) const ALL: &[(&str, Scenario)] = &[
    ("codec_none_every_client_reads_every_client", codecs::none),
    ("codec_gzip_every_client_reads_every_client", codecs::gzip),
    ("codec_snappy_every_client_reads_every_client", codecs::snappy),
    ("codec_lz4_every_client_reads_every_client", codecs::lz4),
    ("codec_zstd_every_client_reads_every_client", codecs::zstd),
    ("table_every_row_by_every_client", table::every_row),
    ("mutant_control_an_honest_proxy_passes", mutants::honest),
    ("mutant_wrong_crc_is_caught", mutants::wrong_crc),
    ("mutant_lost_batch_is_caught", mutants::lost_batch),
    ("mutant_doubled_batch_is_caught", mutants::doubled_batch),
    ("mutant_offset_off_by_one_is_caught", mutants::off_by_one),
    ("mutant_wrong_partitioner_hash_is_caught", mutants::wrong_hash),
    ("mutant_stale_generation_is_caught", mutants::stale_generation),
    ("mutant_changed_timestamps_are_caught", mutants::changed_timestamps),
    ("mutant_dropped_headers_are_caught", mutants::dropped_headers),
    ("mutant_records_of_another_partition_are_caught", mutants::foreign_records),
    ("mutant_lost_commit_is_caught", mutants::lost_commit),
    ("mutant_control_idempotent_producers_survive_lost_answers", mutants::lost_answers),
    ("mutant_forgotten_producers_are_caught", mutants::forgotten_producers),
    ("records_keep_keys_headers_nulls_and_timestamps", codecs::rich),
    ("text_through_kcat_keeps_its_sha256", bulk::text_through_kcat),
    ("kill_9_under_load_loses_nothing_acked", crash::kill_9_under_load),
    ("sigterm_under_load_is_a_clean_stop", crash::sigterm_under_load),
    ("acked_topics_survive_kill_9", crash::topics_survive),
    ("dump_log_segments_reads_segments_and_indexes", disk::dump_log_segments),
    ("dump_log_segments_reads_the_metadata_log", disk::dump_metadata_log),
    ("storage_dump_reads_kafkas_files", disk::storage_dump_reads_kafka),
    ("files_of_the_same_workload_are_alike", files::same_workload),
    ("kafka_takes_over_a_data_dir_and_gives_it_back", exchange::kafka_takes_over),
    ("a_data_dir_that_kafka_formatted_is_taken_over", exchange::kafka_formatted),
    ("a_data_dir_that_storage_format_made_is_shared", exchange::storage_format),
    ("kafka_starts_on_what_storage_format_made", exchange::kafka_starts_on_ours),
    ("kafka_takes_over_two_log_dirs_after_kill_9_and_gives_them_back", handover::killed_under_load),
    ("group_members_join_leave_and_die_under_load", groups::join_and_leave),
    ("groups_go_on_after_kill_9_of_the_node", groups::node_killed),
    ("group_members_of_both_protocols_share_one_group", groups::clients_share),
    ("group_members_go_on_when_kafka_takes_over_and_gives_back", groups::brokers_change),
    ("groups_of_500_members_rebalance_and_heartbeat", group_figures::many_members),
    ("groups_of_500_members_of_kip_848_rebalance", group_figures::many_modern_members),
    ("heartbeats_of_1000_groups_of_both_protocols", group_figures::many_groups),
    ("group_members_come_back_and_seek_to_times", groups::come_back),
    ("consumer_offsets_hold_what_kafka_writes", group_tools::records_are_kafkas),
    ("kafka_consumer_groups_tool", group_tools::tool),
    ("every_api_and_version_answers_as_kafka_does", differential::every_api),
    ("kafka_topics_tool", admin::topics),
    ("kafka_configs_tool", admin::configs),
    ("durability_is_described_altered_and_in_force", durability::is_in_force),
    ("kafka_get_offsets_and_delete_records_tools", admin::offsets),
    ("kafka_cluster_tools", admin::cluster),
    ("unsupported_api_versions_is_answered_in_version_0", attacks::frames::api_versions_downgrade),
    ("attack_s01_to_s10_malformed_frames_close_only_their_connection", attacks::frames::malformed_frames),
    ("attack_s03_slow_and_half_open_clients_are_closed", attacks::crowds::s03_slow_clients),
    ("attack_s03_half_sent_giants_have_a_bound", attacks::crowds::s03_half_sent_giants),
    ("attack_s08_requests_that_name_a_million", attacks::floods::s08_giant_requests),
    ("attack_s12_floods_without_reading_are_held_back", attacks::floods::s12_floods_without_reading),
    ("attack_s12_answers_behind_one_that_waits_are_bounded", attacks::floods::s12_answers_behind_one_that_waits),
    ("attack_s12_answers_that_nobody_reads_are_bounded", attacks::floods::s12_answers_of_many_connections),
    ("attack_s13_ten_thousand_connections", attacks::crowds::s13_ten_thousand_connections),
    ("attack_s14_strangers_fill_no_log", attacks::floods::s14_strangers),
    ("attack_s15_names_are_harmless_in_logs", attacks::names::s15_names_in_logs),
    ("attack_s16_compression_bombs", attacks::bombs::s16_bombs),
    ("attack_s16_zstd_windows", attacks::bombs::s16_windows),
    ("attack_s16_bombs_of_one_request_have_one_bound", attacks::bombs::s16_bombs_of_one_request),
    ("attack_s16_look_ups_in_bombs_hold_nobody_up", attacks::bombs::s16_look_ups),
    ("attack_s17_to_s23_records_that_lie_are_refused", attacks::lies::s17_to_s23),
    ("attack_s24_fake_replicas_get_nothing", attacks::impostors::s24_fake_replicas),
    ("attack_s46_names_are_no_paths", attacks::names::s46_names_on_disk),
    ("attack_s47_many_producers_and_groups_cost_little_each", attacks::impostors::s47_many_producers_and_groups),
    ("attack_s48_fetch_sessions", attacks::floods::s48_fetch_sessions),
    ("attack_s49_hostile_scrapers_change_nothing", observe::s49_hostile_scrapers),
    ("fetches_smaller_than_a_batch_make_progress", limits::small_fetches),
    ("a_waiting_fetch_is_answered_by_an_append", limits::waiting_fetch),
    ("a_batch_over_max_message_bytes_is_refused", limits::oversized_batch),
    ("a_flush_of_many_partitions_needs_few_descriptors", limits::descriptors),
    ("idle_connections_are_closed", limits::idle_connections),
    ("connections_over_max_connections_per_ip_are_refused", limits::connections_per_ip),
    ("our_commands_work_against_kafka", commands::against_kafka),
    ("our_commands_work_against_the_node", commands::against_the_node),
    ("demo_verifies_what_it_streams", commands::demo),
    ("a_signal_ends_a_demo_and_its_folder", commands::demo_is_stopped),
    ("each_signal_to_end_is_a_clean_stop", commands::signals),
    ("a_follower_ends_with_its_reader", commands::follower_ends),
    ("pipelined_requests_are_answered_in_order", attacks::frames::pipelining),
    ("metrics_and_health_over_http", observe::metrics_and_health),
    ("metrics_follow_groups", observe::metrics_of_groups),
    ("metrics_tell_of_a_nearly_full_disk", observe::full_log_dirs),
    ("figures_of_start_and_memory", figures::start_and_memory),
];
