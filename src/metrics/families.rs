//! Owns what each family of series is called, which labels it has and what it means: what is served and the table of docs/METRICS.md are
//! made of it.

/// What the values of a family are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They grow.
    Counter,
    /// They are of this moment.
    Gauge,
    /// How many there were below each bound.
    Histogram,
}

/// The series of one name.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [Label],
    /// A sentence, which is served with it (`# HELP`).
    pub help: &'static str,
    /// What the document says besides, in Markdown.
    pub more: &'static str,
}

/// A label: its name, and what the document says of its values, in Markdown, unless that is plain.
#[derive(Clone, Copy, Debug)]
pub struct Label(pub &'static str, pub &'static str);

impl Kind {
    /// Its name in the text format.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Family {
    /// The names of its labels.
    #[must_use]
    pub fn label_names(&self) -> Vec<&'static str> {
        self.labels.iter().map(|Label(name, _)| *name).collect()
    }
}

/// A constant for each family, and all of them in the order of the document.
macro_rules! families {
    ($($constant:ident: $kind:ident $name:literal [$($label:literal: $values:literal),*] $help:literal $more:literal;)+) => {
        $(
            #[doc = $help]
            pub const $constant: Family = Family {
                name: $name,
                kind: Kind::$kind,
                labels: &[$(Label($label, $values)),*],
                help: $help,
                more: $more,
            };
        )+

        /// Every family.
        pub const ALL: &[Family] = &[$($constant),+];
    };
}

