//! Owns asking Signet for the roles of a caller whose token had no room for them (RFC 7662).

use std::{
    collections::HashMap,
    fmt,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use signet::{
    auth::Error,
    proto::identity::v1::{IntrospectTokenRequest, token_service_client::TokenServiceClient},
};
use tonic::{Request, Status};

use crate::{client::TokenSource, replicas::Channels};

/// How many questions may be under way at once, each about another token: more are refused, so that a flood of such tokens holds nothing.
const MAX_QUESTIONS: usize = 1_000;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What is known of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Introspected {
    /// Whether it is good at this moment.
    pub active: bool,
    /// The roles of its holder at its audience.
    pub roles: Vec<String>,
}

/// Who answers what a token is worth.
#[derive(Clone)]
pub(crate) struct Introspection {
    ask: Ask,
    open: Arc<Mutex<Open>>,
}

/// What is asked at the moment. A question ends when nobody waits for it any more.
#[derive(Default)]
struct Open {
    questions: HashMap<String, (u64, WeakShared<Question>)>,
    /// How many were ever asked.
    asked: u64,
}

/// What a token is worth; or why that cannot be told.
type Question = BoxFuture<'static, Result<Introspected, String>>;

/// The place of an open question, which goes with it.
struct Place {
    open: Arc<Mutex<Open>>,
    token: String,
    number: u64,
}

type Ask = Arc<dyn Fn(String) -> BoxFuture<'static, Result<Introspected, Status>> + Send + Sync>;

impl Introspection {
    /// Signet answers, to the tokens of `source`, which have the scope `introspect`.
    pub(crate) fn by_signet(channels: Channels, source: TokenSource) -> Self {
        Self::by(move |token| {
            let (channels, source) = (channels.clone(), source.clone());
            async move {
                let own = source.token().await?;
                let ask = |channel| {
                    let (token, own) = (token.clone(), own.clone());
                    async move {
                        let mut request = Request::new(IntrospectTokenRequest { token });
                        let bearer = format!("Bearer {}", own.as_str()).parse();
                        let bearer = bearer.map_err(|_| Status::internal("no header can have the token"))?;
                        request.metadata_mut().insert("authorization", bearer);
                        TokenServiceClient::new(channel).introspect_token(request).await
                    }
                };
                let answer = channels.call(ask).await;
                if answer.as_ref().is_err_and(|status| status.code() == tonic::Code::Unauthenticated) {
                    source.drop_token(&own);
                }
                let answer = answer?.into_inner();
                Ok(Introspected { active: answer.active, roles: answer.roles })
            }
        })
    }

    /// `ask` answers.
    pub(crate) fn by<F, R>(ask: F) -> Self
    where
        F: Fn(String) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Introspected, Status>> + Send + 'static,
    {
        let ask: Ask = Arc::new(move |token| ask(token).boxed());
        Self { ask, open: Arc::default() }
    }

    /// The roles of the holder of `token`.
    pub(crate) async fn roles(&self, token: &str) -> Result<Vec<String>, Error> {
        let unavailable =
            |source: String| Error::Unavailable { what: "introspection of tokens", source: source.into() };
        match self.question(token).map_err(|full| unavailable(full.to_owned()))?.await {
            Ok(Introspected { active: true, roles }) => Ok(roles),
            Ok(_) => Err(Error::TokenRevoked),
            Err(problem) => Err(unavailable(problem)),
        }
    }

    /// The question that is under way about `token`, or a new one.
    fn question(&self, token: &str) -> Result<Shared<Question>, &'static str> {
        let mut open = lock(&self.open);
        let under_way = open.questions.get(token).and_then(|(_, question)| question.upgrade());
        if let Some(question) = under_way {
            return Ok(question);
        }
        if open.questions.len() >= MAX_QUESTIONS {
            return Err("too many questions are under way");
        }
        open.asked += 1;
        let place = Place { open: Arc::clone(&self.open), token: token.to_owned(), number: open.asked };
        let question = answer(Arc::clone(&self.ask), place).boxed().shared();
        if let Some(weak) = question.downgrade() {
            let number = open.asked;
            open.questions.insert(token.to_owned(), (number, weak));
        }
        Ok(question)
    }
}

