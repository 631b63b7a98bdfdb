//! Owns what a reader of the feed has read, and what it has missed.

use std::sync::Mutex;

use uuid::Uuid;

use super::*;
use crate::store::ChangeKind;

/// Keeps what it is told.
struct Recorder(ChangeKind, Mutex<Vec<u128>>);

impl Subscriber for Recorder {
    fn hear(&self, change: &Change) {
        if change.concerns(self.0) {
            self.1.lock().unwrap().push(change.subject.as_u128());
        }
    }

    fn forget_everything(&self) {}
}

fn change(id: i64, subject: u128) -> Change {
    let subject = Uuid::from_u128(subject);
    Change {
        id,
        subject,
        kind: None,
        is_unnamed: true,
        effect: None,
        holder: None,
        audience: None,
        scopes: None,
        create_time: Timestamp::from_micros(0),
    }
}

#[test]
fn a_change_is_told_to_those_of_its_kind_and_one_of_no_known_kind_to_everybody() {
    let [users, sessions] =
        [ChangeKind::User, ChangeKind::Session].map(|kind| Arc::new(Recorder(kind, Mutex::default())));
    let subscribers: [Arc<dyn Subscriber>; 2] = [users.clone(), sessions.clone()];
    let kinds = [Some(ChangeKind::User), Some(ChangeKind::Session), Some(ChangeKind::Client), None];
    for (id, kind) in (1..).zip(kinds) {
        let change = Change { kind, ..change(id, id.unsigned_abs().into()) };
        tell(&change, &subscribers);
    }
    assert_eq!(*users.1.lock().unwrap(), [1, 4]);
    assert_eq!(*sessions.1.lock().unwrap(), [2, 4]);
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_reading_begins_before_what_may_yet_come_and_what_may_have_come_since_the_last_one() {
    let late = s(5);
    let mut progress = Progress::from((s(0), 7), 0);
    assert_eq!(progress.begin(), 7);
    for id in [8, 10] {
        assert_eq!(progress.note(&change(id, 1)), Sight::New);
    }
    progress.done(s(1), s(2), 10, late);
    assert_eq!(progress.begin(), 7, "9 may yet come");
    // However long nothing is read: it may have come meanwhile.
    progress.done(s(6), s(60), 10, late);
    assert_eq!(progress.begin(), 7, "9 may have come after this reading had passed it");
    progress.done(s(61), s(61), 10, late);
    assert_eq!(progress.begin(), 10, "had 9 come, this reading would have seen it");
    assert!(progress.heeded.keys().eq([&10]), "nothing is remembered of what is not read again");
    progress.done(s(65), s(65), 12, late);
    progress.done(s(66), s(66), 12, late);
    assert_eq!((progress.begin(), progress.ends.len()), (10, 3), "11 may yet come");
}

#[test]
fn a_change_that_was_read_and_is_gone_tells_that_others_may_have_been_missed() {
    let mut progress = Progress::from((s(0), 0), 0);
    assert!(!progress.has_missed(None, 0) && !progress.has_missed(Some(9), 0), "there was none");
    progress.done(s(1), s(1), 9, Duration::ZERO);
    assert!(!progress.has_missed(Some(9), 0));
    assert!(progress.has_missed(Some(12), 0));
    assert!(progress.has_missed(None, 0), "the feed is another one");
}

#[test]
fn a_change_that_lasts_tells_nothing_of_those_after_it_but_the_mark_does() {
    let mut progress = Progress::from((s(0), 0), 5);
    assert!(!progress.has_missed(Some(9), 5), "that was before anything was remembered");
    assert!(progress.has_missed(Some(9), 6));
    progress.done(s(1), s(1), 9, Duration::ZERO);
    assert!(!progress.has_missed(Some(9), 8) && !progress.has_missed(Some(9), 9));
    assert!(progress.has_missed(Some(9), 10));
    let progress = Progress::from((s(0), 9), 1_000);
    assert!(!progress.has_missed(Some(9), 1_000), "of the database as it was before its ids were lower");
}

#[test]
fn an_id_that_is_given_once_more_tells_that_the_database_is_an_older_one() {
    let mut progress = Progress::from((s(0), 7), 0);
    assert_eq!(progress.note(&change(7, 1)), Sight::SeenBefore, "it was passed before");
    assert_eq!(progress.note(&change(8, 1)), Sight::New);
    assert_eq!(progress.note(&change(8, 1)), Sight::SeenBefore);
    progress.done(s(0), s(0), 8, Duration::ZERO);
    assert_eq!(progress.note(&change(8, 2)), Sight::InAnothersPlace, "also where a reading begins");
    let later = Change { create_time: Timestamp::from_micros(1), ..change(8, 2) };
    assert_eq!(progress.note(&later), Sight::InAnothersPlace, "of the same subject");
}

#[test]
fn where_changes_come_in_order_none_is_read_twice() {
    let mut progress = Progress::from((s(0), 7), 0);
    progress.done(s(0), s(0), 9, Duration::ZERO);
    assert_eq!((progress.begin(), progress.ends.len()), (9, 1));
}