families! {
    CALLS_STARTED: Counter "grpc_server_started_total" ["grpc_type": "", "grpc_service": "", "grpc_method": ""]
        "Calls that have begun."
        "";
    CALLS_HANDLED: Counter "grpc_server_handled_total" ["grpc_type": "", "grpc_service": "", "grpc_method": "", "grpc_code": ""]
        "Calls that have ended, by the code that the client got."
        "`Canceled` if it did not wait";
    CALL_SECONDS: Histogram "grpc_server_handling_seconds" ["grpc_type": "", "grpc_service": "", "grpc_method": ""]
        "How long calls took, to the end of the answer."
        "A method has its series from its first call on";
    CALLS_IN_FLIGHT: Gauge "signet_grpc_calls_in_flight" []
        "Calls that have begun and not ended."
        "Watchers of health are among them";
    HTTP_REQUESTS: Counter "signet_http_requests_total" ["route": "", "status": ""]
        "Requests by HTTP that were answered, by route and status."
        "Those of operators are among them";
    HTTP_SECONDS: Histogram "signet_http_request_seconds" ["route": ""]
        "How long requests by HTTP took, until their answer began."
        "";
    ERRORS: Counter "signet_errors_total" ["reason": "as in [ERRORS.md](ERRORS.md), or `none`"]
        "Calls by gRPC and requests by HTTP that were refused or failed, by the reason that the client was told."
        "`none`: it was told none, since it did not wait, what it asked for is not served, or a probe was answered that all is not well; and requests to the OAuth endpoints while the service ends";
    CONNECTIONS_OPEN: Gauge "signet_connections_open"
        ["listener": "`grpc`, `http`, and, if they have an address, `operations`, `admin` and `ext_authz`"]
        "Connections that are open."
        "";
    CONNECTIONS_ACCEPTED: Counter "signet_connections_accepted_total" ["listener": ""]
        "Connections that were accepted."
        "";
    CONNECTIONS_REFUSED: Counter "signet_connections_refused_total" ["listener": "", "reason": "`peer`, `listener`"]
        "Connections that were closed at once."
        "`peer`: theirs had `--max-connections-per-peer`; `listener`: there were `--max-connections`, and none was idle";
    CONNECTIONS_ENDED_EARLY: Counter "signet_connections_ended_early_total" ["listener": "", "reason": "`idle`, `frames`, `unread`"]
        "Connections that this service ended before their time."
        "`idle`: no call of it went on, or none that had to be waited for, when places ran short, or at the address of the admin API when its peer had as many as it may; `frames`: more frames than its calls are worth; `unread`: the client did not read its answers";
    PLACES_TAKEN: Gauge "signet_places_taken" ["listener": "", "lane": ""]
        "Places that calls have taken; in the lane named bytes, bytes."
        "See [lanes](#lanes)";
    PLACES: Gauge "signet_places" ["listener": "", "lane": ""]
        "Places, or bytes, that there are."
        "";
    PLACES_REFUSED: Counter "signet_places_refused_total" ["listener": "", "lane": ""]
        "Calls that were refused, since the lane, or their caller's share of it, was taken."
        "";
    MEMORY_BUDGET: Gauge "signet_memory_budget_bytes" []
        "The memory that this process should take."
        "`--memory-budget`, or what follows from the container or the machine: [OPERATIONS.md](OPERATIONS.md#memory)";
    TLS_HANDSHAKES: Counter "signet_tls_handshakes_total" ["listener": "", "result": "`succeeded`, `failed`"]
        "TLS handshakes that ended."
        "`failed`: no TLS, no version or certificate that both accept, or too slow";
    TLS_RELOADS: Counter "signet_tls_reloads_total" ["result": "`succeeded`, `failed`"]
        "Changes of the TLS files."
        "`failed`: what they held could not be used, and what was read before stays in use";
    CERTIFICATE_EXPIRY: Gauge "signet_tls_certificate_expiry_timestamp_seconds" []
        "When the TLS certificate that is shown now expires, in seconds since 1970."
        "With TLS alone";
    LOGINS: Counter "signet_logins_total" ["result": "`succeeded`, `refused`, `failed`"]
        "Logins by password, by what came of them."
        "`refused`: wrong credentials, whichever, or a client, scope or audience that is not accepted, or passwords are not taken there; `failed`: could not be checked, for overload, deadline or database, or since too many attempts had failed (`TOO_MANY_ATTEMPTS`), or nobody waited";
    PASSWORD_GUESSES: Counter "signet_password_guesses_total"
        ["result": "`failed`, `address_throttled`, `client_throttled`, `account_throttled`, `deferred`"]
        "Passwords at any prompt that were wrong, were not judged (right or wrong), or waited behind all others."
        "`failed`: wrong, and charged, also if the caller was answered OVERLOADED; `address_throttled`: not judged, since too many failures came from the address, and sign-ups that were refused for it; `client_throttled`: not judged (a refresh token neither), since too many users failed for whom the client asked; `account_throttled`: not judged, since too many were made at the account; `deferred`: judged when no other waits, for the same reason, since the address is a private one and may be everybody's: right ones and sign-ups too, and besides what then becomes of them: do not add it to the others. Names that exist and names that do not are counted alike";
    REFRESHES: Counter "signet_refreshes_total" ["result": "`done`, `repeated`, `replayed`, `refused`, `failed`"]
        "Refresh tokens that were shown, each counted once, by what came of it."
        "`repeated`: a lost answer, a second tab, or calls that were in flight together; `replayed`: a copy was used, and the session has been ended; `refused` and `failed`: as above, and `failed` also repeats beyond the tenth";
    CLIENT_CREDENTIALS: Counter "signet_client_credentials_total" ["result": "`succeeded`, `refused`, `failed`"]
        "Tokens of their own that clients asked for, by what came of it."
        "The grant `client_credentials`. `refused`: a client, scope or audience that is not accepted; `failed`: as above";
    TOKENS_ISSUED: Counter "signet_tokens_issued_total" ["grant": "`password`, `refresh_token`, `client_credentials`"]
        "Access tokens that were issued, by the grant that was exchanged for them."
        "";
    HASH_THREADS: Gauge "signet_hash_threads" []
        "How many passwords are hashed at once at the most."
        "";
    HASH_THREADS_BUSY: Gauge "signet_hash_threads_busy" []
        "How many passwords are hashed at this moment."
        "";
    HASH_THREADS_COMPETING: Gauge "signet_hash_threads_competing" []
        "1 while hash threads compete with the others for the cores, since they would get too little; 0 while they give way to calls."
        "[SECURITY.md](SECURITY.md#floods-and-hashes) says when";
    HASH_QUEUE: Gauge "signet_hash_queue_length" ["lane": "`own`, `imported`"]
        "Passwords that wait for a thread: with a hash of this service or none yet, or with one that another system made."
        "";
    HASH_REFUSED: Counter "signet_hash_refused_total" ["lane": "as above"]
        "Passwords that were refused, since the queue was full of others who had had less, or the deadline too near."
        "";
    HASH_WAIT_SECONDS: Histogram "signet_hash_wait_seconds" []
        "How long a password waited for a thread, of those that got one."
        "It grows before any is refused";
    HASH_SECONDS: Histogram "signet_hash_seconds" []
        "How long one hash took, without the wait for a thread."
        "What was lost if it had to be begun anew is part of it";
    CACHE_LOOKUPS: Counter "signet_cache_lookups_total"
        ["cache": "`verified_tokens`, `users`, `sessions`, `clients`, `permissions`", "result": "`hit`, `miss`"]
        "Look-ups in what is remembered, by whether they were answered from there."
        "";
    CHANGE_FEED_LAG: Gauge "signet_change_feed_lag_seconds" []
        "How long ago the changes of other processes were read."
        "Beyond `--standing-cache-max-age`, a remembered row counts only for that long after it was itself read";
    DATABASE_UP: Gauge "signet_database_up" []
        "1 if the database answered when it was last asked, which is every second, else 0."
        "";
    READY: Gauge "signet_ready" []
        "1 if the service can serve, as health and /readyz say, else 0."
        "";
    DATABASE_CONNECTIONS: Gauge "signet_database_connections"
        ["pool": "`calls`, `strangers`, `service`, and on SQLite `writer`", "state": "`busy`, `idle`"]
        "Connections to the database that are open, by whether a statement or a transaction has them."
        "[OPERATIONS.md](OPERATIONS.md#pools-and-timeouts) says what each pool is for; a pool of less than three is not divided, and is `calls`";
    DATABASE_CONNECTIONS_MAX: Gauge "signet_database_connections_max" ["pool": "as above"]
        "How many connections to the database there may be."
        "While as many are busy, calls wait for one, for `--database-acquire-timeout` at most";
    STATEMENT_SECONDS: Histogram "signet_database_statement_seconds" []
        "How long statements took in the database."
        "";
    STATEMENTS_FAILED: Counter "signet_database_statements_failed_total" []
        "Statements that the database refused or did not answer."
        "A username that is taken is among them";
    STRANGER_LOOKUPS: Counter "signet_stranger_lookups_total" ["result": "`made`, `refused`"]
        "Look-ups in the database of what callers named who were not known yet: usernames, refresh tokens, clients; and failed passwords that were noted."
        "`refused`: too many waited ([OPERATIONS.md](OPERATIONS.md#pools-and-timeouts))";
    CLOCK_OFFSET: Gauge "signet_clock_offset_seconds" []
        "By how much this machine's clock was ahead of the database's when they were last compared, beyond the round trip."
        "Negative: behind; 0 on SQLite";
    CLOCK_WITHHELD: Counter "signet_clock_withheld_total"
        ["work": "`sessions`, `assertions`, `password_failures`, `resting_usernames`, `admin_requests`, `changes`, `bindings`, `audit_events` (deleting what has expired), `signing_keys` (rotating them)"]
        "Work that was not done since the two clocks were further apart than --clock-leeway."
        "";
    SHADOW_VERDICTS: Counter "signet_policy_shadow_verdicts_total" ["service": "", "verdict": "`would_pass`, `would_refuse`, `refused_anyhow`"]
        "Calls that passed, as each version in SHADOW of the service's policy would have judged them; and, once each, calls that were refused anyhow."
        "The log tells what would be refused ([POLICY.md](POLICY.md#a-roll-out-in-shadow))";
    EVENT_STREAMS: Counter "signet_event_streams_total"
        ["start": "`snapshot`, `resumed`, `resync` (the resume token was too old, not understood, or of other kinds or audiences)"]
        "Streams of changes that began, by what they were told first."
        "How many are open: `signet_places_taken` with `lane=\"watchers\"` ([EVENTS.md](EVENTS.md))";
    EVENT_MESSAGES: Counter "signet_event_messages_total" []
        "Messages of changes, and heartbeats, that were handed to streams, each counted for every stream."
        "Not what a stream is told first: its snapshot, or what has changed since its resume token";
    EVENT_WATCHERS_DROPPED: Counter "signet_event_watchers_dropped_total" []
        "Streams of changes that were ended since their client read too slowly."
        "Where a client reads nothing at all, its connection is closed instead: `signet_connections_ended_early_total` with `reason=\"unread\"`";
    EVENT_SNAPSHOTS_CUT: Counter "signet_event_snapshots_cut_total" []
        "Snapshots of what has ended that could not tell all, so that services refuse all tokens that were issued before a time."
        "";
    JOB_RUNS: Counter "signet_job_runs_total" ["job": "", "result": "`succeeded`, `failed`, `panicked`, `lost`, `stopped`"]
        "Runs of jobs that ended in this process: its own, and those that one process does for all."
        "[OPERATIONS.md](OPERATIONS.md#jobs) lists them. Only of the latter: `lost`: another process took the lease, and goes on; `stopped`: the end of the process cut the run short";
    JOB_LAST_SUCCESS: Gauge "signet_job_last_success_timestamp_seconds" ["job": ""]
        "When the last run in this process succeeded, in seconds since 1970; 0 if none has."
        "Of a job that one process does for all, take the maximum over the replicas. `signing_keys` counts looks, one a second in each process, whether or not a key was due: when keys were changed `signet jobs` tells";
    SIGNING_KEY_CREATED: Gauge "signet_signing_key_created_timestamp_seconds" []
        "When the key that signs was made, in seconds since 1970; 0 if none does."
        "";
    AUDIT_EVENTS: Counter "signet_audit_events_total" ["result": "`recorded`, `lost`"]
        "Events for the audit log."
        "Each is counted once as `recorded`, whether it has a line of its own or is told in the `repeats` of another ([AUDIT.md](AUDIT.md)). `lost`: did not fit into the queue, or was recorded and could not be written, which is counted within a minute";
    AUDIT_DATABASE_EVENTS: Counter "signet_audit_database_events_total" ["result": "`kept`, `lost`"]
        "Audit events for the database, but for those that come with a change, in its transaction."
        "`lost`: did not fit while the database was away, or were not taken by it ([AUDIT.md](AUDIT.md#in-the-database))";
    LOG_LINES: Counter "signet_log_lines_total" ["result": "`written`, `lost`, `left_out`"]
        "Lines of the log on standard error, of the whole process."
        "`lost`: standard error did not take them in time; `left_out`: many like them had been written ([OPERATIONS.md](OPERATIONS.md#the-log))";
    REQUEST_LOG_LINES: Counter "signet_request_log_lines_total" ["result": "`told`, `left_out`"]
        "Requests that the request log was to tell of."
        "`left_out`: more than 1,000 in a second ([OPERATIONS.md](OPERATIONS.md#the-request-log))";
    TRACES: Counter "signet_traces_total" ["result": "`sent`, `lost`, `left_out`"]
        "Traces that were to leave."
        "`lost`: the collector did not take them in time or has rejected spans of the request that they came by, or too many waited for it; `left_out`: requests that were to be traced, beyond 100 in a second ([OPERATIONS.md](OPERATIONS.md#traces))";
    BUILD_INFO: Gauge "signet_build_info" ["version": ""]
        "Always 1; the label has the version that runs."
        "";
}

