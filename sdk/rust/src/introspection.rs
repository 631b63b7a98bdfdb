//! Owns asking Signet for the roles of a caller whose token had no room for them (RFC 7662).

use std::{fmt, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use signet::{
    auth::Error,
    proto::identity::v1::{IntrospectTokenRequest, token_service_client::TokenServiceClient},
};
use tokio::sync::Semaphore;
use tonic::{Request, Status};

use crate::{client::TokenSource, replicas::Channels};

/// How many questions may be under way at once: more are refused, so that a flood of such tokens holds nothing.
const MAX_QUESTIONS: usize = 100;

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
    places: Arc<Semaphore>,
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
        Self { ask, places: Arc::new(Semaphore::new(MAX_QUESTIONS)) }
    }

    /// The roles of the holder of `token`.
    pub(crate) async fn roles(&self, token: &str) -> Result<Vec<String>, Error> {
        let unavailable =
            |source: String| Error::Unavailable { what: "introspection of tokens", source: source.into() };
        let Ok(_place) = self.places.try_acquire() else {
            return Err(unavailable("too many questions are under way".to_owned()));
        };
        match tokio::time::timeout(TIMEOUT, (self.ask)(token.to_owned())).await {
            Ok(Ok(Introspected { active: true, roles })) => Ok(roles),
            Ok(Ok(_)) => Err(Error::TokenRevoked),
            Ok(Err(status)) => Err(unavailable(format!("{:?}: {}", status.code(), status.message()))),
            Err(_) => Err(unavailable("there was no answer in time".to_owned())),
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
        let mut asked: Vec<_> = (0..MAX_QUESTIONS).map(|_| Box::pin(silent.roles("t"))).collect();
        for question in &mut asked {
            assert!(futures_util::poll!(question).is_pending());
        }
        assert!(matches!(silent.roles("t").await, Err(Error::Unavailable { .. })));
        drop(asked.pop());
        assert!(futures_util::poll!(Box::pin(silent.roles("t"))).is_pending());
    }
}
