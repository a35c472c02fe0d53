//! Each property of the suite fails on a lock that is broken in just that property.

use std::collections::BTreeSet;
use std::sync::Arc;

use lease_core::Constraints;
use lease_core::conformance::{PROPERTIES, Verdict};

use crate::broken::{Broken, Fault, Field, Shared};
use crate::harness::Memory;

#[test]
fn the_wrapper_alone_breaks_nothing() {
    assert_eq!(violated(Fault::None), BTreeSet::new());
}

#[test]
fn each_fault_violates_just_the_properties_that_are_listed() {
    let mut wrong = Vec::new();
    for (fault, expected) in FAULTS {
        let (found, expected) = (violated(*fault), expected.iter().copied().collect::<BTreeSet<_>>());
        if found != expected {
            wrong.push(format!("{fault:?} violates {found:#?}, and the table says {expected:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_property_is_violated_alone_by_some_fault() {
    let alone: BTreeSet<&str> =
        FAULTS.iter().filter_map(|(_, violated)| if let [only] = violated { Some(*only) } else { None }).collect();
    let all: BTreeSet<&str> = PROPERTIES.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    assert_eq!(alone, all);
}

/// In virtual time and on one thread, so that a fault of interleaving shows in every run.
fn violated(fault: Fault) -> BTreeSet<&'static str> {
    let harness = || {
        let shared = Arc::new(Shared::default());
        Memory::paused(Constraints::FINE, move |lock| Broken::new(lock, fault, shared.clone()))
    };
    let results = lease_core::conformance_checks!(
        harness(),
        [base, delete, tokens, watch, lost_reply, foreign_fields, malformed]
    );
    let mut violated = BTreeSet::new();
    for (name, result) in results {
        match result {
            Ok(verdict) => assert_eq!(verdict, Verdict::Holds, "the store in memory is always there"),
            Err(violation) => {
                // With `--nocapture` a person can judge whether each fails for the right reason.
                println!("{fault:?}: {name}: {violation}");
                assert!(violated.insert(name), "each property is checked once");
            }
        }
    }
    violated
}

/// What each fault violates. Where it is more than one property, no lock can have the fault and violate less.
const FAULTS: &[(Fault, &[&str])] = &[
    (Fault::AbsentReadsAsAnEmptyRecord, &["an_absent_lease_reads_as_none"]),
    (Fault::AbsentIsAnError, &["an_absent_lease_reads_as_none"]),
    (Fault::CreateAnswersWithAnEmptyRecord, &["a_created_record_is_read_back"]),
    (Fault::CreateOverwritesItsOwnHolder, &["a_second_create_conflicts_and_changes_nothing"]),
    (
        Fault::CreateOverwrites,
        &["a_second_create_conflicts_and_changes_nothing", "of_five_creators_one_wins_each_round"],
    ),
    (Fault::CreateChecksBeforeItWrites, &["of_five_creators_one_wins_each_round"]),
    (Fault::UpdateAnswersWithTheOldVersion, &["an_update_at_the_current_version_wins"]),
    (Fault::UpdateComparesOnlyTheLatestTwoVersions, &["a_stale_version_conflicts_and_changes_nothing"]),
    (
        Fault::UpdateComparesNothing,
        &[
            "a_counter_by_compare_and_swap_loses_nothing",
            "a_stale_handle_changes_nothing_in_a_re_created_lease",
            "a_stale_version_conflicts_and_changes_nothing",
            "of_five_racers_one_wins_each_round",
        ],
    ),
    (Fault::UpdateComparesOnlyContent, &["a_stale_handle_changes_nothing_in_a_re_created_lease"]),
    (Fault::UpdateRecreatesADeletedLease, &["an_update_of_a_deleted_lease_writes_nothing"]),
    (
        Fault::UpdateChecksBeforeItWrites,
        &["a_counter_by_compare_and_swap_loses_nothing", "of_five_racers_one_wins_each_round"],
    ),
    (Fault::AnswersGoToTheWrongRacer, &["of_five_racers_one_wins_each_round"]),
    (Fault::ReadsRecordAndVersionApart, &["a_counter_by_compare_and_swap_loses_nothing"]),
    (Fault::UpdateDropsForeignFields, &["foreign_fields_survive_updates"]),
    (Fault::UpdatePutsBackForeignFields, &["a_write_that_missed_a_foreign_change_does_not_undo_it"]),
    (Fault::RenewalKeepsTheVersion, &["a_renewal_always_changes_the_version"]),
    (Fault::DroppedRequestsKeepTheirConnection, &["a_dropped_future_leaves_the_handle_usable"]),
    (Fault::IdentitiesAreCutTo255Bytes, &["identities_round_trip"]),
    (Fault::IdentitiesAreAscii, &["identities_round_trip"]),
    (Fault::MarksAreSplitAtTheFirstSlash, &["identities_round_trip"]),
    (Fault::FractionsOfDurationsAreCut, &["sub_second_durations_round_trip_or_are_refused"]),
    (Fault::FractionsOfDurationsAreCutWhereTheyShouldBeRefused, &["sub_second_durations_round_trip_or_are_refused"]),
    (Fault::Forgets(Field::Acquired), &["every_field_of_a_record_round_trips", "identities_round_trip"]),
    (Fault::Forgets(Field::Released), &["every_field_of_a_record_round_trips"]),
    (Fault::Forgets(Field::Successor), &["every_field_of_a_record_round_trips"]),
    (Fault::Forgets(Field::Request), &["every_field_of_a_record_round_trips"]),
    (Fault::Forgets(Field::RequestDraining), &["every_field_of_a_record_round_trips"]),
    (Fault::Forgets(Field::RequestSuccessor), &["every_field_of_a_record_round_trips"]),
    (Fault::Forgets(Field::Epoch), &["every_field_of_a_record_round_trips"]),
    (Fault::ClearedFieldsStay, &["every_field_of_a_record_round_trips"]),
    (Fault::TransitionsHave16Bits, &["every_field_of_a_record_round_trips"]),
    (Fault::AcquireTimesAreWholeSeconds, &["every_field_of_a_record_round_trips"]),
    (Fault::ReleaseKeepsTheHolder, &["a_released_record_has_no_holder"]),
    (Fault::RenewTimesAreMilliseconds, &["renew_times_a_tick_apart_round_trip"]),
    (
        Fault::NoRevisions,
        &[
            "a_read_shows_the_revision_of_the_write_that_made_the_version",
            "revisions_rise_from_holder_to_holder",
            "revisions_rise_over_deletion_and_re_creation",
            "revisions_rise_with_every_renewal",
        ],
    ),
    (Fault::RenewalKeepsTheRevision, &["revisions_rise_with_every_renewal"]),
    (Fault::TakeoverKeepsTheRevision, &["revisions_rise_from_holder_to_holder"]),
    (Fault::CreationRestartsTheRevision, &["revisions_rise_over_deletion_and_re_creation"]),
    (Fault::ReadsShowTheRevisionOfTheStore, &["a_read_shows_the_revision_of_the_write_that_made_the_version"]),
    (Fault::LostCreateIsUnavailable, &["a_lost_reply_to_a_create_is_unknown_and_a_read_finds_the_write"]),
    (Fault::LostUpdateIsUnavailable, &["a_lost_reply_to_an_update_is_unknown_and_a_read_finds_the_write"]),
    (Fault::LostUpdateIsSentAgain, &["a_lost_reply_to_an_update_is_unknown_and_a_read_finds_the_write"]),
    (Fault::UnreadableReadsAsNone, &["an_unreadable_record_is_malformed_and_can_be_replaced"]),
    (Fault::UnreadableHasNoVersion, &["an_unreadable_record_is_malformed_and_can_be_replaced"]),
    (Fault::WatchEnds, WATCH),
    (Fault::WatchIsMute, WATCH),
    (Fault::WatchStartsInSilence, &["a_starting_watch_tells_the_present_state"]),
    (Fault::WatchSkipsEveryThirdChange, &["a_watch_tells_every_change_or_that_it_lost_some"]),
    (Fault::WatchSkipsDeletions, &["a_watch_tells_a_deletion"]),
];

const WATCH: &[&str] = &[
    "a_starting_watch_tells_the_present_state",
    "a_watch_tells_a_deletion",
    "a_watch_tells_every_change_or_that_it_lost_some",
];