/// What every Prometheus client tells of its process, on Linux: names and kinds. The client itself has their help texts.
pub const OF_PROCESS: &[(&str, Kind)] = &[
    ("process_cpu_seconds_total", Kind::Counter),
    ("process_max_fds", Kind::Gauge),
    ("process_open_fds", Kind::Gauge),
    ("process_resident_memory_bytes", Kind::Gauge),
    ("process_start_time_seconds", Kind::Gauge),
    ("process_threads", Kind::Gauge),
    ("process_virtual_memory_bytes", Kind::Gauge),
];

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::base::snapshot::assert_kept;

    const DOCUMENT: &str = "docs/METRICS.md";

    /// How the table begins.
    const HEAD: &str = "| Name | Type | Labels | Meaning |\n|---|---|---|---|\n";

    /// The row of `family`.
    fn row(family: &Family) -> String {
        let label = |Label(name, values): &Label| {
            if values.is_empty() { format!("`{name}`") } else { format!("`{name}`: {values}") }
        };
        let between = if family.labels.iter().any(|label| !label.1.is_empty()) { "; " } else { ", " };
        let labels = family.labels.iter().map(label).collect::<Vec<_>>().join(between);
        let meaning = match family.more {
            "" => family.help.trim_end_matches('.').to_owned(),
            more => format!("{} {more}", family.help),
        };
        format!("| `{}` | {} | {labels} | {meaning} |\n", family.name, family.kind.name())
    }

    fn row_of_process((at, (name, kind)): (usize, &(&str, Kind))) -> String {
        let meaning =
            if at == 0 { " Of the process, as every Prometheus client tells them, on Linux" } else { "" };
        format!("| `{name}` | {} | |{meaning} |\n", kind.name())
    }

    #[test]
    fn the_document_says_what_the_families_say() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
        let document = fs::read_to_string(&path).unwrap();
        let (before, rest) = document.split_once(HEAD).expect("the table");
        let (_, after) = rest.split_once("\n\n").expect("what follows the table");
        let rows = ALL.iter().map(row).chain(OF_PROCESS.iter().enumerate().map(row_of_process));
        let expected =
            format!("{before}{HEAD}{}\n{after}", rows.collect::<String>()).replace(" |  | ", " | | ");
        assert_kept(DOCUMENT, &expected, "UPDATE_SNAPSHOTS=1 cargo test --lib metrics writes it");
    }

    #[test]
    fn every_family_says_in_a_sentence_what_it_is() {
        for Family { name, kind, help, more, .. } in ALL {
            assert!(help.ends_with('.') && !help.contains(['`', '\n', '|']), "{name}: {help}");
            assert!(!more.ends_with('.') && !more.contains(['\n', '|']), "{name}: {more}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert_eq!(ALL.iter().filter(|other| other.name == *name).count(), 1, "{name}");
        }
    }
}