/// What is answered about the token of `place`, which is given up then.
async fn answer(ask: Ask, place: Place) -> Result<Introspected, String> {
    let token = place.token.clone();
    let asking = AssertUnwindSafe(async move { ask(token).await }).catch_unwind();
    match tokio::time::timeout(TIMEOUT, asking).await {
        Ok(Ok(answer)) => answer.map_err(|status| format!("{:?}: {}", status.code(), status.message())),
        Ok(Err(_)) => Err("who was asked panicked".to_owned()),
        Err(_) => Err("there was no answer in time".to_owned()),
    }
}

fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        // Where nobody waited for it any more, another question about the token may be under way by now.
        if open.questions.get(&self.token).is_some_and(|(number, _)| *number == self.number) {
            open.questions.remove(&self.token);
        }
    }
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspection").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_not_answered_lets_nobody_in() {
        let of = |answer: Result<Introspected, Status>| {
            Introspection::by(move |_| std::future::ready(answer.clone()))
        };
        let active = Introspected { active: true, roles: vec!["picker".to_owned()] };
        assert_eq!(of(Ok(active)).roles("t").await.unwrap(), ["picker"]);
        assert!(matches!(of(Ok(Introspected::default())).roles("t").await, Err(Error::TokenRevoked)));
        let away = of(Err(Status::unavailable(""))).roles("t").await;
        assert!(matches!(away, Err(Error::Unavailable { .. })));
    }

    #[tokio::test]
    async fn no_more_questions_are_under_way_than_may_be() {
        let silent = Introspection::by(|_| std::future::pending());
        let tokens: Vec<_> = (0..MAX_QUESTIONS).map(|number| number.to_string()).collect();
        let mut asked: Vec<_> = tokens.iter().map(|token| Box::pin(silent.roles(token))).collect();
        for question in &mut asked {
            assert!(futures_util::poll!(question).is_pending());
        }
        assert!(matches!(silent.roles("t").await, Err(Error::Unavailable { .. })));
        assert!(futures_util::poll!(Box::pin(silent.roles("0"))).is_pending(), "that is asked already");
        drop(asked.pop());
        assert!(futures_util::poll!(Box::pin(silent.roles("t"))).is_pending());
        drop(asked);
        assert!(lock(&silent.open).questions.is_empty());
    }

    #[tokio::test]
    async fn calls_with_one_token_share_a_question_and_later_ones_ask_anew() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (may_answer, waits) = tokio::sync::watch::channel(false);
        let introspection = Introspection::by({
            let asked = Arc::clone(&asked);
            move |token| {
                asked.lock().unwrap().push(token);
                let mut waits = waits.clone();
                async move {
                    waits.wait_for(|may| *may).await.unwrap();
                    Ok(Introspected { active: true, roles: vec!["picker".to_owned()] })
                }
            }
        });
        let mut first = Box::pin(introspection.roles("t"));
        let (mut second, mut other) =
            (Box::pin(introspection.roles("t")), Box::pin(introspection.roles("u")));
        assert!(futures_util::poll!(&mut first).is_pending());
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(futures_util::poll!(&mut other).is_pending());
        drop(first);
        may_answer.send_replace(true);
        assert_eq!(
            (second.await.unwrap(), other.await.unwrap()),
            (vec!["picker".to_owned()], vec!["picker".to_owned()])
        );
        introspection.roles("t").await.unwrap();
        assert_eq!(*asked.lock().unwrap(), ["t", "u", "t"]);
    }

    #[tokio::test]
    async fn one_who_answers_with_a_panic_is_asked_again() {
        let introspection = Introspection::by(|token| async move {
            assert_ne!(token, "t", "a defect of the application");
            Ok(Introspected { active: true, roles: Vec::new() })
        });
        assert!(matches!(introspection.roles("t").await, Err(Error::Unavailable { .. })));
        introspection.roles("u").await.unwrap();
        assert!(lock(&introspection.open).questions.is_empty());
    }
}
