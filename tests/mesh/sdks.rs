//! Owns what the SDKs do with a real Signet: the example service and client of each language, driven alike.
//!
//! `scripts/sdk build` makes these programs; `scripts/test` does that, and runs these tests.

mod calls;
mod clocks;
mod keys;
mod programs;
mod revocations;
mod world;

use programs::Language;

/// Every test for each language.
macro_rules! languages {
    ($($language:ident = $kind:ident),*) => {
        $(mod $language {
            use super::{Language, calls, clocks, keys, revocations};

            const LANGUAGE: Language = Language::$kind;

            #[tokio::test(flavor = "multi_thread")]
            async fn whom_the_rules_let_in_is_let_in_and_others_hear_why_not() {
                calls::whom_the_rules_let_in_is_let_in(LANGUAGE).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn no_valid_call_is_refused_while_keys_are_rotated_under_load() {
                keys::rotation_under_load(LANGUAGE).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_clock_that_is_a_little_off_refuses_no_valid_call() {
                clocks::clocks_differ(LANGUAGE).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn while_the_issuer_is_away_known_keys_go_on_and_nobody_else_is_let_in() {
                keys::issuer_away(LANGUAGE).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn what_is_revoked_is_refused_within_a_second_and_its_streams_end() {
                revocations::refused_within_a_second(LANGUAGE).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn without_its_stream_of_revocations_a_service_refuses_after_a_while_and_recovers() {
                revocations::stream_is_cut(LANGUAGE).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_rolling_restart_of_two_replicas_behind_envoy_refuses_no_valid_call() {
                revocations::rolling_restart(LANGUAGE).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_stream_ends_with_its_token_and_the_client_opens_it_again() {
                calls::stream_ends_with_its_token(LANGUAGE).await;
            }
        })*
    };
}

languages! { go = Go, java = Java, node = Node, python = Python, rust = Rust }
